//! The lessons, in their order. To add one: its file, and its line here.

use super::lesson::Lesson;

mod connector;
mod failures;
mod moment;
mod nobody;
mod overrun;
mod path;
mod sleep;
mod wire;

/// All of them.
pub static ALL: [&Lesson; 8] = [
    &path::LESSON,
    &wire::LESSON,
    &nobody::LESSON,
    &failures::LESSON,
    &moment::LESSON,
    &sleep::LESSON,
    &overrun::LESSON,
    &connector::LESSON,
];

/// The lesson of this number or name.
#[must_use]
pub fn find(word: &str) -> Option<&'static Lesson> {
    ALL.into_iter().find(|lesson| lesson.name == word || lesson.number.to_string() == word)
}
