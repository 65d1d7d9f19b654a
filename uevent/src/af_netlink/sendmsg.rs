//! A process speaks: `sendmsg()` of a netlink socket, to one port or to groups.
//!
//! No vector covers it: DIFFERENCE: a full receiver answers -EAGAIN at once, as with `MSG_DONTWAIT`, and credentials are
//! the sender's port id alone.

use sim::{Errno, Gfp};

use super::broadcast::{Delivered, netlink_broadcast_deliver};
use super::loss::refuse;
use super::{Caller, SockRef, netlink_autobind, netlink_broadcast};
use crate::Core;
use crate::era::netlink_alloc_large_skb;
use crate::skbuff::{kfree_skb, skb_put};

/// To whom a process sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the socket with this port id.
    Port(i32),
    /// To all sockets of these groups.
    Groups(u32),
}

/// Sends a message of a process. Whoever receives it learns the sender's port id, if he looks.
///
/// Models `netlink_sendmsg()` and `netlink_unicast()`.
///
/// # Errors
/// - [`Errno::Perm`]: groups without `CAP_NET_ADMIN`. To a single port anybody may send: that is how udevd was told of
///   devices that never were (CVE-2009-1185).
/// - [`Errno::NoMem`]: no memory for the message.
/// - -ECONNREFUSED: nobody has the port.
/// - [`Errno::Again`]: the receiver is full.
/// - those of [`netlink_broadcast`].
pub async fn netlink_sendmsg(
    core: &Core,
    sk: SockRef,
    caller: Caller,
    to: Destination,
    message: &[u8],
) -> Result<(), Errno> {
    if matches!(to, Destination::Groups(_)) && !caller.net_admin {
        return Err(Errno::Perm);
    }
    if core.port_id(sk) == 0 {
        netlink_autobind(core, sk, caller).await?;
    }
    let sender = core.port_id(sk);
    let skb = netlink_alloc_large_skb(core, message.len(), matches!(to, Destination::Groups(_))).await?;
    skb_put(core, skb, &[message]).await;
    core.skb(skb, |skb| skb.sender = sender);
    let port = match to {
        Destination::Groups(groups) => {
            return netlink_broadcast(core, sk, skb, sender, core.addressed(groups), Gfp::KERNEL).await;
        }
        Destination::Port(port) => port,
    };
    let protocol = core.address(sk, |s| s.protocol);
    let receiver = core.table_look(protocol, |t| t.pids.get(&port).copied());
    let sent = receiver.map(|receiver| (receiver, netlink_broadcast_deliver(core, receiver, skb)));
    match sent {
        Some((_, Delivered::Yes(_))) => Ok(()),
        Some((receiver, Delivered::No(why))) => {
            refuse(core, receiver, why);
            kfree_skb(core, skb);
            Err(Errno::Again)
        }
        None => {
            kfree_skb(core, skb);
            Err(Errno::from_number(111)) // -ECONNREFUSED
        }
    }
}
