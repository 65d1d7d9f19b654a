//! Whoever reads messages: one trait for the simulated socket, the real one and a test's script.
//!
//! A reader of a datagram socket meets more than messages, and what it meets is a value here, an [`Arrival`]: a
//! message whose sender is trusted, one whose sender is not, or the knowledge that something is missing. So a consumer
//! that is written against [`UeventSource`] cannot forget about loss, and its tests can make it happen.
//!
//! Nothing here does I/O: the real sockets are in `netlink`, behind the feature of that name.
//!
//! # Examples
//! A consumer as a function of any source. It counts what it heard and what it knows that it did not hear:
//! ```
//! use forklab_uevent::source::{Arrival, Datagram, Loss, Sender, UeventSource, Wait};
//! use forklab_uevent::wire::Message;
//!
//! fn drain(source: &mut dyn UeventSource) -> std::io::Result<(u32, u32)> {
//!     let (mut heard, mut losses) = (0, 0);
//!     loop {
//!         match source.receive(Wait::Block)? {
//!             Arrival::Message(datagram) => heard += u32::from(Message::parse(datagram.bytes).is_ok()),
//!             Arrival::Lost(_) => losses += 1,
//!             Arrival::Refused(..) => {}
//!             Arrival::Nothing | Arrival::End => return Ok((heard, losses)),
//!         }
//!     }
//! }
//!
//! // A script in place of a socket.
//! struct Script(Vec<Arrival<'static>>);
//! impl UeventSource for Script {
//!     fn receive(&mut self, _: Wait) -> std::io::Result<Arrival<'_>> {
//!         Ok(if self.0.is_empty() { Arrival::End } else { self.0.remove(0) })
//!     }
//! }
//! let fork = Datagram { bytes: b"fork@/fork_kobj\0100\0101\0", sender: Sender::KERNEL, group: 1 };
//! let mut script = Script(vec![Arrival::Message(fork), Arrival::Lost(Loss::Overrun)]);
//! assert_eq!(drain(&mut script)?, (1, 1));
//! # Ok::<(), std::io::Error>(())
//! ```

mod order;
mod sequenced;
mod trust;

use std::fmt;
use std::io;
use std::time::Duration;

pub use order::{Order, Stream};
pub use sequenced::{Numbers, Sequenced, per_cpu, seqnum};
pub use trust::{Refusal, Trust};

/// A source of messages: a simulated socket, a real one, or a script.
pub trait UeventSource {
    /// The next thing that the reader of this socket meets.
    ///
    /// With [`Wait::Block`], [`Arrival::Nothing`] is never returned; with the others it means "not now".
    ///
    /// # Errors
    /// What the operating system says of a socket that cannot be read. Loss is no error: it is [`Arrival::Lost`].
    fn receive(&mut self, wait: Wait) -> io::Result<Arrival<'_>>;

    /// Waits for one arrival, then hands over those that are there now, at most [`BATCH`].
    ///
    /// Returns how many there were, and whether the source has ended.
    ///
    /// # Errors
    /// As [`receive`](UeventSource::receive).
    fn receive_batch(&mut self, wait: Wait, each: &mut dyn FnMut(Arrival<'_>)) -> io::Result<Batch> {
        for count in 0..BATCH {
            match self.receive(if count == 0 { wait } else { Wait::No })? {
                Arrival::Nothing => return Ok(Batch { count, ended: false }),
                Arrival::End => return Ok(Batch { count, ended: true }),
                arrival => each(arrival),
            }
        }
        Ok(Batch { count: BATCH, ended: false })
    }
}

/// Arrivals that a batch has at most: whoever reads in a storm wants to look up now and then.
pub const BATCH: usize = 64;

/// What [`UeventSource::receive_batch`] handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// How many arrivals.
    pub count: usize,
    /// Nothing will ever follow.
    pub ended: bool,
}

/// How long a reader waits when there is nothing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until there is something.
    Block,
    /// Not at all.
    No,
    /// At most so long. A source without a clock, such as a simulated one, does not wait.
    AtMost(Duration),
}

/// What the reader of a source meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// A datagram whose sender is trusted.
    Message(Datagram<'a>),
    /// Something is missing, and this is how the reader knows.
    Lost(Loss),
    /// A datagram that is not to be believed, and why. It is shown so that it can be counted.
    Refused(Datagram<'a>, Refusal),
    /// There is nothing now.
    Nothing,
    /// Nothing will ever follow: the script or the simulated run is over. A real socket has no end.
    End,
}

/// One datagram, as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The bytes, for [`Message::parse`](crate::wire::Message::parse).
    pub bytes: &'a [u8],
    /// Who sent it, as the kernel says.
    pub sender: Sender,
    /// Multicast groups that it was sent to, a bit each; 0 if it was sent to this socket alone.
    pub group: u32,
}

/// Who sent a datagram. The kernel writes this, not the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `nl_pid` of the sender's address; 0 is the kernel.
    pub port: u32,
    /// `SCM_CREDENTIALS`: process id and user id; none if the socket did not ask for them.
    pub credentials: Option<Credentials>,
}

/// `struct ucred`, without the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process id; 0 for the kernel.
    pub pid: i32,
    /// User id, as seen in the reader's user namespace.
    pub uid: u32,
}

impl Sender {
    /// The kernel itself.
    pub const KERNEL: Sender = Sender { port: 0, credentials: Some(Credentials { pid: 0, uid: 0 }) };
}

/// Something did not arrive.
///
/// What was lost is gone; what a consumer can do is to look at the state itself again. For devices: walk `/sys`, or
/// have every `uevent` file written (`udevadm trigger`). For processes: read `/proc` again, and take the messages that
/// arrive meanwhile as newer than what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// `ENOBUFS`: the receive buffer was full, and at least one message was dropped.
    ///
    /// It is told at once, ahead of the messages that were queued before it, and once for however many were lost.
    Overrun,
    /// A number was passed over: messages before this one are missing.
    Gap {
        /// Whose numbers.
        stream: Stream,
        /// Which number should have come.
        expected: u64,
        /// Which one came.
        found: u64,
    },
    /// `MSG_TRUNC`: the datagram was longer than the reader's buffer, and its end is gone.
    Truncated {
        /// Bytes that were kept.
        kept: usize,
        /// Bytes that it had.
        of: usize,
    },
}

impl Loss {
    /// How many messages are missing, if that is known.
    #[must_use]
    pub fn count(self) -> Option<u64> {
        match self {
            Loss::Overrun => None,
            Loss::Gap { expected, found, .. } => Some(found - expected),
            Loss::Truncated { .. } => Some(1),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Overrun => {
                f.write_str("the receive buffer was full (ENOBUFS): an unknown number of messages is lost")
            }
            Loss::Gap { stream, expected, found } => {
                let missing = found - expected;
                let (s, are) = if missing == 1 { ("", "is") } else { ("s", "are") };
                write!(f, "{missing} message{s} of {stream} {are} missing: {found} came, {expected} was next")
            }
            Loss::Truncated { kept, of } => write!(f, "a message of {of} bytes was cut to {kept} (MSG_TRUNC)"),
        }
    }
}
