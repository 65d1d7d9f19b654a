//! What several laws look at in a run: forks, acts, and what listeners heard.

use fork_model::design::{Said, Seq};
use fork_model::facts::{Act, Fact, Outcome};

use crate::lab::listen::{Entry, Listener};
use crate::property::Run;

/// A fork as it was: the fields of [`Fact::Forked`].
#[derive(Clone, Copy, Debug)]
pub struct Forked {
    /// In which step.
    pub step: u64,
    /// Who called `do_fork()`.
    pub caller: i32,
    /// The process that became the parent.
    pub parent: i32,
    /// The child.
    pub child: i32,
    /// Its process.
    pub child_tgid: i32,
    /// It is a thread.
    pub is_thread: bool,
    /// The caller waits until it execs or exits.
    pub vfork: bool,
}

/// One notification: from its fork to its message.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// In which step it was sent, or came to nothing.
    pub step: u64,
    /// The child, as `do_fork()` allocated it.
    pub child: i32,
    /// The child that was reported.
    pub said: i32,
    /// Its number.
    pub seq: Option<Seq>,
    /// What came of it: `Kept`, or `Sent`.
    pub outcome: Outcome,
}

impl Run<'_> {
    /// Every fork, in order.
    pub fn forked(&self) -> impl DoubleEndedIterator<Item = Forked> {
        self.facts().iter().filter_map(|(step, fact)| match *fact {
            Fact::Forked { caller_pid, real_parent_tgid, child_pid, child_tgid, is_thread, vfork, .. } => {
                Some(Forked {
                    step: *step,
                    caller: caller_pid,
                    parent: real_parent_tgid,
                    child: child_pid,
                    child_tgid,
                    is_thread,
                    vfork,
                })
            }
            _ => None,
        })
    }

    /// The fork that made a task, before this step: the last one, as numbers are used again.
    #[must_use]
    pub fn fork_of(&self, child: i32, before: u64) -> Option<Forked> {
        self.forked().rev().find(|fork| fork.child == child && fork.step <= before)
    }

    /// What the tasks did, in order: step, who, what.
    pub fn acts(&self) -> impl Iterator<Item = (u64, i32, Act)> {
        self.facts().iter().filter_map(|(step, fact)| match *fact {
            Fact::Acts { pid, what } => Some((*step, pid, what)),
            _ => None,
        })
    }

    /// Every notification, in the order in which the forking tasks were done with it. One that was queued counts when its
    /// message was sent; what is still queued at the end is left out.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let mut sent: Vec<_> = self
            .facts()
            .iter()
            .filter_map(|(step, fact)| match *fact {
                Fact::Sent { child_said, outcome, .. } => Some((*step, child_said, Outcome::Sent(outcome))),
                _ => None,
            })
            .collect();
        let told = self.facts().iter().filter_map(|(step, fact)| match *fact {
            Fact::Told { child_true, child_said, seq, outcome, .. } => {
                Some(Event { step: *step, child: child_true, said: child_said, seq, outcome })
            }
            _ => None,
        });
        told.filter_map(|event| {
            if event.outcome != Outcome::Queued {
                return Some(event);
            }
            let at = sent.iter().position(|(_, said, _)| *said == event.said)?;
            let (step, _, outcome) = sent.remove(at);
            Some(Event { step, outcome, ..event })
        })
        .collect()
    }

    /// In which step an event was sent that was heard in this step or before.
    #[must_use]
    pub fn sent_in(&self, said: i32, heard: u64) -> u64 {
        let event = self.events().into_iter().rfind(|event| event.said == said && event.step <= heard);
        event.map_or(heard, |event| event.step)
    }

    /// In which step the event was sent that a listener heard.
    #[must_use]
    pub fn sent_at(&self, entry: &Entry) -> u64 {
        let heard = entry.step.min(self.observed.steps);
        match &entry.said {
            Ok(said) => self.sent_in(said.ids.child_pid, entry.step).min(heard),
            // Who cannot be read names nobody: the last one before.
            Err(_) => self.events().iter().rfind(|event| event.step <= entry.step).map_or(heard, |event| event.step),
        }
    }

    /// The listeners, each with all that it heard.
    pub fn heard(&self) -> impl Iterator<Item = (&Listener, Vec<Entry>)> {
        self.observed.world.listeners.iter().map(|listener| (listener, listener.heard.borrow().log.clone()))
    }

    /// What a listener heard and could read, with the steps.
    pub fn said(&self) -> impl Iterator<Item = (&Listener, Vec<(u64, Said)>)> {
        let read = |entry: Entry| Some((entry.step, entry.said.ok()?));
        self.heard().map(move |(listener, log)| (listener, log.into_iter().filter_map(read).collect()))
    }
}

/// An act as a sentence goes on: "101 exited".
#[must_use]
pub fn did(act: Act) -> &'static str {
    match act {
        Act::Runs => "ran",
        Act::Forks => "forked",
        Act::Execs => "called exec",
        Act::Exits => "exited",
        Act::Released => "was released",
    }
}
