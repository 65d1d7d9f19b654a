//! The order in which locks are taken. Models the idea of `kernel/lockdep.c` (Linux 2.6.18): an inversion is found when both
//! orders were seen, in whatever lanes and however long ago; no deadlock has to happen.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::lane::Held;
use crate::machine::Machine;
use crate::violation::Rule;

/// Pairs of locks: the second was taken while the first was held.
#[derive(Debug, Default)]
pub(crate) struct LockOrder(RefCell<Vec<Pair>>);

/// A lock, and whether it was taken in a mode that shuts others out: two readers do not wait for each other.
type Taken = (&'static str, bool);

type Pair = (Taken, Taken);

impl LockOrder {
    /// What was learnt, in place of what another machine has learnt.
    pub(crate) fn copy_over(&self, used: &LockOrder) {
        used.0.borrow_mut().clone_from(&self.0.borrow());
    }

    /// Nothing was learnt yet.
    pub(crate) fn clear(&mut self) {
        self.0.get_mut().clear();
    }

    /// A lock is taken under others. True if that closes a circle that was open before.
    fn add(&self, held: Taken, taken: Taken) -> bool {
        let mut pairs = self.0.borrow_mut();
        // Nearly always it is the very same text: a lock's name is written in one place.
        let same = |a: Taken, b: Taken| (std::ptr::eq(a.0, b.0) || a.0 == b.0) && a.1 == b.1;
        if pairs.iter().any(|(outer, inner)| same(*outer, held) && same(*inner, taken)) {
            return false;
        }
        pairs.push((held, taken));
        reaches(&pairs, taken, held)
    }
}

/// Whether who wants the one lock may wait for somebody who waits, over any number of others, for who holds the other.
fn reaches(pairs: &[Pair], from: Taken, to: Taken) -> bool {
    let meets = |wanted: Taken, held: Taken| wanted.0 == held.0 && (wanted.1 || held.1);
    let (mut todo, mut seen) = (vec![from], BTreeSet::new());
    while let Some(wanted) = todo.pop() {
        if meets(wanted, to) {
            return true;
        }
        if seen.insert(wanted) {
            todo.extend(pairs.iter().filter(|(held, _)| meets(wanted, *held)).map(|(_, taken)| *taken));
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
    pub(crate) fn note_lock_order(&self, lock: &'static str, shuts_out: bool, held: &[Held]) {
        for Held { lock: outer, step: since, shuts_out: outer_shuts_out, .. } in held {
            if *outer != lock && self.lock_order.add((outer, *outer_shuts_out), (lock, shuts_out)) {
                let text = format!("possible circular locking dependency detected: {lock} is taken under {outer}");
                let cause = format!("{outer} was taken in step {since}; before, {outer} was taken under {lock}");
                self.report(Rule::LockOrder, text, Some(cause));
            }
        }
    }
}
