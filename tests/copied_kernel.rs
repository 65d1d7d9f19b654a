//! A kernel that was booted for an earlier run and copied is the kernel that boots anew: a law of `lab::observe`.

use std::rc::Rc;
use std::str::FromStr;

use forklab::lab::observe::observe;
use forklab::lab::program::Play;
use forklab::lab::spec::{Spec, scenario};
use forklab::lab::world::World;
use sim::Seeded;

const SEEDS: u64 = 1000;

/// Everything that a run leaves: the hash of its trace, what was found, its steps and counts.
fn played(world: &Rc<World>, scenario: &forklab::scenario_file::ScenarioFile, seed: u64) -> String {
    world.begin(Seeded::new(seed));
    let m = world.sys.m.clone();
    m.trace.start_hash();
    world.sys.record_facts(true);
    Play::new(world, scenario.clone()).start();
    let ended = m.run();
    let steps = m.step();
    world.drain();
    world.report_leaks();
    let (hash, facts, counters) = (m.trace.hash(), world.sys.facts.take(), m.mem.counters());
    format!("{hash:?} {ended:?} {steps} {facts:?} {counters:?} {:?}", m.violations())
}

#[test]
fn a_thousand_seeds_run_the_same_on_a_fresh_kernel_on_a_copied_one_and_in_the_place_of_one_that_ran() {
    let spec = Spec::from_str("v1 autoreap hook=end").expect("a replay line");
    let scenario = scenario(&spec.source).expect("built in").expect("a scenario");
    let setup = spec.setup(Some(&scenario));
    let booted = World::new(&setup).expect("room for its tasks");
    let mut used = Rc::new(booted.copy().expect("it has not run"));
    for seed in 0..SEEDS {
        let fresh = Rc::new(World::new(&setup).expect("room for its tasks"));
        let copied = Rc::new(booted.copy().expect("it has not run"));
        assert!(booted.copy_over(Rc::get_mut(&mut used).expect("its run is over")), "and nobody else has it");
        let expected = played(&fresh, &scenario, seed);
        assert_eq!(played(&copied, &scenario, seed), expected, "seed {seed}");
        assert_eq!(played(&used, &scenario, seed), expected, "seed {seed}, in the place of the run before");
    }
}

#[test]
fn every_design_runs_the_same_on_a_kernel_that_was_booted_for_the_run_before() {
    let designs = [
        "",
        " hook=after-copy",
        " hook=before-wake",
        " sequence=atomic gate=counter",
        " format=struct gate=on-off sequence=per-cpu",
        " delivery=deferred",
        " delivery=signal",
        " delivery=hotplug",
    ];
    let mut ran = 0;
    for axes in designs {
        // Not every combination of these exists; those that do are enough.
        let Ok(spec) = Spec::from_str(&format!("v1 thread{axes}")) else { continue };
        let scenario = scenario(&spec.source).expect("built in").expect("a scenario");
        let setup = spec.setup(Some(&scenario));
        let mut told = (0..3).map(|_| {
            let seen = observe(&setup, &scenario, &[], Seeded::new(7)).expect("room for its tasks");
            let m = &seen.world.sys.m;
            format!("{:?} {} {:?} {:?} {:?}", seen.ended, seen.steps, seen.facts, m.mem.counters(), m.violations())
        });
        let first = told.next().expect("three runs");
        assert!(told.all(|other| other == first), "{spec}");
        ran += 1;
    }
    assert!(ran >= 4, "{ran} designs");
}
