//! Reads the vectors, runs each case, compares, and says what differs.
//!
//! | module | holds |
//! |---|---|
//! | [`bench`] | a fresh machine and core for one case, and calls on it that may die |
//! | [`bytes`] | byte strings as the vectors write them |
//! | [`compare`] | expected against found, by JSON path |
//! | [`listeners`] | user sockets, bound before the call and read after it |
//! | [`record`] | the model's trace in the vectors' words |

pub mod bench;
pub mod bytes;
pub mod compare;
pub mod listeners;
pub mod record;

use std::fmt::Display;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use bench::Bench;
pub use bytes::{Bytes, bytes_json};

/// How many mismatches of a file are printed.
const SHOWN: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    input: Value,
    expect: Value,
}

/// The folder that holds the vectors.
fn folder() -> PathBuf {
    std::env::var_os("FORKLAB_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vectors"), PathBuf::from)
}

/// Runs every case of `FILE.json` through `run`, which gives the outcome in the form of the case's `expect`.
///
/// An `input` that `I` does not describe is an error, as is an outcome that differs in any key.
///
/// # Panics
/// After the last case, with the first [`SHOWN`] errors.
pub fn check<I: DeserializeOwned>(file: &str, run: impl Fn(I) -> Value) {
    let path = folder().join(file).with_extension("json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<Case> = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut errors = Vec::new();
    let count = cases.len();
    for case in cases {
        let error = |error: &dyn Display| format!("{file}.json, {}: {error}", case.id);
        match outcome(case.input, &run) {
            Ok(found) => errors.extend(compare::compare(&case.expect, &found).iter().map(|line| error(line))),
            Err(text) => errors.push(error(&text)),
        }
    }
    // Not println!(): the counts are wanted of tests that succeed, too.
    writeln!(std::io::stderr(), "{file}.json: {count} cases, {} mismatches", errors.len()).expect("stderr is open");
    assert!(count > 0, "{} has no case", path.display());
    let shown = errors[..errors.len().min(SHOWN)].join("\n");
    assert!(errors.is_empty(), "{} mismatches; the first {SHOWN} at the most:\n{shown}", errors.len());
}

/// One case; a panic of the model is an error of the case, not of the file.
fn outcome<I: DeserializeOwned>(mut input: Value, run: impl Fn(I) -> Value) -> Result<Value, String> {
    if let Some(input) = input.as_object_mut() {
        input.remove("note"); // For people.
    }
    let input = serde_json::from_value(input).map_err(|error| format!("the input has an unknown shape: {error}"))?;
    catch_unwind(AssertUnwindSafe(|| run(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        format!("panicked: {}", text.unwrap_or("?"))
    })
}

/// Puts the entries of `more`, an object, behind those of `object`.
pub fn extend(object: &mut Value, more: Value) {
    let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) else { panic!("objects") };
    object.extend(more);
}
