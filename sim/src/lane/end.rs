//! The end of a run: who still waits, and whether he should.

use std::task::{Context, Waker};

use super::{Ended, Held, Lane, LaneName, LaneState, Parked, State};
use crate::machine::Machine;
use crate::touch::{Access, RUNQUEUE};
use crate::violation::Rule;

impl Machine {
    /// Runs until nobody can step any more, and drops what is left of the lanes.
    ///
    /// A lane that waits impatiently at the end is a [`Rule::Deadlock`] violation.
    pub fn run(&self) -> Ended {
        self.settle();
        self.name.set(LaneName::default());
        let ended = if self.stopped.get() { Ended::Stopped } else { Ended::Quiet };
        if self.lanes.borrow().all.is_empty() {
            self.lanes.borrow_mut().clear();
            return ended; // Nobody is left, as nearly always.
        }
        if ended == Ended::Quiet {
            self.shake();
        }
        self.finish(ended)
    }

    /// Wakes every lane that waits impatiently for a condition once more. One that then finds it to hold was never woken
    /// for it; it goes back to sleep all the same, and [`Machine::finish`] reports it.
    fn shake(&self) {
        let waits = |lane: &LaneState| matches!(lane.state, State::Waits { patient: false, spins: false, .. });
        let sleepers: Vec<_> = {
            let lanes = self.lanes.borrow();
            lanes.all.iter().filter(|(_, lane)| waits(lane)).map(|(i, _)| i).collect()
        };
        self.closing.set(true); // Nothing of this is part of the run.
        for i in sleepers {
            let lane = Lane::of(i);
            let mut work = self.lanes.borrow_mut().take_work(lane);
            self.switch_to(Some(lane));
            // A lane that waits for a lock stays there; one that looked at its condition is pending, too.
            let _ = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.switch_to(None);
            self.lanes.borrow_mut().put_work(lane, work);
        }
        self.closing.set(false);
    }

    /// The lane that runs now looked at its condition once more.
    pub(crate) fn overslept(&self, overslept: bool) {
        let lane = self.current.get().expect("only a lane can wait");
        self.lanes.borrow_mut().all[lane.index()].overslept = overslept;
    }

    fn finish(&self, mut ended: Ended) -> Ended {
        let mut lanes = std::mem::take(&mut *self.lanes.borrow_mut());
        for (i, lane) in &lanes.all {
            if lane.state == State::Runnable && ended != Ended::Stopped {
                self.tell_blocked(lane.name, RUNQUEUE, Access::Write);
            }
            if let State::Waits { on, patient: false, .. } = lane.state
                && ended != Ended::Stopped
            {
                ended = Ended::Deadlock;
                if lane.overslept {
                    let text = format!("lost wake-up: lane {} sleeps in {on} for what has come", lane.name);
                    self.report_for(lane.name, Rule::LostWakeup, text, None);
                    continue;
                }
                let parked = self.parked.borrow();
                let since = |held: &Held| format!("{} (since step {})", held.lock, held.step);
                let held: Vec<_> = parked.get(i).into_iter().flat_map(Parked::locks).map(since).collect();
                let holds = if held.is_empty() { String::new() } else { format!(", and holds {}", held.join(", ")) };
                let text = format!("deadlock: lane {} waits for {on}{holds}", lane.name);
                self.report_for(lane.name, Rule::Deadlock, text, None);
            }
        }
        self.closing.set(true); // Guards that are dropped with the lanes must not speak any more.
        lanes.rooms.iter_mut().flatten().for_each(|room| room.as_mut().clear());
        self.forget_held();
        self.forget_standing();
        lanes.clear();
        *self.lanes.borrow_mut() = lanes;
        self.runnable.set(0);
        self.closing.set(false);
        ended
    }
}
