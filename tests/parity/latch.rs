//! What becomes of a listener that has lost something.

use super::arm::{Arm, Ask, GROUP, Got, Sent, To};
use super::both::{in_2005, on_both};

/// Sends messages of one byte, numbered from `from`.
fn send(arm: &mut dyn Arm, numbers: std::ops::Range<u8>) {
    for n in numbers {
        assert_eq!(arm.send(To::Groups(GROUP), 1, n), Sent::Accepted);
    }
}

/// The number of a message, or what came instead.
fn receive(arm: &mut dyn Arm, ear: usize) -> String {
    match arm.receive(ear) {
        Got::Message { first, .. } => first.map_or_else(|| "empty".to_owned(), |n| n.to_string()),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn receives(arm: &mut dyn Arm, ear: usize, times: usize) -> String {
    let mut words = Vec::new();
    for _ in 0..times {
        words.push(receive(arm, ear));
    }
    words.join(" ")
}

#[test]
fn a_loss_is_told_once_and_ahead_of_what_was_queued_before_it() {
    let body = |arm: &mut dyn Arm| {
        let ear = arm.open(GROUP, Ask::Rcvbuf(1152));
        send(arm, 0..20);
        receives(arm, ear, 5)
    };
    assert_eq!(on_both(body), "lost 0 1 nothing nothing");
    // 128 and 1 byte a message is rounded to 296 there.
    assert!(in_2005(body).starts_with("lost 0 1 2"));
}

#[test]
fn who_lost_a_message_loses_the_next_ones_too_while_anything_is_queued_though_there_is_room() {
    let body = |arm: &mut dyn Arm| {
        let ear = arm.open(GROUP, Ask::Rcvbuf(1152));
        send(arm, 0..3);
        let before = receives(arm, ear, 2);
        let room = arm.meminfo(ear);
        assert!(room.rmem_alloc < room.rcvbuf / 2, "{room:?}");
        send(arm, 3..4);
        let after = receives(arm, ear, 2);
        (before, after, arm.meminfo(ear).drops)
    };
    let seen = ("lost 0".to_owned(), "1 nothing".to_owned(), 2);
    assert_eq!(on_both(body), seen);
}

#[test]
fn the_latch_is_released_by_the_receive_that_empties_the_queue() {
    let body = |arm: &mut dyn Arm| {
        let ear = arm.open(GROUP, Ask::Rcvbuf(1152));
        send(arm, 0..3);
        let drained = receives(arm, ear, 3);
        send(arm, 3..4);
        (drained, receives(arm, ear, 2))
    };
    assert_eq!(on_both(body), ("lost 0 1".to_owned(), "3 nothing".to_owned()));
}

#[test]
fn a_loss_that_nobody_has_read_of_is_told_again_after_a_drain_only() {
    let body = |arm: &mut dyn Arm| {
        let ear = arm.open(GROUP, Ask::Rcvbuf(1152));
        send(arm, 0..3);
        let first = receives(arm, ear, 2);
        send(arm, 3..9);
        let second = receives(arm, ear, 2);
        send(arm, 9..14);
        (first, second, receives(arm, ear, 4))
    };
    let seen = ("lost 0".to_owned(), "1 nothing".to_owned(), "lost 9 10 nothing".to_owned());
    assert_eq!(on_both(body), seen);
}

#[test]
fn a_smaller_buffer_takes_nothing_from_the_queue_and_a_larger_one_does_not_release_the_latch() {
    let body = |arm: &mut dyn Arm| {
        let ear = arm.open(GROUP, Ask::Rcvbuf(65_536));
        send(arm, 0..10);
        arm.ask(ear, Ask::Rcvbuf(0));
        let smaller = arm.meminfo(ear).rmem_alloc;
        send(arm, 10..11);
        arm.ask(ear, Ask::Rcvbuf(65_536));
        send(arm, 11..12);
        (smaller, arm.meminfo(ear).drops, receives(arm, ear, 12))
    };
    let (_, drops, got) = on_both(body);
    assert_eq!((drops, got.as_str()), (2, "lost 0 1 2 3 4 5 6 7 8 9 nothing"));
}

#[test]
fn a_message_to_one_port_is_refused_when_it_does_not_fit_and_nobody_has_lost_it() {
    let body = |len: usize| {
        move |arm: &mut dyn Arm| {
            let ear = arm.open(0, Ask::Rcvbuf(20_000));
            let sent: Vec<_> = (0..60).map(|n| (arm.send(To::Ear(ear), len, n), arm.meminfo(ear))).collect();
            (sent, receives(arm, ear, 2))
        }
    };
    for len in [1, 256, 257, 3776, 3777, 3840, 3841, 8000, 16_000] {
        let (sent, got) = on_both(body(len));
        assert_eq!((sent[59].0, sent[59].1.drops, got.as_str()), (Sent::Full, 0, "0 1"), "{len} bytes");
    }
}

#[test]
fn an_empty_message_is_refused_today_and_was_a_message_in_2005() {
    let body = |arm: &mut dyn Arm| {
        let ear = arm.open(GROUP, Ask::Default);
        (arm.send(To::Groups(GROUP), 0, 0), receives(arm, ear, 1))
    };
    assert_eq!(on_both(body), (Sent::Empty, "nothing".to_owned()));
    assert_eq!(in_2005(body), (Sent::Accepted, "empty".to_owned()));
}
