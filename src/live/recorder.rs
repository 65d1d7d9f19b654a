//! `forklab record`: the process tree of one command, as a recorded workload or as a capture file.
//!
//! Only the command's own tree is written: what it forked, and what those forked, also when their parents have died and
//! init has become their parent; threads as well. The tree is known from the forks alone, so that nothing is asked of
//! `/proc` while events come.
//!
//! # Where the kernel's word is not taken as it is
//! - Stamps are those of the kernel, in nanoseconds since the first event. A task may be preempted between its stamp and
//!   its turn to send; its event then comes later than that of another task on the same CPU, with an earlier stamp. Such a
//!   stamp is raised to the one before it, as a recording has the events of one CPU in the order of time.
//! - After a loss the story may have holes. A pid that is forked again must have exited before: its exit is written, under
//!   a comment that says so, with exit code 0. Whatever else could not have happened after the lines before it is written
//!   as a comment. So the file can be read whatever was lost. Processes whose fork was lost are unknown, and so are theirs.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use uevent::wire::proc_event::ProcEvent;

use super::feed::{Heard, Tally};
use super::kin::Kin;
use crate::render::pcap::{Capture, Family};
use crate::workload::{Record, What, Workload};

/// How a recording is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Forks, execs and exits as a workload, for `forklab run --workload`.
    Csv,
    /// All messages of the tree as a capture file, for Wireshark.
    Pcap,
}

impl Format {
    /// What a file's name asks for: a capture if it ends in `.pcap` or `.pcap.gz`.
    #[must_use]
    pub fn of(path: &Path) -> Format {
        let name = if zipped(path) { Path::new(path.file_stem().unwrap_or_default()) } else { path };
        if name.extension().is_some_and(|extension| extension == "pcap") { Format::Pcap } else { Format::Csv }
    }
}

fn zipped(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// A file that is written as it is, or through gzip.
enum Out {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
}

impl Out {
    fn finish(self) -> io::Result<()> {
        match self {
            Out::Plain(mut out) => out.flush(),
            Out::Gzip(out) => out.finish()?.flush(),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Out::Plain(out) => out.write(bytes),
            Out::Gzip(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Out::Plain(out) => out.flush(),
            Out::Gzip(out) => out.flush(),
        }
    }
}

/// Where a recording goes to.
pub struct Tape(Kind);

enum Kind {
    Csv(Out),
    /// Stamps count from `epoch`, when the recording began, since 1970.
    Pcap {
        packets: Capture<Out>,
        epoch: Duration,
    },
}

impl Tape {
    /// A recording in a file, through gzip if its name ends in `.gz`.
    ///
    /// # Errors
    /// Those of the file.
    pub fn create(path: &Path, format: Format) -> io::Result<Tape> {
        let out = BufWriter::with_capacity(1 << 16, File::create(path)?);
        // Fast, as it is done while events come.
        let out = if zipped(path) { Out::Gzip(GzEncoder::new(out, Compression::fast())) } else { Out::Plain(out) };
        Ok(Tape(match format {
            Format::Csv => Kind::Csv(out),
            Format::Pcap => Kind::Pcap { packets: Capture::new(out)?, epoch: now() },
        }))
    }

    fn text(&mut self) -> Option<&mut dyn Write> {
        match &mut self.0 {
            Kind::Csv(out) => Some(out),
            Kind::Pcap { .. } => None,
        }
    }

    fn finish(self) -> io::Result<()> {
        match self.0 {
            Kind::Csv(out) => out.finish(),
            Kind::Pcap { packets, .. } => packets.finish()?.1.finish(),
        }
    }
}

#[expect(clippy::disallowed_types, reason = "the real kernel has a clock: a capture says when it was made")]
pub(crate) fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// What was recorded of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Forks, threads included.
    pub forks: u64,
    /// Forks that made a thread.
    pub threads: u64,
    /// Execs.
    pub execs: u64,
    /// Exits that were heard, threads included.
    pub exits: u64,
    /// Exits that were not heard, but must have been.
    pub inferred_exits: u64,
    /// Events of the tree that could not be placed, after a loss.
    pub misplaced: u64,
    /// Processes of the tree that still ran at the end.
    pub still_running: u64,
}

/// Writes the tree of one command while it runs.
pub struct Recorder {
    tape: Tape,
    kin: Kin,
    first_ns: Option<u64>,
    counts: Counts,
}

impl Recorder {
    /// Records what this process starts from now on. It must start nothing but the command.
    ///
    /// # Errors
    /// Those of the file.
    pub fn new(mut tape: Tape, command: &str) -> io::Result<Recorder> {
        if let Some(out) = tape.text() {
            writeln!(
                out,
                "{}\n# recorded by forklab {}: {}",
                Workload::HEADER,
                env!("CARGO_PKG_VERSION"),
                one_line(command)
            )?;
        }
        Ok(Recorder { tape, kin: Kin::of_this_process(), first_ns: None, counts: Counts::default() })
    }

    /// What was recorded so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes what the feed heard.
    ///
    /// # Errors
    /// Those of the file.
    pub fn hear(&mut self, heard: Heard<'_>) -> io::Result<()> {
        match heard {
            Heard::Lost(cpu, 1) => self.remark(&format!("lost: 1 event of CPU {cpu}, of whichever process")),
            Heard::Lost(cpu, missing) => {
                self.remark(&format!("lost: {missing} events of CPU {cpu}, of whichever process"))
            }
            Heard::Event(event, bytes) => self.event(event, bytes),
        }
    }

    fn event(&mut self, event: &ProcEvent, bytes: &[u8]) -> io::Result<()> {
        for exit in self.kin.exits_before(event) {
            self.remark("not heard, but it must have been:")?;
            self.write(&exit)?;
            self.counts.inferred_exits += 1;
        }
        if !self.kin.has(&event.what) {
            return Ok(());
        }
        let first = *self.first_ns.get_or_insert(event.timestamp_ns);
        if let Kind::Pcap { packets, epoch } = &mut self.tape.0 {
            let stamp = *epoch + Duration::from_nanos(event.timestamp_ns.saturating_sub(first));
            packets.write(Family::Connector, stamp, bytes)?;
        }
        let Some(record) = self.kin.record(event) else { return Ok(()) };
        if !self.write(&record)? {
            return Ok(());
        }
        match record.what {
            What::Fork { child_pid, child_tgid, .. } => {
                self.counts.forks += 1;
                self.counts.threads += u64::from(child_pid != child_tgid);
            }
            What::Exec { .. } => self.counts.execs += 1,
            What::Exit { .. } => self.counts.exits += 1,
        }
        Ok(())
    }

    /// Writes a line; false if it could not have happened, so that it became a comment.
    fn write(&mut self, record: &Record) -> io::Result<bool> {
        if !self.kin.take(record) {
            self.counts.misplaced += 1;
            self.remark(&format!("out of place: {record}"))?;
            return Ok(false);
        }
        self.tape.text().map_or(Ok(()), |out| writeln!(out, "{record}"))?;
        Ok(true)
    }

    fn remark(&mut self, text: &str) -> io::Result<()> {
        self.tape.text().map_or(Ok(()), |out| writeln!(out, "# {text}"))
    }

    /// Ends the recording. `tally` is what came of the feed; after losses `/proc` is asked who of the tree still runs.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(mut self, tally: &Tally) -> io::Result<Counts> {
        let alive = self.kin.processes().into_iter().filter(|&pid| !tally.has_losses() || runs(pid));
        self.counts.still_running = alive.count() as u64;
        self.remark(&format!("end: {}", Missing(tally)))?;
        self.tape.finish()?;
        Ok(self.counts)
    }
}

/// Whether `/proc` has the process, and it is no zombie.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.iter().rposition(|&byte| byte == b')').and_then(|end| stat.get(end + 2));
    state.is_some_and(|state| !b"ZX".contains(state))
}

/// A command is shown on a line of its own, whatever is in it.
fn one_line(command: &str) -> String {
    command
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .take(1000)
        .collect()
}

/// What is missing, in words.
pub struct Missing<'a>(pub &'a Tally);

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { missing, overruns, certain, .. } = *self.0;
        match missing {
            0 => f.write_str("nothing lost")?,
            1 => f.write_str("1 event lost, of whichever process")?,
            _ => write!(f, "{missing} events lost, of whichever process")?,
        }
        match overruns {
            0 => {}
            1 => f.write_str("; the receive buffer was full once")?,
            _ => write!(f, "; the receive buffer was full {overruns} times")?,
        }
        if certain { Ok(()) } else { f.write_str("; whether that is all is not known") }
    }
}
