//! What fails and who is told.

use super::super::lesson::{Lesson, Mark, Watch, after, before};
use super::super::probe::{list, of, receivers, returned};
use super::super::question::Question;
use super::super::run::Run;

/// The child's structure cannot be had.
const NO_TASK: &str = "v1 two-listeners hook=end fault=alloc_task_struct#1";
/// The slots cannot be had.
const NO_SLOTS: &str = "v1 two-listeners hook=end fault=kobject_fork.envp#1";

/// What was the first return of `do_fork()`.
fn fork_returns(run: &Run) -> String {
    returned(run, "do_fork", 1)
}

/// Who missed something.
fn losers(run: &Run) -> String {
    let losers: Vec<_> = run.heard.iter().filter(|heard| heard.lost > 0).map(|heard| heard.listener.as_str()).collect();
    if losers.is_empty() { "nobody".into() } else { losers.join(" and ") }
}

/// How many are told of a loss.
fn told(run: &Run) -> String {
    run.heard.iter().filter(|heard| heard.told > 0).count().to_string()
}

pub(super) const LESSON: Lesson = Lesson {
    number: 4,
    name: "failures",
    title: "What fails, and who is told",
    intro: "Memory can run out at every allocation. Some failures stop the fork, some lose the event, some lose it for one \
            listener only; and not everybody who loses something is told. Two listen here, elsa and top, and in this run one \
            allocation fails. You can make others fail: f, wherever you are.",
    line: "v1 two-listeners hook=end fault=skb_clone.head#1",
    watch: Watch::Queues,
    stops: &[
        after(Mark::Start, "Both read when all is over. f makes the next allocation fail; u takes it back."),
        before(Mark::Alloc("alloc_task_struct"), "The first allocation of a fork: the child's task_struct.").ask(Question {
            prompt: "If it fails, what does do_fork() return?",
            choices: |run| vec![fork_returns(run), of(NO_TASK, fork_returns), "-EAGAIN".into(), "0".into()],
            answer: |_| of(NO_TASK, fork_returns),
            why: "There is no child, and the caller is told why. -EAGAIN would mean too many processes. Nothing was lost: there \
                  was no event.",
        }),
        before(
            Mark::Alloc("kobject_fork.envp"),
            "The child lives and runs. From here on the notification allocates, and do_fork() has nothing left that can fail.",
        )
        .ask(Question {
            prompt: "If the slots cannot be allocated, what does do_fork() return?",
            choices: |_| vec![of(NO_SLOTS, fork_returns), of(NO_TASK, fork_returns), "0".into()],
            answer: |_| of(NO_SLOTS, fork_returns),
            why: "kobject_fork() gives up silently: it is void. A failure of the notification is never a failure of the fork.",
        }),
        before(
            Mark::Alloc("alloc_skb.head"),
            "The message has no memory yet. Everything before this was needed only to make it.",
        )
        .ask(Question {
            prompt: "And in that case, how many of the two listeners learn that they missed something?",
            choices: |_| list(&["0", "1", "2"]),
            answer: |_| of(NO_SLOTS, told),
            why: "A message that was never made was never lost, as far as netlink knows. This loss is silent, and so is that of \
                  every allocation up to here. forklab faults has the table.",
        }),
        after(
            Mark::Call("sk_data_ready"),
            "The original goes to the first in the list, who joined last. Everybody else gets a clone, and each clone is one more \
             allocation.",
        ),
        before(Mark::Alloc("skb_clone.head"), "Now the clone for the other one. This is what fails in this run.").ask(Question {
            prompt: "Who misses the event?",
            choices: |run| {
                let mut names: Vec<_> = run.heard.iter().map(|heard| heard.listener.clone()).collect();
                names.extend(["nobody".into(), "elsa and top".into()]);
                names
            },
            answer: losers,
            why: "Who joined first is served last, and loses to a shortage that those before did not meet.",
        }),
        after(
            Mark::Call("sk_error_report"),
            "netlink_overrun() sets an error on the socket: the next receive will return -ENOBUFS. This loss is announced.",
        ),
        before(Mark::Leave("netlink_broadcast"), "One has it, one has not.").ask(Question {
            prompt: "What does netlink_broadcast() tell its caller?",
            choices: |run| vec![returned(run, "netlink_broadcast", 1), "-ENOBUFS".into(), "-ENOMEM".into()],
            answer: |run| returned(run, "netlink_broadcast", 1),
            why: "Somebody got it, and that counts as success. The sender never learns who did not.",
        }),
        after(Mark::End, "Both have looked into their sockets.").ask(Question {
            prompt: "How many of the two have the event?",
            choices: |_| list(&["0", "1", "2"]),
            answer: receivers,
            why: "And the other one knows that it missed something, but not what, nor how much.",
        }),
    ],
};
