//! The example of a user's own hook and format: it runs, it finds what it should, and it is short.

use std::path::Path;
use std::process::Command;

/// Lines that an example may have to be called short.
const SHORT: usize = 60;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_own_design_never_breaks_a_rule_where_the_patch_as_posted_does() {
    let cargo = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--example", "own_design"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let said = String::from_utf8(cargo.stdout).expect("UTF-8");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    assert_eq!(
        said,
        "hook=end gate=always sequence=none format=bare delivery=broadcast\n  \
         400 seeds: 2 break a rule, 2 tell of nobody; 2059 bytes an event\n\
         hook=early gate=always sequence=none format=tiny delivery=broadcast\n  \
         400 seeds: 0 break a rule, 0 tell of nobody; 608 bytes an event\n"
    );
}

#[test]
fn the_example_is_shorter_than_a_screen_or_two() {
    let text = std::fs::read_to_string(root().join("examples/own_design.rs")).expect("the example");
    assert!(text.lines().count() < SHORT, "{} lines", text.lines().count());
}
