//! A prediction: what the reader is asked, and the answer, which the simulator gives.

use super::run::Run;

/// A question before a step. Neither its choices nor its answer are written down: both are read from runs.
#[derive(Clone, Copy)]
pub struct Question {
    /// What is asked.
    pub prompt: &'static str,
    /// What can be chosen, 2 to 4 different answers; in any order.
    pub choices: fn(&Run) -> Vec<String>,
    /// The right one, computed from the lesson's run, or from another one that the question is about.
    pub answer: fn(&Run) -> String,
    /// Why, for after the answer.
    pub why: &'static str,
}

/// A question as it is asked in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is asked.
    pub prompt: &'static str,
    /// What can be chosen, in the order in which it is shown.
    pub choices: Vec<String>,
    /// Which of them is right.
    pub right: usize,
    /// Why.
    pub why: &'static str,
}

impl Question {
    /// Computes choices and answer. `None` if the answer is none of the choices: a mistake in the lesson, which its test finds.
    #[must_use]
    pub fn ask(&self, run: &Run) -> Option<Asked> {
        let (mut choices, answer) = ((self.choices)(run), (self.answer)(run));
        // Numbers by size, words by letter: where an answer stands says nothing.
        choices.sort_by_key(|choice| (choice.parse::<i64>().ok(), choice.clone()));
        choices.dedup();
        let right = choices.iter().position(|choice| *choice == answer)?;
        Some(Asked { prompt: self.prompt, choices, right, why: self.why })
    }
}
