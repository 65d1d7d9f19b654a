//! The locks that lanes hold, and what follows from them.

use super::Lane;
use crate::machine::Machine;
use crate::rare;

/// One lock that a lane holds.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    pub(crate) lock: &'static str,
    /// In which step it was taken.
    pub(crate) step: u64,
    /// Whether it shuts others out for [`lockdep`](crate::lockdep).
    pub(crate) shuts_out: bool,
}

/// What a lane holds that does not run.
#[derive(Default)]
pub(crate) struct Parked {
    nesting: u32,
    pub(super) held: Vec<Held>,
}

/// A lane's depths in one number, so that a lock changes one: spinlocks and explicit disables (`preempt_count()`), then
/// [`IRQS_OFF`] times `local_irq_disable()`, then [`SLEEPING`] times locks under which one may sleep. 0: it holds nothing.
pub(crate) const IRQS_OFF: u32 = 1 << 10;
pub(crate) const SLEEPING: u32 = 1 << 20;

pub(crate) fn preempt_count(nesting: u32) -> u32 {
    nesting % IRQS_OFF
}

pub(crate) fn irqs_off(nesting: u32) -> u32 {
    nesting % SLEEPING / IRQS_OFF
}

/// `in_atomic() || irqs_disabled()`.
#[inline(always)]
pub(crate) fn is_atomic(nesting: u32) -> bool {
    nesting % SLEEPING > 0
}

impl Machine {
    /// The locks of the lane that runs; `None` outside of every lane.
    pub(crate) fn held<R>(&self, f: impl FnOnce(&[Held]) -> R) -> Option<R> {
        self.current.get().map(|_| f(&self.held.borrow()))
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
        let parked = &mut parked[lane.index()];
        parked.nesting = self.nesting.take();
        std::mem::swap(&mut parked.held, &mut self.held.borrow_mut());
        self.holders.set(self.holders.get() + 1);
    }

    /// The lane that runs now has what it held.
    #[inline(never)]
    fn unpark(&self) {
        let Some(lane) = self.current.get() else { return };
        if let Some(parked) = self.parked.borrow_mut().get_mut(lane.index()).filter(|parked| parked.nesting != 0) {
            self.nesting.set(std::mem::take(&mut parked.nesting));
            std::mem::swap(&mut parked.held, &mut self.held.borrow_mut());
            self.holders.set(self.holders.get() - 1);
        }
    }

    /// The lane that runs lets go of all that it has not released.
    pub(super) fn hold_nothing(&self) {
        self.nesting.set(0);
        self.held.borrow_mut().clear();
    }

    /// No lane holds anything any more.
    pub(super) fn forget_held(&self) {
        self.hold_nothing();
        self.parked.borrow_mut().clear();
        self.holders.set(0);
    }
}
