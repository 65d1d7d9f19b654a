//! Schedules a second, and executions of a complete search: this project's explorer, shuttle, loom, on the same small race;
//! and the whole simulated kernel with all checkers on.

mod race;

use divan::Bencher;
use divan::counter::ItemsCount;
use sim::explore::exhaustive::Exhaustive;
use sim::explore::random::Random;
use sim::explore::{Verdict, search};

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
    let executions = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = executions.clone();
    loom::model(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        race::peers::loom::race();
    });
    executions.load(std::sync::atomic::Ordering::Relaxed)
}
