//! The connector's codec: what is written is read back, what is wrong is pointed at, and nothing panics.

use forklab_uevent::wire::connector::{
    CN_FORK, CN_PROC, ConnectorMessage, ForkIds, emit, emit_fork_ascii, emit_fork_struct, struct_payload,
};
use proptest::prelude::*;

const IDS: ForkIds = ForkIds { parent_pid: 100, parent_tgid: 99, child_pid: 101, child_tgid: 99 };

fn ascii() -> Vec<u8> {
    let mut bytes = Vec::new();
    emit_fork_ascii(&mut bytes, 7, 100, 101);
    bytes
}

/// What is said of a message, be it about its headers or about its payload.
fn error(bytes: &[u8]) -> String {
    ConnectorMessage::parse(bytes).and_then(|message| message.fork()).expect_err("it is wrong").to_string()
}

#[test]
fn an_ascii_event_is_44_bytes_with_its_two_pids_and_its_number() {
    let bytes = ascii();
    assert_eq!(bytes.len(), 44);
    assert_eq!(&bytes[36..], b"100 101\0");
    let message = ConnectorMessage::parse(&bytes).expect("a message");
    let fork = message.fork().expect("a fork");
    assert_eq!((message.id, message.seq, message.data), (CN_FORK, 7, &b"100 101\0"[..]));
    assert_eq!((fork.ids.parent_tgid, fork.ids.child_tgid, fork.cpu), (100, 101, None));
}

#[test]
fn a_structure_tells_a_thread_by_its_process() {
    let mut bytes = Vec::new();
    emit_fork_struct(&mut bytes, 7, 3, &IDS);
    let message = ConnectorMessage::parse(&bytes).expect("a message");
    assert_eq!((message.id, message.fork().expect("a fork").ids), (CN_PROC, IDS));
    assert_eq!(message.fork().expect("a fork").cpu, Some(3));
}

#[test]
fn each_wrong_byte_is_named() {
    let with = |at: usize, byte: u8| {
        let mut bytes = ascii();
        bytes[at] = byte;
        error(&bytes)
    };
    assert_eq!(error(b""), "at byte 0: found end of message, expected a nlmsghdr and a cn_msg, 36 bytes");
    assert_eq!(
        error(&ascii()[..40]),
        "at byte 0: found 44 (0x0000002c), expected nlmsg_len from 36 to the end of the datagram"
    );
    assert_eq!(with(4, 2), "at byte 4: found 2 (0x00000002), expected nlmsg_type NLMSG_DONE, 3");
    assert_eq!(with(32, 9), "at byte 32: found 9 (0x00000009), expected a cn_msg.len that fits nlmsg_len");
    assert_eq!(
        with(16, 1),
        "at byte 16: found 65025 (0x0000fe01), expected the id of the fork connector or of process events"
    );
    assert_eq!(with(36, b'x'), "at byte 36: found 'x', expected a pid as %i writes it");
    assert_eq!(with(39, b'x'), "at byte 43: found NUL, expected a space between the two pids");
    assert_eq!(with(43, b'1'), "at byte 44: found end of message, expected NUL after the two pids");
    let mut other = Vec::new();
    let mut payload = struct_payload(0, &IDS);
    payload[0] = 2;
    emit(&mut other, CN_PROC, 0, 0, &payload);
    assert_eq!(error(&other), "at byte 36: found 2 (0x00000002), expected PROC_EVENT_FORK, 1");
    let mut short = Vec::new();
    emit(&mut short, CN_PROC, 0, 0, &payload[..20]);
    assert_eq!(error(&short), "at byte 56: found end of message, expected 24 bytes of proc_event");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(seq: u32, cpu: u32, pids: [i32; 4]) {
        let [parent_pid, parent_tgid, child_pid, child_tgid] = pids;
        let ids = ForkIds { parent_pid, parent_tgid, child_pid, child_tgid };
        let mut bytes = Vec::new();
        emit_fork_struct(&mut bytes, seq, cpu, &ids);
        let message = ConnectorMessage::parse(&bytes).expect("a message");
        let fork = message.fork().expect("a fork");
        prop_assert_eq!((message.seq, fork.cpu, fork.ids), (seq, Some(cpu), ids));
        bytes.clear();
        emit_fork_ascii(&mut bytes, seq, parent_pid, child_pid);
        prop_assert_eq!(bytes.len() % 4, 0, "NLMSG_SPACE");
        let fork = ConnectorMessage::parse(&bytes).expect("a message").fork().expect("a fork");
        prop_assert_eq!((fork.ids.parent_pid, fork.ids.child_pid), (parent_pid, child_pid));
    }

    #[test]
    fn any_payload_keeps_its_length_and_its_alignment(data in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = Vec::new();
        emit(&mut bytes, (8, 9), 1, 2, &data);
        prop_assert_eq!(bytes.len(), (36 + data.len()).next_multiple_of(4));
        let message = ConnectorMessage::parse(&bytes).expect("a message");
        prop_assert_eq!((message.data, message.ack), (&data[..], 2));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), whole: bool) {
        let mut bytes = bytes;
        if whole && bytes.len() >= 6 {
            let len = u32::try_from(bytes.len()).expect("small");
            bytes[..4].copy_from_slice(&len.to_le_bytes());
            bytes[4..6].copy_from_slice(&[3, 0]);
        }
        if let Ok(message) = ConnectorMessage::parse(&bytes) {
            let _ = message.fork();
        }
    }
}
