//! The command line. Exit code 0: fine; 1: something was found; 2: the user's mistake.

mod bar;
mod check;
mod files;
mod learn;
#[cfg(all(feature = "netlink", target_os = "linux"))]
mod listen;
#[cfg(all(feature = "netlink", target_os = "linux"))]
mod live;
mod manual;
mod matrix;
mod museum;
mod names;
#[cfg(all(feature = "netlink", target_os = "linux"))]
mod record;
#[cfg(all(feature = "netlink", target_os = "linux"))]
mod relay;
mod run;
#[cfg(all(feature = "netlink", target_os = "linux"))]
mod send;
mod shard;
mod show;
#[cfg(all(feature = "netlink", target_os = "linux"))]
mod tree;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::input::InputError;

/// A userspace test bed for one kernel path: a process forks, and user space is told.
///
/// Without a command: a tour on one screen.
#[derive(Parser, Debug)]
#[command(name = "forklab", version, about, long_about, disable_help_subcommand = true)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The tour's finding as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// One run of a scenario or of a recorded workload
    Run(run::RunArgs),
    /// One design against all properties, over every schedule and failure of small scenarios
    Check(check::CheckArgs),
    /// What was found wrong with this notification, exhibit by exhibit: shown, replayed and mended
    Museum(museum::MuseumArgs),
    /// Every allocation that fails, and what fork returns and each listener sees
    Faults(show::FaultsArgs),
    /// The memory of one message: slots, buffers, socket buffer, byte by byte
    Layout(show::LayoutArgs),
    /// All designs against all properties: a survey, so that it exits with 0 whatever it finds
    Matrix(matrix::MatrixArgs),
    /// Shards of a matrix or of a check, made on many machines, into the whole
    Merge(matrix::MergeArgs),
    /// What should have been answered in February 2005, as a page of Markdown
    Verdict,
    /// Lessons in the terminal: a fork step by step, with predictions; --print for plain text
    Learn(learn::LearnArgs),
    /// The same run again, from the last line of a report
    Replay(run::ReplayArgs),
    /// What a shell completes behind `forklab`, as a script for it
    Completions(manual::CompletionsArgs),
    /// This manual as a page for man(1): of forklab, or of one of its commands
    Man(manual::ManArgs),
    /// The real kernel's uevents or process events, live and decoded; loss and refused senders are counted
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    Listen(listen::ListenArgs),
    /// The live process tree as a listener to process events believes it, checked against /proc
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    Tree(tree::TreeArgs),
    /// Runs a command and records its process tree as a workload
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    Record(record::RecordArgs),
    /// What the patch wanted, on this kernel: its forks, as messages of a design, to a netlink group
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    Relay(relay::RelayArgs),
    /// The messages of a simulated run, out on real sockets, for consumers to be tested with
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    Send(send::SendArgs),
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's mistake.
    Input(InputError),
    /// Nobody reads the output any more.
    Output(io::Error),
    /// The kernel does not let us, and this is why.
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    Refused(String),
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Failure {
        Failure::Input(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

/// The commands of the real kernel.
const LIVE: [&str; 5] = ["listen", "tree", "record", "relay", "send"];

/// Says why a command of the real kernel is unknown.
fn live_is_missing(error: &clap::Error) {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let here = cfg!(all(feature = "netlink", target_os = "linux"));
    if let (false, ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) =
        (here, error.kind(), error.get(ContextKind::InvalidSubcommand))
        && LIVE.contains(&name.as_str())
    {
        let expected = "forklab for Linux, built with --features netlink";
        eprintln!("forklab: {}", InputError::new("<command line>", name.as_str(), expected));
        std::process::exit(2);
    }
}

/// Whether something was found: the difference between exit codes 0 and 1.
pub(crate) type Found = bool;

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        live_is_missing(&error);
        error.exit()
    });
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let result = match cli.command {
        None => show::tour(cli.json, &mut out),
        Some(Command::Run(args)) => run::run(&args, &mut out),
        Some(Command::Replay(args)) => run::replay(&args, &mut out),
        Some(Command::Check(args)) => check::check(&args, &mut out),
        Some(Command::Museum(args)) => museum::museum(&args, &mut out),
        Some(Command::Faults(args)) => show::faults(&args, &mut out),
        Some(Command::Layout(args)) => show::layout(&args, &mut out),
        Some(Command::Matrix(args)) => matrix::matrix(&args, &mut out),
        Some(Command::Learn(args)) => learn::learn(&args, &mut out),
        Some(Command::Verdict) => matrix::verdict(&mut out),
        Some(Command::Merge(args)) => matrix::merge(&args, &mut out),
        Some(Command::Completions(args)) => manual::completions(&args, &mut out),
        Some(Command::Man(args)) => manual::man(&args, &mut out),
        #[cfg(all(feature = "netlink", target_os = "linux"))]
        Some(Command::Listen(args)) => listen::listen(&args, &mut out),
        #[cfg(all(feature = "netlink", target_os = "linux"))]
        Some(Command::Tree(args)) => tree::tree(&args, &mut out),
        #[cfg(all(feature = "netlink", target_os = "linux"))]
        Some(Command::Send(args)) => send::send(&args, &mut out),
        #[cfg(all(feature = "netlink", target_os = "linux"))]
        Some(Command::Record(args)) => return exit(record::record(&args, &mut out), &mut out),
        #[cfg(all(feature = "netlink", target_os = "linux"))]
        Some(Command::Relay(args)) => return exit(relay::relay(&args, &mut out), &mut out),
    };
    exit(result.map(u8::from), &mut out)
}

/// Says what went wrong, if something did.
fn exit(result: Result<u8, Failure>, out: &mut impl Write) -> ExitCode {
    let result = result.and_then(|code| Ok(out.flush().map(|()| code)?));
    match result {
        Ok(code) => ExitCode::from(code),
        // The reader has seen enough, as `head` does.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => complain(&format!("the output could not be written: {error}")),
        Err(Failure::Input(error)) => complain(&error.to_string()),
        #[cfg(all(feature = "netlink", target_os = "linux"))]
        Err(Failure::Refused(why)) => complain(&why),
    }
}

fn complain(text: &str) -> ExitCode {
    // If even this cannot be written, the exit code has to do.
    let _ = writeln!(anstream::stderr(), "forklab: {text}");
    ExitCode::from(2)
}

/// Writes a value as indented JSON and a newline.
pub(crate) fn write_json(value: &impl serde::Serialize, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

#[cfg(all(test, feature = "netlink", target_os = "linux"))]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_that_a_build_may_lack_are_commands() {
        let cli = Cli::command();
        assert!(LIVE.iter().all(|name| cli.find_subcommand(name).is_some()));
    }
}
