//! `forklab tree`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use uevent::netlink::ProcEvents;
use uevent::source::{Arrival, Sequenced, UeventSource, Wait, per_cpu};
use uevent::wire::connector::ConnectorMessage;
use uevent::wire::proc_event::ProcEvent;

use super::listen::{seconds, set_rcvbuf};
use super::live::{Counter, failed, refused};
use super::{Failure, Found};
use crate::input::InputError;
use crate::lab::report::plural;
use crate::live::feed::most;
use crate::live::hear::{NotHeard, Tally, Until, hear};
use crate::live::proc_fs::{Process, snapshot};
use crate::live::stop::Stop;
use crate::live::tree::{Divergence, LiveTree, Reads, Why};

/// Arguments of `forklab tree`.
#[derive(Args, Debug)]
pub(super) struct TreeArgs {
    /// End after so many seconds; without it, at Ctrl-C
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    time: Option<Duration>,
    /// Compare with /proc every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1", allow_negative_numbers = true)]
    every: Duration,
    /// Read two pids and no more, as the patch's messages have them
    #[arg(long)]
    pids: bool,
    /// Draw (with --json, list) this process and its descendants only
    #[arg(long, value_name = "PID", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..), allow_negative_numbers = true)]
    root: i32,
    /// Receive buffer to ask for, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(0..=i64::from(i32::MAX)), allow_negative_numbers = true)]
    rcvbuf: u32,
    /// One JSON object a line: each comparison, then the tree
    #[arg(long)]
    json: bool,
}

/// One comparison with /proc.
#[derive(Serialize)]
struct Check {
    kind: &'static str,
    compared: usize,
    agree: usize,
    divergences: Vec<Divergence>,
    events: u64,
    lost: Tally,
    resyncs: u64,
}

/// The listener, its belief and its count.
struct Watcher {
    events: Sequenced<ProcEvents>,
    tree: LiveTree,
    tally: Tally,
    resyncs: u64,
    /// `sk_rcvbuf`, in bytes.
    rcvbuf: usize,
    /// Resynchronise before anything else.
    behind: bool,
}

/// How long after a difference it is looked at again: a fork is in /proc shortly before its message is sent.
const AGAIN: Duration = Duration::from_millis(50);
/// How often, before a difference is taken for one.
const LOOKS: u32 = 3;

/// `forklab tree`: found is a loss, or a divergence that nothing explains.
pub(super) fn tree(args: &TreeArgs, out: &mut impl Write) -> Result<Found, Failure> {
    if args.every.is_zero() {
        return Err(InputError::new("--every", "0", "more than 0 seconds").into());
    }
    let lost = failed("following the processes");
    // Before LISTEN: a signal in between would leave without IGNORE.
    let mut stop = Stop::new().map_err(&lost)?;
    let events = ProcEvents::open().map_err(|error| refused(&error))?;
    set_rcvbuf(events.socket(), Some(args.rcvbuf))?;
    let rcvbuf = events.socket().rcvbuf().map_err(&lost)?;
    let reads = if args.pids { Reads::Pids } else { Reads::Ids };
    let (tree, tally) = (LiveTree::new(reads), Tally::default());
    let events = Sequenced::new(events, per_cpu);
    let mut watcher = Watcher { events, tree, tally, resyncs: 0, rcvbuf, behind: false };
    // After LISTEN: what happens from here on is told, and counts as newer than what is read now.
    let now = snapshot().map_err(&lost)?;
    if args.root != 0 && !now.contains_key(&args.root) {
        return Err(InputError::new("--root", args.root.to_string(), "the pid of a process that is there").into());
    }
    watcher.tree.resync(&now);
    let counts = Counter::new();
    let mut left = args.time;
    let mut unexplained = false;
    loop {
        let slice = left.map_or(args.every, |left| left.min(args.every));
        let stopped = watcher.listen(&mut stop, slice).map_err(&lost)?;
        left = left.map(|left| left.saturating_sub(slice));
        let (check, truth) = watcher.check(&mut stop).map_err(&lost)?;
        unexplained |= check.divergences.iter().any(|divergence| divergence.why == Why::Unexplained);
        counts.say(|| format!("{} processes, {} agree", check.compared, check.agree));
        say(args.json, &check, &truth, out)?;
        out.flush()?;
        if stopped || left == Some(Duration::ZERO) {
            counts.hide();
            draw(args, &watcher.tree.parents(), &truth, out)?;
            return Ok(unexplained || watcher.tally.lost());
        }
    }
}

impl Watcher {
    /// Listens for so long; whether it was told to end.
    fn listen(&mut self, stop: &mut Stop, time: Duration) -> io::Result<bool> {
        let Watcher { events, tree, behind, .. } = self;
        let tally = hear(events, stop, Until { messages: None, time: Some(time) }, |arrival, _| {
            take(tree, behind, &arrival);
            Ok::<_, NotHeard>(())
        })
        .map_err(io::Error::other)?;
        self.tally += tally;
        self.recover()?;
        Ok(stop.nap(Duration::ZERO)? == crate::live::stop::Woken::Stop)
    }

    /// Takes whatever is queued.
    fn drain(&mut self) -> io::Result<()> {
        for _ in 0..most(self.rcvbuf) {
            let arrival = self.events.receive(Wait::No)?;
            if arrival == Arrival::Nothing {
                break;
            }
            self.tally.count(&arrival);
            take(&mut self.tree, &mut self.behind, &arrival);
        }
        Ok(())
    }

    /// After a loss: what is queued is older than what /proc says, and what comes from now on is newer.
    fn recover(&mut self) -> io::Result<()> {
        while std::mem::take(&mut self.behind) {
            self.drain()?;
            self.behind = false;
            self.tree.resync(&snapshot()?);
            self.resyncs += 1;
        }
        Ok(())
    }

    fn look(&mut self) -> io::Result<(usize, Vec<Divergence>, BTreeMap<i32, Process>)> {
        self.drain()?;
        self.recover()?;
        self.tree.forget_touched();
        let truth = snapshot()?;
        self.drain()?;
        let (compared, divergences) = self.tree.compare(&truth);
        Ok((compared, divergences, truth))
    }

    /// Compares with /proc, and again whatever differs without a reason: only what stays is a divergence.
    fn check(&mut self, stop: &mut Stop) -> io::Result<(Check, BTreeMap<i32, Process>)> {
        let (mut compared, mut divergences, mut truth) = self.look()?;
        for _ in 1..LOOKS {
            if divergences.iter().all(|divergence| divergence.why != Why::Unexplained) {
                break;
            }
            stop.nap(AGAIN)?;
            let first = divergences;
            (compared, divergences, truth) = self.look()?;
            divergences.retain(|divergence| divergence.why != Why::Unexplained || first.contains(divergence));
        }
        let check = Check {
            kind: "check",
            compared,
            agree: compared - divergences.len(),
            divergences,
            events: self.tally.messages,
            lost: self.tally,
            resyncs: self.resyncs,
        };
        Ok((check, truth))
    }
}

fn take(tree: &mut LiveTree, behind: &mut bool, arrival: &Arrival<'_>) {
    match arrival {
        Arrival::Message(datagram) => {
            let event = ConnectorMessage::parse(datagram.bytes).and_then(|message| ProcEvent::parse(&message));
            if let Ok(event) = event {
                tree.hear(&event.what);
            }
        }
        Arrival::Lost(_) => {
            tree.lose();
            *behind = true;
        }
        Arrival::Refused(..) | Arrival::Nothing | Arrival::End => {}
    }
}

fn say(json: bool, check: &Check, truth: &BTreeMap<i32, Process>, out: &mut impl Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, check)?;
        return writeln!(out);
    }
    let resyncs = if check.resyncs == 0 {
        String::new()
    } else {
        format!("; read /proc again {}", plural(check.resyncs, "time"))
    };
    writeln!(out, "{} processes, {} agree; {}{resyncs}", check.compared, check.agree, check.lost)?;
    for Divergence { pid, believed, truth: told, why } in &check.divergences {
        let comm = truth.get(pid).map_or("", |process| &process.comm);
        let of = |parent: &Option<i32>| parent.map_or("nobody".to_owned(), |parent| parent.to_string());
        writeln!(out, "  {pid} {comm}: believed child of {}, /proc says {}: {why}", of(believed), of(told))?;
    }
    Ok(())
}

/// The believed tree below the root.
fn draw(
    args: &TreeArgs,
    parents: &BTreeMap<i32, i32>,
    truth: &BTreeMap<i32, Process>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (&pid, &parent) in parents {
        // A believed parent that is gone has no line of its own.
        let parent = if parents.contains_key(&parent) { parent } else { 0 };
        children.entry(parent).or_default().push(pid);
    }
    let mut rest: Vec<(usize, i32)> = match args.root {
        0 => children.get(&0).into_iter().flatten().rev().map(|&pid| (0, pid)).collect(),
        root => vec![(0, root)],
    };
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some((depth, pid)) = rest.pop() {
        // A belief may be wrong, and go in circles.
        if !seen.insert(pid) {
            continue;
        }
        lines.push((depth, pid));
        rest.extend(children.get(&pid).into_iter().flatten().rev().map(|&child| (depth + 1, child)));
    }
    if args.json {
        let asked = |pid: &i32| args.root == 0 || seen.contains(pid);
        let parents: BTreeMap<_, _> = parents.iter().filter(|(pid, _)| asked(pid)).collect();
        return writeln!(out, "{}", serde_json::json!({ "kind": "tree", "parents": parents }));
    }
    for (depth, pid) in lines {
        let comm = truth.get(&pid).map_or("gone", |process| &process.comm);
        writeln!(out, "{:indent$}{pid} {comm}", "", indent = 2 * depth)?;
    }
    Ok(())
}
