//! `forklab relay`.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use fork_model::{Design, Hook};
use serde::Serialize;
use uevent::netlink::Protocol;
use uevent::wire::proc_event::What;

use super::Failure;
use super::live::{Counter, nap, rcvbuf};
use super::live::{broken, failed, refused};
use super::run::DesignArgs;
use crate::input::InputError;
use crate::lab::report::{n, plural};
use crate::live::clock::Clock;
use crate::live::feed::{Feed, Heard, RCVBUF, Tally};
use crate::live::follow::{Ended, Listener, follow};
use crate::live::kin::Kin;
use crate::live::program::{Program, exit_code, find};
use crate::live::recorder::Missing;
use crate::live::relay::{Relay, Relayed, check};
use crate::live::stop::Stop;

/// How long events may gather while there are many.
const NAP: Duration = Duration::from_millis(1);

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Bus {
    /// `NETLINK_USERSOCK`, for processes among themselves
    #[default]
    Usersock,
    /// `NETLINK_KOBJECT_UEVENT`, where the patch sent it; listeners see that it is not from the kernel
    KobjectUevent,
}

/// Arguments of `forklab relay`.
///
/// Without CMD, the forks of the whole machine are relayed, until Ctrl-C or SIGTERM; with it, those of its tree, until it
/// has ended. Says on standard error to which port listeners may say "on" and "off" (gates on-off and counter); with
/// --json on standard output, one line each for start, loss and summary.
///
/// The hook is that of the kernel of today, before-wake, and the delivery a broadcast.
///
/// The exit code is CMD's own; 1 if that is 0, or there is none, and something was lost; 2 if nothing was relayed.
#[derive(Args, Debug)]
pub(super) struct RelayArgs {
    #[command(flatten)]
    design: DesignArgs,
    /// Over which protocol messages go out
    #[arg(long, value_enum, default_value_t)]
    to: Bus,
    /// To which group, 1 to 32; not udevd's, which is group 2 of kobject-uevent
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=32),
          allow_negative_numbers = true)]
    group: u32,
    /// Receive buffer to ask for; the kernel doubles it, and gives less to whom is not root
    #[arg(long, value_name = "BYTES", default_value_t = RCVBUF, value_parser = rcvbuf, allow_negative_numbers = true)]
    rcvbuf: usize,
    /// End after so many forks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    count: Option<u64>,
    /// One line of JSON each for start, loss and summary, on standard output
    #[arg(long)]
    json: bool,
    /// A command and its arguments: only its forks are relayed
    #[arg(value_name = "CMD", last = true)]
    command: Vec<OsString>,
}

impl RelayArgs {
    fn design(&self) -> Result<Design, Failure> {
        let design = self.design.asked().over(Design { hook: Hook::BeforeWake, ..Design::default() });
        check(&design).map_err(|why| Failure::Refused(why.to_string()))?;
        if self.to == Bus::KobjectUevent && self.group == 2 {
            let found = "--to kobject-uevent --group 2";
            let expected = "another group: there udevd speaks, and root is believed";
            return Err(InputError::new("<command line>", found, expected).into());
        }
        Ok(design)
    }
}

/// One line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    /// The first: where listeners join, and whom they tell "on" and "off".
    Start { design: String, protocol: String, group: u32, port: u32, pid: u32 },
    /// So many events of any process are missing.
    Lost { cpu: u32, missing: u64 },
    /// The last.
    Summary(&'a Summary),
}

/// What is said at the end.
#[derive(Debug, Serialize)]
struct Summary {
    #[serde(flatten)]
    relayed: Relayed,
    #[serde(flatten)]
    tally: Tally,
    /// CMD's exit code, or 128 and the signal that killed it.
    exit_code: Option<u8>,
    /// Ctrl-C, SIGTERM or SIGHUP ended it.
    stopped: bool,
    seconds: f64,
}

struct Live<'o, W: Write> {
    relay: Relay,
    kin: Option<Kin>,
    count: Option<u64>,
    counter: Counter,
    json: bool,
    /// Where JSON goes; none, when nobody reads it any more.
    out: Option<&'o mut W>,
}

impl<W: Write> Live<'_, W> {
    fn say(&mut self, line: &Line<'_>, text: impl fmt::Display) -> io::Result<()> {
        if !self.json {
            return write!(anstream::stderr(), "{text}");
        }
        let Some(out) = &mut self.out else { return Ok(()) };
        let said = serde_json::to_writer(&mut *out, line).map_err(io::Error::from);
        match said.and_then(|()| writeln!(out)).and_then(|()| out.flush()) {
            // Whoever read has seen enough; those who joined the group have not.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.out = None;
                Ok(())
            }
            said => said,
        }
    }
}

impl<W: Write> Listener for Live<'_, W> {
    fn hear(&mut self, heard: Heard<'_>) -> io::Result<()> {
        if self.enough() {
            return Ok(());
        }
        match heard {
            Heard::Lost(cpu, missing) => {
                self.relay.lost(cpu, missing)?;
                let events = plural(missing, "event");
                self.say(&Line::Lost { cpu, missing }, format_args!(" lost      {events} of CPU {cpu}\n"))
            }
            Heard::Event(event, _) => {
                let ours = self.kin.as_mut().is_none_or(|kin| kin.hear(event));
                match event.what {
                    What::Fork(ids) if ours => self.relay.fork(&ids, event.cpu),
                    _ => Ok(()),
                }
            }
        }
    }

    fn tick(&mut self, feed: &mut Feed) -> io::Result<()> {
        let &Relayed { sent, kept, .. } = self.relay.relayed();
        self.counter.show(feed, |lost| format!("{sent} relayed, {kept} kept{lost}"));
        self.relay.tick()
    }

    fn enough(&self) -> bool {
        self.count.is_some_and(|count| self.relay.relayed().forks >= count)
    }
}

/// `forklab relay`; returns the exit code.
pub(super) fn relay(args: &RelayArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let design = args.design()?;
    if !args.command.is_empty() {
        find(&args.command)?;
    }
    let protocol = match args.to {
        Bus::Usersock => Protocol::Usersock,
        Bus::KobjectUevent => Protocol::KobjectUevent,
    };
    // Before LISTEN: a signal in between would leave without IGNORE.
    let mut stop = Stop::new().map_err(failed("preparing for signals"))?;
    let relay = Relay::open(design, protocol, args.group).map_err(|error| refused(&error))?;
    let port = relay.port().map_err(failed("relaying"))?;
    let mut feed = Feed::open(args.rcvbuf).map_err(|error| refused(&error))?;
    let kin = (!args.command.is_empty()).then(Kin::of_this_process);
    let out = args.json.then_some(out);
    let mut live = Live { relay, kin, count: args.count, counter: Counter::new(), json: args.json, out };
    let start = Line::Start {
        design: design.to_string(),
        protocol: protocol.to_string(),
        group: args.group,
        port,
        pid: std::process::id(),
    };
    live.say(&start, format_args!(" relay     {design}\n to        {protocol} group {}; port {port}\n", args.group))?;

    let clock = Clock::start();
    let mut program = match args.command.as_slice() {
        [] => None,
        words => Some(Program::start(words)?),
    };
    let nap = nap(&feed, NAP);
    let ended = follow(&mut feed, &mut stop, program.as_mut(), nap, &mut live).map_err(broken(failed("relaying")))?;
    let seconds = clock.elapsed().as_secs_f64();
    let tally = feed.close(&mut |heard| live.hear(heard)).map_err(broken(failed("relaying")))?;
    let status = if let Ended::Program(status) = ended { Some(status) } else { None };
    let relayed = *live.relay.relayed();
    let stopped = ended == Ended::Stopped;
    let summary = Summary { relayed, tally, exit_code: status.map(exit_code), stopped, seconds };
    live.counter.hide();
    live.say(&Line::Summary(&summary), &summary)?;
    Ok(super::live::code(status, tally.has_losses()))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Relayed { forks, sent, kept, told } = self.relayed;
        let (forks, told) = (plural(forks, "fork"), plural(told, "message"));
        writeln!(f, " forks     {forks}, {} sent, {} kept by the gate, in {:.2} s", n(sent), n(kept), self.seconds)?;
        writeln!(f, " events    {} of the machine received; {}", n(self.tally.received), Missing(&self.tally))?;
        if self.relayed.told > 0 {
            writeln!(f, " told      {told} of losses")?;
        }
        Ok(())
    }
}
