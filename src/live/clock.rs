//! Time that passes: the real kernel has a clock.

#![expect(clippy::disallowed_types, reason = "a real run takes real time")]

use std::time::Duration;

/// A moment, and how long ago it was.
#[derive(Clone, Copy, Debug)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// Now.
    #[must_use]
    pub fn start() -> Clock {
        Clock(std::time::Instant::now())
    }

    /// How long ago that was.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
