//! What a socket's receive side is charged with: the part of `SO_MEMINFO` that decides about loss.

/// Receive memory of a socket, simulated or real: the numbers of `sk_get_meminfo()` that a receiver is judged by.
///
/// The simulator has it from `Core::meminfo`, the kernel from `NetlinkSocket::meminfo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemInfo {
    /// `SK_MEMINFO_RMEM_ALLOC`: what queued messages are charged with, in bytes.
    pub rmem_alloc: u32,
    /// `SK_MEMINFO_RCVBUF`, in bytes.
    pub rcvbuf: u32,
    /// `SK_MEMINFO_DROPS`: broadcast messages that were dropped here, since it was opened. A count, not bytes.
    pub drops: u32,
}
