//! `forklab record` on the kernel this runs on, held against programs with known forks, forkstat, strace and a witness.
#![cfg(all(feature = "netlink", target_os = "linux"))]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::live::{STORM, Seen, Witness, between_marks, compile, cpu_time, pause, quiet, require_kernel};
use common::tools::{need, need_root};
use common::{Done, command, forklab};
use forklab::live::clock::Clock;
use forklab::workload::{What, Workload};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use uevent::netlink::ProcEvents;
use uevent::wire::proc_event::What as Told;

fn kill(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it runs");
}

/// Waits for something that must come.
fn until(what: &str, mut there: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !there() {
        assert!(clock.elapsed() < Duration::from_secs(20), "{what} does not come");
        pause(Duration::from_millis(10));
    }
}

/// `forklab record --json -o FILE ARGS`; its summary, and how it ended.
fn record(file: &Path, args: &[&str]) -> (Value, Done) {
    let file = file.to_str().expect("UTF-8");
    let done = forklab(&[&["record", "--json", "-o", file], args].concat());
    let summary = done.out.lines().last().map(serde_json::from_str);
    let summary = summary.unwrap_or_else(|| panic!("no summary: {}", done.err)).expect("one line of JSON");
    (summary, done)
}

/// The listener of a replay is right about every process; the report has the same numbers.
fn replays(file: &Path, summary: &Value) {
    let done = forklab(&["run", "--workload", file.to_str().expect("UTF-8"), "--json"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_str(&done.out).expect("JSON");
    for key in ["forks", "threads"] {
        assert_eq!(report[key], summary[key], "{key}");
    }
    let tree = &report["listeners"][0]["tree"];
    let processes = summary["forks"].as_u64().zip(summary["threads"].as_u64()).map(|(forks, threads)| forks - threads);
    assert_eq!(tree["right"].as_u64(), processes, "{tree}");
    assert_eq!((&tree["missing"], &tree["phantom"]), (&0.into(), &0.into()));
}

const FAMILY: &str = r#"
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
static void *nothing(void *arg) { return arg; }
/* 10 children, 3 threads, and a grandchild whose parent dies first, and which forks then: 15 forks. */
int main(void)
{
	pthread_t thread;
	int pipes[2];
	char byte;
	for (int i = 0; i < 10; i++) {
		if (fork() == 0)
			_exit(i);
		wait(NULL);
	}
	for (int i = 0; i < 3; i++) {
		pthread_create(&thread, NULL, nothing, NULL);
		pthread_join(thread, NULL);
	}
	if (pipe(pipes))
		return 1;
	if (fork() == 0) {
		if (fork() == 0) {
			while (getppid() != 1)
				usleep(1000);
			execl("/bin/sh", "sh", "-c", "true; sh -c true; true", NULL);
		}
		_exit(0);
	}
	close(pipes[1]);
	wait(NULL);
	/* The end of the pipe: the grandchild closes its files, a moment before its exit is told. */
	if (read(pipes[0], &byte, 1) != 0)
		return 1;
	usleep(100000);
	return 0;
}
"#;

#[test]
fn a_program_with_known_forks_is_recorded_to_the_last_one() {
    if !require_kernel() || !need(&["cc", "sh"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = compile(folder.path(), "family", FAMILY);
    for name in ["family.csv", "family.csv.gz"] {
        let file = folder.path().join(name);
        let (summary, done) = record(&file, &["--", program.to_str().expect("UTF-8")]);
        assert_eq!((done.code, &summary["missing"], &summary["certain"]), (Some(0), &0.into(), &true.into()));
        // The command itself, 10, 3, 2, and the sh that the orphan's sh starts.
        assert_eq!((&summary["forks"], &summary["threads"]), (&17.into(), &3.into()), "{summary}");
        assert_eq!((&summary["execs"], &summary["exits"]), (&3.into(), &17.into()), "{summary}");
        assert_eq!(summary["still_running"], 0, "{summary}");
        replays(&file, &summary);
        let statuses: BTreeSet<_> = Workload::read(&file)
            .expect("readable")
            .records
            .iter()
            .filter_map(
                |record| {
                    if let What::Exit { exit_code, .. } = record.what { Some(exit_code >> 8) } else { None }
                },
            )
            .collect();
        assert_eq!(statuses, (0..10).collect());
    }
}

#[test]
fn what_the_command_leaves_behind_is_counted_and_its_status_passed_on() {
    if !require_kernel() || !need(&["sh", "sleep"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("left.csv");
    // Its output would else keep ours open.
    let (summary, done) = record(&file, &["sh", "-c", "sleep 1 >/dev/null 2>&1 & exit 7"]);
    assert_eq!((done.code, &summary["exit_code"], &summary["still_running"]), (Some(7), &7.into(), &1.into()));
    let (summary, done) = record(&file, &["sh", "-c", "kill -9 $$"]);
    assert_eq!((done.code, &summary["exit_code"], &summary["signal"]), (Some(137), &137.into(), &9.into()));
}

/// A project of some files, to be built by make.
fn project(folder: &Path) {
    let mut objects = String::new();
    let mut main = "int main(void) { return 0".to_owned();
    let mut declared = String::new();
    for i in 0..20 {
        fs::write(folder.join(format!("f{i}.c")), format!("int f{i}(void) {{ return 0; }}\n")).expect("written");
        objects += &format!(" f{i}.o");
        declared += &format!("int f{i}(void);\n");
        main += &format!(" + f{i}()");
    }
    fs::write(folder.join("main.c"), format!("{declared}{main}; }}\n")).expect("written");
    let makefile =
        format!("all: prog\nprog: main.o{objects}\n\tcc -o prog main.o{objects}\n%.o: %.c\n\tcc -c $< -o $@\n");
    fs::write(folder.join("Makefile"), makefile).expect("written");
}

fn clean(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "o") {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
}

/// forkstat, which says what it hears into a file.
struct Forkstat {
    child: Child,
    file: std::path::PathBuf,
}

impl Forkstat {
    fn start(folder: &Path) -> Forkstat {
        let file = folder.join("forkstat.txt");
        let out = fs::File::create(&file).expect("written");
        let mut forkstat = Command::new("forkstat");
        forkstat.args(["-l", "-s", "-e", "fork,exec,exit,clone"]).stdout(out).stderr(Stdio::null());
        let it = Forkstat { child: forkstat.spawn().expect("forkstat runs"), file };
        until("forkstat", || {
            quiet(&mut Command::new("true"));
            it.text().lines().count() > 2
        });
        it
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.file).unwrap_or_default()).into_owned()
    }

    /// Forks, execs and exits of the tree of `root`.
    fn end(mut self, root: i32) -> (u64, u64, u64) {
        pause(Duration::from_millis(300));
        kill(&self.child, Signal::INT);
        self.child.wait().expect("it ends");
        let (mut tree, mut counts, mut parent) = (BTreeSet::new(), (1, 0, 0), 0);
        for line in self.text().lines() {
            let columns: Vec<_> = line.split_whitespace().collect();
            let [_, event, pid, rest @ ..] = columns.as_slice() else { continue };
            let Ok(pid) = pid.parse::<i32>() else { continue };
            match (*event, rest.first()) {
                ("fork" | "clone", Some(&"parent")) => parent = pid,
                ("fork" | "clone", Some(_)) if pid == root => drop(tree.insert(pid)),
                ("fork" | "clone", Some(_)) if tree.contains(&parent) => {
                    tree.insert(pid);
                    counts.0 += 1;
                }
                ("exec", _) if tree.contains(&pid) => counts.1 += 1,
                ("exit", _) if tree.remove(&pid) => counts.2 += 1,
                _ => {}
            }
        }
        counts
    }
}

#[test]
fn a_make_is_counted_as_forkstat_and_strace_count_it_and_replays() {
    // forkstat wants to be root.
    if !require_kernel() || !need_root() || !need(&["cc", "make", "forkstat", "strace"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    project(path);
    let make = ["make", "-s", "-j4", "-C", path.to_str().expect("UTF-8")];
    let log = path.join("strace.txt");
    let traced = ["-f", "-qq", "-o", log.to_str().expect("UTF-8"), "-e", "trace=fork,vfork,clone,clone3"];
    assert!(quiet(Command::new("strace").args(traced).args(make)), "make works");
    let text = fs::read_to_string(&log).expect("written");
    let calls = text
        .lines()
        .filter(|line| line.rsplit("= ").next().is_some_and(|pid| pid.parse::<u32>().is_ok_and(|pid| pid > 0)));
    // strace makes the first process itself.
    let calls = calls.count() as u64 + 1;

    let file = path.join("make.csv.gz");
    let mut last = String::new();
    // forkstat has a small buffer and does not say when it loses something: on a busy machine it may need another try.
    for _ in 0..3 {
        clean(path);
        let forkstat = Forkstat::start(path);
        let (summary, done) = record(&file, &[&["--"], &make[..]].concat());
        assert_eq!((done.code, &summary["missing"], &summary["still_running"]), (Some(0), &0.into(), &0.into()));
        assert_eq!(summary["forks"], calls, "strace counts {calls} calls: {summary}");
        replays(&file, &summary);
        let Some(What::Fork { child_pid: root, .. }) = Workload::read(&file).ok().map(|it| it.records[0].what) else {
            panic!("the first event is the fork of the command")
        };
        let heard = forkstat.end(root);
        let counts = ["forks", "execs", "exits"].map(|key| summary[key].as_u64().expect("a number"));
        last = format!("record: {counts:?}; forkstat: {heard:?}; strace: {calls} forks");
        if counts == [heard.0, heard.1, heard.2] {
            return eprintln!("make of 21 files: {last}");
        }
        assert!(heard.0 <= counts[0] && heard.1 <= counts[1] && heard.2 <= counts[2], "{last}");
    }
    eprintln!("make of 21 files, where forkstat lost some: {last}");
}

#[test]
fn an_overload_is_noticed_to_the_last_event_and_recovered_from() {
    if !require_kernel() || !need(&["cc", "sh", "true"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let storm = compile(folder.path(), "storm", STORM);
    let file = folder.path().join("storm.csv");
    // It stands still while the storm goes on.
    let forks = 5000;
    let script =
        format!("kill -STOP $PPID; {} {forks}; kill -CONT $PPID; sleep 0.2; /bin/true; /bin/true", storm.display());
    let witness = Witness::start();
    let clock = Clock::start();
    let args =
        ["record", "--json", "--rcvbuf", "20000", "-o", file.to_str().expect("UTF-8"), "--", "sh", "-c", &script];
    let mut child = command(&args).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut out = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("UTF-8");
    let (time, wall) = (cpu_time(child.id()), clock.elapsed().as_secs_f64());
    let forklab = child.id().cast_signed();
    let status = child.wait().expect("it ends");
    let seen = witness.end();
    let summary: Value = serde_json::from_str(&out).expect("one line of JSON");
    let number = |key: &str| summary[key].as_u64().expect("a number");
    let (received, missing) = (number("received"), number("missing"));
    assert!(missing > forks, "{summary}");
    let total = between_marks(&seen, forklab);
    eprintln!(
        "{forks} forks, a small buffer: {received} events received + {missing} missing = {total} seen by a witness; \
         told {} times; {time:.2} s of its CPU time in {wall:.2} s",
        number("overruns")
    );
    assert_eq!(received + missing, total);
    assert!(time < wall, "it spins");
    assert_eq!((status.code(), &summary["certain"]), (Some(1), &true.into()));
    let text = fs::read_to_string(&file).expect("written");
    let lost = text.lines().filter_map(|line| line.strip_prefix("# lost: ")?.split(' ').next()?.parse::<u64>().ok());
    assert_eq!(lost.sum::<u64>(), missing, "every loss stands in the file");
    // It hears again: the two processes of after the storm are there.
    let storm_is_lost =
        |line: &&str| line.strip_prefix("# lost: ").and_then(|it| it.split(' ').next()).is_some_and(|it| it.len() >= 4);
    let execs = text.lines().rev().take_while(|line| !storm_is_lost(line)).filter(|line| line.starts_with("exec"));
    assert!(execs.count() >= 2, "{:?}", text.lines().rev().take(12).collect::<Vec<_>>());
    Workload::read(&file).expect("whatever was lost, it can be read");
}

#[test]
fn waiting_costs_nothing() {
    if !require_kernel() || !need(&["sleep"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("sleep.csv");
    let mut child = command(&["record", "-o", file.to_str().expect("UTF-8"), "sleep", "2"]).spawn().expect("it runs");
    pause(Duration::from_millis(1900));
    let time = cpu_time(child.id());
    assert!(child.wait().expect("it ends").success());
    eprintln!("2 s of sleep: {time:.2} s of CPU");
    assert!(time < 0.2, "{time} s of CPU for nothing");
}

/// How often the kernel acknowledged a LISTEN or IGNORE of this port: both say it, and each listener hears all answers.
fn acknowledged(seen: &[Seen], port: u32) -> usize {
    seen.iter().filter(|it| matches!(it.what, Told::Ack(_)) && it.ack == port.wrapping_add(1)).count()
}

#[test]
fn ignore_is_said_on_return_on_error_and_by_every_signal() {
    if !require_kernel() || !need(&["sleep", "true"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("x.csv");
    let file = file.to_str().expect("UTF-8");
    let signals = [None, Some(Signal::INT), Some(Signal::TERM), Some(Signal::HUP)];
    let cases = signals.map(|signal| (signal, file)).into_iter().chain([(None, "/dev/full")]);
    for (signal, file) in cases {
        let program: &[&str] = if signal.is_some() { &["sleep", "60"] } else { &["true"] };
        let args = [&["record", "--json", "-o", file, "--"], program].concat();
        let witness = Witness::start();
        let child = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let port = child.id();
        if let Some(signal) = signal {
            let children = format!("/proc/{port}/task/{port}/children");
            until("the command", || fs::read_to_string(&children).is_ok_and(|pids| !pids.is_empty()));
            kill(&child, signal);
        }
        let clock = Clock::start();
        let status = { child }.wait().expect("it ends");
        assert!(clock.elapsed() < Duration::from_secs(10), "{signal:?}");
        let seen = witness.end();
        // One LISTEN, one IGNORE. A listener's port is its pid.
        assert_eq!(acknowledged(&seen, port), 2, "{signal:?} {file} {status}");
    }
}

#[test]
fn ignore_is_said_when_a_panic_unwinds() {
    if !require_kernel() {
        return;
    }
    let witness = Witness::start();
    let (say, hear) = std::sync::mpsc::channel();
    let panicked = std::thread::spawn(move || {
        let events = ProcEvents::open().expect("required before");
        say.send(events.socket().port().expect("bound")).expect("heard");
        std::panic::resume_unwind(Box::new("a bug of somebody"));
    });
    let port = hear.recv().expect("said");
    assert!(panicked.join().is_err());
    assert_eq!(acknowledged(&witness.end(), port), 2);
}

#[test]
fn mistakes_are_one_line_before_anything_runs() {
    let says = |args: &[&str], message: &str| {
        let done = forklab(&[&["record"], args].concat());
        assert_eq!((done.code, done.err.as_str()), (Some(2), format!("forklab: {message}\n").as_str()));
    };
    let command = "expected a command that can be run";
    says(&["--", "no-such-command"], &format!("\"no-such-command\": found no such command, {command}"));
    says(&["--", "/etc"], &format!("\"/etc\": found a directory, {command}"));
    says(&["--", "./README.md"], &format!("\"./README.md\": found a file that may not be executed, {command}"));
    let done = forklab(&["record"]);
    assert!(done.code == Some(2) && done.err.contains("<CMD>"), "{}", done.err);
    if require_kernel() {
        let file = "expected a file that can be written";
        says(&["-o", "/no/x.csv", "--", "true"], &format!("/no/x.csv: found no such directory, {file}"));
        says(&["-o", "/etc", "--", "true"], &format!("/etc: found a directory, {file}"));
    }
}

#[test]
fn a_capture_has_the_messages_of_the_tree() {
    if !require_kernel() || !need(&["true"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["true.pcap", "true.pcap.gz"] {
        let file = folder.path().join(name);
        let (summary, done) = record(&file, &["true"]);
        assert_eq!((done.code, &summary["format"], &summary["forks"]), (Some(0), &"pcap".into(), &1.into()));
        let written = fs::File::open(&file).expect("written");
        let plain: Box<dyn Read> =
            if name.ends_with("gz") { Box::new(flate2::read::GzDecoder::new(written)) } else { Box::new(written) };
        let mut reader = pcap_file::pcap::PcapReader::new(plain).expect("a capture");
        assert_eq!(reader.header().datalink, pcap_file::DataLink::NETLINK);
        let mut kinds = Vec::new();
        while let Some(packet) = reader.next_packet() {
            let data = packet.expect("a packet").data.into_owned();
            let message = uevent::wire::connector::ConnectorMessage::parse(&data[16..]).expect("well-formed");
            kinds.push(uevent::wire::proc_event::ProcEvent::parse(&message).expect("a process event").what.name());
        }
        assert_eq!(kinds, ["fork", "exec", "exit"]);
    }
}
