//! G37: a fork fails though a pid is free.

use std::rc::Rc;

use fork_model::System;
use fork_model::pid::{RESERVED_PIDS, alloc_pidmap, mark_used, pidmap_init};
use sim::Law;
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{alone, judged_on_the_way, kernel, number, obey};

const LAW: Law = Law { id: "G37", sentence: "a pid is given as long as one is free" };

/// The search stops before `last_pid`, and does not start again from 300 if that was the last one.
///
/// If the only free pid is `last_pid` itself, the second look at its page ends one bit too early, and `fork()` answers
/// -EAGAIN. If `last_pid` is 300 it gives up when it wraps.
///
/// Tried: `pid_max` from 302 to 306, the smallest that sysctl allows and some more, each one pid that may be free, each
/// `last_pid` from 299 on.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "fork() fails though a pid is free",
    says: "alloc_pidmap() looks at the page it began in twice, and the second time stops before last_pid. If last_pid is the \
           only number that is free, the fork fails with -EAGAIN.",
    source: "kernel/pid.c: alloc_pidmap()",
    mended_by: "here: the second look takes the whole page, and a wrap to 300 is no reason to give up",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::EveryPid),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    pidmap_init(&sys.m, &sys.pids).await;
    let pid_max = number(&sys.m, "pid_max, from 302", 302..=306);
    let top = u32::try_from(pid_max).expect("small") - 1;
    let free = number(&sys.m, "the pid that is free, from 300", RESERVED_PIDS.cast_unsigned()..=top);
    let last_pid = number(&sys.m, "last_pid, from 299", RESERVED_PIDS.cast_unsigned() - 1..=top);
    for pid in (1..pid_max).filter(|pid| *pid != free) {
        mark_used(&sys.m, &sys.pids, i32::try_from(pid).expect("small")).await;
    }
    sys.pids.pid_max.set(i32::try_from(pid_max).expect("small"));
    sys.pids.last_pid.set(i32::try_from(last_pid).expect("small"));
    let given = alloc_pidmap(&sys.m, &sys.pids).await;
    obey(&sys.m, LAW, given.is_some(), || {
        format!("alloc_pidmap() fails; pid {free} is free, last_pid is {last_pid}, pid_max {pid_max}")
    });
}
