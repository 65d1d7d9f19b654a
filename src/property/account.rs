//! The account of an event, from its fork to its message: what it cost and where, what came of it, to whom it is due.

use fork_model::facts::{Fact, Outcome, Paid};
use sim::Errno;

use crate::lab::listen::Listener;
use crate::lab::report::plural;
use crate::property::{Run, Told};

/// What a worker made of an event that a fork had only queued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub step: u64,
    pub outcome: Result<(), Errno>,
    pub paid: Paid,
}

/// One event, and its account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub told: Told,
    /// If it was queued, and a worker came to it.
    pub sent: Option<Sent>,
}

impl Account {
    /// The step in which nothing more happened to it, as far as the kernel is concerned.
    pub fn end(&self) -> u64 {
        self.sent.map_or(self.told.step, |sent| sent.step.max(self.told.step))
    }

    /// What came of it; `None`: the gate kept it back, or it still waits.
    pub fn outcome(&self) -> Option<Result<(), Errno>> {
        match (self.told.outcome, self.sent) {
            (_, Some(sent)) => Some(sent.outcome),
            (Outcome::Sent(outcome), None) => Some(outcome),
            (Outcome::Kept | Outcome::Queued, None) => None,
        }
    }

    /// What it cost, in the fork and elsewhere.
    pub fn paid(&self) -> Paid {
        let mut paid = self.told.paid;
        paid += self.sent.map(|sent| sent.paid).unwrap_or_default();
        paid
    }

    /// Whether this listener asked for it while it was made and sent, and still did at the end of the run.
    pub fn is_due_to(&self, listener: &Listener) -> bool {
        listener.life.asks(self.told.begun, u64::MAX)
    }
}

/// All events of a run, in the order in which their notifications returned.
pub(super) fn accounts(run: &Run<'_>) -> Vec<Account> {
    let mut events: Vec<_> = run.told().map(|told| Account { told, sent: None }).collect();
    for (step, fact) in run.facts() {
        let Fact::Sent { child_said, seq, outcome, paid, .. } = *fact else { continue };
        let its = |event: &&mut Account| {
            let told = &event.told;
            event.sent.is_none() && told.outcome == Outcome::Queued && (told.child_said, told.seq) == (child_said, seq)
        };
        if let Some(event) = events.iter_mut().find(its) {
            event.sent = Some(Sent { step: *step, outcome, paid });
        }
    }
    events
}

/// `6 allocations of 1,750 bytes in 12 steps`.
pub(super) fn cost(paid: Paid) -> String {
    let Paid { allocs, bytes, steps, .. } = paid;
    format!("{} of {} in {}", plural(allocs, "allocation"), plural(bytes, "byte"), plural(steps, "step"))
}

/// `, to be answered -ESRCH`, if the sender got an error.
pub(super) fn answered(outcome: Outcome) -> String {
    match outcome {
        Outcome::Sent(Err(errno)) => format!(", to be answered {errno}"),
        _ => String::new(),
    }
}
