//! From parts to bytes: what is written here, [`Message::parse`] reads as the same parts.

use super::{Filters, Found, Message, WireError, libudev};

/// Appends `action@devpath\0`, then each string with its NUL.
///
/// Writes what `lib/kobject_uevent.c:send_uevent()` (Linux 2.6.11) puts into its buffer, without its limit of 1,024
/// bytes. The fork event of the patch is `emit_bare(out, "fork", "/fork_kobj", ["100", "101"])`; with no strings it is
/// an event of `do_kobject_uevent()`.
///
/// # Errors
/// A byte that would be read back as the end of its part: `@` in the action, NUL anywhere. The offset is the one this
/// byte would have in the message. `out` is then as it was.
pub fn emit_bare<S: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    action: impl AsRef<[u8]>,
    devpath: impl AsRef<[u8]>,
    strings: impl IntoIterator<Item = S>,
) -> Result<(), WireError> {
    all_or_nothing(out, |message| {
        message.header(action.as_ref(), devpath.as_ref())?;
        strings.into_iter().try_for_each(|string| message.part(string.as_ref(), 0, "no NUL in a string"))
    })
}

/// Appends `action@devpath\0`, then each pair as `KEY=value\0`.
///
/// Writes the pairs given and no others: `ACTION` and `DEVPATH` belong among them, first, as the kernel has them.
///
/// # Errors
/// As [`emit_bare`], and `=` in a key.
pub fn emit_keyed<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    action: impl AsRef<[u8]>,
    devpath: impl AsRef<[u8]>,
    keys: impl IntoIterator<Item = (K, V)>,
) -> Result<(), WireError> {
    all_or_nothing(out, |message| {
        message.header(action.as_ref(), devpath.as_ref())?;
        message.keys(keys)
    })
}

/// Appends a libudev header of 40 bytes, then each pair as `KEY=value\0`.
///
/// # Errors
/// `=` in a key, NUL in a key or value, no `ACTION` or no `DEVPATH` among the pairs, or 4 GiB of them and more. `out` is
/// then as it was.
pub fn emit_libudev<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    filters: Filters,
    keys: impl IntoIterator<Item = (K, V)>,
) -> Result<(), WireError> {
    all_or_nothing(out, |message| {
        message.out.extend_from_slice(libudev::PREFIX);
        message.out.extend_from_slice(&libudev::MAGIC.to_be_bytes());
        for size in [libudev::HEADER_SIZE as u32, libudev::HEADER_SIZE as u32, 0] {
            message.out.extend_from_slice(&size.to_ne_bytes());
        }
        message.out.extend_from_slice(&filters.subsystem_hash.to_be_bytes());
        message.out.extend_from_slice(&filters.devtype_hash.to_be_bytes());
        message.out.extend_from_slice(&filters.tag_bloom.to_be_bytes());
        message.keys(keys)?;
        // The length of the properties is known only now.
        let length = message.len() - libudev::HEADER_SIZE;
        let length = u32::try_from(length).map_err(|_| WireError {
            offset: 20,
            found: Found::Word(u32::MAX),
            expected: "properties of less than 4 GiB",
        })?;
        message.out[message.start + 20..][..4].copy_from_slice(&length.to_ne_bytes());
        Message::parse(&message.out[message.start..]).map(drop)
    })
}

/// A message under construction behind whatever the buffer held before.
struct Unfinished<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

impl Unfinished<'_> {
    fn len(&self) -> usize {
        self.out.len() - self.start
    }

    fn header(&mut self, action: &[u8], devpath: &[u8]) -> Result<(), WireError> {
        self.part(action, b'@', "neither '@' nor NUL in the action")?;
        self.part(devpath, 0, "no NUL in the path")
    }

    fn keys<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        keys: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), WireError> {
        keys.into_iter().try_for_each(|(key, value)| {
            self.part(key.as_ref(), b'=', "neither '=' nor NUL in a key")?;
            self.part(value.as_ref(), 0, "no NUL in a value")
        })
    }

    /// Writes one part and the byte that ends it, unless the part itself holds what would end it for a reader.
    fn part(&mut self, part: &[u8], end: u8, expected: &'static str) -> Result<(), WireError> {
        if let Some(at) = memchr::memchr2(end, 0, part) {
            let found = Found::Byte(part[at]);
            return Err(WireError { offset: self.len() + at, found, expected });
        }
        self.out.extend_from_slice(part);
        self.out.push(end);
        Ok(())
    }
}

/// Lets `write` append a message, and takes it all back if it fails.
fn all_or_nothing(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Unfinished<'_>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let start = out.len();
    let written = write(&mut Unfinished { out, start });
    if written.is_err() {
        out.truncate(start);
    }
    written
}
