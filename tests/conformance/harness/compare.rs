//! Expected against found.
//!
//! Every key that was recorded must be computed, and every key that is computed must have been recorded, with three
//! exceptions, all for what the description of the vectors leaves open:
//! - a recorded entry `{"fn": "<..>"}` is a remark of the recorder; one that nobody makes here is passed over;
//! - in what is found, a key with a `?` before its name need not have been recorded; if it was, it counts;
//! - in what is found, `{"one of": [..]}` allows several readings.

use serde_json::{Map, Value};

/// The mismatches, one a line: JSON path, expected, found.
pub fn compare(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk("", expected, found, &mut lines);
    lines
}

fn walk(path: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (_, Value::Object(found)) if found.contains_key("one of") => {
            let readings = found["one of"].as_array().expect("a list of readings");
            if !readings.contains(expected) {
                lines.push(format!("{path}: expected {expected}, found one of {}", found["one of"]));
            }
        }
        (Value::Object(expected), Value::Object(found)) => objects(path, expected, found, lines),
        (Value::Array(expected), Value::Array(found)) => arrays(path, expected, found, lines),
        _ if expected == found => {}
        _ => lines.push(format!("{path}: expected {expected}, found {found}")),
    }
}

fn objects(path: &str, expected: &Map<String, Value>, found: &Map<String, Value>, lines: &mut Vec<String>) {
    for (key, value) in expected {
        match found.get(key).or_else(|| found.get(&format!("?{key}"))) {
            Some(found) => walk(&format!("{path}.{key}"), value, found, lines),
            None => lines.push(format!("{path}.{key}: expected {value}, found no such key: nobody computes it")),
        }
    }
    for (key, value) in found {
        if !key.starts_with('?') && !expected.contains_key(key) {
            lines.push(format!("{path}.{key}: expected no such key, found {value}"));
        }
    }
}

fn arrays(path: &str, expected: &[Value], found: &[Value], lines: &mut Vec<String>) {
    let remark = |entry: &&Value| entry["fn"].as_str().is_some_and(|text| text.starts_with('<'));
    let expected: Vec<_> = expected.iter().filter(|entry| !remark(entry) || found.contains(entry)).collect();
    for (i, (expected, found)) in expected.iter().zip(found).enumerate() {
        walk(&format!("{path}[{i}]"), expected, found, lines);
    }
    let shorter = expected.len().min(found.len());
    if let Some(missing) = expected.get(shorter) {
        lines.push(format!("{path}[{shorter}]: expected {missing}, found the end after {shorter} entries"));
    }
    if let Some(extra) = found.get(shorter) {
        lines.push(format!("{path}[{shorter}]: expected the end after {shorter} entries, found {extra}"));
    }
}

#[test]
fn a_key_that_nobody_computes_and_a_key_that_nobody_recorded_are_both_mismatches() {
    use serde_json::json;
    let lines = compare(&json!({"a": 1, "b": [1, 2]}), &json!({"b": [1, 3, 4], "c": 2, "?d": 5}));
    assert_eq!(
        lines,
        [
            ".a: expected 1, found no such key: nobody computes it",
            ".b[1]: expected 2, found 3",
            ".b[2]: expected the end after 2 entries, found 4",
            ".c: expected no such key, found 2",
        ]
    );
    assert!(compare(&json!({"a": 1}), &json!({"?a": {"one of": [0, 1]}})).is_empty());
}
