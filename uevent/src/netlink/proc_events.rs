//! The process events connector: LISTEN, the events, IGNORE.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::{NetlinkSocket, OpenError, Protocol, To};
use crate::source::{Arrival, UeventSource, Wait};
use crate::wire::connector::{CN_PROC, ConnectorMessage, emit};
use crate::wire::proc_event::{ProcEvent, What};

/// `PROC_CN_MCAST_LISTEN` of `include/uapi/linux/cn_proc.h`.
const LISTEN: u32 = 1;
/// `PROC_CN_MCAST_IGNORE`.
const IGNORE: u32 = 2;
/// How long the kernel may take to answer LISTEN. It answers within the system call.
const ANSWER: Duration = Duration::from_secs(1);

/// A listener to process events.
///
/// It says IGNORE when it ends: on [`ProcEvents::close`], when it is dropped, so also when a panic unwinds. Without
/// that, kernels before 6.6 send process events for ever, to nobody, and pay for each.
///
/// A signal that kills the process unwinds nothing. A program that wants to be polite handles SIGINT and SIGTERM by
/// letting its loop end, as `forklab listen` does; SIGKILL cannot be handled.
///
/// # Loss
/// `cn_msg.seq` counts per CPU: [`Order`](crate::source::Order) finds the gaps.
pub struct ProcEvents {
    socket: NetlinkSocket,
    listening: bool,
}

impl ProcEvents {
    /// Opens a socket, says LISTEN, and waits until the kernel has acknowledged it.
    ///
    /// # Errors
    /// - [`OpenError::NoProtocol`]: no connector in this kernel or network namespace.
    /// - [`OpenError::Permission`]: it needs CAP_NET_ADMIN (before Linux 6.6).
    /// - [`OpenError::NoAnswer`]: the kernel ignores LISTEN in this pid or user namespace.
    pub fn open() -> Result<ProcEvents, OpenError> {
        let socket = NetlinkSocket::open(Protocol::Connector, CN_PROC.0)?;
        let mut events = ProcEvents { socket, listening: false };
        let port = events.socket.port().map_err(|error| OpenError::Io("ask for the port id", error))?;
        events.say(LISTEN, port).map_err(|error| OpenError::Io("send PROC_CN_MCAST_LISTEN", error))?;
        events.listening = true;
        events.await_answer(port)?;
        Ok(events)
    }

    /// The socket, to set its buffer or to look at its memory.
    #[must_use]
    pub fn socket(&self) -> &NetlinkSocket {
        &self.socket
    }

    /// Says IGNORE and closes the socket.
    ///
    /// # Errors
    /// Those of `sendto()`.
    pub fn close(mut self) -> io::Result<()> {
        self.ignore()
    }

    fn ignore(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.listening) {
            return Ok(());
        }
        // Every listener hears the acknowledgement, and can tell from its number whose it is.
        self.say(IGNORE, self.socket.port()?)
    }

    /// Sends an `enum proc_cn_mcast_op`; the answer will carry `ack + 1`.
    fn say(&self, op: u32, ack: u32) -> io::Result<()> {
        let mut bytes = Vec::new();
        emit(&mut bytes, CN_PROC, 0, ack, &op.to_le_bytes());
        self.socket.send(&bytes, To::Kernel)
    }

    /// Drops what comes before the answer: this listener began with it.
    fn await_answer(&mut self, said: u32) -> Result<(), OpenError> {
        loop {
            let arrival = self.socket.receive(Wait::AtMost(ANSWER));
            match arrival.map_err(|error| OpenError::Io("receive the answer to PROC_CN_MCAST_LISTEN", error))? {
                Arrival::Nothing | Arrival::End => return Err(OpenError::NoAnswer),
                Arrival::Message(datagram) => match answer(datagram.bytes, said) {
                    Some(0) => return Ok(()),
                    Some(_) => {
                        return Err(OpenError::Permission("listen to process events", "it needs CAP_NET_ADMIN"));
                    }
                    None => {}
                },
                Arrival::Lost(_) | Arrival::Refused(..) => {}
            }
        }
    }
}

/// The error number in the acknowledgement of our LISTEN, if this is it: every listener hears those of all.
fn answer(bytes: &[u8], said: u32) -> Option<u32> {
    let message = ConnectorMessage::parse(bytes).ok()?;
    match ProcEvent::parse(&message).ok()?.what {
        What::Ack(error) if message.ack == said.wrapping_add(1) => Some(error),
        _ => None,
    }
}

impl UeventSource for ProcEvents {
    fn receive(&mut self, wait: Wait) -> io::Result<Arrival<'_>> {
        self.socket.receive(wait)
    }
}

impl AsFd for ProcEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for ProcEvents {
    fn drop(&mut self) {
        // Nobody is left to tell: close() is for those who want to know.
        let _ = self.ignore();
    }
}
