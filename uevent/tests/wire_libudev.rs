//! udevd's layout: the binary header, and how it may lie.

use forklab_uevent::wire::{Filters, Found, Layout, LibudevHeader, Message, emit_libudev};

fn parse(bytes: &[u8]) -> Message<'_> {
    Message::parse(bytes).expect("it parses")
}

/// The line that parsing `bytes` fails with.
fn refusal(bytes: &[u8]) -> String {
    Message::parse(bytes).expect_err("it does not parse").to_string()
}

/// The line that the strict side says.
fn objection(bytes: &[u8]) -> String {
    parse(bytes).check().expect_err("the check objects").to_string()
}

const FILTERS: Filters =
    Filters { subsystem_hash: 0x0102_0304, devtype_hash: 0x0506_0708, tag_bloom: 0x1112_1314_2122_2324 };

/// What udevd sends for `/devices/x`.
fn libudev() -> Vec<u8> {
    let mut out = Vec::new();
    emit_libudev(&mut out, FILTERS, [("ACTION", "add"), ("DEVPATH", "/devices/x"), ("SEQNUM", "7")])
        .expect("good parts");
    out
}

/// The libudev message with one word of its header replaced.
fn with_word(at: usize, word: u32) -> Vec<u8> {
    let mut bytes = libudev();
    bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    bytes
}

#[test]
fn a_libudev_event_has_a_header_and_takes_action_and_path_from_its_keys() {
    let bytes = libudev();
    let message = parse(&bytes);
    assert_eq!((message.action(), message.devpath()), (&b"add"[..], &b"/devices/x"[..]));
    assert_eq!(message.layout(), Layout::Libudev);
    let header = LibudevHeader { header_size: 40, properties_off: 40, properties_len: 39, filters: FILTERS };
    assert_eq!(message.libudev(), Some(header));
    assert_eq!(message.seqnum(), Ok(Some(7)));
    assert_eq!(message.check(), Ok(()));
}

#[test]
fn a_libudev_header_is_laid_out_as_systemd_lays_it_out() {
    let bytes = libudev();
    assert_eq!(&bytes[..12], b"libudev\0\xfe\xed\xca\xfe");
    assert_eq!(bytes[12..24], [40_u32, 40, 39].map(u32::to_ne_bytes).concat());
    assert_eq!(bytes[24..40], [1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24]);
    assert_eq!(&bytes[40..], b"ACTION=add\0DEVPATH=/devices/x\0SEQNUM=7\0");
}

#[test]
fn a_libudev_header_that_does_not_fit_is_refused() {
    assert_eq!(refusal(&libudev()[..39]), "at byte 39: found end of message, expected a libudev header of 40 bytes");
    let zero_magic = refusal(&with_word(8, 0));
    assert_eq!(zero_magic, "at byte 8: found 0 (0x00000000), expected the magic 0xfeedcafe");
    assert_eq!(refusal(&with_word(12, 39)), "at byte 12: found 39 (0x00000027), expected a header size of at least 40");
    assert_eq!(refusal(&with_word(16, 39)), "at byte 16: found 39 (0x00000027), expected properties after the header");
    let outside = "at byte 16: found 80 (0x00000050), expected properties inside the message";
    assert_eq!(refusal(&with_word(16, 80)), outside);
    let too_long = "at byte 20: found 40 (0x00000028), expected properties that end inside the message";
    assert_eq!(refusal(&with_word(20, 40)), too_long);
}

#[test]
fn a_length_that_would_wrap_around_is_refused() {
    let wraps = with_word(20, u32::MAX);
    let error = Message::parse(&wraps).expect_err("it does not fit");
    assert_eq!((error.offset, error.found), (20, Found::Word(u32::MAX)));
}

#[test]
fn a_libudev_message_without_action_or_path_is_refused_as_udev_does() {
    let only_action = refusal(&with_word(20, 11));
    assert_eq!(only_action, "at byte 51: found 'D', expected DEVPATH= among the properties");
    assert_eq!(refusal(&with_word(20, 0)), "at byte 40: found 'A', expected ACTION= among the properties");
}

#[test]
fn bytes_around_the_properties_of_a_libudev_message_are_kept_and_objected_to() {
    let mut behind = libudev();
    behind.extend_from_slice(b"more");
    assert_eq!(parse(&behind).trailing(), b"more");
    assert_eq!(objection(&behind), "at byte 79: found 'm', expected nothing after the properties");

    let mut between = with_word(16, 44);
    between.splice(40..40, *b"newr");
    assert_eq!(parse(&between).get("SEQNUM"), Some(&b"7"[..]));
    assert_eq!(objection(&between), "at byte 40: found 'n', expected the properties");
}
