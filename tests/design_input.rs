//! Designs and controls as the user writes them: flags, replay lines, scenario files; and what is wrong with them.

mod common;

use common::forklab;
use forklab::lab::run::{Loaded, Watch, run};
use forklab::lab::spec::{Spec, parse_scenario};
use forklab::scenario_file::{Control, Word};

const TASK: &str = "[[tasks]]\nname = \"p\"\n";

/// What is said of a scenario; each text stands in lines 2 and following.
#[track_caller]
fn wrong(text: &str, message: &str) {
    let error = parse_scenario("s.toml", &format!("name = \"x\"\n{text}\n{TASK}")).expect_err(text);
    assert_eq!(error.to_string(), format!("s.toml:{message}"), "{text}");
}

#[track_caller]
fn listener_wrong(control: &str, message: &str) {
    wrong(&format!("[[listeners]]\nname = \"a\"\ngroups = 1\ncontrol = {control}"), message);
}

fn replay(line: &str) -> String {
    let spec: Spec = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    run(&Loaded::new(spec, |_| ()).expect("built in"), Watch::default()).expect("it can be run").replay
}

#[test]
fn a_design_that_cannot_be_built_is_refused_with_the_reason() {
    let reason = "sequence unlocked needs room in the message, and format bare has none";
    let design = "hook=end gate=always sequence=unlocked format=bare delivery=broadcast";
    for args in [&["run", "tour", "--sequence", "unlocked"][..], &["replay", "v1 tour sequence=unlocked"]] {
        let done = forklab(args);
        let expected = format!("forklab: <design>: found {design}, expected a design that can be built: {reason}\n");
        assert_eq!((done.code, done.err), (Some(2), expected));
    }
    wrong(
        "[design]\ngate = \"socket\"\ndelivery = \"signal\"",
        "2:1: found an impossible design, expected another one: gate socket asks a netlink socket, and delivery signal has none",
    );
}

#[test]
fn a_value_that_an_axis_does_not_have_is_refused_with_those_it_has() {
    let done = forklab(&["run", "tour", "--gate", "open"]);
    assert_eq!(done.code, Some(2));
    let choices = "always, socket, on-off, counter, has-listeners, counter-reset";
    assert!(done.err.starts_with(&format!("error: invalid value 'open' for '--gate <GATE>': expected {choices}")));
    let error = "v1 tour delivery=mail".parse::<Spec>().expect_err("no such delivery");
    let choices = "broadcast, deferred, signal, hotplug, batched";
    assert_eq!(error.to_string(), format!("<replay line>:1:18: found \"mail\", expected a delivery: {choices}"));
    wrong("[design]\nsequence = \"odd\"", "3:12: found \"odd\", expected one of none, unlocked, locked, per-cpu");
    wrong("[design]\nformat = 1", "3:10: found integer `1`, expected a string");
}

#[test]
fn a_replay_line_says_what_is_not_as_posted_and_what_was_asked_for() {
    assert_eq!(replay("v1 tour"), "v1 tour hook=end fault=none");
    let full = "v1 tour hook=locked gate=counter sequence=per-cpu format=connector-struct delivery=deferred fault=none";
    assert_eq!(replay(full), full);
    assert_eq!(replay("v1 tour gate=always"), "v1 tour hook=end gate=always fault=none");
    let mixed = "v1 tour delivery=signal hook=before-wake";
    assert_eq!(replay(mixed), "v1 tour hook=before-wake delivery=signal fault=none");
}

#[test]
fn a_scenario_names_its_design_and_a_flag_overrides_one_axis_of_it() {
    let text =
        format!("name = \"x\"\n[design]\nhook = \"before-wake\"\nsequence = \"locked\"\nformat = \"keys\"\n{TASK}");
    let scenario = parse_scenario("s.toml", &text).expect("a scenario");
    let setup = |line: &str| line.parse::<Spec>().expect("a line").setup(Some(&scenario)).system.design.to_string();
    let rest = "sequence=locked format=keys delivery=broadcast";
    assert_eq!(setup("v1 tour"), format!("hook=before-wake gate=always {rest}"));
    assert_eq!(setup("v1 tour hook=end gate=socket"), format!("hook=end gate=socket {rest}"));
}

#[test]
fn controls_are_words_with_a_number_of_forks() {
    let text = "name = \"x\"\n[[listeners]]\nname = \"a\"\ngroups = 1\ncontrol = [\"listen\", \"filter after 0\", \"die after 7\"]\n";
    let scenario = parse_scenario("s.toml", &format!("{text}{TASK}")).expect("a scenario");
    let control = |word, after| Control { word, after };
    let expected = [control(Word::Listen, None), control(Word::Filter, Some(0)), control(Word::Die, Some(7))];
    assert_eq!(scenario.listeners[0].control.as_deref(), Some(&expected[..]));
}

#[test]
fn a_wrong_control_is_pointed_at() {
    let words =
        "expected listen, ignore, filter, unfilter or die, each with \"after N\" behind it for once N forks were tried";
    listener_wrong("[\"hear\"]", &format!("5:12: found \"hear\", {words}"));
    listener_wrong("[\"listen\", \"die later\"]", &format!("5:22: found \"die later\", {words}"));
    listener_wrong("[\"die after x\"]", "5:12: found \"x\", expected a number of forks");
    listener_wrong("[\"die\", \"listen\"]", "5:19: found a control behind die, expected die to be the last");
    let order = "found a control that comes before the one above it, expected them in order";
    listener_wrong("[\"listen after 3\", \"ignore after 2\"]", &format!("5:30: {order}"));
    listener_wrong("[\"listen after 3\", \"ignore\"]", &format!("5:30: {order}"));
    listener_wrong("\"die\"", "5:11: found string \"die\", expected an array");
}
