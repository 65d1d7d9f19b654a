//! Fork. Models `kernel/fork.c` (Linux 2.6.11) with the patch of 11 February 2005, in its order.

use std::rc::Rc;

use sim::lock::{Completion, Mode};
use sim::touch::Access;
use sim::{Errno, Gfp, Handle, Site};
use uevent::Fix;
use uevent::kobject::{kobject_init, kobject_set_name};
use uevent::kobject_uevent::kobject_fork;

use crate::System;
use crate::exit::unhash_process;
use crate::facts::{Act, Fact};
use crate::ground;
use crate::hook::{self, Place};
use crate::pid::{alloc_pidmap, attach_pid, free_pidmap};
use crate::ptrace::{
    __ptrace_link, PTRACE_EVENT_CLONE, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_VFORK_DONE,
};
use crate::sched::{
    Children, ExitState, Rlimit, SignalRef, State, Task, TaskRef, ThreadInfo, TidPointers, Work, pf, pt,
    wake_up_new_task,
};
use crate::signal::{SIGCHLD, SIGKILL, SIGSTOP, ptrace_notify, sigmask};
use crate::tree::Fork;

mod bad_fork;
pub mod flags;
mod limits;
mod share;

use bad_fork::{BadFork, unwind};
use limits::{charge_user, check_flags};
pub(crate) use share::{complete_vfork, mm_release, mmput, put_sighand, put_signal};
use share::{copy_mm, copy_sighand, copy_signal};

/// `alloc_task_struct`: the task itself.
pub const TASK_STRUCT: Site = Site("alloc_task_struct");
/// `alloc_thread_info`: its kernel stack.
pub const THREAD_INFO: Site = Site("alloc_thread_info");
const SIZEOF_TASK_STRUCT: u32 = 1712;
/// Bytes of a kernel stack.
pub const THREAD_SIZE: u32 = 8192;
const PAGE_SIZE: u64 = 4096;

/// Models `free_task()`, when the last reference is gone.
#[inline(always)]
pub(crate) fn free_task(sys: &System, tsk: TaskRef, thread_info: Handle<ThreadInfo>) {
    sys.m.call("free_task", Vec::new, None);
    sys.m.call("free_thread_info", Vec::new, None);
    sys.thread_infos.free(&sys.m, thread_info, "free_thread_info");
    free_task_struct(sys, tsk);
}

#[inline(always)]
fn free_task_struct(sys: &System, tsk: TaskRef) {
    sys.m.call("free_task_struct", Vec::new, None);
    sys.tasks.free(&sys.m, tsk, "free_task_struct");
}

/// Fixes the limits of tasks from the pages of memory, and names the patch's static object.
///
/// Models `fork_init()`: eight kernel stacks for each eighth of memory, at least 20 tasks; half of that for each user.
/// The object is never added anywhere: `/fork_kobj` is no path of sysfs.
pub async fn fork_init(sys: &System, init_task: TaskRef, mempages: u64) {
    let max_threads = (mempages / (8 * u64::from(THREAD_SIZE) / PAGE_SIZE)).max(20);
    sys.max_threads.set(i64::try_from(max_threads).expect("fewer tasks than 2^63"));
    let signal = sys.fixed(init_task, |t| t.signal);
    sys.signal(signal, |s| s.rlimit_nproc = Rlimit::both(max_threads / 2));
    let kobj = sys.core.new_kobject();
    kobject_init(&sys.core, kobj);
    let named = kobject_set_name(&sys.core, kobj, b"fork_kobj", Vec::new).await;
    named.expect("nine letters fit into the object");
    sys.fork_kobj.set(Some(kobj));
}

/// A copy of the caller with two references: its own, and the process table's.
///
/// Models `dup_task_struct()`.
///
/// # Errors
/// [`Errno::NoMem`]: [`TASK_STRUCT`] or [`THREAD_INFO`] failed; nothing is left behind.
async fn dup_task_struct(sys: &System, orig: TaskRef) -> Result<TaskRef, Errno> {
    sys.m.call("dup_task_struct", Vec::new, None);
    sys.m.call("prepare_to_copy", Vec::new, None);
    // Of what others may change only its own fields and `ptrace` are kept; the rest is set before anybody sees it.
    let copy = || {
        sys.look_at(orig, ground::OWN, |t| Task {
            usage: 2,
            vfork_done: None,
            tracer: None,
            children: Children::default(),
            exit_state: ExitState::Alive,
            state: State::Running,
            ..*t
        })
    };
    let allocated = sim::alloc!(sys.tasks, &sys.m, TASK_STRUCT, SIZEOF_TASK_STRUCT, Gfp::KERNEL, copy);
    let tsk = told(sys, "alloc_task_struct", allocated)?;
    let step = sys.m.step();
    let allocated = sim::alloc!(sys.thread_infos, &sys.m, THREAD_INFO, THREAD_SIZE, Gfp::KERNEL, || ThreadInfo);
    match told(sys, "alloc_thread_info", allocated) {
        Ok(thread_info) => {
            // The kernel copies once both are there: others may have changed the caller while it slept for the second.
            if sys.m.step() > step + 1 {
                let copy = copy();
                sys.task(tsk, |t| *t = copy);
            }
            sys.looks_also(orig, ground::TRACE);
            sys.task(tsk, |t| t.thread_info = thread_info);
        }
        Err(error) => {
            free_task_struct(sys, tsk);
            return Err(error);
        }
    }
    Ok(tsk)
}

fn told<T>(sys: &System, func: &'static str, allocated: Option<T>) -> Result<T, Errno> {
    let result = allocated.ok_or(Errno::NoMem);
    sys.m.call(func, Vec::new, Some(if result.is_ok() { 0 } else { Errno::NoMem.rc() }));
    result
}

#[inline(always)]
fn try_module_get(sys: &System, func: &'static str) -> bool {
    let got = sys.helper_failure(func).is_none();
    sys.m.call(func, Vec::new, Some(got.into()));
    got
}

/// Stores the child's pid in the parent's memory, early: a later failure leaves it there.
fn put_user(sys: &System, pid: i32) -> Result<(), Errno> {
    let result = sys.helper_failure("put_user").map_or(Ok(()), Err);
    let rc = sim::errno::Rc::rc(&result);
    sys.m.call("put_user(parent_tidptr)", || vec![("value", pid.into())], Some(rc));
    result
}

/// What the kernel sets in the copy before it copies anything else.
fn reset_fields(sys: &System, p: &mut Task, clone_flags: u32, pid: i32) {
    sys.m.call("copy_flags", Vec::new, None);
    p.flags = (p.flags & !pf::SUPERPRIV) | pf::FORKNOEXEC;
    if clone_flags & flags::PTRACE == 0 {
        p.ptrace = 0;
    }
    p.pid = pid;
}

/// Copies one thing after the other. On an error: from which label to unwind.
fn copy_all(sys: &System, p: &mut Task, clone_flags: u32, pid: i32) -> Result<(), (Errno, BadFork)> {
    if clone_flags & flags::PARENT_SETTID != 0 {
        put_user(sys, pid).map_err(|e| (e, BadFork::Cleanup))?;
    }
    sys.m.call("clear_tsk_thread_flag", || vec![("arg", "TIF_SIGPENDING".into())], None);
    sys.m.calls(&["init_sigpending", "init_timer", "acct_clear_integrals", "do_posix_clock_monotonic_gettime"]);
    p.pending = 0;
    p.sigpending = false;
    if sys.config.numa {
        // A failed copy leaves no policy: mpol_free is skipped.
        sys.helper("mpol_copy").map_err(|e| (e, BadFork::Cleanup))?;
    }
    if clone_flags & flags::THREAD == 0 {
        p.tgid = pid;
    }
    sys.helpers(&[
        ("security_task_alloc", BadFork::Policy),
        ("audit_alloc", BadFork::Security),
        ("copy_semundo", BadFork::Audit),
        ("copy_files", BadFork::Semundo),
        ("copy_fs", BadFork::Files),
    ])?;
    copy_sighand(sys, clone_flags, p).map_err(|e| (e, BadFork::Fs))?;
    copy_signal(sys, clone_flags, p).map_err(|e| (e, BadFork::Sighand))?;
    copy_mm(sys, clone_flags, p).map_err(|e| (e, BadFork::Signal))?;
    sys.helpers(&[("copy_keys", BadFork::Mm), ("copy_namespace", BadFork::Keys), ("copy_thread", BadFork::Namespace)])
}

/// Makes the child known: parents, thread group, lists, counters. All under `tasklist_lock`.
async fn link(sys: &System, current: TaskRef, p: TaskRef, clone_flags: u32, pid: i32) -> Result<(), Errno> {
    let held = sim::take!(sys.tasklist_lock, &sys.m, Mode::WRITE_IRQ);
    sys.m.call("set_task_cpu", Vec::new, None);
    let (pending, caller_parent, caller_leader, signal) =
        sys.look_at(current, ground::STATE, |t| (t.pending, t.real_parent, t.group_leader, t.signal));
    sys.looks_also(current, ground::PARENT);
    // Only the caller's own pending signals are looked at, not those of its group.
    if pending & sigmask(SIGKILL) != 0 {
        return Err(Errno::Intr);
    }
    let parent = if clone_flags & (flags::PARENT | flags::THREAD) != 0 { caller_parent } else { current };
    let (traced, numbers) = sys.task(p, |t| {
        (t.real_parent, t.parent) = (parent, parent);
        (t.ptrace & pt::PTRACED != 0, (t.pid, t.tgid, t.signal))
    });
    if clone_flags & flags::THREAD != 0 {
        let siglock = sys.siglock.take(&sys.m, Mode::SPIN).await;
        if sys.signal_look(signal, |s| s.group_exit) {
            return Err(Errno::Again);
        }
        sys.task(p, |t| t.group_leader = caller_leader);
        if sys.signal_look(signal, |s| s.group_stop_count > 0) {
            sys.signal(signal, |s| s.group_stop_count += 1);
            set_sigpending(sys, p);
        }
        sys.signal(signal, |s| s.others.push(p));
        drop(siglock);
    }
    set_links(sys, p, parent);
    if traced {
        let tracer = sys.look_at(current, ground::TRACE, |t| t.tracer.unwrap_or(t.parent));
        __ptrace_link(sys, p, tracer);
    }
    attach_pids(sys, p, numbers);
    sys.m.touch(ground::NR_THREADS, Access::Add);
    sys.nr_threads.set(sys.nr_threads.get() + 1);
    sys.m.touch(ground::TOTAL_FORKS, Access::Add);
    sys.total_forks.set(sys.total_forks.get() + 1);
    if let Some(truth) = &mut *sys.truth.borrow_mut() {
        truth.fork(pid, Fork { parent: sys.fixed(parent, |t| t.tgid), is_thread: clone_flags & flags::THREAD != 0 });
    }
    sys.note(|| Fact::forked(sys, (current, parent, p), clone_flags));
    let seen = || hook::Fork { sys, current, p, pid, is_thread: clone_flags & flags::THREAD != 0 };
    if sys.place == Place::Locked {
        hook::tell(seen()).await;
    }
    drop(held);
    if sys.place == Place::BeforeWake {
        hook::tell(seen()).await;
    }
    Ok(())
}

fn set_sigpending(sys: &System, p: TaskRef) {
    sys.m.call("set_tsk_thread_flag", || vec![("arg", "TIF_SIGPENDING".into())], None);
    sys.part(p, ground::STATE, |t| t.sigpending = true);
}

/// Puts a task behind its parent's other children. Models `SET_LINKS()`.
#[inline(always)]
fn set_links(sys: &System, p: TaskRef, parent: TaskRef) {
    let args = || {
        let leads = sys.fixed(p, |t| t.pid == t.tgid);
        vec![("on_task_list", leads.into()), ("parent_pid", sys.fixed(parent, |t| t.pid).into())]
    };
    sys.m.call("SET_LINKS", args, None);
    sys.adopt_child(parent, p);
}

/// Enters a task under its numbers; a process counts. Needs `tasklist_lock`.
#[inline(always)]
pub(crate) fn attach_pids(sys: &System, p: TaskRef, (pid, tgid, signal): (i32, i32, SignalRef)) {
    let users = &mut *sys.pids.users.borrow_mut();
    attach_pid(&sys.m, users, "PIDTYPE_PID", pid);
    attach_pid(&sys.m, users, "PIDTYPE_TGID", tgid);
    sys.hash_pid(pid, p);
    if pid == tgid {
        let (pgrp, session) = sys.signal_fixed(signal, |s| (s.pgrp, s.session));
        attach_pid(&sys.m, users, "PIDTYPE_PGID", pgrp);
        attach_pid(&sys.m, users, "PIDTYPE_SID", session);
        sys.m.touch(ground::PROCESS_COUNTS, Access::Add);
        sys.process_counts.set(sys.process_counts.get() + i64::from(pid != 0));
    }
}

/// Makes a copy of the caller, which does not run yet.
///
/// Models `kernel/fork.c:copy_process()` (Linux 2.6.11).
///
/// # Errors
/// - [`Errno::Inval`]: flags that make no sense; nothing was called.
/// - [`Errno::Again`]: too many processes of the user or of the system, a module going away, or a thread of a group
///   that exits.
/// - [`Errno::NoMem`]: [`TASK_STRUCT`], [`THREAD_INFO`].
/// - [`Errno::Intr`]: the caller has a `SIGKILL` pending.
/// - what a helper answers; see [`System::fail_helper`].
///
/// On every error all that was taken is given back, but for the pid, which is the caller's.
pub async fn copy_process(sys: &System, current: TaskRef, clone_flags: u32, pid: i32) -> Result<TaskRef, Errno> {
    sys.m.enter("copy_process", || vec![("flags", clone_flags.into()), ("pid", pid.into())]);
    let result = do_copy_process(sys, current, clone_flags, pid).await;
    sys.m.leave("copy_process", Some(result.as_ref().map_or_else(|e| e.rc(), |_| 0)));
    result
}

async fn do_copy_process(sys: &System, current: TaskRef, clone_flags: u32, pid: i32) -> Result<TaskRef, Errno> {
    check_flags(clone_flags)?;
    // The parent would wait for a child that nobody wakes: experiment G8.
    let both = flags::VFORK | flags::STOPPED;
    if clone_flags & both == both && sys.config.core.fixes.has(Fix::StoppedVfork) {
        return Err(Errno::Inval);
    }
    sys.helper("security_task_create")?;
    let p = dup_task_struct(sys, current).await?;
    let made = match copy_into(sys, current, p, clone_flags, pid) {
        Ok(()) => link(sys, current, p, clone_flags, pid).await.map_err(|error| (error, BadFork::Namespace)),
        Err(failed) => Err(failed),
    };
    made.map_err(|(error, label)| {
        unwind(sys, p, label);
        error
    })?;
    Ok(p)
}

/// Everything between the copy of the structure and its links.
#[inline(always)]
fn copy_into(sys: &System, current: TaskRef, p: TaskRef, clone_flags: u32, pid: i32) -> Result<(), (Errno, BadFork)> {
    charge_user(sys, current, p)?;
    let (threads, most) = (sys.nr_threads.get(), sys.max_threads.get());
    if threads + ground::FAR > most {
        sys.m.touch(ground::NR_THREADS, Access::Read);
    }
    if threads >= most {
        return Err((Errno::Again, BadFork::Count));
    }
    // Until it is linked, nobody else knows the child: its caller fills it in, without a lock and without sleeping.
    sys.task(p, |t| {
        t.group_leader = p;
        fill_in(sys, t, clone_flags, pid)
    })
}

/// What the child owns or shares, and is told: all of `copy_process()` that needs the child alone.
#[inline]
fn fill_in(sys: &System, p: &mut Task, clone_flags: u32, pid: i32) -> Result<(), (Errno, BadFork)> {
    if !try_module_get(sys, "try_module_get(exec_domain)") {
        return Err((Errno::Again, BadFork::Count));
    }
    if p.has_binfmt && !try_module_get(sys, "try_module_get(binfmt)") {
        return Err((Errno::Again, BadFork::PutDomain));
    }
    reset_fields(sys, p, clone_flags, pid);
    copy_all(sys, p, clone_flags, pid)?;
    p.tid_pointers =
        TidPointers { set: clone_flags & flags::CHILD_SETTID != 0, clear: clone_flags & flags::CHILD_CLEARTID != 0 };
    sys.m.call("clear_tsk_thread_flag", || vec![("arg", "TIF_SYSCALL_TRACE".into())], None);
    p.exit_signal = if clone_flags & flags::THREAD != 0 { -1 } else { (clone_flags & flags::CSIGNAL).cast_signed() };
    p.pdeath_signal = 0;
    p.exit_state = ExitState::Alive;
    sys.m.call("sched_fork", Vec::new, None);
    Ok(())
}

/// Makes the idle task of another CPU: no pid, no event. Models `fork_idle()`.
///
/// # Errors
/// Those of [`copy_process`].
pub async fn fork_idle(sys: &System, current: TaskRef) -> Result<TaskRef, Errno> {
    let p = copy_process(sys, current, flags::VM, 0).await?;
    sys.m.call("init_idle", Vec::new, None);
    unhash_process(sys, p).await;
    Ok(p)
}

/// Which event a tracer of the caller is told of; 0: none. Models `fork_traceflag()`.
fn fork_traceflag(sys: &System, current: TaskRef, clone_flags: u32) -> i64 {
    let ptrace = sys.look_at(current, ground::TRACE, |t| t.ptrace);
    let wants = |option: u32, event: i64| if ptrace & option != 0 { event } else { 0 };
    let event = if clone_flags & flags::UNTRACED != 0 {
        0
    } else if clone_flags & flags::VFORK != 0 {
        wants(pt::TRACE_VFORK, PTRACE_EVENT_VFORK)
    } else if clone_flags & flags::CSIGNAL != SIGCHLD.cast_unsigned() {
        wants(pt::TRACE_CLONE, PTRACE_EVENT_CLONE)
    } else {
        wants(pt::TRACE_FORK, PTRACE_EVENT_FORK)
    };
    sys.m.call("fork_traceflag", Vec::new, Some(event));
    event
}

/// Forks: copies the caller, sets the copy free to run, waits for it if asked to, and tells user space.
///
/// Models `kernel/fork.c:do_fork()` (Linux 2.6.11) with the patch's hook. `work` is what the child does once it runs;
/// the kernel does not know it.
///
/// The error-free path:
/// - takes a pid, copies the process;
/// - sets it free to run ([`wake_up_new_task`]): **from here on the child may exit and be reaped, and the parent must
///   not look at it any more**; see `parent_reads_child_after_autoreap`;
/// - with `CLONE_VFORK`, waits until the child has let go of the memory;
/// - returns the pid.
///
/// The hook is called on the way, at its [`Place`]; as posted, at the end.
///
/// # Errors
/// - [`Errno::Again`]: no pid. The number is not used up.
/// - those of [`copy_process`]. The number is free again, but used up: the next fork gets a higher one (G38).
///
/// # Violations
/// [`sim::Rule::UseAfterFree`] with [`Hook::End`](crate::Hook::End) and [`Hook::AfterWake`](crate::Hook::AfterWake), if the
/// child was released before the hook reads `p->pid` (property P18).
pub async fn do_fork(sys: &Rc<System>, current: TaskRef, clone_flags: u32, work: Option<Work>) -> Result<i32, Errno> {
    sys.m.enter("do_fork", || vec![("flags", clone_flags.into())]);
    let result = fork_and_tell(sys, current, clone_flags, work).await;
    sys.m.leave("do_fork", Some(sim::errno::Rc::rc(&result)));
    result
}

async fn fork_and_tell(sys: &Rc<System>, current: TaskRef, flags: u32, work: Option<Work>) -> Result<i32, Errno> {
    let last_pid = sys.pids.last_pid.get();
    sys.note(|| Fact::Acts { pid: sys.fixed(current, |t| t.pid), what: Act::Forks });
    let pid = alloc_pidmap(&sys.m, &sys.pids).await;
    sys.m.call("alloc_pidmap", Vec::new, Some(pid.map_or(-1, i64::from)));
    let pid = pid.ok_or(Errno::Again)?;
    let mut clone_flags = flags;
    let mut trace = 0;
    if sys.look_at(current, ground::TRACE, |t| t.ptrace) != 0 {
        trace = fork_traceflag(sys, current, clone_flags);
        if trace != 0 {
            clone_flags |= flags::PTRACE;
        }
    }
    let p = match copy_process(sys, current, clone_flags, pid).await {
        Ok(p) => p,
        Err(error) => {
            sys.m.call("free_pidmap", || vec![("pid", pid.into())], None);
            free_pidmap(&sys.m, &sys.pids, pid).await;
            // The number is free and is not used again for a whole round: experiment G38.
            if sys.config.core.fixes.has(Fix::FailedFork) && sys.pids.last_pid.get() == pid {
                sys.m.touch(ground::LAST_PID, Access::Write);
                sys.pids.last_pid.set(last_pid);
            }
            return Err(error);
        }
    };
    let vfork = (clone_flags & flags::VFORK != 0).then(|| {
        sys.m.call("init_completion(vfork)", Vec::new, None);
        let vfork = Rc::new(Completion::of(sys.m.new_object(ground::VFORK, pid.cast_unsigned())));
        sys.part(p, ground::OWN, |t| t.vfork_done = Some(vfork.clone()));
        vfork
    });
    if set_free(sys, p, clone_flags, work) {
        sim::point!(sys.m);
    }
    // From here on the child may have exited and been reaped: p must not be read. See parent_reads_child_after_autoreap.
    let seen = || hook::Fork { sys, current, p, pid, is_thread: clone_flags & flags::THREAD != 0 };
    if sys.place == Place::AfterWake {
        hook::tell(seen()).await;
    }
    if trace != 0 {
        sys.part(current, ground::OWN, |t| t.ptrace_message = pid.into());
        ptrace_notify(sys, current, trace);
    }
    if let Some(vfork) = vfork {
        sys.m.call("wait_for_completion(vfork)", Vec::new, None);
        vfork.wait_for_completion(&sys.m).await;
        if sys.look_at(current, ground::TRACE, |t| t.ptrace & pt::TRACE_VFORK_DONE != 0) {
            ptrace_notify(sys, current, PTRACE_EVENT_VFORK_DONE);
        }
    }
    if sys.posted && !sys.facts.on() {
        let child = hook::posted_child(sys, p, pid);
        let parent = sys.task(current, |t| t.pid);
        let fork_kobj = sys.fork_kobj.get().expect("fork_init() runs before the first fork");
        kobject_fork(&sys.core, fork_kobj, parent, child).await;
    } else if sys.place == Place::End {
        hook::tell(seen()).await;
    }
    Ok(pid)
}

/// Lets the child run, unless it is to be born stopped. True if it may run, which is a point.
fn set_free(sys: &Rc<System>, p: TaskRef, clone_flags: u32, work: Option<Work>) -> bool {
    let stopped = clone_flags & flags::STOPPED != 0;
    if stopped || sys.look_at(p, ground::TRACE, |t| t.ptrace & pt::PTRACED != 0) {
        sys.m.call("sigaddset(SIGSTOP)", Vec::new, None);
        sys.part(p, ground::STATE, |t| t.pending |= sigmask(SIGSTOP));
        set_sigpending(sys, p);
    }
    if stopped {
        sys.part(p, ground::STATE, |t| t.state = State::Stopped);
        if let Some(work) = work {
            sys.newborn.borrow_mut().push((p, work));
        }
    } else {
        wake_up_new_task(sys, p, clone_flags, work);
    }
    !stopped
}
