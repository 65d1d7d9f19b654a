//! Probabilistic concurrency testing: random priorities, changed at a few random steps.
//!
//! After Burckhardt, Kothari, Musuvathi, Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding bugs"
//! (2010): a bug that needs `d` ordered points among `n` lanes and `k` steps is found by one run with a probability of at
//! least 1 / (n · k^(d-1)).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::random::{draw, generator};
use super::{Counted, Ran, Strategy};
use crate::choice::{Chooser, Needs, Question};
use crate::lane::LaneName;

/// Runs of random priorities.
#[derive(Clone, Debug)]
pub struct Pct {
    seed: u64,
    next: u64,
    end: u64,
    /// Priorities are changed at `depth - 1` steps.
    depth: u32,
    /// Steps of the longest run so far: among them the changes are drawn. A range has its own, so that a run is the same
    /// wherever it is run, given the first run of its range.
    steps: u64,
    rng: ChaCha8Rng,
    /// Lanes and their priorities; the highest runs.
    lanes: Vec<(LaneName, u64)>,
    changes: Vec<u64>,
    step: u64,
    /// Below all that were drawn, and falling with each change.
    low: u64,
}

impl Pct {
    /// The runs of these numbers, for bugs of this depth, in a trial of about so many steps.
    #[must_use]
    pub fn new(seed: u64, runs: std::ops::Range<u64>, depth: u32, steps: u64) -> Pct {
        let rng = generator(seed, runs.start);
        let (next, end) = (runs.start, runs.end);
        Pct {
            seed,
            next,
            end,
            depth,
            steps: steps.max(1),
            rng,
            lanes: Vec::new(),
            changes: Vec::new(),
            step: 0,
            low: 0,
        }
    }

    fn priority(&mut self, lane: LaneName) -> u64 {
        if let Some((_, priority)) = self.lanes.iter().find(|(known, _)| *known == lane) {
            return *priority;
        }
        let priority = self.rng.random_range(u64::from(self.depth) + 1..u64::MAX);
        self.lanes.push((lane, priority));
        priority
    }
}

impl Chooser for Pct {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        let Question::Lane(lanes) = question else { return draw(&mut self.rng, question, n) };
        let best = (0..).zip(lanes).max_by_key(|(_, lane)| self.priority(**lane));
        best.map_or(0, |(i, _)| i)
    }

    fn stepped(&mut self, lane: LaneName) {
        self.step += 1;
        if self.changes.contains(&self.step) {
            self.priority(lane);
            self.low -= 1;
            let low = self.low;
            self.lanes.iter_mut().filter(|(known, _)| *known == lane).for_each(|(_, priority)| *priority = low);
        }
    }

    fn needs(&self) -> Needs {
        Needs::Steps
    }
}

impl Strategy for Pct {
    fn next(&mut self) -> bool {
        if self.next >= self.end {
            return false;
        }
        self.rng = generator(self.seed, self.next);
        self.next += 1;
        self.lanes.clear();
        self.step = 0;
        self.low = self.depth.into();
        let steps = self.steps;
        self.changes = (1..self.depth).map(|_| self.rng.random_range(1..=steps)).collect();
        true
    }

    fn ran(&mut self, _ran: &Ran) -> Counted {
        Counted::Run
    }
}
