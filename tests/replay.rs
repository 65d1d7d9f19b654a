//! A replay line is the run: pasted back it is the same, edited by hand it is another one that can be repeated, too.

mod common;

use common::{SEEDS, SMALL, built_in, forklab, report, seeded, workload};
use forklab::lab::run::Report;
use forklab::lab::spec::{BUILT_IN, Bench, Order, Spec, parse_fault, parse_pace};
use sha2::{Digest, Sha256};

/// All that a report says, for a comparison to the letter.
fn letters(report: &Report) -> String {
    serde_json::to_string_pretty(report).expect("a report is JSON")
}

/// Runs what is asked for, pastes the replay line back, and compares everything.
fn replays(spec: &Spec) -> Report {
    let first = report(spec);
    let again = report(&first.replay.parse().unwrap_or_else(|error| panic!("{}: {error}", first.replay)));
    assert_eq!(letters(&first), letters(&again), "{spec}");
    first
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_run_of_200_seeds_is_repeated_by_its_line() {
    for name in SMALL {
        let mut schedules = std::collections::BTreeSet::new();
        for seed in 0..SEEDS {
            schedules.insert(replays(&seeded(name, seed)).replay);
        }
        assert!(schedules.len() > 1 || name == "boot-early", "{name}: seeds that change nothing test nothing");
    }
}

#[test]
fn a_long_run_is_repeated_by_its_line() {
    for spec in [built_in("overrun"), seeded("overrun", 1), seeded("overrun", 2)] {
        assert_eq!(replays(&spec).forks, 600);
    }
}

#[test]
fn a_run_with_failures_is_repeated_by_its_line() {
    let faults = ["any#1", "any#3+", "alloc_skb.data#1", "alloc_task_struct#1", "pskb_expand_head.data#1+"];
    for name in SMALL {
        for seed in 0..SEEDS / 10 {
            for fault in faults {
                let mut spec = seeded(name, seed);
                spec.faults = vec![parse_fault(fault).expect("a fault")];
                let report = replays(&spec);
                assert!(report.replay.ends_with(&format!(" fault={fault}")), "{}", report.replay);
            }
            let mut spec = seeded(name, seed);
            spec.faults = faults[..2].iter().map(|fault| parse_fault(fault).expect("a fault")).collect();
            replays(&spec);
        }
    }
}

#[test]
fn a_recording_is_repeated_by_its_seed_and_its_bench() {
    let pace = parse_pace("every:10").expect("a pace");
    let benches =
        [Bench { cpus: 2, ..Bench::default() }, Bench { cpus: 2, preempt: true, listeners: 2, rcvbuf: 2048, pace }];
    for bench in benches {
        for faults in [vec![], vec![parse_fault("alloc_skb.head#100+").expect("a fault")]] {
            let spec = Spec { order: Order::Seed(7), bench: bench.clone(), faults, ..workload("shell.csv.gz") };
            let report = replays(&spec);
            assert!(report.replay.contains(" cpus=2") && report.replay.contains(" seed=7"), "{}", report.replay);
            assert_eq!(report.forks, 688);
        }
    }
}

#[test]
fn a_line_is_read_and_written_alike() {
    let lines = [
        "v1 tour fault=none",
        "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=none",
        "v1 file=my%20own%25.toml hook=end-saved-pid seed=18446744073709551615 fault=any#1,alloc_skb.head#3+",
        "v1 workload=it%27s.csv hook=end cpus=64 preempt=true listeners=0 rcvbuf=0 pace=drain-at-end fault=none",
    ];
    for line in lines {
        let spec: Spec = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(spec.to_string(), line);
    }
}

#[test]
fn the_words_of_a_line_may_come_in_any_order_and_with_more_room_between_them() {
    let tidy: Spec = "v1 autoreap hook=end seed=3 fault=any#2".parse().expect("a line");
    let wild: Spec = "  v1   autoreap fault=any#2  seed=3 hook=end ".parse().expect("a line");
    assert_eq!(tidy, wild);
    let done = forklab(&["replay", "v1", "autoreap", "fault=any#2", "seed=3", "hook=end"]);
    assert_eq!(done.out, forklab(&["replay", "v1 autoreap hook=end seed=3 fault=any#2"]).out);
}

#[test]
fn a_line_edited_by_hand_is_the_run_that_it_says() {
    let found = "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=none";
    assert_eq!(report(&found.parse().expect("a line")).violations.len(), 1);
    // The repaired hook has nothing to read after the wake-up; the schedule up to there is the same.
    let repaired = "v1 autoreap hook=end-saved-pid sched=p5.c6 fault=none";
    let repaired = report(&repaired.parse().expect("a line"));
    assert_eq!(
        (repaired.violations.len(), repaired.listeners[0].messages[0].as_str()),
        (0, r"fork@/fork_kobj\0100\0101\0")
    );
    // The schedule of a run in which everything succeeds still fits until the failure.
    let failing = "v1 autoreap hook=end sched=p5.c6 fault=alloc_skb.head#1";
    let failing = report(&failing.parse().expect("a line"));
    assert_eq!((failing.violations.len(), failing.events.no_memory, failing.events_sent), (1, 1, 0));
    assert_eq!(failing.failed_allocations, [("alloc_skb.head", 1)]);
    // What behind the schedule is calm is written out when the line is a seed's; here it is as the user wrote it.
    assert!(failing.replay.contains(" sched=p5.c6 "), "{}", failing.replay);
}

#[test]
fn a_line_without_a_hook_takes_the_scenarios_and_says_so_afterwards() {
    assert_eq!(report(&"v1 tour".parse().expect("a line")).replay, "v1 tour hook=end fault=none");
}

#[test]
fn a_scenario_file_is_repeated_from_its_path_even_with_blanks_in_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("my own 100% scenario.toml");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/src/scenarios/autoreap.toml"), &path).expect("copied");
    let first = forklab(&["run", path.to_str().expect("UTF-8"), "--seed", "5"]);
    assert_eq!(first.err, "");
    let line =
        first.out.split_once("forklab replay '").expect("a replay line").1.split_once('\'').expect("in quotes").0;
    let again = forklab(&["replay", line]);
    assert_eq!((again.code, again.out), (first.code, first.out));
}

#[test]
fn sha256sum_of_the_json_trace_is_the_trace_hash() {
    for (name, _) in BUILT_IN {
        let trace = forklab(&["run", name, "--seed", "9", "--trace", "json"]);
        let spec = if *name == "overrun" { seeded("overrun", 9) } else { seeded(name, 9) };
        let hash = report(&spec).trace_hash;
        assert_eq!(sha256(&trace.out), hash, "{name}");
        assert!(trace.err.contains(&format!(" trace     sha256 {hash}\n")), "{}", trace.err);
    }
}

#[test]
fn looking_changes_nothing() {
    for name in SMALL {
        let plain = report(&seeded(name, 4)).trace_hash;
        for look in ["lanes", "graph", "none"] {
            let done = forklab(&["run", name, "--seed", "4", "--trace", look]);
            assert!(done.out.contains(&format!(" trace     sha256 {plain}\n")), "{name} --trace {look}");
        }
    }
}
