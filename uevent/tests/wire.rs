//! The codec by example: bare and keyed layouts, every error, every oddity that is kept.

#![expect(clippy::octal_escapes, reason = "a NUL and then a decimal number, as the kernel writes them")]

use forklab_uevent::wire::{Filters, Layout, Message, Shown, WireError, emit_bare, emit_keyed, emit_libudev};

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

fn line<T: std::fmt::Debug>(result: Result<T, WireError>) -> String {
    result.expect_err("an error").to_string()
}

#[test]
fn the_patch_s_event_is_bare_and_gives_two_pids() {
    let message = parse(b"fork@/fork_kobj\0100\0101\0");
    assert_eq!((message.action(), message.devpath()), (&b"fork"[..], &b"/fork_kobj"[..]));
    assert_eq!(message.layout(), Layout::Bare);
    assert_eq!(message.fork_pids(), Ok((100, 101)));
    assert_eq!(message.seqnum(), Ok(None));
    assert_eq!(message.check(), Ok(()));
}

#[test]
fn a_mount_event_of_2_6_11_is_a_header_and_nothing_else() {
    let message = parse(b"mount@/block/sda\0");
    assert_eq!(message.layout(), Layout::Bare);
    assert_eq!(message.strings().count(), 0);
    assert_eq!(message.check(), Ok(()));
}

#[test]
fn a_keyed_event_gives_its_keys_in_order() {
    let message = parse(b"add@/x\0ACTION=add\0DEVPATH=/x\0SUBSYSTEM=block\0SEQNUM=18446744073709551615\0MAJOR=8\0");
    let keys: Vec<_> = message.keys().map(|(key, _)| key).collect();
    assert_eq!(keys, [&b"ACTION"[..], b"DEVPATH", b"SUBSYSTEM", b"SEQNUM", b"MAJOR"]);
    assert_eq!(message.layout(), Layout::Keyed);
    assert_eq!(message.seqnum(), Ok(Some(u64::MAX)));
    assert_eq!(message.get("MAJOR"), Some(&b"8"[..]));
    assert_eq!(message.check(), Ok(()));
}

#[test]
fn a_datagram_without_a_header_is_refused() {
    assert_eq!(refusal(b""), "at byte 0: found end of message, expected '@' after the action");
    assert_eq!(refusal(b"add"), "at byte 3: found end of message, expected '@' after the action");
    assert_eq!(refusal(b"add\0x@y\0"), "at byte 3: found NUL, expected '@' after the action");
    assert_eq!(refusal(b"add@/x"), "at byte 6: found end of message, expected NUL after the path");
}

#[test]
fn only_the_first_at_sign_ends_the_action() {
    let message = parse(b"add@/devices/platform/i2c@4000\0");
    assert_eq!(message.devpath(), b"/devices/platform/i2c@4000");
}

#[test]
fn odd_strings_are_kept_in_order() {
    let message = parse(b"x@y\0A=1\0=\0\0no key\0A=2\0B=\xff=\0=z");
    let strings: Vec<_> = message.strings().collect();
    assert_eq!(strings, [&b"A=1"[..], b"=", b"", b"no key", b"A=2", b"B=\xff=", b"=z"]);
    let pairs: Vec<_> = message.keys().collect();
    assert_eq!(pairs, [(&b"A"[..], &b"1"[..]), (b"", b""), (b"A", b"2"), (b"B", b"\xff="), (b"", b"z")]);
    assert_eq!(message.get("A"), Some(&b"1"[..]), "the first of two");
    assert!(!message.is_terminated());
}

#[test]
fn strings_tell_where_they_begin() {
    let message = parse(b"x@y\0one\0\0two");
    let mut strings = message.strings();
    let mut offsets = vec![strings.offset()];
    while strings.next().is_some() {
        offsets.push(strings.offset());
    }
    assert_eq!(offsets, [4, 8, 9, 12]);
}

#[test]
fn numbers_have_the_one_spelling_that_the_kernel_prints() {
    for (text, pid) in [("0", 0), ("-1", -1), ("2147483647", i32::MAX), ("-2147483648", i32::MIN)] {
        let bytes = format!("fork@/f\0{text}\01\0");
        assert_eq!(parse(bytes.as_bytes()).fork_pids(), Ok((pid, 1)), "{text}");
    }
    for text in ["", "-", "+1", "01", "-0", "-01", "--1", " 1", "1 ", "0x1", "2147483648", "PID=1", "\u{661}"] {
        let bytes = format!("fork@/f\0{text}\01\0");
        let error = parse(bytes.as_bytes()).fork_pids().expect_err(text);
        assert_eq!((error.offset, error.expected), (8, "a pid as %d writes it"), "{text}");
    }
}

#[test]
fn a_number_that_may_have_been_cut_off_is_an_error() {
    let cut = "at byte 14: found end of message, expected NUL after the number";
    assert_eq!(line(parse(b"fork@/f\0100\010").fork_pids()), cut);
    assert_eq!(line(parse(b"x@/y\0SEQNUM=12").seqnum()), cut);
}

#[test]
fn fork_pids_wants_a_fork_event_of_two_numbers() {
    assert_eq!(line(parse(b"add@/f\01\02\0").fork_pids()), "at byte 0: found 'a', expected action fork");
    let none = line(parse(b"fork@/f\0").fork_pids());
    assert_eq!(none, "at byte 8: found end of message, expected a pid as %d writes it");
    let one = line(parse(b"fork@/f\01\0").fork_pids());
    assert_eq!(one, "at byte 10: found end of message, expected a pid as %d writes it");
    let three = line(parse(b"fork@/f\01\02\03\0").fork_pids());
    assert_eq!(three, "at byte 12: found '3', expected nothing after the two pids");
}

#[test]
fn a_fork_event_relayed_by_a_newer_kernel_has_a_sequence_number_behind_the_pids() {
    let message = parse(b"fork@/fork_kobj\01234\05678\0SEQNUM=9\0");
    assert_eq!(message.layout(), Layout::Bare);
    assert_eq!(message.fork_pids(), Ok((1234, 5678)));
    assert_eq!(message.seqnum(), Ok(Some(9)));
    assert_eq!(message.check(), Ok(()));
}

#[test]
fn the_check_objects_to_what_no_kernel_writes() {
    assert_eq!(objection(b"@/x\0"), "at byte 0: found '@', expected an action");
    assert_eq!(objection(b"add@x\0"), "at byte 4: found 'x', expected a path that begins with '/'");
    assert_eq!(objection(b"add@/x\0A"), "at byte 8: found end of message, expected NUL after the last string");
    assert_eq!(objection(b"fork@/x\01\0"), "at byte 10: found end of message, expected a pid as %d writes it");
}

#[test]
fn the_check_objects_to_keys_that_contradict_the_header() {
    let other_action = objection(b"add@/x\0ACTION=remove\0DEVPATH=/x\0");
    assert_eq!(other_action, "at byte 14: found 'r', expected the action or path of the header");
    let other_path = objection(b"add@/x\0ACTION=add\0DEVPATH=/y\0");
    assert_eq!(other_path, "at byte 26: found '/', expected the action or path of the header");
    let no_path = objection(b"add@/x\0ACTION=add\0");
    assert_eq!(no_path, "at byte 18: found end of message, expected ACTION= and DEVPATH= before");
    let twice = objection(b"add@/x\0ACTION=add\0DEVPATH=/x\0ACTION=add\0");
    assert_eq!(twice, "at byte 29: found 'A', expected ACTION, DEVPATH, SUBSYSTEM and SEQNUM only once");
    let no_key = objection(b"add@/x\0ACTION=add\0DEVPATH=/x\0=1\0");
    assert_eq!(no_key, "at byte 29: found '=', expected KEY=value");
    let no_number = objection(b"add@/x\0ACTION=add\0DEVPATH=/x\0SEQNUM=x\0");
    assert_eq!(no_number, "at byte 36: found 'x', expected a u64 as %llu writes it");
}

#[test]
fn the_check_allows_a_driver_s_key_twice_and_bytes_that_are_not_text() {
    assert_eq!(parse(b"add@/x\0ACTION=add\0DEVPATH=/x\0A=1\0A=\xff\0").check(), Ok(()));
}

#[test]
fn what_would_not_come_back_is_not_written() {
    let mut out = b"before".to_vec();
    let none: [&str; 0] = [];
    let action = line(emit_bare(&mut out, "a@b", "/x", none));
    assert_eq!(action, "at byte 1: found '@', expected neither '@' nor NUL in the action");
    assert_eq!(line(emit_bare(&mut out, "a", "/\0x", none)), "at byte 3: found NUL, expected no NUL in the path");
    let string = line(emit_bare(&mut out, "a", "/x", ["1", "2\0"]));
    assert_eq!(string, "at byte 8: found NUL, expected no NUL in a string");
    let key = line(emit_keyed(&mut out, "a", "/x", [("K=", "v")]));
    assert_eq!(key, "at byte 6: found '=', expected neither '=' nor NUL in a key");
    let value = line(emit_keyed(&mut out, "a", "/x", [("K", "\0")]));
    assert_eq!(value, "at byte 7: found NUL, expected no NUL in a value");
    let no_path = line(emit_libudev(&mut out, Filters::default(), [("ACTION", "add")]));
    assert_eq!(no_path, "at byte 51: found end of message, expected DEVPATH= among the properties");
    assert_eq!(out, b"before", "a failure takes back what it wrote");
}

#[test]
fn nuls_are_visible_and_nothing_else_looks_like_one() {
    assert_eq!(Shown(b"fork@/fork_kobj\0100\0101\0").to_string(), r"fork@/fork_kobj\0100\0101\0");
    assert_eq!(Shown(b"a\\0\n\xff~").to_string(), r"a\\0\x0a\xff~");
    assert_eq!(format!("{:?}", parse(b"a@b\0")), r"Message(a@b\0)");
}

#[test]
fn odd_bytes_in_an_error_are_shown_as_numbers() {
    let error = line(parse(b"\x80@/x\0").fork_pids());
    assert_eq!(error, "at byte 0: found byte 0x80, expected action fork");
}
