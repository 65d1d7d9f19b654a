//! What a fork is refused for before anything is copied: flags that make no sense, too many processes.

use sim::Errno;
use uevent::Fix;

use crate::System;
use crate::fork::bad_fork::BadFork;
use crate::fork::flags;
use crate::ground;
use crate::sched::{TaskRef, cap, pf};

/// Asks for a capability; a yes is remembered on the caller. Models `capable()`.
fn capable(sys: &System, current: TaskRef, name: &'static str, bit: u32) -> bool {
    let yes = sys.part(current, ground::OWN, |t| {
        let yes = t.caps & bit != 0;
        t.flags |= if yes { pf::SUPERPRIV } else { 0 };
        yes
    });
    sys.m.call("capable", || vec![("arg", name.into())], Some(yes.into()));
    yes
}

/// The first checks: combinations that make no sense.
pub(super) fn check_flags(clone_flags: u32) -> Result<(), Errno> {
    let has = |bits| clone_flags & bits == bits;
    let bad = has(flags::NEWNS | flags::FS)
        || (has(flags::THREAD) && !has(flags::SIGHAND))
        || (has(flags::SIGHAND) && !has(flags::VM));
    if bad { Err(Errno::Inval) } else { Ok(()) }
}

/// Counts the new process for its user, against its limit. Too many is an error unless the caller is privileged.
#[inline(always)]
pub(super) fn charge_user(sys: &System, current: TaskRef, p: TaskRef) -> Result<(), (Errno, BadFork)> {
    let (user, signal) = sys.fixed(p, |t| (t.user, t.signal));
    let limit = sys.signal_fixed(signal, |s| s.rlimit_nproc.cur);
    // Compared unsigned: a negative count is a huge one (experiment G43).
    let processes = sys.processes(user, limit);
    if (processes >= 0 || !sys.config.core.fixes.has(Fix::SignedLimit))
        && processes.cast_unsigned() >= limit
        && !capable(sys, current, "CAP_SYS_ADMIN", cap::SYS_ADMIN)
        && !capable(sys, current, "CAP_SYS_RESOURCE", cap::SYS_RESOURCE)
        && !sys.user(user, |u| u.is_root)
    {
        return Err((Errno::Again, BadFork::Free));
    }
    sys.m.call("atomic_inc", || vec![("arg", "user.count".into())], None);
    sys.m.call("atomic_inc", || vec![("arg", "user.processes".into())], None);
    sys.m.call("get_group_info", Vec::new, None);
    sys.user_add(user, |u| {
        u.count += 1;
        u.processes += 1;
        u.group_info_usage += 1;
    });
    Ok(())
}
