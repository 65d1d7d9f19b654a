//! Fork events over the connector. Models `drivers/connector/cn_fork.c` (the fork connector of February 2005, never merged)
//! and `drivers/connector/cn_proc.c` (the process events connector, 2.6.15).
//!
//! Beside the two messages stand the two switches by which listeners say that they listen: [`Listening`].

use std::cell::Cell;

use sim::touch::{Access, Object};
use sim::{Errno, Gfp};

use crate::Core;
use crate::connector::cn_netlink_send;
use crate::wire::connector::{CN_FORK, CN_PROC, ForkIds, ascii_payload, struct_payload};

/// [`Listening::cn_fork_enable`], as an explorer calls it.
pub const CN_FORK_ENABLE: Object = Object::named("cn_fork_enable");
/// [`Listening::proc_event_num_listeners`], as an explorer calls it.
pub const NUM_LISTENERS: Object = Object::named("proc_event_num_listeners");

/// The switches that listeners turn, static variables of the two files.
#[derive(Clone, Debug, Default)]
pub struct Listening {
    /// `cn_fork_enable`: one flag for all. Whoever comes last decides; who dies leaves it as it is.
    pub cn_fork_enable: Cell<bool>,
    /// `proc_event_num_listeners`: how often LISTEN was said, less how often IGNORE was. It has no floor.
    pub proc_event_num_listeners: Cell<i32>,
}

/// What a listener says. Models `enum proc_cn_mcast_op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McastOp {
    /// `PROC_CN_MCAST_LISTEN`; for the fork connector, "on".
    Listen = 1,
    /// `PROC_CN_MCAST_IGNORE`; for the fork connector, "off".
    Ignore = 2,
}

/// A listener's word arrives. Models `cn_proc_mcast_ctl()`, and `cn_fork_callback()` of the fork connector.
///
/// Both switches take it; the gate of the design says which one is looked at. LISTEN adds 1 and IGNORE subtracts 1
/// whoever says it and however often: nothing ties a count to a socket.
/// DIFFERENCE: the request itself and the acknowledgement that `cn_proc_ack()` broadcasts are left out.
pub async fn cn_proc_mcast_ctl(core: &Core, op: McastOp) {
    core.m.point().await;
    let Listening { cn_fork_enable, proc_event_num_listeners } = &core.listening;
    core.m.touch(CN_FORK_ENABLE, Access::Write);
    cn_fork_enable.set(op == McastOp::Listen);
    let step = if op == McastOp::Listen { 1 } else { -1 };
    core.m.touch(NUM_LISTENERS, Access::Add);
    proc_event_num_listeners.set(proc_event_num_listeners.get() + step);
    let args = || vec![("op", (op as i32).into()), ("listeners", proc_event_num_listeners.get().into())];
    core.m.call("cn_proc_mcast_ctl", args, None);
}

/// Tells of a fork in ASCII. Models `fork_connector()` of the fork connector (February 2005).
///
/// The message is built on the stack, `"PPID CPID\0"`; one skb is allocated, with `GFP_ATOMIC`, as all of the connector
/// did at that time.
///
/// # Errors
/// Those of [`cn_netlink_send`].
pub async fn fork_connector(core: &Core, parent: i32, child: i32, seq: u32) -> Result<(), Errno> {
    cn_netlink_send(core, (CN_FORK, seq), &ascii_payload(parent, child), CN_FORK.0, Gfp::ATOMIC).await
}

/// Tells of a fork as a structure. Models `proc_fork_connector()` (2.6.15), without its check for listeners and without
/// its number: those are the design's gate and sequence.
///
/// The message is built on the stack; one skb is allocated, with `GFP_KERNEL`.
///
/// # Errors
/// Those of [`cn_netlink_send`].
///
/// # Violations
/// [`sim::Rule::AtomicSleep`] under a spinlock, as `copy_process()` called it at first (2005-11-28, P17).
pub async fn proc_fork_connector(core: &Core, ids: &ForkIds, cpu: u32, seq: u32) -> Result<(), Errno> {
    cn_netlink_send(core, (CN_PROC, seq), &struct_payload(cpu, ids), CN_PROC.0, Gfp::KERNEL).await
}
