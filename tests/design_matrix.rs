//! Every combination of the five axes: which can be built, and that those which can neither panic nor leak.

use std::collections::BTreeMap;

use fork_model::design::{Delivery, Sequence};
use fork_model::{Design, Hook};
use forklab::lab::faults::{Fate, Row, table};
use forklab::lab::observe::observe;
use forklab::lab::spec::{Asked, Source, Spec, scenario};
use rayon::prelude::*;
use sim::{Calm, Ended, Rule};

/// khelper's fork needs `tasklist_lock`, which the task that waits for khelper holds.
fn hangs(design: &Design) -> bool {
    (design.hook, design.delivery) == (Hook::Locked, Delivery::Hotplug)
}

fn is_its_own(design: &Design, rule: Rule) -> bool {
    match rule {
        Rule::UseAfterFree => matches!(design.hook, Hook::End | Hook::AfterWake),
        Rule::AtomicSleep => design.hook == Hook::Locked,
        Rule::Deadlock => design.delivery == Delivery::Hotplug,
        // A helper's fork is an event, too: khelper and the task that asked for it draw numbers.
        Rule::DataRace => design.sequence == Sequence::Unlocked,
        _ => false,
    }
}

#[test]
fn what_cannot_be_built_is_refused_with_the_reason() {
    let mut reasons = BTreeMap::new();
    for design in Design::all() {
        if let Err(impossible) = design.check() {
            *reasons.entry(impossible.to_string()).or_insert(0) += 1;
        }
    }
    let all = Design::all().count();
    let possible = Design::possible().count();
    let list: String = reasons.iter().map(|(reason, count)| format!("{count:>4}  {reason}\n")).collect();
    insta::assert_snapshot!(format!("{all} designs, {possible} possible\n\n{list}"));
}

#[test]
fn a_design_is_printed_and_read_back() {
    for design in Design::all() {
        assert_eq!(design.to_string().parse(), Ok(design));
        let asked = Asked::default().for_replay(design);
        assert_eq!(asked.over(Design::default()), design, "a replay line carries it");
    }
    let error = "gate=open".parse::<Design>().expect_err("no such gate");
    let expected = "found \"open\", expected a gate: always, socket, on-off, counter, has-listeners, counter-reset";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn every_possible_design_runs_the_tour_and_breaks_no_rule_but_its_own() {
    let tour = scenario(&Source::BuiltIn("tour".into())).expect("built in").expect("a scenario");
    let designs: Vec<_> = Design::possible().collect();
    designs.par_iter().for_each(|design| {
        let spec = Spec { design: (*design).into(), ..Spec::new(Source::BuiltIn("tour".into())) };
        let run = observe(&spec.setup(Some(&tour)), &tour, &[], Calm).expect("room for two tasks");
        let violations = run.world.sys.m.violations().clone();
        if hangs(design) {
            assert_eq!(run.ended, Ended::Deadlock, "{design}");
            return;
        }
        assert!(violations.iter().all(|violation| is_its_own(design, violation.rule)), "{design}: {violations:#?}");
        let heard = run.world.listeners[0].heard.borrow();
        let helpers = u64::from(design.delivery == Delivery::Hotplug);
        assert_eq!((heard.received, heard.tree.unreadable), (1 + helpers, 0), "{design}: {:?}", heard.messages);
        assert_eq!(heard.tree.parent(101), Some(100), "{design}");
    });
}

/// Every allocation of the path × {once, from then on} × {0 to 3 listeners} × every design: what became of each event.
#[test]
fn every_allocation_of_every_design_may_fail_without_a_leak_and_every_lost_event_is_told_by_name() {
    let designs: Vec<_> = Design::possible().filter(|design| !hangs(design)).collect();
    let of_fork = ["alloc_pidmap.page", "alloc_task_struct", "alloc_thread_info"];
    let fates: Vec<(Design, Vec<Fate>)> = designs
        .par_iter()
        .map(|design| {
            let rows = table(*design);
            for row in &rows {
                assert_eq!((row.leaks, row.double_frees), (0, 0), "{design}: {row:?}");
                // Whatever becomes of its event, a fork that could be made returns its pid.
                let forked = row.forks.len() == 2 && row.forks.iter().all(|rc| *rc > 0);
                assert!(forked || of_fork.contains(&row.site), "{design}: {row:?}");
            }
            (*design, rows.iter().filter(|row| row.failed > 0).map(Row::fate).collect())
        })
        .collect();
    let mut lost: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for (design, fates) in &fates {
        let count = |fate| fates.iter().filter(|found| **found == fate).count();
        let key = format!("{:<17} {:<10}", design.format.name(), design.delivery.name());
        let sum = lost.entry(key).or_default();
        sum[0] += fates.len();
        sum[1] += count(Fate::Silent);
        sum[2] += count(Fate::Announced);
    }
    let runs: usize = lost.values().map(|sum| sum[0]).sum();
    assert!(runs > 30_000, "{runs} runs: the sweep has lost its subject");
    let line = |(key, [runs, silent, announced]): (&String, &[usize; 3])| {
        format!("{key} {runs:>6} met a failure, {silent:>5} lost an event silently, {announced:>5} with a word\n")
    };
    insta::assert_snapshot!("lost_events", lost.iter().map(line).collect::<String>());
}
