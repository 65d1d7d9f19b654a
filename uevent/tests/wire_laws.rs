//! Laws of the codec: what is parsed can be written again, what is written can be parsed again, nothing panics.

#![expect(clippy::octal_escapes, reason = "a NUL and then a decimal number, as the kernel writes them")]

use forklab_uevent::wire::{Filters, Layout, Message, Shown, WireError, emit_bare, emit_keyed, emit_libudev};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Bytes without those that would end them, rich in the ones that matter to a parser.
fn part(forbidden: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'='), Just(b'@'), Just(b'/'), Just(b'0'), Just(0xff), 1..=255_u8];
    vec(byte.prop_filter("ends the part", move |byte| !forbidden.contains(byte)), 0..12)
}

fn pairs() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let key = prop_oneof![Just(b"ACTION".to_vec()), Just(b"SEQNUM".to_vec()), part(b"=")];
    vec((key, part(b"")), 0..8)
}

/// What a kernel or udevd could write, in each layout.
fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    let driver_keys = vec(("[A-Z]{1,9}_X", part(b"")), 0..4);
    let parts = ("[a-z]{1,6}", part(b""), driver_keys, any::<u64>(), any::<(i32, i32)>(), 0..3);
    parts.prop_map(|(action, path, driver_keys, seqnum, pids, layout)| {
        let path = [&b"/"[..], &path].concat();
        let core = [("ACTION", action.clone().into_bytes()), ("DEVPATH", path.clone())];
        let last = [("SEQNUM", seqnum.to_string().into_bytes())];
        let keys = driver_keys.iter().map(|(key, value)| (&key[..], value.clone()));
        let keys = core.into_iter().chain(keys).chain(last);
        let mut out = Vec::new();
        match layout {
            0 => emit_bare(&mut out, "fork", path, [pids.0.to_string(), pids.1.to_string()]),
            1 => emit_keyed(&mut out, action, path, keys),
            _ => emit_libudev(&mut out, Filters::default(), keys),
        }
        .expect("good parts");
        out
    })
}

/// Anything from noise to a well-formed message with a few bytes changed, inserted or lost.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop_oneof![Just(0), Just(b'='), Just(b'@'), Just(b'1'), any::<u8>()];
    let edits = vec((any::<Index>(), any::<Index>(), vec(bytes(), 0..3)), 0..3);
    let edited = (well_formed(), edits).prop_map(|(mut message, edits)| {
        for (from, length, new) in edits {
            let from = from.index(message.len() + 1);
            let to = (from + length.index(3)).min(message.len());
            message.splice(from..to, new);
        }
        message
    });
    prop_oneof![1 => vec(bytes(), 0..60), 4 => edited, 1 => libudev_datagram(), 4 => well_formed()]
}

/// Libudev messages with a gap, trailing bytes and sizes that may lie.
fn libudev_datagram() -> impl Strategy<Value = Vec<u8>> {
    let gap_and_tail = (vec(any::<u8>(), 0..5), vec(any::<u8>(), 0..5));
    (gap_and_tail, 0..3_u32, 0..3_u32, any::<[u8; 16]>()).prop_map(|((gap, tail), off, len, filters)| {
        let properties = b"ACTION=add\0DEVPATH=/x\0odd\0SEQNUM=1";
        let sizes = [40, 40 + gap.len() as u32 + off, properties.len() as u32 + len].map(u32::to_ne_bytes);
        [&b"libudev\0\xfe\xed\xca\xfe"[..], &sizes.concat(), &filters, &gap, properties, &tail].concat()
    })
}

/// Calls every accessor, and holds each error and slice against the datagram.
fn use_everything(bytes: &[u8]) -> Result<Message<'_>, WireError> {
    let inside = |error: WireError| {
        assert!(error.offset <= bytes.len(), "{error}: outside of {} bytes", bytes.len());
        assert_eq!(error.to_string().lines().count(), 1);
        error
    };
    let message = Message::parse(bytes).map_err(inside)?;
    assert_eq!(message.bytes(), bytes);
    _ = message.check().map_err(inside);
    _ = message.seqnum().map_err(inside);
    _ = message.fork_pids().map_err(inside);
    _ = format!("{message:?}");
    for (key, _) in message.keys() {
        let first = message.keys().find(|(other, _)| *other == key).map(|(_, value)| value);
        assert_eq!(message.get(key), first);
    }
    let split = |string: &[u8]| {
        let equals = string.iter().position(|&byte| byte == b'=')?;
        Some((string[..equals].to_vec(), string[equals + 1..].to_vec()))
    };
    let keys: Vec<_> = message.keys().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    assert_eq!(keys, message.strings().filter_map(split).collect::<Vec<_>>());
    Ok(message)
}

/// The datagram made again from what the accessors say, and from the bytes of a libudev header and gap.
fn rebuilt(message: &Message<'_>) -> Vec<u8> {
    let mut out = match message.libudev() {
        Some(header) => message.bytes()[..header.properties_off as usize].to_vec(),
        None => [message.action(), b"@", message.devpath(), b"\0"].concat(),
    };
    for string in message.strings() {
        out.extend_from_slice(string);
        out.push(0);
    }
    if !message.is_terminated() {
        out.pop();
    }
    out.extend_from_slice(message.trailing());
    out
}

/// Reads what [`Shown`] prints.
fn unshow(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (byte, length) = match (first, rest.as_bytes().get(1)) {
            ('\\', Some(b'0')) => (0, 2),
            ('\\', Some(b'\\')) => (b'\\', 2),
            ('\\', _) => (u8::from_str_radix(&rest[2..4], 16).expect("two hex digits"), 4),
            _ => (first as u8, 1),
        };
        out.push(byte);
        rest = &rest[length..];
    }
    out
}

proptest! {
    #[test]
    fn whatever_parses_can_be_made_again_from_its_parts(bytes in datagram()) {
        if let Ok(message) = use_everything(&bytes) {
            prop_assert_eq!(rebuilt(&message), bytes);
        }
    }

    #[test]
    fn what_passes_the_check_is_written_again_by_the_emitters(bytes in datagram()) {
        let Ok(message) = Message::parse(&bytes) else { return Ok(()) };
        let mut out = Vec::new();
        if message.check().is_ok() {
            match (message.layout(), message.libudev()) {
                (_, Some(header)) => emit_libudev(&mut out, header.filters, message.keys())?,
                (Layout::Keyed, _) => emit_keyed(&mut out, message.action(), message.devpath(), message.keys())?,
                _ => emit_bare(&mut out, message.action(), message.devpath(), message.strings())?,
            }
            prop_assert_eq!(out, bytes);
        }
    }

    #[test]
    fn what_a_kernel_could_write_passes_the_check(bytes in well_formed()) {
        prop_assert_eq!(use_everything(&bytes)?.check(), Ok(()));
    }

    #[test]
    fn bare_parts_come_back(action in part(b"@"), path in part(b""), strings in vec(part(b""), 0..6)) {
        let mut out = Vec::new();
        emit_bare(&mut out, &action, &path, &strings)?;
        let message = use_everything(&out)?;
        prop_assert_eq!(message.action(), &action[..]);
        prop_assert_eq!(message.devpath(), &path[..]);
        prop_assert!(message.strings().eq(&strings));
        prop_assert!(message.is_terminated());
    }

    #[test]
    fn keyed_parts_come_back(action in part(b"@"), path in part(b""), keys in pairs()) {
        let mut out = Vec::new();
        emit_keyed(&mut out, &action, &path, keys.iter().map(|(key, value)| (key, value)))?;
        let message = use_everything(&out)?;
        prop_assert_eq!(message.action(), &action[..]);
        prop_assert_eq!(message.devpath(), &path[..]);
        prop_assert!(message.keys().eq(keys.iter().map(|(key, value)| (&key[..], &value[..]))));
        prop_assert_eq!(message.strings().count(), keys.len());
    }

    #[test]
    fn libudev_parts_come_back(
        (subsystem_hash, devtype_hash, tag_bloom) in any::<(u32, u32, u64)>(),
        action in part(b""),
        path in part(b""),
        more in pairs(),
    ) {
        let filters = Filters { subsystem_hash, devtype_hash, tag_bloom };
        let core = [(b"ACTION".to_vec(), action.clone()), (b"DEVPATH".to_vec(), path.clone())];
        let keys = [&core[..], &more].concat();
        let mut out = Vec::new();
        emit_libudev(&mut out, filters, keys.iter().map(|(key, value)| (key, value)))?;
        let message = use_everything(&out)?;
        prop_assert_eq!(message.libudev().map(|header| header.filters), Some(filters));
        prop_assert_eq!((message.action(), message.devpath()), (&action[..], &path[..]));
        prop_assert!(message.keys().eq(keys.iter().map(|(key, value)| (&key[..], &value[..]))));
    }

    #[test]
    fn fork_pids_come_back(parent: i32, child: i32) {
        let mut out = Vec::new();
        emit_bare(&mut out, "fork", "/fork_kobj", [parent.to_string(), child.to_string()])?;
        let message = Message::parse(&out)?;
        prop_assert_eq!(message.fork_pids()?, (parent, child));
        prop_assert_eq!(message.check(), Ok(()));
    }

    #[test]
    fn sequence_numbers_come_back(number: u64) {
        let mut out = Vec::new();
        emit_keyed(&mut out, "add", "/x", [("SEQNUM", number.to_string())])?;
        prop_assert_eq!(Message::parse(&out)?.seqnum()?, Some(number));
    }

    #[test]
    fn what_is_shown_can_be_read_back(bytes: Vec<u8>) {
        prop_assert_eq!(unshow(&Shown(&bytes).to_string()), bytes);
    }

    #[test]
    fn messages_are_appended_to_what_is_there(before: Vec<u8>, action in part(b"")) {
        let mut out = before.clone();
        let none: [&[u8]; 0] = [];
        let written = emit_bare(&mut out, &action, "/x", none);
        prop_assert_eq!(&out[..before.len()], &before[..]);
        prop_assert_eq!(written.is_err(), action.contains(&b'@'));
        prop_assert_eq!(out.len() == before.len(), written.is_err());
    }
}

#[test]
fn a_message_cut_at_any_byte_is_an_error_or_comes_back_exactly() {
    let mut libudev = Vec::new();
    let keys = [("ACTION", "add"), ("DEVPATH", "/x"), ("SEQNUM", "7")];
    emit_libudev(&mut libudev, Filters::default(), keys).expect("good parts");
    let messages: [&[u8]; 3] =
        [b"fork@/fork_kobj\0100\0101\0", b"add@/x\0ACTION=add\0DEVPATH=/x\0SUBSYSTEM=mem\0SEQNUM=12\0", &libudev];
    for whole in messages {
        for end in 0..whole.len() {
            let cut = &whole[..end];
            match use_everything(cut) {
                Ok(message) => assert_eq!(rebuilt(&message), cut),
                Err(error) => assert!(error.offset <= end, "{error}"),
            }
        }
    }
}

#[test]
fn a_cut_number_is_never_taken_for_a_smaller_one() {
    let fork = b"fork@/fork_kobj\01234\05678\0";
    let keyed = b"add@/x\0ACTION=add\0DEVPATH=/x\0SEQNUM=1234\0";
    for end in 16..fork.len() {
        let message = Message::parse(&fork[..end]).expect("the header is whole");
        assert!(message.fork_pids().is_err(), "{message:?}");
    }
    for end in 7..keyed.len() {
        let message = Message::parse(&keyed[..end]).expect("the header is whole");
        assert!(!matches!(message.seqnum(), Ok(Some(_))), "{message:?}");
    }
}
