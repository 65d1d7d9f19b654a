//! Exit and wait. Models what of `kernel/exit.c` (Linux 2.6.11) decides when a child's structure goes away.

use std::rc::Rc;

use sim::Errno;
use sim::lock::Mode;
use sim::touch::Access;

use crate::System;
use crate::facts::{Act, Fact};
use crate::fork::{complete_vfork, free_task, mmput, put_sighand, put_signal};
use crate::ground;
use crate::pid::{GROWTH, detach_pids, give_back};
use crate::ptrace::__ptrace_unlink;
use crate::sched::{ExitState, SignalRef, State, Task, TaskRef, finish_task_switch, pf, start};
use crate::signal::{SIGCHLD, SIGSTOP, do_notify_parent, sigmask};

/// Drops a reference to a task; the last one frees it. Models `put_task_struct()`.
///
/// DIFFERENCE: the user and the group information are given back by `release_task()`, not here.
#[inline(always)]
pub fn put_task_struct(sys: &System, tsk: TaskRef, by: &'static str) {
    let (left, thread_info) = sys.part(tsk, ground::USAGE, |t| {
        t.usage -= 1;
        (t.usage, t.thread_info)
    });
    sys.m.call("put_task_struct", || vec![("by", by.into()), ("usage", left.into())], None);
    if left == 0 {
        free_task(sys, tsk, thread_info);
    }
}

/// Apart, so that a pid that has its entry is hashed by a store.
#[cold]
#[inline(never)]
fn first_of_pid(hash: &mut Vec<Option<TaskRef>>, pid: usize, task: TaskRef) {
    hash.resize((pid + 1).next_multiple_of(GROWTH), None);
    hash[pid] = Some(task);
}

impl System {
    /// Adds a task behind a parent's children. Needs `tasklist_lock`.
    #[inline(always)]
    pub(crate) fn adopt_child(&self, parent: TaskRef, child: TaskRef) {
        self.touch_children(parent, Access::Write);
        let last = self.part(parent, ground::FAMILY, |t| {
            let last = t.children.last.replace(child);
            if last.is_none() {
                t.children.first = Some(child);
            }
            last
        });
        // Whoever is nobody's child has no siblings, and an only child gets none.
        match last {
            Some(last) => {
                self.part(child, ground::FAMILY, |t| t.children.prev = Some(last));
                self.part(last, ground::FAMILY, |t| t.children.next = Some(child));
            }
            None => self.tasks.touch_part(&self.m, child, ground::FAMILY, Access::Write),
        }
    }

    /// Takes a task out of its parent's children. Models `REMOVE_LINKS()`; needs `tasklist_lock`.
    #[inline(always)]
    fn drop_child(&self, parent: TaskRef, child: TaskRef) {
        self.touch_children(parent, Access::Write);
        match self.part(child, ground::FAMILY, |t| (t.children.prev.take(), t.children.next.take())) {
            (None, None) => self.part(parent, ground::FAMILY, |t| (t.children.first, t.children.last) = (None, None)),
            (Some(prev), None) => {
                self.part(prev, ground::FAMILY, |t| t.children.next = None);
                self.part(parent, ground::FAMILY, |t| t.children.last = Some(prev));
            }
            (None, Some(next)) => {
                self.part(parent, ground::FAMILY, |t| t.children.first = Some(next));
                self.part(next, ground::FAMILY, |t| t.children.prev = None);
            }
            (Some(prev), Some(next)) => {
                self.part(prev, ground::FAMILY, |t| t.children.next = Some(next));
                self.part(next, ground::FAMILY, |t| t.children.prev = Some(prev));
            }
        }
    }

    /// Children of one task, oldest first; threads among them. Needs `tasklist_lock`.
    #[must_use]
    pub fn children(&self, parent: TaskRef) -> Vec<TaskRef> {
        let first = self.look_at(parent, ground::FAMILY, |t| t.children.first);
        std::iter::successors(first, |child| self.look_at(*child, ground::FAMILY, |t| t.children.next)).collect()
    }

    /// The task of a pid from now on, unless it has one: only 0 is shared, by the idle tasks.
    #[inline(always)]
    pub(crate) fn hash_pid(&self, pid: i32, task: TaskRef) {
        self.m.touch(ground::PID_HASH.nth(pid.cast_unsigned()), Access::Write);
        let mut hash = self.pid_hash.borrow_mut();
        let pid = usize::try_from(pid).expect("pids are not negative");
        match hash.get_mut(pid) {
            Some(hashed) => _ = hashed.get_or_insert(task),
            None => first_of_pid(&mut hash, pid, task),
        }
    }

    /// The pid is no longer this task's.
    #[inline(always)]
    fn unhash_pid(&self, pid: i32, task: TaskRef) {
        self.m.touch(ground::PID_HASH.nth(pid.cast_unsigned()), Access::Write);
        let mut hash = self.pid_hash.borrow_mut();
        hash[usize::try_from(pid).expect("pids are not negative")].take_if(|hashed| *hashed == task);
    }

    /// Whether a task is the last of its group that has not been released.
    #[inline(always)]
    fn thread_group_empty(&self, tsk: TaskRef) -> bool {
        let signal = self.fixed(tsk, |t| t.signal);
        self.signal_look(signal, |s| s.count == 1)
    }
}

/// What of a task the process table knows it by: its numbers, what its group shares, its parent.
type Hashed = (i32, i32, SignalRef, TaskRef);

fn hashed(t: &Task) -> Hashed {
    (t.pid, t.tgid, t.signal, t.real_parent)
}

/// Takes a task out of the pid hash; numbers that nobody uses any more are free. Models `__unhash_process()`.
///
/// False where it dies of an oops in `free_pidmap()`, which is the caller's: so nothing here is kept for an await.
#[must_use]
#[inline(always)]
fn __unhash_process(sys: &System, p: TaskRef, (pid, tgid, signal, parent): Hashed) -> bool {
    sys.m.touch(ground::NR_THREADS, Access::Add);
    sys.nr_threads.set(sys.nr_threads.get() - 1);
    let (pgrp, session) = sys.signal_fixed(signal, |s| (s.pgrp, s.session));
    let leads = pid == tgid;
    let [of_pid, of_tgid] = detach_pids(&sys.m, &sys.pids, [pid, tgid]);
    let [of_pgrp, of_session] = if leads { detach_pids(&sys.m, &sys.pids, [pgrp, session]) } else { [false, false] };
    for (nr, unused) in [(pid, of_pid), (tgid, of_tgid), (pgrp, of_pgrp), (session, of_session)] {
        if unused && !give_back(&sys.m, &sys.pids, nr) {
            return false;
        }
    }
    sys.unhash_pid(pid, p);
    sys.m.touch(ground::PROCESS_COUNTS, Access::Add);
    sys.process_counts.set(sys.process_counts.get() - i64::from(leads && pid != 0));
    sys.drop_child(parent, p);
    true
}

/// Takes a task that never runs out of the process table: the idle task of another CPU. Models `unhash_process()`.
pub(crate) async fn unhash_process(sys: &System, p: TaskRef) {
    sys.m.call("unhash_process", Vec::new, None);
    let held = sim::take!(sys.tasklist_lock, &sys.m, Mode::WRITE_IRQ);
    if !__unhash_process(sys, p, sys.look_at(p, ground::PARENT, hashed)) {
        match sys.m.oops("free_pidmap").await {}
    }
    drop(held);
}

/// Takes a dead task out of the process table and drops the table's reference; so may its leader, if that only waited
/// for its last thread.
///
/// Models `kernel/exit.c:release_task()` (Linux 2.6.11).
pub(crate) async fn release_task(sys: &System, p: TaskRef) {
    let mut next = Some(p);
    while let Some(p) = next.take() {
        let (user, leader, signal, sighand) = sys.fixed(p, |t| (t.user, t.group_leader, t.signal, t.sighand));
        let pid = || sys.fixed(p, |t| t.pid);
        sys.m.call("release_task", || vec![("pid", pid().into())], None);
        sys.note(|| Fact::Acts { pid: pid(), what: Act::Released });
        sys.user_add(user, |u| u.processes -= 1);
        let held = sim::take!(sys.tasklist_lock, &sys.m, Mode::WRITE_IRQ);
        let (traced, known) = sys.look_at(p, ground::TRACE, |t| (t.ptrace != 0, hashed(t)));
        if traced {
            __ptrace_unlink(sys, p);
        }
        sys.looks_also(p, ground::PARENT);
        if !__unhash_process(sys, p, known) {
            match sys.m.oops("free_pidmap").await {}
        }
        if leader != p {
            sys.signal(signal, |s| s.others.retain(|other| *other != p));
        }
        put_signal(sys, signal);
        put_sighand(sys, sighand);
        if leader != p {
            next = zap_leader(sys, leader);
        }
        drop(held);
        sys.user_add(user, |u| {
            u.count -= 1;
            u.group_info_usage -= 1;
        });
        put_task_struct(sys, p, "release_task");
    }
}

/// A leader that is a zombie tells its parent once its last thread is gone; it may have to be released, too.
///
/// Models the middle of `release_task()`. Needs `tasklist_lock`.
fn zap_leader(sys: &System, leader: TaskRef) -> Option<TaskRef> {
    let (state, signal) = sys.look_at(leader, ground::FAMILY, |t| (t.exit_state, t.exit_signal));
    if state != ExitState::Zombie || !sys.thread_group_empty(leader) {
        return None;
    }
    do_notify_parent(sys, leader, signal);
    // Its parent does not want to know, and nobody waits for a task without an exit signal.
    sys.look_at(leader, ground::FAMILY, |t| t.exit_signal == -1).then_some(leader)
}

/// Gives the children of a dying task to another thread of its group, else to init, and lets go of those it traces.
///
/// Models `forget_original_parent()`. Needs `tasklist_lock`. Returns zombies that only their tracer kept from releasing
/// themselves. DIFFERENCE: init may exit without a panic; its children then keep it as their parent.
fn forget_original_parent(sys: &System, father: TaskRef) -> Vec<TaskRef> {
    let mut to_release = Vec::new();
    for child in sys.ptrace_children(father) {
        __ptrace_unlink(sys, child);
        let (state, signal, parent) =
            sys.look_at(child, ground::FAMILY, |t| (t.exit_state, t.exit_signal, t.real_parent));
        sys.looks_also(child, ground::PARENT);
        if state == ExitState::Zombie && signal == -1 {
            to_release.push(child);
        } else if state == ExitState::Zombie && parent != father && sys.thread_group_empty(child) {
            do_notify_parent(sys, child, signal);
        }
    }
    let children = sys.children(father);
    if children.is_empty() {
        return to_release; // As nearly always: then nobody need look for a reaper.
    }
    let reaper = sys.next_living_thread(father).or(sys.child_reaper.get());
    if let Some(reaper) = reaper.filter(|reaper| *reaper != father) {
        for child in children {
            reparent_thread(sys, child, father, reaper);
        }
    }
    to_release
}

/// Moves a child from its dying parent to the new one, who is told of its death if the old one was.
///
/// Models `reparent_thread()`. Needs `tasklist_lock`. A zombie whose new parent ignores `SIGCHLD` stays one for ever:
/// nobody may wait for it any more, and nobody releases it, as in the kernel until 2.6.30.
fn reparent_thread(sys: &System, child: TaskRef, father: TaskRef, reaper: TaskRef) {
    let (pid, to) = (sys.fixed(child, |t| t.pid), sys.fixed(reaper, |t| t.pid));
    sys.m.call("reparent_thread", || vec![("pid", pid.into()), ("to", to.into())], None);
    sys.drop_child(father, child);
    sys.adopt_child(reaper, child);
    sys.part(child, ground::PARENT, |t| (t.real_parent, t.parent) = (reaper, reaper));
    let (state, signal) = sys.part(child, ground::FAMILY, |t| {
        if t.exit_signal != -1 {
            t.exit_signal = SIGCHLD; // Nobody shall slay init with a signal of its own choice.
        }
        (t.exit_state, t.exit_signal)
    });
    if state == ExitState::Zombie && signal != -1 && sys.thread_group_empty(child) {
        do_notify_parent(sys, child, signal);
    }
}

impl System {
    /// The next thread of the same group, in a ring, that is not dead.
    fn next_living_thread(&self, tsk: TaskRef) -> Option<TaskRef> {
        if self.thread_group_empty(tsk) {
            return None;
        }
        let threads = self.threads(tsk);
        let (before, from) = threads.split_at(threads.iter().position(|thread| *thread == tsk)?);
        let lives = |thread: &TaskRef| self.look_at(*thread, ground::FAMILY, |t| t.exit_state == ExitState::Alive);
        from[1..].iter().chain(before).copied().find(lives)
    }

    /// The threads of a group, its leader first.
    fn threads(&self, tsk: TaskRef) -> Vec<TaskRef> {
        let (leader, signal) = self.fixed(tsk, |t| (t.group_leader, t.signal));
        self.signal_look(signal, |s| std::iter::once(leader).chain(s.others.iter().copied()).collect())
    }
}

/// Tells everybody who must know that a task ended. Models `exit_notify()`.
async fn exit_notify(sys: &System, tsk: TaskRef) {
    let held = sim::take!(sys.tasklist_lock, &sys.m, Mode::WRITE_IRQ);
    let ptrace_dead = forget_original_parent(sys, tsk);
    let (exit_signal, ptrace, tracer, signal) =
        sys.look_at(tsk, ground::FAMILY, |t| (t.exit_signal, t.ptrace, t.tracer, t.signal));
    sys.looks_also(tsk, ground::TRACE);
    if exit_signal != -1 && sys.signal_look(signal, |s| s.count == 1) {
        // The exit signal means something to the real parent only.
        do_notify_parent(sys, tsk, if tracer.is_none() { exit_signal } else { SIGCHLD });
    } else if ptrace != 0 {
        do_notify_parent(sys, tsk, SIGCHLD);
    }
    let state = sys.part(tsk, ground::FAMILY, |t| {
        t.exit_state = if t.exit_signal == -1 && t.ptrace == 0 { ExitState::Dead } else { ExitState::Zombie };
        t.exit_state
    });
    drop(held);
    for dead in ptrace_dead {
        release_task(sys, dead).await;
    }
    // Nobody will wait for it: it releases itself.
    if state == ExitState::Dead {
        release_task(sys, tsk).await;
    }
}

/// Ends the calling task: it lets go of its memory, tells its parent, and leaves its CPU for ever.
///
/// Models `kernel/exit.c:do_exit()` (Linux 2.6.11), and the `finish_task_switch()` of whoever runs next.
///
/// A plain child stays a zombie, whose structure its parent's `wait4()` releases. A thread, and a child whose parent
/// ignores `SIGCHLD`, releases itself here: the structure is gone when the next task runs.
pub async fn do_exit(sys: &Rc<System>, tsk: TaskRef, code: i32) {
    let pid = || sys.fixed(tsk, |t| t.pid);
    sys.m.enter("do_exit", || vec![("pid", pid().into()), ("code", code.into())]);
    sys.note(|| Fact::Acts { pid: pid(), what: Act::Exits });
    sim::point!(sys.m);
    let (mm, vfork_done) = sys.part(tsk, ground::OWN, |t| {
        t.flags |= pf::EXITING;
        t.exit_code = code;
        (t.mm.take(), t.vfork_done.take())
    });
    // mm_release(), which has nothing else to do.
    complete_vfork(sys, vfork_done);
    if let Some(mm) = mm {
        mmput(sys, mm);
    }
    sys.m.calls(&["exit_sem", "exit_files", "exit_fs", "exit_namespace", "exit_thread", "exit_keys"]);
    exit_notify(sys, tsk).await;
    sys.m.leave("do_exit", None);
    sim::point!(sys.m);
    finish_task_switch(sys, tsk);
}

/// Which children `wait4()` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Any of them.
    Any,
    /// The one with this pid.
    Pid(i32),
}

/// What a look at the children found.
enum Found {
    Zombie(TaskRef),
    /// Somebody to wait for, who lives.
    Alive,
    Nobody,
}

/// Waits for a child to end, and releases it. Returns its pid and exit code.
///
/// Models `kernel/exit.c:do_wait()` (Linux 2.6.11). Children of the other threads of the group count, too: another
/// thread may release a child that this one has just forked.
/// `patient`: it may wait to the end of the run, as init does.
///
/// # Errors
/// [`Errno::Child`]: there is nobody to wait for.
///
/// # Differences from Linux
/// DIFFERENCE: children of any exit signal count, as with `__WALL`; no signal interrupts the wait.
pub async fn wait4(sys: &System, current: TaskRef, which: WaitFor, patient: bool) -> Result<(i32, i32), Errno> {
    let signal = sys.fixed(current, |t| t.signal);
    // Whoever tells of a child before there is a queue need not wake anybody: the look that follows finds it.
    let wait = sys.signal_fixed(signal, |s| s.wait_chldexit.get_or_insert_default().clone());
    loop {
        let held = sim::take!(sys.tasklist_lock, &sys.m, Mode::READ);
        match look(sys, current, which) {
            Found::Zombie(child) => {
                let reaped = wait_task_zombie(sys, child);
                drop(held);
                release_task(sys, child).await;
                return Ok(reaped);
            }
            Found::Nobody if !patient => return Err(Errno::Child),
            Found::Nobody | Found::Alive => drop(held),
        }
        let news = || {
            // Without the lock: whoever changes what it would find says so to the group.
            sys.touch_children(current, Access::Read);
            sys.m.untold(|| match look(sys, current, which) {
                Found::Zombie(_) => true,
                Found::Alive => false,
                Found::Nobody => !patient,
            })
        };
        wait.wait_event(&sys.m, "kernel/exit.c:do_wait()", patient, news).await;
    }
}

/// Claims a zombie, so that no other thread releases it, too. Models the start of `wait_task_zombie()`.
fn wait_task_zombie(sys: &System, child: TaskRef) -> (i32, i32) {
    let parent = sys.look_at(child, ground::PARENT, |t| t.real_parent);
    sys.touch_children(parent, Access::Write);
    let (pid, code) = sys.part(child, ground::FAMILY, |t| {
        t.exit_state = ExitState::Dead;
        (t.pid, t.exit_code)
    });
    sys.m.call("wait_task_zombie", || vec![("pid", pid.into())], None);
    (pid, code)
}

/// Looks for a zombie among the children of the group.
#[inline(always)]
fn look(sys: &System, current: TaskRef, which: WaitFor) -> Found {
    if sys.thread_group_empty(current) {
        return look_among(sys, current, which);
    }
    let mut found = Found::Nobody;
    for parent in sys.threads(current) {
        match look_among(sys, parent, which) {
            Found::Nobody => {}
            Found::Alive => found = Found::Alive,
            zombie @ Found::Zombie(_) => return zombie,
        }
    }
    found
}

/// Looks among the children of one thread. A leader that has exited is nobody's until its last thread is gone.
#[inline(always)]
fn look_among(sys: &System, parent: TaskRef, which: WaitFor) -> Found {
    let mut found = Found::Nobody;
    let mut next = sys.look_at(parent, ground::FAMILY, |t| t.children.first);
    while let Some(child) = next {
        let (pid, state, signal, sibling) =
            sys.look_at(child, ground::FAMILY, |t| (t.pid, t.exit_state, t.exit_signal, t.children.next));
        next = sibling;
        // Nobody waits for a thread, nor for a child that reaps itself: neither has an exit signal.
        let wanted = signal != -1 && (which == WaitFor::Any || which == WaitFor::Pid(pid));
        match state {
            ExitState::Zombie if wanted && sys.thread_group_empty(child) => return Found::Zombie(child),
            ExitState::Zombie | ExitState::Alive if wanted => found = Found::Alive,
            _ => {}
        }
    }
    found
}

/// Continues a task that was born stopped: it runs for the first time. Models what `SIGCONT` does to it.
pub async fn sigcont(sys: &Rc<System>, p: TaskRef) {
    let stopped = sys.part(p, ground::STATE, |t| std::mem::replace(&mut t.state, State::Running) == State::Stopped);
    if stopped {
        let at = sys.newborn.borrow().iter().position(|(newborn, _)| *newborn == p);
        let work = at.map(|at| sys.newborn.borrow_mut().remove(at).1);
        sys.part(p, ground::STATE, |t| {
            t.pending &= !sigmask(SIGSTOP);
            t.sigpending = false;
        });
        start(sys, p, work);
        sim::point!(sys.m);
    }
}
