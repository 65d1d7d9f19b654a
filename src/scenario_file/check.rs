//! What single values of a scenario cannot tell: names that are there, programs that end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Boot, Known, Machine, ScenarioFile, Word};
use crate::input::quoted;

/// `[[tasks]]` of a file. Bounds the depth of the search for recursion.
const MOST_PROGRAMS: usize = 256;
/// Tasks that a run may start in all.
const MOST_TASKS: u64 = 65_536;

impl ScenarioFile {
    /// What single values cannot tell.
    pub(super) fn check(&self, known: &Known<'_>) -> Result<(), Wrong> {
        let Machine { pid_max, last_pid, .. } = self.machine;
        if last_pid >= pid_max {
            let expected = format!("less than pid_max, which is {pid_max}");
            return Err(Wrong::new("machine.last_pid", last_pid.to_string(), expected));
        }
        self.check_kernel()?;
        self.check_design(known)?;
        self.check_controls()?;
        for (i, fault) in self.faults.iter().enumerate() {
            fault.site.iter().try_for_each(|site| one_of(&format!("faults.{i}.site"), site, known.sites))?;
        }
        if !(1..=MOST_PROGRAMS).contains(&self.tasks.len()) {
            let expected = format!("1 to {MOST_PROGRAMS}");
            return Err(Wrong::new("tasks", format!("{} tasks", self.tasks.len()), expected));
        }
        self.check_names()?;
        self.check_actions()?;
        self.check_forks()
    }

    /// Refuses kernels that cannot be built, and listeners on one that has no socket for them yet.
    fn check_kernel(&self) -> Result<(), Wrong> {
        let config = self.machine.config;
        if !config.hotplug && !config.kobject_uevent {
            let expected = "one of them on: without both, the patched kernel does not link, kobject_fork() is missing";
            return Err(Wrong::new("machine.config", "hotplug and kobject_uevent both off", expected));
        }
        if self.machine.boot == Boot::Early && !self.listeners.is_empty() {
            let expected = "none: with boot = \"early\" there is no netlink socket yet";
            return Err(Wrong::new("listeners.0", "a listener", expected));
        }
        Ok(())
    }

    fn check_design(&self, known: &Known<'_>) -> Result<(), Wrong> {
        let design = &self.design;
        one_of("design.hook", &design.hook, known.hooks)?;
        one_of("design.gate", &design.gate, known.gates)?;
        one_of("design.sequence", &design.sequence, known.sequences)?;
        one_of("design.format", &design.format, known.formats)?;
        one_of("design.delivery", &design.delivery, known.deliveries)?;
        match (known.impossible)(design) {
            Some(reason) => Err(Wrong::new("design", "an impossible design", format!("another one: {reason}"))),
            None => Ok(()),
        }
    }

    /// Controls happen in the order of the file, and nobody acts after death.
    fn check_controls(&self) -> Result<(), Wrong> {
        for (i, listener) in self.listeners.iter().enumerate() {
            let controls = listener.control.as_deref().unwrap_or_default();
            for (j, pair) in controls.windows(2).enumerate() {
                let place = format!("listeners.{i}.control.{}", j + 1);
                if pair[0].word == Word::Die {
                    return Err(Wrong::new(place, "a control behind die", "die to be the last"));
                }
                if pair[1].after < pair[0].after {
                    return Err(Wrong::new(place, "a control that comes before the one above it", "them in order"));
                }
            }
        }
        Ok(())
    }

    /// Listeners and tasks share the names of lanes.
    fn check_names(&self) -> Result<(), Wrong> {
        let listeners = self.listeners.iter().map(|listener| &listener.name);
        let tasks = self.tasks.iter().map(|task| &task.name);
        let listeners = listeners.enumerate().map(|(i, name)| ("listeners", i, name));
        let tasks = tasks.enumerate().map(|(i, name)| ("tasks", i, name));
        let mut seen = BTreeSet::new();
        for (kind, i, name) in listeners.chain(tasks) {
            if !seen.insert(name) {
                let expected = "a name that no other listener or task has";
                return Err(Wrong::new(format!("{kind}.{i}.name"), quoted(name), expected));
            }
        }
        Ok(())
    }

    fn check_actions(&self) -> Result<(), Wrong> {
        let names: Vec<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
        let listeners: Vec<&str> = self.listeners.iter().map(|listener| listener.name.as_str()).collect();
        for (i, task) in self.tasks.iter().enumerate() {
            for (j, action) in task.does.iter().enumerate() {
                let place = format!("tasks.{i}.does.{j}");
                match action {
                    Action::Fork { program: name, .. } | Action::Wait(Some(name)) | Action::Cont(name) => {
                        one_of(&place, name, &names)?;
                    }
                    Action::Forge(name) => one_of(&place, name, &listeners)?,
                    Action::Exit(_) if j + 1 < task.does.len() => {
                        return Err(Wrong::new(place, "an exit with actions behind it", "exit to be the last action"));
                    }
                    Action::Exit(_) | Action::Exec | Action::Wait(None) => {}
                }
            }
        }
        Ok(())
    }

    /// Refuses programs that fork themselves, be it through others: no action has a condition, so that never ends.
    fn check_forks(&self) -> Result<(), Wrong> {
        let mut sizes = BTreeMap::new();
        for i in 0..self.tasks.len() {
            self.size(i, &mut Vec::new(), &mut sizes)?;
        }
        let total: u64 = self.boots().map(|task| sizes[task.name.as_str()]).sum();
        check_size("tasks".to_owned(), total)
    }

    /// How many tasks one run of program `i` makes, itself included; `path` holds the programs that led here.
    fn size<'a>(&'a self, i: usize, path: &mut Vec<&'a str>, sizes: &mut BTreeMap<&'a str, u64>) -> Result<u64, Wrong> {
        let name = self.tasks[i].name.as_str();
        if let Some(&size) = sizes.get(name) {
            return Ok(size);
        }
        path.push(name);
        let mut size = 1;
        for (j, program, times) in self.tasks[i].forks() {
            let place = format!("tasks.{i}.does.{j}");
            if path.contains(&program) {
                let found = format!("{} forks {program} again", path.join(" forks "));
                return Err(Wrong::new(place, found, "programs that end"));
            }
            if let Some(child) = self.tasks.iter().position(|task| task.name == program) {
                size += self.size(child, path, sizes)? * u64::from(times);
            }
            check_size(place, size)?;
        }
        path.pop();
        sizes.insert(name, size);
        Ok(size)
    }
}

/// What is wrong, and the keys and indices that lead to it, joined by dots.
pub(super) struct Wrong {
    pub(super) place: String,
    pub(super) found: String,
    pub(super) expected: String,
}

impl Wrong {
    fn new(place: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { place: place.into(), found: found.into(), expected: expected.into() }
    }
}

fn check_size(place: String, size: u64) -> Result<(), Wrong> {
    if size <= MOST_TASKS {
        return Ok(());
    }
    let expected = format!("{MOST_TASKS} or fewer");
    Err(Wrong::new(place, format!("{size} tasks in all"), expected))
}

fn one_of(place: &str, found: &str, known: &[&str]) -> Result<(), Wrong> {
    if known.contains(&found) {
        return Ok(());
    }
    Err(Wrong::new(place, quoted(found), format!("one of {}", known.join(", "))))
}
