//! G18: `SUBSYSTEM` is cut off at 19 characters.

use std::rc::Rc;

use fork_model::System;
use sim::{Law, Value};
use uevent::Fix;
use uevent::af_netlink::{msg, netlink_recvmsg};
use uevent::kobject_uevent::{HotplugOps, KobjectAction, NameOp, kobject_hotplug};

use super::super::experiment::Experiment;
use super::stage::{alone, initcalls, judged_on_the_way, kernel, listener, number, obey, object, pick};

const LAW: Law = Law { id: "G18", sentence: "SUBSYSTEM is the whole name of the kset, if the kset gives no other" };

/// Without a name operation the text comes from the array inside the kset's object.
///
/// The array holds 19 characters and a NUL; a longer name is elsewhere, and the pointer to it is not followed. Later
/// kernels ask `kobject_name()`.
///
/// Tried: names of 17 to 24 characters; no name operation, and one that answers NULL.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "SUBSYSTEM loses everything after 19 characters",
    says: "kobject_hotplug() reads the kset's name from the 20-byte array inside its object. A name of 20 characters or more \
           does not live there; the array has its first 19.",
    source: "lib/kobject_uevent.c: kobject_hotplug()",
    mended_by: "the name is read through the name pointer, kobject_name(), as in later kernels",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::WholeSubsystem),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    initcalls(&sys).await;
    let null: fn() -> NameOp = || Box::new(|_, _| None);
    let name = pick(&sys.m, "name operation: none, one that answers NULL", &[None, Some(null)]).map(|op| op());
    let text = &b"abcdefghijklmnopqrstuvwx"[..number(&sys.m, "length of the kset's name, from 17", 17..=24)];
    let kset = sys.core.new_kset(object(&sys, text).await, Some(HotplugOps { name, ..HotplugOps::default() }));
    let kobj = object(&sys, b"sda").await;
    sys.core.kobj(kobj, |k| k.kset = Some(kset));
    let sock = listener(&sys, 500, None).await;
    kobject_hotplug(&sys.core, kobj, KobjectAction::Add.number()).await;
    let mut message = Vec::new();
    netlink_recvmsg(&sys.core, sock, &mut message, 4096, msg::DONTWAIT).await.expect("it has room for hundreds");
    let whole = [b"SUBSYSTEM=", text].concat();
    let sent =
        message.split(|byte| *byte == 0).find(|variable| variable.starts_with(b"SUBSYSTEM=")).unwrap_or_default();
    obey(&sys.m, LAW, sent == whole, || {
        format!("the kset is called {}, the event says {}", Value::shown(text), Value::shown(sent))
    });
}
