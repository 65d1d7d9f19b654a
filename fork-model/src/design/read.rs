//! What a listener reads in a message of a design.

use uevent::wire::connector::{ConnectorMessage, ForkIds, NLMSG_HDR};
use uevent::wire::{Found, Message, WireError};

use super::{Delivery, Design, Format, Seq, Sequence};

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who forked whom. A format of two pids says them as process ids, too: it knows no threads.
    pub ids: ForkIds,
    /// Its number.
    pub seq: Option<Seq>,
    /// The CPU it names, whether that belongs to the number or not.
    pub cpu: Option<u32>,
}

impl Said {
    /// A message of two pids, without a number.
    #[must_use]
    pub fn pids(parent: i32, child: i32) -> Said {
        let ids = ForkIds { parent_pid: parent, parent_tgid: parent, child_pid: child, child_tgid: child };
        Said { ids, seq: None, cpu: None }
    }

    /// Whether it says that the child is a thread.
    #[must_use]
    pub fn is_thread(&self) -> bool {
        self.ids.child_pid != self.ids.child_tgid
    }
}

impl Design {
    /// The messages of a datagram that this design sent: one, or as many as a batch holds.
    #[must_use]
    pub fn messages<'a>(&self, datagram: &'a [u8]) -> Vec<&'a [u8]> {
        if self.delivery != Delivery::Batched {
            return vec![datagram];
        }
        let mut messages = Vec::new();
        let mut rest = datagram;
        // Each begins with its length, which covers the padding behind it, too: NLMSG_NEXT().
        while let Some(len) = rest.first_chunk().map(|len| u32::from_le_bytes(*len) as usize) {
            let (message, more) = rest.split_at(len.clamp(NLMSG_HDR.min(rest.len()), rest.len()));
            messages.push(message);
            rest = more;
        }
        messages
    }

    /// Reads a message that this design sent.
    ///
    /// # Errors
    /// [`WireError`] for whatever else it is.
    pub fn read(&self, message: &[u8]) -> Result<Said, WireError> {
        let mut said = match self.format {
            Format::Bare | Format::OneSlot => {
                Message::parse(message)?.fork_pids().map(|(parent, child)| Said::pids(parent, child))?
            }
            Format::Keys | Format::KeysChange => keys(message)?,
            Format::ConnectorAscii | Format::ConnectorStruct | Format::ConnectorLeak => {
                let parsed = ConnectorMessage::parse(message)?;
                let fork = parsed.fork()?;
                Said { ids: fork.ids, seq: Some(Seq { number: parsed.seq, cpu: fork.cpu }), cpu: fork.cpu }
            }
            Format::Own(own) => own.read(message).ok_or(WireError {
                offset: 0,
                found: message.first().map_or(Found::End, |byte| Found::Byte(*byte)),
                expected: "a message of the design's own format",
            })?,
        };
        // A field that is there is not yet a number: without a sequence it is always 0.
        said.seq = match self.sequence {
            Sequence::None => None,
            Sequence::PerCpu => said.seq,
            Sequence::Unlocked | Sequence::Locked => said.seq.map(|seq| Seq { cpu: None, ..seq }),
        };
        Ok(said)
    }
}

fn keys(bytes: &[u8]) -> Result<Said, WireError> {
    let message = Message::parse(bytes)?;
    let missing = |expected| WireError { offset: bytes.len(), found: Found::End, expected };
    let number = |key: &str| message.get(key).and_then(|text| str::from_utf8(text).ok()?.parse().ok());
    let parent = number("PPID").ok_or(missing("PPID= with a pid"))?;
    let child = number("PID").ok_or(missing("PID= with a pid"))?;
    let cpu = number("CPU").and_then(|cpu: i32| u32::try_from(cpu).ok());
    let seq = message.seqnum()?.map(|number| Seq { number: u32::try_from(number).unwrap_or(u32::MAX), cpu });
    Ok(Said { seq, cpu, ..Said::pids(parent, child) })
}
