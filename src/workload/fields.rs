//! One line of a recording: its columns and their numbers.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{Record, What, Workload};
use crate::input::quoted;
use crate::lab::report::plural;

/// What is wrong with a line, and in which of its columns.
pub(crate) struct Wrong {
    /// Column of the CSV, counted from 0.
    pub field: usize,
    pub found: String,
    pub expected: String,
}

impl Wrong {
    pub(super) fn new(field: usize, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field, found: found.into(), expected: expected.into() }
    }
}

/// The character, counted from 1, at which a field begins; one behind the line's end for a field that is not there.
pub(super) fn column(line: &str, field: usize) -> u64 {
    let before: Vec<&str> = line.split(',').take(field).collect();
    let commas = before.len();
    (before.iter().map(|text| text.chars().count()).sum::<usize>() + commas + 1).min(line.chars().count() + 1) as u64
}

/// Reads one line that is neither empty nor a comment.
pub(super) fn record(line: u64, text: &str) -> Result<Record, Wrong> {
    let fields: Vec<&str> = text.split(',').collect();
    let event = fields[0];
    let shape = shape(event).ok_or_else(|| Wrong::new(0, quoted(event), "one of fork, exec, exit"))?;
    let columns = shape.split(',').count();
    if fields.len() != columns {
        let first = fields.len().min(columns);
        let found = plural(fields.len() as u64, "column");
        return Err(Wrong::new(first, found, format!("{columns}: {shape}")));
    }
    let pid = |field| number(&fields, field, "a pid", 1..=4_194_303);
    let word = |field, what| number(&fields, field, what, 0..=u32::MAX);
    Ok(Record {
        line,
        cpu: number(&fields, 1, "a cpu", 0..=4095)?,
        ns: number(&fields, 2, "nanoseconds", 0..=u64::MAX)?,
        what: match event {
            "fork" => What::Fork { parent_pid: pid(3)?, parent_tgid: pid(4)?, child_pid: pid(5)?, child_tgid: pid(6)? },
            "exec" => What::Exec { pid: pid(3)?, tgid: pid(4)? },
            _ => What::Exit {
                pid: pid(3)?,
                tgid: pid(4)?,
                exit_code: word(5, "an exit code")?,
                exit_signal: word(6, "a signal")?,
            },
        },
    })
}

/// The columns of an event, as [`Workload::HEADER`] names them.
fn shape(event: &str) -> Option<&'static str> {
    let (_, shapes) = Workload::HEADER.split_once(": ")?;
    shapes.split(" | ").find(|shape| shape.split(',').next() == Some(event))
}

/// Reads a number of decimal digits; `+1`, which `parse` would take, could not be written back as it was.
fn number<T>(fields: &[&str], field: usize, what: &str, range: RangeInclusive<T>) -> Result<T, Wrong>
where
    T: FromStr + PartialOrd + Display,
{
    let text = fields[field];
    text.parse().ok().filter(|number| range.contains(number) && !text.starts_with('+')).ok_or_else(|| {
        let expected = format!("{what} from {} to {}", range.start(), range.end());
        Wrong::new(field, quoted(text), expected)
    })
}
