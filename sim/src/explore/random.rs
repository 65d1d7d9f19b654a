//! Uniform random runs from a seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Strategy;
use crate::choice::{Chooser, Question};

/// Of how many allocations that may fail one does, on average: a draw of one in two would always spend the budget of
/// failures on the first ones.
const ONE_IN: u32 = 16;

/// Each run draws from a stream of its own: run `i` of seed `s` is the same wherever it is run.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    /// The number of the next run, and of the one behind the last.
    next: u64,
    end: u64,
    rng: ChaCha8Rng,
}

impl Random {
    /// The runs of these numbers.
    #[must_use]
    pub fn new(seed: u64, runs: std::ops::Range<u64>) -> Random {
        Random { seed, next: runs.start, end: runs.end, rng: generator(seed, runs.start) }
    }
}

/// The stream of one run.
pub(super) fn generator(seed: u64, run: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(run);
    rng
}

/// A failure is rare; all else is uniform.
pub(super) fn draw(rng: &mut ChaCha8Rng, question: Question<'_>, n: u32) -> u32 {
    match question {
        Question::Fault(_) => u32::from(rng.random_range(0..ONE_IN) == 0),
        _ => rng.random_range(0..n),
    }
}

impl Chooser for Random {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        draw(&mut self.rng, question, n)
    }
}

impl Strategy for Random {
    fn next(&mut self) -> bool {
        if self.next >= self.end {
            return false;
        }
        self.rng = generator(self.seed, self.next);
        self.next += 1;
        true
    }
}
