//! A property looked for in a scenario, under one design: what is explored, and what came of it.

use fork_model::Design;
use serde::{Deserialize, Serialize};
use sim::choice::Follow;
use sim::explore::exhaustive::Exhaustive;
use sim::explore::parallel::{How, explore};
use sim::explore::random::Random;
use sim::explore::shrink::shrink as shrink_answers;
use sim::explore::{Finding, Ran, Trial, Verdict, search};
use sim::mm::{FaultRule, Faults, Times};
use sim::{Lent, Machine};

use crate::input::InputError;
use crate::lab::observe::{Observed, observe_prepared, observe_with};
use crate::lab::run::faults_of_file;
use crate::lab::spec::{Asked, Order, Source, Spec};
use crate::lab::world::Setup;
use crate::property::{Case, Property, Run};
use crate::scenario_file::{Cut, ScenarioFile};

/// Runs of a search that only asks whether something smaller still breaks.
const SHORT: u64 = 300;
/// Runs that shortening a list of answers may take.
const MOST_RUNS: u64 = 4_000;

/// One property in one scenario under one design.
pub struct CaseTrial {
    property: &'static Property,
    design: Design,
    setup: Setup,
    scenario: ScenarioFile,
    source: Source,
    cuts: Vec<Cut>,
    /// Allocations that may fail, any of them.
    faults: u32,
}

impl CaseTrial {
    /// A property in one of its own cases.
    ///
    /// # Panics
    /// If a built-in scenario cannot be read: a test reads them all.
    #[must_use]
    pub fn new(property: &'static Property, case: Case, design: Design) -> CaseTrial {
        let source = Source::BuiltIn(case.scenario.to_owned());
        CaseTrial::in_scenario(property, source, case.faults, design).expect("built in, and tested")
    }

    /// A property in a scenario of the user's.
    ///
    /// # Errors
    /// [`InputError`] of the scenario, or for a recording: it is too long to be explored.
    pub fn in_scenario(
        property: &'static Property,
        source: Source,
        faults: u32,
        design: Design,
    ) -> Result<CaseTrial, InputError> {
        let Some(scenario) = Spec::new(source.clone()).scenario()? else {
            return Err(InputError::new(
                "<command line>",
                "a recording",
                "a scenario: a recording is too long to explore",
            ));
        };
        let setup = Spec { design: Asked::from(design), ..Spec::new(source.clone()) }.setup(Some(&scenario));
        Ok(CaseTrial { property, design, setup, scenario, source, cuts: Vec::new(), faults })
    }

    /// The same with something left out; `None` if that cannot be left out.
    fn without(&self, cut: Cut) -> Option<CaseTrial> {
        let mut scenario = self.scenario.clone();
        scenario.cut(&cut).ok()?;
        let spec = Spec { design: Asked::from(self.design), ..Spec::new(self.source.clone()) };
        let setup = spec.setup(Some(&scenario));
        let cuts = self.cuts.iter().cloned().chain([cut]).collect();
        Some(CaseTrial { scenario, setup, cuts, source: self.source.clone(), ..*self })
    }

    /// The smallest trial and run that find the same: less of the scenario as long as a short search still finds it there,
    /// then a shorter list of answers.
    #[must_use]
    pub fn shrink(self, finding: &Finding) -> (CaseTrial, Finding) {
        let (mut trial, mut best) = (self, finding.clone());
        loop {
            let smaller = trial.scenario.cuts().into_iter().find_map(|cut| {
                let smaller = trial.without(cut)?;
                let found = smaller.find_again(&best)?;
                Some((smaller, found))
            });
            match smaller {
                Some((smaller, found)) => (trial, best) = (smaller, found),
                None => break,
            }
        }
        let best = shrink_answers(&trial, &best, MOST_RUNS);
        (trial, best)
    }

    /// The same rule broken, by a short search of this trial.
    fn find_again(&self, finding: &Finding) -> Option<Finding> {
        let rule = finding.rule();
        let only = |chooser: Lent| {
            let mut ran = self.run(chooser);
            ran.found.retain(|violation| Some(violation.rule) == rule);
            ran
        };
        let complete = search(&only, Exhaustive::default(), SHORT, |_| ());
        let verdict = match complete {
            Verdict::NotFound { .. } => search(&only, Random::new(0, 0..SHORT), SHORT, |_| ()),
            verdict => verdict,
        };
        verdict.finding().cloned()
    }

    /// The replay line of a finding, as a specification. It judges the property again.
    #[must_use]
    pub fn spec(&self, finding: &Finding) -> Spec {
        let fault =
            |(site, nth): &(&str, u64)| FaultRule { site: Some((*site).to_owned()), nth: *nth, times: Times::Count(1) };
        let schedule = finding.choices.schedule.up_to(last_decision(finding));
        let order = if schedule.steps() == 0 { Order::Calm } else { Order::Schedule(schedule) };
        Spec {
            design: Asked::default().for_replay(self.design),
            order,
            faults: finding.choices.faults.iter().map(fault).collect(),
            cuts: self.cuts.clone(),
            law: Some(self.property),
            ..Spec::new(self.source.clone())
        }
    }
}

impl CaseTrial {
    /// The same, what is left out included, under another design.
    #[must_use]
    pub fn under(&self, design: Design) -> CaseTrial {
        let spec = Spec { design: Asked::from(design), ..Spec::new(self.source.clone()) };
        let setup = spec.setup(Some(&self.scenario));
        let (scenario, cuts) = (self.scenario.clone(), self.cuts.clone());
        CaseTrial { design, setup, scenario, cuts, source: self.source.clone(), ..*self }
    }

    /// The scenario, and what is left out of it, as a replay line has them: `autoreap cut=elsa`.
    #[must_use]
    pub fn place(&self) -> String {
        let line = Spec { cuts: self.cuts.clone(), ..Spec::new(self.source.clone()) }.to_string();
        line.split(' ').skip(1).filter(|word| *word != "fault=none").collect::<Vec<_>>().join(" ")
    }

    /// What is searched, as text: the scenario with its machine and listeners, the design, the failures.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{} {} {:?} {} {:?}", env!("CARGO_PKG_VERSION"), self.design, self.scenario, self.faults, self.cuts)
    }

    /// The failures of the scenario, and those that are explored.
    fn ask_for(&self, faults: &mut Faults) {
        faults_of_file(faults, Some(&self.scenario));
        faults.explore = self.faults;
    }

    /// The hash of the trace of a finding, run by its answers: what its replay line must give again.
    #[must_use]
    pub fn trace_hash(&self, finding: &Finding) -> String {
        let chooser = Follow::new(finding.choices.answers.clone());
        let prepare = |m: &Machine| m.trace.start_hash();
        let observed = observe_prepared(&self.setup, &self.scenario, prepare, |faults| self.ask_for(faults), chooser);
        let observed = observed.expect("a scenario that is explored is small");
        self.property.broken_in(&Run { design: self.design, observed: &observed });
        observed.world.sys.m.trace.hash().expect("started before the run")
    }
}

/// The last step that somebody else than the calm run decided about. What follows is calm, and need not be written.
fn last_decision(finding: &Finding) -> u64 {
    let choices = &finding.choices;
    let last = choices.answers.iter().rposition(|answer| *answer != 0);
    last.map_or(0, |last| choices.at[last])
}

impl CaseTrial {
    /// One run, whatever it finds.
    ///
    /// # Panics
    /// If the scenario's tasks have no room on its machine.
    #[must_use]
    pub fn observe(&self, chooser: Lent) -> Observed {
        let observed = observe_with(&self.setup, &self.scenario, |faults| self.ask_for(faults), chooser);
        observed.expect("a scenario that is explored is small")
    }
}

impl Trial for CaseTrial {
    fn run(&self, chooser: Lent) -> Ran {
        let observed = self.observe(chooser);
        let m = &observed.world.sys.m;
        let run = Run { design: self.design, observed: &observed };
        let found = if observed.ended == sim::Ended::Stopped {
            self.property.objected_in(&run)
        } else {
            self.property.broken_in(&run)
        };
        Ran { found, steps: observed.steps, placement: m.placement_matters() }
    }
}

/// What is known of a property under a design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// The property has nothing to say to this design.
    Silent,
    /// No run within the bounds breaks it.
    Proved,
    /// Nothing found in so many runs.
    NotFound,
    /// Broken.
    Violated,
}

impl From<&Verdict> for Found {
    fn from(verdict: &Verdict) -> Found {
        match verdict {
            Verdict::Proved { .. } => Found::Proved,
            Verdict::NotFound { .. } => Found::NotFound,
            Verdict::Violated { .. } => Found::Violated,
        }
    }
}

/// Looks for a violation in one case.
#[must_use]
pub fn check_case(
    property: &'static Property,
    case: Case,
    design: Design,
    how: How,
    progress: &(dyn Fn(u64) + Sync),
) -> (CaseTrial, Verdict) {
    let trial = CaseTrial::new(property, case, design);
    let verdict = explore(&trial, how, progress);
    (trial, verdict)
}
