//! The binary header that udevd puts before the properties it sends to multicast group 2.

use super::{Found, Keys, Message, WireError};

/// What a libudev message begins with: the first eight bytes of its header.
pub(super) const PREFIX: &[u8; 8] = b"libudev\0";

/// The next four, big endian.
pub(super) const MAGIC: u32 = 0xfeed_cafe;

/// The header's size, and the offset of the properties that udevd writes right behind it.
pub(super) const HEADER_SIZE: usize = 40;

/// The header of a libudev message.
///
/// Models systemd's `monitor_netlink_header`. Sizes and offsets are in the byte order of the host, since sender and
/// receiver are on the same one; the magic and the filter words are big endian.
///
/// DIFFERENCE: udev ignores `header_size` and `properties_len` and reads up to the end of the datagram. Here both must
/// fit, and what follows the properties is kept apart, in [`Message::trailing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LibudevHeader {
    /// Size of the header, at least 40. What a longer one holds is kept in [`Message::bytes`] only.
    pub header_size: u32,
    /// Where the properties begin, counted from the start of the datagram.
    pub properties_off: u32,
    /// How many bytes of properties there are.
    pub properties_len: u32,
    /// What a listener's socket filter looks at.
    pub filters: Filters,
}

/// Hashes by which the socket filter (BPF) of a listener drops messages it did not ask for.
///
/// The codec carries them and does not compute them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Hash of the value of `SUBSYSTEM`.
    pub subsystem_hash: u32,
    /// Hash of the value of `DEVTYPE`, 0 if there is none.
    pub devtype_hash: u32,
    /// Bloom filter of the device's tags; the header holds the high word first.
    pub tag_bloom: u64,
}

impl LibudevHeader {
    /// Reads the header at the start of `bytes` and holds it against their length.
    fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let Some(header) = bytes.first_chunk::<HEADER_SIZE>() else {
            return Err(WireError::at(bytes, bytes.len(), "a libudev header of 40 bytes"));
        };
        let word = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        let (big, host) = (|at| u32::from_be_bytes(word(at)), |at| u32::from_ne_bytes(word(at)));
        let expect = |fits: bool, offset, word, expected| match fits {
            true => Ok(()),
            false => Err(WireError { offset, found: Found::Word(word), expected }),
        };
        let (size, off, len) = (host(12), host(16), host(20));
        // In u64 the sum cannot wrap, whatever a hostile sender writes.
        let end = u64::from(off) + u64::from(len);
        expect(big(8) == MAGIC, 8, big(8), "the magic 0xfeedcafe")?;
        expect(size >= HEADER_SIZE as u32, 12, size, "a header size of at least 40")?;
        expect(off >= size, 16, off, "properties after the header")?;
        expect(u64::from(off) <= bytes.len() as u64, 16, off, "properties inside the message")?;
        expect(end <= bytes.len() as u64, 20, len, "properties that end inside the message")?;
        Ok(Self {
            header_size: size,
            properties_off: off,
            properties_len: len,
            filters: Filters {
                subsystem_hash: big(24),
                devtype_hash: big(28),
                tag_bloom: u64::from(big(32)) << 32 | u64::from(big(36)),
            },
        })
    }
}

/// Reads a message that begins with [`PREFIX`].
pub(super) fn parse(bytes: &[u8]) -> Result<Message<'_>, WireError> {
    let header = LibudevHeader::parse(bytes)?;
    let body_offset = header.properties_off as usize;
    let body_end = body_offset + header.properties_len as usize;
    let body = &bytes[body_offset..body_end];
    let first = |wanted: &[u8], expected| {
        let found = Keys::new(body, body_offset).find(|(key, _)| *key == wanted);
        found.map(|(_, value)| value).ok_or(WireError::at(bytes, body_end, expected))
    };
    Ok(Message {
        bytes,
        action: first(b"ACTION", "ACTION= among the properties")?,
        devpath: first(b"DEVPATH", "DEVPATH= among the properties")?,
        body,
        body_offset,
        libudev: Some(header),
    })
}
