//! G29: a listener pays more than its buffer holds.

use std::rc::Rc;

use fork_model::System;
use sim::Law;
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{alone, change, judged_on_the_way, kernel, listener, obey, pick, up_with_an_object};

const LAW: Law = Law { id: "G29", sentence: "a listener is never charged more than its receive buffer" };

/// Admission is tested before the charge.
///
/// A queue that is exactly full, or one byte below, takes one more message, of any size. So it stayed in later
/// kernels, and on purpose: else a buffer smaller than a message would get none.
///
/// Tried: buffers of 2,000, 500 and 256 bytes, one to nine messages of 244.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a full receive buffer takes one more message",
    says: "Whether a listener has room is asked before the message is charged: used bytes may equal the limit, and one more \
           message comes in, however large.",
    source: "net/netlink/af_netlink.c: netlink_broadcast_deliver()",
    mended_by: "here: the message's own charge is counted, too",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::ChargeFirst),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let kobj = up_with_an_object(&sys).await;
    let sock = listener(&sys, 500, Some(pick(&sys.m, "SO_RCVBUF: 1000, 250, 0", &[1000, 250, 0]))).await;
    for _ in 0..pick(&sys.m, "messages: 1 to 9", &[1, 2, 3, 4, 5, 6, 7, 8, 9]) {
        // Whether it was queued is seen in the charge.
        let _ = change(&sys, kobj).await;
    }
    let (rmem, rcvbuf) = sys.core.sock(sock, |s| (s.rmem_alloc.get(), s.rcvbuf));
    obey(&sys.m, LAW, rmem <= rcvbuf, || format!("the listener is charged {rmem} bytes of {rcvbuf}"));
}
