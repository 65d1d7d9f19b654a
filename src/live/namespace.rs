//! A user and a network namespace of one's own: there an ordinary user may send to netlink groups.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{getgid, getuid};

/// Moves this process, and whom it starts from now on, into new namespaces, in which its user is root.
///
/// Nobody outside hears what is sent there, and nothing from outside is heard: the uevents of the machine do not come.
///
/// # Errors
/// `EPERM`, `ENOSPC`: user namespaces are switched off. `EINVAL`: this process has several threads.
pub fn enter() -> io::Result<()> {
    // Asked before: afterwards they are the overflow ids.
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}
