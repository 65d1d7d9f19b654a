//! G15: an environment that is larger than its message panics.

use std::rc::Rc;

use fork_model::System;
use sim::Gfp;
use uevent::Fix;
use uevent::kobject_uevent::send_uevent;

use super::super::experiment::Experiment;
use super::stage::{alone, initcalls, judged_on_the_way, kernel, number};

/// The message has room for 1,024 bytes and what the rounding adds; more is a BUG, not an error.
///
/// `send_uevent()` allocates header + 1,024, rounded up to the cache line, and copies the environment unchecked: 1,024 to
/// 1,087 bytes fit, by the length of the header; one more is `skb_over_panic()`, with all memory of the event lost.
/// In later kernels the message is allocated as large as the environment.
///
/// Tried: paths of 2 to 4 bytes, environments of 1,060 to 1,090 bytes.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "G15",
    title: "one byte of environment too many panics",
    says: "send_uevent() makes room for 1,024 bytes of environment plus whatever rounding to the cache line happens to add, \
           and copies without looking. An environment that is larger ends in skb_over_panic(): a BUG, not an error.",
    source: "lib/kobject_uevent.c: send_uevent()",
    mended_by: "the message is allocated as large as its environment, as in later kernels",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::FitMessage),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    initcalls(&sys).await;
    let path = [b"/", &b"sda"[..number(&sys.m, "length of the object's name", 1..=3)]].concat();
    let bytes = number(&sys.m, "bytes of environment, from 1060", 1060..=1090);
    let variable = vec![b'x'; bytes - 1]; // Its NUL is sent, too.
    let slots = [Some(&b"HOME=/"[..]), Some(b"PATH=/bin"), Some(&variable), None];
    // Nobody listens: what it answers is not of interest.
    let _ = send_uevent(&sys.core, b"add", &path, Some(&slots), Gfp::KERNEL).await;
}
