//! Byte strings: `{hex, text}` in the vectors, of which `hex` counts.

use std::fmt::Write as _;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// A byte string of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Both {
            hex: String,
            text: String,
        }
        let Both { hex, text } = Both::deserialize(d)?;
        let digits: Option<Vec<u8>> =
            hex.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let bytes: Vec<u8> = match digits {
            Some(digits) if digits.len() % 2 == 0 => digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect(),
            _ => return Err(D::Error::custom(format!("{hex:?} is not hex"))),
        };
        if shown(&bytes) != text {
            return Err(D::Error::custom(format!("hex says {:?}, text says {text:?}", shown(&bytes))));
        }
        Ok(Bytes(bytes))
    }
}

/// Bytes as the vectors write them; `null` for a NULL pointer.
pub fn bytes_json<'a>(bytes: impl Into<Option<&'a [u8]>>) -> Value {
    let Some(bytes) = bytes.into() else { return Value::Null };
    let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    json!({"hex": hex, "text": shown(bytes)})
}

/// Printable ASCII as it is; all else, and the backslash, as `\xNN`.
fn shown(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'\\' => text.push_str("\\x5c"),
            b' '..=b'~' => text.push((*byte).into()),
            _ => write!(text, "\\x{byte:02x}").expect("a String takes everything"),
        }
        text
    })
}
