//! A source that looks at the numbers of its messages.

use std::io;

use super::{Arrival, Datagram, Order, Sender, Stream, UeventSource, Wait};
use crate::wire::Message;
use crate::wire::connector::ConnectorMessage;
use crate::wire::proc_event::ProcEvent;

/// Which numbers a message carries.
pub type Numbers = fn(&[u8]) -> Option<(Stream, u64)>;

/// `SEQNUM=` of a uevent.
#[must_use]
pub fn seqnum(bytes: &[u8]) -> Option<(Stream, u64)> {
    Some((Stream::Seqnum, Message::parse(bytes).ok()?.seqnum().ok()??))
}

/// `cn_msg.seq` of a process event, which belongs to the CPU that it names.
#[must_use]
pub fn per_cpu(bytes: &[u8]) -> Option<(Stream, u64)> {
    let message = ConnectorMessage::parse(bytes).ok()?;
    Some((ProcEvent::parse(&message).ok()?.stream()?, message.seq.into()))
}

/// The same source, which also tells of gaps in the numbers: an [`Arrival::Lost`] before the message behind the gap.
///
/// Only trusted messages are looked at. After an overrun the gaps tell how much was lost, once the next message of each
/// stream has come.
///
/// ```
/// use forklab_uevent::source::{Arrival, Datagram, Loss, Sender, Sequenced, UeventSource, Wait, seqnum};
///
/// struct Script(Vec<&'static [u8]>);
/// impl UeventSource for Script {
///     fn receive(&mut self, _: Wait) -> std::io::Result<Arrival<'_>> {
///         let Some(bytes) = self.0.pop() else { return Ok(Arrival::End) };
///         Ok(Arrival::Message(Datagram { bytes, sender: Sender::KERNEL, group: 1 }))
///     }
/// }
/// let script = Script(vec![b"add@/x\0SEQNUM=9\0", b"add@/x\0SEQNUM=7\0"]);
/// let mut source = Sequenced::new(script, seqnum);
/// assert!(matches!(source.receive(Wait::Block)?, Arrival::Message(_)));
/// assert!(matches!(source.receive(Wait::Block)?, Arrival::Lost(Loss::Gap { expected: 8, found: 9, .. })));
/// assert!(matches!(source.receive(Wait::Block)?, Arrival::Message(_)));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Sequenced<S> {
    source: S,
    numbers: Numbers,
    order: Order,
    /// The message behind a gap that was just told.
    held: Option<(Sender, u32)>,
    bytes: Vec<u8>,
}

impl<S: UeventSource> Sequenced<S> {
    /// Looks at these numbers of the messages of `source`: [`seqnum`], [`per_cpu`] or others.
    pub fn new(source: S, numbers: Numbers) -> Sequenced<S> {
        Sequenced { source, numbers, order: Order::default(), held: None, bytes: Vec::new() }
    }

    /// The source itself.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Gives the source back.
    pub fn into_source(self) -> S {
        self.source
    }
}

#[cfg(unix)]
impl<S: std::os::fd::AsFd> std::os::fd::AsFd for Sequenced<S> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<S: UeventSource> UeventSource for Sequenced<S> {
    fn receive(&mut self, wait: Wait) -> io::Result<Arrival<'_>> {
        if let Some((sender, group)) = self.held.take() {
            return Ok(Arrival::Message(Datagram { bytes: &self.bytes, sender, group }));
        }
        let arrival = self.source.receive(wait)?;
        let Arrival::Message(datagram) = arrival else { return Ok(arrival) };
        let number = (self.numbers)(datagram.bytes);
        let Some(gap) = number.and_then(|(stream, number)| self.order.saw(stream, number)) else {
            return Ok(arrival);
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(datagram.bytes);
        self.held = Some((datagram.sender, datagram.group));
        Ok(Arrival::Lost(gap))
    }
}
