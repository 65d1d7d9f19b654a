//! The formats, as the simulated kernel says them, on their way to real listeners.

use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use pcap_file::pcap::PcapReader;
use uevent::netlink::{NetlinkSocket, Protocol, To};
use uevent::source::{Arrival, Trust, UeventSource, Wait};
use uevent::wire::connector::ForkIds;
use uevent::wire::proc_event::{ProcEvent, What, emit_proc_event};
use uevent::wire::{Filters, Shown, emit_keyed, emit_libudev};

use crate::common::forklab;

/// The number that stands for whatever the kernel counts to: its own differs from run to run.
const SEQNUM: &str = "1000";

/// How a datagram gets to its listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From a process to a group of `NETLINK_KOBJECT_UEVENT`, as it is.
    Group(u32),
    /// From a process to the kernel, behind a `nlmsghdr`; it sends it to group 1.
    Kernel,
    /// From a process to group 1 of `NETLINK_CONNECTOR`, as it is.
    Connector,
}

impl Way {
    /// In words.
    pub fn said(self) -> &'static str {
        match self {
            Way::Group(1) => "by a process to group 1 of NETLINK_KOBJECT_UEVENT, as it is",
            Way::Group(_) => "by a process to group 2 of NETLINK_KOBJECT_UEVENT, as udevd does",
            Way::Kernel => "by a process to the kernel, which appends SEQNUM and sends it to group 1",
            Way::Connector => "by a process to group 1 of NETLINK_CONNECTOR, as it is",
        }
    }
}

/// One format.
pub struct Format {
    pub name: &'static str,
    pub way: Way,
    /// What is sent.
    bytes: Vec<u8>,
}

/// Every format: parent 100 makes child 101.
pub fn all() -> Vec<Format> {
    let format = |name, way, bytes| Format { name, way, bytes };
    vec![
        format("bare", Way::Group(1), simulated("bare")),
        format("bare + SEQNUM", Way::Kernel, simulated("bare")),
        format("keys", Way::Kernel, simulated("keys")),
        format("keys of a device", Way::Kernel, change()),
        format("connector-ascii", Way::Connector, simulated("connector-ascii")),
        format("connector-struct", Way::Connector, simulated("connector-struct")),
        format("proc_event", Way::Connector, proc_event()),
        format("libudev", Way::Group(2), libudev()),
    ]
}

/// What the patch sends in this format, from a simulated run.
fn simulated(format: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.pcap");
    let done = forklab(&["run", "one-fork", "--format", format, "--pcap", file.to_str().expect("UTF-8")]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let mut capture = PcapReader::new(std::fs::File::open(&file).expect("written")).expect("a capture");
    let packet = capture.next_packet().expect("one message").expect("a whole one");
    // Behind the cooked header.
    packet.data[16..].to_vec()
}

const DEVICE: [(&str, &str); 5] = [
    ("ACTION", "change"),
    ("DEVPATH", "/devices/virtual/mem/null"),
    ("SUBSYSTEM", "mem"),
    ("PPID", "100"),
    ("PID", "101"),
];

/// A change of a device that is there, with two keys more.
fn change() -> Vec<u8> {
    let mut bytes = Vec::new();
    emit_keyed(&mut bytes, "change", "/devices/virtual/mem/null", DEVICE).expect("well-formed");
    bytes
}

/// The same as udevd sends it, without the hashes that filters look at.
fn libudev() -> Vec<u8> {
    let mut bytes = Vec::new();
    let keys = DEVICE.into_iter().chain([("SEQNUM", SEQNUM)]);
    emit_libudev(&mut bytes, Filters::default(), keys).expect("well-formed");
    bytes
}

/// What a kernel of today says of a fork.
fn proc_event() -> Vec<u8> {
    let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
    let mut bytes = Vec::new();
    emit_proc_event(&mut bytes, 0, 0, &ProcEvent { cpu: 0, timestamp_ns: 1_000_000_000, what: What::Fork(ids) });
    bytes
}

impl Format {
    /// Does something where no other uevent is heard: in a network namespace of its own, which a thread can have. The
    /// connector is in the first one only.
    pub fn alone<T: Send>(&self, does: impl FnOnce(&Format) -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if !self.is_connector() {
                    unshare(CloneFlags::CLONE_NEWNET).expect("root may have a network namespace");
                }
                does(self)
            });
            thread.join().expect("no panic")
        })
    }

    /// Sends it, and gives back what a listener received. In the network namespace of this thread.
    pub fn send(&self) -> Vec<u8> {
        let (protocol, group) = match self.way {
            Way::Group(group) => (Protocol::KobjectUevent, group),
            Way::Kernel => (Protocol::KobjectUevent, 1),
            Way::Connector => (Protocol::Connector, 1),
        };
        let mut hears = NetlinkSocket::open(protocol, group).expect("may listen").trusting(Trust::Anyone);
        let speaks = NetlinkSocket::open(protocol, 0).expect("may open");
        match self.way {
            Way::Kernel => speaks.send(&to_kernel(&self.bytes), To::Kernel),
            Way::Group(group) => speaks.send(&self.bytes, To::Groups(group)),
            Way::Connector => speaks.send(&self.bytes, To::Groups(1)),
        }
        .expect("sent");
        loop {
            let arrival = hears.receive(Wait::AtMost(Duration::from_secs(5))).expect("received");
            let Arrival::Message(datagram) = arrival else { panic!("{arrival:?}") };
            if datagram.bytes.starts_with(&self.bytes) {
                return datagram.bytes.to_vec();
            }
        }
    }

    /// What listeners receive, with the same number on every run.
    pub fn heard(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if self.way == Way::Kernel {
            bytes.extend_from_slice(format!("SEQNUM={SEQNUM}\0").as_bytes());
        }
        bytes
    }

    pub fn heard_shown(&self) -> String {
        Shown(&self.heard()).to_string()
    }

    /// Whether it goes over `NETLINK_CONNECTOR`.
    pub fn is_connector(&self) -> bool {
        self.way == Way::Connector
    }
}

/// `NLMSG_MIN_TYPE`: `uevent_net_rcv_skb()` looks at no type, and netlink passes on no smaller one.
const NLMSG_MIN_TYPE: u16 = 16;
/// `NLM_F_REQUEST`, without which netlink passes on nothing.
const NLM_F_REQUEST: u16 = 1;

/// The message behind a `nlmsghdr`.
fn to_kernel(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + bytes.len()).expect("small");
    let mut message = len.to_ne_bytes().to_vec();
    message.extend_from_slice(&NLMSG_MIN_TYPE.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(bytes);
    message
}

/// The same words on every run: the kernel's number is [`SEQNUM`].
pub fn settled(line: &str) -> String {
    let Some(at) = line.find("SEQNUM=") else { return line.into() };
    let (before, number) = line.split_at(at + "SEQNUM=".len());
    format!("{before}{SEQNUM}{}", number.trim_start_matches(|c: char| c.is_ascii_digit()))
}
