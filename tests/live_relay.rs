//! `forklab relay` on the kernel this runs on: a second socket reads what a program's forks become.
#![cfg(all(feature = "netlink", target_os = "linux"))]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use common::live::{STORM, compile, pause, require_groups, require_kernel};
use common::tools::need;
use common::{Done, command, forklab, report, seeded};
use fork_model::design::Said;
use fork_model::{Design, Hook};
use forklab::lab::spec::{Asked, Spec};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use uevent::netlink::{NetlinkSocket, Protocol, To};
use uevent::source::{Arrival, Loss, Trust, UeventSource, Wait};
use uevent::wire::connector::{CN_PROC, ForkIds, emit};
use uevent::wire::{Message, Shown};

/// `kids N`: forks so many children one after the other and says who forked whom.
const KIDS: &str = r#"
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0;
	setvbuf(stdout, NULL, _IONBF, 0);
	fprintf(stderr, "%d %d\n", getppid(), getpid());
	while (n-- > 0) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		fprintf(stderr, "%d %d\n", getpid(), child);
		waitpid(child, NULL, 0);
	}
	return 0;
}
"#;

/// A listener in a group of NETLINK_USERSOCK; each test has its own.
fn join(group: u32) -> NetlinkSocket {
    let socket = NetlinkSocket::open(Protocol::Usersock, 1 << (group - 1)).expect("required before");
    socket.set_rcvbuf(64 << 20).expect("root may");
    socket.trusting(Trust::Anyone)
}

fn read_all(socket: &mut NetlinkSocket) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    loop {
        match socket.receive(Wait::AtMost(Duration::from_millis(50))).expect("received") {
            Arrival::Message(datagram) => messages.push(datagram.bytes.to_vec()),
            Arrival::Nothing => return messages,
            other => panic!("{other:?}"),
        }
    }
}

fn relay(args: &[&str]) -> Done {
    forklab(&[&["relay", "--json"], args].concat())
}

fn summary(done: &Done) -> Value {
    let last = done.out.lines().last().unwrap_or_else(|| panic!("no summary: {}", done.err));
    serde_json::from_str(last).expect("a line of JSON")
}

/// Who forked whom, as the program itself says.
fn told_by(err: &str) -> Vec<ForkIds> {
    let pids = |line: &str| {
        let (parent, child) = line.split_once(' ')?;
        Some((parent.parse().ok()?, child.parse().ok()?))
    };
    let ids =
        |(parent, child)| ForkIds { parent_pid: parent, parent_tgid: parent, child_pid: child, child_tgid: child };
    err.lines().filter_map(pids).map(ids).collect()
}

#[test]
fn a_second_socket_reads_exactly_the_messages_of_the_design() {
    if !require_kernel() || !require_groups() || !need(&["cc"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kids = compile(folder.path(), "kids", KIDS);
    let kids = kids.to_str().expect("UTF-8");
    for text in [
        "format=bare",
        "format=keys",
        "format=keys sequence=locked",
        "format=keys sequence=per-cpu gate=has-listeners",
        "format=connector-ascii sequence=unlocked gate=socket",
        "format=connector-struct sequence=per-cpu",
    ] {
        let design: Design = text.parse().expect("a design");
        let flags: Vec<_> = text.split(' ').flat_map(|word| word.split('=')).collect();
        let flags = flags.chunks(2).flat_map(|pair| [format!("--{}", pair[0]), pair[1].to_owned()]);
        let flags: Vec<_> = flags.collect();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let mut socket = join(7);
        let done = relay(&[&flags[..], &["--group", "7", "--", kids, "20"]].concat());
        let heard = read_all(&mut socket);
        let truth = told_by(&done.err);
        let summary = summary(&done);
        assert_eq!((done.code, &summary["sent"], truth.len()), (Some(0), &21.into(), 21), "{text}: {}", done.err);
        let mut next: BTreeMap<Option<u32>, u32> = BTreeMap::new();
        for (ids, bytes) in truth.iter().zip(&heard) {
            let said: Said = design.read(bytes).unwrap_or_else(|error| panic!("{text}: {error}: {}", Shown(bytes)));
            // The number is the next one of its counter; the CPU of the message is the kernel's choice.
            if let Some(seq) = said.seq {
                let next = next.entry(seq.cpu).or_default();
                assert_eq!(seq.number, *next, "{text}");
                *next += 1;
            }
            let mut expected = Vec::new();
            design.write(ids, said.seq, said.cpu.unwrap_or(0), &mut expected).expect("it can be relayed");
            assert_eq!(Shown(bytes).to_string(), Shown(&expected).to_string(), "{text}");
        }
        assert_eq!(heard.len(), truth.len(), "{text}");
    }
}

#[test]
fn a_relayed_message_is_the_simulated_kernel_s_byte_for_byte() {
    for text in ["format=bare", "format=keys sequence=per-cpu", "format=connector-ascii", "format=connector-struct"] {
        let design: Design = format!("hook=before-wake {text}").parse().expect("a design");
        let spec = Spec { design: Asked::from(design), ..seeded("one-fork", 1) };
        let simulated = report(&spec).listeners[0].messages[0].clone();
        let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
        let cpu = 0;
        // The forks of the boot were counted, too.
        let number = simulated.split_once("SEQNUM=").and_then(|(_, rest)| rest.split('\\').next()?.parse().ok());
        let seq = number.map(|number| fork_model::design::Seq { number, cpu: Some(cpu) });
        let mut bytes = Vec::new();
        design.write(&ids, seq, cpu, &mut bytes).expect("it can be written");
        assert_eq!(Shown(&bytes).to_string(), simulated, "{text}");
    }
}

/// A relay that goes on until it is told to end.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    port: u32,
}

fn start(args: &[&str]) -> Running {
    let args = [&["relay", "--json"], args].concat();
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("it says where it is");
    let line: Value = serde_json::from_str(&line).expect("a line of JSON");
    assert_eq!(line["event"], "start");
    let port = line["port"].as_u64().and_then(|port| u32::try_from(port).ok()).expect("a port");
    Running { child, out, port }
}

impl Running {
    fn end(mut self) -> (Option<i32>, Value) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        let last = self.out.lines().map_while(Result::ok).last().expect("a summary");
        (status.code(), serde_json::from_str(&last).expect("a line of JSON"))
    }
}

/// This process forks, and waits.
fn fork_here() -> i32 {
    let mut child = std::process::Command::new("true").spawn().expect("true runs");
    let pid = child.id().cast_signed();
    child.wait().expect("it ends");
    pid
}

/// Whether a fork of this process is among the bare messages that come.
fn hears(socket: &mut NetlinkSocket, child: i32) -> bool {
    let of_child =
        |bytes: &Vec<u8>| Message::parse(bytes).and_then(|it| it.fork_pids()).is_ok_and(|pids| pids.1 == child);
    read_all(socket).iter().any(of_child)
}

#[test]
fn gates_that_listeners_open_are_opened_and_closed_by_them() {
    if !require_kernel() || !require_groups() || !need(&["true"]) {
        return;
    }
    let say = |to: u32, op: u32| {
        let mut bytes = Vec::new();
        emit(&mut bytes, CN_PROC, 0, 0, &op.to_le_bytes());
        let socket = NetlinkSocket::open(Protocol::Usersock, 0).expect("required before");
        socket.send(&bytes, To::Port(to)).expect("it is there");
    };
    for (gate, group, opened_twice) in [("on-off", "8", false), ("counter", "9", true)] {
        let mut socket = join(group.parse().expect("a number"));
        let relay = start(&["--gate", gate, "--group", group]);
        assert!(!hears(&mut socket, fork_here()), "{gate}: closed at first");
        say(relay.port, 1);
        assert!(hears(&mut socket, fork_here()), "{gate}: on");
        say(relay.port, 1);
        say(relay.port, 2);
        assert_eq!(hears(&mut socket, fork_here()), opened_twice, "{gate}: one of two is off");
        say(relay.port, 2);
        assert!(!hears(&mut socket, fork_here()), "{gate}: off");
        let (code, summary) = relay.end();
        assert_eq!((code, &summary["stopped"]), (Some(0), &true.into()), "SIGTERM ends it with a summary");
        assert!(summary["kept"].as_u64() >= Some(2), "{summary}");
    }
}

#[test]
fn has_listeners_looks_who_has_joined() {
    if !require_kernel() || !require_groups() || !need(&["true"]) {
        return;
    }
    let relay = start(&["--gate", "has-listeners", "--group", "10"]);
    fork_here();
    // The relay asks when it comes to the fork's event.
    pause(Duration::from_millis(300));
    let mut socket = join(10);
    assert!(hears(&mut socket, fork_here()), "whoever has joined misses nothing");
    let (code, summary) = relay.end();
    assert_eq!(code, Some(0));
    assert!(summary["kept"].as_u64() >= Some(1), "nobody had joined: {summary}");
}

#[test]
fn an_overload_is_told_to_listeners_and_in_the_exit_code() {
    if !require_kernel() || !require_groups() || !need(&["cc"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let storm = compile(folder.path(), "storm", STORM);
    for (format, group) in [("bare", "11"), ("keys", "12")] {
        overload(&storm, format, group);
    }
}

fn overload(storm: &Path, format: &str, group: &str) {
    // It stands still while the storm goes on.
    let script =
        format!("kill -STOP $PPID; {} 5000; kill -CONT $PPID; sleep 0.1; {} 10", storm.display(), storm.display());
    let mut socket = join(group.parse().expect("a number"));
    let done = relay(&["--rcvbuf", "0", "--format", format, "--group", group, "--", "sh", "-c", &script]);
    let summary = summary(&done);
    assert!(summary["missing"].as_u64() > Some(5000), "{summary}");
    let (mut sent, mut lost) = (0, 0);
    for bytes in read_all(&mut socket) {
        let message = Message::parse(&bytes).expect("a uevent");
        match message.action() {
            b"fork" => sent += 1,
            b"lost" => {
                let count = message.get("LOST").or_else(|| message.strings().next()).expect("a count");
                lost += str::from_utf8(count).expect("digits").parse::<u64>().expect("a number");
            }
            other => panic!("{}", other.escape_ascii()),
        }
    }
    eprintln!("{format}: 5,012 forks, {sent} relayed, {lost} events told as lost; {summary}");
    assert_eq!((done.code, &summary["missing"], &summary["sent"]), (Some(1), &lost.into(), &sent.into()));
}

#[test]
fn a_listener_that_is_too_slow_is_told_by_the_kernel() {
    if !require_kernel() || !require_groups() || !need(&["cc"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let storm = compile(folder.path(), "storm", STORM);
    let mut socket = join(13);
    socket.set_rcvbuf(0).expect("set");
    let done = relay(&["--group", "13", "--", storm.to_str().expect("UTF-8"), "500"]);
    assert_eq!(summary(&done)["sent"], 501);
    assert_eq!(socket.receive(Wait::No).expect("received"), Arrival::Lost(Loss::Overrun));
}

#[test]
fn it_ends_after_as_many_forks_as_asked() {
    if !require_kernel() || !require_groups() || !need(&["sh"]) {
        return;
    }
    let done = relay(&["--count", "2", "--", "sh", "-c", "for i in 1 2 3 4; do sh -c true; done"]);
    assert_eq!(summary(&done)["sent"], 2);
}

#[test]
fn what_cannot_be_relayed_is_refused_in_one_line() {
    let says = |args: &[&str], begin: &str| {
        let done = forklab(&[&["relay"], args].concat());
        assert!(done.err.starts_with(&format!("forklab: {begin}")), "{}", done.err);
        assert_eq!((done.code, done.err.lines().count(), done.out.as_str()), (Some(2), 1, ""));
    };
    says(&["--hook", "end"], "hook end is not where the kernel of today tells of a fork");
    says(&["--delivery", "signal"], "delivery signal is the kernel's");
    says(&["--gate", "counter-reset"], "gate counter-reset needs to know");
    says(&["--sequence", "locked"], "sequence locked needs room in the message, and format bare has none");
    says(&["--format", "one-slot"], "format one-slot is a fault of the kernel's memory");
    says(&["--to", "kobject-uevent", "--group", "2"], "<command line>: found --to kobject-uevent --group 2");
    says(&["--", "no-such-command"], "\"no-such-command\": found no such command");
    let design = Design { hook: Hook::BeforeWake, ..Design::default() };
    assert_eq!(forklab::live::relay::check(&design), Ok(()));
}
