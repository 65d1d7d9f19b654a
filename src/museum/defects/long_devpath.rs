//! G16: nothing bounds the path of a hotplug event.

use std::rc::Rc;

use fork_model::System;
use uevent::Fix;
use uevent::kobject_uevent::{KobjectAction, kobject_hotplug};

use super::super::experiment::Experiment;
use super::stage::{alone, initcalls, judged_on_the_way, kernel, number, object, pick};

/// `DEVPATH` and `SUBSYSTEM` are printed into 1,024 bytes, however long they are.
///
/// With `add` and `block` a path of 979 characters fits, 980 writes one byte past the buffer, and so on. Up to 999 the
/// event is even delivered; from 1,000 on the message panics, or not, by rounding (G15). In later kernels every variable is
/// added with a bound, and the event is refused if one does not fit.
///
/// Tried: kset names of 5, 10 and 19 characters, paths of 970 to 1,040.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "G16",
    title: "a long path is written past the end of its buffer",
    says: "kobject_hotplug() prints DEVPATH and SUBSYSTEM into a buffer of 1,024 bytes and asks neither for its length. \
           From 980 characters on (in block) it writes over what lies behind, and may still deliver the event.",
    source: "lib/kobject_uevent.c: kobject_hotplug()",
    mended_by: "each variable is written with a bound, and an event that does not fit is refused: add_uevent_var() of later kernels",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::BoundHotplug),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

const SUBSYSTEMS: [&[u8]; 3] = [b"block", b"scsi_host_", b"ieee1394_protocol_x"];

async fn story(sys: Rc<System>) {
    initcalls(&sys).await;
    let subsystem = pick(&sys.m, "length of the kset's name: 5, 10, 19", &SUBSYSTEMS);
    let kset = sys.core.new_kset(object(&sys, subsystem).await, None);
    let length = number(&sys.m, "length of the path, from 970", 970..=1040);
    let kobj = object(&sys, &vec![b'd'; length - 1]).await; // And a slash.
    sys.core.kobj(kobj, |k| k.kset = Some(kset));
    kobject_hotplug(&sys.core, kobj, KobjectAction::Add.number()).await;
}
