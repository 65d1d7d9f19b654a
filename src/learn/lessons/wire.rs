//! The message on the wire, byte by byte.

use super::super::lesson::{Lesson, Mark, Watch, after, before};
use super::super::probe::{argument, layout, list, of};
use super::super::question::Question;

/// The first fork of a machine whose pids have grown longer.
const LONG: &str = "v1 long-pids hook=end fault=none";

/// What the first listener's queue is charged once it has something.
fn charged(run: &super::super::run::Run) -> String {
    let charged = run.frames.iter().flat_map(|frame| &frame.queues).map(|queue| queue.charged).find(|bytes| *bytes > 0);
    charged.map_or_else(String::new, |bytes| bytes.to_string())
}

/// Bytes of the first message.
fn length(run: &super::super::run::Run) -> String {
    argument(run, "netlink_broadcast", "len", 1)
}

pub(super) const LESSON: Lesson = Lesson {
    number: 2,
    name: "wire",
    title: "The message on the wire",
    intro: "What does a listener read? A header, action@path, and then strings, each ended by a NUL. This lesson follows the bytes \
            from the slots of envp into the socket buffer.",
    line: "v1 tour hook=end fault=none",
    watch: Watch::Message,
    stops: &[
        after(Mark::Start, "The same run as in lesson 1. This time the panel of the message comes first; Tab brings the next one to the top."),
        after(
            Mark::Enter("kobject_fork"),
            "kobject_fork() has two buffers of 32 bytes on its stack, ppid and cpid, and prints a number into each.",
        ),
        before(
            Mark::Alloc("kobject_fork.envp"),
            "Next come five slots of 8 bytes, from kmalloc(). The first two will say \"Not used\", the last will be NULL.",
        )
        .ask(Question {
            prompt: "How many of the five slots are sent?",
            choices: |_| list(&["2", "3", "4", "5"]),
            answer: |run| {
                let sent = layout(run).map(|layout| layout.slots.iter().filter(|slot| slot.sent).count());
                sent.map_or_else(String::new, |sent| sent.to_string())
            },
            why: "send_uevent() begins at envp[2]: in kobject_hotplug() the first two are HOME and PATH, which are for a helper \
                  program and not for the socket. NULL ends the list and is not sent.",
        }),
        after(
            Mark::Enter("alloc_skb"),
            "The buffer is sized before anything is known of the environment: the header and 1,024 bytes.",
        ),
        before(
            Mark::Enter("netlink_broadcast"),
            "The bytes are copied: fork@/fork_kobj and its NUL, then the strings of the slots, each with its NUL.",
        )
        .ask(Question {
            prompt: "How many bytes long is the message?",
            choices: |run| {
                let header = layout(run).map_or_else(String::new, |layout| layout.skb.header_len.to_string());
                vec![header, length(run), argument(run, "alloc_skb", "size", 1)]
            },
            answer: length,
            why: "The header, and two strings of three digits and a NUL each. Nothing says which of them is the parent: a \
                  listener must know the order.",
        }),
        after(
            Mark::Enter("netlink_broadcast"),
            "Here they are. A message has no length of its own but that of the datagram, and no number: who loses one does not \
             know it.",
        ),
        before(
            Mark::Call("sk_data_ready"),
            "netlink_trim() saw that most of the buffer is empty, and moved the message into a smaller one.",
        )
        .ask(Question {
            prompt: "How many bytes is elsa's receive buffer charged for it?",
            choices: |run| {
                vec![length(run), charged(run), argument(run, "netlink_broadcast", "truesize", 1)]
            },
            answer: charged,
            why: "The sk_buff itself and what is left of the data. Without the trim it would be truesize, and a buffer of the \
                  default size would hold a fifth as many.",
        }),
        after(Mark::Call("sk_data_ready"), "Now it lies in elsa's queue: see the panel of queues, and the charge beside it."),
        after(Mark::End, "elsa has read it, and the memory is free again. Only the digits of the two pids can vary.").ask(Question {
            prompt: "On a machine with pids of seven digits, how long can the message get?",
            choices: |run| {
                let long = of(LONG, length);
                let between = |one: &str, two: &str| Some((one.parse::<u32>().ok()? + two.parse::<u32>().ok()?) / 2);
                let mut choices = vec![length(run), long.clone()];
                choices.extend(between(&length(run), &long).map(|bytes| bytes.to_string()));
                choices
            },
            answer: |_| of(LONG, length),
            why: "Both strings grow with the pids, and nothing else does. See forklab layout --parent 1000000 --child 1000001.",
        }),
    ],
};
