//! The real sockets, on the kernel this runs on.
#![cfg(all(feature = "netlink", target_os = "linux"))]

mod live;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forklab_uevent::netlink::{NetlinkSocket, ProcEvents, Protocol, To};
use forklab_uevent::source::{Arrival, Loss, Order, Refusal, Trust, UeventSource, Wait};
use forklab_uevent::wire::connector::ConnectorMessage;
use forklab_uevent::wire::proc_event::{ProcEvent, What};
use forklab_uevent::wire::{Message, Shown, emit_keyed};
use rustix::event::{PollFd, PollFlags, poll};

const SOON: Wait = Wait::AtMost(Duration::from_secs(5));

/// A bus of two on NETLINK_USERSOCK: who hears group `group`, and who speaks.
fn bus(group: u32) -> (NetlinkSocket, NetlinkSocket) {
    let hears = NetlinkSocket::open(Protocol::Usersock, group).expect("may join").trusting(Trust::Anyone);
    (hears, NetlinkSocket::open(Protocol::Usersock, 0).expect("may open"))
}

#[test]
fn a_datagram_arrives_with_its_sender_and_group() {
    if !live::require_net_admin() {
        return;
    }
    let (mut hears, speaks) = bus(1 << 3);
    speaks.send(b"fork@/fork_kobj\x00100\x00101\0", To::Groups(1 << 3)).expect("sent");
    let Arrival::Message(got) = hears.receive(SOON).expect("received") else { panic!("no message") };
    assert_eq!((got.bytes, got.group), (&b"fork@/fork_kobj\x00100\x00101\0"[..], 1 << 3));
    assert_eq!(got.sender.port, speaks.port().expect("bound"));
    let credentials = got.sender.credentials.expect("asked for");
    assert_eq!(credentials.pid, std::process::id().cast_signed());
}

#[test]
fn what_a_process_sends_in_the_kernels_place_is_refused() {
    if !live::require_net_admin() {
        return;
    }
    let mut hears = NetlinkSocket::uevents().expect("may listen");
    let speaks = NetlinkSocket::open(Protocol::KobjectUevent, 0).expect("may open");
    let port = hears.port().expect("bound");
    speaks.send(b"add@/forged\0ACTION=add\0", To::Port(port)).expect("sent");
    loop {
        match hears.receive(SOON).expect("received") {
            Arrival::Refused(datagram, Refusal::NotKernel(sender)) => {
                assert_eq!(datagram.bytes, b"add@/forged\0ACTION=add\0");
                return assert_ne!(sender.port, 0);
            }
            // Something else that the machine has to say.
            Arrival::Message(datagram) => assert!(!datagram.bytes.starts_with(b"add@/forged")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn empty_and_oversized_datagrams_are_what_they_are() {
    if !live::require_net_admin() {
        return;
    }
    let (hears, speaks) = bus(1 << 4);
    let mut hears = hears.with_room(100);
    let long = [b'x'; 1000];
    // Kernels of today refuse it (ENODATA), older ones carry it.
    let empty = speaks.send(b"", To::Groups(1 << 4));
    for message in [&long[..], b"\xff\xfe"] {
        speaks.send(message, To::Groups(1 << 4)).expect("sent");
    }
    if empty.is_ok() {
        assert!(matches!(hears.receive(SOON).expect("received"), Arrival::Message(got) if got.bytes.is_empty()));
    }
    let cut = Loss::Truncated { kept: 100, of: 1000 };
    assert_eq!(hears.receive(SOON).expect("received"), Arrival::Lost(cut));
    assert!(matches!(hears.receive(SOON).expect("received"), Arrival::Message(got) if got.bytes == b"\xff\xfe"));
    assert_eq!(hears.receive(Wait::No).expect("received"), Arrival::Nothing);
}

#[test]
fn an_overrun_is_told_before_what_was_queued_and_reading_goes_on_after_it() {
    if !live::require_net_admin() {
        return;
    }
    let (mut hears, speaks) = bus(1 << 5);
    hears.set_rcvbuf(0).expect("set");
    for number in 0..100u8 {
        // A full buffer is the listener's loss; the sender may hear ENOBUFS of it, but need not.
        let _ = speaks.send(&[number], To::Groups(1 << 5));
    }
    assert_eq!(hears.receive(SOON).expect("received"), Arrival::Lost(Loss::Overrun));
    let mut heard = Vec::new();
    let batch = hears.receive_batch(Wait::No, &mut |arrival| match arrival {
        Arrival::Message(datagram) => heard.push(datagram.bytes[0]),
        other => panic!("{other:?}"),
    });
    assert_eq!(batch.expect("read").count, heard.len());
    assert!(!heard.is_empty() && heard.len() < 100 && heard.is_sorted(), "{heard:?}");
    speaks.send(&[200], To::Groups(1 << 5)).expect("sent");
    assert!(matches!(hears.receive(SOON).expect("received"), Arrival::Message(got) if got.bytes == [200]));
}

#[test]
fn a_socket_can_be_polled() {
    if !live::require_net_admin() {
        return;
    }
    let (mut hears, speaks) = bus(1 << 6);
    let ready = |hears: &NetlinkSocket| {
        let fd = hears.as_fd();
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Default::default())).expect("polled") == 1
    };
    assert!(!ready(&hears));
    speaks.send(b"x", To::Groups(1 << 6)).expect("sent");
    assert!(ready(&hears));
    assert!(matches!(hears.receive(Wait::No).expect("received"), Arrival::Message(_)));
    assert!(!ready(&hears));
}

#[test]
fn memory_that_a_queued_message_is_charged_with_is_told() {
    if !live::require_net_admin() {
        return;
    }
    let (mut hears, speaks) = bus(1 << 7);
    let before = hears.meminfo().expect("listed");
    assert_eq!((before.rmem_alloc, before.rcvbuf as usize), (0, hears.rcvbuf().expect("told")));
    speaks.send(b"x", To::Groups(1 << 7)).expect("sent");
    assert!(hears.meminfo().expect("listed").rmem_alloc > 0);
    hears.receive(Wait::No).expect("received");
    assert_eq!(hears.meminfo().expect("listed").rmem_alloc, 0);
}

#[test]
fn forks_of_this_process_are_heard_in_order() {
    if !live::require_process_events() {
        return;
    }
    let mut events = ProcEvents::open().expect("may listen");
    let child = std::process::Command::new("true").spawn().and_then(|mut child| child.wait().map(|_| child.id()));
    let child = child.expect("runs").cast_signed();
    let mut order = Order::default();
    let mut seen = Vec::new();
    while !seen.contains(&"exit") {
        match events.receive(SOON).expect("received") {
            Arrival::Message(datagram) => {
                let message = ConnectorMessage::parse(datagram.bytes).expect("well-formed");
                let event = ProcEvent::parse(&message).expect("a proc_event");
                let stream = event.stream().expect("a CPU");
                assert_eq!(order.saw(stream, message.seq.into()), None);
                match event.what {
                    What::Fork(ids) if ids.child_pid == child => {
                        assert_eq!(ids.parent_tgid, std::process::id().cast_signed());
                        seen.push("fork");
                    }
                    What::Exec(ids) if ids.pid == child => seen.push("exec"),
                    What::Exit { ids, code: 0, .. } if ids.pid == child => seen.push("exit"),
                    _ => {}
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["fork", "exec", "exit"]);
    events.close().expect("said IGNORE");
}

/// All files of this name below a directory; links are not followed.
fn files(directory: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), name, found),
            Ok(kind) if kind.is_file() && entry.file_name() == name => found.push(entry.path()),
            _ => {}
        }
    }
}

#[test]
fn whatever_this_machine_emits_is_read_and_written_back_byte_for_byte() {
    if !live::require_sysfs() {
        return;
    }
    let mut files_of_sysfs = Vec::new();
    files(Path::new("/sys/devices"), "uevent", &mut files_of_sysfs);
    let mut socket = NetlinkSocket::uevents().expect("may listen");
    let (mut written, mut heard) = (0, 0);
    for file in files_of_sysfs {
        // Some refuse (a driver, a device that is going away): they emit nothing.
        let uuid = format!("change {:08x}-0000-4000-8000-000000000000 FORKLAB=1", written);
        if std::fs::write(&file, uuid).is_err() {
            continue;
        }
        written += 1;
        let mine = format!("SYNTH_UUID={:08x}-0000-4000-8000-000000000000", written - 1);
        loop {
            // The kernel sends before the write returns.
            match socket.receive(Wait::No).expect("received") {
                Arrival::Message(datagram) => {
                    let message = Message::parse(datagram.bytes).expect("a kernel's message is well-formed");
                    message.check().expect("and has nothing odd");
                    let mut again = Vec::new();
                    emit_keyed(&mut again, message.action(), message.devpath(), message.keys()).expect("again");
                    assert_eq!(Shown(&again).to_string(), Shown(datagram.bytes).to_string());
                    heard += 1;
                    if message.strings().any(|string| string == mine.as_bytes()) {
                        break;
                    }
                }
                // Its uevent_ops have a filter, which kept it back.
                Arrival::Nothing => break,
                other => panic!("{other:?}"),
            }
        }
    }
    eprintln!("{written} uevent files written, {heard} messages heard");
    assert!(written > 0 && heard > 0, "{written} written, {heard} heard");
}

#[test]
fn nothing_that_another_sender_sends_is_believed_or_panics() {
    if !live::require_net_admin() {
        return;
    }
    let mut hears = NetlinkSocket::open(Protocol::Usersock, 1 << 8).expect("may join");
    let speaks = NetlinkSocket::open(Protocol::Usersock, 0).expect("may open");
    let forged = b"add@/x\0ACTION=add\0DEVPATH=/x\0SUBSYSTEM=mem\0SEQNUM=1\0";
    let truncated = &forged[..20];
    let oversized = vec![b'a'; 100_000];
    let random: Vec<Vec<u8>> = (0..200u32).map(|n| (0..n).map(|i| (i * 31 + n * 7) as u8).collect()).collect();
    let hostile = [&forged[..], truncated, b"\0", b"\xff\xfe@\xff\0", &oversized];
    let all: Vec<&[u8]> = hostile.into_iter().chain(random[1..].iter().map(Vec::as_slice)).collect();
    let (mut refused, mut cut) = (0, 0);
    for bytes in &all {
        speaks.send(bytes, To::Groups(1 << 8)).expect("sent");
        match hears.receive(SOON).expect("received") {
            Arrival::Refused(datagram, Refusal::NotKernel(_)) => {
                assert_eq!(datagram.bytes, *bytes);
                let _ = Message::parse(datagram.bytes).map(|message| message.check());
                let _ = ConnectorMessage::parse(datagram.bytes).map(|message| ProcEvent::parse(&message));
                refused += 1;
            }
            Arrival::Lost(Loss::Truncated { of, .. }) => {
                assert_eq!(of, oversized.len());
                cut += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, cut), (all.len() - 1, 1));
}
