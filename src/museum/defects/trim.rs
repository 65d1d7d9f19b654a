//! G35: a message that could not be trimmed costs its listener five times as much.

use std::rc::Rc;

use fork_model::System;
use sim::Law;
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{alone, change, judged_on_the_way, kernel, listeners, obey, up_with_an_object};

const LAW: Law =
    Law { id: "G35", sentence: "less than half of what a listener is charged for a message is unused room" };

/// A failed trim is silent, and the listener pays for the whole.
///
/// Each event is allocated with 1,024 bytes to spare, then moved to a smaller buffer. Without memory for that it goes on
/// as it is, and 1,320 bytes are charged in place of some 250: five times fewer messages fit, in the very moment when
/// memory is short. In later kernels an event is allocated in its size, and there is nothing to trim.
///
/// Tried: one or two listeners, one message, one allocation fails.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "without memory to trim it a message is charged five times over",
    says: "An event is allocated with 1,024 spare bytes and moved to a smaller buffer before it is sent. If there is no memory \
           for the small one, the large one is queued, and its listener is charged 1,320 bytes for ten.",
    source: "net/netlink/af_netlink.c: netlink_trim()",
    mended_by: "the message is allocated as large as its environment, as in later kernels: nothing is left to trim",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::FitMessage),
    faults: 1,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let kobj = up_with_an_object(&sys).await;
    let socks = listeners(&sys, 2, |_| None).await;
    // Who did not get it pays nothing.
    let _ = change(&sys, kobj).await;
    for skb in socks.iter().flat_map(|sock| sys.core.sock(*sock, |s| s.queue.clone())) {
        let (len, truesize, unused) = sys.core.skb(skb, |skb| (skb.len, skb.truesize, skb.tail_room()));
        obey(&sys.m, LAW, unused.cast_unsigned() * 2 < truesize, || {
            format!("{truesize} bytes are charged for a message of {len}: {unused} of them are unused")
        });
    }
}
