//! What one fork pays for a design: the same small story with the notification, and without.
//!
//! The story is a parent that forks one child, calmly, with so many listeners that read at the end only, so that nothing of
//! theirs is counted. What the machine does more than in the story without a notification is what the design costs, a worker
//! and a helper process included; what the forking task itself pays is known from [`Fact::Told`].

use std::cell::Cell;
use std::rc::Rc;

use fork_model::Design;
use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::facts::Fact;
use serde::{Deserialize, Serialize};
use sim::trace::{Event, Sink};
use sim::{Calm, What};

use crate::lab::program::Play;
use crate::lab::spec::{Asked, Source, Spec, scenario};
use crate::lab::world::World;
use crate::render::words;
use crate::scenario_file::{Listener, Pace};

/// What was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    /// Allocations.
    pub allocations: u64,
    /// Bytes asked for by them.
    pub bytes: u64,
    /// Steps: places where somebody else may get in.
    pub steps: u64,
}

/// The cost of a fork with so many listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// How many listen.
    pub listeners: u32,
    /// In the forking task.
    pub in_fork: Paid,
    /// In all: workers and helper processes, too.
    pub in_all: Paid,
    /// Locks taken for it, in all.
    pub locks: u64,
}

impl Cost {
    /// As one number, to compare designs by: the bytes that are asked for, and one more for each allocation.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.in_all.bytes + self.in_all.allocations
    }
}

/// The numbers of listeners that are measured.
pub const LISTENERS: [u32; 3] = [0, 1, 2];

/// The cost of a fork with 0, 1 and 2 listeners.
#[must_use]
pub fn measure(design: Design) -> Vec<Cost> {
    // With this gate and nobody there, nothing is done; where the hook stands it still stands.
    let closed = Design {
        gate: Gate::HasListeners,
        sequence: Sequence::None,
        format: Format::Bare,
        delivery: Delivery::Broadcast,
        ..design
    };
    let without = story(closed, 0).all;
    let cost = |listeners| {
        let Story { in_fork, all } = story(design, listeners);
        let more = |with: u64, without: u64| with.saturating_sub(without);
        let in_all = Paid {
            allocations: more(all.paid.allocations, without.paid.allocations),
            bytes: more(all.paid.bytes, without.paid.bytes),
            steps: more(all.paid.steps, without.paid.steps),
        };
        Cost { listeners, in_fork, in_all, locks: more(all.locks, without.locks) }
    };
    LISTENERS.into_iter().map(cost).collect()
}

/// What was counted in one telling.
struct Story {
    in_fork: Paid,
    all: Counted,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    paid: Paid,
    locks: u64,
}

/// Counts allocations and locks in the trace.
struct Counter(Rc<Cell<Counted>>);

impl Sink for Counter {
    fn event(&mut self, event: &Event) {
        let mut counted = self.0.get();
        match &event.what {
            What::Alloc { ok: true, size, .. } => {
                counted.paid.allocations += 1;
                counted.paid.bytes += u64::from(*size);
            }
            What::Call { func, args, .. } if words::is_lock(args) && !words::unlocks(func) => counted.locks += 1,
            _ => {}
        }
        self.0.set(counted);
    }
}

fn story(design: Design, listeners: u32) -> Story {
    let source = Source::BuiltIn("tour".to_owned());
    let scenario = scenario(&source).expect("built in, and tested").expect("no recording");
    let mut setup = Spec { design: Asked::from(design), ..Spec::new(source) }.setup(Some(&scenario));
    let listener = |i| Listener { name: format!("l{i}"), pace: Pace::DrainAtEnd, ..Listener::default() };
    setup.listeners = (0..listeners).map(listener).collect();
    let world = Rc::new(World::new(&setup).expect("a story of two tasks"));
    world.begin(Calm);
    let m = world.sys.m.clone();
    let counted = Rc::new(Cell::new(Counted::default()));
    m.trace.attach(Counter(counted.clone()));
    world.sys.record_facts(true);
    let step = m.step();
    Play::new(&world, Rc::new(scenario)).start();
    m.run();
    let mut all = counted.get();
    all.paid.steps = m.step() - step;
    let told = world.sys.facts.take().into_iter().find_map(|(_, fact)| match fact {
        Fact::Told { paid, .. } => Some(Paid { allocations: paid.allocs, bytes: paid.bytes, steps: paid.steps }),
        _ => None,
    });
    Story { in_fork: told.unwrap_or_default(), all }
}
