//! What a fork event with keys says, in which order: written by the simulated kernel and by a relay on a real one.

use super::connector::ForkIds;

/// `SUBSYSTEM=` of a fork event. DIFFERENCE: nobody ever named one; the object has no kset to take it from.
pub const SUBSYSTEM: &[u8] = b"process";

/// The keys of a fork event, as `kobject_hotplug()` orders its own: `ACTION`, `DEVPATH`, `SUBSYSTEM`, then `PPID`, `PID`,
/// and `SEQNUM` (and `CPU`) if it is numbered.
///
/// ```
/// use forklab_uevent::wire::{connector::ForkIds, emit_keyed, fork_keys};
///
/// let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
/// let mut out = Vec::new();
/// emit_keyed(&mut out, "fork", "/fork_kobj", fork_keys(b"fork", b"/fork_kobj", &ids, Some((7, None))))?;
/// assert!(out.ends_with(b"PPID=100\0PID=101\0SEQNUM=7\0"));
/// # Ok::<(), forklab_uevent::wire::WireError>(())
/// ```
pub fn fork_keys(
    action: &[u8],
    devpath: &[u8],
    ids: &ForkIds,
    seq: Option<(u32, Option<u32>)>,
) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let number = |number: u32| number.to_string().into_bytes();
    let pid = |pid: i32| pid.to_string().into_bytes();
    let always = [
        ("ACTION", action.to_vec()),
        ("DEVPATH", devpath.to_vec()),
        ("SUBSYSTEM", SUBSYSTEM.to_vec()),
        ("PPID", pid(ids.parent_pid)),
        ("PID", pid(ids.child_pid)),
    ];
    let seqnum = seq.map(|(seqnum, _)| ("SEQNUM", number(seqnum)));
    let cpu = seq.and_then(|(_, cpu)| cpu).map(|cpu| ("CPU", number(cpu)));
    always.into_iter().chain(seqnum).chain(cpu)
}
