//! Overrun: a listener that is too slow.

use super::super::lesson::{Lesson, Mark, Watch, after, before};
use super::super::probe::{counts, list, next_lane, returned};
use super::super::question::Question;
use super::super::run::Run;
use sim::What;

/// The child of the first event that nobody got.
fn first_lost(run: &Run) -> String {
    let lost = run.frames.iter().find(|frame| frame.wire.rc.is_some_and(|rc| rc < 0));
    lost.and_then(|frame| frame.wire.pids).map_or_else(String::new, |(_, child)| child.to_string())
}

/// All children, in order.
fn children(run: &Run) -> Vec<String> {
    let mut children: Vec<String> = Vec::new();
    for (_, child) in run.frames.iter().filter_map(|frame| frame.wire.pids) {
        if children.last() != Some(&child.to_string()) {
            children.push(child.to_string());
        }
    }
    children
}

pub(super) const LESSON: Lesson = Lesson {
    number: 7,
    name: "overrun",
    title: "Overrun",
    intro: "A listener that does not read in time loses events. When is its buffer full, what does it learn, and when does it hear \
            again? elsa's buffer is small here, and p forks four times before she runs, and once after.",
    line: "v1 latch hook=end fault=none",
    watch: Watch::Queues,
    stops: &[
        after(Mark::Start, "The panel of queues comes first: it has what is charged (sk_rmem_alloc) and the limit (sk_rcvbuf)."),
        after(
            Mark::Call("sk_data_ready"),
            "The first event. The queue is charged for the whole buffer, not for the bytes of the message alone.",
        ),
        before(
            Mark::Call("sk_data_ready"),
            "The second event is about to be queued. The test is: is more charged than the limit? What this message adds is not \
             asked for.",
        )
        .nth(2),
        after(
            Mark::Call("yield"),
            "Now the queue is over its limit, and the sender must yield: p, who only wanted to fork, waits for a slow listener.",
        )
        .ask(Question {
            prompt: "Who runs next in this run?",
            choices: |_| list(&["p", "c", "elsa"]),
            answer: |run| next_lane(run, |event| matches!(event.what, What::Call { func: "yield", .. })),
            why: "Whoever waited longest. Had elsa been first, nothing would be lost: press w here and let her run.",
        }),
        before(Mark::Call("sk_error_report"), "The third event comes to a queue that is over its limit.").ask(Question {
            prompt: "Which child is the first of whom elsa does not hear?",
            choices: |run| children(run).into_iter().take(4).collect(),
            answer: first_lost,
            why: "The limit is tested before a message is charged: one message fits beyond it, the next does not.",
        }),
        after(
            Mark::Call("sk_error_report"),
            "netlink_overrun(): the socket has an error, and a latch is set (congested). As long as it is set, no message is \
             admitted, whether there is room or not.",
        ),
        before(Mark::Leave("netlink_broadcast"), "The fourth fork. Its event meets the latch.").nth(4).ask(Question {
            prompt: "What will netlink_broadcast() return for it?",
            choices: |run| vec![returned(run, "netlink_broadcast", 4), "0".into(), "-ENOBUFS".into()],
            answer: |run| returned(run, "netlink_broadcast", 4),
            why: "As if nobody listened: everybody who does is full. The sender cannot tell the two apart.",
        }),
        after(
            Mark::Free("alloc_skb.head"),
            "elsa runs at last. Her first receive returned -ENOBUFS and no message; then come the two that she has.",
        )
        .nth(3)
        .ask(Question {
            prompt: "How often is she told of a loss in this run?",
            choices: |run| {
                let (_, lost, told) = counts(run);
                vec![told.to_string(), lost.to_string(), "0".into()]
            },
            answer: |run| counts(run).2.to_string(),
            why: "One error stands for any number of lost messages: the second loss found the latch set. She knows that her tree \
                  is wrong, not where: she must look into /proc.",
        }),
        after(
            Mark::Wait("elsa"),
            "Her queue is empty, and that is what takes the latch away: not that there is room, but that nothing is left.",
        )
        .nth(1),
        before(Mark::Call("sk_data_ready"), "The fifth fork. Its event comes to an empty queue.").nth(3).ask(Question {
            prompt: "What will netlink_broadcast() return for this one?",
            choices: |run| vec![returned(run, "netlink_broadcast", 5), "-ESRCH".into(), "-ENOBUFS".into()],
            answer: |run| returned(run, "netlink_broadcast", 5),
            why: "She hears again. Between the two stands a gap of which only the error told.",
        }),
        after(Mark::End, "The default buffer holds some hundreds of these events: forklab run overrun.").ask(Question {
            prompt: "Of the five forks, how many does elsa know?",
            choices: |run| {
                let (received, lost, _) = counts(run);
                vec![received.to_string(), lost.to_string(), (received + lost).to_string()]
            },
            answer: |run| counts(run).0.to_string(),
            why: "And nothing in the messages that she has says that two are missing: there is no number in them.",
        }),
    ],
};
