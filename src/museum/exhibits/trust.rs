//! P28: who may listen, who may speak, and where.

use super::{Exhibit, Mended};
use crate::property::{Case, trust};

/// Who may listen.
pub(super) const P28A: Exhibit = Exhibit {
    id: "P28a",
    property: &trust::P28,
    remark: 0,
    title: "any process may ask for signals",
    says: "The Relay Fork Module signals whoever registers, and asks for no capability. To join a multicast group of netlink \
           takes CAP_NET_ADMIN.",
    case: Case::of("unprivileged"),
    design: "delivery=signal",
    mended: Mended::By("delivery=broadcast"),
};

/// Who may speak.
pub(super) const P28B: Exhibit = Exhibit {
    id: "P28b",
    property: &trust::P28,
    remark: 1,
    title: "a listener believes whoever sends it something",
    says: "To a single port any process may send. udevd did not look who had sent a uevent, and made devices for everybody \
           (CVE-2009-1185). The sender's port id, 0 for the kernel, tells.",
    case: Case::of("forged"),
    design: "",
    mended: Mended::Otherwise("a listener that looks at the sender's port id", Case::of("forged-checked"), ""),
};

/// Where.
pub(super) const P28C: Exhibit = Exhibit {
    id: "P28c",
    property: &trust::P28,
    remark: 2,
    title: "uevents reach every network namespace",
    says: "Until 2018 a uevent went to the listeners of all network namespaces, so that a container heard of devices, and \
           here of host pids, that are none of its business.",
    case: Case::of("namespace"),
    design: "",
    mended: Mended::Otherwise("uevents stay in the network namespace of their device", Case::of("namespace-kept"), ""),
};
