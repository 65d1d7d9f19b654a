//! Listens until there is enough, and counts.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use serde::Serialize;
use uevent::source::{Arrival, Loss, UeventSource, Wait};

use super::clock::Clock;
use super::stop::{Stop, Woken};

/// When to end without being told to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Until {
    /// After so many messages.
    pub messages: Option<u64>,
    /// After so long.
    pub time: Option<Duration>,
}

/// What a listener met, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Messages that were believed.
    pub messages: u64,
    /// Datagrams that were not, because of their sender.
    pub refused: u64,
    /// How often the receive buffer was full: each time an unknown number of messages is lost.
    pub overruns: u64,
    /// Messages that are missing by their numbers.
    pub missing: u64,
    /// Messages that were longer than the buffer.
    pub truncated: u64,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, arrival: &Arrival<'_>) {
        match arrival {
            Arrival::Message(_) => self.messages += 1,
            Arrival::Refused(..) => self.refused += 1,
            Arrival::Lost(Loss::Overrun) => self.overruns += 1,
            Arrival::Lost(Loss::Gap { expected, found, .. }) => self.missing += found - expected,
            Arrival::Lost(Loss::Truncated { .. }) => self.truncated += 1,
            Arrival::Nothing | Arrival::End => {}
        }
    }

    /// Whether something did not arrive.
    #[must_use]
    pub fn lost(&self) -> bool {
        self.overruns + self.missing + self.truncated > 0
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Tally) {
        let Tally { messages, refused, overruns, missing, truncated } = more;
        self.messages += messages;
        self.refused += refused;
        self.overruns += overruns;
        self.missing += missing;
        self.truncated += truncated;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { messages, refused, overruns, missing, truncated } = self;
        write!(f, "{messages} received, {refused} refused, ")?;
        match self.lost() {
            false => f.write_str("none lost"),
            true => write!(f, "{missing} missing by number, {overruns} overruns, {truncated} cut short"),
        }
    }
}

/// The source could not be read, or not be waited for.
#[derive(Debug, thiserror::Error)]
#[error("the socket could not be read: {0}")]
pub struct NotHeard(#[from] pub io::Error);

/// Why hearing ended early.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Nothing more can be heard.
    #[error(transparent)]
    Source(#[from] NotHeard),
    /// Whoever heard it could not go on.
    #[error("{0}")]
    Listener(io::Error),
}

/// Hands every arrival to `each`, with the tally so far, until [`Until`], a signal, or the source's end.
///
/// # Errors
/// [`NotHeard`], and those of `each`.
pub fn hear<E: From<NotHeard>>(
    source: &mut (impl UeventSource + AsFd),
    stop: &mut Stop,
    until: Until,
    mut each: impl FnMut(Arrival<'_>, &Tally) -> Result<(), E>,
) -> Result<Tally, E> {
    let begun = Clock::start();
    let mut tally = Tally::default();
    loop {
        let mut wait = until.time.map(|time| time.saturating_sub(begun.elapsed()));
        for _ in 0..uevent::source::BATCH {
            let arrival = source.receive(Wait::No).map_err(NotHeard)?;
            if arrival == Arrival::Nothing {
                break;
            }
            tally.count(&arrival);
            each(arrival, &tally)?;
            if arrival == Arrival::End || until.messages.is_some_and(|most| tally.messages >= most) {
                return Ok(tally);
            }
            // More may be there: look up only.
            wait = Some(Duration::ZERO);
        }
        let woken = stop.wait(source.as_fd(), wait).map_err(NotHeard)?;
        if woken == Woken::Stop || until.time.is_some_and(|time| begun.elapsed() >= time) {
            return Ok(tally);
        }
    }
}
