//! Many datagrams by one system call.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, NetlinkAddr, UnixCredentials, recvmmsg};

use crate::source::{Credentials, Datagram, Loss, Sender};

/// Datagrams that `recvmmsg()` takes at once.
const DATAGRAMS: usize = 64;
/// Between two datagrams' rooms: with rooms of a power of two, all would begin in the same few sets of the cache.
const SKEW: usize = 192;

/// Room for datagrams, and those of the last system call that were not handed out yet.
pub(super) struct Batch {
    headers: MultiHeaders<NetlinkAddr>,
    bytes: Box<[u8]>,
    /// Bytes for each datagram.
    room: usize,
    got: Vec<Got>,
    next: usize,
}

/// What the kernel says about one datagram.
#[derive(Clone, Copy)]
struct Got {
    /// Its length, which may be more than there was room for.
    len: usize,
    sender: Sender,
    group: u32,
}

impl Batch {
    pub fn new(room: usize) -> Batch {
        Batch {
            headers: MultiHeaders::preallocate(DATAGRAMS, Some(nix::cmsg_space!(UnixCredentials))),
            bytes: vec![0; (room + SKEW) * DATAGRAMS].into(),
            room,
            got: Vec::with_capacity(DATAGRAMS),
            next: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.next == self.got.len()
    }

    /// Reads what is there: waits for the first datagram if `block`, and for no other.
    pub fn fill(&mut self, fd: BorrowedFd<'_>, block: bool) -> nix::Result<()> {
        self.got.clear();
        self.next = 0;
        // MSG_TRUNC: the true length of what does not fit.
        let wait = if block { MsgFlags::MSG_WAITFORONE } else { MsgFlags::MSG_DONTWAIT };
        let rooms = self.bytes.chunks_exact_mut(self.room + SKEW);
        let mut slices: Vec<_> = rooms.map(|room| [IoSliceMut::new(&mut room[..self.room])]).collect();
        let datagrams =
            recvmmsg(fd.as_raw_fd(), &mut self.headers, slices.iter_mut(), wait | MsgFlags::MSG_TRUNC, None)?;
        for datagram in datagrams {
            let credentials = datagram.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmCredentials(ucred) => Some(Credentials { pid: ucred.pid(), uid: ucred.uid() }),
                _ => None,
            });
            let (port, group) = datagram.address.map_or((0, 0), |address| (address.pid(), address.groups()));
            self.got.push(Got { len: datagram.bytes, sender: Sender { port, credentials }, group });
        }
        Ok(())
    }

    /// The next one that was read, or that it was cut.
    pub fn take(&mut self) -> Option<Result<Datagram<'_>, Loss>> {
        let got = *self.got.get(self.next)?;
        let start = self.next * (self.room + SKEW);
        self.next += 1;
        if got.len > self.room {
            return Some(Err(Loss::Truncated { kept: self.room, of: got.len }));
        }
        let bytes = &self.bytes[start..start + got.len];
        Some(Ok(Datagram { bytes, sender: got.sender, group: got.group }))
    }
}

/// An error of nix as one of std.
pub(super) fn io_error(errno: nix::Error) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}
