//! `forklab record`.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Failure;
use super::live::{Counter, nap, rcvbuf};
use super::live::{broken, failed, refused};
use crate::input::InputError;
use crate::lab::report::{n, plural};
use crate::live::clock::Clock;
use crate::live::feed::{Feed, Heard, RCVBUF, Tally};
use crate::live::follow::{Ended, Listener, follow};
use crate::live::program::{Program, exit_code, find};
use crate::live::recorder::{Counts, Format, Missing, Recorder, Tape};
use crate::live::stop::Stop;

/// How long events may gather. The default buffer holds those of a second and more.
const NAP: Duration = Duration::from_millis(5);

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum RecordFormat {
    /// Forks, execs and exits for `forklab run --workload`
    Csv,
    /// All messages as a capture file, LINKTYPE_NETLINK
    Pcap,
}

/// Arguments of `forklab record`.
///
/// Standard output is CMD's own; the summary goes to standard error, and with --json as one line to standard output,
/// when CMD has ended.
///
/// The exit code is CMD's own, as with time and strace (128 and the signal that killed it); 1 if CMD's is 0 but
/// something was lost; 2 if nothing was run, or the recording could not be written.
#[derive(Args, Debug)]
pub(super) struct RecordArgs {
    /// Where to write, through gzip if it ends in .gz [default: forklab.csv, or forklab.pcap with --format pcap]
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to write [default: pcap if FILE ends in .pcap or .pcap.gz, else csv]
    #[arg(long, value_enum)]
    format: Option<RecordFormat>,
    /// Receive buffer to ask for; the kernel doubles it, and gives less to whom is not root
    #[arg(long, value_name = "BYTES", default_value_t = RCVBUF, value_parser = rcvbuf, allow_negative_numbers = true)]
    rcvbuf: usize,
    /// The summary as one line of JSON on standard output
    #[arg(long)]
    json: bool,
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

impl RecordArgs {
    fn format(&self) -> Format {
        match (self.format, &self.file) {
            (Some(RecordFormat::Csv), _) => Format::Csv,
            (Some(RecordFormat::Pcap), _) => Format::Pcap,
            (None, Some(file)) => Format::of(file),
            (None, None) => Format::Csv,
        }
    }

    fn file(&self) -> PathBuf {
        let default = match self.format() {
            Format::Csv => "forklab.csv",
            Format::Pcap => "forklab.pcap",
        };
        self.file.clone().unwrap_or_else(|| default.into())
    }
}

/// What is said at the end.
#[derive(Debug, Serialize)]
struct Summary {
    /// As it was given, words joined by spaces.
    command: String,
    /// Its exit code, or 128 and the signal that killed it; none if it still ran when the recording was stopped.
    exit_code: Option<u8>,
    /// The signal that killed it.
    signal: Option<i32>,
    /// Ctrl-C, SIGTERM or SIGHUP ended the recording.
    stopped: bool,
    seconds: f64,
    file: String,
    format: Format,
    #[serde(flatten)]
    counts: Counts,
    #[serde(flatten)]
    tally: Tally,
}

/// The recorder, and the counts that are shown meanwhile.
struct Live {
    recorder: Recorder,
    counter: Counter,
}

impl Listener for Live {
    fn hear(&mut self, heard: Heard<'_>) -> io::Result<()> {
        self.recorder.hear(heard)
    }

    fn tick(&mut self, feed: &mut Feed) -> io::Result<()> {
        let &Counts { forks, execs, exits, .. } = self.recorder.counts();
        self.counter.show(feed, |lost| format!("{forks} forks, {execs} execs, {exits} exits{lost}"));
        Ok(())
    }
}

/// `forklab record`; returns the exit code.
pub(super) fn record(args: &RecordArgs, out: &mut impl Write) -> Result<u8, Failure> {
    find(&args.command)?;
    let (file, format) = (args.file(), args.format());
    let name = file.display().to_string();
    let unwritable = |error: io::Error| InputError::unwritable(&file, &error);
    // Before LISTEN: a signal in between would leave without IGNORE.
    let mut stop = Stop::new().map_err(failed("preparing for signals"))?;
    let mut feed = Feed::open(args.rcvbuf).map_err(|error| refused(&error))?;
    let command = args.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let tape = Tape::create(&file, format).map_err(unwritable)?;
    let recorder = Recorder::new(tape, &command).map_err(unwritable)?;
    let mut live = Live { recorder, counter: Counter::new() };

    let clock = Clock::start();
    let mut program = Program::start(&args.command)?;
    let nap = nap(&feed, NAP);
    let ended = follow(&mut feed, &mut stop, Some(&mut program), nap, &mut live).map_err(broken(unwritable))?;
    let seconds = clock.elapsed().as_secs_f64();
    let Live { mut recorder, counter } = live;
    let tally = feed.close(&mut |heard| recorder.hear(heard)).map_err(broken(unwritable))?;
    let counts = recorder.finish(&tally).map_err(unwritable)?;
    counter.hide();

    let status = if let Ended::Program(status) = ended { Some(status) } else { None };
    let signal = status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status));
    let exit_code = status.map(exit_code);
    let stopped = ended == Ended::Stopped;
    let summary = Summary { command, exit_code, signal, stopped, seconds, file: name, format, counts, tally };
    match say(&summary, args.json, out) {
        // Nobody reads; the recording is written, and the command's own code is still owed.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        said => said?,
    }
    Ok(super::live::code(status, summary.tally.has_losses()))
}

fn say(summary: &Summary, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, summary)?;
        return writeln!(out);
    }
    write!(anstream::stderr(), "{summary}")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { forks, threads, execs, exits, inferred_exits, misplaced, still_running } = self.counts;
        let threads = if threads > 0 { format!(" ({})", plural(threads, "thread")) } else { String::new() };
        let (forks, execs) = (plural(forks, "fork"), plural(execs, "exec"));
        writeln!(f, " tasks     {forks}{threads}, {execs}, {}", plural(exits, "exit"))?;
        if still_running > 0 {
            writeln!(f, "           {} still ran at the end", plural(still_running, "process"))?;
        }
        writeln!(f, " events    {} of the machine received; {}", n(self.tally.received), Missing(&self.tally))?;
        if inferred_exits + misplaced > 0 {
            let (inferred, misplaced) = (plural(inferred_exits, "exit"), plural(misplaced, "event"));
            writeln!(f, "           {inferred} inferred, {misplaced} out of place")?;
        }
        let how = match (self.exit_code, self.signal) {
            (_, Some(signal)) => format!("killed by signal {signal}"),
            (Some(code), None) => format!("exit code {code}"),
            (None, None) => "still running".to_owned(),
        };
        writeln!(f, " command   {how} after {:.2} s", self.seconds)?;
        writeln!(f, " file      {}", self.file)?;
        if self.format == Format::Csv {
            writeln!(f, " replay    forklab run --workload {}", self.file)?;
        }
        Ok(())
    }
}
