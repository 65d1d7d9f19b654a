//! The loop of a live command: hears until a program has ended, somebody says stop, or enough was heard.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitStatus;
use std::time::Duration;

use super::feed::{Feed, Heard};
use super::hear::{Broken, NotHeard};
use super::program::{Program, pause};
use super::stop::{Stop, Woken};

/// Arrivals between two looks at the signals.
const BATCH: usize = 4096;
/// How often the counts are shown.
const TICK: Duration = Duration::from_millis(200);
/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(1);
const GRACE_STEP: Duration = Duration::from_millis(20);

/// Why [`follow`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The program has ended, so.
    Program(ExitStatus),
    /// Ctrl-C, SIGTERM or SIGHUP came.
    Stopped,
    /// Enough was heard.
    Enough,
}

/// Who hears.
pub trait Listener {
    /// One arrival.
    ///
    /// # Errors
    /// Those of what it writes to; they end the loop.
    fn hear(&mut self, heard: Heard<'_>) -> io::Result<()>;

    /// Something to do now and then, a few times a second or more often: to show counts, to look at other sockets.
    ///
    /// # Errors
    /// As [`Listener::hear`].
    fn tick(&mut self, feed: &mut Feed) -> io::Result<()>;

    /// Whether it has heard enough.
    fn enough(&self) -> bool {
        false
    }
}

/// Hears until something ends it. `nap` is how long events may gather before they are looked at: who reads each event
/// as it comes wakes up as often as there are forks, and slows them down.
///
/// Stopped, it asks the program to end, and hears it out for a second. After an error it ends the program, too.
///
/// # Errors
/// [`Broken`]: the socket, the program or the listener.
pub fn follow(
    feed: &mut Feed,
    stop: &mut Stop,
    mut program: Option<&mut Program>,
    nap: Duration,
    listener: &mut dyn Listener,
) -> Result<Ended, Broken> {
    let ended = follow_on(feed, stop, program.as_deref_mut(), nap, listener);
    if let (Err(_), Some(program)) = (&ended, program) {
        // Nobody would hear it any more. What went wrong is worth more than what goes wrong here.
        let _ = program.end(GRACE);
    }
    ended
}

fn follow_on(
    feed: &mut Feed,
    stop: &mut Stop,
    mut program: Option<&mut Program>,
    nap: Duration,
    listener: &mut dyn Listener,
) -> Result<Ended, Broken> {
    loop {
        let count = feed.drain(BATCH, &mut |heard| listener.hear(heard))?;
        listener.tick(feed).map_err(Broken::Listener)?;
        if listener.enough() {
            return Ok(Ended::Enough);
        }
        if let Some(status) = program.as_mut().map_or(Ok(None), |program| program.ended()).map_err(NotHeard)? {
            return Ok(Ended::Program(status));
        }
        let woken = match count {
            // The socket may hold what it read ahead, so it is not waited for.
            BATCH => stop.wait(feed.as_fd(), Some(Duration::ZERO)),
            0 => stop.wait(feed.as_fd(), Some(TICK)),
            _ => stop.nap(nap),
        }
        .map_err(NotHeard)?;
        if woken == Woken::Stop {
            return stopped(feed, program, listener);
        }
    }
}

fn stopped(feed: &mut Feed, program: Option<&mut Program>, listener: &mut dyn Listener) -> Result<Ended, Broken> {
    let Some(program) = program else { return Ok(Ended::Stopped) };
    // It may have ended by the same Ctrl-C, which is what was wanted.
    let _ = program.terminate();
    for _ in 0..GRACE.as_millis() / GRACE_STEP.as_millis() {
        if let Some(status) = program.ended().map_err(NotHeard)? {
            return Ok(Ended::Program(status));
        }
        feed.drain(BATCH, &mut |heard| listener.hear(heard))?;
        pause(GRACE_STEP);
    }
    Ok(Ended::Stopped)
}
