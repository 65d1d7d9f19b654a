//! How the connector mended it.

use super::super::lesson::{Lesson, Mark, Watch, after, before};
use super::super::probe::{argument, cost, event_allocations, found, list, locks_at, of};
use super::super::question::Question;
use super::super::run::Run;

/// The patch, on the same fork.
const PATCH: &str = "v1 tour hook=end fault=none";
/// The connector, and nobody who has said that he listens.
const SILENT: &str = "v1 nobody hook=before-wake gate=counter sequence=per-cpu format=connector-struct fault=none";
/// The schedule-proof place, where the patch was caught in lesson 5.
const CAUGHT: &str = "v1 autoreap hook=before-wake gate=counter sequence=per-cpu format=connector-struct fault=none";

/// Bytes that one event allocates, with one listener.
fn bytes(run: &Run) -> String {
    cost(run, 1).bytes.to_string()
}

/// Bytes of the first message.
fn length(run: &Run) -> String {
    argument(run, "netlink_broadcast", "len", 1)
}

pub(super) const LESSON: Lesson = Lesson {
    number: 8,
    name: "connector",
    title: "How the connector mended it",
    intro: "The patch was not merged. In November 2005 came the process events connector, in 2.6.15: another place, another gate, \
            a number for each event, and a struct instead of text. The run of lesson 1 once more, with that design.",
    line: "v1 tour hook=before-wake gate=counter sequence=per-cpu format=connector-struct fault=none",
    watch: Watch::Message,
    stops: &[
        after(
            Mark::Start,
            "elsa has said PROC_CN_MCAST_LISTEN before the run: the connector counts who wants events.",
        ),
        before(
            Mark::Call("gate"),
            "We are still in copy_process(): the child is complete and hashed, but not awake. Nobody can reap what has never run.",
        )
        .ask(Question {
            prompt: "Which lock does p hold here?",
            choices: |run| vec![locks_at(run, "cn_netlink_send"), "tasklist_lock".into(), "the connector's".into()],
            answer: |run| locks_at(run, "cn_netlink_send"),
            why: "Behind the unlock it may sleep, before the wake-up the child cannot go away: lessons 5 and 6 both end here.",
        }),
        after(
            Mark::Call("gate"),
            "The gate: a counter of listeners is read before anything is allocated. It is not 0, so that the event is made.",
        )
        .ask(Question {
            prompt: "If nobody had said that he listens, how often would this fork allocate for its event?",
            choices: |run| vec!["0".into(), event_allocations(run), of(PATCH, event_allocations)],
            answer: |_| of(SILENT, event_allocations),
            why: "Nothing is paid where nobody asks. Lesson 3 has what the patch paid. The counter has a weakness of its own: who \
                  dies without a word stays counted (forklab museum).",
        }),
        after(
            Mark::Enter("cn_netlink_send"),
            "No path, no slots, no strings: the struct proc_event has the pids as numbers, and the CPU.",
        )
        .ask(Question {
            prompt: "How many bytes will the message be?",
            choices: |run| vec![length(run), of(PATCH, length), of(PATCH, |run| argument(run, "alloc_skb", "size", 1))],
            answer: length,
            why: "Larger than the patch's text, and always the same: it has thread ids and process ids of both, so that a thread \
                  is no longer taken for a process.",
        }),
        before(
            Mark::Enter("netlink_broadcast"),
            "The buffer is exactly as large as the message: a netlink header, a connector header, the event.",
        ),
        after(
            Mark::Enter("netlink_broadcast"),
            "Look for the number in the connector header (seq). Each CPU counts its own events: a gap says that something was \
             lost, and on which CPU.",
        ),
        before(Mark::Leave("netlink_broadcast"), "It is sent by the same netlink_broadcast() as before.").ask(Question {
            prompt: "How many bytes of memory does one event take, with one listener?",
            choices: |run| vec![bytes(run), of(PATCH, bytes), length(run)],
            answer: bytes,
            why: "The sk_buff and its data, nothing else; the buffer is not oversized, so that nothing is trimmed. The patch took \
                  more than three times as much.",
        }),
        after(
            Mark::Call("wake_up_new_task"),
            "Only now the child may run. A listener may hear of it before it has executed a single instruction.",
        ),
        after(
            Mark::End,
            "What is left of lesson 7: a slow listener still overruns. Now the numbers tell how much is missing.",
        )
        .ask(Question {
            prompt: "The scenario of lesson 5 with this design: how many rules does a calm run break?",
            choices: |_| list(&["0", "1", "2"]),
            answer: |_| of(CAUGHT, found),
            why: "None, and forklab check --hook before-wake --property P18 tries every other schedule, too.",
        }),
    ],
};
