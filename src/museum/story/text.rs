//! The report of a telling for people.

use std::fmt;

use super::{AskedOf, Telling};
use crate::lab::report::{n, plural, violations};

/// More questions than this are counted, not shown.
const SHOWN: usize = 12;

impl fmt::Display for Telling {
    /// Ends with the replay line, which can be pasted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = if self.mended { "the mended kernel" } else { "2.6.11 as it was" };
        writeln!(f, " {:<9} {}", self.id, self.title)?;
        writeln!(f, " kernel    {kernel}")?;
        asked(&self.asked, f)?;
        if self.forks > 0 {
            writeln!(f, " tasks     {}", plural(self.forks, "fork"))?;
        }
        for (site, count) in &self.failed_allocations {
            writeln!(f, " failed    {site}: {}", plural(*count, "allocation"))?;
        }
        writeln!(f, " run       {}, ended {}", plural(self.steps, "step"), self.ended)?;
        let mut found = String::new();
        violations(&self.violations, &mut found)?;
        f.write_str(&found)?;
        writeln!(f, " trace     sha256 {}", self.trace_hash)?;
        writeln!(f, " replay    forklab replay '{}'", self.replay)
    }
}

/// Answers that are not the calm ones, and as many of the others as there is room for.
fn asked(asked: &[AskedOf], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let few = asked.len() <= SHOWN;
    let shown: Vec<_> = asked.iter().filter(|asked| few || asked.answer != 0).take(SHOWN).collect();
    for (i, asked) in shown.iter().enumerate() {
        let head = if i == 0 { " asked" } else { "" };
        writeln!(f, "{head:<11}{}: {}", asked.question.trim_end_matches('…').trim_end_matches(", "), asked.says)?;
    }
    match asked.len() - shown.len() {
        0 => Ok(()),
        more => writeln!(f, "{:<11}{} more", if shown.is_empty() { " asked" } else { "" }, n(more as u64)),
    }
}
