//! Fault injection at random, in the kernel's words: each word of `[failslab]` has its effect, and only that.

mod common;

use common::{report, scenario};
use forklab::lab::run::Report;
use proptest::prelude::*;

/// Forty forks one after the other, with a listener; what fails is up to these words.
fn with(words: &str) -> Report {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!(
        "name = \"x\"\n[failslab]\n{words}\n[[listeners]]\nname = \"elsa\"\ngroups = 1\n\
         [[tasks]]\nname = \"p\"\nsigchld = \"ignore\"\ndoes = [\"fork c x40\", \"exit 0\"]\n\
         [[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n"
    );
    report(&scenario(folder.path(), &text))
}

/// How many allocations failed.
fn failures(words: &str) -> u64 {
    with(words).failed_allocations.iter().map(|(_, count)| count).sum()
}

/// Everything on this path may sleep, so that failures need this.
const ALL: &str = "ignore-gfp-wait = false";

#[test]
fn without_a_probability_nothing_fails() {
    assert_eq!(failures(&format!("{ALL}\ntimes = -1")), 0);
}

#[test]
fn the_defaults_spare_allocations_that_may_sleep_and_a_fork_has_no_others() {
    assert_eq!(failures("probability = 100\ntimes = -1"), 0);
    assert_eq!(failures("probability = 100\ntimes = -1\nignore-gfp-wait = true"), 0);
    assert!(failures("probability = 100\ntimes = -1\nignore-gfp-wait = false") > 0);
}

#[test]
fn at_a_hundred_per_cent_no_fork_succeeds() {
    let report = with(&format!("{ALL}\nprobability = 100\ntimes = -1"));
    assert_eq!((report.forks, report.failed_allocations), (0, vec![("alloc_task_struct", 40)]));
    assert_eq!(report.fork_errors, [("-ENOMEM".to_owned(), 40)]);
}

#[test]
fn times_bounds_the_failures_and_one_is_the_default() {
    assert_eq!(failures(&format!("{ALL}\nprobability = 100")), 1);
    for times in [0, 1, 2, 7] {
        assert_eq!(failures(&format!("{ALL}\nprobability = 100\ntimes = {times}")), times);
    }
}

#[test]
fn interval_considers_every_so_many_allocations_only() {
    // The first that fails is the interval-th: of a fork the first is its task, the second its stack.
    for (interval, site) in
        [(1, "alloc_task_struct"), (2, "alloc_thread_info"), (3, "kobject_get_path.path"), (4, "kobject_fork.envp")]
    {
        let report = with(&format!("{ALL}\nprobability = 100\ninterval = {interval}"));
        assert_eq!(report.failed_allocations, [(site, 1)], "interval = {interval}");
    }
}

#[test]
fn space_is_granted_before_anything_fails() {
    // A task takes 1,712 bytes and its stack 8,192. What fits into the rest of the space is granted and taken from it.
    for (space, site) in [
        (0, "alloc_task_struct"),
        (1712, "alloc_task_struct"),
        (1713, "alloc_thread_info"),
        (9904, "alloc_thread_info"),
    ] {
        let report = with(&format!("{ALL}\nprobability = 100\nspace = {space}"));
        assert_eq!(report.failed_allocations, [(site, 1)], "space = {space}");
    }
    let late = with(&format!("{ALL}\nprobability = 100\ntimes = 1\nspace = 100000"));
    let early = with(&format!("{ALL}\nprobability = 100\ntimes = 1\nspace = 0"));
    assert_eq!(late.failed_allocations.len() + early.failed_allocations.len(), 2);
    assert_ne!(late.trace_hash, early.trace_hash, "the failure comes later");
}

#[test]
fn the_probability_is_per_cent() {
    // Of 40 forks some 300 allocations, of which every tenth fails: with these seeds between 5 and 15 per cent.
    for seed in 0..5 {
        let words = format!("{ALL}\nprobability = 10\ntimes = -1\nseed = {seed}");
        let report = with(&words);
        let failed: u64 = report.failed_allocations.iter().map(|(_, count)| count).sum();
        assert!((12..=48).contains(&failed), "seed {seed}: {failed} failures, {} forks", report.forks);
    }
}

#[test]
fn the_seed_decides_which_ones_fail() {
    let hash = |seed: u64| with(&format!("{ALL}\nprobability = 10\ntimes = -1\nseed = {seed}")).trace_hash;
    assert_eq!(hash(1), hash(1));
    let different: std::collections::BTreeSet<_> = (0..8).map(hash).collect();
    assert_eq!(different.len(), 8);
}

#[test]
fn failures_at_random_and_failures_on_purpose_add_up() {
    let both =
        with(&format!("{ALL}\nprobability = 100\ninterval = 5\n[[faults]]\nsite = \"alloc_task_struct\"\nnth = 1"));
    let failed: u64 = both.failed_allocations.iter().map(|(_, count)| count).sum();
    assert_eq!(failed, 2, "{:?}", both.failed_allocations);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_words_are_nothing_leaks_away_in_the_counting(
        probability in 0..=100_u32, interval in 1..20_u32, times in -1..20_i32, space in 0..60_000_u32, wait: bool, seed in 0..1000_u64,
    ) {
        let report = with(&format!(
            "probability = {probability}\ninterval = {interval}\ntimes = {times}\nspace = {space}\n\
             ignore-gfp-wait = {wait}\nseed = {seed}"
        ));
        let failed: u64 = report.failed_allocations.iter().map(|(_, count)| count).sum();
        prop_assert!(times < 0 || failed <= times.unsigned_abs().into());
        prop_assert!(!(wait || probability == 0) || failed == 0);
        let errors: u64 = report.fork_errors.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(report.forks + errors, 40);
        prop_assert_eq!(report.events_sent + report.events.no_memory, report.forks);
        prop_assert_eq!(report.listeners[0].received + report.listeners[0].lost, report.events_sent);
        prop_assert!(report.violations.iter().all(|violation| violation.rule == sim::Rule::UseAfterFree));
    }
}
