//! The connector, a kernel socket that many can send through. Models `drivers/connector/connector.c` as it was in 2005.
//!
//! DIFFERENCE: a sender names its multicast groups; the kernel can also find them from the id of a registered callback.

use sim::{Errno, Gfp};

use crate::Core;
use crate::af_netlink::{SockRef, netlink_broadcast, netlink_kernel_create};
use crate::skbuff::{alloc_skb, skb_put};
use crate::wire::connector::emit;

/// `NETLINK_CONNECTOR`.
pub const NETLINK_CONNECTOR: usize = 11;

/// Creates the connector's kernel socket. Models `cn_init()`, an initcall.
///
/// # Errors
/// [`Errno::Io`] if it cannot be created; then it stays so for ever, and [`cn_netlink_send`] refuses.
pub async fn cn_init(core: &Core) -> Result<(), Errno> {
    let sock = netlink_kernel_create(core, NETLINK_CONNECTOR).await;
    core.netlink.cn_sock.set(sock);
    sock.map(|_| ()).ok_or(Errno::Io)
}

/// Sends one connector message to the listeners of the groups.
///
/// Models `cn_netlink_send()`.
///
/// The error-free path:
/// - allocates one skb of exactly the message ([`crate::site::SKB_HEAD`], [`crate::site::SKB_DATA`]): it is never trimmed
///   by half, so that no second data area is allocated;
/// - writes `nlmsghdr`, `cn_msg` and the payload;
/// - broadcasts it and gives the skb away.
///
/// # Errors
/// - [`Errno::Io`]: the connector has no socket (yet); nothing was allocated. DIFFERENCE: the kernel follows a NULL pointer;
///   its callers check `cn_already_initialized`.
/// - [`Errno::NoMem`]: the skb could not be allocated.
/// - those of [`netlink_broadcast`].
pub async fn cn_netlink_send(
    core: &Core,
    (id, seq): ((u32, u32), u32),
    data: &[u8],
    groups: u32,
    gfp: Gfp,
) -> Result<(), Errno> {
    core.m.enter("cn_netlink_send", || vec![("seq", seq.into()), ("groups", groups.into()), ("data", data.into())]);
    let result = send(core, (id, seq), data, groups, gfp).await;
    core.m.leave("cn_netlink_send", Some(sim::errno::Rc::rc(&result)));
    result
}

async fn send(core: &Core, (id, seq): ((u32, u32), u32), data: &[u8], groups: u32, gfp: Gfp) -> Result<(), Errno> {
    let Some(sock) = core.cn_sock() else { return Err(Errno::Io) };
    let mut message = core.scratch();
    emit(&mut message, id, seq, 0, data);
    let skb = alloc_skb(core, u32::try_from(message.len()).expect("payloads are small"), gfp).await?;
    skb_put(core, skb, &[&message]).await;
    drop(message);
    netlink_broadcast(core, sock, skb, 0, groups, gfp).await
}

impl Core {
    /// The connector's kernel socket.
    #[must_use]
    pub fn cn_sock(&self) -> Option<SockRef> {
        self.netlink.cn_sock.get()
    }
}
