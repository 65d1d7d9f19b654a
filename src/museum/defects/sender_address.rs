//! G12: the sender's address names no group.

use std::rc::Rc;

use fork_model::System;
use sim::Law;
use uevent::Fix;
use uevent::af_netlink::{Caller, NETLINK_KOBJECT_UEVENT, msg, netlink_bind, netlink_create, netlink_recvmsg};

use super::super::experiment::Experiment;
use super::stage::{alone, change, granted, judged_on_the_way, kernel, obey, pick, up_with_an_object};

const LAW: Law = Law {
    id: "G12",
    sentence: "the sender's address names a group that the listener has joined, if a group was sent to",
};

/// A broadcast of the kernel leaves the groups in its control block at zero.
///
/// The listener's `recvfrom()` says port id 0 and groups 0, as for a message to itself alone. A listener that checks by
/// the address that it got a broadcast of the kernel cannot. In later kernels the group is in the message.
///
/// Tried: listeners of no group, of another one, of group 1 and of several.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "the address of an event names no group",
    says: "A uevent is sent to group 1, but nobody writes that into the message's control block: the listener reads a sender \
           with port id 0 and groups 0, as if the message had been sent to it alone.",
    source: "lib/kobject_uevent.c: send_uevent()",
    mended_by: "the broadcast notes its group in the message, as in later kernels",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::SenderGroup),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let kobj = up_with_an_object(&sys).await;
    let joined = pick(&sys.m, "groups of the listener: 0, 2, 1, 3, 0xffffffff", &[0, 2, 1, 3, u32::MAX]);
    let sock = granted(&sys.m, netlink_create(&sys.core, NETLINK_KOBJECT_UEVENT)).await.expect("there is memory");
    netlink_bind(&sys.core, sock, Caller { pid: 500, net_admin: true }, 0, joined).await.expect("nobody else is there");
    // Whether anybody listens is seen at the listener.
    let _ = change(&sys, kobj).await;
    let Ok(received) = netlink_recvmsg(&sys.core, sock, &mut Vec::new(), 4096, msg::DONTWAIT).await else { return };
    obey(&sys.m, LAW, received.from_groups & joined != 0, || {
        format!("the listener has joined {joined:#x}, the sender's address says groups {:#x}", received.from_groups)
    });
}
