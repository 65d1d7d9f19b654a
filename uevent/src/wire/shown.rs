//! Bytes for the eye.

use std::fmt::{self, Write};

/// Prints bytes with their NULs visible: `fork@/fork_kobj\0100\0101\0`.
///
/// NUL is `\0`, a backslash is `\\`, another byte outside of printable ASCII is `\xNN`, the rest is as it is. There are
/// no octal escapes: `\0100` is a NUL and then `100`. So two different byte strings never look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            0 => f.write_str(r"\0"),
            b'\\' => f.write_str(r"\\"),
            b' '..=b'~' => f.write_char(char::from(byte)),
            _ => write!(f, r"\x{byte:02x}"),
        })
    }
}
