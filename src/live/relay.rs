//! `forklab relay`: what the patch wanted, on the kernel of today. Real forks in, messages of a design out.
//!
//! A fork that the process events connector tells of becomes the message of the design, byte for byte what the simulated
//! kernel sends ([`Design::write`]), and goes to a netlink group that other programs may join.
//!
//! # Loss is told
//! Events that are missing in the input, whoever's they were, become a message of their own:
//!
//! | format | the message |
//! |---|---|
//! | `bare` | `lost@/fork_kobj\0N\0` |
//! | `keys`, `keys-change` | `lost@/fork_kobj\0ACTION=lost\0DEVPATH=/fork_kobj\0SUBSYSTEM=process\0LOST=N\0CPU=C\0` |
//! | `connector-ascii`, `connector-struct` | a `nlmsghdr` of type `NLMSG_OVERRUN` (4, "data lost"), and as its `cn_msg`'s payload `N\0` |
//!
//! N counts process events of any kind of CPU C; how many of them were forks nobody knows. A listener that loses what
//! the relay sends is told by the kernel, with ENOBUFS.
//!
//! # Differences from the patch
//! - DIFFERENCE: the kernel's own hook stands before the wake-up of the child.
//! - DIFFERENCE: of a thread the kernel tells the parent of its group, not the thread that made it.
//! - DIFFERENCE: one thread draws the numbers, so that `unlocked` draws the same as `locked`. `per-cpu` counts the forks of
//!   the CPU that the kernel names.

use std::collections::BTreeMap;
use std::io;

use fork_model::Hook;
use fork_model::design::{Delivery, FORK_KOBJ, Format, Impossible, Over, Seq, Sequence};
use fork_model::{Design, design::Gate};
use serde::Serialize;
use uevent::netlink::{NetlinkSocket, OpenError, Protocol, To};
use uevent::source::Trust;
use uevent::wire::connector::{CN_FORK, CN_PROC, ForkIds, emit};
use uevent::wire::{SUBSYSTEM, emit_bare, emit_keyed};

use super::gate::Gatekeeper;

/// `NLMSG_OVERRUN`: "data lost".
pub const NLMSG_OVERRUN: u16 = 4;

/// What was relayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Relayed {
    /// Forks that were to be relayed, threads included.
    pub forks: u64,
    /// Messages of forks that were sent.
    pub sent: u64,
    /// Forks that the gate kept.
    pub kept: u64,
    /// Messages about losses that were sent.
    pub told: u64,
}

/// Sends messages of one design.
pub struct Relay {
    design: Design,
    socket: NetlinkSocket,
    group: u32,
    gatekeeper: Gatekeeper,
    next: BTreeMap<Option<u32>, u32>,
    relayed: Relayed,
    bytes: Vec<u8>,
}

/// Whether a relay can do what a design asks for.
///
/// # Errors
/// [`Impossible`], with the reason: another hook than today's kernel has, another delivery than a broadcast, a gate or a
/// format that needs the inside of the kernel; or what [`Design::check`] says.
pub fn check(design: &Design) -> Result<(), Impossible> {
    let no = |why: String| Err(Impossible::because(why));
    if design.hook != Hook::BeforeWake {
        let hook = design.hook.name();
        return no(format!("hook {hook} is not where the kernel of today tells of a fork, which is before-wake"));
    }
    if design.delivery != Delivery::Broadcast {
        return no(format!("delivery {} is the kernel's: a relay broadcasts", design.delivery.name()));
    }
    design.write(&ForkIds::default(), None, 0, &mut Vec::new())?;
    Gatekeeper::new(design.gate)?;
    design.check()
}

impl Relay {
    /// Opens the socket that messages go out by. Group is 1 to 32.
    ///
    /// # Errors
    /// Those of [`NetlinkSocket::open`]; [`OpenError::Io`] of [`super::gate::LIST`], if the gate has to read it.
    ///
    /// # Panics
    /// The design cannot be relayed: see [`check`].
    pub fn open(design: Design, protocol: Protocol, group: u32) -> Result<Relay, OpenError> {
        let mut socket = NetlinkSocket::open(protocol, 0)?.trusting(Trust::Root);
        let mut gatekeeper = Gatekeeper::new(design.gate).expect("checked before");
        let open = gatekeeper.is_open(&mut socket, group);
        open.map_err(|error| OpenError::Io("ask the gate (has-listeners reads /proc/net/netlink)", error))?;
        let (next, relayed) = (BTreeMap::new(), Relayed::default());
        Ok(Relay { design, socket, group, gatekeeper, next, relayed, bytes: Vec::new() })
    }

    /// The port to which listeners send their "on" and "off".
    ///
    /// # Errors
    /// Those of `getsockname()`.
    pub fn port(&self) -> io::Result<u32> {
        self.socket.port()
    }

    /// What was relayed so far.
    #[must_use]
    pub fn relayed(&self) -> &Relayed {
        &self.relayed
    }

    /// Sends the message of one fork, if the gate lets it.
    ///
    /// # Errors
    /// Those of the gate and of [`NetlinkSocket::send`].
    pub fn fork(&mut self, ids: &ForkIds, cpu: u32) -> io::Result<()> {
        self.relayed.forks += 1;
        if !self.is_open()? {
            self.relayed.kept += 1;
            return Ok(());
        }
        let seq = self.number(cpu);
        self.bytes.clear();
        self.design.write(ids, seq, cpu, &mut self.bytes).expect("checked before");
        self.send()?;
        self.relayed.sent += 1;
        Ok(())
    }

    /// Tells that so many events of a CPU are missing, if the gate lets it.
    ///
    /// # Errors
    /// Those of [`Relay::fork`].
    pub fn lost(&mut self, cpu: u32, missing: u64) -> io::Result<()> {
        if !self.is_open()? {
            return Ok(());
        }
        self.bytes.clear();
        emit_lost(&mut self.bytes, self.design.format, cpu, missing);
        self.send()?;
        self.relayed.told += 1;
        Ok(())
    }

    fn is_open(&mut self) -> io::Result<bool> {
        self.gatekeeper.is_open(&mut self.socket, self.group)
    }

    /// Looks at what listeners have said, so that their messages do not gather.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn tick(&mut self) -> io::Result<()> {
        match self.design.gate {
            Gate::OnOff | Gate::Counter => self.gatekeeper.heed(&mut self.socket),
            _ => Ok(()),
        }
    }

    fn number(&mut self, cpu: u32) -> Option<Seq> {
        let cpu = match self.design.sequence {
            Sequence::None => return None,
            Sequence::Unlocked | Sequence::Locked => None,
            Sequence::PerCpu => Some(cpu),
        };
        let next = self.next.entry(cpu).or_default();
        let number = *next;
        *next = next.wrapping_add(1);
        Some(Seq { number, cpu })
    }

    fn send(&mut self) -> io::Result<()> {
        self.socket.send(&self.bytes, To::Groups(1 << (self.group - 1)))
    }
}

/// Appends the message that says how many events are missing; see the [table](self).
pub fn emit_lost(out: &mut Vec<u8>, format: Format, cpu: u32, missing: u64) {
    const NO_NUL: &str = "numbers and constants have neither NUL nor '@'";
    let (count, cpu) = (missing.to_string(), cpu.to_string());
    match format {
        _ if format.over() == Over::Connector => {
            let id = if format == Format::ConnectorStruct { CN_PROC } else { CN_FORK };
            let start = out.len();
            emit(out, id, 0, 0, format!("{count}\0").as_bytes());
            out[start + 4..start + 6].copy_from_slice(&NLMSG_OVERRUN.to_le_bytes());
        }
        Format::Keys | Format::KeysChange => {
            let keys = [
                ("ACTION", &b"lost"[..]),
                ("DEVPATH", FORK_KOBJ.as_bytes()),
                ("SUBSYSTEM", SUBSYSTEM),
                ("LOST", count.as_bytes()),
                ("CPU", cpu.as_bytes()),
            ];
            emit_keyed(out, "lost", FORK_KOBJ, keys).expect(NO_NUL);
        }
        _ => emit_bare(out, "lost", FORK_KOBJ, [count]).expect(NO_NUL),
    }
}

#[cfg(test)]
mod tests {
    use uevent::wire::Shown;

    use super::*;

    #[test]
    fn what_cannot_be_relayed_is_refused_with_the_reason() {
        let today = Design { hook: Hook::BeforeWake, ..Design::default() };
        let says = |design: Design| check(&design).unwrap_err().to_string();
        assert_eq!(check(&today), Ok(()));
        assert!(says(Design::default()).starts_with("hook end is not where the kernel of today"));
        assert!(says(Design { delivery: Delivery::Signal, ..today }).starts_with("delivery signal is the kernel's"));
        assert!(says(Design { gate: Gate::CounterReset, ..today }).starts_with("gate counter-reset needs to know"));
        assert!(says(Design { format: Format::OneSlot, ..today }).starts_with("format one-slot is a fault"));
        assert!(says(Design { sequence: Sequence::Locked, ..today }).ends_with("format bare has none"));
    }

    #[test]
    fn losses_have_a_message_in_every_format() {
        let shown = |format| {
            let mut bytes = Vec::new();
            emit_lost(&mut bytes, format, 1, 12);
            bytes
        };
        assert_eq!(shown(Format::Bare), b"lost@/fork_kobj\x0012\0");
        let keys = Shown(&shown(Format::Keys)).to_string();
        assert_eq!(keys, r"lost@/fork_kobj\0ACTION=lost\0DEVPATH=/fork_kobj\0SUBSYSTEM=process\0LOST=12\0CPU=1\0");
        for format in [Format::ConnectorAscii, Format::ConnectorStruct] {
            let bytes = shown(format);
            assert_eq!((&bytes[4..6], &bytes[36..]), (&[4, 0][..], &b"12\0\0"[..]));
        }
    }
}
