//! What really is: the `/proc` and `/sys` of a script, and what a consumer believes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::script::Format;

/// A process that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its parent now: `PPid:` of `/proc/PID/status`. Children of a process that exits go to process 1.
    pub parent: i32,
    /// Whoever made it; no message says when its parent becomes another.
    pub made_by: i32,
    /// When it was made: field 22 of `/proc/PID/stat`, here in the nanoseconds of the messages' times.
    pub born_ns: u64,
    /// Its threads, but for the first.
    pub threads: BTreeSet<i32>,
}

/// Which processes and devices there are at a moment: what `/proc` and `/sys` would show.
///
/// It begins with process 1 and the device `/devices/virtual`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// By pid.
    pub processes: BTreeMap<i32, Process>,
    /// Their paths below `/sys`.
    pub devices: BTreeSet<String>,
    /// The clock of the messages, `CLOCK_MONOTONIC`, read before the rest: what has an earlier time is in here.
    pub now_ns: u64,
    /// `/sys/kernel/uevent_seqnum`, read before the rest: messages up to this one are in here.
    pub seqnum: u64,
    /// Every pid that a process or thread ever had: who is not among them never was.
    pub(super) ever: BTreeSet<i32>,
}

/// What a consumer believes: that of processes, or of devices, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The parent of each process, by pid. Process 1 may be in it, and is not looked at.
    pub processes: BTreeMap<i32, i32>,
    /// The path of each device. `/devices/virtual` may be in it, and is not looked at.
    pub devices: BTreeSet<Vec<u8>>,
}

impl View {
    /// A consumer of process events: the parent of each process.
    pub fn of_processes(parents: impl IntoIterator<Item = (i32, i32)>) -> View {
        View { processes: parents.into_iter().collect(), ..View::default() }
    }

    /// A consumer of uevents: the path of each device.
    pub fn of_devices<P: AsRef<[u8]>>(paths: impl IntoIterator<Item = P>) -> View {
        View { devices: paths.into_iter().map(|path| path.as_ref().to_vec()).collect(), ..View::default() }
    }
}

/// The one process that was always there.
pub(super) const INIT: i32 = 1;
/// The one device that was always there.
pub(super) const VIRTUAL: &str = "/devices/virtual";

impl Default for Truth {
    fn default() -> Truth {
        let init = Process { parent: 0, made_by: 0, born_ns: 0, threads: BTreeSet::new() };
        Truth {
            processes: [(INIT, init)].into(),
            devices: [VIRTUAL.to_owned()].into(),
            now_ns: 1_000_000_000,
            seqnum: 100,
            ever: [INIT].into(),
        }
    }
}

impl Truth {
    /// The parent of each process.
    #[must_use]
    pub fn parents(&self) -> BTreeMap<i32, i32> {
        self.processes.iter().map(|(&pid, process)| (pid, process.parent)).collect()
    }

    /// What a consumer would believe who knows everything.
    #[must_use]
    pub fn view(&self) -> View {
        View { processes: self.parents(), devices: View::of_devices(&self.devices).devices }
    }

    /// What is wrong in a view, as far as messages of this format could have told; nothing if all is right.
    ///
    /// Process events and uevents tell all: the view must be the truth. The patch's messages tell of forks alone: who
    /// lives must be known, under its parent or whoever made it; who is dead may still be there, who never was may not.
    #[must_use]
    pub fn differs(&self, view: &View, format: Format) -> Vec<String> {
        match format {
            Format::Uevents => self.devices_differ(view),
            Format::Process => {
                let mut wrong = self.processes_differ(view, |process, parent| process.parent == parent);
                let dead = view.processes.keys().filter(|pid| !self.is_process(**pid));
                wrong.extend(dead.map(|pid| format!("process {pid} is in the view, and not there")));
                wrong
            }
            Format::Bare | Format::Keyed => {
                let mut wrong =
                    self.processes_differ(view, |process, parent| [process.parent, process.made_by].contains(&parent));
                let phantoms = view.processes.keys().filter(|pid| !self.ever.contains(pid));
                wrong.extend(phantoms.map(|pid| format!("process {pid} is in the view, and never was")));
                wrong
            }
        }
    }

    fn is_process(&self, pid: i32) -> bool {
        pid == INIT || self.processes.contains_key(&pid)
    }

    fn processes_differ(&self, view: &View, right: impl Fn(&Process, i32) -> bool) -> Vec<String> {
        let others = self.processes.iter().filter(|(pid, _)| **pid != INIT);
        let wrong = |(pid, process): (&i32, &Process)| match view.processes.get(pid) {
            None => Some(format!("process {pid} is there, and not in the view")),
            Some(&parent) if !right(process, parent) => {
                Some(format!("process {pid} has the parent {}, and {parent} in the view", process.parent))
            }
            Some(_) => None,
        };
        others.filter_map(wrong).collect()
    }

    fn devices_differ(&self, view: &View) -> Vec<String> {
        let truth = self.view().devices;
        let shown = |path: &Vec<u8>| path.escape_ascii().to_string();
        let missing = truth.difference(&view.devices).filter(|path| *path != VIRTUAL.as_bytes());
        let phantom = view.devices.difference(&truth);
        let missing = missing.map(|path| format!("device {} is there, and not in the view", shown(path)));
        missing.chain(phantom.map(|path| format!("device {} is in the view, and not there", shown(path)))).collect()
    }

    /// `/proc/PID/stat` up to field 22, `starttime`, as far as a script knows it.
    #[must_use]
    pub fn proc_stat(&self, pid: i32) -> Option<String> {
        let process = self.processes.get(&pid)?;
        // starttime counts clock ticks of 10 ms.
        let (parent, threads, start) = (process.parent, process.threads.len() + 1, process.born_ns / 10_000_000);
        Some(format!("{pid} (forklab) S {parent} {pid} {pid} 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 {start}"))
    }
}

impl View {
    /// The part of it that messages of this format are about.
    pub(super) fn only(&self, format: Format) -> View {
        match format {
            Format::Uevents => View { devices: self.devices.clone(), ..View::default() },
            _ => View { processes: self.processes.clone(), ..View::default() },
        }
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// An indented tree of the processes, two spaces a generation, then the devices.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = BTreeSet::new();
        let roots = self.processes.iter().filter(|(pid, parent)| !self.processes.contains_key(parent) || pid == parent);
        for (&pid, _) in roots {
            self.branch(f, pid, 0, &mut shown)?;
        }
        // Who is an ancestor of himself has no root: a view may be as wrong as that.
        for (&pid, &parent) in self.processes.iter().filter(|(pid, _)| !shown.contains(*pid)) {
            writeln!(f, "{pid} in a circle, below {parent}")?;
        }
        self.devices.iter().try_for_each(|path| writeln!(f, "{}", path.escape_ascii()))
    }
}

impl View {
    fn branch(&self, f: &mut fmt::Formatter<'_>, pid: i32, depth: usize, shown: &mut BTreeSet<i32>) -> fmt::Result {
        if !shown.insert(pid) {
            return Ok(());
        }
        writeln!(f, "{:indent$}{pid}", "", indent = 2 * depth)?;
        let children: Vec<_> = self.processes.iter().filter(|(_, parent)| **parent == pid).collect();
        children.into_iter().try_for_each(|(&child, _)| self.branch(f, child, depth + 1, shown))
    }
}
