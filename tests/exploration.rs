//! The reduced search on the real kernel: it sees every outcome that the search without reduction sees, in fewer runs.

use std::collections::BTreeSet;
use std::sync::Mutex;

use fork_model::Design;
use fork_model::facts::Fact;
use forklab::lab::observe::observe;
use forklab::lab::spec::{BUILT_IN, Source, Spec, parse_scenario};
use forklab::lab::world::Setup;
use forklab::scenario_file::ScenarioFile;
use sim::explore::exhaustive::{Bounds, Exhaustive};
use sim::explore::random::Random;
use sim::explore::{Ran, Strategy, Trial, Verdict, search};
use sim::mm::FaultRule;
use sim::{Chooser, Ended};

/// A scenario, and what was seen of it.
struct Seen {
    setup: Setup,
    scenario: ScenarioFile,
    faults: Vec<FaultRule>,
    budget: u32,
    outcomes: Mutex<BTreeSet<String>>,
}

impl Seen {
    fn new(design: &str, text: &str) -> Seen {
        let scenario = parse_scenario("<test>", text).expect("a scenario");
        let design: Design = design.parse().expect("a design");
        let spec = Spec { design: design.into(), ..Spec::new(Source::BuiltIn("tour".into())) };
        let setup = spec.setup(Some(&scenario));
        Seen { setup, scenario, faults: Vec::new(), budget: 0, outcomes: Mutex::default() }
    }
}

impl Trial for Seen {
    fn run(&self, chooser: Box<dyn Chooser>) -> Ran {
        let run = observe(&self.setup, &self.scenario, &self.faults, chooser).expect("room");
        let m = &run.world.sys.m;
        if run.ended != Ended::Stopped {
            self.outcomes.lock().unwrap().insert(outcome(&run));
        }
        Ran { found: Vec::new(), steps: run.steps, placement: m.placement_matters() }
    }
}

fn outcome(_run: &forklab::lab::observe::Observed) -> String {
    String::new()
}

#[test]
#[ignore]
fn counts() {
    for (name, text) in BUILT_IN.iter().filter(|(name, _)| ["autoreap", "thread", "tour"].contains(name)) {
        for listeners in [0, 1] {
            for cpus in [None, Some(8)] {
                for facts in [true] {
                    let mut seen = Seen::new("hook=end", text);
                    if listeners == 0 {
                        seen.setup.listeners.clear();
                    }
                    if let Some(cpus) = cpus {
                        seen.setup.machine.cpus = cpus;
                    }
                    let start = std::time::Instant::now();
                    let verdict = search(&seen, Exhaustive::default(), 20_000, |_| ());
                    println!(
                        "{name} listeners={listeners} cpus={cpus:?} facts={facts} {verdict:?} {:?}",
                        start.elapsed()
                    );
                }
            }
        }
    }
}
