//! The same list of choices is the same run: 10,000 seeds, twice, on any number of threads.

use std::rc::Rc;

use forklab::lab::observe::observe_prepared;
use forklab::lab::spec::{Source, Spec};
use forklab::museum::defects;
use forklab::property::{CaseTrial, Property};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use sim::explore::parallel::{How, explore};
use sim::{Machine, Seeded};

/// Enough for every schedule of two lanes to come many times.
const SEEDS: u64 = 10_000;

/// The trace hash of one run of the smallest scenario with a race.
fn run(seed: u64) -> String {
    let spec = Spec::new(Source::BuiltIn("autoreap".into()));
    let scenario = spec.scenario().expect("built in").expect("no recording");
    let setup = spec.setup(Some(&scenario));
    let prepare = |m: &Machine| m.trace.start_hash();
    let observed = observe_prepared(&setup, &scenario, prepare, |_| (), Seeded::new(seed)).expect("it has room");
    observed.world.sys.m.trace.hash().expect("started")
}

fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(f)
}

fn all_hashes() -> Vec<String> {
    (0..SEEDS).into_par_iter().map(run).collect()
}

#[test]
fn ten_thousand_seeds_give_the_same_hashes_twice_and_on_any_number_of_threads() {
    let (one, many) = (with_threads(2, all_hashes), with_threads(3, all_hashes));
    assert_eq!(one, many);
    let distinct: std::collections::BTreeSet<_> = one.iter().collect();
    assert!(distinct.len() > 50, "{}: seeds that change nothing test nothing", distinct.len());
    // The same in debug and in release: both are run, and compare themselves with this number.
    let mut whole = Sha256::new();
    one.iter().for_each(|hash| whole.update(hash));
    let whole: String = whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    insta::assert_snapshot!("ten_thousand_seeds", whole);
}

#[test]
fn ten_thousand_tellings_of_the_experiments_are_the_same_twice() {
    let tell = |seed: u64| {
        let all = defects::ALL;
        let experiment = &all[usize::try_from(seed).expect("small") % all.len()];
        let (sys, _) = experiment.once(false, Seeded::new(seed), |m| m.trace.start_hash());
        let sys: Rc<_> = sys;
        (sys.m.trace.hash(), sys.m.violations().clone())
    };
    let all = || (0..SEEDS).into_par_iter().map(tell).collect::<Vec<_>>();
    assert!(with_threads(1, all) == with_threads(3, all), "a telling differs");
}

#[test]
fn a_search_says_the_same_on_any_number_of_threads() {
    let property = Property::from_id("P18").expect("there");
    let hows = [How::default(), How::Random { seed: 3, runs: 1500 }, How::Pct { seed: 3, runs: 1500, depth: 3 }];
    for design in ["", "hook=end-saved-pid"] {
        for how in hows {
            let says = |threads| {
                let trial =
                    CaseTrial::new(property, forklab::property::Case::of("autoreap"), design.parse().expect("one"));
                format!("{:?}", with_threads(threads, || explore(&trial, how, &|_| ())))
            };
            assert_eq!(says(1), says(3), "{design} {how:?}");
        }
    }
}
