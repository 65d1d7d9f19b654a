//! `forklab check` as a user has it: what it takes, what it prints, shards and checkpoints.

mod common;

use common::{Done, command, forklab};

/// A check that takes a moment: its answer is a proof.
const SHORT: [&str; 6] = ["check", "--hook", "end-saved-pid", "--property", "P17,P18", "--json"];

fn short(more: &[&str]) -> Done {
    forklab(&[&SHORT[..], more].concat())
}

#[test]
fn a_shard_is_asked_of_the_environment_as_for_a_matrix() {
    let auto = |value: &str| {
        let args = [&SHORT[..], &["--shard", "auto"]].concat();
        command(&args).env("FORKLAB_SHARD", value).output().expect("it runs")
    };
    let asked = auto("2/3");
    assert_eq!(asked.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&asked.stdout), short(&["--shard", "2/3"]).out);
    let wrong = auto("4/3");
    assert_eq!((wrong.status.code(), wrong.stdout.as_slice()), (Some(2), &b""[..]));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("FORKLAB_SHARD=\"4/3\""));
    let wrong = short(&["--shard", "0/3"]);
    let expected = "found --shard \"0/3\", expected auto, or I/N with I from 1 to N, such as 2/8\n";
    assert_eq!((wrong.code, wrong.err), (Some(2), format!("forklab: <command line>: {expected}")));
}

#[test]
fn a_property_that_is_named_twice_is_searched_once_and_the_order_is_the_user_s() {
    let ids = |list: &str| {
        let done = forklab(&["check", "--hook", "end-saved-pid", "--property", list, "--json"]);
        let answer: serde_json::Value = serde_json::from_str(&done.out).expect("JSON");
        let properties = answer["properties"].as_array().expect("a list").clone();
        properties.iter().map(|property| property["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("P18,P17,P18,P17"), ["P18", "P17"]);
}
