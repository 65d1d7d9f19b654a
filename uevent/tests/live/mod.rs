//! What a test on the real kernel needs. Missing, it is said by name; and where `FORKLAB_REQUIRE_LIVE=1` is set, as
//! the project's CI does, it is a failure.

use std::process::Command;

use forklab_uevent::netlink::{NetlinkSocket, OpenError, ProcEvents, Protocol};

/// Set for a test that runs again in a namespace: it is not to try once more.
const INSIDE: &str = "FORKLAB_IN_NAMESPACE";

/// Whether a test that needs `what` may go on.
fn require(what: &str, missing: Option<String>) -> bool {
    let Some(missing) = missing else { return true };
    assert!(
        std::env::var_os("FORKLAB_REQUIRE_LIVE").is_none_or(|set| set != "1"),
        "FORKLAB_REQUIRE_LIVE is set, but {what}: {missing}"
    );
    eprintln!("skipped: {what}: {missing}");
    false
}

/// Joining a group of NETLINK_USERSOCK and sending to one of NETLINK_KOBJECT_UEVENT need CAP_NET_ADMIN: root has it, and
/// anybody in a user and network namespace of his own.
/// There this test runs again if it may not here. Whether it is to go on here.
pub fn require_net_admin() -> bool {
    if !matches!(NetlinkSocket::open(Protocol::Usersock, 1 << 31), Err(OpenError::Permission(..))) {
        return true;
    }
    let what = "netlink groups need root or a user namespace";
    if std::env::var_os(INSIDE).is_some() {
        return require(what, Some("not even in a namespace of its own".into()));
    }
    let namespace = ["--user", "--map-root-user", "--net"];
    let may = Command::new("unshare").args(namespace).arg("true").output();
    let why = match may {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if require(what, why) {
        let name = std::thread::current().name().expect("a test's thread is called like it").to_owned();
        let me = std::env::current_exe().expect("this test");
        let again = Command::new("unshare").args(namespace).arg(me).args(["--exact", &name]).env(INSIDE, "1").status();
        assert!(again.expect("started").success(), "{name}, in a namespace of its own");
    }
    false
}

/// Process events: for root; since Linux 6.6 for everybody.
pub fn require_process_events() -> bool {
    require("process events", ProcEvents::open().err().map(|error| error.to_string()))
}

/// Writing to the `uevent` files of sysfs.
pub fn require_sysfs() -> bool {
    let file = "/sys/devices/virtual/mem/null/uevent";
    let written = std::fs::OpenOptions::new().write(true).open(file);
    require("writing to uevent files needs root", written.err().map(|error| format!("{file}: {error}")))
}
