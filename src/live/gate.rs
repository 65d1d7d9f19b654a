//! The gates of the designs, in user space: who is asked before a fork is relayed.
//!
//! | gate | in the kernel | here |
//! |---|---|---|
//! | `always` | nobody is asked | the same |
//! | `socket` | is the kernel's socket there? | is the relay's socket there? It is, from the start: no more of an answer than in the kernel (P2) |
//! | `on-off` | one flag, set by listeners' messages | the same: a message to the relay's port |
//! | `counter` | LISTEN adds 1, IGNORE subtracts 1, without a floor | the same: a message to the relay's port |
//! | `has-listeners` | is somebody in the list of the group? | `/proc/net/netlink` is read, see [`Gatekeeper`] |
//! | `counter-reset` | a broadcast that nobody got closes the gate | refused: the kernel does not tell a sender in user space |
//!
//! The message is that of the process events connector, 40 bytes: `nlmsghdr`, `cn_msg` with the id of process events or of
//! the fork connector, and `PROC_CN_MCAST_LISTEN` (1, on) or `PROC_CN_MCAST_IGNORE` (2, off) as 32 bits. Only root is
//! believed. As in the kernel, who dies without a word is counted for ever (P3, P5).
//!
//! DIFFERENCE: the kernel asks when the fork happens, a relay when it comes to the fork's event, which is later.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use fork_model::design::{Gate, Impossible};
use uevent::netlink::NetlinkSocket;
use uevent::source::{Arrival, UeventSource, Wait};
use uevent::wire::connector::{CN_FORK, CN_PROC, ConnectorMessage};

use super::clock::Clock;

/// Where the kernel lists netlink sockets and their groups.
pub const LIST: &str = "/proc/net/netlink";
/// How long `has-listeners` believes that somebody listens.
const BELIEVED: Duration = Duration::from_millis(50);

/// Asks before each message.
///
/// - `on-off`, `counter`: what was sent to the relay's port up to now counts.
/// - `has-listeners`: "somebody" is believed for 50 ms, in which messages may go to nobody; "nobody" is looked at again
///   at each fork, so that whoever has joined misses nothing.
pub struct Gatekeeper {
    gate: Gate,
    /// `cn_fork_enable`.
    pub enabled: bool,
    /// `proc_event_num_listeners`.
    pub listeners: i64,
    /// Messages to the relay's port that were not understood, or not from root.
    pub refused: u64,
    somebody: Option<Clock>,
}

impl Gatekeeper {
    /// A gate as it is at the beginning: closed, if listeners have to open it.
    ///
    /// # Errors
    /// [`Impossible`]: `counter-reset`.
    pub fn new(gate: Gate) -> Result<Gatekeeper, Impossible> {
        if gate == Gate::CounterReset {
            let why = "gate counter-reset needs to know that nobody got a message, and the kernel tells no sender in user space";
            return Err(Impossible::because(why));
        }
        Ok(Gatekeeper { gate, enabled: false, listeners: 0, refused: 0, somebody: None })
    }

    /// Whether a message may go out on this socket to this group, 1 to 32.
    ///
    /// # Errors
    /// Those of the socket; of [`LIST`], if that is asked.
    pub fn is_open(&mut self, socket: &mut NetlinkSocket, group: u32) -> io::Result<bool> {
        match self.gate {
            Gate::Always | Gate::Socket => Ok(true),
            Gate::OnOff => self.heed(socket).map(|()| self.enabled),
            Gate::Counter | Gate::CounterReset => self.heed(socket).map(|()| self.listeners >= 1),
            Gate::HasListeners => {
                if self.somebody.as_ref().is_none_or(|since| since.elapsed() > BELIEVED) {
                    let list = fs::read_to_string(LIST)?;
                    self.somebody = has_listeners(&list, socket.protocol().raw(), group).then(Clock::start);
                }
                Ok(self.somebody.is_some())
            }
        }
    }

    /// Takes what listeners have said.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn heed(&mut self, socket: &mut NetlinkSocket) -> io::Result<()> {
        loop {
            match socket.receive(Wait::No)? {
                Arrival::Nothing | Arrival::End => return Ok(()),
                Arrival::Message(datagram) => match op(datagram.bytes) {
                    Some(op) => {
                        self.enabled = op == 1;
                        self.listeners += if op == 1 { 1 } else { -1 };
                    }
                    None => self.refused += 1,
                },
                Arrival::Refused(..) | Arrival::Lost(_) => self.refused += 1,
            }
        }
    }
}

/// LISTEN, 1, or IGNORE, 2.
fn op(bytes: &[u8]) -> Option<u32> {
    let message = ConnectorMessage::parse(bytes).ok()?;
    let op = u32::from_le_bytes(message.data.try_into().ok()?);
    (matches!(message.id, CN_PROC | CN_FORK) && matches!(op, 1 | 2)).then_some(op)
}

/// Whether a socket of the protocol is in the group.
#[must_use]
pub fn has_listeners(list: &str, protocol: u8, group: u32) -> bool {
    !listeners(list, protocol, group).is_empty()
}

/// The sockets of the protocol that are in the group, by inode: the list's columns `Eth`, `Groups` and `Inode`.
#[must_use]
pub fn listeners(list: &str, protocol: u8, group: u32) -> BTreeSet<u64> {
    let inode = |line: &str| {
        let columns: Vec<_> = line.split_ascii_whitespace().collect();
        let is_ours = columns.get(1)?.parse().ok() == Some(protocol);
        let groups = u32::from_str_radix(columns.get(3)?, 16).ok()?;
        (is_ours && groups >> (group - 1) & 1 == 1).then(|| columns.last()?.parse().ok())?
    };
    list.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_netlink_sockets_tells_who_is_in_a_group() {
        let list = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
                    0000000000000000 2   4242       00000005 0        0        0     2        0        17\n\
                    0000000000000000 15  1          00000002 0        0        0     2        0        18\n";
        let joined = |protocol| (1..=4).filter(|&group| has_listeners(list, protocol, group)).collect::<Vec<_>>();
        assert_eq!((joined(2), joined(15), joined(11)), (vec![1, 3], vec![2], vec![]));
    }
}
