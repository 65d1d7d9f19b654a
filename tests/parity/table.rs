//! `docs/parity.md`: what was compared, and what came of it. Every cell is computed; `UPDATE_PARITY=1` writes the page anew.

use std::fmt::Write;
use std::path::Path;

use sim::Calm;
use uevent::{Config, Era};

use super::arm::{Arm, Ask, GROUP, Got, Sent, To};
use super::both::{in_2005, on_both};
use super::family::who;
use super::kinds::{CONNECTOR, KINDS, PATCH, simulated};
use super::simulator::Simulator;
use super::switch::{goes_on_after_a_death, goes_on_after_a_stranger_s_ignore, hears_after_a_first_ignore};

type Body = fn(&mut dyn Arm) -> String;

/// What is compared, how, and why the two eras differ, since when.
const ROWS: [(&str, Body, &str); 22] = [
    (
        "charge of a message of 24 bytes",
        |arm| charge(arm, 24),
        "`skb_shared_info` counts since 3.2; the whole slab object counts (since when: not known to us); `skbuff_small_head` \
         since 6.3. A kernel with wireless LAN charges 896",
    ),
    ("charge of 257 bytes", |arm| charge(arm, 257), "the same: the next slab object has 1,024 bytes"),
    ("charge of 705 bytes", |arm| charge(arm, 705), "the same: 2,048 bytes"),
    ("charge of 3,777 bytes", |arm| charge(arm, 3777), "the same: 8,192 bytes"),
    (
        "charge of 3,777 bytes to one port",
        |arm| charge_of_port(arm, 3777),
        "what needs more than a page comes from `vmalloc()` since 3.11, and is not rounded to a power of two",
    ),
    ("each listener pays the whole charge", |arm| charges(arm), ""),
    (
        "`sk_rcvbuf` from the start",
        |arm| rcvbuf(arm, Ask::Default),
        "`SKB_TRUESIZE(256) * 256`: it grew with the charge",
    ),
    (
        "`SO_RCVBUF` 0",
        |arm| rcvbuf(arm, Ask::Rcvbuf(0)),
        "`SOCK_MIN_RCVBUF` is 2,048 and an `sk_buff`; since when: not known to us",
    ),
    ("`SO_RCVBUF` 1,153", |arm| rcvbuf(arm, Ask::Rcvbuf(1153)), "doubled, then and now"),
    ("24 bytes survive in the buffer of the start", |arm| survives(arm, 24, Ask::Default), "the charge and the buffer"),
    ("process events (76 bytes) survive in it", |arm| survives(arm, 76, Ask::Default), "the same"),
    ("24 bytes survive `SO_RCVBUF` 4,096", |arm| survives(arm, 24, Ask::Rcvbuf(4096)), "the charge, and the next line"),
    (
        "`rmem_alloc` of a full queue of 4,800",
        |arm| fullest(arm, Ask::Rcvbuf(2400)),
        "the message itself is asked for, too, since July 2025 (6.16, and stable kernels of that time); before, one went over",
    ),
    (
        "8,000 bytes survive `SO_RCVBUF` 0",
        |arm| survives(arm, 8000, Ask::Rcvbuf(0)),
        "an empty queue takes one of any size",
    ),
    ("a reader after a loss", |arm| after_a_loss(arm), "-ENOBUFS once, ahead of what was queued"),
    ("a message for which there is room again", |arm| while_latched(arm), "lost while the latch is set"),
    ("the latch is released", |arm| released(arm), "by the receive that empties the queue"),
    ("who joined last is told", |arm| order(arm), "`mc_list` grows at its head"),
    ("a full listener's neighbour loses", |arm| neighbour(arm), ""),
    ("a mask of two groups reaches", |arm| two_groups(arm), "a message has one group, the lowest, since 2.6.14"),
    (
        "the sender's address names the group",
        |arm| named_group(arm),
        "`NETLINK_CB(skb).dst_group` is set (G12); since when: not known to us",
    ),
    ("an empty message is", |arm| empty(arm), "-ENODATA since 5.16"),
];

fn one(arm: &mut dyn Arm, len: usize) -> Sent {
    arm.send(To::Groups(GROUP), len, b'x')
}

fn charge(arm: &mut dyn Arm, len: usize) -> String {
    let ear = arm.open(GROUP, Ask::Default);
    one(arm, len);
    arm.meminfo(ear).rmem_alloc.to_string()
}

fn charge_of_port(arm: &mut dyn Arm, len: usize) -> String {
    let ear = arm.open(0, Ask::Default);
    arm.send(To::Ear(ear), len, b'x');
    arm.meminfo(ear).rmem_alloc.to_string()
}

fn charges(arm: &mut dyn Arm) -> String {
    let ears = [0; 2].map(|_| arm.open(GROUP, Ask::Default));
    one(arm, 24);
    let [first, second] = ears.map(|ear| arm.meminfo(ear).rmem_alloc);
    if first == second { "yes".into() } else { format!("{first}, {second}") }
}

fn rcvbuf(arm: &mut dyn Arm, ask: Ask) -> String {
    let ear = arm.open(GROUP, ask);
    arm.meminfo(ear).rcvbuf.to_string()
}

/// Fills the queue of a new listener; how many messages it took.
fn fill(arm: &mut dyn Arm, ear: usize, len: usize) -> usize {
    (0..).take_while(|_| one(arm, len) == Sent::Accepted && arm.meminfo(ear).drops == 0).count()
}

fn survives(arm: &mut dyn Arm, len: usize, ask: Ask) -> String {
    let ear = arm.open(GROUP, ask);
    fill(arm, ear, len).to_string()
}

fn fullest(arm: &mut dyn Arm, ask: Ask) -> String {
    let ear = arm.open(GROUP, ask);
    fill(arm, ear, 24);
    arm.meminfo(ear).rmem_alloc.to_string()
}

fn got(arm: &mut dyn Arm, ear: usize) -> &'static str {
    match arm.receive(ear) {
        Got::Message { .. } => "message",
        Got::Lost => "-ENOBUFS",
        Got::Nothing => "nothing",
    }
}

fn overrun(arm: &mut dyn Arm) -> (usize, usize) {
    let ear = arm.open(GROUP, Ask::Rcvbuf(2400));
    let queued = fill(arm, ear, 24);
    (ear, queued)
}

fn after_a_loss(arm: &mut dyn Arm) -> String {
    let (ear, _) = overrun(arm);
    one(arm, 24);
    [0; 3].map(|_| got(arm, ear)).join(", ")
}

fn while_latched(arm: &mut dyn Arm) -> String {
    let (ear, _) = overrun(arm);
    // The loss, and one of those that are queued.
    assert_eq!([0; 2].map(|_| got(arm, ear)), ["-ENOBUFS", "message"]);
    let before = arm.meminfo(ear);
    one(arm, 24);
    let lost = arm.meminfo(ear).drops - before.drops == 1;
    if lost { "is lost".into() } else { "is queued".into() }
}

fn released(arm: &mut dyn Arm) -> String {
    let (ear, queued) = overrun(arm);
    let mut received = 0;
    got(arm, ear);
    loop {
        let drops = arm.meminfo(ear).drops;
        one(arm, 24);
        if arm.meminfo(ear).drops == drops {
            return format!("after {} of the queued", if received == queued { "all" } else { "some" });
        }
        got(arm, ear);
        received += 1;
    }
}

fn order(arm: &mut dyn Arm) -> String {
    for _ in 0..4 {
        arm.open(GROUP, Ask::Default);
    }
    one(arm, 24);
    if arm.told() == [3, 2, 1, 0] { "first".into() } else { "otherwise".into() }
}

fn neighbour(arm: &mut dyn Arm) -> String {
    overrun(arm);
    let ear = arm.open(GROUP, Ask::Default);
    for _ in 0..20 {
        one(arm, 24);
    }
    if arm.meminfo(ear).drops == 0 { "nothing".into() } else { "something".into() }
}

fn two_groups(arm: &mut dyn Arm) -> String {
    let ears = [GROUP, GROUP << 1].map(|group| arm.open(group, Ask::Default));
    arm.send(To::Groups(GROUP | GROUP << 1), 24, 1);
    match ears.map(|ear| got(arm, ear)) {
        ["message", "message"] => "both".into(),
        ["message", "nothing"] => "the lower".into(),
        other => other.join(", "),
    }
}

fn named_group(arm: &mut dyn Arm) -> String {
    let ear = arm.open(GROUP, Ask::Default);
    one(arm, 24);
    let named = matches!(arm.receive(ear), Got::Message { groups: GROUP, .. });
    if named { "yes".into() } else { "no".into() }
}

fn empty(arm: &mut dyn Arm) -> String {
    arm.open(GROUP, Ask::Default);
    if one(arm, 0) == Sent::Empty { "refused".into() } else { "a message".into() }
}

/// What the kernel says, if its configuration is the page's. With another one, the simulator's answer stands for it:
/// `on_both` has then compared the two under that configuration.
fn measured(body: Body) -> String {
    let said = on_both(body);
    if is_the_page_s_kernel() { said } else { body(&mut Simulator::new(Config::of(Era::Linux6_18))) }
}

fn is_the_page_s_kernel() -> bool {
    on_both(|arm| {
        let ear = arm.open(GROUP, Ask::Default);
        one(arm, 1);
        arm.meminfo(ear)
    }) == {
        let mut simulator = Simulator::new(Config::of(Era::Linux6_18));
        let ear = simulator.open(GROUP, Ask::Default);
        one(&mut simulator, 1);
        simulator.meminfo(ear)
    }
}

/// The buffers, a row for each behaviour.
fn buffers() -> String {
    let mut page = String::new();
    page += "| behaviour | 2.6.11, simulated | 6.18, simulated | 6.18, measured | 2.6.11 to 6.18 | why, since when |\n";
    page += "|---|---|---|---|---|---|\n";
    for (what, body, why) in ROWS {
        let (old, new) = (in_2005(body), body(&mut Simulator::new(Config::of(Era::Linux6_18))));
        let now = measured(body);
        let verdict = if old == new { "same" } else { "differs" };
        writeln!(page, "| {what} | {old} | {new} | {now} | {verdict} | {why} |").expect("a string");
    }
    page
}

/// Who is told to be whose child: the patch, the design that the kernel has, and the kernel.
fn forks() -> String {
    let mut page = String::new();
    page +=
        "| the program | the patch, simulated | `before-wake` `connector-struct`, simulated | 6.18, measured | why |\n";
    page += "|---|---|---|---|---|\n";
    let kinds = [
        ("fork", "the caller is the parent"),
        ("vfork", "the same"),
        (
            "thread",
            "the patch names the caller, and knows no threads; the connector names `real_parent`, which a thread has from its process",
        ),
        ("thread-forks", "the parent is a thread, and its process is named beside it"),
        ("sibling", "`CLONE_PARENT`: the caller's parent is the parent"),
    ];
    for (kind, why) in kinds {
        let (_, tasks) = *KINDS.iter().find(|(known, _)| *known == kind).expect("a kind");
        let told = |design| who(&simulated(design, (kind, tasks), 1, Calm)).join("; ");
        let (patch, connector) = (told(PATCH), told(CONNECTOR));
        let kernel = kernel_told(kind).unwrap_or_else(|| connector.clone());
        writeln!(page, "| {kind} | {patch} | {connector} | {kernel} | {why} |").expect("a string");
    }
    page
}

#[cfg(all(feature = "netlink", target_os = "linux"))]
fn kernel_told(kind: &str) -> Option<String> {
    super::forks::told_of(kind).map(|told| who(&told).join("; "))
}

#[cfg(not(all(feature = "netlink", target_os = "linux")))]
fn kernel_told(_: &str) -> Option<String> {
    None
}

/// The count of who listens: that of 2.6.15 in the simulator, and what the kernel has made of it.
fn gates() -> String {
    let mut page = String::new();
    page += "| behaviour | 2.6.15, simulated (`gate = \"counter\"`) | 6.18, measured | | why, since when |\n";
    page += "|---|---|---|---|---|\n";
    let [before, died, ignored, repaired, deaf] = kernel_heard();
    assert!(!before, "nobody listens");
    let words = |hears: bool| if hears { "hears" } else { "hears nothing" };
    let per_socket = "since 6.6 a socket's last word is kept, and IGNORE subtracts only if that was another word";
    let rows = [
        (
            "a bystander, after the only listener died without IGNORE (P3)",
            Some(goes_on_after_a_death()),
            died,
            "the count is nobody's: no socket takes its word along",
        ),
        (
            "the bystander, after a stranger's IGNORE (P4)",
            Some(goes_on_after_a_stranger_s_ignore()),
            ignored,
            per_socket,
        ),
        (
            "the bystander, after a stranger's word that is none, and IGNORE",
            None,
            repaired,
            "what is no word is kept as the last word, too: not simulated",
        ),
        (
            "one who listens, after an IGNORE of one who never did (P5)",
            Some(hears_after_a_first_ignore()),
            deaf,
            per_socket,
        ),
    ];
    for (what, old, now, why) in rows {
        let verdict = old.map_or("", |old| if old == now { "same" } else { "differs" });
        writeln!(page, "| {what} | {} | {} | {verdict} | {why} |", old.map_or("", words), words(now))
            .expect("a string");
    }
    page
}

#[cfg(all(feature = "netlink", target_os = "linux"))]
fn kernel_heard() -> [bool; 5] {
    super::gone::measured().unwrap_or(super::gone::EXPECTED)
}

#[cfg(not(all(feature = "netlink", target_os = "linux")))]
fn kernel_heard() -> [bool; 5] {
    [false, true, true, false, true]
}

/// What surrounds the computed tables.
const PAGE: &str = include_str!("parity.md");

#[test]
fn the_page_about_parity_says_what_is_computed_now() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/parity.md");
    let page = PAGE.replace("{buffers}\n", &buffers()).replace("{forks}\n", &forks()).replace("{gates}\n", &gates());
    if std::env::var_os("UPDATE_PARITY").is_some() {
        std::fs::write(&path, page).expect("the page can be written");
        return;
    }
    let written = std::fs::read_to_string(&path).expect("the page");
    for (line, (is, should)) in written.lines().zip(page.lines()).enumerate() {
        assert_eq!(is, should, "docs/parity.md, line {}; UPDATE_PARITY=1 writes it anew", line + 1);
    }
    assert_eq!(written.lines().count(), page.lines().count());
}

#[test]
fn every_row_of_the_page_agrees_with_the_kernel() {
    for (what, body, _) in ROWS {
        // `on_both` compares them.
        assert!(!on_both(body).is_empty(), "{what}");
    }
}
