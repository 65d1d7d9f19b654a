//! G23: a rename that fails has renamed.

use std::cell::Cell;
use std::rc::Rc;

use fork_model::System;
use sim::{Law, Value};
use uevent::Fix;
use uevent::kobject::kobject_set_name;
use uevent::vsprintf::Arg;

use super::super::experiment::Experiment;
use super::stage::{alone, judged_on_the_way, kernel, number, obey, object, pick};

const LAW: Law = Law { id: "G23", sentence: "a rename that fails leaves the name as it was" };

/// The array is overwritten before the length of the new name is known.
///
/// `kobject_set_name()` formats into the array to learn the length. If the name needs memory and there is none (or the
/// arguments grow meanwhile, -EFAULT), it says so; an object whose name lives in the array has by then the first 19
/// characters of the new one. In later kernels a name is always memory of its own, and the old one goes last.
///
/// Tried: old names of 3, 19 and 20 characters, new ones of 18 to 22, growing or not; one allocation fails.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a rename that fails has renamed the object",
    says: "kobject_set_name() formats the new name into the object's array before it knows that it is too long for it. If \
           there is no memory for the long name, it returns -ENOMEM, and the object has the first 19 characters of it.",
    source: "lib/kobject.c: kobject_set_name()",
    mended_by: "the array is written only if the name stays in it",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::FailedRename),
    faults: 1,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let old = &b"sda_sda_sda_sda_sda_"[..pick(&sys.m, "length of the old name: 3, 19, 20", &[3, 19, 20])];
    let kobj = object(&sys, old).await;
    let new = &b"a_new_name_that_is_long"[..number(&sys.m, "length of the new name, from 18", 18..=22)];
    let grows = pick(&sys.m, "what it is formatted from stays, grows", &[0, 1]);
    let grown = [new, b"!"].concat();
    let looks = Cell::new(0);
    let args = || {
        looks.set(looks.get() + 1);
        vec![Arg::Str(if grows > 0 && looks.get() > 1 { &grown } else { new })]
    };
    let result = kobject_set_name(&sys.core, kobj, b"%s", args).await;
    let now = sys.core.name(kobj).unwrap_or_default();
    obey(&sys.m, LAW, result.is_ok() || now == old, || {
        let answer = sim::errno::Rc::rc(&result);
        format!("kobject_set_name() returned {answer}; {} is now called {}", Value::shown(old), Value::shown(&now))
    });
}
