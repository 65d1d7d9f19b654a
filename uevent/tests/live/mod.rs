//! What a test on the real kernel needs. Missing, it is said by name; and where `FORKLAB_REQUIRE_LIVE=1` is set, as
//! the project's CI does, it is a failure.

#[path = "../../../tests/common/tools.rs"]
mod tools;

use forklab_uevent::netlink::{NetlinkSocket, OpenError, ProcEvents, Protocol};

use tools::{need_namespaces, skip};

/// Joining a group of NETLINK_USERSOCK and sending to one of NETLINK_KOBJECT_UEVENT need CAP_NET_ADMIN: root has it, and
/// anybody in a user and network namespace of his own.
/// There this test runs again if it may not here. Whether it is to go on here.
pub fn require_net_admin() -> bool {
    let may = !matches!(NetlinkSocket::open(Protocol::Usersock, 1 << 31), Err(OpenError::Permission(..)));
    may || (need_namespaces() && skip("netlink groups need CAP_NET_ADMIN, which this user lacks even in a namespace"))
}

/// Process events: for root; since Linux 6.6 for everybody.
pub fn require_process_events() -> bool {
    ProcEvents::open().map_or_else(|error| skip(&format!("process events: {error}")), |_| true)
}

/// Writing to the `uevent` files of sysfs.
pub fn require_sysfs() -> bool {
    let file = "/sys/devices/virtual/mem/null/uevent";
    let written = std::fs::OpenOptions::new().write(true).open(file);
    written.map_or_else(|error| skip(&format!("writing to uevent files needs root: {file}: {error}")), |_| true)
}
