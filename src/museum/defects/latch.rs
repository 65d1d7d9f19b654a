//! G27: a listener that has room is passed over.

use std::rc::Rc;

use fork_model::System;
use sim::Law;
use uevent::Fix;
use uevent::af_netlink::{msg, netlink_recvmsg};

use super::super::experiment::Experiment;
use super::stage::{
    alone, change, has_room, judged_on_the_way, kernel, listener, obey, pick, queued, up_with_an_object,
};

const LAW: Law = Law { id: "G27", sentence: "a listener that has room gets the message" };

/// One lost message closes the queue until it is empty.
///
/// A delivery that fails sets a bit, and while it is set nothing is delivered, also when the listener has read all but one
/// of its messages. Only a receive that leaves the queue empty clears it. So it is to this day
/// (`NETLINK_S_CONGESTED`): it saves work for a listener that is lost anyway, and makes it lose more.
///
/// Tried: a buffer that takes two messages, and all lists of seven commands, receive or send.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "after a loss a listener with room goes on losing",
    says: "A message that does not fit latches the socket: nothing more is delivered until a receive finds the queue empty, \
           however much room there is. A listener that reads all but one of its messages still gets none.",
    source: "net/netlink/af_netlink.c: netlink_overrun()",
    mended_by: "here: only a full buffer keeps a message back; later kernels keep the latch",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::NoLatch),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    let kobj = up_with_an_object(&sys).await;
    let sock = listener(&sys, 500, Some(0)).await; // The smallest: 256 bytes.
    for _ in 0..7 {
        if pick(&sys.m, "receive, send", &[false, true]) {
            let (room, before) = (has_room(&sys, sock), queued(&sys, sock));
            // What it says is G30.
            let _ = change(&sys, kobj).await;
            obey(&sys.m, LAW, !room || queued(&sys, sock) > before, || {
                let (rmem, rcvbuf) = sys.core.sock(sock, |s| (s.rmem_alloc.get(), s.rcvbuf));
                format!("the listener uses {rmem} of {rcvbuf} bytes, and did not get the message")
            });
        } else {
            // Nothing there, or the error of an overrun: also an answer.
            let _ = netlink_recvmsg(&sys.core, sock, &mut Vec::new(), 4096, msg::DONTWAIT).await;
        }
    }
}
