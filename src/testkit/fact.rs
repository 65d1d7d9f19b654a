//! What happens, one fact at a time, and what that does to the world.

use std::collections::BTreeSet;

use super::step::{Birth, Step};
use super::truth::{INIT, Process, Truth, VIRTUAL};

/// One thing that happens, on a CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub cpu: u32,
    pub what: Happens,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happens {
    Fork { parent: i32, child: i32 },
    Thread { process: i32, tid: i32 },
    Exec { pid: i32 },
    Exit { pid: i32, process: i32 },
    Device { action: &'static str, path: String, old: Option<String> },
}

/// Nanoseconds between two facts.
pub(super) const TICK_NS: u64 = 1_000;

/// What a step makes happen, in the true order; and in which order it is told.
pub(super) fn facts(step: &Step, truth: &Truth) -> (Vec<Fact>, Vec<usize>) {
    let fork = |birth: &Birth| on(birth.cpu, Happens::Fork { parent: birth.parent, child: birth.child });
    match step {
        Step::Fork(birth) => in_order(vec![fork(birth)]),
        Step::Thread(birth) => {
            in_order(vec![on(birth.cpu, Happens::Thread { process: birth.parent, tid: birth.child })])
        }
        Step::Vfork(birth) => (vec![fork(birth), on(birth.cpu + 1, Happens::Exec { pid: birth.child })], vec![1, 0]),
        Step::EarlyExit(birth) => {
            let (pid, process) = (birth.child, birth.child);
            (vec![fork(birth), on(birth.cpu + 1, Happens::Exit { pid, process })], vec![1, 0])
        }
        Step::Reuse(birth) => {
            let mut facts = exits(truth, birth.child, birth.cpu + 1);
            facts.push(fork(birth));
            let last = facts.len() - 1;
            (facts, std::iter::once(last).chain(0..last).collect())
        }
        Step::Exec(task) => in_order(vec![on(task.cpu, Happens::Exec { pid: task.pid })]),
        Step::Exit(task) => in_order(exits(truth, task.pid, task.cpu)),
        Step::Add(device) => in_order(vec![on(device.cpu, happens("add", &device.path, None))]),
        Step::Remove(device) => in_order(vec![on(device.cpu, happens("remove", &device.path, None))]),
        Step::Change(device) => in_order(vec![on(device.cpu, happens("change", &device.path, None))]),
        Step::Move(device, to) => in_order(vec![on(device.cpu, happens("move", to, Some(&device.path)))]),
        _ => (Vec::new(), Vec::new()),
    }
}

fn in_order(facts: Vec<Fact>) -> (Vec<Fact>, Vec<usize>) {
    let order = (0..facts.len()).collect();
    (facts, order)
}

fn on(cpu: u32, what: Happens) -> Fact {
    Fact { cpu, what }
}

fn happens(action: &'static str, path: &str, old: Option<&str>) -> Happens {
    Happens::Device { action, path: path.to_owned(), old: old.map(str::to_owned) }
}

/// A process exits behind its threads; a thread alone.
fn exits(truth: &Truth, pid: i32, cpu: u32) -> Vec<Fact> {
    let process =
        truth.processes.iter().find(|(_, process)| process.threads.contains(&pid)).map_or(pid, |(&pid, _)| pid);
    let threads = truth.processes.get(&pid).map(|process| process.threads.clone()).unwrap_or_default();
    threads.into_iter().chain([pid]).map(|pid| on(cpu, Happens::Exit { pid, process })).collect()
}

impl Truth {
    /// Whether all of this can happen; if so, it has.
    pub(super) fn happen(&mut self, facts: &[Fact]) -> bool {
        let mut next = self.clone();
        let possible = facts.iter().all(|fact| next.one(&fact.what));
        if possible {
            *self = next;
        }
        possible
    }

    fn one(&mut self, what: &Happens) -> bool {
        self.now_ns += TICK_NS;
        match what {
            Happens::Fork { parent, child } => self.fork(*parent, *child),
            Happens::Thread { process, tid } => {
                self.ever.insert(*tid);
                !self.is_taken(*tid) && self.processes.get_mut(process).is_some_and(|of| of.threads.insert(*tid))
            }
            Happens::Exec { pid } => self.processes.contains_key(pid),
            Happens::Exit { pid, process } if pid == process => self.exit(*pid),
            Happens::Exit { pid, process } => self.processes.get_mut(process).is_some_and(|of| of.threads.remove(pid)),
            Happens::Device { action, path, old } => self.device(action, path, old.as_deref()),
        }
    }

    fn is_taken(&self, pid: i32) -> bool {
        self.processes.contains_key(&pid) || self.processes.values().any(|process| process.threads.contains(&pid))
    }

    fn fork(&mut self, parent: i32, child: i32) -> bool {
        let possible = self.processes.contains_key(&parent) && !self.is_taken(child);
        if possible {
            self.ever.insert(child);
            let born_ns = self.now_ns;
            self.processes.insert(child, Process { parent, made_by: parent, born_ns, threads: BTreeSet::new() });
        }
        possible
    }

    fn exit(&mut self, pid: i32) -> bool {
        let possible = pid != INIT && self.processes.remove(&pid).is_some();
        if possible {
            self.processes.values_mut().filter(|child| child.parent == pid).for_each(|child| child.parent = INIT);
        }
        possible
    }

    fn device(&mut self, action: &str, path: &str, old: Option<&str>) -> bool {
        match (action, old) {
            ("add", _) => self.devices.insert(path.to_owned()),
            ("remove", _) => path != VIRTUAL && self.devices.remove(path),
            (_, Some(old)) => {
                let possible = old != VIRTUAL && !self.devices.contains(path) && self.devices.remove(old);
                possible && self.devices.insert(path.to_owned())
            }
            _ => self.devices.contains(path),
        }
    }
}
