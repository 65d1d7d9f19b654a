//! A lock held, a sleep.

use super::super::lesson::{Lesson, Mark, Watch, after, before};
use super::super::probe::{found, list, locks_at, of};
use super::super::question::Question;
use super::super::run::Run;

/// The same, behind the unlock.
const BEHIND: &str = "v1 first-fork hook=before-wake fault=none";

/// Messages that the listener got.
fn received(run: &Run) -> String {
    run.heard.first().map_or(0, |heard| heard.received).to_string()
}

/// Whether it says that a rule was broken.
fn complains(run: &Run) -> String {
    if run.violations.is_empty() { "nothing" } else { "might_sleep() complains" }.into()
}

pub(super) const LESSON: Lesson = Lesson {
    number: 6,
    name: "sleep",
    title: "A lock held, a sleep",
    intro: "If the end of do_fork() is too late to read the child, why not tell of it earlier, under the lock, where nobody can \
            see it yet? Mainline did so on 7 November 2005. This is that design, hook=locked.",
    line: "v1 first-fork hook=locked fault=none",
    watch: Watch::Locks,
    stops: &[
        after(Mark::Start, "One fork, one listener, and the notification inside copy_process(). Watch the panel of locks."),
        before(
            Mark::Call("write_lock_irq"),
            "Up to here copy_process() has allocated with GFP_KERNEL: such an allocation may sleep until there is memory.",
        ),
        after(
            Mark::Call("write_lock_irq"),
            "write_lock_irq() takes a spinlock and switches interrupts off on this CPU. Whoever wants the lock now spins; so \
             its holder must not sleep, or a CPU spins for nothing, perhaps for ever.",
        ),
        before(Mark::Enter("kobject_fork"), "attach_pid() is done, and the hook is next.").ask(Question {
            prompt: "What does p hold when it enters kobject_fork()?",
            choices: |run| vec![locks_at(run, "kobject_fork"), "no lock".into(), "mmap_sem".into()],
            answer: |run| locks_at(run, "kobject_fork"),
            why: "That is what makes the place attractive: nobody can look the child up, kill it or reap it meanwhile.",
        }),
        before(
            Mark::Found,
            "kobject_fork() wants 11 bytes for the path, and asks with GFP_KERNEL.",
        )
        .ask(Question {
            prompt: "There is plenty of memory, nobody has to wait. What happens?",
            choices: |_| list(&["nothing", "might_sleep() complains", "-ENOMEM"]),
            answer: complains,
            why: "might_sleep() asks whether one could sleep here, not whether one does: otherwise the mistake would show on a \
                  busy machine only. It says so in the words of the kernel's log.",
        }),
        after(Mark::Found, "There it is: in_atomic():1, irqs_disabled():1, and the lock with the step in which it was taken."),
        before(Mark::Leave("kobject_fork"), "Every allocation of the message asks the same.").ask(Question {
            prompt: "How often has the kernel complained by the end of this run?",
            choices: |run| {
                let all = run.violations.len();
                vec!["1".into(), (all - all.min(1)).to_string(), found(run), (all + 1).to_string()]
            },
            answer: found,
            why: "Once for each place that may sleep: path, slots, sk_buff, its data, the trim. One more would be the clone for \
                  a second listener.",
        }),
        after(
            Mark::Call("write_unlock_irq"),
            "The lock is released. In this run all went well: the message is in the queue.",
        )
        .ask(Question {
            prompt: "How many messages does the listener get in the end?",
            choices: |_| list(&["0", "1", "2"]),
            answer: received,
            why: "A debug message is no failure, and many kernels are built without it. That is why such a mistake lives long.",
        }),
        after(
            Mark::Call("wake_up_new_task"),
            "The obvious way out is GFP_ATOMIC: do not wait, fail instead. Then a machine short of memory loses events.",
        ),
        after(
            Mark::End,
            "The other way out was taken on 28 November 2005, for 2.6.15: tell behind the unlock, but before the child is woken \
             (hook=before-wake).",
        )
        .ask(Question {
            prompt: "The same fork with hook=before-wake: how many complaints?",
            choices: |run| vec!["0".into(), "1".into(), found(run)],
            answer: |_| of(BEHIND, found),
            why: "No lock is held, and the child does not run yet: nobody can free it. Both rules are kept.",
        }),
    ],
};
