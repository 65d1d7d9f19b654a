//! A process that speaks like the kernel.

use fork_model::Design;
use fork_model::design::{Format, Over};
use uevent::af_netlink::{
    Caller, Destination, NETLINK_KOBJECT_UEVENT, netlink_create, netlink_release, netlink_sendmsg,
};
use uevent::connector::NETLINK_CONNECTOR;
use uevent::wire::connector::{ForkIds, emit_fork_ascii, emit_fork_struct};
use uevent::wire::{emit_bare, emit_keyed};

use crate::lab::world::World;

/// The fork that never was: init's, of a number that no small run uses.
const NEVER: ForkIds = ForkIds { parent_pid: 1, parent_tgid: 1, child_pid: 666, child_tgid: 666 };

/// A message as this design would send it.
#[must_use]
pub fn forged(design: Design) -> Vec<u8> {
    let mut out = Vec::new();
    let (parent, child) = (NEVER.parent_pid, NEVER.child_pid);
    let words = "two numbers are words";
    match design.format {
        Format::Bare => {
            emit_bare(&mut out, "fork", "/fork_kobj", [parent.to_string(), child.to_string()]).expect(words);
        }
        Format::OneSlot => emit_bare(&mut out, "fork", "/fork_kobj", [child.to_string()]).expect(words),
        Format::Keys | Format::KeysChange => {
            let keys = [("PPID", parent.to_string()), ("PID", child.to_string())];
            let action = if design.format == Format::Keys { "fork" } else { "change" };
            emit_keyed(&mut out, action, "/fork_kobj", keys).expect(words);
        }
        Format::ConnectorAscii | Format::ConnectorLeak => emit_fork_ascii(&mut out, 0, parent, child),
        Format::ConnectorStruct => emit_fork_struct(&mut out, 0, 0, &NEVER),
        Format::Own(own) => own.write(&NEVER, None, &mut out),
    }
    out
}

/// A task without any capability sends a listener such a message, through a socket of its own. Nothing happens to a
/// listener that has none. DIFFERENCE: signals are not forged; `kill()` asks for more than a port id.
pub(crate) async fn forge(world: &World, pid: i32, listener: &str) {
    let core = &world.sys.core;
    let listener = world.listeners.iter().find(|other| other.name == listener);
    let Some(to) = listener.and_then(|listener| listener.sock.get()) else { return };
    let design = world.sys.config.design;
    let protocol = match design.format.over() {
        Over::KobjectUevent => NETLINK_KOBJECT_UEVENT,
        Over::Connector => NETLINK_CONNECTOR,
    };
    let Ok(sock) = netlink_create(core, protocol).await else { return };
    let caller = Caller { pid, net_admin: false };
    let to = Destination::Port(core.port_id(to));
    let _ = netlink_sendmsg(core, sock, caller, to, &forged(design)).await;
    netlink_release(core, sock).await;
}
