//! The names of lanes.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};
use zerocopy::{Immutable, IntoBytes};

/// A lane's name: up to 15 ASCII letters or digits, by which schedules and pictures call it.
///
/// Two words and no array: a name is copied at every switch, and two words are copied in registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, IntoBytes, Immutable)]
#[repr(C)]
pub struct LaneName {
    /// The bytes of the text as they stand in memory; what is left over is 0.
    head: u64,
    tail: u64,
}

/// Bytes of a name, the last one of which is 0.
const ROOM: usize = size_of::<LaneName>();

impl LaneName {
    /// From a text of at most 15 ASCII letters and digits; `None` otherwise.
    #[must_use]
    #[inline]
    pub const fn from_text(name: &str) -> Option<LaneName> {
        let (bytes, mut i) = (name.as_bytes(), 0);
        let mut text = [0u64; 2];
        if bytes.len() >= ROOM {
            return None;
        }
        while i < bytes.len() {
            if !bytes[i].is_ascii_alphanumeric() {
                return None;
            }
            text[i / 8] |= (bytes[i] as u64) << (i % 8 * 8);
            i += 1;
        }
        Some(LaneName { head: text[0].to_le(), tail: text[1].to_le() })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.as_bytes();
        let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(ROOM);
        std::str::from_utf8(&bytes[..len]).expect("made of ASCII")
    }

    /// Whether this is the name of no lane: of work done before the first step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head == 0
    }
}

/// As texts: byte by byte.
impl Ord for LaneName {
    fn cmp(&self, other: &LaneName) -> Ordering {
        let number = |name: &LaneName| (name.head.to_be(), name.tail.to_be());
        number(self).cmp(&number(other))
    }
}

impl PartialOrd for LaneName {
    fn partial_cmp(&self, other: &LaneName) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<&str> for LaneName {
    /// # Panics
    /// If the text is longer than 15 bytes or not alphanumeric: names from outside go through [`LaneName::from_text`].
    #[inline]
    fn from(name: &str) -> LaneName {
        LaneName::from_text(name).expect("a lane's name is at most 15 ASCII letters or digits")
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for LaneName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}
