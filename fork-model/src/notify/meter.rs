//! What a lane pays for something, whoever else runs meanwhile.

use std::future::{Future, poll_fn};
use std::ops::AddAssign;
use std::pin::pin;

use sim::Machine;

/// What one lane paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paid {
    /// Allocations that succeeded.
    pub allocs: u64,
    /// Bytes asked for by them.
    pub bytes: u64,
    /// Steps: places where somebody else may get in.
    pub steps: u64,
    /// How often it found a lock taken.
    pub waits: u64,
}

impl AddAssign for Paid {
    fn add_assign(&mut self, more: Paid) {
        self.allocs += more.allocs;
        self.bytes += more.bytes;
        self.steps += more.steps;
        self.waits += more.waits;
    }
}

impl Paid {
    /// What the whole machine has paid so far.
    fn by_all(m: &Machine) -> Paid {
        let counters = m.mem.counters();
        Paid { allocs: counters.allocs, bytes: counters.bytes, steps: m.step(), waits: m.all_lock_waits() }
    }

    fn since(self, before: Paid) -> Paid {
        Paid {
            allocs: self.allocs - before.allocs,
            bytes: self.bytes - before.bytes,
            steps: self.steps - before.steps,
            waits: self.waits - before.waits,
        }
    }
}

/// Does some work of the lane that runs now, and says what that lane paid for it.
///
/// While a lane is polled nobody else runs, so that what the machine pays within a poll is this lane's.
pub(crate) async fn metered<R>(m: &Machine, work: impl Future<Output = R>) -> (R, Paid) {
    let mut work = pin!(work);
    let mut paid = Paid::default();
    // The step with which a lane comes back was counted before it is polled; the work began within a step.
    let mut came_back = 0;
    let result = poll_fn(|context| {
        let before = Paid::by_all(m);
        let polled = work.as_mut().poll(context);
        paid += Paid::by_all(m).since(before);
        paid.steps += came_back;
        came_back = 1;
        polled
    })
    .await;
    (result, paid)
}
