//! G10: one put too many on the static object.

use std::rc::Rc;

use fork_model::System;
use fork_model::init::boot;
use uevent::Fix;
use uevent::kobject::{kobject_get, kobject_put};
use uevent::kobject_uevent::kobject_fork;

use super::super::experiment::Experiment;
use super::stage::{alone, granted, judged_on_the_way, kernel, pick};

/// Whoever puts the patch's static object takes its name, and the next fork dies.
///
/// The object has one reference, no type and no release function. A put brings the count to 0, and cleanup clears the
/// name pointer of memory that stays in use: the next fork event measures the path and follows NULL, in the forking
/// process. In later kernels cleanup calls an
/// object without a release function broken, and static kobjects are documented as wrong.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "G10",
    title: "a put on the static fork_kobj makes every later fork oops",
    says: "fork_kobj lies in static memory with one reference. One kobject_put() too many cleans it up: its name pointer \
           becomes NULL, though the object goes on being used, and the next fork event follows that pointer.",
    source: "lib/kobject.c: kobject_cleanup()",
    mended_by: "here: an object without a release function is static: its last reference cannot be put",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::StaticObject),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

#[derive(Clone, Copy)]
enum Does {
    Nothing,
    Get,
    Put,
}

/// Three times somebody may take or give a reference; then a process forks.
async fn story(sys: Rc<System>) {
    granted(&sys.m, boot(&sys)).await.expect("no failure was asked for");
    let kobj = sys.fork_kobj.get().expect("booted");
    for _ in 0..3 {
        match pick(&sys.m, "fork_kobj: nothing, get, put", &[Does::Nothing, Does::Get, Does::Put]) {
            Does::Nothing => {}
            Does::Get => drop(kobject_get(&sys.core, Some(kobj))),
            Does::Put => kobject_put(&sys.core, kobj),
        }
    }
    kobject_fork(&sys.core, kobj, 100, 101).await;
}
