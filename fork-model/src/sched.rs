//! Tasks, and what they share. Models `include/linux/sched.h` and the parts of `kernel/sched.c` that a fork meets.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use sim::lock::{Completion, WaitQueue};
use sim::touch::Object;
use sim::{Handle, LaneName};

use crate::System;
use crate::exit::put_task_struct;
use crate::facts::{Act, Fact};

/// A pointer to a task. It keeps nothing alive: see [`Task::usage`].
pub type TaskRef = Handle<Task>;

/// Index of a `struct signal_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalRef(pub(crate) u32);
/// Index of a `struct sighand_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SighandRef(pub(crate) u32);
/// Index of a `struct mm_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmRef(pub(crate) u32);
/// Index of a `struct user_struct` and its group information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRef(pub(crate) u32);

/// Bits of [`Task::flags`].
pub mod pf {
    /// Being shut down.
    pub const EXITING: u32 = 0x4;
    /// Forked and did not exec.
    pub const FORKNOEXEC: u32 = 0x40;
    /// Used super-user privileges.
    pub const SUPERPRIV: u32 = 0x100;
}

/// Bits of [`Task::ptrace`].
pub mod pt {
    /// Somebody traces it.
    pub const PTRACED: u32 = 0x1;
    /// Report its forks.
    pub const TRACE_FORK: u32 = 0x10;
    /// Report its vforks.
    pub const TRACE_VFORK: u32 = 0x20;
    /// Report its clones.
    pub const TRACE_CLONE: u32 = 0x40;
    /// Report when its vfork child lets it go.
    pub const TRACE_VFORK_DONE: u32 = 0x100;
}

/// Capabilities that a fork asks for, as bits of [`Task::caps`].
pub mod cap {
    /// `CAP_NET_ADMIN`.
    pub const NET_ADMIN: u32 = 1 << 12;
    /// `CAP_SYS_ADMIN`.
    pub const SYS_ADMIN: u32 = 1 << 21;
    /// `CAP_SYS_RESOURCE`.
    pub const SYS_RESOURCE: u32 = 1 << 24;
}

/// Whether a task may run, as far as a fork cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// `TASK_RUNNING`.
    Running = 0,
    /// `TASK_STOPPED`: born with `CLONE_STOPPED`, and nobody has continued it.
    Stopped = 4,
}

/// What is left of a task that has exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitState {
    /// It has not.
    Alive,
    /// `EXIT_ZOMBIE`: somebody may wait for it.
    Zombie,
    /// `EXIT_DEAD`: somebody releases it.
    Dead,
}

/// Models `struct task_struct`: the fields that this path reads or writes, grouped by who may touch them.
#[derive(Clone, Debug)]
pub struct Task {
    // Set by copy_process() before anybody else can see the task.
    /// Its thread id. The hook reads this one.
    pub pid: i32,
    /// Its process id: the pid of the first thread of its group.
    pub tgid: i32,
    /// `clear_child_tid` and `set_child_tid` were asked for.
    pub tid_pointers: TidPointers,
    /// Whom its processes count for.
    pub user: UserRef,
    /// Whether it runs a binary format of a module.
    pub has_binfmt: bool,
    /// Capabilities, see [`cap`].
    pub caps: u32,

    // The task's own.
    /// Flags, see [`pf`].
    pub flags: u32,
    /// Its memory; `None` for a kernel thread, and after `exit_mm()`.
    pub mm: Option<MmRef>,
    /// Whoever waits for it in vfork.
    pub vfork_done: Option<Rc<Completion>>,
    /// Number of the last ptrace message.
    pub ptrace_message: i64,
    /// `pdeath_signal`.
    pub pdeath_signal: i32,

    // Atomic.
    /// References: one of its own until it is off its CPU for the last time, one of the process table until it is released.
    pub usage: u32,

    // Under the runqueue's lock.
    /// Whether it may run.
    pub state: State,

    // Under tasklist_lock.
    /// Ptrace options, see [`pt`].
    pub ptrace: u32,
    /// The parent that forked it, or inherited it.
    pub real_parent: TaskRef,
    /// Who is told of its end.
    pub parent: TaskRef,
    /// Who traces it, and is told instead. DIFFERENCE: in the kernel `__ptrace_link()` overwrites `parent`.
    pub tracer: Option<TaskRef>,
    /// First thread of its group.
    pub group_leader: TaskRef,
    /// Links of the parent's list of children.
    pub(crate) children: Children,
    /// The signal for its parent when it exits; -1: none, it reaps itself.
    pub exit_signal: i32,
    /// What it has left.
    pub exit_state: ExitState,
    /// What `wait4()` reports of it.
    pub exit_code: i32,

    // Under siglock.
    /// State that it shares with the threads of its group.
    pub signal: SignalRef,
    /// Signal handlers.
    pub sighand: SighandRef,
    /// Signals pending for this thread alone, a bit each.
    pub pending: u64,
    /// `TIF_SIGPENDING`: look at signals before going back to user space.
    pub sigpending: bool,

    /// Its kernel stack, of which only the memory is modelled.
    pub thread_info: Handle<ThreadInfo>,
}

/// Whether the C library wants the thread id written at its start and cleared at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TidPointers {
    /// `set_child_tid` is set.
    pub set: bool,
    /// `clear_child_tid` is set.
    pub clear: bool,
}

/// Children of a task, oldest last, and its place among its own siblings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Children {
    pub(crate) first: Option<TaskRef>,
    pub(crate) last: Option<TaskRef>,
    pub(crate) next: Option<TaskRef>,
    pub(crate) prev: Option<TaskRef>,
}

/// Models `struct thread_info` and the stack above it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadInfo;

/// Models `struct signal_struct`: what the threads of a group share.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Threads that have not been released.
    pub count: u32,
    /// Those of them that are not the leader.
    pub others: Vec<TaskRef>,
    /// Signals pending for the group, a bit each.
    pub shared_pending: u64,
    /// `SIGNAL_GROUP_EXIT`: the group is on its way out.
    pub group_exit: bool,
    /// Threads that still have to stop.
    pub group_stop_count: i32,
    /// Process group and session.
    pub pgrp: i32,
    /// See `pgrp`.
    pub session: i32,
    /// `RLIMIT_NPROC`: processes of the user.
    pub rlimit_nproc: Rlimit,
    /// Who waits for children of the group; `None` until somebody does, since most groups die childless.
    pub wait_chldexit: Option<Rc<WaitQueue>>,
    /// What an explorer calls it.
    pub(crate) object: Object,
}

impl Signal {
    /// That of a group of one.
    pub(crate) fn for_one(pgrp: i32, session: i32, rlimit_nproc: Rlimit) -> Signal {
        Signal {
            count: 1,
            others: Vec::new(),
            shared_pending: 0,
            group_exit: false,
            group_stop_count: 0,
            pgrp,
            session,
            rlimit_nproc,
            wait_chldexit: None,
            object: Object::named("signal_struct"),
        }
    }
}

/// Models `struct rlimit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rlimit {
    /// The soft limit, which is the one that counts.
    pub cur: u64,
    /// The hard limit, up to which the soft one may be raised.
    pub max: u64,
}

impl Rlimit {
    /// Both limits the same.
    #[must_use]
    pub const fn both(limit: u64) -> Rlimit {
        Rlimit { cur: limit, max: limit }
    }
}

/// Models `struct sighand_struct`: what becomes of a `SIGCHLD`.
#[derive(Clone, Debug)]
pub struct Sighand {
    /// Tasks that share it.
    pub count: u32,
    /// `SIGCHLD` is ignored, or `SA_NOCLDWAIT`: children reap themselves.
    pub ignores_sigchld: bool,
    /// What an explorer calls it.
    pub(crate) object: Object,
}

/// Models `struct user_struct`, with the group information that a fork shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// References.
    pub count: i32,
    /// Processes of this user.
    pub processes: i32,
    /// References to the group information.
    pub group_info_usage: i32,
    /// Whether this is the root structure.
    pub is_root: bool,
}

type Program = dyn FnOnce(Rc<System>, TaskRef) -> Pin<Box<dyn Future<Output = ()>>>;

/// What a new task does once it runs: the name of its lane, and its user space.
///
/// The kernel knows nothing of it; `do_fork()` carries it from who forks to [`wake_up_new_task`].
pub struct Work {
    name: LaneName,
    program: Box<Program>,
}

impl Work {
    /// A lane of this name that runs the program, which gets its own task.
    pub fn new<F>(name: impl Into<LaneName>, program: impl FnOnce(Rc<System>, TaskRef) -> F + 'static) -> Work
    where
        F: Future<Output = ()> + 'static,
    {
        Work { name: name.into(), program: Box::new(move |sys, me| Box::pin(program(sys, me))) }
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Work({})", self.name)
    }
}

/// Sets a new task free to run. From here on it may run, exit and be reaped at any time.
///
/// Models `kernel/sched.c:wake_up_new_task()`. Behind it stands a point, which is the caller's.
#[inline(always)]
pub fn wake_up_new_task(sys: &Rc<System>, p: TaskRef, clone_flags: u32, work: Option<Work>) {
    let pid = || sys.fixed(p, |t| t.pid);
    sys.m.call("wake_up_new_task", || vec![("pid", pid().into()), ("flags", clone_flags.into())], None);
    start(sys, p, work);
}

/// Gives a task its lane, if it has anything to do.
pub(crate) fn start(sys: &Rc<System>, p: TaskRef, work: Option<Work>) {
    let Some(Work { name, program }) = work else { return };
    let life = program(sys.clone(), p);
    if sys.facts.on() {
        start_noted(sys, p, name, life);
    } else {
        sys.m.spawn(name, life);
    }
}

/// The same, with a fact of the task's own first step.
#[cold]
fn start_noted(sys: &Rc<System>, p: TaskRef, name: LaneName, life: Pin<Box<dyn Future<Output = ()>>>) {
    let (s, pid) = (sys.clone(), sys.fixed(p, |t| t.pid));
    sys.m.spawn(name, async move {
        s.note(|| Fact::Acts { pid, what: Act::Runs });
        life.await;
    });
}

/// The next task on the CPU drops the reference that a dead one had on itself. Models `finish_task_switch()`.
pub(crate) fn finish_task_switch(sys: &System, prev: TaskRef) {
    put_task_struct(sys, prev, "finish_task_switch");
}
