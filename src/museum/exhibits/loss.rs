//! What is lost, and who learns of it.

use super::{Exhibit, Mended};
use crate::property::{self, Case};

pub(super) const P21: Exhibit = Exhibit {
    id: "P21",
    property: &property::loss::P21,
    remark: 0,
    title: "forks of the boot build their events for nobody",
    says: "The socket is made by an initcall, long after the first forks. Path and environment are built, and send_uevent() then finds no socket: -EIO, which nobody sees.",
    case: Case::of("boot-early"),
    design: "",
    mended: Mended::By("gate=socket"),
};

pub(super) const P22A: Exhibit = Exhibit {
    id: "P22a",
    property: &property::loss::P22,
    remark: 0,
    title: "a message that could not be made is lost without a word",
    says: "kobject_fork() returns nothing: without memory for path, environment or message the fork succeeds, and neither it nor any listener learns of the loss.",
    case: Case::of("one-fork").with_faults(1),
    design: "",
    mended: Mended::Not(
        "every design that history tried drops what the sender is told, and a listener cannot miss what was never numbered, or was the last",
    ),
};

pub(super) const P22B: Exhibit = Exhibit {
    id: "P22b",
    property: &property::loss::P22,
    remark: 1,
    title: "the connector drops its errors, too",
    says: "With fewer allocations there is less to fail, but proc_fork_connector() returns nothing either, and says so in a comment. A number shows a gap only when another event follows.",
    case: Case::of("one-fork").with_faults(1),
    design: "gate=has-listeners sequence=per-cpu format=connector-struct",
    mended: Mended::Not(
        "as for the patch: no design tells the forking task, and a gap in the numbers needs a later event",
    ),
};

pub(super) const P23A: Exhibit = Exhibit {
    id: "P23a",
    property: &property::loss::P23,
    remark: 0,
    title: "an overrun sticks until the queue is drained",
    says: "Once a listener has lost a message it gets no other before it has read its queue empty, whatever room it has (G27 mends the kernel).",
    case: Case::of("two-late").with_faults(1),
    design: "",
    mended: Mended::Not("no design of the notification mends it: it is netlink's own way; G27 and G31 mend the kernel"),
};

pub(super) const P23B: Exhibit = Exhibit {
    id: "P23b",
    property: &property::loss::P23,
    remark: 0,
    title: "one failed copy marks all later listeners overrun",
    says: "When the copy for one listener fails, none is tried for those behind it in the list, and each is marked as overrun (G31 mends the kernel). Each signal is an allocation of its own.",
    case: Case::of("three-listeners").with_faults(1),
    design: "",
    mended: Mended::Not("no design of the notification mends it: it is netlink's own way; G27 and G31 mend the kernel"),
};
