//! A lesson as data: a run, and stops in it, each with a text, some with a question.

use sim::trace::{Event, What};

use super::question::Question;
use super::run::Run;
use crate::input::InputError;

/// A moment in a run, told by what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Before anything happens.
    Start,
    /// A function is entered.
    Enter(&'static str),
    /// It returns.
    Leave(&'static str),
    /// A function is called that the model does not open; or a lock operation, by its function.
    Call(&'static str),
    /// An allocation is tried, at this site.
    Alloc(&'static str),
    /// What was allocated at this site is freed.
    Free(&'static str),
    /// A lane waits.
    Wait(&'static str),
    /// A rule is broken.
    Found,
    /// All is over.
    End,
}

/// Where a lesson stops.
#[derive(Clone, Copy)]
pub struct Stop {
    mark: Mark,
    /// Which of several, from 1.
    nth: usize,
    /// Before it happens, so that the reader may predict it; otherwise after.
    before: bool,
    /// What there is to see.
    pub text: &'static str,
    /// What is asked.
    pub question: Option<Question>,
}

/// Stops after something has happened.
#[must_use]
pub const fn after(mark: Mark, text: &'static str) -> Stop {
    Stop { mark, nth: 1, before: false, text, question: None }
}

/// Stops before something happens.
#[must_use]
pub const fn before(mark: Mark, text: &'static str) -> Stop {
    Stop { mark, nth: 1, before: true, text, question: None }
}

impl Stop {
    /// The `nth` time, from 1.
    #[must_use]
    pub const fn nth(self, nth: usize) -> Stop {
        Stop { nth, ..self }
    }

    /// And asks.
    #[must_use]
    pub const fn ask(self, question: Question) -> Stop {
        Stop { question: Some(question), ..self }
    }

    /// The number of the frame of this stop: so many events have happened. `None` if it never comes.
    #[must_use]
    pub fn frame(&self, run: &Run) -> Option<usize> {
        match self.mark {
            Mark::Start => return Some(0),
            Mark::End => return Some(run.events.len()),
            _ => {}
        }
        let mut marked = run.events.iter().enumerate().filter(|(_, event)| self.mark.is(event));
        let (at, _) = marked.nth(self.nth.checked_sub(1)?)?;
        Some(if self.before { at } else { at + 1 })
    }
}

impl Mark {
    fn is(self, event: &Event) -> bool {
        match (self, &event.what) {
            (Mark::Enter(wanted), What::Enter { func, .. })
            | (Mark::Leave(wanted), What::Leave { func, .. })
            | (Mark::Call(wanted), What::Call { func, .. }) => wanted == *func,
            (Mark::Alloc(wanted), What::Alloc { site, .. }) => wanted == *site,
            (Mark::Free(wanted), What::Free { site, .. }) => Some(wanted) == *site,
            (Mark::Wait(lane), What::Wait { .. }) => event.lane.as_str() == lane,
            (Mark::Found, What::Violation(_)) => true,
            _ => false,
        }
    }
}

/// The panels, in the order in which Tab brings them to the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Who holds what, and whether he may sleep.
    Locks,
    /// Slots and bytes.
    Message,
    /// What listeners have not read yet.
    Queues,
    /// What lives.
    Memory,
}

/// A lesson.
pub struct Lesson {
    /// From 1.
    pub number: usize,
    /// One word, for the command line.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// What it shows, in a paragraph.
    pub intro: &'static str,
    /// The run: what `forklab replay` would be given.
    pub line: &'static str,
    /// The panel that comes first: what is to be watched.
    pub watch: Watch,
    /// In the order of the run.
    pub stops: &'static [Stop],
}

impl Lesson {
    /// Runs it.
    ///
    /// # Errors
    /// Those of [`Run::of`]; none in practice.
    pub fn run(&self) -> Result<Run, InputError> {
        Run::of(self.line)
    }

    /// The stops that this run comes to, with the numbers of their frames.
    #[must_use]
    pub fn stops(&self, run: &Run) -> Vec<(usize, &'static Stop)> {
        self.stops.iter().filter_map(|stop| Some((stop.frame(run)?, stop))).collect()
    }
}
