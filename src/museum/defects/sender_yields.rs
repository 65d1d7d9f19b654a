//! G33: a full listener makes the sender wait.

use std::cell::Cell;
use std::rc::Rc;

use fork_model::System;
use sim::Law;
use uevent::Fix;
use uevent::kobject_uevent::{KobjectAction, kobject_uevent_atomic};

use super::super::experiment::Experiment;
use super::stage::{
    alone, change, default_or_smallest, judged_on_the_way, kernel, listeners, number, obey, pick, up_with_an_object,
};

const LAW: Law = Law { id: "G33", sentence: "a sender goes on at once, however full its listeners are" };

/// Who fills a listener's buffer yields the CPU.
///
/// The delivery that pushes a socket over its limit makes the sender call `yield()`, if it may sleep: with the patch, the
/// process whose fork happens to be that one waits for everybody else who can run. The next, whose message is lost, does
/// not. So it is to this day.
///
/// Tried: one or two listeners with the default or the smallest buffer, one to three messages, both callers; another lane
/// wants the CPU.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "the sender whose message fills a buffer loses its CPU",
    says: "netlink_broadcast() calls yield() when a delivery has pushed a listener over its limit and the caller may sleep. One \
           slow listener makes whoever sends that message wait for all others who want the CPU.",
    source: "net/netlink/af_netlink.c: netlink_broadcast()",
    mended_by: "here: no yield; later kernels keep it",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::NoYield),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let kobj = up_with_an_object(&sys).await;
    listeners(&sys, 2, default_or_smallest).await;
    let sleeps = pick(&sys.m, "kobject_uevent_atomic, kobject_uevent", &[false, true]);
    let ran = Rc::new(Cell::new(false));
    let other = ran.clone();
    sys.m.spawn("other", async move { other.set(true) });
    let messages = number(&sys.m, "messages, from 1", 1..=3);
    for sent in 1..=messages {
        // Whether it was queued is not of interest.
        let _ = match sleeps {
            true => change(&sys, kobj).await,
            false => kobject_uevent_atomic(&sys.core, kobj, KobjectAction::Change.number(), None).await,
        };
        obey(&sys.m, LAW, !ran.replace(false), || format!("message {sent} of {messages}: another lane ran meanwhile"));
    }
}
