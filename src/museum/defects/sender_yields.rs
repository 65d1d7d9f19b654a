//! G33: a full listener makes the sender wait.

use std::cell::Cell;
use std::rc::Rc;

use fork_model::System;
use sim::Law;
use uevent::Fix;
use uevent::kobject_uevent::{KobjectAction, kobject_uevent, kobject_uevent_atomic};

use super::super::experiment::Experiment;
use super::stage::{alone, initcalls, judged_on_the_way, kernel, listener, number, obey, object, pick};

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
    initcalls(&sys).await;
    let kobj = object(&sys, b"sda").await;
    for pid in (500..).take(number(&sys.m, "listeners, from 1", 1..=2)) {
        listener(&sys, pid, pick(&sys.m, "its buffer: default, smallest", &[None, Some(0)])).await;
    }
    let sleeps = pick(&sys.m, "kobject_uevent_atomic, kobject_uevent", &[false, true]);
    let ran = Rc::new(Cell::new(false));
    let other = ran.clone();
    sys.m.spawn("other", async move { other.set(true) });
    let messages = number(&sys.m, "messages, from 1", 1..=3);
    for sent in 1..=messages {
        let change = KobjectAction::Change.number();
        // Whether it was queued is not of interest.
        let _ = match sleeps {
            true => kobject_uevent(&sys.core, kobj, change, None).await,
            false => kobject_uevent_atomic(&sys.core, kobj, change, None).await,
        };
        obey(&sys.m, LAW, !ran.replace(false), || format!("message {sent} of {messages}: another lane ran meanwhile"));
    }
}
