//! Telling user space of a fork, as the design has it: gate, number, message, delivery.
//!
//! | file | holds |
//! |---|---|
//! | [`gate`] | who is asked first |
//! | [`sequence`] | the counters |
//! | [`meter`] | what a lane pays for it |
//! | [`send`] | one message of a format, made and broadcast |
//! | [`cbus`] | deliveries `deferred` and `batched`: the list and its worker |
//! | [`relay`] | delivery `signal`: registered processes and their queues |
//! | [`helper`] | delivery `hotplug`: a process for each event |
//!
//! The patch as posted does none of this: `do_fork()` then calls `kobject_fork()` itself.

use std::rc::Rc;

use sim::Errno;
use sim::touch::{Access, Object};
use uevent::kobject_uevent::FORK_OUTCOMES;
use uevent::wire::connector::ForkIds;

use crate::System;
use crate::design::{Delivery, Seq};
use crate::facts::{Fact, Outcome};

pub mod cbus;
pub mod gate;
pub mod helper;
pub mod meter;
pub mod relay;
pub mod send;
pub mod sequence;

/// What listeners ask for, as an explorer calls it: laws compare it with what was sent, so that it matters which came first.
pub const WISHES: Object = Object::named("what listeners ask for");

/// The static variables of the designs.
#[derive(Default)]
pub struct Notify {
    /// Counters of events.
    pub sequence: sequence::Counters,
    /// Events that wait for the worker.
    pub cbus: cbus::Cbus,
    /// Processes that asked for signals.
    pub relay: relay::Relay,
    /// Helpers that wait for khelper.
    pub helper: helper::Khelper,
}

impl Notify {
    /// Whether it has what copies of a kernel would share.
    pub(crate) fn shares(&self) -> bool {
        self.cbus.shares() || self.relay.shares() || self.helper.shares()
    }

    /// See [`System::copy_over`].
    pub(crate) fn copy_over(&self, used: &mut Notify) {
        let Notify { sequence, cbus, relay, helper } = used;
        sequence.clone_from(&self.sequence);
        self.cbus.copy_over(cbus);
        *relay = relay::Relay::default();
        self.helper.copy_over(helper);
    }
}

/// Tells user space that somebody forked. `child_true` is the pid that was allocated, whatever the hook reads.
///
/// Gate, number, message, delivery; and the fact that it was told. What the patch does comes out as `do_fork()` itself
/// does it when nothing else is asked for: `kobject_fork()` with two pids.
pub async fn notify(sys: &System, child_true: i32, ids: ForkIds) {
    let begun = sys.m.step();
    if sys.facts.on() {
        sys.m.touch(WISHES, Access::Read);
    }
    // In one place: given away it would be there twice.
    let deliver =
        std::pin::pin!(async { if gate::is_open(sys) { deliver(sys, &ids).await } else { (None, Outcome::Kept) } });
    let ((seq, outcome), paid) = meter::metered(&sys.m, deliver).await;
    if outcome == Outcome::Kept {
        sys.m.touch(FORK_OUTCOMES, Access::Add);
        sys.core.fork_outcomes.borrow_mut().kept += 1;
    }
    if !sys.facts.on() {
        return;
    }
    note_yields(sys, ids.child_pid);
    sys.note(|| Fact::Told {
        child_true,
        parent_said: ids.parent_pid,
        child_said: ids.child_pid,
        seq,
        cpu: sys.m.cpu(),
        outcome,
        begun,
        paid,
    });
}

async fn deliver(sys: &System, ids: &ForkIds) -> (Option<Seq>, Outcome) {
    let seq = sequence::next(sys).await;
    let outcome = match sys.config.design.delivery {
        Delivery::Broadcast => Outcome::Sent(send::send(sys, ids, seq).await),
        Delivery::Deferred | Delivery::Batched => match cbus::cbus_insert(sys, ids, seq).await {
            Ok(()) => Outcome::Queued,
            Err(error) => Outcome::Sent(Err(error)),
        },
        Delivery::Signal => Outcome::Sent(relay::relay_fork(sys, ids).await),
        Delivery::Hotplug => Outcome::Sent(helper::hotplug_fork(sys, ids, seq).await),
    };
    // What was sent is counted where it was sent.
    if outcome == Outcome::Sent(Err(Errno::Srch)) {
        gate::nobody_got_it(sys);
    }
    (seq, outcome)
}

/// The lane that runs now may have yielded while it sent.
pub(crate) fn note_yields(sys: &System, child_said: i32) {
    for step in sys.core.take_yields(sys.m.lane_name()) {
        sys.facts.push(step, Fact::Yielded { lane: sys.m.lane_name(), child_said });
    }
}

/// Starts the kernel threads of the design: the worker of `deferred` and `batched`, khelper of `hotplug`. For use once the boot is over.
///
/// DIFFERENCE: the kernel starts them in an initcall. Here a run has a lane for them only while it is the run proper, as
/// the lanes of the set-up are dropped with it; events of before wait ([`cbus::work_off`]) or have no helper.
pub fn start_kernel_threads(sys: &Rc<System>) {
    match sys.config.design.delivery {
        Delivery::Broadcast | Delivery::Signal => {}
        Delivery::Deferred | Delivery::Batched => cbus::start(sys),
        Delivery::Hotplug => helper::start(sys),
    }
}
