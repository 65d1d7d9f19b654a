//! A script: what happens, in which format it is told, and what the reader's socket is like.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::kernel::Kernel;
use super::step::{Birth, Device, Step, Task};
use super::stream::Stream;

/// What the kernel's messages look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `struct proc_event` in a connector message, as kernels send it today: a number for each CPU, a time, thread ids.
    #[default]
    Process,
    /// Uevents of devices with keys and `SEQNUM=`. Processes are not told of.
    Uevents,
    /// The patch's `fork@/fork_kobj\0100\0101\0`: no number, and of exits nothing.
    Bare,
    /// A fork with keys and `SEQNUM=`: of exits nothing.
    Keyed,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 4] = [Format::Process, Format::Uevents, Format::Bare, Format::Keyed];

    /// The word that stands for it in a script.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Process => "process",
            Format::Uevents => "uevents",
            Format::Bare => "bare",
            Format::Keyed => "keyed",
        }
    }
}

/// A scripted kernel: what happens, how it is told, what the reader's socket is like.
///
/// One line of text, which can be read, edited and pasted: a version, a format, sizes that differ from the default, `calm`
/// where nobody may resynchronise, the steps. See [`Step`] for their table.
///
/// ```
/// use forklab::testkit::Script;
///
/// let script = Script::from_line("v1 process fork:1>10@1 overrun exit:10")?;
/// assert_eq!(script.to_string(), "v1 process fork:1>10@1 overrun exit:10");
/// let wrong = Script::from_line("v1 fork:1>10 frok:1>11").unwrap_err();
/// assert!(wrong.to_string().starts_with("column 14: found `frok`, expected a step: fork, thread,"));
/// # Ok::<(), forklab::testkit::LineError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What messages look like.
    pub format: Format,
    /// `sk_rcvbuf`: bytes that the receive buffer may be charged with before a message is lost.
    pub rcvbuf: u32,
    /// Bytes that the reader offers to a receive: a longer datagram is cut.
    pub room: u16,
    /// Nothing is lost: whoever resynchronises has not listened, and is judged for it.
    pub calm: bool,
    /// What happens.
    pub steps: Vec<Step>,
}

/// `net.core.rmem_default` of the simulated kernel.
pub const RCVBUF: u32 = 124_928;
/// What readers of uevents offer: udevd, libudev and this project.
pub const ROOM: u16 = 8192;

impl Script {
    /// A script of these steps, with the default sizes.
    #[must_use]
    pub fn new(format: Format, steps: impl IntoIterator<Item = Step>) -> Script {
        Script { format, rcvbuf: RCVBUF, room: ROOM, calm: false, steps: steps.into_iter().collect() }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`LineError`]: where, what is there, what was expected.
    pub fn from_line(line: &str) -> Result<Script, LineError> {
        line.parse()
    }

    /// The kernel that follows this script, before its first step.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        Kernel::new(self)
    }

    /// What a reader meets who drains the socket whenever there is something, for the eye and for `insta`.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::of(self)
    }

    /// The line that brings this script back, as code.
    #[must_use]
    pub fn replay(&self) -> String {
        format!("forklab testkit: Script::from_line(\"{self}\")")
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1 {}", self.format.name())?;
        if self.rcvbuf != RCVBUF {
            write!(f, " rcvbuf={}", self.rcvbuf)?;
        }
        if self.room != ROOM {
            write!(f, " room={}", self.room)?;
        }
        if self.calm {
            f.write_str(" calm")?;
        }
        self.steps.iter().try_for_each(|step| write!(f, " {step}"))
    }
}

/// A line that is no script.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("column {column}: found {found}, expected {expected}")]
pub struct LineError {
    /// Where, from 1, in characters.
    pub column: usize,
    /// What is there.
    pub found: String,
    /// What should be.
    pub expected: String,
}

/// A part of the line, and where it stands in it, in bytes.
#[derive(Clone, Copy)]
struct Part<'a> {
    line: &'a str,
    at: usize,
    text: &'a str,
}

impl<'a> Part<'a> {
    fn words(line: &'a str) -> impl Iterator<Item = Part<'a>> {
        let at = |text: &str| text.as_ptr() as usize - line.as_ptr() as usize;
        line.split_whitespace().map(move |text| Part { line, at: at(text), text })
    }

    fn wrong(self, expected: impl Into<String>) -> LineError {
        let found = if self.text.is_empty() { "nothing".to_owned() } else { format!("`{}`", self.text) };
        LineError { column: self.line[..self.at].chars().count() + 1, found, expected: expected.into() }
    }

    /// What stands before and behind the first such character.
    fn split(self, by: char) -> Option<(Part<'a>, Part<'a>)> {
        let (before, behind) = self.text.split_once(by)?;
        let at = self.at + before.len() + by.len_utf8();
        Some((Part { text: before, ..self }, Part { at, text: behind, ..self }))
    }

    fn number<T: FromStr>(self, expected: &str) -> Result<T, LineError> {
        self.text.parse().map_err(|_| self.wrong(expected))
    }

    fn pid(self) -> Result<i32, LineError> {
        let pid = self.number("a pid")?;
        if pid < 1 { Err(self.wrong("a pid from 1")) } else { Ok(pid) }
    }

    /// Takes `@CPU` from the end.
    fn cpu(self) -> Result<(Part<'a>, u32), LineError> {
        let last = self.text.rsplit_once('@').filter(|(_, cpu)| !cpu.contains('/'));
        let Some((before, cpu)) = last else { return Ok((self, 0)) };
        let at = self.at + before.len() + 1;
        let part = Part { at, text: cpu, ..self };
        match cpu.parse() {
            Ok(cpu) if cpu < CPUS => Ok((Part { text: before, ..self }, cpu)),
            _ => Err(part.wrong("a CPU from 0 to 63; write @0 behind a path that has an @")),
        }
    }

    fn birth(self) -> Result<Birth, LineError> {
        let (rest, cpu) = self.cpu()?;
        let (parent, child) = rest.split('>').ok_or_else(|| self.wrong("PARENT>CHILD"))?;
        Ok(Birth { parent: parent.pid()?, child: child.pid()?, cpu })
    }

    fn task(self) -> Result<Task, LineError> {
        let (rest, cpu) = self.cpu()?;
        Ok(Task { pid: rest.pid()?, cpu })
    }

    fn path(self) -> Result<String, LineError> {
        let right = self.text.starts_with('/') && !self.text.contains('>');
        if right { Ok(self.text.to_owned()) } else { Err(self.wrong("a path that begins with / and has no >")) }
    }

    fn device(self) -> Result<Device, LineError> {
        let (rest, cpu) = self.cpu()?;
        Ok(Device { path: rest.path()?, cpu })
    }

    fn moved(self) -> Result<Step, LineError> {
        let (rest, cpu) = self.cpu()?;
        let (from, to) = rest.split('>').ok_or_else(|| self.wrong("FROM>TO"))?;
        Ok(Step::Move(Device { path: from.path()?, cpu }, to.path()?))
    }

    fn step(self) -> Result<Step, LineError> {
        let end = Part { at: self.at + self.text.len(), text: "", ..self };
        let (name, rest) = self.split(':').map_or((self, None), |(name, rest)| (name, Some(rest)));
        let needed = rest.unwrap_or(end);
        let number = |or: Option<u16>| match (rest, or) {
            (None, Some(or)) => Ok(or),
            _ => needed.number("a number up to 65535"),
        };
        let alone = |step| rest.map_or(Ok(step), |rest| Err(rest.wrong("white space: this step stands alone")));
        Ok(match name.text {
            "fork" => Step::Fork(needed.birth()?),
            "thread" => Step::Thread(needed.birth()?),
            "vfork" => Step::Vfork(needed.birth()?),
            "early-exit" => Step::EarlyExit(needed.birth()?),
            "reuse" => Step::Reuse(needed.birth()?),
            "exec" => Step::Exec(needed.task()?),
            "exit" => Step::Exit(needed.task()?),
            "add" => Step::Add(needed.device()?),
            "remove" => Step::Remove(needed.device()?),
            "change" => Step::Change(needed.device()?),
            "move" => needed.moved()?,
            "overrun" => alone(Step::Overrun)?,
            "non-utf8" => alone(Step::NonUtf8)?,
            "spoof" => alone(Step::Spoof)?,
            "congested" => Step::Congested(number(None)?),
            "lose" => Step::Lose(number(Some(1))?),
            "dup" => Step::Dup(number(Some(0))?),
            "late" => Step::Late(number(Some(1))?),
            "cut" => Step::Cut(number(None)?),
            "big" => Step::Big(number(None)?),
            "garbage" => Step::Garbage(number(Some(0))?),
            "burst" => Step::Burst(number(None)?),
            "during" => Step::During(number(Some(1))?),
            "silence" => Step::Silence(number(Some(1))?),
            _ => return Err(name.wrong(format!("a step: {}", Step::NAMES.join(", ")))),
        })
    }
}

/// Steps and nothing else.
pub(super) fn steps(text: &str) -> Result<Vec<Step>, LineError> {
    Part::words(text).map(Part::step).collect()
}

/// CPUs are numbered below this.
const CPUS: u32 = 64;

impl FromStr for Script {
    type Err = LineError;

    fn from_str(line: &str) -> Result<Script, LineError> {
        let mut words = Part::words(line).peekable();
        let version = words.next().unwrap_or(Part { line, at: line.len(), text: "" });
        if version.text != "v1" {
            return Err(version.wrong("v1, the version of the text form"));
        }
        let mut script = Script::new(Format::default(), []);
        if let Some(format) = words.peek().and_then(|word| Format::ALL.into_iter().find(|f| f.name() == word.text)) {
            script.format = format;
            words.next();
        }
        for word in words {
            if word.text == "calm" {
                script.calm = true;
                continue;
            }
            match word.split('=').filter(|(key, _)| matches!(key.text, "rcvbuf" | "room")) {
                Some((key, value)) if key.text == "rcvbuf" => script.rcvbuf = value.number("bytes")?,
                Some((_, value)) => script.room = value.number("bytes up to 65535")?,
                None => script.steps.push(word.step()?),
            }
        }
        Ok(script)
    }
}
