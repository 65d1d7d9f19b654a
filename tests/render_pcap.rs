//! The capture file: its bytes, and that no error is lost.

mod common;

use std::io::{self, Write};
use std::rc::Rc;

use forklab::render::pcap::{Pcap, pcap};
use sim::trace::Recording;
use sim::{Calm, Config, Machine};
use uevent::Core;
use uevent::kobject::{kobject_init, kobject_set_name};
use uevent::kobject_uevent::{kobject_fork, kobject_uevent_init};

/// Three fork events, seen by whatever `attach` attaches and by a recording.
fn three_forks(attach: impl FnOnce(&Machine)) -> Recording {
    let m = Machine::new(Config::default(), Calm);
    let core = Rc::new(Core::new(m.clone(), uevent::Config::default()).expect("links"));
    attach(&m);
    let recording = m.trace.record();
    m.spawn("p", async move {
        kobject_uevent_init(&core).await.expect("no faults");
        let kobj = core.new_kobject();
        kobject_init(&core, kobj);
        kobject_set_name(&core, kobj, b"fork_kobj", Vec::new).await.expect("fits the array");
        for child in 101..104 {
            kobject_fork(&core, kobj, 100, child).await;
        }
    });
    m.run();
    recording
}

#[test]
fn each_broadcast_is_a_packet_with_a_cooked_netlink_header() {
    let capture = Pcap::new(Vec::new()).expect("memory takes everything");
    three_forks(|m| m.trace.attach(capture.sink()));
    let (packets, bytes) = capture.finish().expect("memory takes everything");
    assert_eq!(packets, 3);
    assert_eq!(bytes[20..24], 253_u32.to_le_bytes());
    let first = &bytes[24..24 + 16 + 16 + 24];
    assert_eq!(first[8..16], [40, 0, 0, 0, 40, 0, 0, 0], "all of its 16 + 24 bytes");
    assert_eq!(first[16..32], [0, 6, 3, 56, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15]);
    assert_eq!(&first[32..], b"fork@/fork_kobj\x00100\x00101\x00");
}

#[test]
fn a_recording_gives_the_file_that_the_run_gave() {
    let capture = Pcap::new(Vec::new()).expect("memory takes everything");
    let recording = three_forks(|m| m.trace.attach(capture.sink()));
    let live = capture.finish().expect("memory takes everything").1;
    assert_eq!(pcap(&recording.take(), Vec::new()).expect("memory takes everything"), live);
}

/// Takes so many bytes and then says that the disk is full.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.0);
        self.0 -= n;
        if n == 0 { Err(io::Error::other("disk full")) } else { Ok(n) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.0 == 0 { Err(io::Error::other("disk full")) } else { Ok(()) }
    }
}

#[test]
fn an_error_of_the_disk_is_kept_until_the_end() {
    let whole = pcap(&three_forks(|_| ()).take(), Vec::new()).expect("memory takes everything").len();
    for room in 24..=whole {
        let capture = Pcap::new(Full(room)).expect("the header fits");
        three_forks(|m| m.trace.attach(capture.sink()));
        assert!(capture.finish().is_err(), "after {room} bytes");
    }
    assert!(Pcap::new(Full(23)).is_err());
}

/// It also calls the packet malformed, since an uevent has no `nlmsghdr`: `tests/wireshark.rs` has what helps.
#[test]
#[cfg(target_os = "linux")]
fn tshark_knows_the_family_of_each_packet() {
    if !common::tools::need(&["tshark"]) {
        return;
    }
    let capture = pcap(&three_forks(|_| ()).take(), Vec::new()).expect("memory takes everything");
    let fields = ["frame.protocols", "netlink.hatype", "netlink.family"];
    let rows = common::tshark::fields(common::tshark::plain(), &capture, &fields);
    assert_eq!(rows, [["netlink", "824", "0x000f"]; 3]);
}
