//! The NUL-separated strings after the header.

use std::iter::FusedIterator;

use super::ends::Ends;

/// The strings after the header, each without its NUL; from [`Message::strings`](super::Message::strings).
///
/// A NUL ends a string, it does not separate two: `a\0b\0` and `a\0b` are both `a`, `b`, and `\0` is one empty string.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Strings<'a> {
    pub(super) fn new(body: &'a [u8], offset: usize) -> Self {
        Self { rest: body, offset }
    }

    /// Where in the datagram the next string begins.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(0, self.rest);
        let string = &self.rest[..end.unwrap_or(self.rest.len())];
        // Past the NUL, which the last string need not have.
        let next = end.map_or(self.rest.len(), |nul| nul + 1);
        self.rest = &self.rest[next..];
        self.offset += next;
        Some(string)
    }
}

impl FusedIterator for Strings<'_> {}

/// The `KEY=value` pairs after the header; from [`Message::keys`](super::Message::keys).
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    body: &'a [u8],
    offset: usize,
    /// Where the next string begins in `body`.
    start: usize,
    /// Every `=` and NUL from there on: one scan finds both ends of a pair.
    ends: Ends<'a>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(body: &'a [u8], offset: usize) -> Self {
        Self { body, offset, start: 0, ends: Ends::new(body) }
    }

    // Inlined, as the two iterators it consists of: across crates a call per pair takes longer than the pair.
    /// The next pair, and where in the datagram its key begins.
    #[inline]
    pub(super) fn next_at(&mut self) -> Option<(usize, &'a [u8], &'a [u8])> {
        let equals = loop {
            let end = self.ends.next()?;
            if self.body[end] == b'=' {
                break end;
            }
            // A string without '=': the next one begins after its NUL.
            self.start = end + 1;
        };
        let body = self.body;
        // The value may hold further '=', and the last one need not have a NUL.
        let nul = self.ends.find(|&end| body[end] == 0).unwrap_or(body.len());
        let key = self.start;
        self.start = nul + 1;
        Some((self.offset + key, &body[key..equals], &body[equals + 1..nul]))
    }
}

impl<'a> Iterator for Keys<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_at().map(|(_, key, value)| (key, value))
    }
}

impl FusedIterator for Keys<'_> {}
