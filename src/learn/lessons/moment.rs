//! The moment after which the parent must not touch the child.

use super::super::lesson::{Lesson, Mark, Watch, after, before};
use super::super::probe::{argument, found, freed_by, lanes, next_lane, of, returned};
use super::super::question::Question;
use super::super::run::Run;
use sim::What;

/// The same schedule, and the repair.
const REPAIRED: &str = "v1 autoreap hook=end-saved-pid sched=p5.c6.p7.elsa2.p4.init5 fault=none";

/// The child that is reported.
fn reported(run: &Run) -> String {
    argument(run, "kobject_fork", "child", 1)
}

pub(super) const LESSON: Lesson = Lesson {
    number: 5,
    name: "moment",
    title: "The moment after which the parent must not touch the child",
    intro: "The patch reads p->pid at the end of do_fork(). p is the child's task_struct, and the child is awake. Two CPUs, a \
            parent that ignores SIGCHLD, and a child that exits at once: this schedule was found by a search.",
    line: "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=none",
    watch: Watch::Memory,
    stops: &[
        after(
            Mark::Start,
            "p ignores SIGCHLD, so that nobody will wait for its children: each frees itself when it exits. The lane c is the \
             child.",
        ),
        after(
            Mark::Call("alloc_pidmap"),
            "The number stands in a variable of do_fork() from here on. Nobody can take that away.",
        ),
        after(
            Mark::Alloc("alloc_task_struct"),
            "The child's structure. It is born with two references: one for whoever waits for it, one for the scheduler. None \
             is do_fork()'s own.",
        ),
        after(
            Mark::Call("wake_up_new_task"),
            "This is the moment. The child may run on the other CPU, and whatever it does to its own structure, it may have done \
             before p comes to its next line.",
        )
        .ask(Question {
            prompt: "Who runs next in this run?",
            choices: lanes,
            answer: |run| {
                next_lane(run, |event| matches!(event.what, What::Call { func: "wake_up_new_task", .. }))
            },
            why: "The child, on the other CPU. No rule is broken by that: p holds no lock, and a slow CPU, an interrupt or a \
                  preemption is all it takes.",
        }),
        after(
            Mark::Enter("do_exit"),
            "The child exits. p is still where it was, between two lines of do_fork().",
        )
        .ask(Question {
            prompt: "Which lane will give the child's task_struct back?",
            choices: lanes,
            answer: |run| freed_by(run, "alloc_task_struct"),
            why: "The child's own: nobody waits for it, and the scheduler drops a dead task's last reference when it switches \
                  away from it. With a parent that waits it could be p.",
        }),
        after(
            Mark::Call("release_task"),
            "As its parent ignores SIGCHLD, the child releases itself: it is unhashed, and the first reference is gone.",
        ),
        before(
            Mark::Free("alloc_task_struct"),
            "The last reference goes when the child has left its CPU for good, in finish_task_switch().",
        ),
        before(
            Mark::Found,
            "The memory is free, and filled with 0x6b, the poison of freed memory. p goes on, and its next line is \
             kobject_fork(fork_kobj, current->pid, p->pid).",
        )
        .ask(Question {
            prompt: "Which pid does it read?",
            choices: |run| vec!["0".into(), returned(run, "alloc_pidmap", 1), reported(run)],
            answer: reported,
            why: "The poison, read as a number. On a kernel without it: the pid that was there, or that of whoever has the \
                  memory by now, which is worse, as it looks right.",
        }),
        after(
            Mark::Found,
            "Use after free: the lab says who read, who freed, and when. The kernel itself says nothing.",
        ),
        after(
            Mark::Enter("netlink_broadcast"),
            "And the wrong number goes out: the listener hears of a child that never was.",
        ),
        before(Mark::Leave("do_fork"), "do_fork() returns the number that it kept in its own variable.").ask(Question {
            prompt: "Which one does p get?",
            choices: |run| vec![returned(run, "do_fork", 1), reported(run), "-ESRCH".into()],
            answer: |run| returned(run, "do_fork", 1),
            why: "The right one. So the repair is one word: report that variable instead of p->pid.",
        }),
        after(
            Mark::End,
            "The repair is a design of the lab: hook=end-saved-pid. forklab check --hook end-saved-pid --property P18 proves \
             that it holds under every schedule.",
        )
        .ask(Question {
            prompt: "The same schedule with the repair: how many rules are broken?",
            choices: |run| vec![found(run), of(REPAIRED, found), "2".into()],
            answer: |_| of(REPAIRED, found),
            why: "Nothing is read from the child any more. Whether the child is gone by then is nobody's business.",
        }),
    ],
};
