//! Uniform random runs from a seed.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Strategy;
use crate::choice::{Chooser, Needs, Question};

/// Of how many allocations that may fail one does, on average: a draw of one in two would always spend the budget of
/// failures on the first ones.
const ONE_IN: u32 = 16;

/// Run `i` of seed `s` is the same wherever it is run.
///
/// Its first draws come from a number that is the `i`-th of a stream which all runs share, since most runs of small
/// scenarios need no more, and to set up a generator takes longer than such a run; the rest from a stream of its own.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    /// The number of the next run, and of the one behind the last.
    next: u64,
    end: u64,
    /// Stands behind the number of the run before the next one.
    shared: ChaCha8Rng,
    draws: Draws,
}

/// Stream 0 is the shared one.
fn own_stream(run: u64) -> u64 {
    run + 1
}

/// What one run draws.
#[derive(Clone, Debug)]
struct Draws {
    seed: u64,
    run: u64,
    /// A number that is uniform in all its bits but the lowest, and how many answers there are to what was drawn from it.
    bits: u64,
    spent: u64,
    /// Once one number is used up.
    own: Option<Box<ChaCha8Rng>>,
}

impl Draws {
    /// A number below `n`: the whole part of the bits, as a fraction of 1, times `n`; what is left is the next fraction. As
    /// long as no more than 2^32 answers were possible, none of them is more likely than another by more than 2^-32.
    #[inline]
    fn below(&mut self, n: u32) -> u32 {
        self.spent *= u64::from(n); // No more than 2^32 times less than 2^32.
        if self.spent > 1 << 32 {
            self.refill(n);
        }
        let product = u128::from(self.bits) * u128::from(n);
        self.bits = product as u64;
        (product >> 64) as u32
    }

    #[cold]
    fn refill(&mut self, n: u32) {
        let (seed, run) = (self.seed, self.run);
        let own = self.own.get_or_insert_with(|| Box::new(generator(seed, own_stream(run))));
        (self.bits, self.spent) = (own.next_u64(), n.into());
    }
}

impl Random {
    /// The runs of these numbers.
    #[must_use]
    pub fn new(seed: u64, runs: std::ops::Range<u64>) -> Random {
        let mut shared = generator(seed, 0);
        // A number has two words.
        shared.set_word_pos(u128::from(runs.start) * 2);
        let draws = Draws { seed, run: runs.start, bits: 0, spent: 0, own: None };
        Random { seed, next: runs.start, end: runs.end, shared, draws }
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
    #[inline]
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        match question {
            Question::Fault(_) => u32::from(self.draws.below(ONE_IN) == 0),
            _ => self.draws.below(n),
        }
    }

    fn needs(&self) -> Needs {
        Needs::Numbers
    }
}

impl Strategy for Random {
    fn next(&mut self) -> bool {
        if self.next >= self.end {
            return false;
        }
        self.draws = Draws { seed: self.seed, run: self.next, bits: self.shared.next_u64(), spent: 1, own: None };
        self.next += 1;
        true
    }
}
