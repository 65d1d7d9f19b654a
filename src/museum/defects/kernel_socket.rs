//! G26: the kernel socket is released after it was freed.

use std::rc::Rc;

use fork_model::System;
use uevent::Fix;
use uevent::af_netlink::netlink_proto_init;
use uevent::kobject_uevent::kobject_uevent_init;

use super::super::experiment::Experiment;
use super::stage::{alone, granted, judged_on_the_way, kernel, pick};

/// `netlink_create()` frees the sock whose private part it could not allocate, and leaves the socket pointing at it.
///
/// The caller, `netlink_kernel_create()`, then releases the socket, and `netlink_release()` walks into freed memory: at
/// boot, in the uevent initcall, when 64 bytes are missing. Later kernels allocate both parts at once.
///
/// Tried: each allocation of the initcall fails, and the inode of the socket.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "G26",
    title: "without memory for its private part the kernel socket is used after it was freed",
    says: "If the private part of a netlink socket cannot be allocated, netlink_create() frees the sock but leaves the socket \
           pointing at it. netlink_kernel_create() then releases that socket, and so the freed sock once more.",
    source: "net/netlink/af_netlink.c: netlink_create()",
    mended_by: "the error path leaves no pointer to the sock that it frees; later both parts are one allocation",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::FailedSocket),
    faults: 1,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    granted(&sys.m, netlink_proto_init(&sys.core)).await;
    sys.core.fail_sock_create_lite(pick(&sys.m, "sock_create_lite: works, fails", &[false, true]));
    // -ENODEV is an honest answer.
    let _ = kobject_uevent_init(&sys.core).await;
}
