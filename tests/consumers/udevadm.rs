//! `udevadm monitor`, as a child that hears one message.

use std::process::{Child, Command, Stdio};

use forklab::render::layout::Verdict;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::tools::{self, wait_until};
use crate::formats::{Format, settled};

pub fn version() -> String {
    tools::version("udevadm")
}

/// What it says of a message: its event, or its complaints.
pub fn answer(flag: &'static str, format: &Format) -> (Verdict, Vec<String>) {
    format.alone(|format| ask(flag, format))
}

fn ask(flag: &str, format: &Format) -> (Verdict, Vec<String>) {
    let mut command = Command::new("udevadm");
    command.args(["monitor", "--property", flag]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("SYSTEMD_LOG_LEVEL", "debug").env("SYSTEMD_LOG_TARGET", "console").env("SYSTEMD_COLORS", "0");
    let child = command.spawn().expect("udevadm starts");
    wait_until("udevadm listens", || queued(&child).is_some());
    format.send();
    wait_until("udevadm has read it", || queued(&child) == Some(0));
    // It handles what it has read, and then this.
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(settled).collect::<Vec<_>>();
    judge(event(text(&output.stdout)), complaints(text(&output.stderr)))
}

/// Bytes that wait for this child in its netlink socket, if it listens to uevents: its port id is its process id.
fn queued(child: &Child) -> Option<u64> {
    let sockets = std::fs::read_to_string("/proc/thread-self/net/netlink").expect("a list of netlink sockets");
    sockets.lines().skip(1).find_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let listens = columns[1] == "15" && columns[2] == child.id().to_string() && columns[3] != "00000000";
        listens.then(|| columns[4].parse().expect("a number"))
    })
}

/// From the line with a time on, `KERNEL[2899.600251] change /devices/… (mem)`, to the end.
fn event(lines: Vec<String>) -> Vec<String> {
    let lines = lines.into_iter().filter(|line| !line.is_empty());
    let mut event: Vec<_> = lines.skip_while(|line| !(line.contains('[') && line.contains("] "))).collect();
    if let Some(first) = event.first_mut() {
        let (before, rest) = first.split_once('[').expect("it has one");
        let (_, after) = rest.split_once(']').expect("and the other");
        *first = format!("{before}[…]{after}");
    }
    event
}

/// What it says about the message: not about the machine that it runs on, which is what `(n/a)` stands for.
fn complaints(lines: Vec<String>) -> Vec<String> {
    let about = |line: &String| line.contains("sd-device") && !line.contains("(n/a)");
    lines.into_iter().filter(about).map(|line| without_pid(&line)).collect()
}

/// A sender's process id differs from run to run.
fn without_pid(line: &str) -> String {
    let Some((before, after)) = line.split_once("from PID ") else { return line.into() };
    format!("{before}from PID …{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn judge(event: Vec<String>, complaints: Vec<String>) -> (Verdict, Vec<String>) {
    let has = |line: &str| event.iter().any(|found| found == line);
    let verdict = match (event.is_empty(), complaints.is_empty()) {
        (false, _) if has("PPID=100") && has("PID=101") => Verdict::Pids,
        (false, _) => Verdict::NoPids,
        (true, false) => Verdict::Refused,
        (true, true) => Verdict::Nothing,
    };
    (verdict, [event, complaints].concat())
}
