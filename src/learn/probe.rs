//! What questions read from runs: every answer of a lesson comes from here.
//!
//! A line that a lesson itself writes is known to run (its test says so); should it not, the answer is empty, and the
//! question has none.

use sim::trace::{Args, Event, What};
use sim::{LaneName, Value};
use uevent::site::FORK_EVENT;

use super::run::Run;
use crate::lab::cost::{self, Cost};
use crate::render::layout::{Layout, MachineConstants, layout_fork};
use crate::render::words;

/// Asks another run.
pub(super) fn of(line: &str, read: impl FnOnce(&Run) -> String) -> String {
    Run::of(line).map_or_else(|_| String::new(), |run| read(&run))
}

/// What the `nth` return of a function brought, from 1: `101`, `-ENOMEM`.
pub(super) fn returned(run: &Run, func: &str, nth: usize) -> String {
    let results = run.events.iter().filter_map(|event| match &event.what {
        What::Leave { func: left, rc } | What::Call { func: left, rc, .. } if *left == func => Some(*rc),
        _ => None,
    });
    let rc = results.flatten().nth(nth - 1);
    rc.map_or_else(String::new, |rc| words::rc(func, rc))
}

/// A number among the arguments of the `nth` call of a function, from 1.
pub(super) fn argument(run: &Run, func: &str, wanted: &str, nth: usize) -> String {
    let number = |args: &Args| {
        args.iter().find_map(|(name, value)| match value {
            Value::Int(n) if *name == wanted => Some(n.to_string()),
            _ => None,
        })
    };
    calls(run, func).nth(nth - 1).and_then(|(_, args)| number(args)).unwrap_or_default()
}

/// The calls of a function, with the numbers of their events.
fn calls<'a>(run: &'a Run, wanted: &'a str) -> impl Iterator<Item = (usize, &'a Args)> + 'a {
    run.events.iter().enumerate().filter_map(move |(at, event)| match &event.what {
        What::Enter { func, args } | What::Call { func, args, .. } if *func == wanted => Some((at, args)),
        _ => None,
    })
}

/// The function that a lane enters next after a call of this one.
pub(super) fn entered_after(run: &Run, func: &str) -> String {
    let Some((at, _)) = calls(run, func).next() else { return String::new() };
    let lane = run.events[at].lane;
    let entered = run.events[at + 1..].iter().find_map(|event| match event.what {
        What::Enter { func, .. } if event.lane == lane => Some(func),
        _ => None,
    });
    entered.map_or_else(String::new, words::bare)
}

/// The functions that a run enters, in order, each once.
pub(super) fn entered(run: &Run) -> Vec<String> {
    let mut funcs = Vec::new();
    for event in &run.events {
        if let What::Enter { func, .. } = event.what
            && !funcs.contains(&words::bare(func))
        {
            funcs.push(words::bare(func));
        }
    }
    funcs
}

/// The lanes of a run that do anything.
pub(super) fn lanes(run: &Run) -> Vec<String> {
    run.frames.last().map_or_else(Vec::new, |frame| frame.lanes.iter().map(|lane| lane.name.to_string()).collect())
}

/// Who does something next after the first event that is so.
pub(super) fn next_lane(run: &Run, is: impl Fn(&Event) -> bool) -> String {
    let at = run.events.iter().position(is);
    let of = at.map(|at| run.events[at].lane);
    let next = at.and_then(|at| run.events[at + 1..].iter().map(|event| event.lane).find(|lane| Some(*lane) != of));
    next.map_or_else(String::new, |lane: LaneName| lane.to_string())
}

/// Who frees what was first allocated at this site.
pub(super) fn freed_by(run: &Run, wanted: &str) -> String {
    let freed = run.events.iter().find(|event| matches!(event.what, What::Free { site, .. } if site == Some(wanted)));
    freed.map_or_else(String::new, |event| event.lane.to_string())
}

/// The locks that a lane holds when it enters a function; `no lock` if there is none.
pub(super) fn locks_at(run: &Run, func: &str) -> String {
    let Some((at, _)) = calls(run, func).next() else { return String::new() };
    let held: Vec<_> = run.frames[at + 1].current().map_or_else(Vec::new, |lane| lane.locks.clone());
    if held.is_empty() { "no lock".into() } else { held.iter().map(|(lock, _)| *lock).collect::<Vec<_>>().join(", ") }
}

/// How often the kernel complains, or the lab.
pub(super) fn found(run: &Run) -> String {
    run.violations.len().to_string()
}

/// Allocations that an event of a fork made in this run, failed ones included.
pub(super) fn event_allocations(run: &Run) -> String {
    let of_event = |event: &&Event| match event.what {
        What::Alloc { site, .. } => FORK_EVENT.iter().any(|known| known.0 == site),
        _ => false,
    };
    run.events.iter().filter(of_event).count().to_string()
}

/// What one event costs on the kernel of this run, with so many listeners.
pub(super) fn cost(run: &Run, listeners: usize) -> Cost {
    cost::measure(&run.setup, listeners)
}

/// How many of the listeners got something.
pub(super) fn receivers(run: &Run) -> String {
    run.heard.iter().filter(|heard| heard.received > 0).count().to_string()
}

/// Messages that the first listener received; that it lost; how often it was told.
pub(super) fn counts(run: &Run) -> (u64, u64, u64) {
    run.heard.first().map_or((0, 0, 0), |heard| (heard.received, heard.lost, heard.told))
}

/// The memory of the first message of `kobject_fork()`.
pub(super) fn layout(run: &Run) -> Option<Layout> {
    let pids = run.frames.iter().find_map(|frame| frame.wire.pids)?;
    layout_fork(pids.0, pids.1, &MachineConstants::default()).ok()
}

/// The words of a list.
pub(super) fn list(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
