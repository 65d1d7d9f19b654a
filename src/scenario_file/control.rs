//! What a listener says of itself, and when: one control is one string of the file.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::input::quoted;

/// One control of a listener: `WORD`, or `WORD after N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// What it says or does.
    pub word: Word,
    /// Once this many forks were tried, in the run; `None`: before the run, listener by listener.
    pub after: Option<u32>,
}

/// What a listener says or does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// `listen`: LISTEN to a counter, "on" to a flag.
    Listen,
    /// `ignore`: IGNORE to a counter, "off" to a flag.
    Ignore,
    /// `filter`: no forks any more, please; the socket stays.
    Filter,
    /// `unfilter`: forks again.
    Unfilter,
    /// `die`: the socket closes, or the process ends, without a word.
    Die,
}

impl Word {
    const ALL: [(&'static str, Word); 5] = [
        ("listen", Word::Listen),
        ("ignore", Word::Ignore),
        ("filter", Word::Filter),
        ("unfilter", Word::Unfilter),
        ("die", Word::Die),
    ];
}

// Not serde's `try_from`: see Action.
impl<'de> Deserialize<'de> for Control {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ControlText;
        impl Visitor<'_> for ControlText {
            type Value = Control;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Control, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(ControlText)
    }
}

impl FromStr for Control {
    /// What was found and what was expected, in one sentence.
    type Err = String;

    fn from_str(text: &str) -> Result<Control, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let word = words.first().and_then(|first| Word::ALL.iter().find(|(name, _)| name == first));
        match (word, &words[..]) {
            (Some((_, word)), [_]) => Ok(Control { word: *word, after: None }),
            (Some((_, word)), [_, "after", forks]) => match forks.parse() {
                Ok(forks) => Ok(Control { word: *word, after: Some(forks) }),
                Err(_) => Err(format!("{}, expected a number of forks", quoted(forks))),
            },
            _ => Err(format!(
                "{}, expected listen, ignore, filter, unfilter or die, each with \"after N\" behind it for once N \
                 forks were tried",
                quoted(text)
            )),
        }
    }
}
