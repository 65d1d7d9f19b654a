//! The real kernel: messages a second that a socket hands over, and what a listener costs whoever forks.
//!
//! Two questions, each first as interleaved samples, so that other load on the machine falls on all alike, then as tables:
//!
//! - **Receiving.** The queue is filled before, so that only receiving is in the time: our source with everything parsed,
//!   beside a bare loop of the C library's `recv()` over the same socket, beside one whose system call is inlined (no
//!   program in C has that; a return after a system call may cost more than the call, as the kernel's mitigations leave
//!   the processor without a prediction), and beside that one over a socket that does not ask for credentials. 214-byte
//!   uevents with keys, and 76-byte process events.
//! - **A storm.** 1,000 vforks with nobody listening, with forkstat, with `forklab record` and with `forklab relay`. Whoever
//!   forks is pinned to CPU 0, and the listener has the others: what is measured is what the fork itself pays. Or nobody is
//!   pinned: there the scheduler's choice is measured, too. It puts a child on another CPU while that one is idle, which
//!   is slower, and on the same one while a listener keeps the other busy.
//!
//! Needs root, and for its peers forkstat and taskset. Without them, that part is left out with a word.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use divan::Bencher;
use divan::counter::ItemsCount;
use forklab::live::clock::Clock;
use nix::sys::socket::MsgFlags;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::net::netlink::{SocketAddrNetlink, USERSOCK};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with, sockopt};
use uevent::netlink::{NetlinkSocket, Protocol, To};
use uevent::source::{Arrival, Trust, UeventSource, Wait};
use uevent::wire::connector::{ConnectorMessage, ForkIds};
use uevent::wire::proc_event::{ProcEvent, What, emit_proc_event};
use uevent::wire::{Message, emit_keyed};

/// Messages in the queue.
const QUEUE: usize = 4000;
const RCVBUF: usize = 64 << 20;
/// The group of our socket, and that of the bare one.
const OURS: u32 = 1 << 20;
const BARE: u32 = 1 << 21;
/// Forks of a sample.
const STORM: usize = 1000;

fn main() {
    if NetlinkSocket::open(Protocol::Usersock, OURS).is_err() {
        return eprintln!("skipped: joining a netlink group needs root (CAP_NET_ADMIN)");
    }
    // With a filter, only the tables that it asks for.
    if std::env::args().skip(1).all(|arg| arg == "--bench") {
        receiving();
        Place::ALL.into_iter().for_each(storms);
    }
    divan::main();
}

/// What is in the queue.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Uevent,
    ProcessEvent,
}

const KINDS: [Kind; 2] = [Kind::Uevent, Kind::ProcessEvent];

impl Kind {
    fn message(self, number: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Kind::Uevent => {
                let path = "/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda";
                let number = format!("{:06}", number + 100_000);
                let keys = [
                    ("ACTION", "change"),
                    ("DEVPATH", path),
                    ("SUBSYSTEM", "block"),
                    ("MAJOR", "8"),
                    ("SEQNUM", number.as_str()),
                ];
                emit_keyed(&mut bytes, "change", path, keys).expect("no NUL");
                bytes.truncate(214);
            }
            Kind::ProcessEvent => {
                let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
                let event = ProcEvent { cpu: 1, timestamp_ns: 5, what: What::Fork(ids) };
                emit_proc_event(&mut bytes, number, 0, &event);
            }
        }
        bytes
    }

    fn fill(self, out: &NetlinkSocket, group: u32) {
        for number in 0..QUEUE {
            let message = self.message(u32::try_from(number).expect("small"));
            out.send(&message, To::Groups(group)).expect("sent");
        }
    }
}

/// Our source, trusted as a bus of one's own.
struct Ours {
    source: NetlinkSocket,
    kind: Kind,
}

impl Ours {
    fn new(kind: Kind) -> Ours {
        let socket = NetlinkSocket::open(Protocol::Usersock, OURS).expect("root").trusting(Trust::Anyone);
        socket.set_rcvbuf(RCVBUF).expect("root");
        Ours { source: socket, kind }
    }

    fn drain(&mut self) {
        let mut count = 0;
        loop {
            match self.source.receive(Wait::No).expect("received") {
                Arrival::Message(datagram) => parse(self.kind, datagram.bytes),
                Arrival::Nothing => break,
                other => panic!("{other:?}"),
            }
            count += 1;
        }
        assert_eq!(count, QUEUE);
    }
}

fn parse(kind: Kind, bytes: &[u8]) {
    match kind {
        Kind::Uevent => {
            let message = Message::parse(bytes).expect("well-formed");
            black_box((message.action(), message.devpath(), message.keys().count()));
        }
        Kind::ProcessEvent => {
            let message = ConnectorMessage::parse(bytes).expect("well-formed");
            black_box(ProcEvent::parse(&message).expect("a process event"));
        }
    }
}

fn bare() -> OwnedFd {
    let fd =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(USERSOCK)).expect("a socket");
    bind(&fd, &SocketAddrNetlink::new(0, BARE)).expect("root");
    sockopt::set_socket_recv_buffer_size_force(&fd, RCVBUF).expect("root");
    fd
}

/// Whose `recv()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recv {
    /// The C library's.
    Libc,
    /// The system call, in line.
    Inline,
}

fn drain_bare(fd: impl AsFd, how: Recv, room: &mut [u8]) {
    let fd = fd.as_fd();
    let mut count = 0;
    let mut next = || match how {
        Recv::Libc => nix::sys::socket::recv(fd.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT).ok(),
        Recv::Inline => recv(fd, &mut *room, RecvFlags::DONTWAIT).ok().map(|(_, len)| len),
    };
    while let Some(len) = next() {
        black_box(len);
        count += 1;
    }
    assert_eq!(count, QUEUE);
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn timed(work: impl FnOnce()) -> f64 {
    let clock = Clock::start();
    work();
    clock.elapsed().as_secs_f64()
}

/// All in turn, one after the other, many times.
fn receiving() {
    let out = NetlinkSocket::open(Protocol::Usersock, 0).expect("root");
    let mut room = [0; 8192];
    for kind in KINDS {
        let (mut ours, mut libc, mut inline, mut bares) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut source, fd) = (Ours::new(kind), bare());
        for _ in 0..100 {
            kind.fill(&out, OURS);
            ours.push(timed(|| source.drain()));
            for (how, samples) in [(Recv::Libc, &mut libc), (Recv::Inline, &mut inline)] {
                kind.fill(&out, OURS);
                samples.push(timed(|| drain_bare(&source.source, how, &mut room)));
            }
            kind.fill(&out, BARE);
            bares.push(timed(|| drain_bare(&fd, Recv::Inline, &mut room)));
        }
        let rate = |samples| QUEUE as f64 / median(samples);
        let (ours, libc, inline, bare) = (rate(ours), rate(libc), rate(inline), rate(bares));
        let bytes = kind.message(0).len();
        println!("receiving {bytes}-byte messages: ours, parsed, with senders {ours:.0}/s");
        println!("  a bare recv() loop over the same socket {libc:.0}/s: ratio {:.2}", ours / libc);
        println!("  the same with the system call inlined {inline:.0}/s: ratio {:.2}", ours / inline);
        println!("  and over a socket that does not ask who sent them {bare:.0}/s: ratio {:.2}", ours / bare);
    }
}

/// Where somebody forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OneCpu,
    AnyCpu,
}

impl Place {
    const ALL: [Place; 2] = [Place::OneCpu, Place::AnyCpu];
}

/// Who listens while somebody forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    Nobody,
    Forkstat,
    Record,
    Relay,
}

const LISTENERS: [Listener; 4] = [Listener::Nobody, Listener::Forkstat, Listener::Record, Listener::Relay];

/// The program of `benches/vfork.c`, and whoever listens.
struct Storm {
    peer: Child,
    ask: Option<ChildStdin>,
    answer: BufReader<ChildStdout>,
    listener: Option<Child>,
}

impl Storm {
    /// None if the listener is not on this machine, or who forks cannot be pinned.
    fn start(listener: Listener, place: Place) -> Option<Storm> {
        if place == Place::OneCpu {
            // Of who forks under `record` nobody here would hear that he cannot be pinned.
            let pinned = Command::new("taskset").args(["-c", "0", "true"]).output();
            pinned.ok().filter(|pinned| pinned.status.success())?;
        }
        let program = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("vfork");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/vfork.c");
        let built = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).status();
        assert!(built.expect("cc, with which Rust links, can be run").success(), "cc compiles {source}");
        let file = program.with_extension("csv");
        let forklab = || Command::new(env!("CARGO_BIN_EXE_forklab"));
        let mut words = match place {
            Place::OneCpu => vec!["taskset".into(), "-c".into(), "0".into()],
            Place::AnyCpu => vec![],
        };
        words.push(program.into_os_string());
        let mut peer = match listener {
            Listener::Record => {
                let mut record = forklab();
                record.arg("record").arg("-o").arg(file).arg("--").args(&words);
                record
            }
            _ => {
                let mut peer = Command::new(&words[0]);
                peer.args(&words[1..]);
                peer
            }
        };
        let mut beside = match listener {
            Listener::Nobody | Listener::Record => None,
            Listener::Forkstat => Some(Command::new("forkstat")),
            Listener::Relay => {
                let mut relay = forklab();
                relay.arg("relay");
                Some(relay)
            }
        };
        let mut peer = peer.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let (ask, answer) = (peer.stdin.take(), peer.stdout.take().expect("piped"));
        // From here on the peer ends with the storm, whatever becomes of the listener.
        let mut storm = Storm { peer, ask, answer: BufReader::new(answer), listener: None };
        let beside = beside.as_mut().map(|it| it.stdout(Stdio::null()).stderr(Stdio::null()).spawn());
        storm.listener = beside.transpose().ok()?;
        // Whoever listens has begun by then.
        storm.vfork(3 * STORM);
        Some(storm)
    }

    fn vfork(&mut self, times: usize) {
        writeln!(self.ask.as_mut().expect("until it is dropped"), "{times}").expect("the peer reads");
        let read = self.answer.read_line(&mut String::new()).expect("the peer answers");
        assert!(read > 0, "the peer could not vfork");
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        drop(self.ask.take());
        // They end by themselves at the end of their input, or are told; one that is gone already is no error here.
        let _ = self.peer.wait();
        if let Some(mut listener) = self.listener.take() {
            let _ = rustix::process::kill_process(
                rustix::process::Pid::from_child(&listener),
                rustix::process::Signal::TERM,
            );
            let _ = listener.wait();
        }
    }
}

/// All four in turn, many times.
fn storms(place: Place) {
    let on = match place {
        Place::OneCpu => "pinned to a CPU",
        Place::AnyCpu => "on any CPU",
    };
    let mut samples = LISTENERS.map(|_| Vec::new());
    for _ in 0..12 {
        for (listener, samples) in LISTENERS.iter().zip(&mut samples) {
            let Some(mut storm) = Storm::start(*listener, place) else {
                return eprintln!("skipped: a storm {on} with {listener:?}: a program is missing");
            };
            samples.extend((0..6).map(|_| timed(|| storm.vfork(STORM))));
        }
    }
    let medians = samples.map(median);
    for (listener, median) in LISTENERS.iter().zip(medians) {
        let each = median / STORM as f64 * 1e6;
        println!(
            "a storm of vforks {on}, {listener:?} listens: {each:.1} µs each, {:.2} times as long",
            median / medians[0]
        );
    }
}

/// Our source, everything parsed.
#[divan::bench(args = KINDS, sample_count = 50, sample_size = 1)]
fn receive_ours(bencher: Bencher, kind: Kind) {
    let out = NetlinkSocket::open(Protocol::Usersock, 0).expect("root");
    let mut source = Ours::new(kind);
    let filled = || kind.fill(&out, OURS);
    bencher.counter(ItemsCount::new(QUEUE)).with_inputs(filled).bench_local_values(|()| source.drain());
}

/// `recv()`, and nothing done with what it received, over a socket that does not ask who sent it.
#[divan::bench(args = KINDS, sample_count = 50, sample_size = 1)]
fn receive_bare(bencher: Bencher, kind: Kind) {
    let out = NetlinkSocket::open(Protocol::Usersock, 0).expect("root");
    let (fd, mut room) = (bare(), [0; 8192]);
    let filled = || kind.fill(&out, BARE);
    let bencher = bencher.counter(ItemsCount::new(QUEUE)).with_inputs(filled);
    bencher.bench_local_values(|()| drain_bare(&fd, Recv::Libc, &mut room));
}

/// vfork + _exit + waitpid, pinned to a CPU, while somebody listens or nobody.
#[divan::bench(args = LISTENERS, sample_count = 20, sample_size = 1)]
fn storm(bencher: Bencher, listener: Listener) {
    let Some(mut storm) = Storm::start(listener, Place::OneCpu) else { return };
    bencher.counter(ItemsCount::new(STORM)).bench_local(|| storm.vfork(STORM));
}
