//! What tests and benches of the real kernel share: what they need, C programs with known forks, a witness.
//!
//! What is missing is said by name; and where `FORKLAB_REQUIRE_LIVE=1` is set, as the project's CI does, it is a failure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::tools::skip;
use uevent::netlink::{NetlinkSocket, ProcEvents, Protocol};
use uevent::source::{Arrival, UeventSource, Wait};
use uevent::wire::connector::ConnectorMessage;
use uevent::wire::proc_event::{ProcEvent, What};

/// Whether a test that needs `what` may go on.
pub fn require(what: &str, missing: Option<String>) -> bool {
    missing.is_none_or(|missing| skip(&format!("{what}: {missing}")))
}

/// Process events: for root; since Linux 6.6 for everybody.
pub fn require_kernel() -> bool {
    require("process events", ProcEvents::open().err().map(|error| error.to_string()))
}

/// Joining the groups that messages are relayed to.
pub fn require_groups() -> bool {
    let joined = NetlinkSocket::open(Protocol::Usersock, 1 << 31);
    require("joining a group of NETLINK_USERSOCK needs root", joined.err().map(|error| error.to_string()))
}

/// Compiles a C program into a folder.
pub fn compile(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (program, file) = (folder.join(name), folder.join(format!("{name}.c")));
    std::fs::write(&file, source).expect("a temporary folder can be written");
    let built = Command::new("cc").args(["-O2", "-pthread", "-o"]).arg(&program).arg(&file).status();
    assert!(built.expect("cc can be run").success(), "cc compiles {name}.c");
    program
}

/// `storm N`: so many times vfork, _exit and waitpid.
pub const STORM: &str = r"
#define _DEFAULT_SOURCE
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0;
	while (n-- > 0) {
		pid_t child = vfork();
		if (child == 0)
			_exit(0);
		if (child < 0 || waitpid(child, NULL, 0) != child)
			return 1;
	}
	return 0;
}
";

/// Runs a command to its end without output; whether it succeeded.
pub fn quiet(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
}

/// One message that a witness heard: its CPU, its number, what it says.
pub struct Seen {
    pub cpu: u32,
    pub seq: u32,
    pub ack: u32,
    pub what: What,
}

/// A second listener with a receive buffer that is large enough, which reads all the time.
pub struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Seen>>,
}

impl Witness {
    pub fn start() -> Witness {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let (say, listens) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut events = ProcEvents::open().expect("required before");
            events.socket().set_rcvbuf(256 << 20).expect("root may");
            say.send(()).expect("heard");
            let mut seen = Vec::new();
            loop {
                let stopped = told.load(Ordering::Relaxed);
                match events.receive(Wait::AtMost(Duration::from_millis(20))).expect("received") {
                    Arrival::Message(datagram) => {
                        let message = ConnectorMessage::parse(datagram.bytes).expect("well-formed");
                        let ProcEvent { cpu, what, .. } = ProcEvent::parse(&message).expect("a process event");
                        seen.push(Seen { cpu, seq: message.seq, ack: message.ack, what });
                    }
                    Arrival::Nothing if stopped => return seen,
                    // Somebody else may speak on this bus.
                    Arrival::Nothing | Arrival::Refused(..) => {}
                    other => panic!("the witness lost something itself: {other:?}"),
                }
            }
        });
        listens.recv().expect("it listens");
        Witness { stop, thread }
    }

    /// All that it saw.
    pub fn end(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the witness missed nothing")
    }
}

/// How many events there were on each CPU between the first and the last mark of a process, the last one counted.
pub fn between_marks(seen: &[Seen], marker: i32) -> u64 {
    let mut marks: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for it in seen {
        if matches!(it.what, What::Comm(ids, _) if ids.pid == marker) {
            marks.entry(it.cpu).or_insert((it.seq, it.seq)).1 = it.seq;
        }
    }
    assert!(!marks.is_empty(), "process {marker} made marks");
    let within = |it: &&Seen| {
        let of_cpu = marks.get(&it.cpu);
        of_cpu.is_some_and(|&(first, last)| it.seq.wrapping_sub(first).wrapping_sub(1) < last.wrapping_sub(first))
    };
    seen.iter().filter(within).count() as u64
}

/// User and system time of a process that was not waited for yet, without its children, in seconds.
pub fn cpu_time(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it was not waited for");
    let columns: Vec<_> = stat.rsplit(')').next().expect("a name in brackets").split_whitespace().collect();
    // utime and stime, columns 14 and 15, in hundredths: USER_HZ.
    let ticks = |at: usize| columns[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

/// The real kernel has a clock.
#[expect(clippy::disallowed_methods, reason = "the real kernel has a clock")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
