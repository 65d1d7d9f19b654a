//! `forklab send`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use rustix::process::geteuid;
use serde::Serialize;
use uevent::netlink::Protocol;

use super::listen::seconds;
use super::live::{Counter, failed, refused};
use super::run::DesignArgs;
use super::{Failure, Found};
use crate::input::InputError;
use crate::lab::report::plural;
use crate::lab::run::Loaded;
use crate::lab::spec::{Order, Source, Spec};
use crate::live::clock::Clock;
use crate::live::gate::{LIST, listeners};
use crate::live::namespace;
use crate::live::program::{Program, exit_code, find};
use crate::live::send::{Sender, Way, messages};
use crate::live::stop::{Stop, Woken};

/// Where the messages go.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// To a group of NETLINK_USERSOCK
    Usersock,
    /// To a group of NETLINK_KOBJECT_UEVENT, from this process
    KobjectUevent,
    /// Through the kernel: to group 1 of NETLINK_KOBJECT_UEVENT, from the kernel, with SEQNUM= behind
    Kernel,
}

/// Arguments of `forklab send`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("source").args(["scenario", "workload"]).required(true)))]
pub(super) struct SendArgs {
    /// A scenario file (.toml), or the name of a built-in scenario
    #[arg(value_name = "SCENARIO")]
    scenario: Option<String>,
    /// A recorded workload, csv or csv.gz
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    #[command(flatten)]
    design: DesignArgs,
    /// Draw who steps next from this seed; without it, whoever runs goes on
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Where the messages go
    #[arg(long, value_enum, default_value = "usersock")]
    to: Goal,
    /// Which group, 1 to 32
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=32), allow_negative_numbers = true)]
    group: u32,
    /// So many messages a second; without it, as fast as possible
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), allow_negative_numbers = true)]
    pace: Option<u32>,
    /// Send in a user and network namespace of its own, as it is done for an ordinary user anyway
    #[arg(long)]
    own_namespace: bool,
    /// With CMD: how long it may take until it has joined the group, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10", allow_negative_numbers = true)]
    wait: Duration,
    /// With CMD: how long it may go on after the last message before it is told to end, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1", allow_negative_numbers = true)]
    linger: Duration,
    /// What was sent, as JSON
    #[arg(long)]
    json: bool,
    /// The consumer: started first, told to end (SIGTERM) when all is sent
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What `forklab send` did.
#[derive(Serialize)]
struct Report {
    sent: usize,
    bytes: usize,
    to: String,
    own_namespace: bool,
    /// The consumer's exit code; none if there was no consumer, or it was told to end.
    consumer: Option<u8>,
    /// A signal ended it before all was sent.
    stopped: bool,
}

/// How long the consumer may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether the consumer has joined.
const LOOK: Duration = Duration::from_millis(10);

impl SendArgs {
    fn spec(&self) -> Spec {
        let source = match (&self.scenario, &self.workload) {
            (_, Some(path)) => Source::Workload(path.clone()),
            (Some(name), None) => Source::named(name),
            (None, None) => unreachable!("clap asks for one of them"),
        };
        let order = self.seed.map_or(Order::Calm, Order::Seed);
        Spec { design: self.design.asked(), order, ..Spec::new(source) }
    }

    fn way(&self) -> Result<Way, InputError> {
        match self.to {
            Goal::Usersock => Ok(Way::Group(Protocol::Usersock, self.group)),
            Goal::KobjectUevent => Ok(Way::Group(Protocol::KobjectUevent, self.group)),
            Goal::Kernel if self.group == 1 => Ok(Way::Kernel),
            Goal::Kernel => Err(InputError::new("--group", self.group.to_string(), "1: the kernel sends to no other")),
        }
    }
}

/// `forklab send`. Nothing is found by sending; a consumer that fails is.
pub(super) fn send(args: &SendArgs, out: &mut impl Write) -> Result<Found, Failure> {
    let way = args.way()?;
    if !args.command.is_empty() {
        find(&args.command)?;
    }
    let messages = messages(&Loaded::new(args.spec(), |_| ())?, None)?;
    if messages.is_empty() {
        let expected = "one that broadcasts messages (not delivery=signal or hotplug), with a fork in it";
        return Err(InputError::new("<send>", "a run without a message", expected).into());
    }
    let own_namespace = args.own_namespace || !geteuid().is_root();
    if own_namespace {
        if args.command.is_empty() {
            let found = "no consumer, in a namespace of its own that nobody can join";
            let expected = "its command behind `--` (or root, who sends to the whole machine)";
            return Err(InputError::new("<send>", found, expected).into());
        }
        namespace::enter().map_err(|error| {
            let expected =
                "that user namespaces are allowed (user.max_user_namespaces, kernel.unprivileged_userns_clone)";
            InputError::io("--own-namespace", &error, expected)
        })?;
    }
    let mut sender = Sender::open(way).map_err(|error| refused(&error))?;
    let mut stop = Stop::new().map_err(failed("preparing for signals"))?;
    let before = listening(way)?;
    let mut consumer = match args.command.is_empty() {
        true => None,
        false => Some(Program::start(&args.command)?),
    };
    let sent = match &mut consumer {
        Some(consumer) => joined(args, way, &before, consumer, &mut stop),
        None => Ok(true),
    };
    let sent = sent.and_then(|joined| match joined {
        true => send_all(args, &messages, &mut sender, &mut consumer, &mut stop),
        false => Ok((0, true)),
    });
    // Whatever went wrong, the consumer is not left behind.
    let status = consumer.map(|consumer| end(args, consumer, sent.is_err(), &mut stop)).transpose();
    let (sent, stopped) = sent?;
    let status = status?.flatten();
    let report = Report {
        sent,
        bytes: messages[..sent].iter().map(Vec::len).sum(),
        to: match way {
            Way::Group(protocol, group) => format!("group {group} of {protocol}"),
            Way::Kernel => "group 1 of NETLINK_KOBJECT_UEVENT, through the kernel".into(),
        },
        own_namespace,
        consumer: status,
        stopped,
    };
    if args.json {
        super::write_json(&report, out)?;
    } else {
        let Report { sent, bytes, to, .. } = &report;
        let sent = plural(*sent as u64, "message");
        let of = match (stopped, report.sent < messages.len()) {
            (true, _) => format!(" of {}, then a signal came", messages.len()),
            (false, true) => format!(" of {}, then the consumer ended", messages.len()),
            (false, false) => String::new(),
        };
        writeln!(out, "{sent}{of}, {bytes} bytes, to {to}")?;
        if let Some(code) = status {
            writeln!(out, "the consumer ended with exit code {code}")?;
        }
    }
    Ok(status.is_some_and(|code| code != 0))
}

/// The sockets, by inode, that are in the group now.
fn listening(way: Way) -> Result<BTreeSet<u64>, Failure> {
    let (protocol, group) = way.target();
    Ok(listeners(&fs::read_to_string(LIST).map_err(failed(LIST))?, protocol.raw(), group))
}

/// Waits until somebody is in the group who was not there before the consumer; false when a signal came first.
fn joined(
    args: &SendArgs,
    way: Way,
    before: &BTreeSet<u64>,
    consumer: &mut Program,
    stop: &mut Stop,
) -> Result<bool, Failure> {
    let (protocol, group) = way.target();
    let looks = args.wait.as_millis() / LOOK.as_millis();
    let wrong = |found| {
        let name = args.command[0].to_string_lossy();
        InputError::new(name, found, format!("a consumer that listens to {protocol}")).into()
    };
    for _ in 0..=looks {
        if !listening(way)?.is_subset(before) {
            return Ok(true);
        }
        if let Some(status) = consumer.ended().map_err(failed("the consumer"))? {
            return Err(wrong(format!("it ended with exit code {} before it joined group {group}", exit_code(status))));
        }
        if stop.nap(LOOK).map_err(failed("waiting"))? == Woken::Stop {
            return Ok(false);
        }
    }
    Err(wrong(format!("it did not join group {group} within {} s", args.wait.as_secs_f64())))
}

/// Sends at the pace that was asked for, as long as the consumer lives; how many were sent, and whether a signal came.
fn send_all(
    args: &SendArgs,
    messages: &[Vec<u8>],
    sender: &mut Sender,
    consumer: &mut Option<Program>,
    stop: &mut Stop,
) -> Result<(usize, bool), Failure> {
    let begun = Clock::start();
    let counts = Counter::new();
    for (n, message) in messages.iter().enumerate() {
        // Against the beginning, so that a late one does not make all later ones late.
        let due = args.pace.map_or(Duration::ZERO, |pace| Duration::from_secs(n as u64) / pace);
        let stopped = loop {
            let left = due.saturating_sub(begun.elapsed());
            if left.is_zero() && !n.is_multiple_of(64) {
                break false;
            }
            match stop.nap(left).map_err(failed("waiting"))? {
                Woken::Stop => break true,
                Woken::Child | Woken::Ready => {}
                Woken::Time => break false,
            }
            if let Some(consumer) = consumer
                && consumer.ended().map_err(failed("the consumer"))?.is_some()
            {
                return Ok((n, false));
            }
        };
        if stopped {
            return Ok((n, true));
        }
        sender.send(message).map_err(|error| {
            let expected = "a message that can be sent (to a group, and through the kernel, as root)";
            InputError::io(format!("message {} of {}", n + 1, messages.len()), &error, expected)
        })?;
        counts.say(|| format!("{} of {} sent", n + 1, messages.len()));
    }
    Ok((messages.len(), false))
}

/// Lets the consumer end by itself for a while, unless something has failed, then tells it to. Its exit code, if it ended
/// by itself.
fn end(args: &SendArgs, mut consumer: Program, failed_before: bool, stop: &mut Stop) -> Result<Option<u8>, Failure> {
    let looks = if failed_before { 0 } else { args.linger.as_millis() / LOOK.as_millis() };
    for _ in 0..=looks {
        if let Some(status) = consumer.ended().map_err(failed("the consumer"))? {
            return Ok(Some(exit_code(status)));
        }
        if stop.nap(LOOK).map_err(failed("waiting"))? == Woken::Stop {
            break;
        }
    }
    // Waited for, so that what it prints last is printed before we are done. Who ignores SIGTERM is left alone.
    consumer.end(GRACE).map_err(failed("the consumer"))?;
    Ok(None)
}
