//! The one-screen tour: the patch on a small machine, what reaches the listener, what breaks, how to see it again.

use sim::trace::{Event, Recording};
use sim::{Rule, What};

use crate::input::InputError;
use crate::lab::report::plural;
use crate::lab::run::{Loaded, Report, Watch, run};
use crate::lab::spec::{Order, Source, Spec};

/// Seeds that are tried for a schedule that breaks.
pub const SEEDS: u64 = 200;

/// One run with its trace.
pub struct Seen {
    /// What came of it.
    pub report: Report,
    /// The trace.
    pub events: Vec<Event>,
}

/// The two runs that the tour shows.
pub struct Tour {
    /// A fork, and a listener that hears of it.
    pub plain: Seen,
    /// A fork whose child is gone when the hook reads its pid.
    pub found: Seen,
    /// How many of [`SEEDS`] seeds found it.
    pub hits: usize,
}

fn see(spec: Spec) -> Result<Seen, InputError> {
    let recording = Recording::default();
    let watch = Watch { sinks: vec![Box::new(recording.clone())], ..Watch::default() };
    let report = run(&Loaded::new(spec, |_| ())?, watch)?;
    Ok(Seen { report, events: recording.take() })
}

fn is_found(report: &Report) -> bool {
    report.violations.iter().any(|violation| violation.rule == Rule::UseAfterFree)
}

/// Runs both: the second under 200 seeds, of which the one with the fewest switches between lanes is kept.
///
/// # Errors
/// None in practice: the scenarios are built in.
pub fn tour() -> Result<Tour, InputError> {
    let plain = see(Spec::new(Source::BuiltIn("tour".into())))?;
    let autoreap = |order| Spec { order, ..Spec::new(Source::BuiltIn("autoreap".into())) };
    let mut lines = Vec::new();
    for seed in 0..SEEDS {
        let report = run(&Loaded::new(autoreap(Order::Seed(seed)), |_| ())?, Watch::default())?;
        if is_found(&report) {
            lines.push(report.replay);
        }
    }
    let switches =
        |line: &String| line.split(' ').find(|word| word.starts_with("sched=")).map_or(0, |s| s.matches('.').count());
    lines.sort_by_key(|line| (switches(line), line.len()));
    let hits = lines.len();
    let spec = lines.first().map_or_else(|| Ok(autoreap(Order::Calm)), |line| line.parse())?;
    Ok(Tour { plain, found: see(spec)?, hits })
}

/// The events from `do_fork()` to the end of the fork, without what init and the listener do.
fn around_the_fork(events: &[Event]) -> Vec<Event> {
    let from = events.iter().position(|event| matches!(event.what, What::Enter { func: "do_fork", .. })).unwrap_or(0);
    let to = events.iter().rposition(|event| matches!(event.what, What::Leave { func: "do_fork", .. }));
    let tasks = |event: &&Event| ["p", "c"].contains(&event.lane.as_str());
    events[from..to.map_or(events.len(), |to| to + 1)].iter().filter(tasks).cloned().collect()
}

/// The tour as text; `draw` draws lanes.
#[must_use]
pub fn text(tour: &Tour, draw: impl Fn(&[Event]) -> String) -> String {
    let messages: Vec<_> = tour.plain.report.listeners.iter().flat_map(|listener| &listener.messages).collect();
    let message = messages.first().map_or("(nothing)", |message| message.as_str());
    let cost = &tour.plain.report.cost;
    let silent = cost.first().map_or_else(String::new, |cost| {
        let (allocations, bytes) = (plural(cost.allocations, "allocation"), plural(cost.bytes, "byte"));
        format!("{allocations} and {bytes} for each fork, and -ESRCH")
    });
    format!(
        " forklab: a process forks, and user space is told. Linux 2.6.11 with the
 KOBJ_FORK patch of 11 February 2005: do_fork() ends with kobject_fork().

 A listener hears   {message}
 Nobody listens     {silent}

 What breaks: the parent ignores SIGCHLD, so its child frees itself when it
 exits, perhaps before the parent reads p->pid. Then the listener hears of a
 child {poison}, which is 0x6b6b6b6b: the poison of freed memory.
 Of {SEEDS} random schedules on two CPUs {hits} found it; the shortest:

{picture} replay  forklab replay '{replay}'

 Next: forklab run overrun · forklab faults · forklab layout · forklab --help
",
        poison = i32::from_ne_bytes([0x6b; 4]),
        hits = tour.hits,
        picture = draw(&around_the_fork(&tour.found.events)),
        replay = tour.found.report.replay,
    )
}
