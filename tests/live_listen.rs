//! `listen`, `tree` and `send` on the kernel this runs on.
#![cfg(all(feature = "netlink", target_os = "linux"))]

#[path = "common/tools.rs"]
mod tools;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const FORKLAB: &str = env!("CARGO_BIN_EXE_forklab");

fn forklab(args: &[&str]) -> Command {
    let mut command = Command::new(FORKLAB);
    command.args(args);
    command
}

/// A listener that is listening: it is in `/proc/net/netlink` with this protocol and group.
fn listening(args: &[&str], protocol: &str, group: u32) -> Child {
    let mut child = forklab(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    // The port id of a process's first socket is its pid.
    let pid = child.id().to_string();
    for _ in 0..2000 {
        let list = std::fs::read_to_string("/proc/net/netlink").expect("a list");
        let joined = list.lines().skip(1).any(|line| {
            let columns: Vec<_> = line.split_ascii_whitespace().collect();
            let groups = u32::from_str_radix(columns[3], 16).expect("groups");
            columns[1] == protocol && columns[2] == pid && groups >> (group - 1) & 1 == 1
        });
        if joined {
            return child;
        }
        std::thread::yield_now();
        Command::new("sleep").arg("0.01").status().expect("sleeps");
    }
    child.kill().and_then(|()| child.wait()).expect("ends");
    panic!("{args:?} never listened");
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

#[test]
fn listen_hears_a_uevent_of_this_machine() {
    let file = "/sys/devices/virtual/mem/null/uevent";
    if !tools::need_root() {
        return;
    }
    let child = listening(&["listen", "--json", "--for", "20"], "15", 1);
    std::fs::write(file, "change 12345678-0000-4000-8000-000000000000 FORKLAB=listen").expect("written");
    let mut child = child;
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("SYNTH_ARG_FORKLAB=listen") {
        line.clear();
        assert!(out.read_line(&mut line).expect("reads") > 0, "it ended without the message");
    }
    let message: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&message["action"], &message["devpath"]), (&"change".into(), &"/devices/virtual/mem/null".into()));
    signal(&child, "-TERM");
    assert_eq!(child.wait().expect("ends").code(), Some(0), "SIGTERM is a clean end");
}

#[test]
fn what_is_sent_in_the_kernels_place_is_refused_and_counted() {
    if !tools::need_root() {
        return;
    }
    let child = listening(&["listen", "--json", "--for", "2"], "15", 1);
    let sent = forklab(&["send", "one-fork", "--to", "kobject-uevent"]).output().expect("runs");
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    let output = child.wait_with_output().expect("ends");
    let said = lines(&output);
    let refused: Vec<_> = said.iter().filter(|line| line["kind"] == "refused").collect();
    assert_eq!(refused.len(), 1, "{said:?}");
    assert_eq!(refused[0]["shown"], r"fork@/fork_kobj\0100\0101\0");
    assert_eq!(said.last().expect("a summary")["refused"], 1);
    assert_eq!(output.status.code(), Some(1), "a stranger's message was found");
}

#[test]
fn a_consumer_gets_the_messages_in_a_namespace_of_its_own_whoever_runs_this() {
    let unshare = Command::new("unshare").args(["--user", "--map-root-user", "--net", "true"]).output();
    if !unshare.is_ok_and(|output| output.status.success()) {
        tools::skip("user namespaces are not allowed here");
        return;
    }
    let args = ["send", "three-forks", "--own-namespace", "--to", "usersock", "--group", "7", "--"];
    let listen = ["listen", "usersock", "--group", "7", "--count", "3"];
    let output = forklab(&args).arg(FORKLAB).args(listen).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(said.matches("fork@/fork_kobj 100 10").count(), 3, "{said}");
    assert!(said.contains("3 messages, ") && said.contains("the consumer ended with exit code 0"), "{said}");
}

#[test]
fn through_the_kernel_a_message_comes_from_the_kernel_with_a_number() {
    let unshare = Command::new("unshare").args(["--user", "--map-root-user", "--net", "true"]).output();
    if !unshare.is_ok_and(|output| output.status.success()) {
        tools::skip("user namespaces are not allowed here");
        return;
    }
    let listen = ["listen", "--count", "1", "--json"];
    let args = ["send", "one-fork", "--own-namespace", "--to", "kernel", "--format", "keys", "--"];
    let output = forklab(&args).arg(FORKLAB).args(listen).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let message: Value = serde_json::from_str(said.lines().next().expect("a line")).expect("JSON");
    assert_eq!(message["action"], "fork");
    let strings = message["strings"].as_array().expect("strings");
    assert!(strings.last().and_then(Value::as_str).is_some_and(|last| last.starts_with("SEQNUM=")), "{message}");
}

#[test]
fn udevadm_hears_what_is_sent_through_the_kernel() {
    if !tools::need(&["udevadm"]) || !tools::need_root() {
        return;
    }
    let args = ["send", "one-fork", "--own-namespace", "--to", "kernel", "--format", "keys-change", "--"];
    let output = forklab(&args).args(["udevadm", "monitor", "--kernel", "--property"]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said.contains("1 message, "), "{said}");
    assert!(said.contains("KERNEL[") && said.contains("change   /fork_kobj") && said.contains("\nPID=101\n"), "{said}");
}

#[test]
fn the_tree_of_a_listener_agrees_with_proc() {
    if !tools::need_root() {
        return;
    }
    let output = forklab(&["tree", "--for", "1", "--json"]).output().expect("runs");
    let checks = lines(&output);
    let check = checks.iter().rfind(|line| line["kind"] == "check").expect("a check");
    assert!(check["compared"].as_u64().expect("a number") > 3);
    let unexplained = check["divergences"].as_array().expect("a list").iter().filter(|one| one["why"] == "unexplained");
    assert_eq!(unexplained.count(), 0, "{check}");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_listener_to_two_pids_takes_a_thread_for_a_process() {
    if !tools::need_root() {
        return;
    }
    let mut tree = forklab(&["tree", "--pids", "--for", "60", "--every", "0.2", "--json"]);
    let mut tree = tree.stdout(Stdio::piped()).spawn().expect("starts");
    let mut said = BufReader::new(tree.stdout.take().expect("piped"));
    // It has read /proc by then: whatever comes later, it hears.
    said.read_line(&mut String::new()).expect("a check");
    let (told, tid) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let link = std::fs::read_link("/proc/thread-self").expect("/proc");
        told.send(link.file_name().expect("a number").to_str().expect("a number").to_owned()).expect("heard");
        // Until the other end is gone.
        let _ = ended.recv();
    });
    let tid: i32 = tid.recv().expect("told").parse().expect("a number");
    let checks = said.lines().map(|line| serde_json::from_str::<Value>(&line.expect("text")).expect("JSON"));
    let ours = checks.filter(|line| line["kind"] == "check").find_map(|check| {
        let divergences = check["divergences"].as_array().expect("a list");
        divergences.iter().find(|one| one["pid"] == tid).cloned()
    });
    drop(end);
    thread.join().expect("ends");
    signal(&tree, "-TERM");
    let ours = ours.expect("the thread is taken for a process within a minute");
    assert_eq!((&ours["why"], &ours["truth"]), (&"thread".into(), &Value::Null), "{ours}");
    assert!(tree.wait().expect("ends").success());
}

#[test]
fn a_tree_can_be_that_of_one_process() {
    if !tools::need_root() {
        return;
    }
    let pid = std::process::id();
    let output = forklab(&["tree", "--for", "0.1", "--json", "--root", &pid.to_string()]).output().expect("runs");
    let last = lines(&output).pop().expect("a tree");
    let parents = last["parents"].as_object().expect("an object");
    let inside = |parent: &Value| parents.contains_key(&parent.to_string());
    // This process, whose parent is not in it, and its descendants, among them `forklab tree` itself.
    assert!(parents.contains_key(&pid.to_string()) && parents.len() > 1, "{last}");
    let outside: Vec<_> = parents.iter().filter(|(_, parent)| !inside(parent)).map(|(pid, _)| pid.clone()).collect();
    assert_eq!(outside, [pid.to_string()]);
    let nobody = forklab(&["tree", "--root", "4194305"]).output().expect("runs");
    let said = String::from_utf8_lossy(&nobody.stderr);
    let expected = "forklab: --root: found 4194305, expected the pid of a process that is there\n";
    assert_eq!((nobody.status.code(), &*said), (Some(2), expected));
}

#[test]
fn ignore_is_said_when_a_signal_ends_a_listener() {
    if !tools::need_root() || !tools::need(&["strace"]) {
        return;
    }
    for end in ["-INT", "-TERM"] {
        let mut traced = Command::new("strace");
        let traced =
            traced.args(["-e", "trace=sendto", "-e", "signal=none", "-s", "200", FORKLAB, "listen", "processes"]);
        let mut child = traced.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("reads");
        while !line.contains(r"\x04\x00\x00\x00\x01\x00\x00\x00") {
            line.clear();
            assert!(said.read_line(&mut line).expect("reads") > 0, "it never said LISTEN");
        }
        let pid = Command::new("pgrep").args(["-P", &child.id().to_string()]).output().expect("pgrep");
        let pid = String::from_utf8(pid.stdout).expect("a pid");
        Command::new("kill").args([end, pid.trim()]).status().expect("kill");
        let rest: Vec<_> = said.lines().map_while(Result::ok).collect();
        assert!(
            rest.iter().any(|line| line.contains(r"\x04\x00\x00\x00\x02\x00\x00\x00")),
            "IGNORE after {end}: {rest:?}"
        );
        assert!(rest.iter().any(|line| line.contains("exited with 0")), "{end}: {rest:?}");
        child.wait().expect("ends");
    }
}

#[test]
fn mistakes_are_one_line_and_exit_code_2() {
    for (args, said) in [
        (&["listen", "usersock"][..], "expected the number of a group"),
        (&["listen", "processes", "--group", "2"], "expected neither with processes"),
        (&["listen", "--pcap", "/nonexistent/x.pcap", "--for", "0"], "/nonexistent/x.pcap: found no such directory"),
        (&["tree", "--every", "0"], "expected more than 0 seconds"),
        (&["send", "nothing-like-it"], "expected a built-in scenario"),
        (&["send", "one-fork", "--to", "kernel", "--group", "2"], "the kernel sends to no other"),
        (&["send", "one-fork", "--own-namespace"], "no consumer, in a namespace of its own"),
        (&["send", "one-fork", "--", "/nonexistent"], "expected a command that can be run"),
    ] {
        let output = forklab(args).output().expect("runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(said) && error.lines().count() == 1, "{args:?}: {error}");
    }
}
