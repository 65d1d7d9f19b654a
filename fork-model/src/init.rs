//! Booting: what runs before what. Models the order of `init/main.c` (Linux 2.6.11), as far as this path depends on it.

use std::rc::Rc;

use sim::lock::WaitQueue;
use sim::{Errno, Handle};
use uevent::af_netlink::netlink_proto_init;
use uevent::kobject_uevent::kobject_uevent_init;

use crate::System;
use crate::exit::{WaitFor, wait4};
use crate::fork::{do_fork, flags, fork_init};
use crate::pid::pidmap_init;
use crate::sched::{
    Children, ExitState, Sighand, Signal, State, Task, TaskRef, ThreadInfo, TidPointers, User, Work, cap,
};

/// The first task, which no fork made: pid 0, in static memory. Models `init_task`.
pub fn init_task(sys: &System) -> TaskRef {
    let user = sys.new_user(User { count: 1, processes: 1, group_info_usage: 1, is_root: true });
    let signal = sys.new_signal(Signal {
        count: 1,
        others: Vec::new(),
        shared_pending: 0,
        group_exit: false,
        group_stop_count: 0,
        pgrp: 0,
        session: 0,
        rlimit_nproc: 0,
        wait_chldexit: Rc::new(WaitQueue::default()),
    });
    let sighand = sys.new_sighand(Sighand { count: 1, ignores_sigchld: false });
    let task = sys.tasks.place_static(
        &sys.m,
        Task {
            pid: 0,
            tgid: 0,
            tid_pointers: TidPointers::default(),
            user,
            has_binfmt: false,
            caps: cap::NET_ADMIN | cap::SYS_ADMIN | cap::SYS_RESOURCE,
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
            thread_info: sys.thread_infos.place_static(&sys.m, ThreadInfo),
        },
    );
    // Its own parent, and its own leader.
    sys.task(task, |t| (t.real_parent, t.parent, t.group_leader) = (task, task, task));
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
/// 4. the initcalls: `netlink_proto_init()` (level 1), then `kobject_uevent_init()` (level 2).
///
/// The forks of 2 and 3 build their path and environment and get -EIO: there is no socket yet (semantics, item 4).
/// Returns init's task. DIFFERENCE: init's own steps run in the calling lane; one thread of each kind, on any machine.
///
/// # Errors
/// [`Errno::NoMem`] and [`Errno::Again`] if a fork fails. A socket that cannot be created is no error of the boot.
pub async fn boot(sys: &Rc<System>) -> Result<TaskRef, Errno> {
    let init = boot_early(sys).await?;
    netlink_proto_init(&sys.core).await;
    // do_initcalls() goes on, whatever an initcall answers.
    let _ = kobject_uevent_init(&sys.core).await;
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
