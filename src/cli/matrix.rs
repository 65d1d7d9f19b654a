//! `forklab matrix`, `forklab merge`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::{Design, Hook};
use sim::explore::parallel::Shard;

use super::bar::bar;
use super::{Failure, Found, names, shard, write_json};
use crate::input::InputError;
use crate::matrix::judge::Effort;
use crate::matrix::{Matrix, Plan, merge as merging};
use crate::property::{self, Property};
use crate::render::heat::heat_map;

/// Arguments of `forklab matrix`.
#[derive(Args, Debug)]
pub(super) struct MatrixArgs {
    /// Only these properties, such as P12,P18
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = names::property(),
          hide_possible_values = true)]
    property: Vec<&'static Property>,
    /// Only designs with this hook
    #[arg(long, value_parser = names::hook(), hide_possible_values = true)]
    hook: Option<Hook>,
    /// Only designs with this gate
    #[arg(long, value_parser = names::gate(), hide_possible_values = true)]
    gate: Option<Gate>,
    /// Only designs with this sequence
    #[arg(long, value_parser = names::sequence(), hide_possible_values = true)]
    sequence: Option<Sequence>,
    /// Only designs with this format
    #[arg(long, value_parser = names::format(), hide_possible_values = true)]
    format: Option<Format>,
    /// Only designs with this delivery
    #[arg(long, value_parser = names::delivery(), hide_possible_values = true)]
    delivery: Option<Delivery>,
    /// Runs of the complete search of a scenario under a design, at the most
    #[arg(long, value_name = "N", default_value_t = Effort::default().runs, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Steps of them together, at the most
    #[arg(long, value_name = "N", default_value_t = Effort::default().steps, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Random runs where the complete search came to no end
    #[arg(long, value_name = "N", default_value_t = Effort::default().random)]
    random: u64,
    /// Their seed
    #[arg(long, value_name = "N", default_value_t = Effort::default().seed)]
    seed: u64,
    /// Threads; without it, one for each core. The result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only every N-th design, from the I-th on; auto asks the environment of an array job. With --json
    #[arg(long, value_name = "I/N|auto")]
    shard: Option<String>,
    /// The matrix as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// The matrix as csv, a design a line
    #[arg(long)]
    csv: bool,
    /// Also draw it into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Arguments of `forklab merge`.
#[derive(Args, Debug)]
pub(super) struct MergeArgs {
    /// The JSON of every shard, in any order
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Also draw the whole into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl MatrixArgs {
    fn plan(&self) -> Result<Plan, InputError> {
        let mut fixed = BTreeMap::new();
        let mut fix = |axis: &str, name: Option<&str>| {
            if let Some(name) = name {
                fixed.insert(axis.to_owned(), name.to_owned());
            }
        };
        fix("hook", self.hook.map(Hook::name));
        fix("gate", self.gate.map(Gate::name));
        fix("sequence", self.sequence.map(Sequence::name));
        fix("format", self.format.map(Format::name));
        fix("delivery", self.delivery.map(Delivery::name));
        let fits = |design: &Design| {
            design.names().iter().all(|(axis, name)| fixed.get(*axis).is_none_or(|fixed| fixed == name))
        };
        let designs: Vec<_> = Design::possible().filter(fits).collect();
        if designs.is_empty() {
            return Err(no_design(&fixed));
        }
        let wanted = |property: &&'static Property| self.property.is_empty() || self.property.contains(property);
        let properties = property::ALL.iter().copied().filter(wanted).collect();
        let effort = Effort { runs: self.runs, steps: self.steps, random: self.random, seed: self.seed };
        let shard = shard::asked(self.shard.as_deref())?;
        let whole = shard == Shard::ALL;
        if self.shard.is_some() && !self.json {
            return Err(InputError::new("<command line>", "--shard", "--json with it: shards are there to be merged"));
        }
        if !whole && self.svg.is_some() {
            let expected = "the whole: forklab merge draws it, too";
            return Err(InputError::new("<command line>", "--svg with a shard", expected));
        }
        Ok(Plan { designs, fixed, properties, effort, shard })
    }
}

/// Why no design of a survey has these values.
fn no_design(fixed: &BTreeMap<String, String>) -> InputError {
    let error = |found: String, expected: String| InputError::new("<command line>", found, expected);
    let values: BTreeSet<_> = Design::possible().flat_map(|design| design.names()).collect();
    for (axis, name) in fixed {
        let surveyed = |name: &str| values.contains(&(axis.as_str(), name));
        if !surveyed(name) {
            let names = Design::choices(axis).unwrap_or_default().into_iter().filter(|name| surveyed(name));
            let names = names.collect::<Vec<_>>().join(", ");
            return error(format!("--{axis} {name}"), format!("what a survey goes through: {names}; check takes it"));
        }
    }
    let asked: Vec<_> = fixed.iter().map(|(axis, name)| format!("--{axis} {name}")).collect();
    let why = asked_for(fixed).check().err().map_or_else(String::new, |why| format!(": {why}"));
    error(asked.join(" "), format!("a design that can be built{why}"))
}

/// The design that the fixed axes ask for, to say why there is none.
fn asked_for(fixed: &BTreeMap<String, String>) -> Design {
    let mut design = Design::default();
    for (axis, name) in fixed {
        // The names were read as values of their axis.
        let _ = design.set(axis, name);
    }
    design
}

/// `forklab matrix`.
pub(super) fn matrix(args: &MatrixArgs, out: &mut impl Write) -> Result<Found, Failure> {
    let plan = args.plan()?;
    if let Some(file) = &args.svg {
        writable(file)?;
    }
    let bar = bar(0, "searching {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta}");
    let progress = |done: u64, of: u64| {
        bar.set_length(of);
        bar.set_position(done);
    };
    let threads = args.jobs.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool =
        pool.map_err(|error| InputError::new("<command line>", error.to_string(), "threads that can be started"))?;
    let matrix = pool.install(|| plan.run(&progress));
    bar.finish_and_clear();
    if let Some(file) = &args.svg {
        draw(&matrix, file)?;
    }
    if args.json {
        write_json(&matrix, out)?;
    } else if args.csv {
        write!(out, "{}", matrix.csv())?;
    } else {
        write!(out, "{}", matrix.text())?;
    }
    Ok(false)
}

/// `forklab merge`: of a matrix, or of a check.
pub(super) fn merge(args: &MergeArgs, out: &mut impl Write) -> Result<Found, Failure> {
    let read = |path: &PathBuf| Ok((path.display().to_string(), InputError::read(path, "the JSON of a shard")?));
    let files = args.files.iter().map(read).collect::<Result<Vec<_>, InputError>>()?;
    if files.first().is_some_and(|(_, text)| is_a_check(text)) {
        if args.svg.is_some() {
            return Err(InputError::new("<command line>", "--svg with a check", "shards of a matrix").into());
        }
        return super::check::merge(&files, out);
    }
    let shards = files.into_iter().map(|(file, text)| Ok((merging::read(&file, &text)?, file)));
    let shards = shards.map(|shard| shard.map(|(matrix, file)| (file, matrix)));
    let whole = merging::merge(shards.collect::<Result<Vec<_>, InputError>>()?)?;
    if let Some(file) = &args.svg {
        draw(&whole, file)?;
    }
    write_json(&whole, out)?;
    Ok(false)
}

/// `forklab verdict`.
pub(super) fn verdict(out: &mut impl Write) -> Result<Found, Failure> {
    let page = crate::matrix::verdict::verdict();
    let page = page.map_err(|why| InputError::new("<verdict>", why, "what the verdict says: it needs another text"))?;
    write!(out, "{page}")?;
    Ok(false)
}

/// Whether this is the state of a check, or the beginning of one: what kind it is stands first.
fn is_a_check(text: &str) -> bool {
    let words = text.trim_start().strip_prefix('{').and_then(|text| text.trim_start().strip_prefix("\"forklab\""));
    let kind = words.and_then(|text| text.trim_start().strip_prefix(':'));
    kind.is_some_and(|kind| kind.trim_start().starts_with("\"forklab check"))
}

/// Says before a long survey that its picture could not be written.
fn writable(file: &Path) -> Result<(), InputError> {
    let open = std::fs::OpenOptions::new().append(true).create(true).open(file);
    open.map(|_| ()).map_err(|error| InputError::unwritable(file, &error))
}

fn draw(matrix: &Matrix, file: &Path) -> Result<(), InputError> {
    std::fs::write(file, heat_map(matrix)).map_err(|error| InputError::unwritable(file, &error))
}
