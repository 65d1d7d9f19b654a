//! The example of a user's own hook and format: it runs, it finds what it should, and it is short.

#[path = "common/reader.rs"]
mod reader;

use std::path::Path;

/// Lines that an example may have to be called short.
const SHORT: usize = 60;

#[test]
fn the_own_design_of_the_page_never_breaks_a_rule_where_the_patch_as_posted_does() {
    let blocks = reader::follow("docs/own-design.md");
    let shown = blocks.iter().find(|block| block.kind == "rust").expect("the program");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/own_design.rs");
    assert_eq!(shown.text, std::fs::read_to_string(example).expect("the example"));
    assert!(shown.text.lines().count() < SHORT, "{} lines", shown.text.lines().count());
    assert!(blocks.iter().any(|block| block.kind == "console"), "the page has lost its test");
}
