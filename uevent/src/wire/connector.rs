//! Process events as the connector carries them: `nlmsghdr`, `cn_msg`, payload, all in the byte order of the machine.
//!
//! | part | bytes | fields |
//! |---|---|---|
//! | `struct nlmsghdr` | 16 | `nlmsg_len`, `nlmsg_type` (`NLMSG_DONE`), `nlmsg_flags`, `nlmsg_seq`, `nlmsg_pid` |
//! | `struct cn_msg` | 20 | `id.idx`, `id.val`, `seq`, `ack`, `len` (16 bits), 16 bits of nothing |
//! | payload | `len` | by id, see [`ConnectorMessage::fork`] |
//! | padding | 0 to 3 | to a multiple of 4, `NLMSG_SPACE` |
//!
//! What is emitted here has the layouts of 2005; [`proc_event`](super::proc_event) has those of a running kernel, where
//! `struct proc_event` has a timestamp of 8 bytes behind `cpu`.
//!
//! DIFFERENCE: on every machine, the bytes of a little-endian one.
//!
//! ```
//! use forklab_uevent::wire::connector::{ConnectorMessage, ForkIds, emit_fork_struct};
//!
//! let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
//! let mut bytes = Vec::new();
//! emit_fork_struct(&mut bytes, 7, 1, &ids);
//! assert_eq!(bytes.len(), 60);
//! let message = ConnectorMessage::parse(&bytes)?;
//! assert_eq!((message.seq, message.fork()?.ids, message.fork()?.cpu), (7, ids, Some(1)));
//! # Ok::<(), forklab_uevent::wire::WireError>(())
//! ```

use super::proc_event::{PROC_EVENT_TIMED, ProcEvent, What};
use super::{Found, WireError, number};

/// Bytes of `struct nlmsghdr`.
pub const NLMSG_HDR: usize = 16;
/// Bytes of `struct cn_msg` before its data.
pub const CN_MSG: usize = 20;
/// Bytes of `struct proc_event` of November 2005.
pub const PROC_EVENT: usize = 24;
/// `NLMSG_DONE`, the type of every connector message.
pub const NLMSG_DONE: u16 = 3;
/// `PROC_EVENT_FORK`.
pub const PROC_EVENT_FORK: u32 = 1;
/// `{ CN_IDX_FORK, CN_VAL_FORK }` of the fork connector, February 2005. DIFFERENCE: quoted from memory of its mails.
pub const CN_FORK: (u32, u32) = (0xfeed, 0xbeef);
/// `{ CN_IDX_PROC, CN_VAL_PROC }` of the process events connector.
pub const CN_PROC: (u32, u32) = (1, 1);

/// Who forked whom, as far as a fork event may say: thread ids and process ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForkIds {
    /// The parent's thread id.
    pub parent_pid: i32,
    /// The parent's process id.
    pub parent_tgid: i32,
    /// The child's thread id.
    pub child_pid: i32,
    /// The child's process id: not its thread id if it is a thread.
    pub child_tgid: i32,
}

/// A fork event of the connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectorFork {
    /// Who forked whom. From an ASCII payload, which has two pids only, both tgids are the pids.
    pub ids: ForkIds,
    /// The CPU that numbered it; an ASCII payload has none.
    pub cpu: Option<u32>,
}

/// One connector message, borrowed from the bytes it was parsed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectorMessage<'a> {
    /// `id.idx`, `id.val`: which connector user sent it.
    pub id: (u32, u32),
    /// `cn_msg.seq`, the sender's own number.
    pub seq: u32,
    /// `cn_msg.ack`.
    pub ack: u32,
    /// The payload, `cn_msg.len` bytes.
    pub data: &'a [u8],
    bytes: &'a [u8],
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn wrong(offset: usize, word: u32, expected: &'static str) -> WireError {
    WireError { offset, found: Found::Word(word), expected }
}

impl<'a> ConnectorMessage<'a> {
    /// Reads a datagram with one message.
    ///
    /// # Errors
    /// Fewer than 36 bytes; a `nlmsg_len` that is not in the datagram, or too small; another type than `NLMSG_DONE`; a
    /// `cn_msg.len` beyond `nlmsg_len`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let head = NLMSG_HDR + CN_MSG;
        if bytes.len() < head {
            return Err(WireError::at(bytes, bytes.len(), "a nlmsghdr and a cn_msg, 36 bytes"));
        }
        let nlmsg_len = u32_at(bytes, 0) as usize;
        if nlmsg_len < head || nlmsg_len > bytes.len() {
            return Err(wrong(0, u32_at(bytes, 0), "nlmsg_len from 36 to the end of the datagram"));
        }
        if u16_at(bytes, 4) != NLMSG_DONE {
            return Err(wrong(4, u16_at(bytes, 4).into(), "nlmsg_type NLMSG_DONE, 3"));
        }
        let len = usize::from(u16_at(bytes, NLMSG_HDR + 16));
        if head + len > nlmsg_len {
            return Err(wrong(
                NLMSG_HDR + 16,
                u16_at(bytes, NLMSG_HDR + 16).into(),
                "a cn_msg.len that fits nlmsg_len",
            ));
        }
        Ok(ConnectorMessage {
            id: (u32_at(bytes, NLMSG_HDR), u32_at(bytes, NLMSG_HDR + 4)),
            seq: u32_at(bytes, NLMSG_HDR + 8),
            ack: u32_at(bytes, NLMSG_HDR + 12),
            data: &bytes[head..head + len],
            bytes,
        })
    }

    /// The whole datagram.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The fork event in it: `"PPID CPID\0"` from [`CN_FORK`], a `struct proc_event`, with or
    /// without timestamp, from [`CN_PROC`].
    ///
    /// # Errors
    /// Another id; a text that is not two numbers with one space between and a NUL behind; fewer than 24 bytes of
    /// `proc_event`, or one of something else than a fork.
    pub fn fork(&self) -> Result<ConnectorFork, WireError> {
        match self.id {
            CN_FORK => self.ascii(),
            CN_PROC => self.proc_event(),
            (idx, _) => Err(wrong(NLMSG_HDR, idx, "the id of the fork connector or of process events")),
        }
    }

    fn ascii(&self) -> Result<ConnectorFork, WireError> {
        let start = NLMSG_HDR + CN_MSG;
        let end = memchr::memchr(0, self.data)
            .ok_or_else(|| WireError::at(self.bytes, start + self.data.len(), "NUL after the two pids"))?;
        if end + 1 != self.data.len() {
            return Err(WireError::at(self.bytes, start + end + 1, "nothing after the NUL"));
        }
        let text = &self.data[..end];
        let space = memchr::memchr(b' ', text)
            .ok_or_else(|| WireError::at(self.bytes, start + end, "a space between the two pids"))?;
        let pid = |from: usize, text: &[u8]| {
            number::as_printed(text).ok_or_else(|| WireError::at(self.bytes, start + from, "a pid as %i writes it"))
        };
        let (parent, child) = (pid(0, &text[..space])?, pid(space + 1, &text[space + 1..])?);
        let ids = ForkIds { parent_pid: parent, parent_tgid: parent, child_pid: child, child_tgid: child };
        Ok(ConnectorFork { ids, cpu: None })
    }

    fn proc_event(&self) -> Result<ConnectorFork, WireError> {
        let start = NLMSG_HDR + CN_MSG;
        if self.data.len() >= PROC_EVENT_TIMED {
            let event = ProcEvent::parse(self)?;
            let What::Fork(ids) = event.what else {
                return Err(wrong(start, event.what.kind(), "PROC_EVENT_FORK, 1"));
            };
            return Ok(ConnectorFork { ids, cpu: Some(event.cpu) });
        }
        if self.data.len() < PROC_EVENT {
            return Err(WireError::at(self.bytes, start + self.data.len(), "24 bytes of proc_event"));
        }
        let what = u32_at(self.data, 0);
        if what != PROC_EVENT_FORK {
            return Err(wrong(start, what, "PROC_EVENT_FORK, 1"));
        }
        let pid = |at| u32_at(self.data, at).cast_signed();
        let ids = ForkIds { parent_pid: pid(8), parent_tgid: pid(12), child_pid: pid(16), child_tgid: pid(20) };
        Ok(ConnectorFork { ids, cpu: Some(u32_at(self.data, 4)) })
    }
}

/// Appends one message: headers, payload, padding. Longer payloads than 65,535 bytes do not exist; they are cut.
pub fn emit(out: &mut Vec<u8>, id: (u32, u32), seq: u32, ack: u32, data: &[u8]) {
    let data = &data[..data.len().min(u16::MAX.into())];
    let len = u16::try_from(data.len()).expect("cut");
    let space = (NLMSG_HDR + CN_MSG + data.len()).next_multiple_of(4);
    let end = out.len() + space;
    // As cn_netlink_send() has it: the length of the header covers the padding, too.
    out.extend_from_slice(&u32::try_from(space).expect("small").to_le_bytes());
    out.extend_from_slice(&NLMSG_DONE.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    for word in [seq, 0, id.0, id.1, seq, ack] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(data);
    out.resize(end, 0);
}

/// The payload of the fork connector: `"PPID CPID\0"`.
#[must_use]
pub fn ascii_payload(parent: i32, child: i32) -> Vec<u8> {
    format!("{parent} {child}\0").into_bytes()
}

/// The payload of the process events connector, a `struct proc_event`.
#[must_use]
pub fn struct_payload(cpu: u32, ids: &ForkIds) -> [u8; PROC_EVENT] {
    let pids = [ids.parent_pid, ids.parent_tgid, ids.child_pid, ids.child_tgid].map(i32::cast_unsigned);
    let mut payload = [0; PROC_EVENT];
    for (i, word) in [PROC_EVENT_FORK, cpu].into_iter().chain(pids).enumerate() {
        payload[4 * i..4 * i + 4].copy_from_slice(&word.to_le_bytes());
    }
    payload
}

/// Appends a fork event as the fork connector of February 2005 wrote it.
pub fn emit_fork_ascii(out: &mut Vec<u8>, seq: u32, parent: i32, child: i32) {
    emit(out, CN_FORK, seq, 0, &ascii_payload(parent, child));
}

/// Appends a fork event as the process events connector of November 2005 wrote it.
pub fn emit_fork_struct(out: &mut Vec<u8>, seq: u32, cpu: u32, ids: &ForkIds) {
    emit(out, CN_PROC, seq, 0, &struct_payload(cpu, ids));
}
