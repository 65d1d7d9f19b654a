//! What is wrong with a datagram, and where.

use std::fmt;

/// A byte of a datagram, read or about to be written, that cannot be what it is.
///
/// Prints as one line: `at byte 17: found end of message, expected NUL after the path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: found {found}, expected {expected}")]
pub struct WireError {
    /// Which byte of the datagram, from 0; its length if the datagram ends too early.
    pub offset: usize,
    /// What is there.
    pub found: Found,
    /// What should be.
    pub expected: &'static str,
}

/// What stands at the offset of a [`WireError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the datagram ends here.
    End,
    /// One byte of text.
    Byte(u8),
    /// A word of a libudev header.
    Word(u32),
}

impl WireError {
    /// The error about the byte at `offset` of `bytes`.
    pub(super) fn at(bytes: &[u8], offset: usize, expected: &'static str) -> Self {
        let found = bytes.get(offset).map_or(Found::End, |&byte| Found::Byte(byte));
        Self { offset, found, expected }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::End => f.write_str("end of message"),
            Self::Byte(0) => f.write_str("NUL"),
            Self::Byte(byte @ b' '..=b'~') => write!(f, "'{}'", char::from(byte)),
            Self::Byte(byte) => write!(f, "byte 0x{byte:02x}"),
            Self::Word(word) => write!(f, "{word} (0x{word:08x})"),
        }
    }
}
