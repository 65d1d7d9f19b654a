//! G8: a parent waits for a child that nobody wakes.

use std::rc::Rc;

use fork_model::System;
use fork_model::exit::do_exit;
use fork_model::fork::{do_fork, flags};
use fork_model::init::boot;
use fork_model::sched::Work;
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{alone, granted, judged_on_the_way, kernel, pick};

/// `CLONE_VFORK` waits for the child, `CLONE_STOPPED` does not wake it.
///
/// Both together block the parent, uninterruptibly, until somebody else continues a child whose number nobody has been
/// told: not even the fork event, which comes after the wait. Later kernels have no `CLONE_STOPPED`.
///
/// Tried: a fork with neither, either and both flags; the child exits as soon as it runs.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "G8",
    title: "vfork of a child that is born stopped blocks the parent for ever",
    says: "With CLONE_STOPPED the child is not woken, with CLONE_VFORK the parent waits for it. do_fork() takes both at once, \
           and the parent waits for a child of whose number nobody, not even a listener, has heard.",
    source: "kernel/fork.c: do_fork()",
    mended_by: "here: the two flags together are refused; later kernels have no CLONE_STOPPED",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::StoppedVfork),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let init = granted(&sys.m, boot(&sys)).await.expect("no failure was asked for");
    let vfork = pick(&sys.m, "fork, vfork", &[0, flags::VFORK | flags::VM]);
    let stopped = pick(&sys.m, "runs, is born stopped", &[0, flags::STOPPED]);
    let child = Work::new("child", |sys, me| async move { do_exit(&sys, me, 0).await });
    // An error is an answer; that it never comes is found.
    let _ = do_fork(&sys, init, flags::SIGCHLD | vfork | stopped, Some(child)).await;
}
