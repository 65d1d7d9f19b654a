//! The ground on which an explorer decides that two steps commute: what lanes can meet in, by name, and how tasks, signals
//! and users are reached.
//!
//! Whatever two lanes can reach tells of it ([`sim::Machine::touch`]), but for what nobody changes once a run has begun
//! (`child_reaper`, limits, the configuration), and for what only reports read (`truth`, [`Facts`](crate::facts::Facts), the
//! trace, who is the last user of a memory map).

use sim::mm::Part;
use sim::touch::{Access, Object};

use crate::System;
use crate::sched::{Sighand, SighandRef, Signal, SignalRef, Task, TaskRef, User, UserRef};
use crate::system::index;

/// Facts about a pid, by pid. A law says that one comes before another.
pub(crate) const FACTS: Object = Object::named("facts");
/// The entry of a pid in the pid hash.
pub(crate) const PID_HASH: Object = Object::named("pid_hash");
/// `last_pid`.
pub(crate) const LAST_PID: Object = Object::named("last_pid");
/// A bit of the pid bitmap, by pid. Whoever changes one adds to [`PIDMAP`], whoever looks at many reads that.
pub(crate) const PID_BIT: Object = Object::named("pidmap.bit");
/// The pid bitmap.
pub(crate) const PIDMAP: Object = Object::named("pidmap");
/// How many tasks use a number.
pub(crate) const PID_USERS: Object = Object::named("pid users");
/// `nr_free` of a page of the bitmap.
pub(crate) const NR_FREE: Object = Object::named("pidmap.nr_free");
/// Who is traced.
pub(crate) const TRACED: Object = Object::named("ptrace_children");
/// `nr_threads`.
pub(crate) const NR_THREADS: Object = Object::named("nr_threads");
/// `total_forks`.
pub(crate) const TOTAL_FORKS: Object = Object::named("total_forks");
/// `process_counts`.
pub(crate) const PROCESS_COUNTS: Object = Object::named("process_counts");
/// `vfork_done` of a parent.
pub(crate) const VFORK: Object = Object::named("vfork_done");
/// Processes of a user.
pub(crate) const USER: Object = Object::named("user_struct");
/// What a group's `wait4()` waits for.
pub(crate) const CHLDEXIT: u32 = 1;
const SIGNAL: Object = Object::named("signal_struct");
const SIGHAND: Object = Object::named("sighand_struct");

/// As far from a limit as this nobody can tell in which order others came closer: no run that is explored makes so many tasks.
pub(crate) const FAR: i64 = 1024;

/// The task's own fields: flags, memory, vfork, ptrace message, exit code.
pub(crate) const OWN: Part = Part(1);
/// `usage`.
pub(crate) const USAGE: Part = Part(2);
/// `state`, pending signals.
pub(crate) const STATE: Part = Part(3);
/// `ptrace` and `tracer`, under `tasklist_lock`.
pub(crate) const TRACE: Part = Part(4);
/// `real_parent` and `parent`, under `tasklist_lock`.
pub(crate) const PARENT: Part = Part(5);
/// Children, siblings, `exit_state`, `exit_signal`, under `tasklist_lock`.
pub(crate) const FAMILY: Part = Part(6);

impl System {
    /// Looks at a task, which the caller holds a reference to.
    ///
    /// # Panics
    /// Those of [`System::task`].
    #[inline(always)]
    pub fn look<R>(&self, task: TaskRef, f: impl FnOnce(&Task) -> R) -> R {
        self.tasks.read(&self.m, task, "task_struct", f).expect("a reference is held")
    }

    /// Looks at fields of a task that nobody changes once others know it: pids, group leader, user, signals, capabilities.
    ///
    /// # Panics
    /// Those of [`System::task`].
    #[inline(always)]
    pub fn fixed<R>(&self, task: TaskRef, f: impl FnOnce(&Task) -> R) -> R {
        self.tasks.read_part(&self.m, task, Part::FIXED, "task_struct", f).expect("a reference is held")
    }

    /// Looks at one part of a task, and at what never changes.
    #[inline(always)]
    pub(crate) fn look_at<R>(&self, task: TaskRef, part: Part, f: impl FnOnce(&Task) -> R) -> R {
        self.tasks.read_part(&self.m, task, part, "task_struct", f).expect("a reference is held")
    }

    /// Tells an explorer that a look at a task reaches this part of it, too.
    #[inline(always)]
    pub(crate) fn looks_also(&self, task: TaskRef, part: Part) {
        self.tasks.touch_part(&self.m, task, part, Access::Read);
    }

    /// Reads or changes one part of a task.
    #[inline(always)]
    pub(crate) fn part<R>(&self, task: TaskRef, part: Part, f: impl FnOnce(&mut Task) -> R) -> R {
        self.tasks.with_part(&self.m, task, part, Access::Write, "task_struct", f).expect("a reference is held")
    }

    /// Looks at one part of a task that may be gone; then `None`, and a [`sim::Rule::UseAfterFree`] that says what `who`
    /// looked at.
    #[inline(always)]
    pub(crate) fn part_or_gone<R>(
        &self,
        task: TaskRef,
        part: Part,
        who: &str,
        f: impl FnOnce(&Task) -> R,
    ) -> Option<R> {
        self.tasks.read_part(&self.m, task, part, who, f).ok()
    }

    /// Reads a task that may be gone; then `None`, and a [`sim::Rule::UseAfterFree`] that says what `who` looked at.
    #[inline(always)]
    pub fn task_or_gone<R>(&self, task: TaskRef, who: &str, f: impl FnOnce(&mut Task) -> R) -> Option<R> {
        self.tasks.with(&self.m, task, who, f).ok()
    }

    /// Whether a task is still there. Asking is no use of it.
    #[must_use]
    pub fn is_there(&self, task: TaskRef) -> bool {
        self.tasks.peek(task, |_| ()).is_some()
    }

    /// Reads or changes what the threads of a group share.
    #[inline(always)]
    pub fn signal<R>(&self, signal: SignalRef, f: impl FnOnce(&mut Signal) -> R) -> R {
        let shared = &mut self.signals.borrow_mut()[signal.0 as usize];
        self.m.touch(shared.object, Access::Write);
        f(shared)
    }

    /// Looks at what the threads of a group share.
    #[inline(always)]
    pub fn signal_look<R>(&self, signal: SignalRef, f: impl FnOnce(&Signal) -> R) -> R {
        let shared = &self.signals.borrow()[signal.0 as usize];
        self.m.touch(shared.object, Access::Read);
        f(shared)
    }

    /// Looks at what no task changes for its group, such as its limits; or does what meets others in [`CHLDEXIT`] only.
    #[inline(always)]
    pub(crate) fn signal_fixed<R>(&self, signal: SignalRef, f: impl FnOnce(&mut Signal) -> R) -> R {
        f(&mut self.signals.borrow_mut()[signal.0 as usize])
    }

    /// What `wait4()` of this task's group would find changes, or is asked for.
    #[inline(always)]
    pub(crate) fn touch_children(&self, parent: TaskRef, access: Access) {
        if self.m.is_explored() {
            let signal = self.fixed(parent, |t| t.signal);
            self.touch_chldexit(signal, access);
        }
    }

    #[cold]
    #[inline(never)]
    fn touch_chldexit(&self, signal: SignalRef, access: Access) {
        // A parent that outlived its signals is nobody whom a child's end could wake.
        if let Some(shared) = self.signals.borrow().get(signal.0 as usize) {
            self.m.touch(shared.object.part(CHLDEXIT), access);
        }
    }

    /// Reads or changes signal handlers.
    #[inline(always)]
    pub fn sighand<R>(&self, sighand: SighandRef, f: impl FnOnce(&mut Sighand) -> R) -> R {
        let shared = &mut self.sighands.borrow_mut()[sighand.0 as usize];
        self.m.touch(shared.object, Access::Write);
        f(shared)
    }

    /// Whether `SIGCHLD` is ignored.
    #[inline(always)]
    pub(crate) fn ignores_sigchld(&self, sighand: SighandRef) -> bool {
        let shared = &self.sighands.borrow()[sighand.0 as usize];
        self.m.touch(shared.object, Access::Read);
        shared.ignores_sigchld
    }

    /// Counts users of signal handlers, which nobody looks at but to free them.
    #[inline(always)]
    pub(crate) fn sighand_count(&self, sighand: SighandRef, more: i32) {
        let shared = &mut self.sighands.borrow_mut()[sighand.0 as usize];
        shared.count = shared.count.wrapping_add_signed(more);
    }

    /// Reads or changes a user.
    #[inline(always)]
    pub fn user<R>(&self, user: UserRef, f: impl FnOnce(&mut User) -> R) -> R {
        self.m.touch(USER.nth(user.0), Access::Write);
        f(&mut self.users.borrow_mut()[user.0 as usize])
    }

    /// Adds to the counts of a user, atomically.
    #[inline(always)]
    pub(crate) fn user_add(&self, user: UserRef, add: impl FnOnce(&mut User)) {
        self.m.touch(USER.nth(user.0), Access::Add);
        add(&mut self.users.borrow_mut()[user.0 as usize]);
    }

    /// The processes of a user, to be compared with a limit.
    #[inline(always)]
    pub(crate) fn processes(&self, user: UserRef, limit: u64) -> i64 {
        let processes = i64::from(self.users.borrow()[user.0 as usize].processes);
        if processes < 0 || limit < (processes + FAR).cast_unsigned() {
            self.m.touch(USER.nth(user.0), Access::Read);
        }
        processes
    }

    /// Makes a user.
    pub fn new_user(&self, user: User) -> UserRef {
        UserRef(index(self.users.borrow_mut().insert(user)))
    }

    #[inline(always)]
    pub(crate) fn new_signal(&self, mut signal: Signal) -> SignalRef {
        let signals = &mut *self.signals.borrow_mut();
        let key = index(signals.vacant_key());
        signal.object = self.m.new_object(SIGNAL, key);
        SignalRef(index(signals.insert(signal)))
    }

    #[inline(always)]
    pub(crate) fn new_sighand(&self, ignores_sigchld: bool, count: u32) -> SighandRef {
        let sighands = &mut *self.sighands.borrow_mut();
        let object = self.m.new_object(SIGHAND, index(sighands.vacant_key()));
        SighandRef(index(sighands.insert(Sighand { count, ignores_sigchld, object })))
    }
}
