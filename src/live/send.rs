//! Messages of a simulated run, out on real sockets.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use sim::trace::{Event, Sink, What};
use uevent::netlink::{NetlinkSocket, OpenError, Protocol, To};
use uevent::source::{Arrival, UeventSource, Wait};
use uevent::wire::connector::NLMSG_HDR;

use crate::input::InputError;
use crate::lab::run::{Loaded, Watch, run};
use crate::render::words;

/// The messages that a run broadcasts, in order, whoever heard them.
///
/// # Errors
/// Those of [`run`].
pub fn messages(loaded: &Loaded, progress: Option<Box<dyn FnMut(usize, usize)>>) -> Result<Vec<Vec<u8>>, InputError> {
    let said = Said::default();
    run(loaded, Watch { progress, sinks: vec![Box::new(said.clone())] })?;
    Ok(said.0.take())
}

#[derive(Clone, Default)]
struct Said(Rc<RefCell<Vec<Vec<u8>>>>);

impl Sink for Said {
    fn event(&mut self, event: &Event) {
        if let What::Enter { func, args } = &event.what
            && let Some(message) = words::message(func, args)
        {
            self.0.borrow_mut().push(message.to_vec());
        }
    }
}

/// Where messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To a group of a protocol, 1 to 32. Listeners see who sent it.
    Group(Protocol, u32),
    /// Through the kernel, which broadcasts it to group 1 of `NETLINK_KOBJECT_UEVENT` as its own, `SEQNUM=` behind it.
    Kernel,
}

impl Way {
    /// Protocol and group at which messages on this way are heard.
    #[must_use]
    pub fn target(self) -> (Protocol, u32) {
        match self {
            Way::Group(protocol, group) => (protocol, group),
            Way::Kernel => (Protocol::KobjectUevent, 1),
        }
    }
}

/// An open socket on this way.
pub struct Sender {
    socket: NetlinkSocket,
    way: Way,
}

/// Flags of a message to the kernel: `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST_ACK: u16 = 1 | 4;
/// How long the kernel may take to answer. It answers within the system call.
const ANSWER: Duration = Duration::from_secs(1);
/// `NLMSG_MIN_TYPE`: the first type that is no control message.
const UEVENT: u16 = 16;
/// `NLMSG_ERROR`: the answer, with 0 or a negative error number.
const NLMSG_ERROR: u16 = 2;

impl Sender {
    /// Opens a socket.
    ///
    /// # Errors
    /// Those of [`NetlinkSocket::open`].
    pub fn open(way: Way) -> Result<Sender, OpenError> {
        let protocol = match way {
            Way::Group(protocol, _) => protocol,
            Way::Kernel => Protocol::KobjectUevent,
        };
        Ok(Sender { socket: NetlinkSocket::open(protocol, 0)?, way })
    }

    /// Sends one message. Through the kernel, it waits for its answer.
    ///
    /// # Errors
    /// Those of `sendto()`; what the kernel answers.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self.way {
            Way::Group(_, group) => self.socket.send(message, To::Groups(1 << (group - 1))),
            Way::Kernel => self.through_kernel(message),
        }
    }

    fn through_kernel(&mut self, message: &[u8]) -> io::Result<()> {
        let len = u32::try_from(NLMSG_HDR + message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut bytes = Vec::with_capacity(len as usize);
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(&UEVENT.to_ne_bytes());
        bytes.extend_from_slice(&REQUEST_ACK.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(message);
        self.socket.send(&bytes, To::Kernel)?;
        loop {
            let datagram = match self.socket.receive(Wait::AtMost(ANSWER))? {
                Arrival::Message(datagram) => datagram,
                Arrival::Nothing | Arrival::End => return Err(io::ErrorKind::TimedOut.into()),
                Arrival::Refused(..) | Arrival::Lost(_) => continue,
            };
            let word = |at: usize| datagram.bytes.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes);
            let kind = datagram.bytes.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
            match (kind, word(NLMSG_HDR)) {
                (Some(NLMSG_ERROR), Some(0)) => return Ok(()),
                (Some(NLMSG_ERROR), Some(error)) => return Err(io::Error::from_raw_os_error(-error)),
                _ => {}
            }
        }
    }
}
