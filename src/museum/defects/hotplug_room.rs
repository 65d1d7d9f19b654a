//! G17: a hotplug operation is told that it has less than nothing.

use std::cell::Cell;
use std::rc::Rc;

use fork_model::System;
use sim::Law;
use uevent::Fix;
use uevent::kobject_uevent::{HotplugOps, KobjectAction, kobject_hotplug};

use super::super::experiment::Experiment;
use super::stage::{alone, initcalls, judged_on_the_way, kernel, number, obey, object};

const LAW: Law =
    Law { id: "G17", sentence: "the room that a hotplug operation is told of is there: it is never negative" };

/// What is left of the buffer is 1,024 minus what is used, even if more is used than there was.
///
/// With `add` and `block` the operation gets 0 bytes for a path of 960 characters, -1 for 961. `add_hotplug_env_var()`
/// then says -ENOMEM and the event is dropped; an operation that prints by itself, as many did, takes the number for a huge
/// one.
///
/// Tried: paths of 940 to 979 characters, below those of G16.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a hotplug operation is given a buffer of negative size",
    says: "kobject_hotplug() subtracts what it has used from 1,024 and hands the rest to the subsystem's hotplug operation \
           without a look. For a long path that is 0, or less: a size that snprintf() takes for a huge one.",
    source: "lib/kobject_uevent.c: kobject_hotplug()",
    mended_by: "the event is refused before the operation is asked, when its own variables do not fit",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::BoundHotplug),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    initcalls(&sys).await;
    let told = Rc::new(Cell::new(None));
    let op = {
        let told = told.clone();
        move |_, _, env: &mut uevent::kobject_uevent::HotplugEnv<'_>| {
            told.set(Some(env.buffer_size));
            0
        }
    };
    let ops = HotplugOps { hotplug: Some(Box::new(op)), ..HotplugOps::default() };
    let kset = sys.core.new_kset(object(&sys, b"block").await, Some(ops));
    let length = number(&sys.m, "length of the path, from 940", 940..=979);
    let kobj = object(&sys, &vec![b'd'; length - 1]).await; // And a slash.
    sys.core.kobj(kobj, |k| k.kset = Some(kset));
    kobject_hotplug(&sys.core, kobj, KobjectAction::Add.number()).await;
    obey(&sys.m, LAW, told.get().is_none_or(|size| size >= 0), || {
        format!("for a path of {length} characters buffer_size is {}", told.get().unwrap_or_default())
    });
}
