//! G43: a user with fewer than no processes may not fork.

use std::rc::Rc;

use fork_model::System;
use fork_model::fork::{do_fork, flags};
use fork_model::init::{Placed, boot, place_task};
use fork_model::pid::mark_used;
use fork_model::sched::{Rlimit, User};
use sim::Law;
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{alone, granted, judged_on_the_way, kernel, obey, pick};

const LAW: Law = Law { id: "G43", sentence: "a user with fewer processes than the limit may fork" };

/// The number of processes, which is signed, is compared with the limit unsigned.
///
/// A count that was once decreased too often, -1, is larger than any limit: the user cannot fork any more.
///
/// Tried: limits of 1 and 10, counts from 0 to 3 and -1.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a user whose process count went below zero can never fork again",
    says: "copy_process() compares the user's process count, an atomic_t, with an unsigned limit. A count of -1, one decrement \
           too many, is the largest number there is.",
    source: "kernel/fork.c: copy_process()",
    mended_by: "here: a negative count is below every limit",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::SignedLimit),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let init = granted(&sys.m, boot(&sys)).await.expect("no failure was asked for");
    let limit: u64 = pick(&sys.m, "RLIMIT_NPROC: 10, 1", &[10, 1]);
    let processes = pick(&sys.m, "processes of the user: 0, 1, 2, 3, -1", &[0, 1, 2, 3, -1]);
    let user = sys.new_user(User { count: 1, processes, group_info_usage: 1, is_root: false });
    mark_used(&sys.m, &sys.pids, 100).await;
    let task = place_task(&sys, Placed { pid: 100, parent: Some(init), leader: None, user, pgrp: 100, session: 100 });
    let signal = sys.task(task, |t| t.signal);
    sys.signal(signal, |s| s.rlimit_nproc = Rlimit::both(limit));
    let result = do_fork(&sys, task, flags::SIGCHLD, None).await;
    let below = i128::from(processes) < i128::from(limit);
    obey(&sys.m, LAW, !below || result.is_ok(), || {
        let answer = sim::errno::Rc::rc(&result);
        format!("the user has {processes} processes of {limit}, and do_fork() returned {answer}")
    });
}
