//! One run that is looked at from all sides: the world afterwards, the facts, what each listener heard and when.
//!
//! [`run`](mod@crate::lab::run) reports for people; this is for properties, which state a law over a whole run.

use std::cell::RefCell;
use std::rc::Rc;

use fork_model::facts::Fact;
use sim::mm::{Failed, FaultRule, Faults};
use sim::{Calm, Chooser, Ended, Machine};

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

/// What a search makes again and again: to copy a booted kernel takes a small part of the time of a boot.
struct Last {
    setup: Setup,
    /// As it was before its run.
    world: World,
    scenario: Rc<ScenarioFile>,
    /// That of the last run that came to its end. Once nobody else has it any more, the next run has its room.
    used: Option<Rc<World>>,
}

impl Last {
    /// The world once more, before its run.
    fn again(&mut self) -> Option<Rc<World>> {
        if let Some(mut used) = self.used.take()
            && Rc::get_mut(&mut used).is_some_and(|used| self.world.copy_over(used))
        {
            return Some(used);
        }
        self.world.copy().map(Rc::new)
    }
}

thread_local! {
    /// Of the last run on this thread.
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// A world before its run, and its scenario.
fn booted(setup: &Setup, scenario: &ScenarioFile) -> Result<(Rc<World>, Rc<ScenarioFile>), NoRoom> {
    LAST.with_borrow_mut(|last| {
        let same = last.as_mut().filter(|last| last.setup == *setup && last.scenario.tasks == scenario.tasks);
        if let Some((world, scenario)) = same.and_then(|last| Some((last.again()?, last.scenario.clone()))) {
            return Ok((world, scenario));
        }
        let (world, scenario) = (World::new(setup)?, Rc::new(scenario.clone()));
        let (setup, copy) = (setup.clone(), world.copy());
        *last = copy.map(|world| Last { setup, world, scenario: scenario.clone(), used: None });
        Ok((Rc::new(world), scenario))
    })
}

/// The run of this scenario is over, and the next one may have its room.
fn used_up(world: &Rc<World>, scenario: &Rc<ScenarioFile>) {
    LAST.with_borrow_mut(|last| {
        if let Some(last) = last.as_mut().filter(|last| Rc::ptr_eq(&last.scenario, scenario)) {
            last.used = Some(world.clone());
        }
    });
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
    observe_prepared(setup, scenario, |_| (), ask_for_faults, chooser)
}

/// The same; `prepare` gets the machine when the kernel is up and nothing of the run has happened.
///
/// # Errors
/// Those of [`observe`].
pub fn observe_prepared(
    setup: &Setup,
    scenario: &ScenarioFile,
    prepare: impl FnOnce(&Machine),
    ask_for_faults: impl FnOnce(&mut Faults),
    chooser: impl Chooser + 'static,
) -> Result<Observed, NoRoom> {
    let (world, scenario) = booted(setup, scenario)?;
    world.begin(chooser);
    let m = world.sys.m.clone();
    prepare(&m);
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
    used_up(&world, &scenario);
    Ok(Observed { world, ended, steps, facts, failed, first_failed })
}
