//! What really happened, as typed facts with the step of each: for whoever states laws over a run.
//!
//! The kernel keeps no such list. Off, noting a fact is the test of one flag; see [`Facts::record`].

use std::cell::{Cell, RefCell};

use sim::{Errno, LaneName, rare};

use crate::design::Seq;
use crate::fork::flags;
pub use crate::notify::meter::Paid;
use crate::{System, TaskRef};

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A task was linked into the process table: from here on it exists.
    Forked {
        /// Who called `do_fork()`.
        caller_pid: i32,
        /// Its process.
        caller_tgid: i32,
        /// The process that became the parent: another than the caller's with `CLONE_PARENT`, or for a thread.
        real_parent_tgid: i32,
        /// The child.
        child_pid: i32,
        /// Its process.
        child_tgid: i32,
        /// The child is a thread of the caller's process.
        is_thread: bool,
        /// The caller waits until the child execs or exits.
        vfork: bool,
    },
    /// A task does something.
    Acts {
        /// Which task.
        pid: i32,
        /// What.
        what: Act,
    },
    /// The notification returned in the forking task.
    Told {
        /// The pid that `do_fork()` allocated.
        child_true: i32,
        /// The parent that the hook reported.
        parent_said: i32,
        /// The child that the hook reported.
        child_said: i32,
        /// The number that the event got, and on which CPU if that belongs to it.
        seq: Option<Seq>,
        /// The CPU on which it ended.
        cpu: u32,
        /// What came of it.
        outcome: Outcome,
        /// The step in which it began.
        begun: u64,
        /// What the forking task paid for it, whoever else ran meanwhile.
        paid: Paid,
    },
    /// An event that a fork had only queued was sent, by a worker.
    Sent {
        /// The child that it names.
        child_said: i32,
        /// Its number.
        seq: Option<Seq>,
        /// The CPU of the worker.
        cpu: u32,
        /// What came of it.
        outcome: Result<(), Errno>,
        /// What the worker paid for it.
        paid: Paid,
    },
    /// A sender gave way because a listener's queue went over its limit: the step is the one of the `yield()`.
    Yielded {
        /// The lane that sent: a forking task's, or the worker's.
        lane: LaneName,
        /// The child whose event it was.
        child_said: i32,
    },
    /// A helper was started for an event; it is a process as any other.
    Helper {
        /// Its pid.
        pid: i32,
    },
}

impl Fact {
    /// The caller, the parent and the child, as they are linked. Needs `tasklist_lock`.
    #[cold]
    pub(crate) fn forked(sys: &System, (caller, parent, p): (TaskRef, TaskRef, TaskRef), clone_flags: u32) -> Fact {
        let (caller_pid, caller_tgid) = sys.fixed(caller, |t| (t.pid, t.tgid));
        let (child_pid, child_tgid) = sys.fixed(p, |t| (t.pid, t.tgid));
        Fact::Forked {
            caller_pid,
            caller_tgid,
            real_parent_tgid: sys.fixed(parent, |t| t.tgid),
            child_pid,
            child_tgid,
            is_thread: clone_flags & flags::THREAD != 0,
            vfork: clone_flags & flags::VFORK != 0,
        }
    }

    /// The pid in whose story the order of this fact matters: a child is told of before or after it acts. Two facts about
    /// different pids may be noted in any order; no law speaks of it.
    pub(crate) fn about(&self) -> Option<i32> {
        match self {
            Fact::Acts { pid, .. } => Some(*pid),
            Fact::Told { child_true, .. } => Some(*child_true),
            Fact::Sent { child_said, .. } => Some(*child_said),
            Fact::Forked { .. } | Fact::Yielded { .. } | Fact::Helper { .. } => None,
        }
    }
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Its own first step.
    Runs,
    /// It enters `do_fork()`.
    Forks,
    /// It enters `do_execve()`.
    Execs,
    /// It enters `do_exit()`.
    Exits,
    /// Somebody releases it from the process table.
    Released,
}

/// What came of a notification, seen from the forking task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The gate kept it back.
    Kept,
    /// It was queued for a worker; [`Fact::Sent`] follows.
    Queued,
    /// It was sent, or failed.
    Sent(Result<(), Errno>),
}

/// Facts of a small run.
const FEW: usize = 8;

/// The log of facts.
#[derive(Debug, Default)]
pub struct Facts {
    on: Cell<bool>,
    log: RefCell<Vec<(u64, Fact)>>,
}

impl Facts {
    /// Whether facts are noted.
    #[inline(always)]
    #[must_use]
    pub fn on(&self) -> bool {
        rare(self.on.get())
    }

    /// Notes facts from now on, or no longer. What was noted stays.
    pub fn record(&self, on: bool) {
        self.on.set(on);
        if on {
            self.log.borrow_mut().reserve(FEW);
        }
    }

    /// As at the start.
    pub(crate) fn forget(&mut self) {
        self.on.set(false);
        self.log.get_mut().clear();
    }

    /// Notes a fact of a step; whoever calls has looked whether facts are noted.
    pub(crate) fn push(&self, step: u64, fact: Fact) {
        self.log.borrow_mut().push((step, fact));
    }

    /// What was noted so far, by step, and forgets it.
    #[must_use]
    pub fn take(&self) -> Vec<(u64, Fact)> {
        in_order(self.log.take())
    }

    /// What was noted so far, by step.
    #[must_use]
    pub fn so_far(&self) -> Vec<(u64, Fact)> {
        in_order(self.log.borrow().clone())
    }
}

/// A yield is noted when its sender has returned, under the step in which it yielded.
fn in_order(mut log: Vec<(u64, Fact)>) -> Vec<(u64, Fact)> {
    log.sort_by_key(|(step, _)| *step);
    log
}
