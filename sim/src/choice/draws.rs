//! Uniform answers, drawn where they are needed.

use super::Question;

/// Of how many allocations that may fail one does, on average: a draw of one in two would always spend the budget of
/// failures on the first ones.
pub(crate) const ONE_IN: u32 = 16;

/// Random bits, and the answers that are in them: a question costs a multiplication. A chooser that answers so may lend them
/// to the machine, which then need not call it: [`Chooser::draws`](super::Chooser::draws).
#[derive(Clone, Copy, Debug, Default)]
pub struct Draws {
    /// A number that is uniform in all its bits but the lowest.
    bits: u64,
    /// How many answers there were to what was drawn from it.
    spent: u64,
}

impl Draws {
    /// From 64 random bits.
    #[must_use]
    pub fn new(bits: u64) -> Draws {
        Draws { bits, spent: 1 }
    }

    /// Answers a question with `n` answers: a failure is rare, all else is uniform. `more` gives 64 other bits once these are
    /// used up.
    #[inline(always)]
    pub fn answer(&mut self, question: Question<'_>, n: u32, more: impl FnOnce() -> u64) -> u32 {
        match question {
            Question::Fault(_) => u32::from(self.below(ONE_IN, more) == 0),
            _ => self.below(n, more),
        }
    }

    /// A number below `n`: the whole part of the bits, as a fraction of 1, times `n`; what is left is the next fraction. As
    /// long as no more than 2^32 answers were possible, none of them is more likely than another by more than 2^-32.
    #[inline(always)]
    fn below(&mut self, n: u32, more: impl FnOnce() -> u64) -> u32 {
        self.spent *= u64::from(n); // No more than 2^32 times less than 2^32.
        if self.spent > 1 << 32 {
            (self.bits, self.spent) = (more(), n.into());
        }
        let product = u128::from(self.bits) * u128::from(n);
        self.bits = product as u64;
        (product >> 64) as u32
    }
}
