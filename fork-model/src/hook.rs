//! The line that tells of a fork, as a value: where it stands in `do_fork()` or `copy_process()`, and what it reads there.

use std::pin::Pin;

use sim::mm::{POISON, Part};
use uevent::wire::connector::ForkIds;

use crate::design::axis;
use crate::ground;
use crate::notify::notify;
use crate::{System, TaskRef};

axis! {
    /// Where the notification stands, and what it reads there.
    ///
    /// To add one: its line in this file, and its arms in [`Hook::place`] and [`Hook::read`], which are exhaustive matches.
    Hook own OwnHook;
    /// As posted on 11 February 2005 (1108109504.30559.43): at the end of `do_fork()`, after the wake-up and the vfork
    /// wait, it reads `p->pid`. The child may be gone by then (P18).
    #[default]
    End "end";
    /// Its repair: in the same place, but it reports the number that `do_fork()` allocated.
    EndSavedPid "end-saved-pid";
    /// The first process events connector (Helsley, 2005-09-28, 1127961841.12346.2344.camel@stark): behind
    /// `wake_up_new_task()`, before the tracer is told and before the vfork wait. It reads `p` and `p->real_parent`, and the
    /// child may be gone by then, too.
    AfterWake "after-wake";
    /// Mainline of 7 November 2005: inside `copy_process()`, under `write_lock_irq(&tasklist_lock)`. Nobody else can see the
    /// child yet, and nothing may sleep; but what follows allocates with `GFP_KERNEL` (P17). It reports `p->real_parent`.
    Locked "locked";
    /// Since 2.6.15-rc3 (Morton, 2005-11-28, Pine.LNX.4.64.0511282006370.3177@g5.osdl.org): in `copy_process()` behind the
    /// unlock, before the child is set free to run. It reports `p->real_parent`.
    BeforeWake "before-wake";
}

/// The places where a notification can stand, in the order in which a fork comes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In `copy_process()`, `tasklist_lock` held, interrupts off.
    Locked,
    /// In `copy_process()`, the lock released, the child not yet running.
    BeforeWake,
    /// In `do_fork()`, the child perhaps running, perhaps gone.
    AfterWake,
    /// In `do_fork()`, behind the tracer and the vfork wait.
    End,
}

/// What a hook can look at.
#[derive(Clone, Copy)]
pub struct Fork<'a> {
    /// The kernel.
    pub sys: &'a System,
    /// Who forks.
    pub current: TaskRef,
    /// The child's structure, which may be gone; see [`System::task_or_gone`].
    pub p: TaskRef,
    /// The child's pid, as allocated.
    pub pid: i32,
    /// The child is a thread of the caller's process.
    pub is_thread: bool,
}

/// A hook of the user's own.
pub trait OwnHook: Sync {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// Where it stands.
    fn place(&self) -> Place;

    /// What it reads there.
    fn read(&self, fork: &Fork<'_>) -> ForkIds;
}

/// What the patch does when it reads a child that is gone.
const READS_PID: &str = "do_fork() reads p->pid";
/// What a freed integer reads.
const GONE: i32 = i32::from_ne_bytes([POISON; 4]);

impl Hook {
    /// Where it stands.
    #[must_use]
    pub fn place(self) -> Place {
        match self {
            Hook::End | Hook::EndSavedPid => Place::End,
            Hook::AfterWake => Place::AfterWake,
            Hook::Locked => Place::Locked,
            Hook::BeforeWake => Place::BeforeWake,
            Hook::Own(own) => own.place(),
        }
    }

    /// What it reads there.
    ///
    /// # Violations
    /// [`sim::Rule::UseAfterFree`] with [`Hook::End`] and [`Hook::AfterWake`], if the child was released before (P18).
    #[must_use]
    pub fn read(self, fork: &Fork<'_>) -> ForkIds {
        match self {
            Hook::End => {
                let read = fork.sys.part_or_gone(fork.p, Part::FIXED, READS_PID, |t| (t.pid, t.tgid));
                let (child_pid, child_tgid) = read.unwrap_or((GONE, GONE));
                fork.of_current(child_pid, child_tgid)
            }
            Hook::EndSavedPid => fork.of_current(fork.pid, fork.tgid()),
            Hook::AfterWake | Hook::Locked | Hook::BeforeWake => fork.of_real_parent(),
            Hook::Own(own) => own.read(fork),
        }
    }
}

impl Fork<'_> {
    /// The child's process id, from what `do_fork()` knows without the child's structure.
    #[must_use]
    pub fn tgid(&self) -> i32 {
        if self.is_thread { self.sys.fixed(self.current, |t| t.tgid) } else { self.pid }
    }

    /// The caller as the parent, and this child.
    #[must_use]
    pub fn of_current(&self, child_pid: i32, child_tgid: i32) -> ForkIds {
        let (parent_pid, parent_tgid) = self.sys.fixed(self.current, |t| (t.pid, t.tgid));
        ForkIds { parent_pid, parent_tgid, child_pid, child_tgid }
    }

    /// What the child's structure says of itself and of its parent, as `proc_fork_connector(p)` reads it.
    ///
    /// # Violations
    /// [`sim::Rule::UseAfterFree`] if the child was released before.
    #[must_use]
    pub fn of_real_parent(&self) -> ForkIds {
        let who = "proc_fork_connector() reads p->pid";
        let Some((child_pid, child_tgid, parent)) =
            self.sys.part_or_gone(self.p, ground::PARENT, who, |t| (t.pid, t.tgid, t.real_parent))
        else {
            return ForkIds { parent_pid: GONE, parent_tgid: GONE, child_pid: GONE, child_tgid: GONE };
        };
        // A child in the process table has a parent that is there. A released one that has not left its CPU may not.
        let who = "proc_fork_connector() reads p->real_parent->pid";
        let (parent_pid, parent_tgid) =
            self.sys.part_or_gone(parent, Part::FIXED, who, |t| (t.pid, t.tgid)).unwrap_or((GONE, GONE));
        ForkIds { parent_pid, parent_tgid, child_pid, child_tgid }
    }
}

/// The child that the patch or its repair reports, of which only the pid is needed.
#[inline(always)]
pub(crate) fn posted_child(sys: &System, p: TaskRef, pid: i32) -> i32 {
    match sys.config.design.hook {
        Hook::End => sys.task_or_gone(p, READS_PID, |t| t.pid).unwrap_or(GONE),
        _ => pid,
    }
}

/// Tells of a fork, where the design's hook stands. Boxed, so that a fork of the patch carries nothing of it.
#[cold]
pub(crate) fn tell(fork: Fork<'_>) -> Pin<Box<dyn Future<Output = ()> + '_>> {
    Box::pin(async move {
        let ids = fork.sys.config.design.hook.read(&fork);
        notify(fork.sys, fork.pid, ids).await;
    })
}
