//! Who pays, and how much.

use super::{Exhibit, Mended};
use crate::property::{self, Case};

pub(super) const P2: Exhibit = Exhibit {
    id: "P2",
    property: &property::cost::P2,
    remark: 0,
    title: "a socket that exists is taken for a listener",
    says: "To ask whether the kernel's socket is there asks whether the machine has booted: with nobody bound each event is built as before.",
    case: Case::of("nobody"),
    design: "gate=socket",
    mended: Mended::By("gate=has-listeners"),
};

pub(super) const P8A: Exhibit = Exhibit {
    id: "P8a",
    property: &property::cost::P8,
    remark: 0,
    title: "a kobject's event is too big a thing for two numbers",
    says: "A path, an environment, a message of 1,024 bytes and its copy of the right size, to say two pids. The connector's message is one buffer.",
    case: Case::of("one-fork"),
    design: "",
    mended: Mended::By("format=connector-ascii"),
};

pub(super) const P8B: Exhibit = Exhibit {
    id: "P8b",
    property: &property::cost::P8,
    remark: 0,
    title: "with keys it is bigger still",
    says: "As a uevent should look, with keys: 32 slots, 1,024 bytes of environment, the path, and then the message. The struct has room for thread ids as well, in one buffer.",
    case: Case::of("one-fork"),
    design: "format=keys",
    mended: Mended::By("format=connector-struct"),
};

pub(super) const P13: Exhibit = Exhibit {
    id: "P13",
    property: &property::cost::P13,
    remark: 0,
    title: "one lock is taken by every CPU at every fork",
    says: "Numbers under one spinlock: who forks while another CPU draws its number stands before the lock. A count for each CPU needs no lock.",
    case: Case::of("neighbours"),
    design: "sequence=locked format=connector-struct",
    mended: Mended::By("sequence=per-cpu format=connector-struct"),
};

pub(super) const P24: Exhibit = Exhibit {
    id: "P24",
    property: &property::cost::P24,
    remark: 0,
    title: "a congested listener makes the sender yield",
    says: "When a message takes a listener over its limit the sender yields, so that the listener may read. Here the sender is somebody else's fork, and it waits until all others have had their turn.",
    case: Case::of("slow-listener"),
    design: "",
    mended: Mended::By("delivery=deferred"),
};

pub(super) const P25A: Exhibit = Exhibit {
    id: "P25a",
    property: &property::cost::P8,
    remark: 0,
    title: "deferral adds to the cost that it moves",
    says: "The fork pays for a small node only, and the worker for all the rest: fewer steps in the fork, more in all, and the node beside the message.",
    case: Case::of("one-fork"),
    design: "format=connector-struct delivery=deferred",
    mended: Mended::By("format=connector-struct"),
};

pub(super) const P25B: Exhibit = Exhibit {
    id: "P25b",
    property: &property::cost::P25,
    remark: 0,
    title: "deferred events pile up without a bound",
    says: "A task that forks again before the worker had its turn leaves a second node in the list, and so on: nothing bounds it but memory.",
    case: Case::of("twice"),
    design: "format=connector-struct delivery=deferred",
    mended: Mended::By("format=connector-struct"),
};

pub(super) const P25C: Exhibit = Exhibit {
    id: "P25c",
    property: &property::cost::P25,
    remark: 0,
    title: "without memory for its node a deferred event is lost at once",
    says: "The node is asked for atomically, where the message of the worker could have waited for memory. What fails there is lost, and nobody is told.",
    case: Case::of("one-fork").with_faults(1),
    design: "format=connector-struct delivery=deferred",
    mended: Mended::By("format=connector-struct"),
};

pub(super) const P26: Exhibit = Exhibit {
    id: "P26",
    property: &property::cost::P26,
    remark: 0,
    title: "one packet is sent for each fact",
    says: "Two events that lie ready for one listener are two buffers and two receives. A worker that sends all that waits as one datagram makes it one of each; where it comes between two forks there are two all the same.",
    case: Case::of("burst"),
    design: "",
    mended: Mended::By("format=connector-struct delivery=batched"),
};
