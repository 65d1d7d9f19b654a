//! `forklab listen`.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;
use uevent::netlink::{NetlinkSocket, ProcEvents, Protocol};
use uevent::source::{Arrival, Sequenced, Trust, UeventSource, per_cpu, seqnum};
use uevent::wire::Shown;

use super::live::{Counter, failed, refused};
use super::{Failure, Found};
use crate::input::InputError;
use crate::live::decode::Decoded;
use crate::live::hear::{Tally, Until, hear};
use crate::live::recorder::now;
use crate::live::stop::Stop;
use crate::render::pcap::{Capture, Family};

/// What to listen to.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
enum What {
    /// The kernel's uevents: NETLINK_KOBJECT_UEVENT, group 1
    #[default]
    Uevents,
    /// What udevd makes of them: group 2
    Udev,
    /// The kernel's process events: NETLINK_CONNECTOR
    Processes,
    /// Messages of other programs, such as `forklab relay` and `forklab send`: NETLINK_USERSOCK
    Usersock,
}

/// Whose messages are believed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Believe {
    /// The kernel's
    Kernel,
    /// The kernel's and root's
    Root,
    /// Everybody's
    Anyone,
}

/// Arguments of `forklab listen`.
#[derive(Args, Debug)]
pub(super) struct ListenArgs {
    /// What to listen to
    #[arg(value_enum, default_value_t)]
    what: What,
    /// Another multicast group than that of WHAT, by number; usersock needs one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32), allow_negative_numbers = true)]
    group: Option<u32>,
    /// Whose messages are believed; the others are counted. By default the kernel's; root's of udev; anyone's of usersock
    #[arg(long, value_enum)]
    trust: Option<Believe>,
    /// Receive buffer to ask for, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=i64::from(i32::MAX)), allow_negative_numbers = true)]
    rcvbuf: Option<u32>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    count: Option<u64>,
    /// End after so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    time: Option<Duration>,
    /// Write the messages as a capture file for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Seconds, with a fraction if need be.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // What poll() cannot wait for is no time.
    let seconds = seconds.filter(|time: &Duration| time.as_secs() < 1 << 40);
    seconds.ok_or_else(|| "expected seconds, such as 10 or 0.5".to_owned())
}

/// `forklab listen`: found is whether something was lost or refused.
pub(super) fn listen(args: &ListenArgs, out: &mut impl Write) -> Result<Found, Failure> {
    let group = |of_what: u32| args.group.map_or(of_what, |group| 1 << (group - 1));
    let open = |protocol, of_what, trust| {
        let socket = NetlinkSocket::open(protocol, group(of_what)).map_err(|error| refused(&error))?;
        set_rcvbuf(&socket, args.rcvbuf)?;
        let trust = args.trust.map_or(trust, |believe| match believe {
            Believe::Kernel => Trust::Kernel,
            Believe::Root => Trust::Root,
            Believe::Anyone => Trust::Anyone,
        });
        Ok::<_, Failure>(socket.trusting(trust))
    };
    // Before LISTEN: a signal in between would leave without IGNORE.
    let stop = Stop::new().map_err(failed("preparing for signals"))?;
    match args.what {
        What::Uevents => {
            heard(args, Sequenced::new(open(Protocol::KobjectUevent, 1, Trust::Kernel)?, seqnum), stop, out)
        }
        What::Udev => heard(args, open(Protocol::KobjectUevent, 2, Trust::Root)?, stop, out),
        What::Usersock if args.group.is_none() => {
            Err(InputError::new("--group", "nothing", "the number of a group, 1 to 32, with usersock").into())
        }
        What::Usersock => heard(args, open(Protocol::Usersock, 0, Trust::Anyone)?, stop, out),
        What::Processes if args.group.is_some() || args.trust.is_some() => {
            Err(InputError::new("<listen>", "--group or --trust", "neither with processes: only the kernel tells them")
                .into())
        }
        What::Processes => {
            let events = ProcEvents::open().map_err(|error| refused(&error))?;
            set_rcvbuf(events.socket(), args.rcvbuf)?;
            heard(args, Sequenced::new(events, per_cpu), stop, out)
        }
    }
}

/// Asks for a receive buffer, if the user does.
pub(super) fn set_rcvbuf(socket: &NetlinkSocket, bytes: Option<u32>) -> Result<(), Failure> {
    if let Some(bytes) = bytes {
        socket
            .set_rcvbuf(bytes as usize)
            .map_err(|error| InputError::io("--rcvbuf", &error, "a size that the kernel takes"))?;
    }
    Ok(())
}

/// Messages with the wall clock's time, as a capture.
struct Tape<'a> {
    path: &'a Path,
    capture: Capture<BufWriter<File>>,
    /// None: told by its bytes, as any program may send anything.
    family: Option<Family>,
}

impl<'a> Tape<'a> {
    fn new(path: &'a Path, family: Option<Family>) -> Result<Tape<'a>, Failure> {
        let begun = File::create(path).and_then(|file| Capture::new(BufWriter::new(file)));
        let capture = begun.map_err(|error| InputError::unwritable(path, &error))?;
        Ok(Tape { path, capture, family })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), InputError> {
        let written = self.capture.write(self.family.unwrap_or_else(|| Family::of(bytes)), now(), bytes);
        written.map_err(|error| InputError::unwritable(self.path, &error))
    }

    fn finish(self) -> Result<(), InputError> {
        let finished = self.capture.finish();
        finished.map(drop).map_err(|error| InputError::unwritable(self.path, &error))
    }
}

fn heard(
    args: &ListenArgs,
    mut source: impl UeventSource + AsFd,
    mut stop: Stop,
    out: &mut impl Write,
) -> Result<Found, Failure> {
    let family = match args.what {
        What::Uevents | What::Udev => Some(Family::KobjectUevent),
        What::Processes => Some(Family::Connector),
        What::Usersock => None,
    };
    let mut tape = args.pcap.as_ref().map(|path| Tape::new(path, family)).transpose()?;
    let counts = Counter::new();
    let shown = io::stdout().is_terminal();
    let until = Until { messages: args.count, time: args.time };
    let tally = hear(&mut source, &mut stop, until, |arrival, tally| {
        say(args.json, arrival, out)?;
        // Where messages go to the terminal, counts would only be in their way.
        if !shown {
            counts.say(|| tally.to_string());
        }
        // Whoever reads a pipe reads now.
        out.flush()?;
        if let (Some(tape), Arrival::Message(datagram)) = (&mut tape, arrival) {
            tape.write(datagram.bytes)?;
        }
        Ok::<_, Failure>(())
    })?;
    counts.hide();
    end(args.json, &tally, out)?;
    tape.map(Tape::finish).transpose()?;
    Ok(tally.lost() || tally.refused > 0)
}

fn say(json: bool, arrival: Arrival<'_>, out: &mut impl Write) -> io::Result<()> {
    if json {
        let line = match arrival {
            Arrival::Message(datagram) => Decoded::read(datagram.bytes).json(),
            Arrival::Lost(loss) => json!({ "kind": "lost", "what": loss.to_string(), "count": loss.count() }),
            Arrival::Refused(datagram, why) => json!({
                "kind": "refused", "why": why.to_string(), "shown": Shown(datagram.bytes).to_string(),
                "port": datagram.sender.port,
                "pid": datagram.sender.credentials.map(|who| who.pid),
                "uid": datagram.sender.credentials.map(|who| who.uid),
            }),
            Arrival::Nothing | Arrival::End => return Ok(()),
        };
        return writeln!(out, "{line}");
    }
    match arrival {
        Arrival::Message(datagram) => writeln!(out, "{}", Decoded::read(datagram.bytes)),
        Arrival::Lost(loss) => writeln!(out, "LOST {loss}"),
        Arrival::Refused(datagram, why) => writeln!(out, "REFUSED {why}: {}", Shown(datagram.bytes)),
        Arrival::Nothing | Arrival::End => Ok(()),
    }
}

fn end(json: bool, tally: &Tally, out: &mut impl Write) -> io::Result<()> {
    if json {
        let mut summary = serde_json::to_value(tally)?;
        summary.as_object_mut().expect("a struct").insert("kind".into(), "summary".into());
        return writeln!(out, "{summary}");
    }
    writeln!(out, "{tally}")
}
