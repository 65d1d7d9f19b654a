//! G19: a variable that does not fit spoils those that would.

use std::rc::Rc;

use fork_model::System;
use sim::{Gfp, Law};
use uevent::Fix;
use uevent::kobject_uevent::{HotplugEnv, add_hotplug_env_var};
use uevent::site;
use uevent::vsprintf::Arg;

use super::super::experiment::Experiment;
use super::stage::{alone, judged_on_the_way, kernel, obey, pick};

const LAW: Law =
    Law { id: "G19", sentence: "a variable is added if those that were added before left a slot and room for it" };

/// A failed `add_hotplug_env_var()` has used the room all the same.
///
/// It advances the length by what would have been written, past the end, but not the slot, which points at a truncated
/// copy. From then on every add fails, also of a variable that would fit. Later kernels advance on success only.
///
/// Tried: three variables of 3 to 39 characters into 32 bytes and three slots.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "after a variable that does not fit nothing fits any more",
    says: "add_hotplug_env_var() advances the used length before it knows whether the variable fits, and leaves it there when \
           it returns -ENOMEM. A shorter variable that would fit is then refused, too.",
    source: "lib/kobject_uevent.c: add_hotplug_env_var()",
    mended_by: "a variable that does not fit changes neither the length nor the slot",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::FailedVariable),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

const ROOM: usize = 32;
/// With the one that stays NULL.
const SLOTS: usize = 3;

async fn story(sys: Rc<System>) {
    let size = u32::try_from(ROOM).expect("32");
    let buffer = sys.m.kmalloc(site::HOTPLUG_BUFFER, size, Gfp::KERNEL).await.expect("no failure was asked for");
    let mut slots = vec![None; SLOTS];
    let sizes = (i32::try_from(SLOTS).expect("3"), size.cast_signed());
    let mut env = HotplugEnv::new(&sys.core, buffer, 0, &mut slots, sizes);
    let (mut cur_index, mut cur_len) = (0, 0);
    let mut added = Vec::new();
    for _ in 0..3 {
        let length = pick(&sys.m, "length of a variable: 3, 9, 19, 31, 32, 39", &[3, 9, 19, 31, 32, 39]);
        let text = vec![b'v'; length];
        let needs = length + 1; // And a NUL.
        let fits = added.len() + 1 < SLOTS && added.iter().sum::<usize>() + needs <= ROOM;
        let result = add_hotplug_env_var(&mut env, &mut cur_index, &mut cur_len, b"%s", &[Arg::Str(&text)]);
        obey(&sys.m, LAW, fits == result.is_ok(), || {
            let used: usize = added.iter().sum();
            let what = if result.is_ok() { "taken" } else { "refused" };
            format!("{needs} bytes for a variable were {what}, {used} of {ROOM} were used: cur_len is {cur_len}")
        });
        if result.is_ok() {
            added.push(needs);
        }
    }
    sys.m.kfree(buffer, "the story");
}
