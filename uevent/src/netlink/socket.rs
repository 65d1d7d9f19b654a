//! A netlink socket: opened, bound, read in batches, written.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use super::OpenError;
use super::batch::{Batch, io_error};
use crate::source::{Arrival, Loss, Trust, UeventSource, Wait};

/// Room for one datagram, unless more is asked for: a uevent has at most 2,048 bytes behind its header, a process event 76.
const ROOM: usize = 8192;

/// A netlink protocol that forklab speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_KOBJECT_UEVENT`, 15.
    KobjectUevent,
    /// `NETLINK_CONNECTOR`, 11.
    Connector,
    /// `NETLINK_USERSOCK`, 2: for processes among themselves.
    Usersock,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// To the kernel's own socket of the protocol.
    Kernel,
    /// To the socket with this port id.
    Port(u32),
    /// To everyone in these groups, a bit each (and to the kernel's socket, if there is one).
    Groups(u32),
}

/// One netlink socket with what it read ahead.
///
/// Dropping it closes it. The kernel says whose a message is (`SO_PASSCRED`), and [`Trust`] says which are believed.
pub struct NetlinkSocket {
    fd: OwnedFd,
    protocol: Protocol,
    trust: Trust,
    batch: Batch,
}

impl Protocol {
    fn number(self) -> rustix::net::Protocol {
        match self {
            Protocol::KobjectUevent => netlink::KOBJECT_UEVENT,
            Protocol::Connector => netlink::CONNECTOR,
            Protocol::Usersock => netlink::USERSOCK,
        }
    }

    /// Its number, as a packet's header and `/proc/net/netlink` have it.
    #[must_use]
    pub fn raw(self) -> u8 {
        match self {
            Protocol::KobjectUevent => 15,
            Protocol::Connector => 11,
            Protocol::Usersock => 2,
        }
    }

    /// What is not there when the protocol is not.
    pub(super) fn missing(self) -> &'static str {
        match self {
            Protocol::KobjectUevent => "the kernel was built without CONFIG_NET",
            Protocol::Connector => {
                "the kernel was built without CONFIG_CONNECTOR, or this is not the first network namespace"
            }
            Protocol::Usersock => "the kernel has no AF_NETLINK",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::KobjectUevent => "NETLINK_KOBJECT_UEVENT",
            Protocol::Connector => "NETLINK_CONNECTOR",
            Protocol::Usersock => "NETLINK_USERSOCK",
        })
    }
}

impl NetlinkSocket {
    /// The kernel's uevents: group 1, only the kernel is believed.
    ///
    /// # Errors
    /// See [`NetlinkSocket::open`].
    pub fn uevents() -> Result<NetlinkSocket, OpenError> {
        NetlinkSocket::open(Protocol::KobjectUevent, 1)
    }

    /// What udevd makes of them: group 2, root is believed.
    ///
    /// # Errors
    /// See [`NetlinkSocket::open`].
    pub fn udev() -> Result<NetlinkSocket, OpenError> {
        Ok(NetlinkSocket::open(Protocol::KobjectUevent, 2)?.trusting(Trust::Root))
    }

    /// A socket that is bound to these groups, a bit each; 0 for none. Only the kernel is believed, see
    /// [`NetlinkSocket::trusting`].
    ///
    /// # Errors
    /// - [`OpenError::NoProtocol`]: not in this kernel or network namespace.
    /// - [`OpenError::Permission`]: the groups of this protocol are for root.
    /// - [`OpenError::Io`]: no descriptor, no memory.
    pub fn open(protocol: Protocol, groups: u32) -> Result<NetlinkSocket, OpenError> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(protocol.number()),
        );
        let fd = socket.map_err(|errno| match errno {
            rustix::io::Errno::PROTONOSUPPORT | rustix::io::Errno::AFNOSUPPORT => OpenError::NoProtocol(protocol),
            errno => OpenError::of("open a netlink socket", "it needs CAP_NET_ADMIN")(errno),
        })?;
        // Before bind(): a message that is queued earlier has no credentials.
        sockopt::set_socket_passcred(&fd, true).map_err(OpenError::of("ask for credentials", "SO_PASSCRED"))?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(OpenError::of(
            "bind to netlink groups",
            "joining this group needs CAP_NET_ADMIN (for process events before Linux 6.6: be root)",
        ))?;
        Ok(NetlinkSocket { fd, protocol, trust: Trust::Kernel, batch: Batch::new(ROOM) })
    }

    /// The same socket, believing these senders.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> NetlinkSocket {
        self.trust = trust;
        self
    }

    /// The same socket, with room for datagrams of `bytes` each; longer ones are [`Loss::Truncated`].
    #[must_use]
    pub fn with_room(mut self, bytes: usize) -> NetlinkSocket {
        self.batch = Batch::new(bytes.max(1));
        self
    }

    /// Its protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Its port id, `nl_pid`, which the kernel chose.
    ///
    /// # Errors
    /// Those of `getsockname()`.
    pub fn port(&self) -> io::Result<u32> {
        Ok(SocketAddrNetlink::try_from(rustix::net::getsockname(&self.fd)?)?.pid())
    }

    /// Asks for a receive buffer of `bytes`; returns what the kernel made of it, `sk_rcvbuf`.
    ///
    /// The kernel doubles it, for its own bookkeeping; keeps a minimum; and without CAP_NET_ADMIN keeps it below twice
    /// `net.core.rmem_max`.
    ///
    /// # Errors
    /// Those of `setsockopt()`.
    pub fn set_rcvbuf(&self, bytes: usize) -> io::Result<usize> {
        match sockopt::set_socket_recv_buffer_size_force(&self.fd, bytes) {
            Err(rustix::io::Errno::PERM) => sockopt::set_socket_recv_buffer_size(&self.fd, bytes)?,
            other => other?,
        }
        self.rcvbuf()
    }

    /// `sk_rcvbuf`, in bytes.
    ///
    /// # Errors
    /// Those of `getsockopt()`.
    pub fn rcvbuf(&self) -> io::Result<usize> {
        Ok(sockopt::socket_recv_buffer_size(&self.fd)?)
    }

    /// Sends one datagram.
    ///
    /// To groups it is a success when nobody listens: the kernel does not say.
    ///
    /// # Errors
    /// - `ECONNREFUSED`: nobody has this port.
    /// - `EPERM`: this protocol's groups, or other sockets of it, are for CAP_NET_ADMIN to write to.
    /// - `EMSGSIZE`: larger than the send buffer. `ENODATA`: empty, which newer kernels refuse.
    /// - `EAGAIN`, for one port: its buffer is full.
    pub fn send(&self, bytes: &[u8], to: To) -> io::Result<()> {
        let (port, groups) = match to {
            To::Kernel => (0, 0),
            To::Port(port) => (port, 0),
            To::Groups(groups) => (0, groups),
        };
        match rustix::net::sendto(&self.fd, bytes, SendFlags::empty(), &SocketAddrNetlink::new(port, groups)) {
            // After the groups it goes to port 0, too; where the kernel has no socket of this protocol, that one fails.
            Err(rustix::io::Errno::CONNREFUSED) if groups != 0 => Ok(()),
            sent => Ok(sent.map(|_| ())?),
        }
    }

    /// Waits until there is something to read; whether there is.
    fn wait(&self, at_most: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(at_most).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout))? > 0)
    }
}

impl UeventSource for NetlinkSocket {
    /// What was read ahead, or else what the kernel has, up to 64 datagrams by one system call.
    ///
    /// # Errors
    /// `Interrupted` when a signal came while this waited, so that the caller can see to it.
    fn receive(&mut self, wait: Wait) -> io::Result<Arrival<'_>> {
        if self.batch.is_empty() {
            if let Wait::AtMost(at_most) = wait
                && !self.wait(at_most)?
            {
                return Ok(Arrival::Nothing);
            }
            match self.batch.fill(self.fd.as_fd(), wait == Wait::Block) {
                Ok(()) => {}
                Err(Errno::ENOBUFS) => return Ok(Arrival::Lost(Loss::Overrun)),
                Err(Errno::EAGAIN) => return Ok(Arrival::Nothing),
                Err(errno) => return Err(io_error(errno)),
            }
        }
        Ok(match self.batch.take() {
            None => Arrival::Nothing,
            Some(Err(loss)) => Arrival::Lost(loss),
            Some(Ok(datagram)) => match self.trust.judge(datagram.sender) {
                Ok(()) => Arrival::Message(datagram),
                Err(refusal) => Arrival::Refused(datagram, refusal),
            },
        })
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
