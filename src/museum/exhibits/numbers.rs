//! P11, P12, P14: what the numbers of events are good for.

use super::{Exhibit, Mended};
use crate::property::{Case, numbers};

/// No number.
pub(super) const P11: Exhibit = Exhibit {
    id: "P11",
    property: &numbers::P11,
    remark: 0,
    title: "without a number a lost event leaves no gap",
    says: "One allocation of the second of three forks fails: the listener hears of the first and the third, and cannot \
           tell. -ENOBUFS is told for want of room in its own buffer only. With a number, drawn before anything can fail, \
           it sees the gap.",
    case: Case::of("three-forks").with_faults(1),
    design: "",
    mended: Mended::By("sequence=locked format=connector-struct"),
};

/// The same number twice.
pub(super) const P12: Exhibit = Exhibit {
    id: "P12",
    property: &numbers::P12,
    remark: 0,
    title: "two CPUs draw the same number",
    says: "The fork connector's counter was read and then written, without a lock: Jay Lan saw duplicate numbers.",
    case: Case::of("two-forks"),
    design: "sequence=unlocked format=connector-ascii",
    mended: Mended::By("sequence=locked format=connector-ascii"),
};

/// Each CPU for itself.
pub(super) const P14A: Exhibit = Exhibit {
    id: "P14a",
    property: &numbers::P14,
    remark: 0,
    title: "counters of each CPU do not order two CPUs",
    says: "With a counter for each CPU nobody waits for anybody, and the forks of two CPUs cannot be put in order. Only a \
           number that is drawn and sent under one lock, as the hook under tasklist_lock does it, tells the order.",
    case: Case::of("two-forks"),
    design: "hook=before-wake sequence=per-cpu format=connector-struct",
    mended: Mended::By("hook=locked sequence=locked format=connector-ascii"),
};

/// Drawn first, sent last.
pub(super) const P14B: Exhibit = Exhibit {
    id: "P14b",
    property: &numbers::P14,
    remark: 0,
    title: "a number is drawn before the send, and arrives behind a later one",
    says: "The lock guards the counter, not the way from it to the socket: another CPU draws the next number and sends it \
           first.",
    case: Case::of("two-forks"),
    design: "hook=before-wake sequence=locked format=connector-struct",
    mended: Mended::By("hook=locked sequence=locked format=connector-ascii"),
};
