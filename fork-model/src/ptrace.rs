//! Who traces whom. Models what of `kernel/ptrace.c` (Linux 2.6.11) a fork and an exit need.
//!
//! DIFFERENCE: in the kernel a tracer takes the place of the parent, and the child moves to another list of its real
//! parent; here [`Task::tracer`](crate::Task::tracer) stands beside the parent, which may wait for the child all the same.

use sim::touch::Access;

use crate::System;
use crate::ground;
use crate::sched::TaskRef;

/// `PTRACE_EVENT_FORK`.
pub const PTRACE_EVENT_FORK: i64 = 1;
/// `PTRACE_EVENT_VFORK`.
pub const PTRACE_EVENT_VFORK: i64 = 2;
/// `PTRACE_EVENT_CLONE`.
pub const PTRACE_EVENT_CLONE: i64 = 3;
/// `PTRACE_EVENT_VFORK_DONE`.
pub const PTRACE_EVENT_VFORK_DONE: i64 = 5;

/// From now on `tracer` is told of the child instead of its parent. Needs `tasklist_lock`. Models `__ptrace_link()`.
pub(crate) fn __ptrace_link(sys: &System, child: TaskRef, tracer: TaskRef) {
    let pid = sys.fixed(tracer, |t| t.pid);
    sys.m.call("__ptrace_link", || vec![("new_parent_pid", pid.into())], None);
    sys.part(child, ground::TRACE, |t| t.tracer = Some(tracer));
    sys.m.touch(ground::TRACED, Access::Write);
    sys.traced.borrow_mut().push(child);
}

/// Nobody traces the child any more. Needs `tasklist_lock`. Models `__ptrace_unlink()`.
pub(crate) fn __ptrace_unlink(sys: &System, child: TaskRef) {
    sys.part(child, ground::TRACE, |t| (t.ptrace, t.tracer) = (0, None));
    sys.m.touch(ground::TRACED, Access::Write);
    sys.traced.borrow_mut().retain(|traced| *traced != child);
}

impl System {
    /// Whom a task traces, in the order of their forks. Models `ptrace_children`. Needs `tasklist_lock`.
    pub(crate) fn ptrace_children(&self, tracer: TaskRef) -> Vec<TaskRef> {
        self.m.touch(ground::TRACED, Access::Read);
        let traced = self.traced.borrow();
        if traced.is_empty() {
            return Vec::new();
        }
        traced
            .iter()
            .copied()
            .filter(|child| self.look_at(*child, ground::TRACE, |t| t.tracer == Some(tracer)))
            .collect()
    }
}
