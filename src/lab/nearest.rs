//! Of a run that was asked for by its line: the nearest one that passes.

use fork_model::Design;
use sim::explore::why::nearest as nearest_run;
use sim::explore::{Ran, Trial, run_once};
use sim::{Calm, Ended, Lent, Replay, Seeded};

use crate::lab::observe::observe_with;
use crate::lab::run::faults_of_file;
use crate::lab::spec::{Order, Spec};
use crate::lab::world::Setup;
use crate::museum::story::{Line, Story, StoryTrial, Told};
use crate::property::Run;
use crate::scenario_file::ScenarioFile;

/// A scenario under whatever answers; the allocations that were asked to fail do so.
struct SpecTrial {
    spec: Spec,
    scenario: ScenarioFile,
    setup: Setup,
    design: Design,
}

impl SpecTrial {
    /// `None`: a recording, or nothing that can be read.
    fn new(spec: &Spec) -> Option<SpecTrial> {
        let scenario = spec.scenario().ok()??;
        let setup = spec.setup(Some(&scenario));
        let design = setup.system.design;
        Some(SpecTrial { spec: spec.clone(), scenario, setup, design })
    }
}

impl Trial for SpecTrial {
    fn run(&self, chooser: Lent) -> Ran {
        let ask_for_faults = |faults: &mut sim::mm::Faults| {
            faults_of_file(faults, Some(&self.scenario));
            self.spec.faults.iter().cloned().for_each(|rule| faults.add(rule));
        };
        let Ok(observed) = observe_with(&self.setup, &self.scenario, ask_for_faults, chooser) else {
            return Ran::default();
        };
        if let Some(law) = self.spec.law {
            // Its violation is among the machine's from here on.
            law.broken_in(&Run { design: self.design, observed: &observed });
        }
        let m = &observed.world.sys.m;
        let found = if observed.ended == Ended::Stopped { Vec::new() } else { m.violations().clone() };
        Ran { found, steps: observed.steps, placement: m.placement_matters() }
    }
}

/// The nearest run that passes: about which step it decides differently, and its replay line. `None`: there is none that
/// differs in one decision, or the line is that of a recording, or of a run that passes itself.
#[must_use]
pub fn nearest(line: &Line) -> Option<(u64, String)> {
    match line {
        Line::Run(spec) => nearest_spec(spec),
        Line::Story(story) => nearest_story(story),
    }
}

fn nearest_spec(spec: &Spec) -> Option<(u64, String)> {
    let trial = SpecTrial::new(spec)?;
    let finding = match &spec.order {
        Order::Calm => run_once(&trial, Calm),
        Order::Seed(seed) => run_once(&trial, Seeded::new(*seed)),
        Order::Schedule(schedule) => run_once(&trial, Replay::new(schedule.clone())),
    };
    let nearest = (!finding.found.is_empty()).then(|| nearest_run(&trial, &finding))??;
    let order = Order::Schedule(nearest.run.choices.schedule);
    Some((nearest.step, Spec { order, ..spec.clone() }.to_string()))
}

fn nearest_story(story: &Story) -> Option<(u64, String)> {
    let trial = StoryTrial { experiment: story.experiment, mended: story.mended };
    let finding = match &story.told {
        Told::As(answers) => run_once(&trial, sim::choice::Follow::new(answers.as_slice().to_vec())),
        Told::Seed(seed) => run_once(&trial, Seeded::new(*seed)),
    };
    let nearest = (!finding.found.is_empty()).then(|| nearest_run(&trial, &finding))??;
    Some((nearest.step, trial.story(&nearest.run.choices).to_string()))
}
