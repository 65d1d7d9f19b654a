//! Shards into the whole.

use std::collections::BTreeMap;

use sim::explore::parallel::Shard;

use super::{FORMAT, Matrix};
use crate::input::InputError;
use crate::lab::report::plural;

/// What a file should be.
const EXPECTED: &str = "a shard of forklab matrix --json";

/// Reads the JSON of a matrix; `file` is its name in errors.
///
/// # Errors
/// [`InputError`] for text that is cut off, foreign, or of another version.
pub fn read(file: &str, text: &str) -> Result<Matrix, InputError> {
    let wrong = |found: &str, expected: &str| InputError::new(file, found, expected);
    let no_json = |error: serde_json::Error| InputError::json(file, text, &error, EXPECTED);
    let any: serde_json::Value = serde_json::from_str(text).map_err(no_json)?;
    let kind = any.get("forklab").and_then(|kind| kind.as_str());
    if kind != Some("matrix") {
        return Err(wrong(&of_kind(kind), EXPECTED));
    }
    let (format, version) = (any.get("format").and_then(serde_json::Value::as_u64), env!("CARGO_PKG_VERSION"));
    if format != Some(FORMAT.into()) || any.get("version").and_then(|version| version.as_str()) != Some(version) {
        let said = any.get("version").and_then(|version| version.as_str()).unwrap_or("no version");
        let said = format!("a shard of forklab {said}, format {}", format.map_or("none".into(), |f| f.to_string()));
        return Err(wrong(&said, &format!("forklab {version}, format {FORMAT}")));
    }
    let matrix: Matrix = serde_json::from_str(text).map_err(no_json)?;
    check(&matrix).map_err(|(found, expected)| wrong(&found, &expected))?;
    Ok(matrix)
}

/// JSON of another kind: what its key `forklab` says.
pub(crate) fn of_kind(kind: Option<&str>) -> String {
    match kind {
        Some(kind) => format!("the JSON of forklab {}", kind.trim_start_matches("forklab ")),
        None => "JSON that forklab did not write".to_owned(),
    }
}

/// The shards of one whole, as their files come: each is there once, and all say how many there are.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    first: Option<(String, usize)>,
    files: BTreeMap<usize, String>,
}

impl Shards {
    /// One more.
    ///
    /// # Errors
    /// [`InputError`] of the file, if it holds a shard of another number of shards, or one that was there.
    pub(crate) fn add(&mut self, file: &str, shard: Shard) -> Result<(), InputError> {
        let (first, of) = self.first.get_or_insert_with(|| (file.to_owned(), shard.of));
        if shard.of != *of {
            let expected = format!("one of {}, as in {first}", plural(*of as u64, "shard"));
            return Err(InputError::new(file, format!("shard {shard}"), expected));
        }
        match self.files.insert(shard.index, file.to_owned()) {
            Some(other) => {
                Err(InputError::new(file, format!("shard {shard} again, which is in {other}"), "each shard once"))
            }
            None => Ok(()),
        }
    }

    /// [`InputError`] that names the first of those that are missing, if any are.
    pub(crate) fn missing(&self) -> Option<InputError> {
        let of = self.first.as_ref()?.1;
        let index = (0..of).find(|index| !self.files.contains_key(index))?;
        let found = format!("{} of {}, without {}", self.files.len(), plural(of as u64, "shard"), Shard { index, of });
        Some(InputError::new("<command line>", found, "all of them"))
    }
}

/// Which designs a shard has, from 0.
fn shard_of(matrix: &Matrix) -> Result<Shard, (String, String)> {
    match &matrix.shard {
        None => Ok(Shard::ALL),
        Some(text) => text.parse().map_err(|_| (format!("shard {text:?}"), "I/N with I from 1 to N".to_owned())),
    }
}

/// Whether a matrix is one: every row has a design, and as many cells as there are columns.
fn check(matrix: &Matrix) -> Result<(), (String, String)> {
    let shard = shard_of(matrix)?;
    let rows = (0..matrix.survey.designs).filter(|i| shard.has(*i)).count();
    if matrix.rows.len() != rows {
        return Err((
            plural(matrix.rows.len() as u64, "row"),
            format!("{} in shard {shard}", plural(rows as u64, "row")),
        ));
    }
    for row in &matrix.rows {
        if row.design.parse::<fork_model::Design>().is_err() {
            return Err((format!("design {:?}", row.design), "a design".into()));
        }
        let columns = matrix.survey.properties.iter().map(|column| &column.id);
        if !row.cells.iter().map(|cell| &cell.property).eq(columns) {
            return Err((format!("a row of {} with other cells", row.design), "a cell for each property".into()));
        }
    }
    Ok(())
}

/// Merges shards, each with the name of its file.
///
/// # Errors
/// [`InputError`] for shards of different surveys, and for shards that are there twice or not at all.
pub fn merge(shards: Vec<(String, Matrix)>) -> Result<Matrix, InputError> {
    let Some((first_file, first)) = shards.first() else {
        return Err(InputError::new("<command line>", "no file", EXPECTED));
    };
    let mut seen = Shards::default();
    let mut rows = BTreeMap::new();
    for (file, matrix) in &shards {
        let shard = shard_of(matrix).map_err(|(found, expected)| InputError::new(file, found, expected))?;
        if let Some(difference) = difference(first, matrix) {
            let found = format!("a shard of another survey: {difference}");
            return Err(InputError::new(file, found, format!("one as in {first_file}")));
        }
        seen.add(file, shard)?;
        rows.insert(shard.index, matrix.rows.iter());
    }
    if let Some(missing) = seen.missing() {
        return Err(missing);
    }
    let of = rows.len();
    let rows = (0..first.survey.designs).filter_map(|i| rows.get_mut(&(i % of))?.next().cloned()).collect();
    let mut whole = Matrix { rows, shard: None, ..first.clone() };
    whole.conclude();
    Ok(whole)
}

/// In what two surveys differ, in a few words.
fn difference(one: &Matrix, other: &Matrix) -> Option<String> {
    let (one, other) = (&one.survey, &other.survey);
    let ids =
        |survey: &super::Survey| survey.properties.iter().map(|column| column.id.clone()).collect::<Vec<_>>().join(",");
    if one.fixed != other.fixed {
        let fixed: Vec<_> = other.fixed.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
        let fixed = if fixed.is_empty() { "no axis fixed".into() } else { fixed.join(" ") };
        return Some(format!("designs ({fixed})"));
    }
    if one.designs != other.designs {
        return Some(plural(other.designs as u64, "design"));
    }
    if ids(one) != ids(other) {
        return Some(format!("properties {}", ids(other)));
    }
    if one.effort != other.effort {
        let e = other.effort;
        return Some(format!("--runs {} --steps {} --random {} --seed {}", e.runs, e.steps, e.random, e.seed));
    }
    (one != other).then(|| "its properties are looked for elsewhere".to_owned())
}
