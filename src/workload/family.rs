//! Who is alive: the rules that tell a possible event from an impossible one.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::Wrong;
use super::{Record, What};

// Columns of the CSV that a rule points at, counted from 0.
const NS: usize = 2;
const PID: usize = 3;
const TGID: usize = 4;
const PARENT_PID: usize = 3;
const PARENT_TGID: usize = 4;
const CHILD_PID: usize = 5;
const CHILD_TGID: usize = 6;

/// One task that is alive.
#[derive(Clone, Copy)]
struct Task {
    tgid: i32,
    /// It was there before the recording began.
    outsider: bool,
}

/// The tasks of a recording, up to the event that was applied last.
#[derive(Default)]
pub(crate) struct Family {
    alive: BTreeMap<i32, Task>,
    /// The same as (group, task), to ask for the living members of a group.
    members: BTreeSet<(i32, i32)>,
    /// Line in which a task exited whose pid was not forked again.
    exited: BTreeMap<i32, u64>,
    /// Every pid that was alive before the recording began, also if its task has exited since.
    outsiders: BTreeSet<i32>,
    /// Time of the last event of each CPU.
    clocks: BTreeMap<u32, u64>,
}

impl Family {
    /// Takes in one event, or says why it cannot have happened.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), Wrong> {
        self.check_time(record)?;
        match record.what {
            What::Fork { parent_pid, parent_tgid, child_pid, child_tgid } => {
                self.parent(parent_pid, parent_tgid, child_pid != child_tgid)?;
                self.child(child_pid, child_tgid)
            }
            What::Exec { pid, tgid } => self.exec(pid, tgid),
            What::Exit { pid, tgid, .. } => self.exit(pid, tgid, record.line),
        }
    }

    /// Pids that were forked and are alive, and pids that were alive before.
    pub(super) fn survivors_and_outsiders(self) -> (BTreeSet<i32>, BTreeSet<i32>) {
        let forked = self.alive.iter().filter(|(_, task)| !task.outsider);
        (forked.map(|(&pid, _)| pid).collect(), self.outsiders)
    }

    /// The group of a task that was forked and is alive.
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    pub(crate) fn group_of(&self, pid: i32) -> Option<i32> {
        self.alive.get(&pid).filter(|task| !task.outsider).map(|task| task.tgid)
    }

    /// The tasks of a group that were forked and are alive.
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    pub(crate) fn forked_in(&self, tgid: i32) -> impl Iterator<Item = i32> {
        self.group(tgid).filter(|&pid| self.group_of(pid).is_some())
    }

    /// Every task that was forked and is alive, with its group.
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    pub(crate) fn forked(&self) -> impl Iterator<Item = (i32, i32)> {
        self.alive.iter().filter(|(_, task)| !task.outsider).map(|(&pid, task)| (pid, task.tgid))
    }

    fn check_time(&mut self, record: &Record) -> Result<(), Wrong> {
        match self.clocks.insert(record.cpu, record.ns) {
            Some(last) if record.ns < last => {
                let cpu = record.cpu;
                let expected = format!("{last} or more, as the event before it on cpu {cpu}");
                Err(Wrong::new(NS, format!("{} ns", record.ns), expected))
            }
            _ => Ok(()),
        }
    }

    /// A parent that was never seen was alive before the recording began, and so was the leader of its group.
    fn parent(&mut self, pid: i32, tgid: i32, of_thread: bool) -> Result<(), Wrong> {
        if let Some(task) = self.alive.get(&pid) {
            return same_group(PARENT_TGID, pid, task.tgid, tgid);
        }
        match self.exited.get(&pid) {
            // A thread's parent columns name the parent of its group, who may have exited a moment ago.
            Some(_) if of_thread => return Ok(()),
            Some(line) => {
                let found = format!("fork by pid {pid}, which exited in line {line}");
                return Err(Wrong::new(PARENT_PID, found, "a parent that is alive"));
            }
            None => {}
        }
        for pid in [pid, tgid] {
            if !self.alive.contains_key(&pid) && !self.exited.contains_key(&pid) {
                self.outsiders.insert(pid);
                self.add(pid, Task { tgid, outsider: true });
            }
        }
        Ok(())
    }

    fn child(&mut self, pid: i32, tgid: i32) -> Result<(), Wrong> {
        // The pid of a leader who has exited stays taken as long as a thread of its group lives.
        if self.alive.contains_key(&pid) || self.group(pid).next().is_some() {
            let found = format!("fork of pid {pid}, which is alive");
            return Err(Wrong::new(CHILD_PID, found, "a child pid that is free"));
        }
        if pid == 1 {
            return Err(Wrong::new(CHILD_PID, "fork of pid 1".to_owned(), "a pid above 1: init is made at boot"));
        }
        if pid != tgid && self.group(tgid).next().is_none() {
            let found = format!("a thread of group {tgid}");
            return Err(Wrong::new(CHILD_TGID, found, "a thread group that is alive"));
        }
        self.add(pid, Task { tgid, outsider: false });
        Ok(())
    }

    fn exec(&mut self, pid: i32, tgid: i32) -> Result<(), Wrong> {
        if pid != tgid {
            let found = format!("exec of pid {pid} in group {tgid}");
            return Err(Wrong::new(PID, found, "pid = tgid, as an exec makes its caller the leader"));
        }
        if self.exited.contains_key(&pid) {
            self.take_over(tgid);
        }
        self.check_alive("exec", pid, tgid)
    }

    fn exit(&mut self, pid: i32, tgid: i32, line: u64) -> Result<(), Wrong> {
        self.check_alive("exit", pid, tgid)?;
        self.remove(pid);
        self.exited.insert(pid, line);
        Ok(())
    }

    fn check_alive(&self, event: &str, pid: i32, tgid: i32) -> Result<(), Wrong> {
        if let Some(task) = self.alive.get(&pid) {
            return same_group(TGID, pid, task.tgid, tgid);
        }
        Err(match self.exited.get(&pid) {
            Some(line) => {
                Wrong::new(PID, format!("{event} of pid {pid}, which exited in line {line}"), "a pid that is alive")
            }
            None => Wrong::new(
                PID,
                format!("{event} of pid {pid}"),
                "a pid that was forked or that appeared as a parent before",
            ),
        })
    }

    /// Models `fs/exec.c:de_thread()`: a thread goes on under the pid of its leader, who has exited.
    fn take_over(&mut self, tgid: i32) {
        let others: Vec<i32> = self.group(tgid).collect();
        let Some(&task) = others.first().and_then(|caller| self.alive.get(caller)) else {
            return;
        };
        // With several left, exits of the killed threads are still to come, and who called exec cannot be told.
        if let [caller] = others[..] {
            self.remove(caller);
        }
        self.add(tgid, task);
    }

    /// The living members of a thread group.
    fn group(&self, tgid: i32) -> impl Iterator<Item = i32> {
        let members = self.members.range((tgid, 0)..=(tgid, i32::MAX));
        members.map(|&(_, pid)| pid)
    }

    fn add(&mut self, pid: i32, task: Task) {
        self.exited.remove(&pid);
        self.alive.insert(pid, task);
        self.members.insert((task.tgid, pid));
    }

    fn remove(&mut self, pid: i32) {
        if let Some(task) = self.alive.remove(&pid) {
            self.members.remove(&(task.tgid, pid));
        }
    }
}

fn same_group(field: usize, pid: i32, group: i32, found: i32) -> Result<(), Wrong> {
    if group == found {
        return Ok(());
    }
    let expected = format!("{group}, the group of pid {pid}");
    Err(Wrong::new(field, format!("group {found}"), expected))
}
