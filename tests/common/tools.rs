//! What a test needs from the machine: programs and rights. One rule for where they are missing.
//!
//! A test that cannot run says `skipped: tshark is not installed` and passes. With `FORKLAB_REQUIRE_LIVE=1`, as in CI, it
//! fails instead: there, a test that was skipped would be a promise that nobody checks.

#![allow(dead_code, reason = "each test program uses its part")]

use std::process::Command;

use rustix::event::{Timespec, poll};

/// The environment variable that makes a missing program or right a failure.
pub const REQUIRE_LIVE: &str = "FORKLAB_REQUIRE_LIVE";

/// Skips the test, or fails it; `missing` is a sentence. Gives back false, for `if !need(…) { return }`.
pub fn skip(missing: &str) -> bool {
    let required = std::env::var_os(REQUIRE_LIVE).is_some_and(|set| set == "1");
    assert!(!required, "{missing}, and {REQUIRE_LIVE}=1 wants it");
    eprintln!("skipped: {missing}");
    false
}

/// Whether all of these programs are installed; the first that is not is told by name.
pub fn need(programs: &[&str]) -> bool {
    programs.iter().all(|program| found(program) || skip(&format!("{program} is not installed")))
}

/// Whether the test runs as root.
pub fn need_root() -> bool {
    rustix::process::geteuid().is_root() || skip("this test has to be root")
}

/// Set for a test that runs again in a namespace: it is not to try once more.
const INSIDE: &str = "FORKLAB_IN_NAMESPACE";

/// Whether the test may have network namespaces: root may, and anybody in a user namespace. There the test of an ordinary
/// user runs again, in a process of its own, and not here.
pub fn need_namespaces() -> bool {
    if rustix::process::geteuid().is_root() || std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let namespace = ["--user", "--map-root-user", "--net"];
    let why = match Command::new("unshare").args(namespace).arg("true").output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(why) = why {
        return skip(&format!("this test needs root or a user namespace: {why}"));
    }
    // A single test thread is not called like the test.
    let name = std::thread::current().name().filter(|name| *name != "main").map(str::to_owned);
    let Some(name) = name else { return skip("to run again in a user namespace a test needs a thread of its own") };
    let me = std::env::current_exe().expect("this test");
    let again = Command::new("unshare").args(namespace).arg(me).args(["--exact", &name]).env(INSIDE, "1").output();
    let again = again.expect("started");
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && said.contains("1 passed"), "{name}, in a user namespace:\n{said}");
    false
}

/// The first line that a program says of its version.
pub fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output().unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Waits until this is so, at most ten seconds.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let tick = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        // No descriptor: the time alone.
        poll(&mut [], Some(&tick)).expect("a timeout");
    }
    panic!("after ten seconds it is not so that {what}");
}
