//! Reads the vectors, runs each case, compares, and says what differs.
//!
//! | module | holds |
//! |---|---|
//! | [`bench`] | a fresh machine and core for one case, and calls on it that may die |
//! | [`bytes`] | byte strings as the vectors write them |
//! | [`compare`] | expected against found, by JSON path |
//! | [`listeners`] | user sockets, bound before the call and read after it |
//! | [`record`] | the model's trace in the vectors' words |
//! | [`vectors`] | where the files are, and which there have to be |

pub mod bench;
pub mod bytes;
pub mod compare;
pub mod listeners;
pub mod record;
pub mod vectors;

use std::fmt::Display;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// The inputs that are lists of steps: a case without a step would say nothing.
const STEPS: [&str; 4] = ["adds", "forks", "sequence", "steps"];

/// Runs every case of `FILE.json` through `run`, which gives the outcome in the form of the case's `expect`.
///
/// An `input` that `I` does not describe is an error, as is an outcome that differs in any key.
///
/// # Panics
/// After the last case, with the first [`SHOWN`] errors.
pub fn check<I: DeserializeOwned>(file: &str, run: impl Fn(I) -> Value) {
    assert!(vectors::FILES.contains(&file), "{file}.json is missing in the list of files");
    let folder = vectors::folder();
    let (path, text) = vectors::read(&folder, file).unwrap_or_else(|error| panic!("{error}"));
    if path.parent() != Some(&folder) {
        say(&format!("{file}.json: not in {}, so {} is read", folder.display(), path.display()));
    }
    let cases: Vec<Case> = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!cases.is_empty(), "{} has no case", path.display());
    let mut errors = Vec::new();
    let count = cases.len();
    for case in cases {
        let error = |error: &dyn Display| format!("{file}.json, {}: {error}", case.id);
        match outcome(case.input, &run) {
            Ok(found) => errors.extend(compare::compare(&case.expect, &found).iter().map(|line| error(line))),
            Err(text) => errors.push(error(&text)),
        }
    }
    say(&format!("{file}.json: {count} cases, {} mismatches", errors.len()));
    let shown = errors[..errors.len().min(SHOWN)].join("\n");
    assert!(errors.is_empty(), "{} mismatches; the first {SHOWN} at the most:\n{shown}", errors.len());
}

/// A line for people. Not println!(): it is wanted of tests that succeed, too. One write, from the start of a line: tests
/// run at the same time, and libtest may have begun a line.
fn say(line: &str) {
    std::io::stderr().write_all(format!("\n{line}\n").as_bytes()).expect("stderr is open");
}

/// One case; a panic of the model is an error of the case, not of the file.
fn outcome<I: DeserializeOwned>(mut input: Value, run: impl Fn(I) -> Value) -> Result<Value, String> {
    if let Some(input) = input.as_object_mut() {
        input.remove("note"); // For people.
        let empty = |key: &&str| input.get(*key).and_then(Value::as_array).is_some_and(Vec::is_empty);
        if let Some(key) = STEPS.into_iter().find(|key| empty(key)) {
            return Err(format!("the input has an empty list of {key}"));
        }
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

#[test]
fn a_case_without_steps_is_an_error() {
    use serde_json::json;
    for key in STEPS {
        let found = outcome(json!({key: []}), |input: Value| input);
        assert_eq!(found, Err(format!("the input has an empty list of {key}")));
    }
    assert_eq!(outcome(json!({"steps": [1], "fail": []}), |_: Value| json!(1)), Ok(json!(1)));
}
