//! The path of a fork: from `do_fork()` to a listener.

use super::super::lesson::{Lesson, Mark, Watch, after, before};
use super::super::probe::{entered, entered_after, lanes, list, next_lane, returned};
use super::super::question::Question;
use sim::What;

pub(super) const LESSON: Lesson = Lesson {
    number: 1,
    name: "path",
    title: "The path of a fork",
    intro: "A process p forks a child c, and a program elsa in user space is told. On this path lie do_fork(), which makes the \
            child, and what the patch of 11 February 2005 added behind it. Every line that you see is an event of the run.",
    line: "v1 tour hook=end fault=none",
    watch: Watch::Locks,
    stops: &[
        after(
            Mark::Start,
            "Three lanes wait: p, who will fork; elsa, who listens to group 1 of NETLINK_KOBJECT_UEVENT; and init. The right \
             arrow goes on by one event, the down arrow to the next text like this one.",
        ),
        after(
            Mark::Enter("do_fork"),
            "p is in the kernel. do_fork() is all of fork(), vfork() and clone(): its flags say how much the child shares. \
             SIGCHLD is no such flag, it is the signal that p gets when the child exits.",
        ),
        after(
            Mark::Call("alloc_pidmap"),
            "The child has a number before it has anything else. do_fork() keeps it in a variable of its own, pid: remember \
             this in lesson 5.",
        ),
        after(
            Mark::Enter("copy_process"),
            "copy_process() makes the child but does not let it run: a task_struct, a kernel stack, and what it shares or copies.",
        ),
        after(
            Mark::Call("write_lock_irq"),
            "The child is about to become visible: it is linked to its parent and hashed by its pid, under tasklist_lock. See \
             the panel of locks: until the unlock p must not sleep.",
        ),
        before(
            Mark::Call("wake_up_new_task"),
            "copy_process() is done, and now the child may run. Then comes the patch.",
        )
        .ask(Question {
            prompt: "Which function does p enter next, behind wake_up_new_task()?",
            choices: |run| entered(run).into_iter().skip(1).take(4).collect(),
            answer: |run| entered_after(run, "wake_up_new_task"),
            why: "The patch calls kobject_fork() at the end of do_fork(), behind the wake-up: the child may be running already. \
                  send_uevent() and netlink_broadcast() are what it calls in turn.",
        }),
        after(
            Mark::Enter("kobject_fork"),
            "The patch. fork_kobj is a kobject that stands for nothing but forks: its path is the DEVPATH of the message. The \
             other two arguments are the pids of parent and child.",
        ),
        after(
            Mark::Enter("send_uevent"),
            "send_uevent() makes one message of the action, the path and the slots of envp.",
        ),
        after(
            Mark::Enter("netlink_broadcast"),
            "The message is whole, and given away. It goes to everybody in group 1. The next lesson looks at its bytes.",
        ),
        after(
            Mark::Call("sk_data_ready"),
            "elsa has it in her receive queue, and is woken. She does not run yet: p goes on.",
        ),
        before(Mark::Leave("do_fork"), "All that is left is to return to user space.").ask(Question {
            prompt: "What does do_fork() return to p?",
            choices: |run| vec!["0".into(), "100".into(), returned(run, "do_fork", 1)],
            answer: |run| returned(run, "do_fork", 1),
            why: "The child's pid, from the variable of do_fork(). Whether anybody was told of the fork changes nothing about it: \
                  kobject_fork() returns nothing.",
        }),
        after(
            Mark::Wait("p"),
            "p has called wait4(), and its child has not exited: p gives up the CPU.",
        )
        .ask(Question {
            prompt: "Who runs next in this run?",
            choices: lanes,
            answer: |run| next_lane(run, |event| event.lane.as_str() == "p" && matches!(event.what, What::Wait { .. })),
            why: "Whoever has waited longest for a CPU. That is one order of many: press w to let somebody else run first, and u \
                  to take it back.",
        }),
        after(
            Mark::End,
            "That was the whole path: a number, a task, a wake-up, a message, a listener. Everything else in this course is about \
             what can happen in between.",
        )
        .ask(Question {
            prompt: "In which of these functions was a lock held with interrupts off?",
            choices: |_| list(&["copy_process()", "kobject_fork()", "netlink_broadcast()"]),
            answer: |run| {
                let off = run.frames.iter().filter_map(|frame| frame.current()).find(|lane| lane.irqs_off());
                off.and_then(|lane| lane.stack.last()).map_or_else(String::new, |(func, _)| format!("{func}()"))
            },
            why: "Only where the child is hashed. Where the patch stands nothing is locked, so that it may sleep for memory. \
                  Lesson 6 moves it into the lock.",
        }),
    ],
};
