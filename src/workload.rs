//! Recorded process trees: the fork, exec and exit events of real programs, read from CSV or gzip of it.
//!
//! One event a line, in the order in which the kernel delivered them; `#` begins a comment line. See
//! [`Workload::HEADER`] for the columns. What a recording can and cannot say:
//!
//! - **Time.** The stamp is taken before the event is queued, so two CPUs may overtake each other: the recordings show
//!   it, and only the events of *one* CPU must be in the order of time.
//! - **Who was there before.** A process that was alive before the recording appears first as a parent.
//! - **A thread's parent.** A fork whose `child_pid` differs from its `child_tgid` made a thread. Its parent columns
//!   hold the real parent of the group, not the caller, and that one may have exited already.
//! - **A group outlives its leader.** The kernel build has a leader that exits before its last thread does.
//! - **Exec by a thread.** The caller takes over the pid of its leader, who has exited. The recordings show none; it is
//!   read as the kernel does it: an exec always names the leader's pid, and the last thread loses its own.

pub(crate) mod family;
mod fields;
mod lines;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use crate::input::InputError;
use family::Family;
use lines::Lines;

const A_RECORDING: &str = "a recorded workload (CSV, or gzip of it)";

/// A recorded process tree, checked: every event in it could have happened after those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The file as the user named it.
    pub file: String,
    /// The events in the order of the file.
    pub records: Vec<Record>,
}

/// One event of a recording. Prints as its line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Line of the file, counted from 1.
    pub line: u64,
    /// CPU that reported the event.
    pub cpu: u32,
    /// Nanoseconds since the first event.
    pub ns: u64,
    /// What happened.
    pub what: What,
}

/// What happened. `pid` is the id of one task, `tgid` that of its thread group: what user space calls a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the columns, by their names")]
pub enum What {
    /// A task was made; a thread if `child_pid` differs from `child_tgid`.
    Fork { parent_pid: i32, parent_tgid: i32, child_pid: i32, child_tgid: i32 },
    /// A process replaced its program.
    Exec { pid: i32, tgid: i32 },
    /// A task ended. The code is the status of `wait`; the signal is `u32::MAX`, the kernel's -1, for a thread.
    Exit { pid: i32, tgid: i32, exit_code: u32, exit_signal: u32 },
}

/// What a recording holds, see [`Workload::counts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Forks, threads included.
    pub forks: usize,
    /// Forks that made a thread.
    pub threads: usize,
    /// Exits.
    pub exits: usize,
    /// Execs.
    pub execs: usize,
    /// Different CPUs that reported an event.
    pub cpus: usize,
    /// Pids that were forked and are alive at the end.
    pub survivors: BTreeSet<i32>,
    /// Pids that were alive before the recording began.
    pub outsiders: BTreeSet<i32>,
}

impl Workload {
    /// The first line of every recording that [`write`](Self::write) makes: the columns of the three events.
    pub const HEADER: &str = "# event,cpu,ns,...: fork,cpu,ns,parent_pid,parent_tgid,child_pid,child_tgid \
        | exec,cpu,ns,pid,tgid | exit,cpu,ns,pid,tgid,exit_code,exit_signal";

    /// Reads and checks a recording; gzip is known by its first two bytes, whatever the file is called.
    ///
    /// # Errors
    /// An [`InputError`] with the first mistake: of the file (missing, a directory, empty, cut short, not text), of a
    /// line (event, columns, numbers), or of the story it tells (an exit of nobody, a child that is alive already).
    pub fn read(path: &Path) -> Result<Self, InputError> {
        Self::read_with_progress(path, |_| ())
    }

    /// The same; `progress` is told how many bytes of the file have been read so far, before they are unpacked.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_with_progress(path: &Path, progress: impl FnMut(u64)) -> Result<Self, InputError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| InputError::io(&name, &error, A_RECORDING))?;
        Self::parse(&name, Counted { inner: file, bytes: 0, progress })
    }

    /// Reads and checks a recording from any reader; `file` is its name in errors. Holds no more than one line of text.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn parse(file: &str, reader: impl Read) -> Result<Self, InputError> {
        let mut lines = Lines::new(file, reader)?;
        let mut family = Family::default();
        let mut records = Vec::new();
        while let Some((line, text)) = lines.next()? {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let wrong = |wrong: fields::Wrong| {
                InputError::new(file, wrong.found, wrong.expected).at(line, fields::column(text, wrong.field))
            };
            let record = fields::record(line, text).map_err(wrong)?;
            family.apply(&record).map_err(wrong)?;
            records.push(record);
        }
        if records.is_empty() {
            return Err(InputError::new(file, "no events", A_RECORDING));
        }
        Ok(Self { file: file.to_owned(), records })
    }

    /// Writes the recording as CSV: [`HEADER`](Self::HEADER), then one line an event. Other comments are not kept.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(out, "{}", Self::HEADER)?;
        self.records.iter().try_for_each(|record| writeln!(out, "{record}"))
    }

    /// Writes the recording to a file, through gzip if its name ends in `.gz`. The same events make the same bytes.
    ///
    /// # Errors
    /// An [`InputError`] that names the file, if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), InputError> {
        let save = || {
            let mut file = BufWriter::new(File::create(path)?);
            if path.extension().is_some_and(|extension| extension == "gz") {
                let mut zipped = GzEncoder::new(&mut file, Compression::default());
                self.write(&mut zipped)?;
                zipped.finish()?;
            } else {
                self.write(&mut file)?;
            }
            file.flush()
        };
        save().map_err(|error| InputError::io(path.display().to_string(), &error, "a file that can be written"))
    }

    /// Counts the events, and tells who was alive before the first and after the last.
    pub fn counts(&self) -> Counts {
        let mut family = Family::default();
        let mut counts = Counts {
            forks: 0,
            threads: 0,
            exits: 0,
            execs: 0,
            cpus: self.records.iter().map(|r| r.cpu).collect::<BTreeSet<_>>().len(),
            survivors: BTreeSet::new(),
            outsiders: BTreeSet::new(),
        };
        for record in &self.records {
            // A workload that was put together by hand may be wrong; an impossible event still counts.
            let _ = family.apply(record);
            match record.what {
                What::Fork { child_pid, child_tgid, .. } => {
                    counts.forks += 1;
                    counts.threads += usize::from(child_pid != child_tgid);
                }
                What::Exec { .. } => counts.execs += 1,
                What::Exit { .. } => counts.exits += 1,
            }
        }
        (counts.survivors, counts.outsiders) = family.survivors_and_outsiders();
        counts
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, ns, .. } = self;
        match self.what {
            What::Fork { parent_pid, parent_tgid, child_pid, child_tgid } => {
                write!(f, "fork,{cpu},{ns},{parent_pid},{parent_tgid},{child_pid},{child_tgid}")
            }
            What::Exec { pid, tgid } => write!(f, "exec,{cpu},{ns},{pid},{tgid}"),
            What::Exit { pid, tgid, exit_code, exit_signal } => {
                write!(f, "exit,{cpu},{ns},{pid},{tgid},{exit_code},{exit_signal}")
            }
        }
    }
}

/// A reader that tells how much went through it.
struct Counted<R, F> {
    inner: R,
    bytes: u64,
    progress: F,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        (self.progress)(self.bytes);
        Ok(count)
    }
}
