//! The names of lanes.

use std::fmt;

use serde::{Serialize, Serializer};

/// A lane's name: up to 15 ASCII letters or digits, by which schedules and pictures call it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LaneName {
    text: [u8; 15],
    len: u8,
}

impl LaneName {
    /// From a text of at most 15 ASCII letters and digits; `None` otherwise.
    #[must_use]
    pub fn from_text(name: &str) -> Option<LaneName> {
        let mut text = [0; 15];
        if name.len() > text.len() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        text[..name.len()].copy_from_slice(name.as_bytes());
        Some(LaneName { text, len: u8::try_from(name.len()).expect("at most 15") })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.len.into()]).expect("made of ASCII")
    }

    /// Whether this is the name of no lane: of work done before the first step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl From<&str> for LaneName {
    /// # Panics
    /// If the text is longer than 15 bytes or not alphanumeric: names from outside go through [`LaneName::from_text`].
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
