//! One message: made in the design's format, broadcast, counted.

use sim::{Errno, Gfp};
use uevent::Core;
use uevent::af_netlink::netlink_broadcast;
use uevent::cn_proc::{fork_connector, proc_fork_connector};
use uevent::kobject::KobjId;
use uevent::kobject_uevent::{ForkKeys, KobjectAction, kobject_fork_one_slot, kobject_fork_told};
use uevent::skbuff::{alloc_skb, skb_get, skb_put};
use uevent::wire::connector::{CN_FORK, CN_PROC, ForkIds, emit_fork_ascii, emit_fork_struct};

use super::gate::GROUP;
use crate::System;
use crate::design::{Format, Over, OwnFormat, Seq};

/// The patch's object.
pub(super) fn fork_kobj(sys: &System) -> KobjId {
    sys.fork_kobj.get().expect("fork_init() runs before the first fork")
}

/// Makes and broadcasts one message, and counts how far it came.
///
/// # Errors
/// - [`Errno::Io`]: there is no kernel socket (yet).
/// - [`Errno::NoMem`]: the message could not be made.
/// - those of [`netlink_broadcast`].
pub(super) async fn send(sys: &System, ids: &ForkIds, seq: Option<Seq>) -> Result<(), Errno> {
    let core = &sys.core;
    let (number, cpu) = (seq.map_or(0, |seq| seq.number), seq.and_then(|seq| seq.cpu).unwrap_or_else(|| sys.m.cpu()));
    let format = sys.config.design.format;
    let sent = match format {
        // It counts for itself.
        Format::Bare => return kobject_fork_told(core, fork_kobj(sys), ids.parent_pid, ids.child_pid).await,
        Format::Keys => keys(sys, KobjectAction::Fork, ids, seq).await,
        Format::KeysChange => keys(sys, KobjectAction::Change, ids, seq).await,
        Format::OneSlot => kobject_fork_one_slot(core, fork_kobj(sys), ids.child_pid).await,
        Format::ConnectorLeak => leaking(core, ids, number).await,
        Format::ConnectorAscii => fork_connector(core, ids.parent_pid, ids.child_pid, number).await,
        Format::ConnectorStruct => proc_fork_connector(core, ids, cpu, number).await,
        Format::Own(own) => own_message(sys, own, ids, seq).await,
    };
    count(sys, format, sent);
    sent
}

/// Makes one datagram of several messages and broadcasts it, and counts how far each event came.
///
/// One skb of exactly the messages is allocated, as the connector would; each has its `nlmsghdr`, as dumps have.
///
/// # Errors
/// Those of [`send`], for all of them: they share the buffer and its fate. A format of no connector does not say
/// how long a message is ([`crate::Design::check`]): its events are sent one by one, and the first error is the answer.
pub(super) async fn send_batch(sys: &System, events: &[(ForkIds, Option<Seq>)]) -> Result<(), Errno> {
    let format = sys.config.design.format;
    if !matches!(format, Format::ConnectorAscii | Format::ConnectorStruct) {
        let mut result = Ok(());
        for (ids, seq) in events {
            result = result.and(Box::pin(send(sys, ids, *seq)).await);
        }
        return result;
    }
    let sent = connector_batch(sys, format, events).await;
    events.iter().for_each(|_| count(sys, format, sent));
    sent
}

async fn connector_batch(sys: &System, format: Format, events: &[(ForkIds, Option<Seq>)]) -> Result<(), Errno> {
    let core = &sys.core;
    let sock = core.cn_sock().ok_or(Errno::Io)?;
    let mut datagram = Vec::new();
    for (ids, seq) in events {
        let number = seq.map_or(0, |seq| seq.number);
        let cpu = seq.and_then(|seq| seq.cpu).unwrap_or_else(|| sys.m.smp_processor_id());
        match format {
            Format::ConnectorAscii => emit_fork_ascii(&mut datagram, number, ids.parent_pid, ids.child_pid),
            _ => emit_fork_struct(&mut datagram, number, cpu, ids),
        }
    }
    let (groups, gfp) = match format {
        Format::ConnectorAscii => (CN_FORK.0, Gfp::ATOMIC),
        _ => (CN_PROC.0, Gfp::KERNEL),
    };
    let skb = alloc_skb(core, u32::try_from(datagram.len()).unwrap_or(u32::MAX), gfp).await?;
    skb_put(core, skb, &[&datagram]).await;
    netlink_broadcast(core, sock, skb, 0, groups, gfp).await
}

/// Counts how far an event came. An event whose sender is an empty stub got nowhere, and says 0.
pub(super) fn count(sys: &System, format: Format, outcome: Result<(), Errno>) {
    let config = &sys.core.config;
    let configured = match format {
        Format::Keys | Format::KeysChange => config.kobject_uevent && config.hotplug,
        _ => format.over() == Over::Connector || config.kobject_uevent,
    };
    sys.core.count_fork(configured, outcome);
}

async fn keys(sys: &System, action: KobjectAction, ids: &ForkIds, seq: Option<Seq>) -> Result<(), Errno> {
    if !sys.core.config.hotplug {
        return Ok(()); // kobject_hotplug() is an empty stub.
    }
    sys.m.enter("kobject_hotplug", || vec![("action", action.string().into())]);
    let seq = seq.map(|seq| (seq.number, seq.cpu));
    let sent = match ForkKeys::build_as(&sys.core, fork_kobj(sys), action, ids, seq).await {
        Ok(keys) => {
            let sent = keys.send(&sys.core).await;
            keys.free(&sys.core);
            sent
        }
        Err(error) => Err(error),
    };
    sys.m.leave("kobject_hotplug", None);
    sent
}

/// [`fork_connector`] with a reference to the message that nobody puts.
async fn leaking(core: &Core, ids: &ForkIds, number: u32) -> Result<(), Errno> {
    let sock = core.cn_sock().ok_or(Errno::Io)?;
    let mut message = Vec::new();
    emit_fork_ascii(&mut message, number, ids.parent_pid, ids.child_pid);
    let skb = alloc_skb(core, u32::try_from(message.len()).expect("small"), Gfp::ATOMIC).await?;
    skb_put(core, skb, &[&message]).await;
    skb_get(core, skb);
    netlink_broadcast(core, sock, skb, 0, GROUP, Gfp::ATOMIC).await
}

async fn own_message(sys: &System, own: &'static dyn OwnFormat, ids: &ForkIds, seq: Option<Seq>) -> Result<(), Errno> {
    let core = &sys.core;
    if !core.config.kobject_uevent {
        return Ok(());
    }
    let sock = core.uevent_sock().ok_or(Errno::Io)?;
    let mut message = Vec::new();
    own.write(ids, seq, &mut message);
    let skb = alloc_skb(core, u32::try_from(message.len()).unwrap_or(u32::MAX), Gfp::KERNEL).await?;
    skb_put(core, skb, &[&message]).await;
    netlink_broadcast(core, sock, skb, 0, GROUP, Gfp::KERNEL).await
}
