//! What a test on the real kernel needs. Missing, it is said by name; and where `FORKLAB_REQUIRE_LIVE=1` is set, as
//! the project's CI does, it is a failure.

use forklab_uevent::netlink::{NetlinkSocket, ProcEvents, Protocol, To};

/// Whether a test that needs `what` may go on.
fn require(what: &str, missing: Option<String>) -> bool {
    let Some(missing) = missing else { return true };
    assert!(std::env::var_os("FORKLAB_REQUIRE_LIVE").is_none(), "FORKLAB_REQUIRE_LIVE is set, but {what}: {missing}");
    eprintln!("skipped: {what}: {missing}");
    false
}

/// Sending to netlink groups needs CAP_NET_ADMIN.
pub fn require_net_admin() -> bool {
    let sent = NetlinkSocket::open(Protocol::Usersock, 0).map_err(|error| error.to_string()).and_then(|socket| {
        match socket.send(b"x", To::Groups(1 << 31)) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(error.to_string()),
            _ => Ok(()),
        }
    });
    require("sending to a netlink group needs root (CAP_NET_ADMIN)", sent.err())
}

/// Process events.
pub fn require_process_events() -> bool {
    require("process events", ProcEvents::open().err().map(|error| error.to_string()))
}
