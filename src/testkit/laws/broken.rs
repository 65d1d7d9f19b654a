//! A broken law, as a page.

use std::fmt;

use crate::testkit::script::Script;
use crate::testkit::truth::{Truth, View};

/// A law that a consumer breaks, and the script that shows it. Its last line brings it back.
#[derive(Clone, PartialEq, Eq)]
pub struct Broken {
    /// The law's name.
    pub law: &'static str,
    /// The law, in a sentence.
    pub rule: &'static str,
    /// What happened.
    pub script: Script,
    /// How many steps had been taken.
    pub step: usize,
    /// What is wrong.
    pub wrong: Vec<String>,
    /// What the consumer believed.
    pub view: Box<View>,
    /// What really was.
    pub truth: Box<Truth>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "law      {}: {}", self.law, self.rule)?;
        let step = self.step.checked_sub(1).and_then(|last| self.script.steps.get(last));
        let behind = step.map_or("at the beginning".to_owned(), |step| format!("behind step {}, {step}", self.step));
        self.wrong.iter().try_for_each(|wrong| writeln!(f, "broken   {behind}: {wrong}"))?;
        indented(f, "stream", &self.script.stream().to_string())?;
        indented(f, "view", &self.view.only(self.script.format).to_string())?;
        indented(f, "truth", &self.truth.view().only(self.script.format).to_string())?;
        write!(f, "replay   {}", self.script.replay())
    }
}

fn indented(f: &mut fmt::Formatter<'_>, head: &str, text: &str) -> fmt::Result {
    let heads = std::iter::once(head).chain(std::iter::repeat(""));
    heads.zip(text.lines()).try_for_each(|(head, line)| writeln!(f, "{head:8} {line}"))
}

/// As it is displayed, so that `unwrap()` in a test shows it.
impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Broken {}
