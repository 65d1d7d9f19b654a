//! The reduced search on the real kernel: it sees every outcome that the search without reduction, or a random one, sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use fork_model::Design;
use fork_model::facts::Fact;
use forklab::lab::observe::{Observed, observe};
use forklab::lab::spec::{BUILT_IN, Source, Spec, parse_scenario};
use forklab::lab::world::Setup;
use forklab::scenario_file::ScenarioFile;
use sim::explore::exhaustive::{Bounds, Exhaustive};
use sim::explore::random::Random;
use sim::explore::{Ran, Trial, Verdict, search};
use sim::mm::{FaultRule, Times};
use sim::{Ended, Lent, Rule};

/// A scenario, and what was seen of it.
struct Seen {
    setup: Setup,
    scenario: ScenarioFile,
    faults: Vec<FaultRule>,
    outcomes: Mutex<BTreeSet<String>>,
}

impl Seen {
    fn new(design: &str, text: &str) -> Seen {
        let scenario = parse_scenario("<test>", text).expect("a scenario");
        let design: Design = design.parse().expect("a design");
        let spec = Spec { design: design.into(), ..Spec::new(Source::BuiltIn("tour".into())) };
        let setup = spec.setup(Some(&scenario));
        Seen { setup, scenario, faults: Vec::new(), outcomes: Mutex::default() }
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.outcomes.lock().unwrap())
    }
}

impl Trial for Seen {
    fn run(&self, chooser: Lent) -> Ran {
        let run = observe(&self.setup, &self.scenario, &self.faults, chooser).expect("room");
        let m = &run.world.sys.m;
        if run.ended != Ended::Stopped {
            self.outcomes.lock().unwrap().insert(outcome(&run));
        }
        Ran { found: Vec::new(), steps: run.steps, placement: m.placement_matters() }
    }
}

/// What two runs of one kind agree in: broken rules, the story of each pid, what each listener heard, and the counters.
fn outcome(run: &Observed) -> String {
    let sys = &run.world.sys;
    let mut broken: Vec<String> = sys
        .m
        .violations()
        .iter()
        .map(|v| match v.rule {
            // Who came first to the variable is named; that depends on looks, which commute.
            Rule::DataRace => "data race".to_owned(),
            _ => v.text.split("(since").next().unwrap_or_default().to_owned(),
        })
        .collect();
    broken.sort();
    let mut stories: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for (_, fact) in &run.facts {
        let (pid, what) = match fact {
            Fact::Acts { pid, what } => (*pid, format!("{what:?}")),
            Fact::Told { child_true, parent_said, child_said, seq, outcome, .. } => {
                (*child_true, format!("told {parent_said} {child_said} {seq:?} {outcome:?}"))
            }
            Fact::Sent { child_said, outcome, .. } => (*child_said, format!("sent {outcome:?}")),
            _ => continue,
        };
        stories.entry(pid).or_default().push(what);
    }
    let heard: Vec<_> = run
        .world
        .listeners
        .iter()
        .map(|listener| {
            let heard = listener.heard.borrow();
            let said: Vec<_> = heard.log.iter().map(|entry| entry.said).collect();
            format!("{said:?} {} {:?}", heard.overruns, listener.lost(sys))
        })
        .collect();
    let counters = (sys.nr_threads.get(), sys.process_counts.get(), sys.total_forks.get(), sys.pids.last_pid.get());
    format!("{broken:?} {stories:?} {heard:?} {counters:?} {:?} {:?}", *sys.core.fork_outcomes.borrow(), run.failed)
}

/// Executions of the complete search, of which a random one must not see more.
fn compare(seen: &Seen, random: u64) -> u64 {
    let verdict = search(seen, Exhaustive::default(), 60_000, |_| ());
    assert!(matches!(verdict, Verdict::Proved { .. }), "{verdict:?}");
    let reduced = seen.take();
    search(seen, Random::new(1, 0..random), u64::MAX, |_| ());
    let missed: Vec<_> = seen.take().difference(&reduced).cloned().collect();
    assert!(
        missed.is_empty(),
        "{} of the outcomes were missed, of {}; the first: {}",
        missed.len(),
        reduced.len(),
        missed[0]
    );
    verdict.executions()
}

const P: &str = "[[tasks]]\nname = \"p\"\nsigchld = \"ignore\"\ndoes = [\"fork c\"]\n";
const Q: &str = "[[tasks]]\nname = \"q\"\nsigchld = \"ignore\"\ndoes = [\"fork d\"]\n";
const C: &str = "[[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n";
/// Whoever runs first on the only CPU decides what the other finds.
#[test]
fn on_one_cpu_whoever_waits_may_have_it_between_two_system_calls() {
    let wait = "[[tasks]]\nname = \"p\"\ndoes = [\"fork c\", \"wait c\"]\n";
    let late = "[[tasks]]\nname = \"q\"\ndoes = [\"fork d\"]\n";
    let seen = Seen::new("hook=end-saved-pid", &scenario(1, &[wait, late, C, IDLE[1]]));
    assert_eq!(compare(&seen, 1_000), 224);
}

const IDLE: [&str; 2] = ["[[tasks]]\nname = \"c\"\ndoes = []\n", "[[tasks]]\nname = \"d\"\ndoes = []\n"];

fn scenario(cpus: u32, parts: &[&str]) -> String {
    format!("name = \"x\"\n[machine]\ncpus = {cpus}\n{}", parts.concat())
}

fn listener(more: &str) -> String {
    format!("[[listeners]]\nname = \"elsa\"\ngroups = 1\n{more}\n")
}

fn built_in(name: &str) -> &'static str {
    BUILT_IN.iter().find(|(known, _)| *known == name).expect("built in").1
}

#[test]
fn of_a_child_that_reaps_itself_every_outcome_is_seen() {
    for (design, runs) in [
        ("hook=end", [[393, 130], [3419, 130]]),
        ("hook=after-wake", [[393, 130], [3419, 130]]),
        ("hook=before-wake", [[272, 38], [2723, 38]]),
    ] {
        for listeners in 0..2 {
            for (i, cpus) in [2, 8].into_iter().enumerate() {
                let mut seen = Seen::new(design, built_in("autoreap"));
                seen.setup.machine.cpus = cpus;
                seen.setup.listeners.truncate(listeners);
                let runs = runs[listeners][i];
                assert_eq!(compare(&seen, 1_000), runs, "{design}, {listeners} listeners, {cpus} CPUs");
            }
        }
    }
}

#[test]
fn of_a_child_that_is_waited_for_every_outcome_is_seen() {
    for (listeners, cpus, runs) in [(0, 1, 3), (0, 8, 36), (1, 1, 20), (1, 8, 36)] {
        let mut seen = Seen::new("hook=end", built_in("tour"));
        seen.setup.machine.cpus = cpus;
        seen.setup.listeners.truncate(listeners);
        assert_eq!(compare(&seen, 1_000), runs, "{listeners} listeners, {cpus} CPUs");
    }
}

#[test]
fn of_two_parents_every_outcome_is_seen() {
    let tiny = listener("rcvbuf = 256");
    let two = [P, Q, IDLE[0], IDLE[1]].concat();
    for (what, design, text, runs) in [
        ("no listener", "hook=end", two.clone(), 16),
        ("a tiny buffer", "hook=end", tiny.clone() + &two, 72),
        ("unlocked", "hook=end-saved-pid sequence=unlocked format=connector-ascii", tiny.clone() + &two, 384),
        ("locked", "hook=before-wake sequence=locked format=connector-ascii", two.clone(), 16),
        ("deferred", "hook=before-wake delivery=deferred", [P, C].concat(), 4),
        ("deferred", "hook=before-wake delivery=deferred", listener("") + &two, 288),
        ("signal", "hook=before-wake delivery=signal", listener("") + &two, 20),
        ("per-cpu", "hook=before-wake sequence=per-cpu format=connector-struct", two, 344),
    ] {
        let seen = Seen::new(design, &scenario(if what == "per-cpu" { 2 } else { 8 }, &[&text]));
        assert_eq!(compare(&seen, 1_000), runs, "{what}: {design}");
    }
}

#[test]
fn of_a_listener_that_says_off_every_outcome_is_seen() {
    let off = listener("control = [\"listen\", \"ignore after 1\"]");
    let seen = Seen::new("hook=end gate=on-off format=connector-ascii", &scenario(8, &[&off, P, Q, IDLE[0], IDLE[1]]));
    assert_eq!(compare(&seen, 1_000), 320);
}

#[test]
fn of_an_allocation_that_fails_every_outcome_is_seen() {
    for (nth, runs) in [(1, 8), (2, 8), (3, 32)] {
        let mut seen = Seen::new("hook=end", &scenario(8, &[P, Q, IDLE[0], IDLE[1]]));
        seen.faults = vec![FaultRule { site: Some("alloc_task_struct".into()), nth, times: Times::Count(1) }];
        assert_eq!(compare(&seen, 1_000), runs, "allocation {nth}");
    }
}

/// The search without reduction is the judge where it can be afforded.
#[test]
fn the_whole_search_of_one_fork_sees_what_the_reduced_one_sees() {
    let seen = Seen::new("hook=end", &scenario(8, &["[[tasks]]\nname = \"p\"\ndoes = [\"fork c\", \"wait\"]\n", C]));
    let reduced = search(&seen, Exhaustive::default(), u64::MAX, |_| ());
    let few = seen.take();
    let whole = search(&seen, Exhaustive::new(Bounds { preemptions: Some(u32::MAX), steps: None }), 50_000, |_| ());
    let proved = |verdict: &Verdict| matches!(verdict, Verdict::Proved { .. });
    assert!(proved(&reduced) && proved(&whole));
    assert_eq!((reduced.executions(), whole.executions()), (18, 2992));
    assert_eq!(few, seen.take());
}
