//! What one fork event costs, by how many listen.

use std::rc::Rc;

use fork_model::notify::notify;
use serde::Serialize;
use uevent::wire::connector::ForkIds;

use crate::lab::world::{Setup, World, alone};
use crate::scenario_file::{Boot, Listener, Pace};

/// The cost of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// How many listen.
    pub listeners: usize,
    /// Allocations.
    pub allocations: u64,
    /// Bytes asked for by them.
    pub bytes: u64,
    /// Steps: places where somebody else may get in.
    pub steps: u64,
}

/// Notifies of one fork on a fresh kernel like this one, with so many idle listeners, and counts.
#[must_use]
pub fn measure(setup: &Setup, listeners: usize) -> Cost {
    let listener = |i| Listener { name: format!("l{i}"), pace: Pace::DrainAtEnd, ..Listener::default() };
    let setup = Setup { listeners: (0..listeners).map(listener).collect(), roots: Vec::new(), ..setup.clone() };
    let world = Rc::new(World::new(&setup).expect("the run has more tasks than this"));
    let (sys, w) = (world.sys.clone(), world.clone());
    let (allocations, bytes, steps) = alone(&sys, async move {
        let m = &w.sys.m;
        let (before, step) = (m.mem.counters(), m.step());
        let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
        notify(&w.sys, ids.child_pid, ids).await;
        let after = m.mem.counters();
        (after.allocs - before.allocs, after.bytes - before.bytes, m.step() - step)
    });
    Cost { listeners, allocations, bytes, steps }
}

/// The costs that a report shows: with nobody, with one, and with as many as the run had (if that is another number).
#[must_use]
pub fn table(setup: &Setup) -> Vec<Cost> {
    // Before there is a netlink socket nobody can listen.
    let mut counts = if setup.boot == Boot::Early { vec![0] } else { vec![0, 1, setup.listeners.len()] };
    counts.sort_unstable();
    counts.dedup();
    counts.into_iter().map(|n| measure(setup, n)).collect()
}
