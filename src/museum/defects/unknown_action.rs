//! G14: an unknown action leaks the path.

use std::rc::Rc;

use fork_model::System;
use sim::{Gfp, Law};
use uevent::Fix;
use uevent::kobject_uevent::{kobject_uevent, kobject_uevent_atomic};

use super::super::experiment::Experiment;
use super::stage::{alone, initcalls, judged_on_the_way, kernel, obey, object, pick};
use crate::lab::report::plural;

const LAW: Law = Law { id: "G14", sentence: "kobject_uevent() gives back all it took, whatever it returns" };

/// The path is allocated before the action is looked up, and forgotten if there is no such action.
///
/// It returns -EINVAL and leaks as many bytes as the path has.
///
/// Tried: all known actions, then 0, -1 and 9 to 12; with and without an attribute; both callers; one allocation fails.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "an unknown action leaks the path",
    says: "do_kobject_uevent() computes the path first and looks up the action second. For a number that is no action it \
           returns -EINVAL and never frees the path.",
    source: "lib/kobject_uevent.c: do_kobject_uevent()",
    mended_by: "here: the action is looked up first",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::ActionFirst),
    faults: 1,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

/// The eight that have a string, then those that have none.
const ACTIONS: [i32; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 0, -1, 9, 10, 11, 12];

async fn story(sys: Rc<System>) {
    initcalls(&sys).await;
    let kobj = object(&sys, b"sda").await;
    let attr = pick(&sys.m, "attribute: none, size", &[None, Some(&b"size"[..])]);
    let gfp = pick(&sys.m, "kobject_uevent, kobject_uevent_atomic", &[Gfp::KERNEL, Gfp::ATOMIC]);
    let action = pick(&sys.m, "action: 1 to 8, then unknown ones", &ACTIONS);
    let before = sys.live();
    let result = if gfp == Gfp::KERNEL {
        kobject_uevent(&sys.core, kobj, action, attr).await
    } else {
        kobject_uevent_atomic(&sys.core, kobj, action, attr).await
    };
    let kept: Vec<_> =
        sys.live_since(&before).iter().map(|e| format!("{} of {}", plural(e.size.into(), "byte"), e.site)).collect();
    obey(&sys.m, LAW, kept.is_empty(), || {
        let answer = sim::errno::Rc::rc(&result);
        format!("kobject_uevent() for action {action} returned {answer} and kept {}", kept.join(", "))
    });
}
