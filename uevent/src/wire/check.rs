//! The strict side: what no kernel and no udevd writes.

use super::{Layout, Message, WireError, libudev};

/// The keys that the core writes itself, each once. A driver may add another key twice.
const CORE: [&[u8]; 4] = [b"ACTION", b"DEVPATH", b"SUBSYSTEM", b"SEQNUM"];

impl Message<'_> {
    /// Whether this could be what a kernel, or for its layout udevd, writes.
    ///
    /// This is about form only: it says nothing about [who wrote it](super#a-message-does-not-say-who-sent-it).
    /// Bytes that are not UTF-8 pass, since drivers put any byte into a value. The strings of a bare message are
    /// looked at only if it is a fork event, since no rule is known for others.
    ///
    /// # Errors
    /// The first of these, in this order:
    /// - the header has an empty action, or a path that does not begin with `/`;
    /// - the header of a libudev message is not the 40 bytes right before the properties;
    /// - the last string has no NUL, or something follows the properties;
    /// - a fork event without keys has not the two pids that [`Message::fork_pids`] wants;
    /// - in a message with keys: a string without a key; a second `ACTION`, `DEVPATH`, `SUBSYSTEM` or `SEQNUM`; an
    ///   `ACTION` or `DEVPATH` that is missing or not the header's; a `SEQNUM` that is no number.
    pub fn check(&self) -> Result<(), WireError> {
        if let Some(header) = self.libudev {
            let adjacent = header.properties_off as usize == libudev::HEADER_SIZE;
            self.require(adjacent, libudev::HEADER_SIZE, "the properties")?;
        } else {
            self.require(!self.action.is_empty(), 0, "an action")?;
            let path = self.action.len() + 1;
            self.require(self.devpath.starts_with(b"/"), path, "a path that begins with '/'")?;
        }
        let end = self.body_end();
        self.require(self.is_terminated(), end, "NUL after the last string")?;
        self.require(self.trailing().is_empty(), end, "nothing after the properties")?;
        match self.layout() {
            Layout::Bare if self.action == b"fork" => self.fork_pids().map(drop),
            Layout::Bare => Ok(()),
            Layout::Keyed | Layout::Libudev => self.check_keys(),
        }
    }

    fn check_keys(&self) -> Result<(), WireError> {
        let mut seen = [false; CORE.len()];
        let mut strings = self.strings();
        loop {
            let offset = strings.offset();
            let Some(string) = strings.next() else { break };
            let equals = memchr::memchr(b'=', string).filter(|&at| at > 0);
            self.require(equals.is_some(), offset, "KEY=value")?;
            let (key, value) = string.split_at(equals.unwrap_or_default());
            let Some(core) = CORE.iter().position(|&core| core == key) else {
                continue;
            };
            self.require(!seen[core], offset, "ACTION, DEVPATH, SUBSYSTEM and SEQNUM only once")?;
            seen[core] = true;
            let same = match key {
                b"ACTION" => !self.action.is_empty() && &value[1..] == self.action,
                b"DEVPATH" => self.devpath.starts_with(b"/") && &value[1..] == self.devpath,
                _ => true,
            };
            self.require(same, offset + key.len() + 1, "the action or path of the header")?;
        }
        self.require(seen[0] && seen[1], self.body_end(), "ACTION= and DEVPATH= before")?;
        self.seqnum().map(drop)
    }
}
