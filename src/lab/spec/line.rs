//! The replay line: how a [`Spec`] is written and read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{
    BUILT_IN, Bench, Order, Source, Spec, built_in_names, fault_text, pace_text, parse_era, parse_fault, parse_in,
    parse_pace,
};
use crate::input::{InputError, quoted};
use crate::property::{self, Property};
use crate::scenario_file::Cut;

fn escape(path: &Path) -> String {
    path.display().to_string().replace('%', "%25").replace(' ', "%20").replace('\'', "%27")
}

fn unescape(text: &str) -> PathBuf {
    text.replace("%27", "'").replace("%20", " ").replace("%25", "%").into()
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::BuiltIn(name) => write!(f, "v1 {name}")?,
            Source::File(path) => write!(f, "v1 file={}", escape(path))?,
            Source::Workload(path) => write!(f, "v1 workload={}", escape(path))?,
        }
        for (axis, name) in self.design.names() {
            if let Some(name) = name {
                write!(f, " {axis}={name}")?;
            }
        }
        if let Some(era) = self.era {
            write!(f, " era={}", era.name())?;
        }
        let (bench, plain) = (&self.bench, Bench::of(self.era.unwrap_or_default()));
        if bench.cpus != plain.cpus {
            write!(f, " cpus={}", bench.cpus)?;
        }
        if bench.preempt {
            f.write_str(" preempt=true")?;
        }
        if bench.listeners != plain.listeners {
            write!(f, " listeners={}", bench.listeners)?;
        }
        if bench.rcvbuf != plain.rcvbuf {
            write!(f, " rcvbuf={}", bench.rcvbuf)?;
        }
        if bench.pace != plain.pace {
            write!(f, " pace={}", pace_text(&bench.pace))?;
        }
        match &self.order {
            Order::Calm => {}
            Order::Seed(seed) => write!(f, " seed={seed}")?,
            Order::Schedule(schedule) => write!(f, " sched={schedule}")?,
        }
        let faults: Vec<_> = self.faults.iter().map(fault_text).collect();
        write!(f, " fault={}", if faults.is_empty() { "none".into() } else { faults.join(",") })?;
        if !self.cuts.is_empty() {
            let cuts: Vec<_> = self.cuts.iter().map(Cut::to_string).collect();
            write!(f, " cut={}", cuts.join(","))?;
        }
        match self.law {
            Some(property) => write!(f, " law={}", property.id),
            None => Ok(()),
        }
    }
}

/// The file name that errors in a replay line carry.
pub(crate) const LINE: &str = "<replay line>";
/// What a replay line may say.
const KEYS: [&str; 16] = [
    "hook",
    "gate",
    "sequence",
    "format",
    "delivery",
    "sched",
    "seed",
    "fault",
    "cut",
    "law",
    "cpus",
    "preempt",
    "listeners",
    "rcvbuf",
    "pace",
    "era",
];

impl FromStr for Spec {
    type Err = InputError;

    /// # Errors
    /// [`InputError`] with the column of the first word that is wrong.
    fn from_str(line: &str) -> Result<Spec, InputError> {
        let words = words(line);
        let wrong =
            |column: usize, found: String, expected: &str| InputError::new(LINE, found, expected).at(1, column as u64);
        let at = |column, found, expected| Err(wrong(column, found, expected));
        match words.first() {
            Some((_, "v1")) => {}
            Some((column, other)) => return at(*column, quoted(other), "v1, the version of replay lines"),
            None => return at(1, "an empty line".into(), "v1, the version of replay lines"),
        }
        let Some((column, source)) = words.get(1) else {
            return at(
                line.chars().count() + 1,
                "the end of the line".into(),
                "a scenario, file=PATH or workload=PATH",
            );
        };
        let mut spec = Spec::new(match source.split_once('=') {
            Some(("file", path)) => Source::File(unescape(path)),
            Some(("workload", path)) => Source::Workload(unescape(path)),
            None if BUILT_IN.iter().any(|(name, _)| name == source) => Source::BuiltIn((*source).to_owned()),
            _ => {
                let expected = format!("{}, file=PATH or workload=PATH", built_in_names());
                return at(*column, quoted(source), &expected);
            }
        });
        let mut seen = Vec::new();
        for (column, word) in &words[2..] {
            let Some((key, value)) = word.split_once('=') else { return at(*column, quoted(word), "KEY=VALUE") };
            if ["answers", "mended"].contains(&key) {
                let only = format!("no {key}= here: a line of an experiment (G8, G10, …) has it");
                return at(*column, quoted(key), &only);
            }
            if !KEYS.contains(&key) {
                return at(*column, quoted(key), &format!("one of {}", KEYS.join(", ")));
            }
            if seen.contains(&key) {
                return at(*column, quoted(key), "each key once");
            }
            seen.push(key);
            spec.set(key, value).map_err(|(found, expected)| wrong(*column + key.len() + 1, found, &expected))?;
        }
        if !seen.contains(&"rcvbuf") {
            spec.bench.rcvbuf = Bench::of(spec.era.unwrap_or_default()).rcvbuf;
        }
        Ok(spec)
    }
}

/// The words of a line, with the column in which each begins, from 1.
pub(crate) fn words(line: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut column = 1;
    for word in line.split(char::is_whitespace) {
        if !word.is_empty() {
            words.push((column, word));
        }
        column += word.chars().count() + 1;
    }
    words
}

impl Spec {
    fn set(&mut self, key: &str, value: &str) -> Result<(), (String, String)> {
        let workload = matches!(self.source, Source::Workload(_));
        match key {
            "hook" | "gate" | "sequence" | "format" | "delivery" => self.design.ask(key, value)?,
            "era" => self.era = Some(parse_era(value)?),
            "sched" | "seed" if self.order != Order::Calm => {
                return Err((quoted(value), "sched or seed, not both".into()));
            }
            "sched" => {
                let schedule = value.parse().map_err(|e: sim::choice::ScheduleError| {
                    (quoted(&e.found), "a lane's name and a count, like p4".to_owned())
                })?;
                self.order = Order::Schedule(schedule);
            }
            "seed" => self.order = Order::Seed(parse_in(value, 0, u64::MAX)?),
            "fault" if value == "none" => {}
            "fault" => self.faults = value.split(',').map(parse_fault).collect::<Result<_, _>>()?,
            "cut" if workload => return Err((quoted(value), "no cut= here: only a scenario can be cut".into())),
            "cut" => {
                let cut = |word: &str| {
                    let expected = "NAME, NAME#N or NAME#NxT, such as elsa or p#2".to_owned();
                    word.parse::<Cut>().map_err(|()| (quoted(word), expected))
                };
                self.cuts = value.split(',').map(cut).collect::<Result<_, _>>()?;
            }
            "law" if workload => {
                return Err((quoted(value), "no law= here: a property is judged in a scenario".into()));
            }
            "law" => {
                let ids = || property::ALL.iter().map(|property| property.id).collect::<Vec<_>>().join(", ");
                let law = Property::from_id(value).ok_or_else(|| (quoted(value), format!("a property: {}", ids())))?;
                self.law = Some(law);
            }
            "cpus" if workload => self.bench.cpus = parse_in(value, 1, 64)?,
            "preempt" if workload => {
                self.bench.preempt = value.parse().map_err(|_| (quoted(value), "true or false".to_owned()))?
            }
            "listeners" if workload => self.bench.listeners = parse_in(value, 0, 64)?,
            "rcvbuf" if workload => self.bench.rcvbuf = parse_in(value, 0, i32::MAX.cast_unsigned())?,
            "pace" if workload => self.bench.pace = parse_pace(value)?,
            "cpus" | "preempt" | "listeners" | "rcvbuf" | "pace" => {
                return Err((quoted(value), format!("no {key}= here: a scenario has its own")));
            }
            _ => unreachable!("the line was checked for unknown keys"),
        }
        Ok(())
    }
}
