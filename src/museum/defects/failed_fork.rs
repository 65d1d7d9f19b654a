//! G38: a fork that fails burns a number.

use std::rc::Rc;

use fork_model::System;
use fork_model::fork::{do_fork, flags};
use fork_model::init::boot;
use sim::Law;
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{alone, granted, judged_on_the_way, kernel, obey, pick};

const LAW: Law = Law { id: "G38", sentence: "a fork that fails leaves last_pid as it was" };

/// The pid is taken before anything is checked, and only its bit is given back.
///
/// `last_pid` has moved, so the number is not used for a whole round; even flags that make no sense burn one. A program
/// that calls `clone()` with them in a loop turns the numbers round. Later kernels take the pid late in the copy.
///
/// Tried: a plain fork, a thread, and two combinations that are refused; one allocation fails.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a fork that fails uses up a pid",
    says: "do_fork() takes the pid before it looks at the flags and before it copies anything. When that fails the number is \
           free again, but last_pid has moved on, and the number is skipped for a whole round.",
    source: "kernel/fork.c: do_fork()",
    mended_by: "here: last_pid is put back, unless somebody has taken a pid since; later kernels take it last",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::FailedFork),
    faults: 1,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

const FLAGS: [u32; 4] =
    [flags::SIGCHLD, flags::VM | flags::SIGHAND | flags::THREAD, flags::NEWNS | flags::FS, flags::THREAD];

async fn story(sys: Rc<System>) {
    let init = granted(&sys.m, boot(&sys)).await.expect("no failure was asked for");
    let flags = pick(&sys.m, "fork, thread, NEWNS with FS, THREAD alone", &FLAGS);
    let before = sys.pids.last_pid.get();
    let result = do_fork(&sys, init, flags, None).await;
    let after = sys.pids.last_pid.get();
    obey(&sys.m, LAW, result.is_ok() || after == before, || {
        format!("do_fork() returned {}, and last_pid went from {before} to {after}", sim::errno::Rc::rc(&result))
    });
}
