//! G30: the sender is told that nobody listens.

use std::rc::Rc;

use fork_model::System;
use sim::{Errno, Law};
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{
    alone, change, default_or_smallest, judged_on_the_way, kernel, listeners, number, obey, queued, up_with_an_object,
};
use crate::lab::report::plural;

const LAW: Law =
    Law { id: "G30", sentence: "the sender is told -ENOBUFS when a listener lost the message for lack of room" };

/// Every listener is full, and the answer is "no such process".
///
/// `netlink_broadcast()` says -ENOBUFS only if a copy could not be made and nobody got the message; a full buffer counts
/// as nobody there, and as success if somebody else had room. In later kernels a listener may ask that its loss be told
/// (`NETLINK_BROADCAST_ERROR`); uevents do not.
///
/// Tried: one or two listeners with the default or the smallest buffer, one to four messages.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a sender whose every listener is full hears that there is none",
    says: "netlink_broadcast() answers -ESRCH, no such process, when the listeners are there but full, and 0 when only one of \
           them was. The sender cannot know that a message was lost.",
    source: "net/netlink/af_netlink.c: netlink_broadcast()",
    mended_by: "a full listener makes the answer -ENOBUFS, as a listener of later kernels may ask for",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::ToldLoss),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let kobj = up_with_an_object(&sys).await;
    let socks = listeners(&sys, 2, default_or_smallest).await;
    for _ in 0..number(&sys.m, "messages, from 1", 1..=4) {
        let before: Vec<_> = socks.iter().map(|sock| queued(&sys, *sock)).collect();
        let result = change(&sys, kobj).await;
        let lost = socks.iter().zip(before).filter(|(sock, before)| queued(&sys, **sock) == *before).count();
        obey(&sys.m, LAW, lost == 0 || result == Err(Errno::NoBufs), || {
            let answer = result.map_or_else(|error| error.to_string(), |()| "0".into());
            let listeners = plural(socks.len() as u64, "listener");
            format!("{lost} of {listeners} lost the message, the sender is told {answer}")
        });
    }
}
