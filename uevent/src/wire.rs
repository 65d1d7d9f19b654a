//! The bytes of a uevent datagram: a codec that does no I/O, allocates nothing to read, and loses nothing.
//!
//! Three layouts have been sent over `NETLINK_KOBJECT_UEVENT`. `\0` is a NUL:
//!
//! | layout | who writes it | bytes |
//! |---|---|---|
//! | [`Layout::Bare`] | 2.6.11's `do_kobject_uevent()` | `mount@/block/sda\0` |
//! | | the `KOBJ_FORK` patch | `fork@/fork_kobj\0100\0101\0` |
//! | [`Layout::Keyed`] | `kobject_hotplug()` in 2.6.11, `kobject_uevent_env()` since | `add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0…SEQNUM=1\0` |
//! | [`Layout::Libudev`] | udevd, to multicast group 2 | `libudev\0`, 32 bytes of binary header, `ACTION=add\0DEVPATH=…\0` |
//!
//! # What is an error and what is merely odd
//! [`Message::parse`] is the lenient side. It refuses what has no action, no path or no end of header, and a libudev
//! header that points outside of the datagram. It keeps, in order and byte for byte, what a kernel would never write:
//! strings without `=`, with `=` first, or empty; keys that occur twice; bytes that are not UTF-8; a last string
//! without its NUL; bytes around the properties of a libudev message. [`Message::bytes`] gives back the datagram.
//!
//! [`Message::check`] is the strict side: it names the first thing that no kernel and no udevd writes.
//!
//! # A message does not say who sent it
//! A datagram that parses, and even passes `check`, may come from any process (CVE-2009-1185: udevd believed everyone,
//! and so everyone became root). Before trusting one, look at what the kernel says about its sender: port id 0 and
//! `SCM_CREDENTIALS` uid 0 for group 1; uid 0 for group 2. And expect the layout that belongs to the group:
//! [`Layout::Libudev`] never comes from a kernel.
//!
//! # Examples
//! The patch's event has no keys, so a parser that looks for `PID=` finds nothing:
//! ```
//! use forklab_uevent::wire::{Message, Shown};
//!
//! let message = Message::parse(b"fork@/fork_kobj\0100\0101\0")?;
//! assert_eq!(message.action(), b"fork");
//! assert_eq!(message.fork_pids()?, (100, 101));
//! assert_eq!(message.keys().count(), 0);
//! assert_eq!(Shown(message.bytes()).to_string(), r"fork@/fork_kobj\0100\0101\0");
//! # Ok::<(), forklab_uevent::wire::WireError>(())
//! ```
//! A keyed event is best read in one pass, which sees duplicates too:
//! ```
//! use forklab_uevent::wire::Message;
//!
//! let message = Message::parse(b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SEQNUM=7\0")?;
//! let keys: Vec<_> = message.keys().collect();
//! assert_eq!(keys[1], (&b"DEVPATH"[..], &b"/devices/x"[..]));
//! assert_eq!(message.get("SUBSYSTEM"), None);
//! assert_eq!(message.seqnum()?, Some(7));
//! # Ok::<(), forklab_uevent::wire::WireError>(())
//! ```
//! An error says where, what is there and what should be:
//! ```
//! use forklab_uevent::wire::Message;
//!
//! let error = Message::parse(b"add@/devices/x").unwrap_err();
//! assert_eq!(error.to_string(), "at byte 14: found end of message, expected NUL after the path");
//! ```

mod check;
pub mod connector;
mod emit;
mod ends;
mod error;
mod fork_keys;
mod libudev;
mod number;
pub mod proc_event;
mod shown;
mod strings;

use std::fmt;

pub use emit::{emit_bare, emit_keyed, emit_libudev};
pub use error::{Found, WireError};
pub use fork_keys::{SUBSYSTEM, fork_keys};
pub use libudev::{Filters, LibudevHeader};
pub use shown::Shown;
pub use strings::{Keys, Strings};

/// One uevent datagram, borrowed: every slice it gives points into the bytes it was parsed from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
    action: &'a [u8],
    devpath: &'a [u8],
    /// What follows the header, up to the end of the datagram or of the libudev properties.
    body: &'a [u8],
    /// Where `body` begins in `bytes`, so that errors can name a byte of the datagram.
    body_offset: usize,
    libudev: Option<LibudevHeader>,
}

/// How a datagram is laid out; see the [table](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `action@path\0`, then nothing or strings whose first is not `KEY=value`.
    Bare,
    /// `action@path\0`, then strings whose first is `KEY=value`.
    Keyed,
    /// udevd's binary header, then `KEY=value` strings.
    Libudev,
}

impl<'a> Message<'a> {
    /// Reads a datagram of any layout.
    ///
    /// The action ends at the first `@`: no kernel's action contains one, but paths do (`/devices/platform/i2c@4000`).
    /// A libudev message has no such header, so its action and path are the first `ACTION` and `DEVPATH` among its
    /// properties; udev refuses it without them, and so do we.
    ///
    /// # Errors
    /// - no `@` before the first NUL, or none at all (an empty datagram included);
    /// - no NUL after the path;
    /// - `libudev\0`, but fewer than 40 bytes, another magic than `0xfeedcafe`, a header size, properties' offset or
    ///   length that does not fit the datagram, or no `ACTION=` or `DEVPATH=` among the properties.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        if bytes.starts_with(libudev::PREFIX) {
            return libudev::parse(bytes);
        }
        let at = match memchr::memchr2(b'@', 0, bytes) {
            Some(at) if bytes[at] == b'@' => at,
            end => {
                return Err(WireError::at(bytes, end.unwrap_or(bytes.len()), "'@' after the action"));
            }
        };
        let path = &bytes[at + 1..];
        let Some(path_len) = memchr::memchr(0, path) else {
            return Err(WireError::at(bytes, bytes.len(), "NUL after the path"));
        };
        Ok(Self {
            bytes,
            action: &bytes[..at],
            devpath: &path[..path_len],
            body: &path[path_len + 1..],
            body_offset: at + 1 + path_len + 1,
            libudev: None,
        })
    }

    /// The whole datagram, as it was given to [`Message::parse`].
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What happened, `add` or `fork`: from the header, in a libudev message from `ACTION=`.
    pub fn action(&self) -> &'a [u8] {
        self.action
    }

    /// To whom it happened, a path below `/sys`: from the header, in a libudev message from `DEVPATH=`.
    pub fn devpath(&self) -> &'a [u8] {
        self.devpath
    }

    /// Which layout the datagram has.
    ///
    /// Bare and keyed differ in nothing but the first string after the header: a keyed message always begins with
    /// `ACTION=`. So a bare one stays bare when a kernel appends `SEQNUM=` to it, which since 4.18 it does to what a
    /// process sends through it.
    pub fn layout(&self) -> Layout {
        if self.libudev.is_some() {
            return Layout::Libudev;
        }
        match self.strings().next() {
            Some(first) if first.contains(&b'=') => Layout::Keyed,
            _ => Layout::Bare,
        }
    }

    /// udevd's binary header, if the layout has one.
    pub fn libudev(&self) -> Option<LibudevHeader> {
        self.libudev
    }

    /// Every string after the header, in order, whatever is in it.
    pub fn strings(&self) -> Strings<'a> {
        Strings::new(self.body, self.body_offset)
    }

    /// Every `KEY=value` after the header, in order, duplicates too; a string without `=` is passed over.
    ///
    /// The key ends at the first `=`. Key and value may be empty.
    pub fn keys(&self) -> Keys<'a> {
        Keys::new(self.body, self.body_offset)
    }

    /// The value of the first `key=`.
    ///
    /// Each call scans the message; to look at several keys, or at the last of several equal ones, use
    /// [`Message::keys`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        self.keys().find(|(found, _)| *found == key.as_ref()).map(|(_, value)| value)
    }

    /// Whether the last string has its NUL. If not, the datagram was probably cut, and its last value may be too.
    pub fn is_terminated(&self) -> bool {
        self.body.last().is_none_or(|&last| last == 0)
    }

    /// What follows the properties of a libudev message. No other layout leaves anything over.
    pub fn trailing(&self) -> &'a [u8] {
        &self.bytes[self.body_end()..]
    }

    /// The number in the first `SEQNUM=`, or `None` if there is no such key.
    ///
    /// # Errors
    /// The value is not a `u64` as `%llu` writes it (`7`, but not `07` or `+7`), or no NUL ends it: the first digits
    /// of a number are another number.
    pub fn seqnum(&self) -> Result<Option<u64>, WireError> {
        let mut keys = self.keys();
        while let Some((offset, key, value)) = keys.next_at() {
            if key == b"SEQNUM" {
                return self.number(offset + b"SEQNUM=".len(), value, "a u64 as %llu writes it").map(Some);
            }
        }
        Ok(None)
    }

    /// Parent's and child's pid in a bare fork event.
    ///
    /// Reads what `lib/kobject_uevent.c:kobject_fork()` of the patch writes: two strings, each an `int` formatted
    /// by `%d`. A `SEQNUM=` that a newer kernel appended is allowed after them.
    ///
    /// # Errors
    /// The action is not `fork`; one of the two strings is missing, is not an `i32` as `%d` writes it, or is not
    /// ended by a NUL; anything else follows. So a keyed fork event is an error: use [`Message::get`].
    pub fn fork_pids(&self) -> Result<(i32, i32), WireError> {
        self.require(self.action == b"fork", 0, "action fork")?;
        let mut strings = self.strings();
        let mut pid = || {
            let offset = strings.offset();
            let text = strings.next().unwrap_or_default();
            self.number(offset, text, "a pid as %d writes it")
        };
        let pids = (pid()?, pid()?);
        let offset = strings.offset();
        let Some(extra) = strings.next() else { return Ok(pids) };
        let Some(seqnum) = extra.strip_prefix(b"SEQNUM=") else {
            return Err(WireError::at(self.bytes, offset, "nothing after the two pids"));
        };
        self.number::<u64>(offset + b"SEQNUM=".len(), seqnum, "a u64 as %llu writes it")?;
        let offset = strings.offset();
        self.require(strings.next().is_none(), offset, "nothing after SEQNUM")?;
        Ok(pids)
    }

    /// Reads `text`, which stands at `offset`, as a number that nothing has cut off.
    fn number<T: std::str::FromStr>(&self, offset: usize, text: &[u8], expected: &'static str) -> Result<T, WireError> {
        let number = number::as_printed(text).ok_or_else(|| WireError::at(self.bytes, offset, expected))?;
        // A string that reaches the end has no NUL: see a_number_that_may_have_been_cut_off_is_an_error.
        let end = offset + text.len();
        self.require(end < self.body_end(), end, "NUL after the number")?;
        Ok(number)
    }

    /// An error about the byte at `offset` unless all is `right` there.
    fn require(&self, right: bool, offset: usize, expected: &'static str) -> Result<(), WireError> {
        if right { Ok(()) } else { Err(WireError::at(self.bytes, offset, expected)) }
    }

    /// Where the strings end: at the end of the datagram, or of the libudev properties.
    fn body_end(&self) -> usize {
        self.body_offset + self.body.len()
    }
}

/// Shows the datagram with its NULs visible.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", Shown(self.bytes))
    }
}
