//! The locks that lanes hold, and what follows from them.

use super::Lane;
use crate::lock::Place;
use crate::machine::Machine;
use crate::rare;

/// One lock that a lane holds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) lock: &'static str,
    pub(crate) place: Place,
    /// In which step it was taken.
    pub(crate) step: u64,
    /// Nobody else can have it at all.
    pub(crate) exclusive: bool,
    /// Whether it shuts others out for [`lockdep`](crate::lockdep).
    pub(crate) shuts_out: bool,
}

/// What a lane holds that does not run.
#[derive(Default)]
pub(crate) struct Parked {
    nesting: u64,
    inner: Held,
    outer: Vec<Held>,
}

impl Parked {
    /// The locks, innermost last.
    pub(super) fn locks(&self) -> impl Iterator<Item = &Held> {
        self.outer.iter().chain((self.nesting != 0).then_some(&self.inner))
    }
}

/// A lane's depths in one number, so that a lock changes one: spinlocks (`preempt_count()`), then [`IRQS_OFF`] times
/// `local_irq_disable()`, then [`SLEEPING`] times locks under which one may sleep. 0: it holds nothing.
pub(crate) const IRQS_OFF: u64 = 1 << 20;
pub(crate) const SLEEPING: u64 = 1 << 40;

pub(crate) fn preempt_count(nesting: u64) -> u64 {
    nesting & (IRQS_OFF - 1)
}

pub(crate) fn irqs_off(nesting: u64) -> u64 {
    (nesting & (SLEEPING - 1)) / IRQS_OFF
}

/// `in_atomic() || irqs_disabled()`.
#[inline(always)]
pub(crate) fn is_atomic(nesting: u64) -> bool {
    nesting & (SLEEPING - 1) != 0
}

impl Machine {
    /// The lane that runs holds one more lock, which adds this to its nesting. Outside of every lane nobody does.
    #[inline(always)]
    pub(crate) fn hold(&self, held: Held, nesting: u64) {
        if self.current.get().is_none() {
            return;
        }
        let before = self.nesting.get();
        if rare(before != 0) {
            self.hold_under(held.lock, held.shuts_out); // By its parts: it would be copied from memory below.
        }
        self.nesting.set(before + nesting);
        self.inner.set(held);
    }

    #[inline(never)]
    fn hold_under(&self, lock: &'static str, shuts_out: bool) {
        let outer = &mut *self.outer.borrow_mut();
        outer.push(self.inner.get());
        self.note_lock_order(lock, shuts_out, outer);
    }

    /// It releases one.
    #[inline(always)]
    pub(crate) fn let_go(&self, place: Place, nesting: u64) {
        if self.current.get().is_none() {
            return;
        }
        let left = self.nesting.get() - nesting;
        self.nesting.set(left);
        if rare(left != 0) {
            self.let_go_of_one(place);
        }
    }

    /// Nearly always the innermost: locks are released in the order of a stack.
    #[inline(never)]
    fn let_go_of_one(&self, place: Place) {
        let outer = &mut *self.outer.borrow_mut();
        if self.inner.get().place == place {
            self.inner.set(outer.pop().expect("it holds another one"));
            return;
        }
        let at = outer.iter().rposition(|held| held.place == place);
        outer.remove(at.expect("the lane holds what it releases"));
    }

    /// The locks of the lane that runs, innermost last.
    pub(crate) fn held(&self) -> Vec<Held> {
        let inner = (self.nesting.get() != 0).then(|| self.inner.get());
        self.outer.borrow().iter().copied().chain(inner).collect()
    }

    /// Another lane runs, or none. Nearly always neither of the two holds anything.
    #[inline(always)]
    pub(super) fn switch_to(&self, lane: Option<Lane>) {
        if rare(self.nesting.get() != 0) {
            self.park();
        }
        self.current.set(lane);
        if rare(self.holders.get() != 0) {
            self.unpark();
        }
    }

    /// The lane that ran keeps what it holds.
    #[inline(never)]
    fn park(&self) {
        let lane = self.current.get().expect("only a lane holds anything");
        let parked = &mut *self.parked.borrow_mut();
        if parked.len() <= lane.index() {
            parked.resize_with(lane.index() + 1, Parked::default);
        }
        self.swap(&mut parked[lane.index()]);
        self.holders.set(self.holders.get() + 1);
    }

    /// The lane that runs now has what it held.
    #[inline(never)]
    fn unpark(&self) {
        let Some(lane) = self.current.get() else { return };
        if let Some(parked) = self.parked.borrow_mut().get_mut(lane.index()).filter(|parked| parked.nesting != 0) {
            self.swap(parked);
            self.holders.set(self.holders.get() - 1);
        }
    }

    fn swap(&self, parked: &mut Parked) {
        parked.nesting = self.nesting.replace(parked.nesting);
        parked.inner = self.inner.replace(parked.inner);
        std::mem::swap(&mut parked.outer, &mut self.outer.borrow_mut());
    }

    /// The lane that runs lets go of all that it has not released.
    pub(super) fn hold_nothing(&self) {
        self.nesting.set(0);
        self.outer.borrow_mut().clear();
    }

    /// No lane holds anything any more.
    pub(super) fn forget_held(&self) {
        self.hold_nothing();
        self.parked.borrow_mut().clear();
        self.holders.set(0);
    }
}
