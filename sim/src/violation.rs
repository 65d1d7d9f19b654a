//! What the lab found: a rule, the step, the cause.

use std::fmt;

use serde::Serialize;

use crate::lane::LaneName;

/// The rules that the machine itself checks, in the order in which a reader would want them reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A lane reads an object only while it holds a reference to it.
    UseAfterFree,
    /// An object is freed once.
    DoubleFree,
    /// A write stays inside the bytes that were asked for.
    OutOfBounds,
    /// What was allocated is freed.
    Leak,
    /// Nothing sleeps while a spinlock is held or interrupts are off.
    AtomicSleep,
    /// Somebody can always go on.
    Deadlock,
    /// `BUG()` is never reached.
    Bug,
    /// No NULL pointer is followed.
    Oops,
    /// `WARN_ON()` never holds.
    Warning,
    /// Locks are always taken in one order (lockdep).
    LockOrder,
    /// Who waits is woken when what it waits for has come.
    LostWakeup,
    /// A counter that several lanes change is changed under a lock, or atomically.
    DataRace,
    /// A rule of the layers above, with its id and its sentence.
    #[serde(untagged)]
    Law(Law),
}

/// A rule that the layers above state and check: a property of the notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Law {
    /// Its id, such as `P12`.
    pub id: &'static str,
    /// The rule in one sentence, for people.
    pub sentence: &'static str,
}

impl Rule {
    /// The rule in one sentence, for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Rule::UseAfterFree => "a lane reads an object only while it holds a reference to it",
            Rule::DoubleFree => "an object is freed once",
            Rule::OutOfBounds => "a write stays inside the bytes that were asked for",
            Rule::Leak => "what was allocated is freed",
            Rule::AtomicSleep => "nothing sleeps while a spinlock is held or interrupts are off",
            Rule::Deadlock => "somebody can always go on",
            Rule::Bug => "BUG() is never reached",
            Rule::Oops => "no NULL pointer is followed",
            Rule::Warning => "WARN_ON() never holds",
            Rule::LockOrder => "locks are always taken in one order",
            Rule::LostWakeup => "who waits is woken when what it waits for has come",
            Rule::DataRace => "a counter that several lanes change is changed under a lock, or atomically",
            Rule::Law(law) => law.sentence,
        }
    }
}

/// One broken rule: what happened, in which step of which lane, and what earlier step made it possible.
///
/// `Display` prints the finding in its first line and the cause, if known, in its second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// The step in which it broke; steps count from 1.
    pub step: u64,
    /// The lane that broke it.
    pub lane: LaneName,
    /// What happened, in the kernel's wording where the kernel has one.
    pub text: String,
    /// The earlier step that is to blame, in words.
    pub cause: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if let Some(cause) = &self.cause {
            write!(f, "\n{cause}")?;
        }
        Ok(())
    }
}
