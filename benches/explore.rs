//! Schedules a second, and executions of a complete search: this project's explorer, shuttle, loom, on the same small race;
//! and the whole simulated kernel with all checkers on.

mod race;

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use divan::Bencher;
use divan::counter::ItemsCount;
use forklab::lab::observe::observe;
use forklab::lab::spec::{Spec, scenario};
use sim::explore::exhaustive::Exhaustive;
use sim::explore::random::Random;
use sim::explore::{Ran, Verdict, search};
use sim::{Lent, Rule};

fn main() {
    println!("executions of a complete search: ours {}, loom {}", complete_ours(), complete_loom());
    divan::main();
}

const RUNS: usize = 1000;

/// Random schedules of the race.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn random_ours(bencher: Bencher) {
    bencher.counter(ItemsCount::new(RUNS)).bench_local(|| {
        let verdict = search(&race::ours::run, Random::new(1, 0..RUNS as u64), u64::MAX, |_| ());
        assert_eq!(verdict.executions(), RUNS as u64);
    });
}

/// The same, by shuttle.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn random_shuttle(bencher: Bencher) {
    bencher.counter(ItemsCount::new(RUNS)).bench_local(|| {
        shuttle::check_random(race::peers::shuttle::race, RUNS);
    });
}

/// Exhibit P18 on the whole kernel: each schedule has a booted one of its own, and all checkers look at it. What is found is counted, not looked
/// for, so that the search does not end with it.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn p18_ours(bencher: Bencher) {
    let spec = Spec::from_str("v1 autoreap hook=end").expect("the exhibit's replay line");
    let scenario = scenario(&spec.source).expect("built in").expect("a scenario");
    let setup = spec.setup(Some(&scenario));
    let freed = AtomicU64::new(0);
    let trial = |chooser: Lent| {
        let seen = observe(&setup, &scenario, &[], chooser).expect("room for two tasks");
        let m = &seen.world.sys.m;
        let found = m.violations().iter().any(|violation| violation.rule == Rule::UseAfterFree);
        freed.fetch_add(found.into(), Ordering::Relaxed);
        Ran { found: Vec::new(), steps: seen.steps, placement: m.placement_matters() }
    };
    bencher.counter(ItemsCount::new(RUNS)).bench_local(|| {
        let verdict = search(&trial, Random::new(1, 0..RUNS as u64), u64::MAX, |_| ());
        assert_eq!(verdict.executions(), RUNS as u64);
    });
    assert!(freed.into_inner() > 0, "some of the schedules find it");
}

/// Every kind of run, once.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn complete_search_ours(bencher: Bencher) {
    bencher.bench_local(complete_ours);
}

/// The same, by loom.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn complete_search_loom(bencher: Bencher) {
    bencher.bench_local(complete_loom);
}

fn complete_ours() -> u64 {
    let verdict = search(&race::ours::run, Exhaustive::default(), u64::MAX, |_| ());
    assert!(matches!(verdict, Verdict::Proved { .. }), "{verdict:?}");
    verdict.executions()
}

fn complete_loom() -> u64 {
    let executions = std::sync::Arc::new(AtomicU64::new(0));
    let count = executions.clone();
    loom::model(move || {
        count.fetch_add(1, Ordering::Relaxed);
        race::peers::loom::race();
    });
    executions.load(Ordering::Relaxed)
}
