//! `docs/testkit.md`, followed to the letter by somebody who has nothing.

#[path = "common/reader.rs"]
mod reader;

#[test]
fn the_guide_leads_from_nothing_to_a_caught_bug_and_to_a_consumer_that_keeps_the_laws() {
    let blocks = reader::follow("docs/testkit.md");
    assert!(blocks.iter().filter(|block| block.kind == "console").count() >= 4, "the guide has lost its tests");
}
