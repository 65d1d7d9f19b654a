//! `forklab run` and `forklab replay`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::rc::Rc;

use clap::{ArgGroup, Args, ValueEnum};
use fork_model::Hook;
use fork_model::design::{Delivery, Format, Gate, Sequence};
use sim::mm::FaultRule;
use sim::trace::{Event, Recording, Sink, write_json};
use sim::{LaneName, Schedule, What};
use uevent::Era;

use super::bar::bar;
use super::files::{Few, Files};
use super::{Failure, Found, names};
use crate::input::InputError;
use crate::lab::run::{Loaded, Watch, run as run_loaded};
use crate::lab::spec::{Asked, Bench, Order, Source, Spec, parse_era, parse_fault, parse_in, parse_pace};
use crate::museum::story::{Line, Story, Told, is_id, tell};
use crate::render::graph::graph;
use crate::render::lanes::{Detail, Lanes};
use crate::render::pcap::Pcap;
use crate::render::where_it_broke;
use crate::scenario_file::Pace;

/// The picture of a run.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Trace {
    /// One column a lane, in the notation of kernel commit messages
    Lanes,
    /// The text of ftrace's function_graph
    Graph,
    /// One event a line; its sha256sum is the trace hash. The report goes to standard error
    Json,
    /// No picture
    #[default]
    None,
}

/// Options that `run` and `replay` share.
#[derive(Args, Debug)]
struct Look {
    /// The picture to draw before the report
    #[arg(long, value_enum, default_value_t)]
    trace: Trace,
    /// With --trace lanes: every event, memory and locks that did what they should among them
    #[arg(long)]
    all: bool,
    /// Write the messages as a capture file for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

/// The design of the notification, axis by axis.
#[derive(Args, Debug)]
pub(super) struct DesignArgs {
    /// Where the notification stands: end (as posted), end-saved-pid, after-wake, locked or before-wake
    #[arg(long, value_parser = names::hook(), hide_possible_values = true)]
    hook: Option<Hook>,
    /// Who is asked first: always (as posted), socket, on-off, counter, has-listeners or counter-reset
    #[arg(long, value_parser = names::gate(), hide_possible_values = true)]
    gate: Option<Gate>,
    /// How events are numbered: none (as posted), unlocked, locked or per-cpu
    #[arg(long, value_parser = names::sequence(), hide_possible_values = true)]
    sequence: Option<Sequence>,
    /// The bytes of a message: bare (as posted), keys, connector-ascii or connector-struct; and, for one exhibit each,
    /// one-slot, keys-change or connector-leak
    #[arg(long, value_parser = names::format(), hide_possible_values = true)]
    format: Option<Format>,
    /// How it is sent: broadcast (as posted), deferred, signal, hotplug or batched
    #[arg(long, value_parser = names::delivery(), hide_possible_values = true)]
    delivery: Option<Delivery>,
}

impl DesignArgs {
    /// What was asked for.
    pub(super) fn asked(&self) -> Asked {
        let &DesignArgs { hook, gate, sequence, format, delivery } = self;
        Asked { hook, gate, sequence, format, delivery }
    }
}

/// Arguments of `forklab run`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("source").args(["scenario", "workload"]).required(true)))]
pub(super) struct RunArgs {
    /// A scenario file (.toml), the name of a built-in scenario, or an experiment of the museum, such as G16
    #[arg(value_name = "SCENARIO")]
    scenario: Option<String>,
    /// A recorded workload, csv or csv.gz
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    #[command(flatten)]
    design: DesignArgs,
    /// Draw who steps next from this seed; without it, whoever runs goes on
    #[arg(long, value_name = "N", conflicts_with = "sched", value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Who steps how often, such as p4.c3.p1
    #[arg(long, value_name = "SCHEDULE", value_parser = |text: &str| text.parse::<Schedule>())]
    sched: Option<Schedule>,
    /// Make an allocation fail: SITE#N, the N-th of a site; SITE#N+, all from then on
    #[arg(long, value_name = "SITE#N", value_parser = fault)]
    fault: Vec<FaultRule>,
    /// How receive buffers are accounted for: 2.6.11, or 6.18 to learn what a listener of today survives
    #[arg(long, value_name = "VERSION", value_parser = era)]
    era: Option<Era>,
    /// CPUs of the machine on which a workload runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), allow_negative_numbers = true)]
    cpus: Option<u32>,
    /// Its kernel may be preempted
    #[arg(long)]
    preempt: bool,
    /// How many listen to a workload
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=64), allow_negative_numbers = true)]
    listeners: Option<u8>,
    /// Receive buffer of each, in bytes
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(0..=i64::from(i32::MAX)),
        allow_negative_numbers = true,
    )]
    rcvbuf: Option<u32>,
    /// When they read: eager, every:N events, or drain-at-end
    #[arg(long, value_parser = pace)]
    pace: Option<Pace>,
    #[command(flatten)]
    look: Look,
}

/// Arguments of `forklab replay`.
#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    /// The replay line of a report, in one word or in several
    #[arg(value_name = "LINE", required = true)]
    line: Vec<String>,
    #[command(flatten)]
    look: Look,
}

fn said((found, expected): (String, String)) -> String {
    format!("found {found}, expected {expected}")
}

fn seed(text: &str) -> Result<u64, String> {
    parse_in(text, 0, u64::MAX).map_err(said)
}

fn fault(text: &str) -> Result<FaultRule, String> {
    parse_fault(text).map_err(said)
}

fn era(text: &str) -> Result<Era, String> {
    parse_era(text).map_err(said)
}

fn pace(text: &str) -> Result<Pace, String> {
    parse_pace(text).map_err(said)
}

impl RunArgs {
    /// An experiment has a machine, a kernel and listeners of its own: only who answers can be asked for.
    fn story(&self, id: &str) -> Result<Story, InputError> {
        let flags = [
            ("--hook", self.design.hook.is_some()),
            ("--gate", self.design.gate.is_some()),
            ("--sequence", self.design.sequence.is_some()),
            ("--format", self.design.format.is_some()),
            ("--delivery", self.design.delivery.is_some()),
            ("--sched", self.sched.is_some()),
            ("--fault", !self.fault.is_empty()),
            ("--era", self.era.is_some()),
            ("--cpus", self.cpus.is_some()),
            ("--preempt", self.preempt),
            ("--listeners", self.listeners.is_some()),
            ("--rcvbuf", self.rcvbuf.is_some()),
            ("--pace", self.pace.is_some()),
        ];
        if let Some((flag, _)) = flags.iter().find(|(_, asked)| *asked) {
            return Err(refused(flag, "that flag with a scenario: an experiment has its own machine and kernel"));
        }
        let story = Story::of(id).map_err(|(found, expected)| InputError::new("<experiment>", found, expected))?;
        Ok(Story { told: self.seed.map_or(story.told, Told::Seed), ..story })
    }

    fn spec(&self) -> Result<Spec, InputError> {
        let source = match (&self.scenario, &self.workload) {
            (_, Some(path)) => Source::Workload(path.clone()),
            (Some(name), None) => Source::named(name),
            (None, None) => unreachable!("clap asks for one of them"),
        };
        let asked = [
            ("--cpus", self.cpus.is_some()),
            ("--preempt", self.preempt),
            ("--listeners", self.listeners.is_some()),
            ("--rcvbuf", self.rcvbuf.is_some()),
            ("--pace", self.pace.is_some()),
        ];
        if let (false, Some((flag, _))) =
            (matches!(source, Source::Workload(_)), asked.iter().find(|(_, asked)| *asked))
        {
            return Err(InputError::new(
                "<command line>",
                *flag,
                "that flag with --workload only: a scenario has its own",
            ));
        }
        let plain = Bench::of(self.era.unwrap_or_default());
        let bench = Bench {
            cpus: self.cpus.unwrap_or(plain.cpus),
            preempt: self.preempt,
            listeners: self.listeners.map_or(plain.listeners, usize::from),
            rcvbuf: self.rcvbuf.unwrap_or(plain.rcvbuf),
            pace: self.pace.unwrap_or(plain.pace),
        };
        let order = match (self.seed, &self.sched) {
            (Some(seed), _) => Order::Seed(seed),
            (None, Some(schedule)) => Order::Schedule(schedule.clone()),
            (None, None) => Order::Calm,
        };
        let design = self.design.asked();
        let (era, faults) = (self.era, self.fault.clone());
        Ok(Spec { source, design, era, order, faults, cuts: Vec::new(), law: None, bench })
    }
}

/// `forklab run`.
pub(super) fn run(args: &RunArgs, out: &mut impl Write) -> Result<Found, Failure> {
    match args.scenario.as_deref().filter(|id| is_id(id)) {
        Some(id) => execute_story(&args.story(id)?, &args.look, out),
        None => execute(args.spec()?, &args.look, out),
    }
}

/// `forklab replay`.
pub(super) fn replay(args: &ReplayArgs, out: &mut impl Write) -> Result<Found, Failure> {
    match args.line.join(" ").parse()? {
        Line::Run(spec) => execute(*spec, &args.look, out),
        Line::Story(story) => execute_story(&story, &args.look, out),
    }
}

/// Writes the JSON trace as the run goes on; the first error is kept for the end.
struct JsonLines {
    line: Vec<u8>,
    error: Rc<RefCell<Option<io::Error>>>,
    out: BufWriter<io::Stdout>,
}

impl Sink for JsonLines {
    fn event(&mut self, event: &Event) {
        self.line.clear();
        write_json(event, &mut self.line);
        if self.error.borrow().is_none()
            && let Err(error) = self.out.write_all(&self.line)
        {
            *self.error.borrow_mut() = Some(error);
        }
    }
}

impl Drop for JsonLines {
    fn drop(&mut self) {
        if let Err(error) = self.out.flush() {
            self.error.borrow_mut().get_or_insert(error);
        }
    }
}

/// Runs something under the eyes that were asked for; also its trace, if that is to be drawn.
fn watched<R>(
    look: &Look,
    progress: Option<Progress>,
    run: impl FnOnce(Watch) -> Result<R, InputError>,
) -> Result<Watched<R>, Failure> {
    let mut watch = Watch { progress, ..Watch::default() };
    let recording = Recording::default();
    let error = Rc::default();
    match look.trace {
        Trace::Lanes | Trace::Graph => watch.sinks.push(Box::new(recording.clone())),
        Trace::Json => {
            let lines = JsonLines { line: Vec::new(), error: Rc::clone(&error), out: BufWriter::new(io::stdout()) };
            watch.sinks.push(Box::new(lines));
        }
        Trace::None => {}
    }
    let pcap = look.pcap.as_ref().map(open_pcap).transpose()?;
    if let Some((pcap, _)) = &pcap {
        watch.sinks.push(Box::new(pcap.sink()));
    }
    let perfetto = look.files.open_perfetto()?;
    if let Some((perfetto, _)) = &perfetto {
        watch.sinks.push(Box::new(perfetto.sink()));
    }
    let page = Few::default();
    if look.files.html.is_some() {
        watch.sinks.push(Box::new(page.clone()));
    }
    let report = run(watch)?;
    if let Some(error) = error.take() {
        return Err(error.into());
    }
    if let Some((pcap, path)) = pcap {
        pcap.finish().map_err(|error| InputError::unwritable(path, &error))?;
    }
    if let Some((perfetto, path)) = perfetto {
        perfetto.finish().map_err(|error| InputError::unwritable(path, &error))?;
    }
    // Last, so that the other files are whole.
    page.check()?;
    Ok(Watched { report, events: recording.take(), page: page.take() })
}

/// What came of it.
struct Watched<R> {
    report: R,
    /// Of the picture on standard output.
    events: Vec<Event>,
    /// Of the page.
    page: Vec<Event>,
}

fn execute(spec: Spec, look: &Look, out: &mut impl Write) -> Result<Found, Failure> {
    check(look)?;
    if look.trace == Trace::Lanes && matches!(spec.source, Source::Workload(_)) {
        return Err(refused(
            "--trace lanes with a workload",
            "graph, json or none: a recording has a lane for each of its tasks",
        )
        .into());
    }
    let loaded = load(spec)?;
    let watched = watched(look, Some(acts_bar()), |watch| run_loaded(&loaded, watch))?;
    let Watched { report, events, page } = watched;
    look.files.write_run(&report.replay, page, report.violations.first())?;
    draw(look, &events, &report, out)?;
    Ok(!report.violations.is_empty())
}

fn execute_story(story: &Story, look: &Look, out: &mut impl Write) -> Result<Found, Failure> {
    check(look)?;
    let Watched { report: telling, events, page } = watched(look, None, |watch| tell(story, watch))?;
    look.files.write_run(&telling.replay, page, telling.violations.first())?;
    draw(look, &events, &telling, out)?;
    Ok(!telling.violations.is_empty())
}

fn refused(found: &str, expected: &str) -> InputError {
    InputError::new("<command line>", found, expected)
}

/// What cannot be shown together is refused before anything runs.
fn check(look: &Look) -> Result<(), InputError> {
    if look.json && look.trace != Trace::None {
        return Err(refused("--json with --trace", "one of them: both go to standard output"));
    }
    if look.all && look.trace != Trace::Lanes {
        return Err(refused("--all", "--trace lanes with it"));
    }
    Ok(())
}

fn load(spec: Spec) -> Result<Loaded, InputError> {
    let size = match &spec.source {
        Source::Workload(path) => std::fs::metadata(path).map_or(0, |file| file.len()),
        _ => 0,
    };
    let bar = bar(size, "reading  {wide_bar} {bytes}/{total_bytes}  {eta}");
    let loaded = Loaded::new(spec, |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    loaded
}

type Progress = Box<dyn FnMut(usize, usize)>;

fn acts_bar() -> Progress {
    let bar = bar(0, "running  {wide_bar} {human_pos}/{human_len} acts  {per_sec}  {eta}");
    Box::new(move |begun, of| {
        bar.set_length(of as u64);
        bar.set_position(begun as u64);
        if begun == of {
            bar.finish_and_clear();
        }
    })
}

type File_ = BufWriter<File>;

fn open_pcap(path: &PathBuf) -> Result<(Pcap<File_>, &PathBuf), InputError> {
    let begun = File::create(path).and_then(|file| Pcap::new(BufWriter::new(file)));
    Ok((begun.map_err(|error| InputError::unwritable(path, &error))?, path))
}

fn draw(
    look: &Look,
    events: &[Event],
    report: &(impl fmt::Display + serde::Serialize),
    out: &mut impl Write,
) -> io::Result<()> {
    match look.trace {
        Trace::Lanes => {
            let detail = if look.all { Detail::All } else { Detail::Calls };
            // Whether colours get through is decided by the stream: NO_COLOR, pipes.
            let lanes = Lanes { color: true, detail, labels: labels(events), ..Lanes::default() };
            writeln!(out, "{}", lanes.draw(&where_it_broke(events)))?;
        }
        Trace::Graph => writeln!(out, "{}", graph(events))?,
        Trace::Json => {
            return write!(anstream::stderr(), "{report}");
        }
        Trace::None => {}
    }
    if look.json { super::write_json(report, out) } else { write!(out, "{report}") }
}

/// The events of the run that a replay line gives again.
///
/// # Errors
/// Those of the line.
pub(super) fn recorded(line: &str) -> Result<Vec<Event>, InputError> {
    let recording = Recording::default();
    let watch = Watch { sinks: vec![Box::new(recording.clone())], ..Watch::default() };
    match line.parse()? {
        Line::Story(story) => tell(&story, watch).map(drop)?,
        Line::Run(spec) => run_loaded(&Loaded::new(*spec, |_| ())?, watch).map(drop)?,
    }
    Ok(recording.take())
}

/// What stands above a lane: its name and, once the trace has told it, its pid.
pub(super) fn labels(events: &[Event]) -> BTreeMap<LaneName, String> {
    let mut labels = BTreeMap::new();
    for event in events {
        if let What::Enter { func: "do_exit", args } = &event.what
            && let Some((_, sim::Value::Int(pid))) = args.iter().find(|(name, _)| *name == "pid")
        {
            labels.insert(event.lane, format!("{} {pid}", event.lane));
        }
    }
    labels
}
