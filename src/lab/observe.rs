//! One run that is looked at from all sides: the world afterwards, the facts, what each listener heard and when.
//!
//! [`run`](mod@crate::lab::run) reports for people; this is for properties, which state a law over a whole run.

use std::rc::Rc;

use fork_model::facts::Fact;
use sim::mm::{Failed, FaultRule, Faults};
use sim::{Calm, Chooser, Ended};

use crate::lab::program::Play;
use crate::lab::world::{NoRoom, Setup, World};
use crate::scenario_file::ScenarioFile;

/// A run that is over.
pub struct Observed {
    /// The kernel and its listeners as they are now; everybody has read what was left, unless the run was broken off
    /// ([`Ended::Stopped`]).
    pub world: Rc<World>,
    /// How it ended.
    pub ended: Ended,
    /// Steps of the run.
    pub steps: u64,
    /// What really happened, by step. Tasks that the run begins with have no fact of their own first step.
    pub facts: Vec<(u64, Fact)>,
    /// Allocations that failed, by site.
    pub failed: Vec<(&'static str, u64)>,
    /// The first of them, one by one.
    pub first_failed: Vec<Failed>,
}

/// Runs a scenario on the kernel of a [`Setup`] (see [`Spec::setup`](crate::lab::spec::Spec::setup)), recording facts.
///
/// Leaks are among the violations of the machine, as after [`run`](crate::lab::run::run).
///
/// # Errors
/// [`NoRoom`] for a machine too small for the tasks at boot.
pub fn observe(
    setup: &Setup,
    scenario: &ScenarioFile,
    faults: &[FaultRule],
    chooser: impl Chooser + 'static,
) -> Result<Observed, NoRoom> {
    observe_with(setup, scenario, |injector| faults.iter().cloned().for_each(|rule| injector.add(rule)), chooser)
}

/// The same, with whatever is asked of the fault injector.
///
/// # Errors
/// Those of [`observe`].
pub fn observe_with(
    setup: &Setup,
    scenario: &ScenarioFile,
    ask_for_faults: impl FnOnce(&mut Faults),
    chooser: impl Chooser + 'static,
) -> Result<Observed, NoRoom> {
    let world = Rc::new(World::new(setup)?);
    world.begin(chooser);
    let m = world.sys.m.clone();
    world.sys.record_facts(true);
    m.mem.faults(ask_for_faults);
    Play::new(&world, scenario.clone()).start();
    let ended = m.run();
    world.sys.forget_the_stopped();
    let steps = m.step();
    // What follows is no part of the run, and nobody's choice.
    m.hand_over(Calm);
    let (failed, first_failed) = m.mem.faults(|injector| {
        let failed = (injector.hits().to_vec(), injector.first().to_vec());
        injector.clear();
        failed
    });
    // A run that the chooser broke off left its tasks in the middle of something: there is nothing to judge.
    if ended != Ended::Stopped {
        world.drain();
        world.report_leaks();
    }
    let facts = world.sys.facts.take();
    Ok(Observed { world, ended, steps, facts, failed, first_failed })
}
