//! G22: a kset is asked about an event that will not be.

use std::cell::Cell;
use std::rc::Rc;

use fork_model::System;
use sim::Law;
use uevent::Fix;
use uevent::kobject_uevent::{HotplugOps, action_to_string, kobject_hotplug};

use super::super::experiment::Experiment;
use super::stage::{alone, initcalls, judged_on_the_way, kernel, obey, object, pick};

const LAW: Law = Law { id: "G22", sentence: "a kset is asked about an event only if the action has a name" };

/// The filter operation is asked before the action is looked up.
///
/// A filter may keep account of what it lets through; for an unknown action nothing goes through, and it is not told.
///
/// Tried: all known actions, and some that are none; a filter that says yes or no.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a filter is asked about an action that does not exist",
    says: "kobject_hotplug() asks the kset's filter before it looks up the action. For a number that is no action the filter \
           answers for an event that can never be sent, and is not told what became of it.",
    source: "lib/kobject_uevent.c: kobject_hotplug()",
    mended_by: "here: the action is looked up first",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::ActionFirst),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    initcalls(&sys).await;
    let asked = Rc::new(Cell::new(false));
    let answer = pick(&sys.m, "the filter says no, yes", &[0, 1]);
    let filter = {
        let asked = asked.clone();
        move |_, _| {
            asked.set(true);
            answer
        }
    };
    let ops = HotplugOps { filter: Some(Box::new(filter)), ..HotplugOps::default() };
    let kset = sys.core.new_kset(object(&sys, b"block").await, Some(ops));
    let kobj = object(&sys, b"sda").await;
    sys.core.kobj(kobj, |k| k.kset = Some(kset));
    let action = pick(&sys.m, "action: 1 to 8, then unknown ones", &[1, 2, 3, 4, 5, 6, 7, 8, 0, -1, 9, 10]);
    kobject_hotplug(&sys.core, kobj, action).await;
    obey(&sys.m, LAW, !asked.get() || action_to_string(action).is_some(), || {
        format!("the filter was asked about action {action}, and said {answer}")
    });
}
