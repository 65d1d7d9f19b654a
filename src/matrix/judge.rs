//! One search that judges many properties: of a scenario under a design every run is run once, and every law looks at it.
//!
//! A search for one property ends with its first violation, and which runs it tries does not depend on the law. So the runs
//! that several properties want of one scenario are the same ones, in the same order: what is said here of each is what a
//! search for it alone would say ([`check_case`](crate::property::check_case)), and a test compares them.

use fork_model::Design;
use serde::{Deserialize, Serialize};
use sim::Ended;
use sim::choice::Follow;
use sim::explore::exhaustive::Exhaustive;
use sim::explore::pct::Pct;
use sim::explore::{Asked, Counted, Finding, Ran, Strategy, run_once};

use crate::lab::observe::Observed;
use crate::property::{Case, CaseTrial, Found, Property, Run};

/// How long a design is searched in one scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effort {
    /// Runs of the complete search at the most, those given up as repetitions included.
    pub runs: u64,
    /// Steps of them together at the most: a long scenario has fewer runs.
    pub steps: u64,
    /// Random runs (PCT) behind a complete search that came to no end, within as many steps again.
    pub random: u64,
    /// Their seed.
    pub seed: u64,
}

impl Default for Effort {
    fn default() -> Effort {
        Effort { runs: 1_600, steps: 64_000, random: 40, seed: 1 }
    }
}

/// Ordered points of the bugs that random runs look for.
const DEPTH: u32 = 3;

/// What was found of one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// In this case.
    pub found: Found,
    /// Runs that it stands on.
    pub runs: u64,
    /// What broke it, in words, and the answers that lead there.
    pub violated: Option<(String, Vec<u32>)>,
}

/// A scenario under a design. Every property that looks there has the same runs, so that any trial of one will do.
struct Stage {
    design: Design,
    trial: CaseTrial,
}

/// Looks for violations of these properties in one case; the answers are in their order.
#[must_use]
pub fn judge(case: Case, design: Design, properties: &[&'static Property], effort: Effort) -> Vec<Judged> {
    let Some(first) = properties.first() else { return Vec::new() };
    let stage = Stage { design, trial: CaseTrial::new(first, case, design) };
    let open = Judged { found: Found::NotFound, runs: 0, violated: None };
    let mut judging = Judging { stage: &stage, properties, judged: vec![open; properties.len()] };
    let longest = judging.search(Exhaustive::default(), effort.runs, effort.steps);
    if judging.any_open() {
        let random = Pct::new(effort.seed, 0..effort.random, DEPTH, longest);
        judging.search(random, effort.random, effort.steps);
    }
    judging.judged
}

/// A judgement on its way.
struct Judging<'a> {
    stage: &'a Stage,
    properties: &'a [&'static Property],
    judged: Vec<Judged>,
}

impl Judging<'_> {
    fn any_open(&self) -> bool {
        self.judged.iter().any(|judged| judged.found == Found::NotFound)
    }

    /// Runs until nothing is open, no run is left, or so many runs or steps are done. Returns the steps of the first run.
    fn search<S: Strategy + 'static>(&mut self, strategy: S, most: u64, steps: u64) -> u64 {
        let asked = Asked::new(strategy);
        let before: Vec<u64> = self.judged.iter().map(|judged| judged.runs).collect();
        let (mut tries, mut spent, mut runs, mut first) = (0, 0, 0, 0);
        while self.any_open() && tries < most && (spent < steps || tries == 0) {
            if !asked.borrow_mut().begin() {
                if asked.borrow().strategy.complete().is_some_and(|given_up| given_up.cut == 0) {
                    let open = self.judged.iter_mut().filter(|judged| judged.found == Found::NotFound);
                    open.for_each(|judged| judged.found = Found::Proved);
                }
                break;
            }
            let observed = self.stage.trial.observe(asked.clone().into());
            let Asked { strategy, answers, .. } = &mut *asked.borrow_mut();
            tries += 1;
            spent += observed.steps;
            first = if first == 0 { observed.steps } else { first };
            let placement = observed.world.sys.m.placement_matters();
            let counted = strategy.ran(&Ran { found: Vec::new(), steps: observed.steps, placement });
            match counted {
                Counted::Run => runs += 1,
                Counted::Pruned => continue,
                Counted::Restart => {
                    runs = 0;
                    continue;
                }
            }
            self.look(&observed, answers, runs, &before);
        }
        first
    }

    /// Every law that is still open looks at a run.
    fn look(&mut self, observed: &Observed, answers: &[u32], runs: u64, before: &[u64]) {
        if observed.ended == Ended::Stopped {
            return;
        }
        let run = Run { design: self.stage.design, observed };
        for ((judged, property), before) in self.judged.iter_mut().zip(self.properties).zip(before) {
            if judged.found != Found::NotFound {
                continue;
            }
            judged.runs = before + runs;
            if let Some(first) = property.broken_in(&run).first() {
                judged.found = Found::Violated;
                judged.violated = Some((first.text.clone(), answers.to_vec()));
            }
        }
    }
}

/// The finding of a property, from the answers that lead there.
#[must_use]
pub fn finding(property: &'static Property, case: Case, design: Design, answers: &[u32]) -> (CaseTrial, Finding) {
    let trial = CaseTrial::new(property, case, design);
    let finding = run_once(&trial, Follow::new(answers.to_vec()));
    (trial, finding)
}
