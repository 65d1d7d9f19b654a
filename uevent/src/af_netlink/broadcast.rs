//! One message to all listeners of a group. Models that part of `net/netlink/af_netlink.c` (Linux 2.6.11), in its order.

use sim::touch::Access;
use sim::{Errno, Gfp};

use super::{RMEM, SockRef, Why, loss, netlink_lock_table, netlink_overrun, netlink_unlock_table};
use crate::skbuff::{SkBuff, Skb, expand_head, kfree_skb, skb_clone, skb_get_alone};
use crate::{Core, Fix};

/// Gives back the room that a message does not use, if that is at least half of its charge. Models `netlink_trim()`.
///
/// A shared message is cloned first. Without memory it goes on untrimmed, and five times as dear: experiment G35.
/// The charge falls by the unused bytes, the data area by less: it is rounded up.
pub async fn netlink_trim(core: &Core, skb: Skb, gfp: Gfp) -> Skb {
    let (delta, charge, users) = core.skb(skb, |s| {
        core.charge(s, None);
        (s.tail_room().cast_unsigned(), s.truesize, s.users)
    });
    if delta.wrapping_mul(2) < charge {
        return skb;
    }
    let mut skb = skb;
    if users != 1 {
        let Ok(copy) = skb_clone(core, skb, gfp).await else { return skb };
        kfree_skb(core, skb);
        skb = copy;
    }
    // The area was rounded up, the charge is not: experiment G34.
    let charge = |s: &mut SkBuff| {
        s.truesize = if core.charges_area() { core.truesize(s.end) } else { s.truesize - delta };
    };
    let _ = expand_head(core, skb, (0, -delta.cast_signed()), gfp, charge).await; // Untrimmed is good enough.
    skb
}

/// What happened to one message at one listener.
pub(super) enum Delivered {
    /// Queued; true if the queue is over its limit now.
    Yes(bool),
    /// The buffer is full, or the latch is set.
    No(Why),
}

/// Models `netlink_broadcast_deliver()`: admission is tested before charging, so a queue may exceed its limit by one.
#[inline(always)]
pub(super) fn netlink_broadcast_deliver(core: &Core, sk: SockRef, skb: Skb) -> Delivered {
    core.queue(sk, |s| {
        let rmem = RMEM.nth(s.number);
        // The latch is older than the room: experiment G27.
        if s.congested && !core.has(Fix::NoLatch) {
            return Delivered::No(Why::Latched);
        }
        core.m.touch(rmem, Access::Read);
        if !core.admits(skb, s.rmem_alloc.get(), s.rcvbuf) {
            return Delivered::No(Why::Full);
        }
        let len = core.skb(skb, |skb| {
            core.charge(skb, Some((&s.rmem_alloc, rmem)));
            skb.len
        });
        s.queue.push_back(skb);
        core.m.call("sk_data_ready", || vec![("sock", s.number.into()), ("len", len.into())], None);
        s.wait.wake_up(&core.m);
        Delivered::Yes(core.crowded(s.rmem_alloc.get(), s.rcvbuf))
    })
}

/// A broadcast on its way round the listeners.
struct Broadcast {
    skb: Skb,
    /// A copy that nobody has taken yet.
    copy: Option<Skb>,
    gfp: Gfp,
    failure: bool,
    delivered: bool,
    congested: bool,
    /// A listener's buffer was full, or latched.
    lost: bool,
}

/// One listener's turn. Models `do_one_broadcast()`.
async fn do_one_broadcast(core: &Core, sk: SockRef, b: &mut Broadcast) {
    let tried = !b.failure || core.has(Fix::OwnCopy);
    if tried && b.copy.is_none() {
        b.copy = if skb_get_alone(core, b.skb) { Some(b.skb) } else { skb_clone(core, b.skb, b.gfp).await.ok() };
        b.failure |= b.copy.is_none();
    }
    // One failed clone fails for all who come later in this broadcast, full or not: experiment G31.
    let Some(copy) = b.copy else {
        loss::lose(core, sk, if tried { Why::NoCopy } else { Why::Untried });
        return netlink_overrun(core, sk);
    };
    match netlink_broadcast_deliver(core, sk, copy) {
        Delivered::Yes(over) => {
            b.congested |= over;
            b.delivered = true;
            b.copy = None;
        }
        Delivered::No(why) => {
            loss::lose(core, sk, why);
            b.lost = true;
            netlink_overrun(core, sk);
        }
    }
}

/// Sends one message to all listeners of a group, most recently joined first. The message is given away in every case.
///
/// Models `net/netlink/af_netlink.c:netlink_broadcast()` (Linux 2.6.11).
///
/// The error-free path:
/// - trims the message ([`netlink_trim`]);
/// - gives the original to the first listener, a clone ([`site::CLONE_HEAD`](crate::site::CLONE_HEAD)) to each further one;
/// - yields if a queue went over its limit and `gfp` may sleep: the sender pays for the slow listener.
///
/// # Errors
/// - [`Errno::NoBufs`]: nobody got it, and a clone failed.
/// - [`Errno::Srch`]: nobody got it, because nobody listens or because every listener is full.
pub async fn netlink_broadcast(
    core: &Core,
    ssk: SockRef,
    skb: Skb,
    pid: i32,
    group: u32,
    gfp: Gfp,
) -> Result<(), Errno> {
    core.m.enter("netlink_broadcast", || {
        let mut args = core.skb_look(skb, |s| {
            let args = [("len", s.len), ("truesize", s.truesize), ("data_area", s.end), ("pid", pid.cast_unsigned())];
            let mut args: Vec<_> = args.into_iter().map(|(name, n)| (name, n.into())).collect();
            args.extend([("group", group.into()), ("gfp", gfp.0.into())]);
            args
        });
        args.push(("data", core.message(skb, |bytes| bytes.into())));
        args
    });
    let skb = netlink_trim(core, skb, gfp).await;
    // Nobody notes the group in the message: experiment G12.
    if core.notes_group() {
        core.skb(skb, |s| s.dst_groups = group);
    }
    netlink_lock_table(core);
    let protocol = core.address(ssk, |s| s.protocol);
    let mut b = Broadcast { skb, copy: None, gfp, failure: false, delivered: false, congested: false, lost: false };
    let mut next = 0;
    // The list keeps still: whoever wants to change it waits in netlink_table_grab().
    while let Some(sk) = core.table_look(protocol, |t| t.mc_list.get(next).copied()) {
        next += 1;
        if sk != ssk
            && core.address(sk, |s| s.pid != pid && s.groups & group != 0 && !s.filters_forks && core.reaches(s))
        {
            sim::point!(core.m);
            do_one_broadcast(core, sk, &mut b).await;
        }
    }
    netlink_unlock_table(core);
    if let Some(copy) = b.copy {
        kfree_skb(core, copy);
    }
    kfree_skb(core, skb);
    // The sender pays for the slow listener: experiment G33.
    if b.delivered && b.congested && gfp.may_wait() && !core.has(Fix::NoYield) {
        core.m.call("yield", Vec::new, None);
        if let Some(yields) = &mut *core.netlink.yields.borrow_mut() {
            yields.push((core.m.step(), core.m.lane_name()));
        }
        core.m.yield_now().await;
    }
    let result = match b {
        // Who lost it for want of room is told to nobody: experiment G30.
        Broadcast { lost: true, .. } if core.has(Fix::ToldLoss) => Err(Errno::NoBufs),
        Broadcast { delivered: true, .. } => Ok(()),
        Broadcast { failure: true, .. } if core.tells_failed_clone() => Err(Errno::NoBufs),
        _ => Err(Errno::Srch),
    };
    core.m.leave("netlink_broadcast", Some(sim::errno::Rc::rc(&result)));
    result
}
