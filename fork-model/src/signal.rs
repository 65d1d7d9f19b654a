//! Telling a parent that its child ended. Models what `kernel/signal.c` (Linux 2.6.11) does for that.

use crate::System;
use crate::sched::TaskRef;

/// `SIGKILL`.
pub const SIGKILL: i32 = 9;
/// `SIGCHLD`.
pub const SIGCHLD: i32 = 17;
/// `SIGSTOP`.
pub const SIGSTOP: i32 = 19;

/// The bit of a signal in a pending set.
#[must_use]
pub const fn sigmask(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Tells the parent that its child ended; needs `tasklist_lock`. Models `do_notify_parent()`.
///
/// A parent that ignores `SIGCHLD` gets neither the signal nor a zombie: the child's exit signal becomes -1, and it reaps
/// itself. DIFFERENCE: only the pending bit of a signal is modelled, no handler runs.
pub(crate) fn do_notify_parent(sys: &System, tsk: TaskRef, signal: i32) {
    let parent = sys.task(tsk, |t| t.tracer.unwrap_or(t.parent));
    let (sighand, group) = sys.task(parent, |t| (t.sighand, t.signal));
    if signal == SIGCHLD && sys.sighand(sighand, |s| s.ignores_sigchld) {
        sys.task(tsk, |t| t.exit_signal = -1);
    } else if signal > 0 {
        sys.signal(group, |s| s.shared_pending |= sigmask(signal));
    }
    let (pid, wait) = (sys.task(tsk, |t| t.pid), sys.signal(group, |s| s.wait_chldexit.clone()));
    sys.m.call("do_notify_parent", || vec![("pid", pid.into()), ("signal", signal.into())], None);
    wait.wake_up(&sys.m);
}
