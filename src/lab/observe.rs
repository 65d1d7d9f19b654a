//! One run that is looked at from all sides: the world afterwards, the facts, what each listener heard and when.
//!
//! [`run`](mod@crate::lab::run) reports for people; this is for properties, which state a law over a whole run.

use std::cell::RefCell;
use std::rc::Rc;

use fork_model::facts::Fact;
use sim::mm::FaultRule;
use sim::{Chooser, Ended};

use crate::lab::program::Play;
use crate::lab::world::{NoRoom, Setup, World};
use crate::scenario_file::ScenarioFile;

/// A run that is over.
pub struct Observed {
    /// The kernel and its listeners as they are now; everybody has read what was left.
    pub world: Rc<World>,
    /// How it ended.
    pub ended: Ended,
    /// Steps of the run.
    pub steps: u64,
    /// What really happened, by step. Tasks that the run begins with have no fact of their own first step.
    pub facts: Vec<(u64, Fact)>,
    /// Allocations that failed, by site.
    pub failed: Vec<(&'static str, u64)>,
}

thread_local! {
    /// The world that was made last on this thread, as it was before its run, and how it was built.
    static BOOTED: RefCell<Option<(Setup, World)>> = const { RefCell::new(None) };
}

/// A world before its run. A search makes the same one again and again: to copy it takes a fifth of the time of a boot.
fn booted(setup: &Setup) -> Result<World, NoRoom> {
    BOOTED.with_borrow_mut(|last| {
        if let Some((_, world)) = last.as_ref().filter(|(of, _)| of == setup) {
            return Ok(world.copy().expect("one was made before"));
        }
        let world = World::new(setup)?;
        *last = world.copy().map(|copy| (setup.clone(), copy));
        Ok(world)
    })
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
    let world = Rc::new(booted(setup)?);
    world.begin(chooser);
    let m = world.sys.m.clone();
    world.sys.record_facts(true);
    m.mem.faults(|injector| faults.iter().cloned().for_each(|rule| injector.add(rule)));
    Play::new(&world, scenario.clone()).start();
    let ended = m.run();
    let steps = m.step();
    let failed = m.mem.faults(|injector| {
        let failed = injector.hits().to_vec();
        injector.clear();
        failed
    });
    world.drain();
    world.report_leaks();
    let facts = world.sys.facts.take();
    Ok(Observed { world, ended, steps, facts, failed })
}
