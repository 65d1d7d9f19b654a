//! The command that `record` and `relay` run.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process};

use crate::input::{InputError, quoted};

/// Between two looks whether it has ended.
const STEP: Duration = Duration::from_millis(10);

const A_COMMAND: &str = "a command that can be run";

/// A command that runs, with the terminal and the standard streams of this process.
pub struct Program {
    child: Child,
}

/// Looks whether there is such a command, before anything else is done.
///
/// # Errors
/// An [`InputError`] that names it.
pub fn find(words: &[OsString]) -> Result<(), InputError> {
    let Some(name) = words.first() else { return Err(InputError::new("<command line>", "nothing", A_COMMAND)) };
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    let found = if name.as_encoded_bytes().contains(&b'/') {
        runs(name.as_ref())
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| runs(&folder.join(name)))
    };
    if found {
        return Ok(());
    }
    let why = if Path::new(name).is_dir() {
        "a directory"
    } else if Path::new(name).exists() && name.as_encoded_bytes().contains(&b'/') {
        "a file that may not be executed"
    } else {
        "no such command"
    };
    Err(InputError::new(quoted(&name.to_string_lossy()), why, A_COMMAND))
}

impl Program {
    /// Starts it, in this process group: Ctrl-C reaches it as well.
    ///
    /// # Errors
    /// An [`InputError`] that names it.
    pub fn start(words: &[OsString]) -> Result<Program, InputError> {
        find(words)?;
        let child = Command::new(&words[0]).args(&words[1..]).spawn();
        let child = child
            .map_err(|error| InputError::new(quoted(&words[0].to_string_lossy()), error.to_string(), A_COMMAND))?;
        Ok(Program { child })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// Those of `waitpid()`.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end, and waits for that, at most so long. How it ended, if it has.
    ///
    /// # Errors
    /// Those of `kill()` and `waitpid()`.
    pub fn end(&mut self, at_most: Duration) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.ended()? {
            return Ok(Some(status));
        }
        self.terminate()?;
        for _ in 0..at_most.as_millis() / STEP.as_millis() {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            pause(STEP);
        }
        self.ended()
    }

    /// Asks it to end, by SIGTERM; not that it has ended.
    ///
    /// # Errors
    /// Those of `kill()`.
    pub fn terminate(&self) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(kill_process(pid, Signal::TERM)?)
    }
}

#[expect(clippy::disallowed_methods, reason = "the real kernel has a clock, and a real program takes time to end")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// An exit status as a shell has it: the code, or 128 and the signal.
#[must_use]
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    u8::try_from(code & 0xff).expect("masked")
}
