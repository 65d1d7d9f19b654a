//! G34: a trimmed message is charged less than it takes.

use std::rc::Rc;

use fork_model::System;
use sim::Law;
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{alone, change, initcalls, judged_on_the_way, kernel, listener, obey, object, pick};

const LAW: Law =
    Law { id: "G34", sentence: "a listener is charged at least for the sk_buff and the data area that it holds" };

/// The charge falls by the unused bytes, the area by fewer.
///
/// The trimmed area is rounded up to the cache line, `truesize` is reduced by the whole tail: a message of 24 bytes is
/// charged 256 and takes 296. More memory waits at a listener than its limit says.
///
/// Tried: messages of 64 bytes, 12, 40 and 65; one allocation fails.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a trimmed message is charged less than it takes",
    says: "netlink_trim() rounds the smaller area up to the cache line, and lowers the charge as if it had not. A listener may \
           hold more memory than its limit says.",
    source: "net/netlink/af_netlink.c: netlink_trim()",
    mended_by: "here: the charge falls by as much as the area does",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::ChargeArea),
    faults: 1,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    initcalls(&sys).await;
    // The message is change@/NAME and a NUL.
    let length = pick(&sys.m, "bytes of message: 64, 12, 40, 65", &[64, 12, 40, 65]) - b"change@/\0".len();
    let kobj = object(&sys, &vec![b'd'; length]).await;
    let sock = listener(&sys, 500, None).await;
    // Who did not get it pays nothing.
    let _ = change(&sys, kobj).await;
    for skb in sys.core.sock(sock, |s| s.queue.clone()) {
        let (len, truesize, area) = sys.core.skb(skb, |skb| (skb.len, skb.truesize, skb.end));
        let takes = sys.core.config.sizeof_sk_buff + area;
        obey(&sys.m, LAW, truesize >= takes, || {
            format!("a message of {len} bytes takes {takes}, and is charged {truesize}")
        });
    }
}
