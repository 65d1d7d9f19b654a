//! Booting: what runs before what. Models the order of `init/main.c` (Linux 2.6.11), as far as this path depends on it.

use std::rc::Rc;

use sim::{Errno, Handle};
use uevent::af_netlink::netlink_proto_init;
use uevent::connector::cn_init;
use uevent::kobject_uevent::kobject_uevent_init;

use crate::System;
use crate::design::Over;
use crate::exit::{WaitFor, wait4};
use crate::fork::{attach_pids, do_fork, flags, fork_init};
use crate::pid::pidmap_init;
use crate::sched::{
    Children, ExitState, Rlimit, SighandRef, Signal, SignalRef, State, Task, TaskRef, ThreadInfo, TidPointers, User,
    UserRef, Work, cap,
};
use crate::signal::SIGCHLD;

/// A task that no fork made, in static memory, as the boot, a scenario or a test wants it.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Its pid. Its bit in the bitmap is left alone; see [`mark_used`](crate::pid::mark_used).
    pub pid: i32,
    /// The task that forked it; `None`: itself, as with the idle task.
    pub parent: Option<TaskRef>,
    /// The first thread of its group, with which it shares signals and handlers; `None`: itself.
    pub leader: Option<TaskRef>,
    /// Whom its processes count for. The counters of the user are left alone.
    pub user: UserRef,
    /// Process group, unless it is a thread.
    pub pgrp: i32,
    /// Session, unless it is a thread.
    pub session: i32,
}

/// Puts a task into the process table: alive, without memory, capabilities and flags, which are for the caller to set.
///
/// Models a statically initialised `struct task_struct` (`INIT_TASK()`), and the hashing that `pidmap_init()` does for it.
/// Of the counters only `process_counts` moves.
pub fn place_task(sys: &System, placed: Placed) -> TaskRef {
    let Placed { pid, parent, leader, user, pgrp, session } = placed;
    let shared = || {
        let signal = sys.new_signal(Signal { count: 0, ..Signal::for_one(pgrp, session, Rlimit::default()) });
        (signal, sys.new_sighand(false, 0))
    };
    let (signal, sighand) = leader.map_or_else(shared, |leader| sys.fixed(leader, |t| (t.signal, t.sighand)));
    sys.signal(signal, |s| s.count += 1);
    sys.sighand_count(sighand, 1);
    let tgid = leader.map_or(pid, |leader| sys.fixed(leader, |t| t.tgid));
    let exit_signal = if leader.is_some() { -1 } else { SIGCHLD };
    let blank = blank(user, signal, sighand, sys.thread_infos.place_static(&sys.m, ThreadInfo));
    let task = sys.tasks.place_static(&sys.m, Task { pid, tgid, exit_signal, ..blank });
    let parent = parent.unwrap_or(task);
    sys.task(task, |t| (t.real_parent, t.parent, t.group_leader) = (parent, parent, leader.unwrap_or(task)));
    if parent != task {
        sys.adopt_child(parent, task);
    }
    if leader.is_some() {
        sys.signal(signal, |s| s.others.push(task));
    }
    attach_pids(sys, task, sys.fixed(task, |t| (t.pid, t.tgid, t.signal)));
    task
}

/// A task that has nothing but what every task has.
fn blank(user: UserRef, signal: SignalRef, sighand: SighandRef, thread_info: Handle<ThreadInfo>) -> Task {
    Task {
        pid: 0,
        tgid: 0,
        tid_pointers: TidPointers::default(),
        user,
        has_binfmt: false,
        caps: 0,
        flags: 0,
        mm: None,
        vfork_done: None,
        ptrace_message: 0,
        pdeath_signal: 0,
        usage: 2,
        state: State::Running,
        ptrace: 0,
        real_parent: Handle::dangling(),
        parent: Handle::dangling(),
        tracer: None,
        group_leader: Handle::dangling(),
        children: Children::default(),
        exit_signal: 0,
        exit_state: ExitState::Alive,
        exit_code: 0,
        signal,
        sighand,
        pending: 0,
        sigpending: false,
        thread_info,
    }
}

/// The first task: pid 0, its own parent. Models `init_task`.
pub fn init_task(sys: &System) -> TaskRef {
    let user = sys.new_user(User { count: 1, processes: 1, group_info_usage: 1, is_root: true });
    let task = place_task(sys, Placed { pid: 0, parent: None, leader: None, user, pgrp: 0, session: 0 });
    sys.task(task, |t| {
        t.caps = cap::NET_ADMIN | cap::SYS_ADMIN | cap::SYS_RESOURCE;
        t.exit_signal = 0;
    });
    sys.nr_threads.set(1);
    task
}

/// A kernel thread that sleeps for ever.
async fn kernel_thread(sys: &Rc<System>, current: TaskRef, work: Option<Work>) -> Result<TaskRef, Errno> {
    let flags = flags::VM | flags::UNTRACED | flags::FS | flags::FILES | flags::SIGHAND;
    let pid = do_fork(sys, current, flags, work).await?;
    Ok(sys.find_task_by_pid(pid).expect("a kernel thread that sleeps is there"))
}

/// Everything up to the first user process, in this order:
///
/// 1. `pidmap_init()`, `fork_init()`: the patch's object exists from here on;
/// 2. the idle task forks init (pid 1);
/// 3. init forks the first kernel threads: `ksoftirqd/0`, `events/0`, `khelper`, `kthread`;
/// 4. the initcalls: `netlink_proto_init()` (level 1), `kobject_uevent_init()` (level 2), and `cn_init()` if the design
///    goes over the connector.
///
/// The forks of 2 and 3 build their path and environment and get -EIO: there is no socket yet.
/// Returns init's task. DIFFERENCE: init's own steps run in the calling lane; one thread of each kind, on any machine.
///
/// # Errors
/// [`Errno::NoMem`] and [`Errno::Again`] if a fork fails. A socket that cannot be created is no error of the boot.
pub async fn boot(sys: &Rc<System>) -> Result<TaskRef, Errno> {
    let init = boot_early(sys).await?;
    netlink_proto_init(&sys.core).await;
    // do_initcalls() goes on, whatever an initcall answers.
    let _ = kobject_uevent_init(&sys.core).await;
    if sys.config.design.format.over() == Over::Connector {
        let _ = cn_init(&sys.core).await;
    }
    Ok(init)
}

/// The same without the initcalls: no netlink socket exists.
///
/// # Errors
/// Those of [`boot`].
pub async fn boot_early(sys: &Rc<System>) -> Result<TaskRef, Errno> {
    pidmap_init(&sys.m, &sys.pids).await;
    let swapper = init_task(sys);
    fork_init(sys, swapper, sys.config.mempages).await;
    let init = kernel_thread(sys, swapper, None).await?;
    sys.child_reaper.set(Some(init));
    for _ in ["ksoftirqd/0", "events/0", "khelper", "kthread"] {
        kernel_thread(sys, init, None).await?;
    }
    // run_init_process(): from here on init is a user process.
    let mm = sys.new_mm();
    sys.task(init, |t| (t.mm, t.has_binfmt) = (Some(mm), true));
    Ok(init)
}

/// What init does for the rest of its life: it releases orphans.
pub async fn reap_orphans(sys: Rc<System>, init: TaskRef) {
    while wait4(&sys, init, WaitFor::Any, true).await.is_ok() {}
}
