//! G31: one listener's failed copy is everybody's.

use std::rc::Rc;

use fork_model::System;
use sim::{Errno, Law};
use uevent::{Fix, site};

use super::super::experiment::Experiment;
use super::stage::{alone, change, judged_on_the_way, kernel, listeners, obey, queued, up_with_an_object};
use crate::lab::report::plural;

const LAW: Law =
    Law { id: "G31", sentence: "a listener with room misses a message only if its own copy could not be made" };

/// After a failed copy all later listeners are overrun, full or not.
///
/// The first listener gets the original, each further one a clone. One clone that fails ends the deliveries of this
/// broadcast: who joined earlier, and so comes later, loses. So it is to this day.
///
/// Tried: one to four empty listeners, one message, up to two allocations fail.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "one failed copy is lost for all later listeners",
    says: "If the copy for one listener cannot be made, netlink_broadcast() marks all who come after it as overrun, without \
           trying theirs. They have room, there may be memory again, and they lose the message.",
    source: "net/netlink/af_netlink.c: do_one_broadcast()",
    mended_by: "here: each listener's copy is tried by itself; later kernels give up, too",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::OwnCopy),
    faults: 2,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let kobj = up_with_an_object(&sys).await;
    let socks = listeners(&sys, 4, |_| None).await;
    if change(&sys, kobj).await == Err(Errno::NoMem) {
        return; // There was no message.
    }
    let missed = socks.iter().filter(|sock| queued(&sys, **sock) == 0).count();
    let copies =
        |hits: &[(&str, u64)]| hits.iter().find(|(name, _)| *name == site::CLONE_HEAD.0).map_or(0, |hit| hit.1);
    let failed = sys.m.mem.faults(|faults| copies(faults.hits()));
    obey(&sys.m, LAW, missed as u64 <= failed, || {
        let listeners = plural(socks.len() as u64, "empty listener");
        let copies = if failed == 1 { "copy" } else { "copies" };
        format!("{missed} of {listeners} missed the message, {failed} {copies} could not be made")
    });
}
