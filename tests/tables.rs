//! The tables and pictures that people see, as snapshots; and what must hold of them, in words.

mod common;

use std::collections::BTreeSet;

use common::{forklab, report, seeded};
use fork_model::Hook;
use fork_model::fork::{TASK_STRUCT, THREAD_INFO};
use fork_model::pid::PIDMAP_PAGE;
use forklab::lab::faults::{Fate, Row, table};
use insta::assert_snapshot;
use uevent::site::{CLONE_HEAD, EXPAND_DATA, FORK_EVENT};

/// What a command prints, without complaint.
fn printed(args: &[&str]) -> String {
    let done = forklab(args);
    assert!(done.err.is_empty() && done.code != Some(2), "forklab {}: {}", args.join(" "), done.err);
    done.out
}

#[test]
fn the_tour() {
    assert_snapshot!("tour", printed(&[]));
}

#[test]
fn the_fault_table() {
    assert_snapshot!("faults", printed(&["faults"]));
}

#[test]
fn the_layouts() {
    assert_snapshot!("layout_fork", printed(&["layout"]));
    assert_snapshot!("layout_fork_cache_line_128", printed(&["layout", "--smp-cache-bytes", "128"]));
    assert_snapshot!("layout_hotplug", printed(&["layout", "--hotplug", "/block/sda"]));
    assert_snapshot!("layout_freed_child", printed(&["layout", "--child", "1802201963"]));
}

#[test]
fn the_lanes() {
    assert_snapshot!("lanes_tour", printed(&["run", "tour", "--trace", "lanes"]));
    assert_snapshot!("lanes_thread", printed(&["run", "thread", "--trace", "lanes"]));
    let found = "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=none";
    assert_snapshot!("lanes_autoreap", printed(&["replay", found, "--trace", "lanes"]));
}

#[test]
fn the_graphs() {
    assert_snapshot!("graph_tour", printed(&["run", "tour", "--trace", "graph"]));
    let found = "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=none";
    assert_snapshot!("graph_autoreap", printed(&["replay", found, "--trace", "graph"]));
}

/// The rows in which something failed, for each hook.
fn rows() -> Vec<Row> {
    let rows: Vec<_> = [Hook::End, Hook::EndSavedPid].into_iter().flat_map(table).collect();
    assert!(rows.len() >= 160, "{} rows", rows.len());
    rows
}

#[test]
fn no_failure_leaks() {
    for row in rows() {
        assert_eq!(row.leaks, 0, "{row:?}");
    }
}

#[test]
fn the_table_has_every_site_of_a_fork_and_of_its_event_and_each_does_fail() {
    let failed: BTreeSet<_> = rows().iter().filter(|row| row.failed > 0).map(|row| row.site).collect();
    let of_fork = [PIDMAP_PAGE, TASK_STRUCT, THREAD_INFO];
    let expected: BTreeSet<_> = FORK_EVENT.iter().chain(&of_fork).map(|site| site.0).collect();
    assert_eq!(failed, expected);
}

#[test]
fn fork_never_fails_because_its_event_does() {
    for row in rows().iter().filter(|row| FORK_EVENT.iter().any(|site| site.0 == row.site)) {
        assert!(row.forks.iter().all(|rc| *rc > 0), "{row:?}");
    }
}

#[test]
fn a_fork_that_fails_makes_no_event_and_the_one_after_it_is_heard() {
    let of_fork = [PIDMAP_PAGE, TASK_STRUCT, THREAD_INFO];
    for row in rows().iter().filter(|row| of_fork.iter().any(|site| site.0 == row.site)) {
        assert!(row.forks[0] < 0, "{row:?}");
        assert_eq!(row.forks[1] > 0, row.times == "once", "{row:?}");
        for heard in &row.heard {
            assert_eq!(heard.got, [None, (row.times == "once").then_some(true)], "{row:?}");
            assert!(!heard.told, "{row:?}");
        }
        assert_eq!(row.fate(), Fate::NoFork);
    }
}

/// Known and wrong: `kobject_fork()` returns void, and its failures before the broadcast are told to nobody.
#[test]
fn an_event_that_fails_before_the_broadcast_is_lost_silently() {
    let silent =
        |row: &&Row| FORK_EVENT.iter().any(|site| site.0 == row.site && ![EXPAND_DATA, CLONE_HEAD].contains(site));
    for row in rows().iter().filter(silent) {
        assert_eq!(row.fate(), if row.listeners == 0 { Fate::Nobody } else { Fate::Silent }, "{row:?}");
        assert!(row.failed > 0 && row.heard.iter().all(|heard| heard.got[0] == Some(false) && !heard.told), "{row:?}");
    }
}

#[test]
fn a_message_that_cannot_be_trimmed_is_sent_as_it_is() {
    for row in rows().iter().filter(|row| row.site == EXPAND_DATA.0 && row.listeners > 0) {
        assert_eq!(row.fate(), Fate::Delivered, "{row:?}");
    }
}

/// One failed clone costs several listeners the event, and the next one, too, until they have drained their queues: but
/// each of them is told.
#[test]
fn a_clone_that_fails_is_announced_to_whoever_missed_the_event() {
    for row in rows().iter().filter(|row| row.site == CLONE_HEAD.0 && row.failed > 0) {
        assert!(row.listeners > 1, "one listener gets the original: {row:?}");
        assert_eq!(row.fate(), Fate::Announced, "{row:?}");
    }
}

#[test]
fn the_table_is_the_same_for_both_hooks() {
    assert_eq!(table(Hook::End), table(Hook::EndSavedPid), "both stand behind the wake-up, and allocate alike");
}

#[test]
fn the_graph_closes_every_brace_that_it_opens() {
    for seed in 0..20 {
        let line = report(&seeded("autoreap", seed)).replay;
        let graph = printed(&["replay", &line, "--trace", "graph"]);
        let calls: Vec<_> = graph.lines().take_while(|line| !line.starts_with(" tasks ")).collect();
        let opened = calls.iter().filter(|line| line.ends_with('{')).count();
        let closed = calls.iter().filter(|line| line.contains("} /*")).count();
        assert_eq!(opened, closed, "{graph}");
    }
}
