//! Uniform random runs from a seed.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Strategy;
use crate::choice::{Chooser, Draws, Lent, Needs, ONE_IN, Question};

/// Run `i` of seed `s` is the same wherever it is run.
///
/// Its first draws come from a number that is the `i`-th of a stream which all runs share, since most runs of small
/// scenarios need no more, and to set up a generator takes longer than such a run; the rest from a stream of its own.
#[derive(Clone, Debug)]
pub struct Random {
    /// The number of the next run, and of the one behind the last.
    next: u64,
    end: u64,
    /// Stands behind the number of the run before the next one.
    shared: ChaCha8Rng,
    run: Run,
}

/// One run, from its first draw to its last.
#[derive(Clone, Debug)]
struct Run {
    seed: u64,
    number: u64,
    /// Its number of the shared stream.
    first: u64,
    draws: Draws,
    /// Once that number is used up.
    own: Option<Box<ChaCha8Rng>>,
}

impl Run {
    fn new(seed: u64, number: u64, first: u64) -> Run {
        Run { seed, number, first, draws: Draws::new(first), own: None }
    }
}

impl Random {
    /// The runs of these numbers.
    #[must_use]
    pub fn new(seed: u64, runs: std::ops::Range<u64>) -> Random {
        let mut shared = generator(seed, 0);
        // A number has two words.
        shared.set_word_pos(u128::from(runs.start) * 2);
        Random { next: runs.start, end: runs.end, shared, run: Run::new(seed, runs.start, 0) }
    }
}

/// The stream of one run. Stream 0 is the one that all runs share.
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
        let mut draws = self.run.draws;
        let answer = draws.answer(question, n, || self.bits());
        self.run.draws = draws;
        answer
    }

    fn needs(&self) -> Needs {
        Needs::Numbers
    }

    fn draws(&mut self) -> Option<Draws> {
        Some(self.run.draws)
    }

    fn take_back(&mut self, draws: Draws) {
        self.run.draws = draws;
    }

    #[cold]
    fn bits(&mut self) -> u64 {
        let Run { seed, number, own, .. } = &mut self.run;
        own.get_or_insert_with(|| Box::new(generator(*seed, *number + 1))).next_u64()
    }
}

impl Strategy for Random {
    #[inline]
    fn next(&mut self) -> bool {
        if self.next >= self.end {
            return false;
        }
        self.run = Run::new(self.run.seed, self.next, self.shared.next_u64());
        self.next += 1;
        true
    }

    fn again(&self) -> Option<Lent> {
        let Run { seed, number, first, .. } = self.run;
        Some(Random { run: Run::new(seed, number, first), ..self.clone() }.lent())
    }
}
