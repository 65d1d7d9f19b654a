//! Shards into the whole.

use sim::explore::parallel::Shard;

use super::{FORMAT, Matrix};
use crate::input::InputError;

/// What a file should be.
const EXPECTED: &str = "a shard of forklab matrix --json";

/// Reads the JSON of a matrix; `file` is its name in errors.
///
/// # Errors
/// [`InputError`] for text that is cut off, foreign, or of another version.
pub fn read(file: &str, text: &str) -> Result<Matrix, InputError> {
    let wrong = |found: &str, expected: &str| InputError::new(file, found, expected);
    let place = |error: &serde_json::Error, expected: &str| {
        let (line, column) = (error.line() as u64, error.column() as u64);
        let found = if text.trim().is_empty() {
            "an empty file".to_owned()
        } else if error.is_eof() {
            "the end of the file, in the middle of a value".to_owned()
        } else {
            let said = error.to_string();
            said.split_once(" at line ").map_or(said.clone(), |(said, _)| said.to_owned())
        };
        wrong(&found, expected).at(line.max(1), column.max(1))
    };
    let any: serde_json::Value = serde_json::from_str(text).map_err(|error| place(&error, EXPECTED))?;
    match any.get("forklab").and_then(|kind| kind.as_str()) {
        Some("matrix") => {}
        Some(other) => return Err(wrong(&format!("the JSON of forklab {other}"), EXPECTED)),
        None => return Err(wrong("JSON that forklab did not write", EXPECTED)),
    }
    let (format, version) = (any.get("format").and_then(serde_json::Value::as_u64), env!("CARGO_PKG_VERSION"));
    if format != Some(FORMAT.into()) || any.get("version").and_then(|version| version.as_str()) != Some(version) {
        let said = any.get("version").and_then(|version| version.as_str()).unwrap_or("no version");
        let said = format!("a shard of forklab {said}, format {}", format.map_or("none".into(), |f| f.to_string()));
        return Err(wrong(&said, &format!("forklab {version}, format {FORMAT}")));
    }
    let matrix: Matrix = serde_json::from_str(text).map_err(|error| place(&error, EXPECTED))?;
    check(&matrix).map_err(|(found, expected)| wrong(&found, &expected))?;
    Ok(matrix)
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
        return Err((format!("{} rows", matrix.rows.len()), format!("{rows} rows in shard {shard}")));
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
    let wrong = |file: &str, found: String, expected: String| InputError::new(file, found, expected);
    let of = shard_of(first).map_err(|(found, expected)| wrong(first_file, found, expected))?.of;
    let mut seen: Vec<Option<&(String, Matrix)>> = vec![None; of];
    for entry in &shards {
        let (file, matrix) = entry;
        let shard = shard_of(matrix).map_err(|(found, expected)| wrong(file, found, expected))?;
        if let Some(difference) = difference(first, matrix) {
            return Err(wrong(
                file,
                format!("a shard of another survey: {difference}"),
                format!("one as in {first_file}"),
            ));
        }
        if shard.of != of {
            return Err(wrong(file, format!("shard {shard}"), format!("one of {of} shards, as in {first_file}")));
        }
        if let Some((other, _)) = seen[shard.index] {
            return Err(wrong(file, format!("shard {shard} again, which is in {other}"), "each shard once".into()));
        }
        seen[shard.index] = Some(entry);
    }
    if let Some(missing) = seen.iter().position(Option::is_none) {
        let there = seen.iter().flatten().count();
        let shard = Shard { index: missing, of };
        return Err(wrong("<command line>", format!("{there} of {of} shards, without {shard}"), "all of them".into()));
    }
    let mut rows: Vec<_> = seen.iter().flatten().map(|(_, matrix)| matrix.rows.iter()).collect();
    let rows = (0..first.survey.designs).filter_map(|i| rows[i % of].next().cloned()).collect();
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
        return Some(format!("{} designs", other.designs));
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
