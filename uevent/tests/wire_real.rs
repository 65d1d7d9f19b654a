//! 425 datagrams of a real kernel (Linux 6.18), read and written again.

use forklab_uevent::wire::{Layout, Message, emit_keyed};
use serde_json::Value;

fn datagrams() -> Vec<(String, Vec<u8>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/real/uevents-6.18.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).expect(path)).expect("JSON");
    let case =
        |case: Value| (case["write"].as_str().expect("write").to_owned(), bytes(case["hex"].as_str().expect("hex")));
    cases.into_iter().map(case).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn every_message_is_written_again_byte_for_byte() {
    let datagrams = datagrams();
    assert_eq!(datagrams.len(), 425);
    for (_, datagram) in datagrams {
        let message = Message::parse(&datagram).expect("the kernel wrote it");
        assert_eq!(message.check(), Ok(()), "{message:?}");
        assert_eq!(message.layout(), Layout::Keyed);
        let mut out = Vec::new();
        emit_keyed(&mut out, message.action(), message.devpath(), message.keys()).expect("parts of a message");
        assert_eq!(out, datagram, "{message:?}");
    }
}

/// The oracle is the crudest parser there is: the standard library's `split` over text.
#[test]
fn every_key_has_the_value_that_a_crude_parser_finds() {
    for (_, datagram) in datagrams() {
        let text = str::from_utf8(&datagram).expect("these are text").strip_suffix('\0').expect("a last NUL");
        let (header, body) = text.split_once('\0').expect("a header");
        let (action, path) = header.split_once('@').expect("an action");
        let crude: Vec<_> = body.split('\0').map(|string| string.split_once('=').expect("a key")).collect();

        let message = Message::parse(&datagram).expect("the kernel wrote it");
        assert_eq!(message.action(), action.as_bytes());
        assert_eq!(message.devpath(), path.as_bytes());
        let expected = crude.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        assert!(message.keys().eq(expected), "{message:?}");
        for (key, value) in &crude {
            assert_eq!(message.get(key), Some(value.as_bytes()), "{key} of {message:?}");
        }
        let seqnum = crude.iter().find(|(key, _)| *key == "SEQNUM").map(|(_, value)| value.parse().expect("a number"));
        assert_eq!(message.seqnum(), Ok(seqnum));
    }
}

#[test]
fn what_was_written_to_sysfs_is_in_the_message() {
    for (written, datagram) in datagrams() {
        let mut words = written.split(' ');
        let message = Message::parse(&datagram).expect("the kernel wrote it");
        assert_eq!(Some(message.action()), words.next().map(str::as_bytes));
        assert_eq!(message.get("SYNTH_UUID"), Some(words.next().unwrap_or("0").as_bytes()), "{message:?}");
        for argument in words {
            let (key, value) = argument.split_once('=').expect("KEY=value");
            assert_eq!(message.get(format!("SYNTH_ARG_{key}")), Some(value.as_bytes()), "{message:?}");
        }
    }
}

/// Other writers take part only through the kernel, so the numbers are the order of sending.
#[test]
fn sequence_numbers_rise() {
    let numbers: Vec<_> =
        datagrams().iter().map(|(_, datagram)| Message::parse(datagram).and_then(|m| m.seqnum())).collect();
    assert!(numbers.iter().all(|number| matches!(number, Ok(Some(_)))));
    assert!(numbers.is_sorted_by(|a, b| a.as_ref().ok() < b.as_ref().ok()), "{numbers:?}");
}
