//! `action_to_string()`, with the patch's addition.

use serde::Deserialize;
use serde_json::json;
use uevent::kobject_uevent::{KobjectAction, action_to_string};

use crate::harness;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    value: i32,
    name: Option<String>,
}

#[test]
fn every_recorded_action_has_its_string() {
    harness::check("action_strings", |Input { value, name }: Input| {
        let ours = KobjectAction::ALL.into_iter().find(|action| action.number() == value);
        assert_eq!(ours.map(|action| format!("KOBJ_{action:?}").to_uppercase()), name);
        json!({"string": action_to_string(value).map(|string| String::from_utf8_lossy(string))})
    });
}
