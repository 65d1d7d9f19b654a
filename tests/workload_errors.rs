//! Every mistake in a recording, with the exact words that the user reads.

use std::fs;
use std::path::Path;

use forklab::input::InputError;
use forklab::workload::Workload;

/// A recording that goes well, two lines long, to put a mistake behind.
const SOUND: &str = "fork,0,10,1,1,9,9\nfork,1,11,1,1,8,8\n";

fn error(bytes: &[u8]) -> InputError {
    Workload::parse("t.csv", bytes).expect_err("this is no recording")
}

#[test]
fn every_mistake_in_a_line_says_where_what_and_what_instead() {
    let cases = [
        "PLACEHOLDER"
    ];
}
