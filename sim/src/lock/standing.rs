//! Lanes that stand before locks: whoever wants a lock does not run as long as he could not have it.

use super::{Lock, Mode};
use crate::lane::Lane;
use crate::machine::Machine;
use crate::rare;

/// Which lock, as long as somebody stands before it or holds it: where it is. Only compared, never shown nor ordered.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// One lane before a lock.
pub(crate) struct Standing {
    lane: Lane,
    place: Place,
    lock: &'static str,
    mode: &'static Mode,
    /// It cannot run.
    blocked: bool,
}

impl Lock {
    pub(super) fn place(&self) -> Place {
        Place(std::ptr::from_ref(self).addr())
    }
}

impl Machine {
    /// The lane that runs stands before a lock. It can run as long as it could have it.
    pub(super) fn stand(&self, lock: &Lock, mode: &'static Mode) {
        let lane = self.current().expect("outside of every lane nobody else can run");
        let blocked = lock.is_taken(mode);
        self.lanes.borrow_mut().stands(lane);
        self.standing.borrow_mut().push(Standing { lane, place: lock.place(), lock: lock.name, mode, blocked });
        if blocked {
            self.blocked.set(self.blocked.get() + 1);
            self.wait_for_lock(lock.name, !mode.sleeps, mode.access());
        }
    }

    /// A lane runs again, or has ended, and stands nowhere: it takes the lock now, or no longer wants it.
    pub(crate) fn step_aside(&self, lane: Lane) {
        let standing = &mut *self.standing.borrow_mut();
        debug_assert!(standing.iter().all(|one| one.lane != lane || !one.blocked), "a lane that runs is not blocked");
        if standing.len() == 1 {
            standing.clear(); // As nearly always.
        } else {
            standing.retain(|one| one.lane != lane);
        }
    }

    /// The lane that runs gives way, and whoever stands before a lock that it holds cannot run from here on.
    ///
    /// Nobody looks before that: most locks are released before anybody else runs, and then nothing has changed.
    #[inline(always)]
    pub(crate) fn block_before_held(&self) {
        if rare(self.nesting.get() != 0) {
            self.block_some();
        }
    }

    #[inline(never)]
    fn block_some(&self) {
        if !self.standing.borrow().is_empty() {
            self.held().iter().for_each(|held| self.block_before(held.place, held.exclusive));
        }
    }

    /// Whoever stands before this lock, which was taken, cannot run.
    pub(super) fn block_before(&self, place: Place, exclusive: bool) {
        for one in &mut *self.standing.borrow_mut() {
            let Standing { lane, lock, mode, .. } = *one;
            if one.place == place && !one.blocked && (exclusive || mode.exclusive) {
                one.blocked = true;
                self.blocked.set(self.blocked.get() + 1);
                self.block(lane, lock, (!mode.sleeps, true), mode.access());
            }
        }
    }

    /// A lock was released: whoever could have it now can run. All of them: who gets it is decided when they step.
    #[inline(always)]
    pub(super) fn unblock_before(&self, lock: &Lock) {
        if rare(self.blocked.get() != 0) {
            self.unblock_some(lock);
        }
    }

    #[inline(never)]
    fn unblock_some(&self, lock: &Lock) {
        let place = lock.place();
        for one in &mut *self.standing.borrow_mut() {
            if one.place == place && one.blocked && !lock.is_taken(one.mode) {
                one.blocked = false;
                self.blocked.set(self.blocked.get() - 1);
                self.unblock(one.lane, true);
            }
        }
    }

    /// Nobody stands anywhere any more.
    pub(crate) fn forget_standing(&self) {
        self.standing.borrow_mut().clear();
        self.blocked.set(0);
    }
}
