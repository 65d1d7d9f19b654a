//! Every allocation of a fork, an exit and a wait fails once, and from then on: nothing leaks, and the fork says so or
//! nobody does.

mod common;

use std::rc::Rc;

use common::{FORK, Stage, cpus, exits, run};
use forklab_fork_model::exit::{WaitFor, wait4};
use forklab_fork_model::fork::{TASK_STRUCT, THREAD_INFO, do_fork};
use forklab_fork_model::{Hook, System};
use sim::mm::{FaultRule, Times};
use sim::{Calm, Errno};

/// What came of one fork with one fault.
struct Outcome {
    /// The site that failed, if any allocation was reached.
    site: Option<&'static str>,
    forked: Result<i32, Errno>,
    heard: Vec<usize>,
}

/// Forks a child that exits, and waits for it, while the n-th allocation fails.
fn fork_exit_wait(listeners: i32, nth: u64, times: Times) -> Outcome {
    let stage = Stage::new(cpus(1), Calm, Hook::End, listeners);
    let before = (stage.sys.live(), counters(&stage.sys), stage.sys.pids.nr_free());
    stage.sys.m.mem.faults(|faults| faults.add(FaultRule { site: None, nth, times }));
    let init = stage.init;
    let forked = run(&stage.sys, async move |sys| {
        let forked = do_fork(&sys, init, FORK, Some(exits("c"))).await;
        if let Ok(child) = forked {
            assert_eq!(wait4(&sys, init, WaitFor::Any, false).await, Ok((child, 0)));
        }
        forked
    });
    let site = stage.sys.m.mem.faults(|faults| {
        faults.clear();
        faults.hits().first().map(|(site, _)| *site)
    });
    let heard = stage.heard().iter().map(Vec::len).collect();
    assert_eq!(
        before,
        (stage.sys.live(), counters(&stage.sys), stage.sys.pids.nr_free()),
        "{listeners} {nth} {times:?}"
    );
    assert_eq!(stage.violations(), []);
    Outcome { site, forked, heard }
}

/// Everything that a fork counts up, and a release down.
fn counters(sys: &Rc<System>) -> (i64, i64, usize) {
    (sys.nr_threads.get(), sys.process_counts.get(), sys.live_tasks())
}

#[test]
fn no_failed_allocation_leaks_and_only_the_first_two_are_the_forks_failure() {
    for listeners in 0..=3 {
        for times in [Times::Count(1), Times::Forever] {
            let mut allocations = 0;
            for nth in 1.. {
                let outcome = fork_exit_wait(listeners, nth, times);
                let Some(site) = outcome.site else { break };
                allocations += 1;
                if [TASK_STRUCT.0, THREAD_INFO.0].contains(&site) {
                    assert_eq!(outcome.forked, Err(Errno::NoMem));
                    assert!(outcome.heard.iter().all(|heard| *heard == 0));
                } else {
                    assert!(outcome.forked.is_ok(), "{site}: kobject_fork() returns nothing");
                }
            }
            let clones = u64::try_from(listeners).expect("not negative").saturating_sub(1);
            assert_eq!(allocations, 2 + 5 + clones, "task, stack, path, slots, head, data, trimmed data, clones");
        }
    }
}

#[test]
fn second_listener_misses_the_event_when_its_clone_fails() {
    let clone = fork_exit_wait(2, 8, Times::Count(1));
    assert_eq!(clone.site, Some("skb_clone.head"));
    assert_eq!(clone.heard, [0, 1], "who has bound last is served first, and gets the original");
}
