//! Telling a parent that its child ended. Models what `kernel/signal.c` (Linux 2.6.11) does for that.

use sim::touch::Access;

use crate::System;
use crate::ground;
use crate::sched::TaskRef;

/// `SIGKILL`.
pub const SIGKILL: i32 = 9;
/// `SIGCHLD`.
pub const SIGCHLD: i32 = 17;
/// `SIGSTOP`.
pub const SIGSTOP: i32 = 19;

/// `_NSIG`, the last signal. A clone may ask for a higher exit signal; its parent then gets none.
const NSIG: i32 = 64;

/// The bit of a signal in a pending set.
///
/// # Panics
/// If there is no such signal.
#[must_use]
pub const fn sigmask(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Tells the parent that its child ended; needs `tasklist_lock`. Models `do_notify_parent()`.
///
/// A parent that ignores `SIGCHLD` gets neither the signal nor a zombie: the child's exit signal becomes -1, and it reaps
/// itself. DIFFERENCE: only the pending bit of a signal is modelled, no handler runs.
#[inline(always)]
pub(crate) fn do_notify_parent(sys: &System, tsk: TaskRef, signal: i32) {
    let (pid, parent) = sys.look_at(tsk, ground::TRACE, |t| (t.pid, t.tracer.unwrap_or(t.parent)));
    sys.looks_also(tsk, ground::PARENT);
    let (sighand, group) = sys.fixed(parent, |t| (t.sighand, t.signal));
    let ignored = signal == SIGCHLD && sys.ignores_sigchld(sighand);
    if ignored {
        sys.part(tsk, ground::FAMILY, |t| t.exit_signal = -1);
    }
    sys.m.call("do_notify_parent", || vec![("pid", pid.into()), ("signal", signal.into())], None);
    sys.touch_children(parent, Access::Write);
    sys.signal_fixed(group, |s| {
        if !ignored && (1..=NSIG).contains(&signal) {
            s.shared_pending |= sigmask(signal);
        }
        if let Some(wait) = &s.wait_chldexit {
            wait.wake_up(&sys.m);
        }
    });
}

/// Stops for the tracer, and tells it of an event. Models `ptrace_notify()`, of which the stop is left out.
pub(crate) fn ptrace_notify(sys: &System, current: TaskRef, event: i64) {
    /// What a tracer sees as the signal of the stop.
    const SIGTRAP: i64 = 5;
    let message = sys.look_at(current, ground::OWN, |t| t.ptrace_message);
    let args = || vec![("code", (event << 8 | SIGTRAP).into()), ("event", event.into()), ("message", message.into())];
    sys.m.call("ptrace_notify", args, None);
}
