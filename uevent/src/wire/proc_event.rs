//! `struct proc_event` as kernels send it since 2006: what the process events connector says of a task.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | `what`, a bit of `enum proc_cn_event` |
//! | 4..8 | `cpu`, which numbered it |
//! | 8..16 | `timestamp_ns`, since boot |
//! | 16..40 | the event, by `what` |
//!
//! The struct of November 2005 had no timestamp; [`ConnectorMessage::fork`] reads both.
//!
//! ```
//! use forklab_uevent::wire::connector::{ConnectorMessage, ForkIds};
//! use forklab_uevent::wire::proc_event::{ProcEvent, What, emit_proc_event};
//!
//! let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
//! let event = ProcEvent { cpu: 1, timestamp_ns: 5, what: What::Fork(ids) };
//! let mut bytes = Vec::new();
//! emit_proc_event(&mut bytes, 7, 0, &event);
//! assert_eq!(bytes.len(), 76);
//! let message = ConnectorMessage::parse(&bytes)?;
//! assert_eq!((message.seq, ProcEvent::parse(&message)?), (7, event));
//! # Ok::<(), forklab_uevent::wire::WireError>(())
//! ```

use std::fmt;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::connector::{CN_MSG, CN_PROC, ConnectorMessage, ForkIds, NLMSG_HDR, emit};
use super::{Found, WireError};
use crate::source::Stream;

/// Bytes of `struct proc_event` since 2006.
pub const PROC_EVENT_TIMED: usize = size_of::<Raw>();

/// The bits of `enum proc_cn_event`.
pub mod what {
    /// An acknowledgement of LISTEN or IGNORE.
    pub const NONE: u32 = 0;
    /// `fork`, `vfork`, `clone`.
    pub const FORK: u32 = 1;
    /// `execve`.
    pub const EXEC: u32 = 2;
    /// The user ids changed.
    pub const UID: u32 = 4;
    /// The group ids changed.
    pub const GID: u32 = 0x40;
    /// A new session.
    pub const SID: u32 = 0x80;
    /// Somebody began or ceased to trace it.
    pub const PTRACE: u32 = 0x100;
    /// Its name changed.
    pub const COMM: u32 = 0x200;
    /// It dumps core.
    pub const COREDUMP: u32 = 0x4000_0000;
    /// It exits.
    pub const EXIT: u32 = 0x8000_0000;
}

/// A thread, and the process that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ids {
    /// The thread's id.
    pub pid: i32,
    /// The process's id.
    pub tgid: i32,
}

/// One process event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcEvent {
    /// Which CPU numbered it; `u32::MAX` if none did, in acknowledgements of older kernels.
    pub cpu: u32,
    /// When, in nanoseconds since boot.
    pub timestamp_ns: u64,
    /// What happened.
    pub what: What,
}

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The answer to a LISTEN or IGNORE of some listener: 0, or an error number.
    Ack(u32),
    /// A task was made.
    Fork(ForkIds),
    /// It runs another program.
    Exec(Ids),
    /// Its real and effective user ids.
    Uid(Ids, u32, u32),
    /// Its real and effective group ids.
    Gid(Ids, u32, u32),
    /// It leads a new session.
    Sid(Ids),
    /// Its tracer; none when it is let go.
    Ptrace(Ids, Option<Ids>),
    /// Its name, up to the first NUL.
    Comm(Ids, [u8; 16]),
    /// It dumps core; and its parent.
    Coredump(Ids, Ids),
    /// It is gone.
    Exit {
        /// Who.
        ids: Ids,
        /// As `wait` reports it: the exit status times 256, or the signal that killed it.
        code: u32,
        /// The signal that its parent gets; -1 for a thread.
        signal: i32,
        /// Its parent; zeros from kernels before 4.18.
        parent: Ids,
    },
    /// A kind that this codec does not know.
    Other(u32),
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Default)]
#[repr(C)]
struct Raw {
    what: U32,
    cpu: U32,
    timestamp_ns: U64,
    data: [U32; 6],
}

impl ProcEvent {
    /// The event in a message of the process events connector.
    ///
    /// # Errors
    /// Another id than `CN_IDX_PROC`, `CN_VAL_PROC`; fewer than 40 bytes.
    pub fn parse(message: &ConnectorMessage<'_>) -> Result<ProcEvent, WireError> {
        if message.id != CN_PROC {
            return Err(WireError {
                offset: NLMSG_HDR,
                found: Found::Word(message.id.0),
                expected: "the id of process events, 1",
            });
        }
        let Ok((raw, _)) = Raw::read_from_prefix(message.data) else {
            let end = NLMSG_HDR + CN_MSG + message.data.len();
            return Err(WireError::at(message.bytes(), end, "40 bytes of proc_event"));
        };
        Ok(ProcEvent {
            cpu: raw.cpu.get(),
            timestamp_ns: raw.timestamp_ns.get(),
            what: What::read(raw.what.get(), &raw.data),
        })
    }

    /// Whose number `cn_msg.seq` is: this CPU's. An acknowledgement has one, too, but from kernels that leave its CPU open.
    #[must_use]
    pub fn stream(&self) -> Option<Stream> {
        (self.cpu != u32::MAX).then_some(Stream::Cpu(self.cpu))
    }
}

impl What {
    fn read(kind: u32, data: &[U32; 6]) -> What {
        let word = |at: usize| data[at].get();
        let ids = |at: usize| Ids { pid: word(at).cast_signed(), tgid: word(at + 1).cast_signed() };
        match kind {
            what::NONE => What::Ack(word(0)),
            what::FORK => {
                let (parent, child) = (ids(0), ids(2));
                What::Fork(ForkIds {
                    parent_pid: parent.pid,
                    parent_tgid: parent.tgid,
                    child_pid: child.pid,
                    child_tgid: child.tgid,
                })
            }
            what::EXEC => What::Exec(ids(0)),
            what::UID => What::Uid(ids(0), word(2), word(3)),
            what::GID => What::Gid(ids(0), word(2), word(3)),
            what::SID => What::Sid(ids(0)),
            what::PTRACE => What::Ptrace(ids(0), (word(2) != 0).then(|| ids(2))),
            what::COMM => {
                let mut comm = [0; 16];
                comm.copy_from_slice(data[2..].as_bytes());
                What::Comm(ids(0), comm)
            }
            what::COREDUMP => What::Coredump(ids(0), ids(2)),
            what::EXIT => What::Exit { ids: ids(0), code: word(2), signal: word(3).cast_signed(), parent: ids(4) },
            other => What::Other(other),
        }
    }

    fn write(&self, data: &mut [U32; 6]) -> u32 {
        let mut at = 0;
        let mut put = |words: &[i32]| {
            for &word in words {
                data[at] = U32::new(word.cast_unsigned());
                at += 1;
            }
        };
        match *self {
            What::Ack(error) => put(&[error.cast_signed()]),
            What::Fork(ids) => put(&[ids.parent_pid, ids.parent_tgid, ids.child_pid, ids.child_tgid]),
            What::Exec(ids) | What::Sid(ids) => put(&[ids.pid, ids.tgid]),
            What::Uid(ids, real, effective) | What::Gid(ids, real, effective) => {
                put(&[ids.pid, ids.tgid, real.cast_signed(), effective.cast_signed()]);
            }
            What::Ptrace(ids, tracer) => {
                let tracer = tracer.unwrap_or_default();
                put(&[ids.pid, ids.tgid, tracer.pid, tracer.tgid]);
            }
            What::Comm(ids, comm) => {
                put(&[ids.pid, ids.tgid]);
                data[2..].as_mut_bytes().copy_from_slice(&comm);
            }
            What::Coredump(ids, parent) => put(&[ids.pid, ids.tgid, parent.pid, parent.tgid]),
            What::Exit { ids, code, signal, parent } => {
                put(&[ids.pid, ids.tgid, code.cast_signed(), signal, parent.pid, parent.tgid]);
            }
            What::Other(_) => {}
        }
        self.kind()
    }

    /// Its bit of `enum proc_cn_event`, see [`what`].
    #[must_use]
    pub fn kind(&self) -> u32 {
        match self {
            What::Ack(_) => what::NONE,
            What::Fork(_) => what::FORK,
            What::Exec(_) => what::EXEC,
            What::Uid(..) => what::UID,
            What::Gid(..) => what::GID,
            What::Sid(_) => what::SID,
            What::Ptrace(..) => what::PTRACE,
            What::Comm(..) => what::COMM,
            What::Coredump(..) => what::COREDUMP,
            What::Exit { .. } => what::EXIT,
            What::Other(kind) => *kind,
        }
    }

    /// Its name, as the header of the kernel has it, in small letters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            What::Ack(_) => "none",
            What::Fork(_) => "fork",
            What::Exec(_) => "exec",
            What::Uid(..) => "uid",
            What::Gid(..) => "gid",
            What::Sid(_) => "sid",
            What::Ptrace(..) => "ptrace",
            What::Comm(..) => "comm",
            What::Coredump(..) => "coredump",
            What::Exit { .. } => "exit",
            What::Other(_) => "other",
        }
    }
}

/// Appends one message with this event. `ack` is 0, but in an acknowledgement.
pub fn emit_proc_event(out: &mut Vec<u8>, seq: u32, ack: u32, event: &ProcEvent) {
    let mut raw = Raw { cpu: U32::new(event.cpu), timestamp_ns: U64::new(event.timestamp_ns), ..Raw::default() };
    raw.what = U32::new(event.what.write(&mut raw.data));
    emit(out, CN_PROC, seq, ack, raw.as_bytes());
}

impl fmt::Display for Ids {
    /// `101`, or `101/100` for thread 101 of process 100.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid == self.tgid {
            true => write!(f, "{}", self.pid),
            false => write!(f, "{}/{}", self.pid, self.tgid),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            What::Ack(0) => f.write_str(" acknowledged"),
            What::Ack(error) => write!(f, " refused, error {error}"),
            What::Fork(ids) => {
                let parent = Ids { pid: ids.parent_pid, tgid: ids.parent_tgid };
                write!(f, " {parent} -> {}", Ids { pid: ids.child_pid, tgid: ids.child_tgid })
            }
            What::Exec(ids) | What::Sid(ids) => write!(f, " {ids}"),
            What::Uid(ids, real, effective) | What::Gid(ids, real, effective) => {
                write!(f, " {ids} real {real}, effective {effective}")
            }
            What::Ptrace(ids, Some(tracer)) => write!(f, " {ids} by {tracer}"),
            What::Ptrace(ids, None) => write!(f, " {ids} let go"),
            What::Comm(ids, comm) => {
                let end = comm.iter().position(|&byte| byte == 0).unwrap_or(comm.len());
                write!(f, " {ids} {}", comm[..end].escape_ascii())
            }
            What::Coredump(ids, parent) => write!(f, " {ids} child of {parent}"),
            What::Exit { ids, code, .. } => match (code & 0x7f, code >> 8 & 0xff) {
                (0, status) => write!(f, " {ids} status {status}"),
                (signal, _) => write!(f, " {ids} killed by signal {signal}"),
            },
            What::Other(kind) => write!(f, " {kind:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_what() -> impl Strategy<Value = What> {
        let ids = || (any::<i32>(), any::<i32>()).prop_map(|(pid, tgid)| Ids { pid, tgid });
        let tracer = (1.., any::<i32>()).prop_map(|(pid, tgid)| Ids { pid, tgid });
        prop_oneof![
            any::<u32>().prop_map(What::Ack),
            (ids(), ids()).prop_map(|(parent, child)| What::Fork(ForkIds {
                parent_pid: parent.pid,
                parent_tgid: parent.tgid,
                child_pid: child.pid,
                child_tgid: child.tgid
            })),
            ids().prop_map(What::Exec),
            (ids(), any::<u32>(), any::<u32>()).prop_map(|(ids, real, effective)| What::Uid(ids, real, effective)),
            (ids(), any::<u32>(), any::<u32>()).prop_map(|(ids, real, effective)| What::Gid(ids, real, effective)),
            ids().prop_map(What::Sid),
            (ids(), proptest::option::of(tracer)).prop_map(|(ids, tracer)| What::Ptrace(ids, tracer)),
            (ids(), any::<[u8; 16]>()).prop_map(|(ids, comm)| What::Comm(ids, comm)),
            (ids(), ids()).prop_map(|(ids, parent)| What::Coredump(ids, parent)),
            (ids(), any::<u32>(), any::<i32>(), ids()).prop_map(|(ids, code, signal, parent)| What::Exit {
                ids,
                code,
                signal,
                parent
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_event_is_read_as_it_was_written(what in any_what(), cpu: u32, timestamp_ns: u64, seq: u32, ack: u32) {
            let event = ProcEvent { cpu, timestamp_ns, what };
            let mut bytes = Vec::new();
            emit_proc_event(&mut bytes, seq, ack, &event);
            let message = ConnectorMessage::parse(&bytes).expect("well-formed");
            prop_assert_eq!((message.seq, message.ack), (seq, ack));
            prop_assert_eq!(ProcEvent::parse(&message), Ok(event));
        }
    }

    #[test]
    fn events_read_as_a_line() {
        let ids = Ids { pid: 101, tgid: 100 };
        let said = [
            What::Exit { ids, code: 3 << 8, signal: 17, parent: Ids::default() },
            What::Exit { ids, code: 9, signal: 17, parent: Ids::default() },
            What::Comm(ids, *b"a\xffb\0junk\0\0\0\0\0\0\0\0"),
            What::Ptrace(ids, None),
        ]
        .map(|what| what.to_string());
        assert_eq!(
            said,
            [
                "exit 101/100 status 3",
                "exit 101/100 killed by signal 9",
                r"comm 101/100 a\xffb",
                "ptrace 101/100 let go"
            ]
        );
    }
}
