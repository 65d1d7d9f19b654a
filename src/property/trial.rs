//! A property looked for in a scenario, under one design: what is explored, and what came of it.

use fork_model::Design;
use serde::Serialize;
use sim::Chooser;
use sim::explore::parallel::{How, explore};
use sim::explore::{Ran, Trial, Verdict};
use sim::mm::{FaultRule, Faults, Times};

use crate::input::InputError;
use crate::lab::observe::observe_with;
use crate::lab::run::faults_of_file;
use crate::lab::spec::{Asked, Order, Source, Spec, scenario};
use crate::lab::world::Setup;
use crate::property::{Case, Property, Run};
use crate::scenario_file::ScenarioFile;

/// One property in one scenario under one design.
pub struct CaseTrial {
    property: &'static Property,
    design: Design,
    setup: Setup,
    scenario: ScenarioFile,
    source: Source,
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
        let Some(scenario) = scenario(&source)? else {
            return Err(InputError::new(
                "<command line>",
                "a recording",
                "a scenario: a recording is too long to explore",
            ));
        };
        let setup = Spec { design: Asked::from(design), ..Spec::new(source.clone()) }.setup(Some(&scenario));
        Ok(CaseTrial { property, design, setup, scenario, source, faults })
    }

    /// The replay line of a finding, as a specification. It judges the property again.
    #[must_use]
    pub fn spec(&self, finding: &sim::explore::Finding) -> Spec {
        let fault =
            |(site, nth): &(&str, u64)| FaultRule { site: Some((*site).to_owned()), nth: *nth, times: Times::Count(1) };
        let schedule = finding.choices.schedule.up_to(last_decision(finding));
        let order = if schedule.steps() == 0 { Order::Calm } else { Order::Schedule(schedule) };
        Spec {
            design: Asked::default().for_replay(self.design),
            order,
            faults: finding.choices.faults.iter().map(fault).collect(),
            law: Some(self.property),
            ..Spec::new(self.source.clone())
        }
    }
}

/// The last step that somebody else than the calm run decided about. What follows is calm, and need not be written.
fn last_decision(finding: &sim::explore::Finding) -> u64 {
    let choices = &finding.choices;
    let last = choices.answers.iter().rposition(|answer| *answer != 0);
    last.map_or(0, |last| choices.at[last])
}

impl Trial for CaseTrial {
    fn run(&self, chooser: Box<dyn Chooser>) -> Ran {
        let explore = self.faults;
        let ask = |faults: &mut Faults| {
            faults_of_file(faults, Some(&self.scenario));
            faults.explore = explore;
        };
        let observed = observe_with(&self.setup, &self.scenario, ask, chooser);
        let observed = observed.expect("a scenario that is explored is small");
        let m = &observed.world.sys.m;
        let found = if observed.ended == sim::Ended::Stopped {
            Vec::new()
        } else {
            self.property.broken_in(&Run { design: self.design, observed: &observed })
        };
        Ran { found, steps: observed.steps, placement: m.placement_matters() }
    }
}

/// What is known of a property under a design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
