//! A script behind a real file descriptor, for consumers that read a socket of their own.
//!
//! A pair of unix datagram sockets: the kernel end sends, the consumer's end is read like a netlink socket, one
//! datagram a `recv()`, the rest of one that does not fit thrown away.
//!
//! # What a unix socket cannot do
//! It never says `ENOBUFS`, and every sender is the same. So an overrun, and a stranger's message, are only counted, in
//! [`Untold`]: for those the consumer needs [`UeventSource`]. A message that is cut is only shorter: `MSG_TRUNC` tells of
//! the reader's buffer alone. And it has no end: behind the last message a `recv()` waits, as on a real socket.
//!
//! With the feature `netlink`, `netlink_pair` has a socket of `NETLINK_USERSOCK` for the consumer, whose receive buffer
//! really overruns.
//!
//! ```
//! # #[cfg(unix)] {
//! use forklab::testkit::{Script, fd};
//!
//! let script = Script::from_line("v1 bare fork:1>10 fork:10>11")?;
//! let (mut kernel, socket) = fd::pair(&script)?;
//! socket.set_nonblocking(true)?;
//! let (mut heard, mut buffer) = (Vec::new(), [0; 100]);
//! loop {
//!     let sent = kernel.send_turn()?;
//!     // Here the program reads all that is there. If it looks at kernel.truth() again, kernel.resynced() says so.
//!     while let Ok(len) = socket.recv(&mut buffer) {
//!         heard.push(buffer[..len].to_vec());
//!     }
//!     if sent == fd::Sent::All {
//!         break;
//!     }
//! }
//! assert_eq!(heard, [b"fork@/fork_kobj\x001\x0010\0".as_slice(), b"fork@/fork_kobj\x0010\x0011\0"]);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg(unix)]

use std::io;
use std::os::unix::net::UnixDatagram;

use uevent::source::{Arrival, Loss, Sender, UeventSource, Wait};

#[cfg(all(feature = "netlink", target_os = "linux"))]
use uevent::netlink::{NetlinkSocket, OpenError, Protocol, To};

use super::kernel::Kernel;
use super::script::Script;
use super::truth::Truth;

/// The kernel end of a [`pair`].
pub struct KernelEnd {
    kernel: Kernel,
    socket: Socket,
    /// A message that the socket had no room for.
    waiting: Option<Vec<u8>>,
    untold: Untold,
}

enum Socket {
    Unix(UnixDatagram),
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    Netlink(NetlinkSocket, u32),
}

impl Socket {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Socket::Unix(socket) => socket.send(bytes).map(drop),
            // An empty datagram is refused by newer kernels: nobody can get one.
            #[cfg(all(feature = "netlink", target_os = "linux"))]
            Socket::Netlink(_, _) if bytes.is_empty() => Ok(()),
            #[cfg(all(feature = "netlink", target_os = "linux"))]
            Socket::Netlink(socket, groups) => socket.send(bytes, To::Groups(*groups)),
        }
    }
}

/// What the script has and a unix socket cannot tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// Overruns: `ENOBUFS` on a netlink socket.
    pub overruns: u32,
    /// Messages from strangers, which were not sent.
    pub strangers: u32,
}

/// How far [`KernelEnd::send`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The script is over, and all was sent.
    All,
    /// The socket is full (`net.unix.max_dgram_qlen`, often 10 messages): read some, and send again.
    Full,
    /// One event, or one burst, was sent: a good moment to look at the consumer.
    Quiet,
}

/// The kernel end, which follows a script, and the socket for the consumer.
///
/// # Errors
/// Those of `socketpair()`.
pub fn pair(script: &Script) -> io::Result<(KernelEnd, UnixDatagram)> {
    let (socket, reader) = UnixDatagram::pair()?;
    socket.set_nonblocking(true)?;
    Ok((KernelEnd::new(script, Socket::Unix(socket)), reader))
}

/// The same with real netlink sockets, of `NETLINK_USERSOCK` and these groups, a bit each; two tests at once take two
/// groups. The consumer's believes root, and has the script's `rcvbuf`: it overruns when a burst is larger than that.
///
/// An `overrun` step is only counted, and so is a stranger's message.
///
/// # Errors
/// Those of [`NetlinkSocket::open`]: to join a group one needs CAP_NET_ADMIN.
#[cfg(all(feature = "netlink", target_os = "linux"))]
pub fn netlink_pair(script: &Script, groups: u32) -> Result<(KernelEnd, NetlinkSocket), OpenError> {
    let reader = NetlinkSocket::open(Protocol::Usersock, groups)?.trusting(uevent::source::Trust::Root);
    // The kernel doubles what it is asked for. Where it gives less, there are more overruns.
    let _ = reader.set_rcvbuf(script.rcvbuf as usize / 2);
    let reader = reader.with_room(script.room.into());
    // The real buffer decides what is lost.
    let boundless = Script { rcvbuf: u32::MAX, room: u16::MAX, ..script.clone() };
    let socket = Socket::Netlink(NetlinkSocket::open(Protocol::Usersock, 0)?, groups);
    Ok((KernelEnd::new(&boundless, socket), reader))
}

impl KernelEnd {
    fn new(script: &Script, socket: Socket) -> KernelEnd {
        KernelEnd { kernel: script.kernel(), socket, waiting: None, untold: Untold::default() }
    }

    /// Sends as much as the socket takes, up to the end of the script.
    ///
    /// # Errors
    /// Those of `send()`: the consumer's end is closed.
    pub fn send(&mut self) -> io::Result<Sent> {
        loop {
            match self.send_turn()? {
                Sent::Quiet => {}
                other => return Ok(other),
            }
        }
    }

    /// Sends up to the next moment in which there is nothing to read.
    ///
    /// # Errors
    /// As [`KernelEnd::send`].
    pub fn send_turn(&mut self) -> io::Result<Sent> {
        loop {
            if let Some(bytes) = self.waiting.take()
                && !self.offer(bytes)?
            {
                return Ok(Sent::Full);
            }
            match self.kernel.receive(Wait::No)? {
                Arrival::End => return Ok(Sent::All),
                Arrival::Nothing => return Ok(Sent::Quiet),
                Arrival::Lost(Loss::Overrun | Loss::Gap { .. }) => self.untold.overruns += 1,
                Arrival::Message(_) | Arrival::Refused(..) | Arrival::Lost(Loss::Truncated { .. }) => {
                    let (bytes, sender) = self.kernel.current();
                    match sender == Sender::KERNEL {
                        true => self.waiting = Some(bytes.to_vec()),
                        false => self.untold.strangers += 1,
                    }
                }
            }
        }
    }

    fn offer(&mut self, bytes: Vec<u8>) -> io::Result<bool> {
        match self.socket.send(&bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.waiting = Some(bytes);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// What there really is now.
    #[must_use]
    pub fn truth(&self) -> &Truth {
        self.kernel.truth()
    }

    /// The consumer has read [`KernelEnd::truth`]: see [`Kernel::resynced`].
    pub fn resynced(&mut self) {
        self.kernel.resynced();
    }

    /// What could not be told so far.
    #[must_use]
    pub fn untold(&self) -> Untold {
        self.untold
    }
}
