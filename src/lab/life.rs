//! What a listener wants, step by step: what it said of itself, and when it went.

use std::cell::{Cell, RefCell};

use crate::scenario_file::Word;

/// The life of a listener. A word that asks for more counts from the step on in which it had its effect; one that asks for
/// less, from the step on in which it was spoken: between the two nobody can say what it is due.
#[derive(Debug, Default, Clone)]
pub struct Life {
    /// It has a socket in the group of the events, or is registered.
    opened: bool,
    /// To be there is to ask.
    asks_by_itself: bool,
    words: RefCell<Vec<(u64, Word)>>,
    closed: Cell<Option<u64>>,
}

impl Life {
    /// Of one that got a socket, or did not, in a design in which to be there is to ask, or is not.
    pub(super) fn new(opened: bool, asks_by_itself: bool) -> Life {
        Life { opened, asks_by_itself, ..Life::default() }
    }

    pub(super) fn is_a_wish_for_more(word: Word) -> bool {
        matches!(word, Word::Listen | Word::Unfilter)
    }

    pub(super) fn note(&self, step: u64, word: Word) {
        self.words.borrow_mut().push((step, word));
    }

    pub(super) fn close(&self, step: u64) {
        self.closed.set(Some(step));
    }

    /// The run begins: what was before it was in step 0.
    pub(super) fn begin(&self) {
        self.words.borrow_mut().iter_mut().for_each(|(step, _)| *step = 0);
        self.closed.set(self.closed.get().map(|_| 0));
    }

    /// Whether it was ever there.
    #[must_use]
    pub fn was_there(&self) -> bool {
        self.opened
    }

    /// Whether it is there in a step: its socket is open, or its process lives.
    #[must_use]
    pub fn is_there(&self, step: u64) -> bool {
        self.opened && self.closed.get().is_none_or(|closed| step <= closed)
    }

    /// Whether it was gone before this step.
    #[must_use]
    pub fn is_gone(&self, step: u64) -> bool {
        self.opened && !self.is_there(step)
    }

    /// What it has said, and since when that counts.
    #[must_use]
    pub fn words(&self) -> Vec<(u64, Word)> {
        self.words.borrow().clone()
    }

    /// Whether it asks to be told of forks in a step.
    fn asks_at(&self, step: u64) -> bool {
        let (mut asks, mut filters, mut lives) = (self.asks_by_itself, false, self.opened);
        for (_, word) in self.words.borrow().iter().take_while(|(at, _)| *at <= step) {
            match word {
                Word::Listen => asks = true,
                Word::Ignore => asks = false,
                Word::Filter => filters = true,
                Word::Unfilter => filters = false,
                Word::Die => lives = false,
            }
        }
        asks && !filters && lives
    }

    /// Whether it asks to be told of forks, from the first of these steps to the last.
    #[must_use]
    pub fn asks(&self, from: u64, to: u64) -> bool {
        let words = self.words.borrow();
        let mut meanwhile = words.iter().map(|(at, _)| *at).filter(|at| (from + 1..=to).contains(at));
        self.asks_at(from) && meanwhile.all(|at| self.asks_at(at))
    }

    /// Whether it took back what it had not asked for, up to this step: an IGNORE without a LISTEN before it.
    #[must_use]
    pub fn took_back_too_much(&self, to: u64) -> bool {
        let mut asked = 0;
        self.words.borrow().iter().take_while(|(step, _)| *step <= to).any(|(_, word)| {
            asked += match word {
                Word::Listen => 1,
                Word::Ignore => -1,
                _ => 0,
            };
            asked < 0
        })
    }

    /// Whether it took back what it had asked for, up to this step.
    #[must_use]
    pub fn took_back(&self, to: u64) -> bool {
        let words = self.words.borrow();
        let mut words = words.iter().take_while(|(step, _)| *step <= to).map(|(_, word)| *word);
        words.any(|word| word == Word::Listen) && words.any(|word| word == Word::Ignore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(words: &[(u64, Word)]) -> Life {
        let life = Life::new(true, false);
        words.iter().for_each(|(step, word)| life.note(*step, *word));
        life
    }

    #[test]
    fn who_asks_from_one_step_to_another_has_asked_before_and_takes_nothing_back_until_then() {
        let on = life(&[(5, Word::Listen), (20, Word::Ignore)]);
        let asks: Vec<_> = [(4, 6), (5, 6), (5, 19), (5, 20), (20, 30)].iter().map(|(a, b)| on.asks(*a, *b)).collect();
        assert_eq!(asks, [false, true, true, false, false]);
        let again = life(&[(0, Word::Listen), (8, Word::Filter), (9, Word::Unfilter)]);
        let asks: Vec<_> = [(1, 7), (1, 9), (9, 12)].iter().map(|(a, b)| again.asks(*a, *b)).collect();
        assert_eq!(asks, [true, false, true]);
    }

    #[test]
    fn an_ignore_without_a_listen_takes_back_too_much() {
        let first = life(&[(0, Word::Ignore), (0, Word::Listen)]);
        assert_eq!((first.took_back_too_much(0), first.took_back(0)), (true, false));
        let paired = life(&[(0, Word::Listen), (0, Word::Ignore)]);
        assert_eq!((paired.took_back_too_much(0), paired.took_back(0)), (false, true));
    }

    #[test]
    fn the_gone_are_gone_after_the_step_in_which_they_closed() {
        let dead = life(&[(3, Word::Die)]);
        dead.close(7);
        assert_eq!((dead.is_there(7), dead.is_gone(7), dead.is_gone(8), dead.asks(0, 9)), (true, false, true, false));
    }
}
