//! What a new task shares with its maker or copies: memory, signal handlers, signals. And how it lets go of them.

use std::rc::Rc;

use sim::Errno;
use sim::lock::Completion;
use sim::touch::Access;

use crate::System;
use crate::fork::flags;
use crate::ground;
use crate::sched::{MmRef, SighandRef, Signal, SignalRef, Task, TaskRef};

/// One user of a memory map less. Models `mmput()`.
#[inline(always)]
pub(crate) fn mmput(sys: &System, mm: MmRef) {
    let mut mms = sys.mms.borrow_mut();
    let users = &mut mms[mm.0 as usize];
    *users -= 1;
    let last = *users == 0;
    if last {
        mms.remove(mm.0 as usize);
    }
    sys.m.call(if last { "mmput(own)" } else { "mmput(shared)" }, Vec::new, None);
}

/// The task lets go of its memory, by exec or exit: a vfork parent may go on. Models `mm_release()`.
#[inline(always)]
pub(crate) fn mm_release(sys: &System, tsk: TaskRef) {
    let vfork_done = sys.part(tsk, ground::OWN, |t| t.vfork_done.take());
    complete_vfork(sys, vfork_done);
}

/// The part of [`mm_release`] that others hear of.
#[inline(always)]
pub(crate) fn complete_vfork(sys: &System, vfork_done: Option<Rc<Completion>>) {
    if let Some(vfork_done) = vfork_done {
        sys.m.call("complete(vfork)", Vec::new, None);
        vfork_done.complete(&sys.m);
    }
}

/// Models `copy_mm()`: none for a kernel thread, shared with `CLONE_VM`, else a copy.
#[inline(always)]
pub(super) fn copy_mm(sys: &System, clone_flags: u32, tsk: &mut Task) -> Result<(), Errno> {
    let old = tsk.mm.take();
    sys.helper("copy_mm")?;
    tsk.mm = old.map(|old| {
        if clone_flags & flags::VM == 0 {
            return sys.new_mm();
        }
        sys.mms.borrow_mut()[old.0 as usize] += 1;
        old
    });
    Ok(())
}

/// Models `copy_sighand()`: shared with `CLONE_SIGHAND` or `CLONE_THREAD`, else a copy.
#[inline(always)]
pub(super) fn copy_sighand(sys: &System, clone_flags: u32, tsk: &mut Task) -> Result<(), Errno> {
    sys.helper("copy_sighand")?;
    if clone_flags & (flags::SIGHAND | flags::THREAD) != 0 {
        sys.sighand_count(tsk.sighand, 1);
        return Ok(());
    }
    let ignores_sigchld = sys.ignores_sigchld(tsk.sighand);
    tsk.sighand = sys.new_sighand(ignores_sigchld, 1);
    Ok(())
}

/// Models `copy_signal()`: shared with `CLONE_THREAD`, else new, with the caller's limits and groups.
#[inline(always)]
pub(super) fn copy_signal(sys: &System, clone_flags: u32, tsk: &mut Task) -> Result<(), Errno> {
    sys.helper("copy_signal")?;
    if clone_flags & flags::THREAD != 0 {
        sys.signal(tsk.signal, |s| s.count += 1);
        return Ok(());
    }
    let (pgrp, session, rlimit_nproc) = sys.signal_fixed(tsk.signal, |s| (s.pgrp, s.session, s.rlimit_nproc));
    tsk.signal = sys.new_signal(Signal::for_one(pgrp, session, rlimit_nproc));
    Ok(())
}

/// One user of a `signal_struct` less. Models the end of `__exit_signal()`.
#[inline(always)]
pub(crate) fn put_signal(sys: &System, signal: SignalRef) {
    let mut signals = sys.signals.borrow_mut();
    let shared = &mut signals[signal.0 as usize];
    sys.m.touch(shared.object, Access::Write);
    shared.count -= 1;
    if shared.count == 0 {
        signals.remove(signal.0 as usize);
    }
}

/// One user of a `sighand_struct` less. Models `__exit_sighand()`.
#[inline(always)]
pub(crate) fn put_sighand(sys: &System, sighand: SighandRef) {
    let mut sighands = sys.sighands.borrow_mut();
    let shared = &mut sighands[sighand.0 as usize];
    shared.count -= 1;
    if shared.count == 0 {
        sighands.remove(sighand.0 as usize);
    }
}
