//! `forklab check`.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fork_model::Design;
use indicatif::ProgressBar;
use sim::explore::parallel::{How, Shard};

use super::bar::style;
use super::files::Files;
use super::run::{DesignArgs, labels, recorded};
use super::{Failure, Found as FoundSome, names, shard, write_json};
use crate::input::{InputError, quoted};
use crate::lab::report::plural;
use crate::lab::spec::{Source, Spec};
use crate::matrix::merge::{Shards, of_kind};
use crate::matrix::table::wrapped;
use crate::property::check::{
    Answer, CaseAnswer, Counterexample, Progress, Question, State, VERSION, check as check_design,
};
use crate::property::{ALL, Found, Property};
use crate::render::lanes::Lanes;
use crate::render::where_it_broke;

/// How runs are chosen.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Strategy {
    /// Every run; of those that differ only in the order of steps that commute, one
    #[default]
    Exhaustive,
    /// Uniform random runs
    Random,
    /// Random priorities with few changes: finds what needs few switches
    Pct,
}

/// Characters of a line at the most, but for what is to be pasted.
const WIDE: usize = 80;

/// Arguments of `forklab check`.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// A scenario file (.toml) or the name of a built-in scenario; without it, each property's own scenarios
    #[arg(value_name = "SCENARIO")]
    scenario: Option<String>,
    #[command(flatten)]
    design: DesignArgs,
    /// Which properties, such as P12,P18; without it, all
    #[arg(long, value_name = "IDS", value_delimiter = ',', value_parser = names::property(),
          hide_possible_values = true)]
    property: Vec<&'static Property>,
    /// How runs are chosen
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,
    /// Runs at the most: in all of a random search, in each part of an exhaustive one
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Of the random numbers of random and pct [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// With pct: how many ordered points a bug may need [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    depth: Option<u32>,
    /// How often a lane that could go on is displaced, at the most; then nothing is reduced
    #[arg(long, value_name = "N")]
    preemptions: Option<u32>,
    /// Steps of a run, at the most; what comes later is not looked at
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// How many allocations may fail in one run, any of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=8))]
    faults: Option<u32>,
    /// Threads; without it, as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Only every N-th part, from the I-th on; auto asks the environment of an array job. Prints the state of the shard as
    /// JSON, for `forklab merge`
    #[arg(long, value_name = "I/N|auto")]
    shard: Option<String>,
    /// Write how far the search is to this file, after each part
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Go on from the file of --checkpoint, if it is there
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    #[command(flatten)]
    files: Files,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    fn how(&self) -> How {
        let &CheckArgs { runs, preemptions, steps, .. } = self;
        let (seed, depth) = (self.seed.unwrap_or(0), self.depth.unwrap_or(3));
        match self.strategy {
            Strategy::Exhaustive => How::Exhaustive { preemptions, steps, most: Some(runs) },
            Strategy::Random => How::Random { seed, runs },
            Strategy::Pct => How::Pct { seed, runs, depth },
        }
    }

    fn question(&self) -> Result<Question, InputError> {
        let source = self.scenario.as_deref().map(Source::named);
        let drawn = self.strategy != Strategy::Exhaustive;
        if drawn && (self.preemptions.is_some() || self.steps.is_some()) {
            let expected = "--strategy exhaustive with it: a random search has no bounds";
            return Err(InputError::new("<command line>", "--preemptions or --steps", expected));
        }
        if (self.seed.is_some() && !drawn) || (self.depth.is_some() && self.strategy != Strategy::Pct) {
            let expected = "--strategy random or pct with --seed, and pct with --depth: nothing else is drawn";
            return Err(InputError::new("<command line>", "--seed or --depth", expected));
        }
        let of_scenario = match &source {
            Some(source) => Spec::new(source.clone()).scenario()?.map(|scenario| scenario.design),
            None => None,
        };
        let design = of_scenario.map_or_else(Design::default, |named| crate::lab::spec::design(&named));
        let design = self.design.asked().over(design);
        design.check().map_err(|impossible| {
            InputError::new("<command line>", design.to_string(), format!("a design that can be built: {impossible}"))
        })?;
        let mut properties = if self.property.is_empty() { ALL.to_vec() } else { Vec::new() };
        for property in &self.property {
            if !properties.contains(property) {
                properties.push(*property);
            }
        }
        Ok(Question { design, source, properties, how: self.how(), faults: self.faults })
    }
}

/// `forklab check`.
pub(super) fn check(args: &CheckArgs, out: &mut impl Write) -> Result<FoundSome, Failure> {
    let question = args.question()?;
    let shard = shard::asked(args.shard.as_deref())?;
    if args.shard.is_some() && args.files.any() {
        let expected = "the whole: what a shard found is shown when it is merged";
        return Err(InputError::new("<command line>", "--perfetto or --html with --shard", expected).into());
    }
    let before = match &args.checkpoint {
        Some(path) if args.resume && path.exists() => Some(read_state(path, &question, shard)?),
        _ => None,
    };
    let bar = Bar::new(args.checkpoint.clone())?;
    let threads = args.jobs.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| {
        InputError::new(
            "<command line>",
            format!("--jobs {threads}: {error}"),
            "a number of threads that can be started",
        )
    })?;
    let state = pool.install(|| check_design(&question, shard, before, &bar));
    let state = bar.finish(state)?;
    if args.shard.is_some() {
        write_json(&state, out)?;
        return Ok(false);
    }
    let answer = state.answer(&question)?.ok_or_else(|| {
        InputError::new("<checkpoint>", "parts that are missing", "the state of a search that was run to its end")
    })?;
    write_files(&args.files, &answer)?;
    if args.json {
        write_json(&answer, out)?;
    } else {
        draw(&answer, out)?;
    }
    Ok(answer.violated > 0)
}

/// The first counterexample as files, beside the nearest run that passes.
fn write_files(files: &Files, answer: &Answer) -> Result<(), Failure> {
    match answer.counterexamples().next() {
        Some((property, found)) => {
            let nearest = found.nearest.as_ref().map(|nearest| (nearest.step, nearest.replay.as_str()));
            files.write_found(&format!("{} {}", property.id, property.title), &found.replay, nearest)
        }
        None => files.nothing_found(),
    }
}

/// Reads what was written by an earlier check, of the same question.
fn read_state(path: &Path, question: &Question, shard: Shard) -> Result<State, InputError> {
    let file = path.display().to_string();
    const EXPECTED: &str = "what an earlier check with --checkpoint wrote";
    let state = parse_state(&file, &InputError::read(path, EXPECTED)?, EXPECTED)?;
    let theirs = state.question().map_err(|(found, expected)| InputError::new(&file, found, expected))?;
    let same = (theirs.design, &theirs.source, theirs.how, theirs.faults)
        == (question.design, &question.source, question.how, question.faults)
        && theirs.properties == question.properties
        && state.shard == shard.to_string();
    if !same {
        return Err(InputError::new(
            &file,
            format!("the state of another check ({}, shard {})", state.design, state.shard),
            EXPECTED,
        ));
    }
    Ok(state)
}

fn parse_state(file: &str, text: &str, expected: &str) -> Result<State, InputError> {
    let no_json = |error: serde_json::Error| InputError::json(file, text, &error, expected);
    let any: serde_json::Value = serde_json::from_str(text).map_err(no_json)?;
    let kind = any.get("forklab").and_then(|kind| kind.as_str());
    if kind != Some(VERSION) {
        return Err(InputError::new(file, of_kind(kind), format!("{expected} ({VERSION})")));
    }
    serde_json::from_str(text).map_err(no_json)
}

/// Merges the shards of a check, each with the name of its file, and prints what `forklab check --json` of the whole prints.
pub(super) fn merge(shards: &[(String, String)], out: &mut impl Write) -> Result<FoundSome, Failure> {
    const EXPECTED: &str = "a shard of forklab check";
    let mut whole: Option<State> = None;
    let mut seen = Shards::default();
    for (file, text) in shards {
        let state = parse_state(file, text, EXPECTED)?;
        let shard = state
            .shard
            .parse()
            .map_err(|_| InputError::new(file, format!("shard {}", quoted(&state.shard)), "I/N with I from 1 to N"))?;
        seen.add(file, shard)?;
        match &mut whole {
            None => whole = Some(state),
            Some(whole) => {
                whole.merge(&state).map_err(|(found, expected)| InputError::new(file, found, expected))?;
            }
        }
    }
    let whole = whole.ok_or_else(|| InputError::new("<command line>", "no file", EXPECTED))?;
    let first = &shards[0].0;
    let question = whole.question().map_err(|(found, expected)| InputError::new(first, found, expected))?;
    let answer = whole.answer(&question)?.ok_or_else(|| {
        let unfinished =
            || InputError::new("<command line>", "a check with parts that nobody has run", "finished shards");
        seen.missing().unwrap_or_else(unfinished)
    })?;
    write_json(&answer, out)?;
    Ok(answer.violated > 0)
}

/// Where a checkpoint is written, before it takes the place of the last one.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Progress on standard error, and checkpoints.
struct Bar {
    bar: ProgressBar,
    checkpoint: Option<PathBuf>,
    error: Mutex<Option<InputError>>,
}

impl Bar {
    /// # Errors
    /// [`InputError`] for a checkpoint that could not be written: told now, and not when the search is over.
    fn new(checkpoint: Option<PathBuf>) -> Result<Bar, InputError> {
        if let Some(path) = &checkpoint {
            let unwritable = |error| InputError::unwritable(path, &error);
            if path.is_dir() {
                return Err(unwritable(ErrorKind::IsADirectory.into()));
            }
            let new = beside(path);
            fs::write(&new, "").and_then(|()| fs::remove_file(&new)).map_err(unwritable)?;
        }
        let bar =
            ProgressBar::new_spinner().with_style(style("{spinner} {msg}  {human_pos} runs  {per_sec}  {prefix}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Ok(Bar { bar, checkpoint, error: Mutex::new(None) })
    }

    fn finish<T>(self, result: Result<T, InputError>) -> Result<T, InputError> {
        self.bar.finish_and_clear();
        match self.error.into_inner() {
            Ok(None) | Err(_) => result,
            Ok(Some(error)) => Err(error),
        }
    }
}

impl Progress for Bar {
    fn begins(&self, nth: usize, of: usize, property: &Property, scenario: &str) {
        self.bar.set_message(format!("{nth}/{of} {} in {scenario}", property.id));
        self.bar.set_prefix("");
        self.bar.reset();
    }

    fn runs(&self, runs: u64) {
        self.bar.set_position(runs);
    }

    fn parts(&self, done: usize, of: usize) {
        if of > 1 {
            // Parts are unequal, so this is an estimate.
            let left = self.bar.elapsed().mul_f64((of - done) as f64 / done.max(1) as f64);
            self.bar.set_prefix(format!("{done} of {of} parts, about {} s left", left.as_secs()));
        }
    }

    fn checkpoint(&self, state: &State) {
        let Some(path) = &self.checkpoint else { return };
        // Written beside it and moved, so that an interruption leaves the last whole one.
        let new = beside(path);
        let text = serde_json::to_vec(state).expect("a state has no map keys but numbers");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
        if let Err(error) = written
            && let Ok(mut first) = self.error.lock()
        {
            first.get_or_insert(InputError::unwritable(path, &error));
        }
    }
}

/// What one cell of the table says.
fn verdict(case: &CaseAnswer) -> String {
    let runs = plural(case.executions, "run");
    let cut = if case.cut_off > 0 { format!(", {} cut off", case.cut_off) } else { String::new() };
    match case.found {
        Found::Proved => format!("proved: {runs}{cut}"),
        Found::NotFound => format!("not found in {runs}"),
        Found::Violated => format!("VIOLATED after {runs}"),
        Found::Silent => "says nothing".into(),
    }
}

/// What a proof is said of, if not of every run.
fn bounds(answer: &Answer) -> Vec<String> {
    let mut bounds = Vec::new();
    if let How::Exhaustive { preemptions, steps, .. } = answer.how {
        bounds.extend(preemptions.map(|n| format!("at most {}", plural(n.into(), "preemption"))));
        bounds.extend(steps.map(|n| format!("at most {}", plural(n.into(), "step"))));
    }
    bounds.extend(answer.faults.map(|n| format!("at most {} in a run", plural(n.into(), "failing allocation"))));
    bounds
}

/// The table, then the first counterexample as a picture.
fn draw(answer: &Answer, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, " design    {}", answer.design)?;
    let bounds = bounds(answer);
    if !bounds.is_empty() {
        writeln!(out, " within    {}", bounds.join(", "))?;
    }
    writeln!(out)?;
    for property in &answer.properties {
        writeln!(out, " {:<4} {}", property.id, property.title)?;
        if let Some(reason) = property.silent {
            indented(&format!("says nothing: {reason}"), out)?;
        }
        for case in &property.cases {
            writeln!(out, "      {:<18} {}", case.scenario, verdict(case))?;
        }
    }
    writeln!(out)?;
    let mut found = answer.counterexamples();
    let Some((property, first)) = found.next() else {
        let unfinished = answer.properties.iter().flat_map(|property| &property.cases);
        let unfinished = unfinished.filter(|case| case.found == Found::NotFound).count() as u64;
        return match unfinished {
            0 => writeln!(out, " Nothing was found."),
            _ => writeln!(out, " Nothing was found; {} not searched to the end.", plural(unfinished, "scenario")),
        };
    };
    writeln!(out, " {} broke: {}", property.id, first.size)?;
    counterexample(first, out)?;
    for (property, other) in found {
        writeln!(out, "\n {} broke: {}", property.id, other.size)?;
        indented(other.text.lines().next().unwrap_or_default(), out)?;
        writeln!(out, " replay  forklab replay '{}'", other.replay)?;
    }
    Ok(())
}

/// A text under the id of a property.
fn indented(text: &str, out: &mut impl Write) -> io::Result<()> {
    let indent = " ".repeat(6);
    wrapped(text, WIDE - indent.len()).iter().try_for_each(|line| writeln!(out, "{indent}{line}"))
}

/// One counterexample: the lanes up to the finding, why, and the nearest run that passes.
fn counterexample(found: &Counterexample, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n{}", picture(&found.replay, found.step))?;
    if let Some(step) = found.lost_in {
        writeln!(out, " why     from step {step} on nearly every continuation breaks it")?;
    }
    if let Some(nearest) = &found.nearest {
        writeln!(out, " nearest run that does not: another decision about step {}\n", nearest.step)?;
        writeln!(out, "{}", picture(&nearest.replay, found.step.max(nearest.step)))?;
        writeln!(out, " passes  forklab replay '{}'", nearest.replay)?;
    }
    writeln!(out, " replay  forklab replay '{}'", found.replay)
}

/// The lanes of a run up to a step, and what it found until then.
fn picture(line: &str, up_to: u64) -> String {
    let events = match recorded(line) {
        Ok(events) => events,
        Err(error) => return format!(" {}: {error}", quoted(line)),
    };
    let labels = labels(&events);
    let mut events = where_it_broke(&events);
    events.retain(|event| event.step <= up_to);
    Lanes { color: true, labels, ..Lanes::default() }.draw(&events)
}
