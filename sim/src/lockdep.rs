//! The order in which locks are taken. Models the idea of `kernel/lockdep.c` (Linux 2.6.18): an inversion is found when both
//! orders were seen, in whatever lanes and however long ago; no deadlock has to happen.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::machine::Machine;
use crate::violation::Rule;

/// Pairs of locks: the second was taken while the first was held.
#[derive(Debug, Default)]
pub(crate) struct LockOrder(RefCell<Vec<Pair>>);

type Pair = (&'static str, &'static str);

impl LockOrder {
    /// What was learnt, in place of what another machine has learnt.
    pub(crate) fn copy_over(&self, used: &LockOrder) {
        used.0.borrow_mut().clone_from(&self.0.borrow());
    }

    /// A lock is taken under others. True if that closes a circle that was open before.
    fn add(&self, held: &'static str, taken: &'static str) -> bool {
        let mut pairs = self.0.borrow_mut();
        // Nearly always it is the very same text: a lock's name is written in one place.
        let same = |a: &'static str, b: &'static str| std::ptr::eq(a, b) || a == b;
        if pairs.iter().any(|(outer, inner)| same(outer, held) && same(inner, taken)) {
            return false;
        }
        pairs.push((held, taken));
        reaches(&pairs, taken, held)
    }
}

fn reaches(pairs: &[Pair], from: &'static str, to: &'static str) -> bool {
    let (mut todo, mut seen) = (vec![from], BTreeSet::new());
    while let Some(lock) = todo.pop() {
        if lock == to {
            return true;
        }
        if seen.insert(lock) {
            todo.extend(pairs.iter().filter(|(held, _)| *held == lock).map(|(_, taken)| *taken));
        }
    }
    false
}

impl Machine {
    /// Notes that the lane which runs takes a lock under all that it holds.
    ///
    /// # Violations
    /// [`Rule::LockOrder`], worded as the kernel words it, once for each pair that closes a circle.
    #[inline(never)]
    pub(crate) fn note_lock_order(&self, lock: &'static str, held: &[(&'static str, u64)]) {
        for (outer, since) in held {
            if *outer != lock && self.lock_order.add(outer, lock) {
                let text = format!("possible circular locking dependency detected: {lock} is taken under {outer}");
                let cause = format!("{outer} was taken in step {since}; before, {outer} was taken under {lock}");
                self.report(Rule::LockOrder, text, Some(cause));
            }
        }
    }
}
