//! What the live commands share: their clock, their counts on standard error, their exit code.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use indicatif::ProgressBar;
use uevent::netlink::OpenError;

use super::Failure;
use super::bar::style;
use crate::live::feed::Feed;
use crate::live::hear::{Broken, NotHeard};
use crate::live::program::exit_code;

/// Below this receive buffer every event is read as it comes.
const SMALL: usize = 1 << 20;

/// How long events may gather in this feed's buffer.
pub(super) fn nap(feed: &Feed, nap: Duration) -> Duration {
    if feed.tally().rcvbuf < SMALL { Duration::ZERO } else { nap }
}

/// A size of a receive buffer.
pub(super) fn rcvbuf(text: &str) -> Result<usize, String> {
    let most = i32::MAX / 2;
    let bytes = text.parse().ok().filter(|bytes| (0..=most).contains(bytes));
    bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| format!("expected bytes from 0 to {most}"))
}

impl From<NotHeard> for Failure {
    fn from(error: NotHeard) -> Failure {
        Failure::Refused(error.to_string())
    }
}

/// Why nothing more is heard; `listener` words what the listener itself could not do.
pub(super) fn broken<E: Into<Failure>>(listener: impl Fn(io::Error) -> E) -> impl Fn(Broken) -> Failure {
    move |broken| match broken {
        Broken::Source(error) => error.into(),
        Broken::Listener(error) => listener(error).into(),
    }
}

/// What the operating system refused while `what`.
pub(super) fn failed(what: &str) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure::Refused(format!("{what}: {error}"))
}

/// Why the kernel does not let us listen or speak.
pub(super) fn refused(error: &OpenError) -> Failure {
    Failure::Refused(error.to_string())
}

/// CMD's own exit code; 1 if that is 0, or there is none, and something was lost.
pub(super) fn code(status: Option<ExitStatus>, lost: bool) -> u8 {
    match status.map_or(0, exit_code) {
        0 => u8::from(lost),
        code => code,
    }
}

/// Counts on standard error while it goes on; hidden when that is no terminal.
pub(super) struct Counter(ProgressBar);

impl Counter {
    pub(super) fn new() -> Counter {
        Counter(ProgressBar::new_spinner().with_style(style("{spinner} {elapsed} {msg}")))
    }

    /// Shows this.
    pub(super) fn say(&self, text: impl FnOnce() -> String) {
        if !self.0.is_hidden() {
            self.0.set_message(text());
            self.0.tick();
        }
    }

    /// Shows what `text` makes of `, 5 lost` or of nothing.
    pub(super) fn show(&self, feed: &Feed, text: impl FnOnce(&str) -> String) {
        self.say(|| {
            let tally = feed.tally();
            let lost = if tally.has_losses() { format!(", {} lost", tally.missing) } else { String::new() };
            text(&lost)
        });
    }

    /// Takes the counts away, before something else is said.
    pub(super) fn hide(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.hide();
    }
}
