//! What both arms can do, and what can be said about it: the vocabulary of every test body.

use uevent::MemInfo;

/// How a listener asks for its receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Not at all.
    Default,
    /// `SO_RCVBUF`.
    Rcvbuf(i32),
    /// `SO_RCVBUFFORCE`.
    Force(i32),
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// All who are in one of these groups, a bit each.
    Groups(u32),
    /// This listener alone, by its port id.
    Ear(usize),
}

/// What a sender hears. That a broadcast reached nobody is not told in the same words, and is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Accepted,
    /// -EAGAIN: the one receiver is full.
    Full,
    /// -ENODATA: an empty message.
    Empty,
}

/// What a receive that does not wait answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    Message {
        len: usize,
        /// Its first byte, which tells messages apart.
        first: Option<u8>,
        /// The groups in the sender's address.
        groups: u32,
    },
    /// -ENOBUFS.
    Lost,
    /// -EAGAIN.
    Nothing,
}

/// Netlink sockets of `NETLINK_USERSOCK` and a process that sends to them. Ears are numbered from 0 as they open.
pub trait Arm {
    /// A listener of these groups.
    fn open(&mut self, groups: u32, ask: Ask) -> usize;
    /// Sets the buffer of one that is open.
    fn ask(&mut self, ear: usize, ask: Ask);
    /// Closes its socket.
    fn close(&mut self, ear: usize);
    /// One message of `len` bytes, all of them `fill`.
    fn send(&mut self, to: To, len: usize, fill: u8) -> Sent;
    /// One receive that does not wait.
    fn receive(&mut self, ear: usize) -> Got;
    /// What the ear is charged with.
    fn meminfo(&mut self, ear: usize) -> MemInfo;
    /// Which ears became readable since this was asked last, in the order in which they were told. To be asked while
    /// none of them has anything to read.
    fn told(&mut self) -> Vec<usize>;
}

/// The groups of most tests: one that no other program uses.
pub const GROUP: u32 = 1 << 20;
