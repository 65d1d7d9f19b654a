//! Ends a live command cleanly: Ctrl-C and SIGTERM make its loop end, so that everything is said and closed.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

/// Signals, as something that can be polled.
pub struct Stop {
    end: UnixStream,
    child: UnixStream,
    stopped: bool,
}

/// Why [`Stop::wait`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The descriptor has something to read.
    Ready,
    /// Some child of this process has ended.
    Child,
    /// SIGINT, SIGTERM or SIGHUP came: end now.
    Stop,
    /// The time is over, or some other signal came.
    Time,
}

impl Stop {
    /// From now on these signals do not kill the process.
    ///
    /// # Errors
    /// Those of `socketpair()` and `sigaction()`.
    pub fn new() -> io::Result<Stop> {
        let pipe = |signals: &[i32]| {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            for &signal in signals {
                signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
            }
            io::Result::Ok(read)
        };
        Ok(Stop { end: pipe(&[SIGINT, SIGTERM, SIGHUP])?, child: pipe(&[SIGCHLD])?, stopped: false })
    }

    /// Waits until `fd` can be read, a signal has come, or the time is over (none: for ever).
    ///
    /// Once stopped, it stays stopped.
    ///
    /// # Errors
    /// Those of `poll()`.
    pub fn wait(&mut self, fd: BorrowedFd<'_>, at_most: Option<Duration>) -> io::Result<Woken> {
        self.poll(Some(fd), at_most)
    }

    /// Waits until a signal has come, or the time is over.
    ///
    /// # Errors
    /// Those of `poll()`.
    pub fn nap(&mut self, at_most: Duration) -> io::Result<Woken> {
        self.poll(None, Some(at_most))
    }

    fn poll(&mut self, fd: Option<BorrowedFd<'_>>, at_most: Option<Duration>) -> io::Result<Woken> {
        if self.stopped {
            return Ok(Woken::Stop);
        }
        let timeout = at_most.map(Timespec::try_from).transpose();
        let timeout = timeout.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (end, child) = (self.end.as_fd(), self.child.as_fd());
        // Without one, the same descriptor again, asked for nothing.
        let asked = fd.map_or(PollFlags::empty(), |_| PollFlags::IN);
        let mut fds = [(end, PollFlags::IN), (child, PollFlags::IN), (fd.unwrap_or(end), asked)]
            .map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags));
        match poll(&mut fds, timeout.as_ref()) {
            // The handler has written by now: look again.
            Err(rustix::io::Errno::INTR) => return self.poll(fd, Some(Duration::ZERO)),
            other => other?,
        };
        let [end, child, ready] = fds.map(|fd| !fd.revents().is_empty());
        if end {
            self.stopped = true;
            return Ok(Woken::Stop);
        }
        if child {
            // Several signals are one: whoever asks waits for all children that have ended.
            while self.child.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
            return Ok(Woken::Child);
        }
        Ok(if ready { Woken::Ready } else { Woken::Time })
    }
}
