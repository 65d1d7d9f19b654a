//! Eras from outside: a flag, a key of a scenario, a word of a replay line.

mod common;

use common::{data, forklab, report, scenario};
use forklab::lab::spec::{Source, Spec};
use uevent::Era;

const OVERRUN: [&str; 3] = ["overrun", "--era", "6.18"];

#[test]
fn the_default_buffer_of_2005_held_489_fork_events_and_holds_150_as_they_are_counted_today() {
    let survived = |era| {
        let report = report(&Spec { era, ..Spec::new(Source::BuiltIn("overrun".into())) });
        (report.listeners[0].received, report.listeners[0].why.full + report.listeners[0].why.latched)
    };
    assert_eq!(survived(None), (489, 111));
    assert_eq!(survived(Some(Era::Linux2_6_11)), (489, 111));
    assert_eq!(survived(Some(Era::Linux6_18)), (150, 450));
}

#[test]
fn the_era_that_was_asked_for_is_in_the_replay_line_and_read_back() {
    let done = forklab(&[&["run"], &OVERRUN[..]].concat());
    let line = "'v1 overrun hook=end era=6.18 fault=none'";
    assert!(done.out.contains(line), "{}", done.out);
    let again = forklab(&["replay", line.trim_matches('\'')]);
    assert_eq!((again.code, again.out), (done.code, done.out));
}

#[test]
fn a_workload_has_the_buffer_of_its_era_unless_another_is_asked_for() {
    let path = data("shell.csv.gz");
    let spec: Spec = format!("v1 workload={} hook=end era=6.18", path.display()).parse().expect("a line");
    assert_eq!(spec.bench.rcvbuf, 212_992);
    let spec: Spec = format!("v1 workload={} hook=end rcvbuf=9 era=6.18", path.display()).parse().expect("a line");
    assert_eq!(spec.bench.rcvbuf, 9);
    assert!(spec.to_string().contains("era=6.18 rcvbuf=9"), "{spec}");
}

#[test]
fn a_scenario_names_its_era_and_a_flag_goes_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "name = \"survives\"\n[machine]\nera = \"6.18\"\n[[listeners]]\nname = \"a\"\ngroups = 1\npace = \"drain-at-end\"\n\
                [[tasks]]\nname = \"p\"\ndoes = [\"fork c x300\"]\n[[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n";
    let spec = scenario(folder.path(), text);
    assert_eq!(report(&spec).listeners[0].received, 256);
    let asked = Spec { era: Some(Era::Linux2_6_11), ..spec };
    assert_eq!(report(&asked).listeners[0].received, 300);
}

#[test]
fn an_era_that_nobody_knows_is_refused_with_those_that_are_known() {
    let done = forklab(&["run", "overrun", "--era", "5.4"]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("expected 2.6.11 or 6.18"), "{}", done.err);
    let done = forklab(&["replay", "v1 overrun era=5.4"]);
    assert!(done.err.contains("2.6.11 or 6.18"), "{}", done.err);
}
