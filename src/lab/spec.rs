//! What is to be run, and the line of text that says it: the replay line.
//!
//! ```text
//! v1 autoreap hook=end sched=p4.c3.p1 fault=none
//! v1 workload=tests/data/shell.csv.gz hook=end cpus=2 seed=7 listeners=2 rcvbuf=2048 fault=alloc_skb.head#3+
//! ```
//! The first word is the version, the second a built-in scenario, `file=` a scenario file or `workload=` a recording.
//! Then, in any order: `hook=`, `gate=`, `sequence=`, `format=`, `delivery=`, `sched=` (who stepped how often), `seed=`, `fault=` (`none`, or `SITE#N` for the N-th
//! allocation of a site, `SITE#N+` for it and all that follow, several joined by commas); and, for a recording, `cpus=`,
//! `preempt=`, `listeners=`, `rcvbuf=`, `pace=`. `era=` is a kernel version of [`Era`]. For a scenario also `cut=`
//! (what is left out of it: `NAME` of a listener or task, `NAME#N` for an action, `NAME#NxT` for all but T of its
//! repetitions) and `law=`, the property that is judged at the end. A space or a `%` in a path is written `%20`, `%25`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::fork::{TASK_STRUCT, THREAD_INFO};
use fork_model::notify::cbus::NODE;
use fork_model::notify::relay::SIGQUEUE;
use fork_model::pid::{PID_MAX_LIMIT, PIDMAP_PAGE};
use fork_model::{Design, Hook, SystemConfig};
use sim::Schedule;
use sim::mm::{FaultRule, Times};
use uevent::Era;

use crate::input::{InputError, quoted};
pub use crate::lab::asked::Asked;
use crate::lab::world::Setup;
use crate::property::Property;
use crate::scenario_file::{self, Boot, Cut, Known, Listener, Pace, ScenarioFile};

mod line;

pub(crate) use line::{LINE, words};

/// Scenarios that are built in: their names, and the texts of their files.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("autoreap", include_str!("../scenarios/autoreap.toml")),
    ("boot-early", include_str!("../scenarios/boot-early.toml")),
    ("nobody", include_str!("../scenarios/nobody.toml")),
    ("overrun", include_str!("../scenarios/overrun.toml")),
    ("thread", include_str!("../scenarios/thread.toml")),
    ("tour", include_str!("../scenarios/tour.toml")),
    // Cases of the properties P7 to P28, each as small as it can be.
    ("adopted", include_str!("../scenarios/adopted.toml")),
    ("chain", include_str!("../scenarios/chain.toml")),
    ("exits", include_str!("../scenarios/exits.toml")),
    ("first-fork", include_str!("../scenarios/first-fork.toml")),
    ("ignored", include_str!("../scenarios/ignored.toml")),
    ("new-thread", include_str!("../scenarios/new-thread.toml")),
    ("other-parent", include_str!("../scenarios/other-parent.toml")),
    ("pressure", include_str!("../scenarios/pressure.toml")),
    ("reaps-itself", include_str!("../scenarios/reaps-itself.toml")),
    ("three-forks", include_str!("../scenarios/three-forks.toml")),
    ("two-forks", include_str!("../scenarios/two-forks.toml")),
    ("vfork", include_str!("../scenarios/vfork.toml")),
    ("waited", include_str!("../scenarios/waited.toml")),
    ("forged", include_str!("../scenarios/forged.toml")),
    ("forged-checked", include_str!("../scenarios/forged-checked.toml")),
    ("long-pids", include_str!("../scenarios/long-pids.toml")),
    ("namespace", include_str!("../scenarios/namespace.toml")),
    ("namespace-kept", include_str!("../scenarios/namespace-kept.toml")),
    ("two-listeners", include_str!("../scenarios/two-listeners.toml")),
    ("unprivileged", include_str!("../scenarios/unprivileged.toml")),
    ("zombie", include_str!("../scenarios/zombie.toml")),
    // Of the exhibits about cost, gates and loss.
    ("burst", include_str!("../scenarios/burst.toml")),
    ("filter", include_str!("../scenarios/filter.toml")),
    ("gone", include_str!("../scenarios/gone.toml")),
    ("ignore-first", include_str!("../scenarios/ignore-first.toml")),
    ("neighbours", include_str!("../scenarios/neighbours.toml")),
    ("one-fork", include_str!("../scenarios/one-fork.toml")),
    ("says-off", include_str!("../scenarios/says-off.toml")),
    ("slow-listener", include_str!("../scenarios/slow-listener.toml")),
    ("three-listeners", include_str!("../scenarios/three-listeners.toml")),
    ("twice", include_str!("../scenarios/twice.toml")),
    ("two-late", include_str!("../scenarios/two-late.toml")),
    // Of the lesson about overruns.
    ("latch", include_str!("../scenarios/latch.toml")),
];

/// What the tasks do: where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A built-in scenario, by name.
    BuiltIn(String),
    /// A scenario file.
    File(PathBuf),
    /// A recorded workload.
    Workload(PathBuf),
}

impl Source {
    /// The scenario that a user names: a file if there is a dot or a slash in it, else a built-in one.
    #[must_use]
    pub fn named(name: &str) -> Source {
        match name.contains(['.', '/']) {
            true => Source::File(name.into()),
            false => Source::BuiltIn(name.to_owned()),
        }
    }
}

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What the tasks do.
    pub source: Source,
    /// The design of the notification, as far as it was asked for.
    pub design: Asked,
    /// Whose accounting of receive buffers, if it was asked for; else as the scenario says.
    pub era: Option<Era>,
    /// Who steps when.
    pub order: Order,
    /// Allocations that fail, beside those of the scenario.
    pub faults: Vec<FaultRule>,
    /// What is left out of the scenario.
    pub cuts: Vec<Cut>,
    /// The property that is judged when the run is over.
    pub law: Option<&'static Property>,
    /// The machine and the listeners of a recording; a scenario has its own.
    pub bench: Bench,
}

/// Who steps when.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// Whoever runs goes on; the others come when it blocks.
    #[default]
    Calm,
    /// Drawn from a seed.
    Seed(u64),
    /// As written.
    Schedule(Schedule),
}

/// The machine and the listeners around a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bench {
    /// CPUs, 1 to 64.
    pub cpus: u32,
    /// `CONFIG_PREEMPT`.
    pub preempt: bool,
    /// How many listen, 0 to 64.
    pub listeners: usize,
    /// `sk_rcvbuf` of each, in bytes.
    pub rcvbuf: u32,
    /// When they read.
    pub pace: Pace,
}

impl Bench {
    /// One CPU and one eager listener with the buffer that a socket of the era begins with.
    #[must_use]
    pub fn of(era: Era) -> Bench {
        let rcvbuf = era.rmem().0.cast_unsigned();
        Bench { cpus: 1, preempt: false, listeners: 1, rcvbuf, pace: Pace::Eager }
    }
}

impl Default for Bench {
    fn default() -> Bench {
        Bench::of(Era::default())
    }
}

impl Spec {
    /// A calm run of this source, with nothing else asked for.
    #[must_use]
    pub fn new(source: Source) -> Spec {
        Spec {
            source,
            design: Asked::default(),
            era: None,
            order: Order::Calm,
            faults: Vec::new(),
            cuts: Vec::new(),
            law: None,
            bench: Bench::default(),
        }
    }
}

/// The allocation sites that faults may name.
#[must_use]
pub fn sites() -> Vec<&'static str> {
    let of_fork = [PIDMAP_PAGE, TASK_STRUCT, THREAD_INFO, NODE, SIGQUEUE];
    uevent::site::ALL.iter().chain(&of_fork).map(|site| site.0).collect()
}

/// The design that a scenario names.
pub(crate) fn design(named: &scenario_file::Design) -> Design {
    let scenario_file::Design { hook, gate, sequence, format, delivery } = named;
    let mut design = Design::default();
    let axes = [("hook", hook), ("gate", gate), ("sequence", sequence), ("format", format), ("delivery", delivery)];
    for (axis, name) in axes {
        // Names that are not known were refused when the file was read.
        let _ = design.set(axis, name);
    }
    design
}

/// Calls `read` with the names that a scenario may speak of.
fn knowing<R>(read: impl FnOnce(&Known<'_>) -> R) -> R {
    read(&Known {
        hooks: &Hook::names(),
        gates: &Gate::names(),
        sequences: &Sequence::names(),
        formats: &Format::names(),
        deliveries: &Delivery::names(),
        sites: &sites(),
        impossible: |named| design(named).check().err().map(|impossible| impossible.to_string()),
    })
}

/// Reads the text of a scenario; `file` is its name in errors.
///
/// # Errors
/// Those of [`ScenarioFile::parse`].
pub fn parse_scenario(file: &str, text: &str) -> Result<ScenarioFile, InputError> {
    knowing(|known| ScenarioFile::parse(file, text, known))
}

/// Reads the scenario of a source that has one.
///
/// # Errors
/// Those of [`ScenarioFile::read`]; and [`InputError`] for a name that is not built in.
pub fn scenario(source: &Source) -> Result<Option<ScenarioFile>, InputError> {
    match source {
        Source::Workload(_) => Ok(None),
        Source::File(path) => knowing(|known| ScenarioFile::read(path, known)).map(Some),
        Source::BuiltIn(name) => match BUILT_IN.iter().find(|(known, _)| known == name) {
            Some((_, text)) => parse_scenario(name, text).map(Some),
            None => {
                let expected = format!("{}, or the path of a file, with a dot or a slash in it", built_in_names());
                Err(InputError::new("<scenario>", quoted(name), expected))
            }
        },
    }
}

impl Spec {
    /// The scenario of this run, without what is left out of it.
    ///
    /// # Errors
    /// Those of [`scenario`]; and [`InputError`] for a cut that cannot be made.
    pub fn scenario(&self) -> Result<Option<ScenarioFile>, InputError> {
        let mut scenario = scenario(&self.source)?;
        for cut in &self.cuts {
            if let Some(scenario) = &mut scenario {
                let wrong = |expected| InputError::new(LINE, format!("cut={cut}"), expected);
                scenario.cut(cut).map_err(wrong)?;
            }
        }
        Ok(scenario)
    }
}

/// What a scenario may be called, for messages.
fn built_in_names() -> String {
    let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    format!("a built-in scenario ({})", names.join(", "))
}

impl Spec {
    /// The kernel and its listeners, before the run.
    #[must_use]
    pub fn setup(&self, scenario: Option<&ScenarioFile>) -> Setup {
        let Some(scenario) = scenario else {
            let listener = |i: usize| Listener {
                name: format!("l{}", char::from(b'a' + u8::try_from(i % 26).expect("below 26"))).repeat(1 + i / 26),
                rcvbuf: Some(self.bench.rcvbuf),
                pace: self.bench.pace,
                ..Listener::default()
            };
            return Setup {
                machine: sim::Config { cpus: self.bench.cpus, preempt: self.bench.preempt, ..sim::Config::default() },
                // Enough memory for as many tasks as there are pids: a recording comes from a larger machine than 2005's.
                system: SystemConfig {
                    core: uevent::Config::of(self.era.unwrap_or_default()),
                    design: self.design.over(Design::default()),
                    mempages: 1 << 26,
                    ..SystemConfig::default()
                },
                boot: Boot::Done,
                pid_max: PID_MAX_LIMIT,
                last_pid: 0,
                roots: Vec::new(),
                listeners: (0..self.bench.listeners).map(listener).collect(),
            };
        };
        let scenario_file::Machine { cpus, preempt, smp_cache_bytes, mempages, pid_max, last_pid, boot, era, config } =
            &scenario.machine;
        let core = uevent::Config {
            hotplug: config.hotplug,
            kobject_uevent: config.kobject_uevent,
            uevents_stay: config.uevents_stay,
            ..uevent::Config::of(self.era.unwrap_or(*era))
        };
        Setup {
            machine: sim::Config { cpus: *cpus, preempt: *preempt, smp_cache_bytes: *smp_cache_bytes },
            system: SystemConfig {
                core,
                mempages: (*mempages).into(),
                design: self.design.over(design(&scenario.design)),
                ..SystemConfig::default()
            },
            boot: *boot,
            pid_max: *pid_max,
            last_pid: *last_pid,
            roots: scenario.boots().map(|_| None).collect(),
            listeners: scenario.listeners.clone(),
        }
    }
}

/// One fault as a replay line writes it: `alloc_skb.head#3`, `any#1+`.
#[must_use]
pub fn fault_text(rule: &FaultRule) -> String {
    let forever = if rule.times == Times::Forever { "+" } else { "" };
    format!("{}#{}{forever}", rule.site.as_deref().unwrap_or("any"), rule.nth)
}

/// Reads one fault.
///
/// # Errors
/// What was found and what was expected.
pub fn parse_fault(text: &str) -> Result<FaultRule, (String, String)> {
    let bad = || (quoted(text), "SITE#N or SITE#N+, such as alloc_skb.head#1".to_owned());
    let (site, nth) = text.split_once('#').ok_or_else(bad)?;
    let (nth, times) = nth.strip_suffix('+').map_or((nth, Times::Count(1)), |nth| (nth, Times::Forever));
    let nth = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(bad)?;
    if site != "any" && !sites().contains(&site) {
        return Err((quoted(site), format!("an allocation site: any, {}", sites().join(", "))));
    }
    Ok(FaultRule { site: (site != "any").then(|| site.to_owned()), nth, times })
}

/// A pace as a flag or a replay line writes it: `eager`, `drain-at-end`, `every:10`.
#[must_use]
pub fn pace_text(pace: &Pace) -> String {
    match pace {
        Pace::Eager => "eager".into(),
        Pace::DrainAtEnd => "drain-at-end".into(),
        Pace::Every(events) => format!("every:{events}"),
    }
}

/// Reads a pace.
///
/// # Errors
/// What was found and what was expected.
pub fn parse_pace(text: &str) -> Result<Pace, (String, String)> {
    let every = || text.strip_prefix("every:")?.parse().ok().filter(|events| *events > 0).map(Pace::Every);
    match text {
        "eager" => Ok(Pace::Eager),
        "drain-at-end" => Ok(Pace::DrainAtEnd),
        _ => every().ok_or_else(|| (quoted(text), "eager, drain-at-end, or every:N with N at least 1".to_owned())),
    }
}

/// Reads an era.
///
/// # Errors
/// What was found and what was expected.
pub fn parse_era(text: &str) -> Result<Era, (String, String)> {
    Era::from_name(text).ok_or_else(|| (quoted(text), Era::ALL.map(Era::name).join(" or ")))
}

/// Reads a number of a range.
///
/// # Errors
/// What was found and what was expected.
pub fn parse_in<T: FromStr + PartialOrd + fmt::Display>(text: &str, from: T, to: T) -> Result<T, (String, String)> {
    let number = text.parse().ok().filter(|number| *number >= from && *number <= to);
    number.ok_or_else(|| (quoted(text), format!("a number from {from} to {to}")))
}
