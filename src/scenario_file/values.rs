//! Single values: numbers of a range, names, and words that may be numbers.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

use uevent::Era;

use super::Times;

/// A number of a range, which the error message shows.
struct Within(i64, i64);

impl Visitor<'_> for Within {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {} to {}", self.0, self.1)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
        if (self.0..=self.1).contains(&number) {
            return Ok(number);
        }
        Err(E::invalid_value(Unexpected::Signed(number), &self))
    }
}

pub(super) fn within<'de, const MIN: i64, const MAX: i64, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<i64>,
    D: Deserializer<'de>,
{
    let number = deserializer.deserialize_i64(Within(MIN, MAX))?;
    T::try_from(number).map_err(|_| de::Error::invalid_value(Unexpected::Signed(number), &Within(MIN, MAX)))
}

/// The same, of a key that may be left out.
pub(super) fn some_within<'de, const MIN: i64, const MAX: i64, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<i64>,
    D: Deserializer<'de>,
{
    within::<MIN, MAX, T, D>(deserializer).map(Some)
}

/// A kernel version whose accounting is known.
pub(super) fn era<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Era, D::Error> {
    let name = String::deserialize(deserializer)?;
    Era::from_name(&name).ok_or_else(|| de::Error::invalid_value(Unexpected::Str(&name), &"\"2.6.11\" or \"6.18\""))
}

pub(super) fn cache_line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match within::<32, 128, u32, _>(deserializer)? {
        bytes @ (32 | 64 | 128) => Ok(bytes),
        bytes => Err(de::Error::invalid_value(Unexpected::Unsigned(bytes.into()), &"32, 64 or 128")),
    }
}

/// The name of a lane: letters only, as a number behind it counts steps in a replay line.
///
/// A lane's name has room for 15; the last four tell the lanes of one program apart: `c`, `cB`, up to `cCRXP`.
pub(super) fn lane_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const LONGEST: usize = 11;
    let name = spelled(deserializer, "a name of lower-case letters", |c| c.is_ascii_lowercase())?;
    if name.len() > LONGEST {
        return Err(de::Error::invalid_value(Unexpected::Str(&name), &"a name of at most 11 letters"));
    }
    if name == "init" {
        return Err(de::Error::invalid_value(Unexpected::Str(&name), &"another name: init is the first process"));
    }
    Ok(name)
}

pub(super) fn scenario_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "a name of lower-case letters, digits and hyphens";
    spelled(deserializer, expected, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn spelled<'de, D: Deserializer<'de>>(d: D, expected: &str, legal: fn(char) -> bool) -> Result<String, D::Error> {
    let name = String::deserialize(d)?;
    if name.is_empty() || !name.chars().all(legal) {
        return Err(de::Error::invalid_value(Unexpected::Str(&name), &expected));
    }
    Ok(name)
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountOrForever;
        impl Visitor<'_> for CountOrForever {
            type Value = Times;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number from 1 to {}, or \"forever\"", u32::MAX)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Times, E> {
                let count = u32::try_from(number).ok().filter(|count| *count > 0);
                let wrong = || E::invalid_value(Unexpected::Signed(number), &self);
                count.map(Times::Count).ok_or_else(wrong)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Times, E> {
                match word {
                    "forever" => Ok(Times::Forever),
                    _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(CountOrForever)
    }
}
