//! Who pays when nobody listens.

use super::super::lesson::{Lesson, Mark, Watch, after, before};
use super::super::probe::{cost, event_allocations, of, returned};
use super::super::question::Question;

/// The same with a gate that asks whether anybody listens.
const GATED: &str = "v1 nobody hook=end gate=has-listeners fault=none";

pub(super) const LESSON: Lesson = Lesson {
    number: 3,
    name: "nobody",
    title: "Who pays when nobody listens",
    intro: "Most machines have nobody who wants to hear of forks. What does such a machine pay for a notification that nobody \
            gets? Every fork of every process pays it.",
    line: "v1 nobody hook=end fault=none",
    watch: Watch::Memory,
    stops: &[
        after(Mark::Start, "p forks c. There is no listener: the panel of queues is empty."),
        before(
            Mark::Enter("kobject_fork"),
            "The child is made and awake. Here the patch begins, and it does not know whether anybody listens.",
        )
        .ask(Question {
            prompt: "How often will it allocate memory for a message that nobody gets?",
            choices: |run| {
                let (none, one) = (event_allocations(run), cost(run, 2).allocations.to_string());
                vec!["0".into(), "1".into(), none, one]
            },
            answer: event_allocations,
            why: "The path, the slots, the sk_buff and its data, and once more to trim the data for receivers that are not there. \
                  Listeners that share a message would add a clone each.",
        }),
        after(
            Mark::Alloc("kobject_get_path.path"),
            "The first of them: the path of fork_kobj, which is the same for every fork.",
        ),
        after(
            Mark::Alloc("alloc_skb.data"),
            "The largest of them. It has room for 1,024 bytes of environment, and a few are used.",
        ),
        before(
            Mark::Leave("netlink_broadcast"),
            "netlink_broadcast() has looked through group 1 and found nobody. The message is freed.",
        )
        .ask(Question {
            prompt: "What does netlink_broadcast() return?",
            choices: |run| vec!["0".into(), "-ENOBUFS".into(), returned(run, "netlink_broadcast", 1)],
            answer: |run| returned(run, "netlink_broadcast", 1),
            why: "No such process: nobody has the message. -ENOBUFS would mean that somebody was there and could not get it.",
        }),
        before(Mark::Leave("do_fork"), "The error goes up to kobject_fork(), which returns nothing.").ask(Question {
            prompt: "And what does do_fork() return?",
            choices: |run| vec!["0".into(), returned(run, "netlink_broadcast", 1), returned(run, "do_fork", 1)],
            answer: |run| returned(run, "do_fork", 1),
            why: "The fork has succeeded, whoever hears of it. The error is dropped on the way.",
        }),
        after(
            Mark::End,
            "All of this was work of p, in its own system call. A gate can spare it: netlink_has_listeners(), which came in 2005 \
             and 2006, looks at a bit mask before anything is allocated.",
        )
        .ask(Question {
            prompt: "The same fork with that gate: how often does it allocate for the message?",
            choices: |run| vec!["0".into(), "1".into(), event_allocations(run)],
            answer: |_| of(GATED, event_allocations),
            why: "The gate says no before the path is made. Try it: forklab run nobody --gate has-listeners --trace lanes.",
        }),
    ],
};
