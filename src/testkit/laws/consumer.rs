//! What a consumer has to offer to be judged.

use std::panic::{AssertUnwindSafe, catch_unwind};

use uevent::source::Arrival;

use crate::testkit::script::Format;
use crate::testkit::truth::{Truth, View};

/// A program that follows processes or devices by the kernel's messages.
pub trait Consumer {
    /// Which messages it reads.
    fn format(&self) -> Format {
        Format::Process
    }

    /// Takes what its socket gave: a message, a loss, a message from a stranger, or that there is nothing now.
    fn handle(&mut self, arrival: Arrival<'_>);

    /// Whether it wants to look at `/proc` or `/sys` again, now. Asked after every [`Consumer::handle`].
    ///
    /// The right moment after a loss is when there is nothing more to read, [`Arrival::Nothing`]: messages that are still
    /// queued are older than the truth that it gets, and until they are read the kernel loses all that follows.
    fn needs_resync(&self) -> bool;

    /// Looks at `/proc` or `/sys`: once at the beginning, and whenever it asked.
    fn resync(&mut self, truth: &Truth);

    /// What it believes now.
    fn view(&self) -> View;
}

/// A consumer whose panics are caught.
pub(super) struct Guarded<C>(pub C);

impl<C: Consumer> Guarded<C> {
    pub(super) fn handle(&mut self, arrival: Arrival<'_>) -> Result<(), String> {
        caught(|| self.0.handle(arrival))
    }

    pub(super) fn resync(&mut self, truth: &Truth) -> Result<(), String> {
        caught(|| self.0.resync(truth))
    }

    pub(super) fn view(&self) -> View {
        // A consumer that has panicked once may do so again: then it believes nothing.
        catch_unwind(AssertUnwindSafe(|| self.0.view())).unwrap_or_default()
    }
}

fn caught(action: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(action)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        format!("it panicked: {said}")
    })
}
