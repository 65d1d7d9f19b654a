//! Decimal numbers as the kernel's `%d` and `%llu` write them.

use std::str::FromStr;

/// Reads a number that has exactly the spelling which printing it gives.
///
/// `007`, `+7` and `-0` are refused: accepting them would lose bytes, since the number alone could not bring them back.
pub(super) fn as_printed<T: FromStr>(text: &[u8]) -> Option<T> {
    let text = str::from_utf8(text).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    // Rust's own parser accepts a leading `+` and leading zeros.
    let other_spelling = digits.starts_with(['0', '+']) && text != "0";
    if other_spelling { None } else { text.parse().ok() }
}
