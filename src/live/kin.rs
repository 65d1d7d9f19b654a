//! Who belongs to the command: its tree, known from process events alone.

use std::collections::BTreeMap;

use uevent::wire::connector::ForkIds;
use uevent::wire::proc_event::{Ids, ProcEvent, What as Told};

use crate::workload::family::Family;
use crate::workload::{Record, What};

/// `SIGCHLD`, for an exit that was not heard.
const SIGCHLD: u32 = 17;

/// The tree of what this process starts: children, theirs, and threads; also those whose parents have died.
pub struct Kin {
    family: Family,
    parent: i32,
    first_ns: Option<u64>,
    clocks: BTreeMap<u32, u64>,
}

impl Kin {
    /// What this process starts from now on. It must start nothing but the command.
    #[must_use]
    pub fn of_this_process() -> Kin {
        let parent = std::process::id().cast_signed();
        Kin { family: Family::default(), parent, first_ns: None, clocks: BTreeMap::new() }
    }

    /// Whether an event is one of the tree.
    #[must_use]
    pub fn has(&self, what: &Told) -> bool {
        let knows = |tgid| self.family.forked_in(tgid).next().is_some();
        match *what {
            // A thread's parent columns name the parent of its group.
            Told::Fork(ids) if ids.child_pid != ids.child_tgid => knows(ids.child_tgid),
            Told::Fork(ids) => ids.parent_tgid == self.parent || knows(ids.parent_tgid),
            Told::Exit { ids, .. } => self.family.group_of(ids.pid) == Some(ids.tgid),
            Told::Exec(ids)
            | Told::Uid(ids, ..)
            | Told::Gid(ids, ..)
            | Told::Sid(ids)
            | Told::Ptrace(ids, _)
            | Told::Comm(ids, _)
            | Told::Coredump(ids, _) => knows(ids.tgid),
            Told::Ack(_) | Told::Other(_) => false,
        }
    }

    /// Exits that were not heard, but must have been before this event: a pid that is forked anew was free.
    pub(super) fn exits_before(&mut self, event: &ProcEvent) -> Vec<Record> {
        let Told::Fork(ForkIds { child_pid: pid, .. }) = event.what else { return Vec::new() };
        let mut gone: Vec<_> = self.family.forked_in(pid).map(|member| (member, pid)).collect();
        gone.extend(self.family.group_of(pid).filter(|&tgid| tgid != pid).map(|tgid| (pid, tgid)));
        let exit = |(pid, tgid)| {
            let exit_signal = if pid == tgid { SIGCHLD } else { u32::MAX };
            self.stamped(event, What::Exit { pid, tgid, exit_code: 0, exit_signal })
        };
        gone.into_iter().map(exit).collect()
    }

    /// The event as a line of a recording, if it is of a kind that has lines.
    pub(super) fn record(&mut self, event: &ProcEvent) -> Option<Record> {
        let what = match event.what {
            Told::Fork(ForkIds { parent_pid, parent_tgid, child_pid, child_tgid }) => {
                What::Fork { parent_pid, parent_tgid, child_pid, child_tgid }
            }
            Told::Exec(Ids { pid, tgid }) => What::Exec { pid, tgid },
            Told::Exit { ids: Ids { pid, tgid }, code, signal, .. } => {
                What::Exit { pid, tgid, exit_code: code, exit_signal: signal.cast_unsigned() }
            }
            _ => return None,
        };
        Some(self.stamped(event, what))
    }

    fn stamped(&mut self, event: &ProcEvent, what: What) -> Record {
        let ns = event.timestamp_ns.saturating_sub(*self.first_ns.get_or_insert(event.timestamp_ns));
        let clock = self.clocks.entry(event.cpu).or_default();
        *clock = ns.max(*clock);
        Record { line: 0, cpu: event.cpu, ns: *clock, what }
    }

    /// Takes a record in; false if it could not have happened after those before it.
    pub(super) fn take(&mut self, record: &Record) -> bool {
        self.family.apply(record).is_ok()
    }

    /// Takes an event in, if it is one of the tree; whether it is.
    pub fn hear(&mut self, event: &ProcEvent) -> bool {
        for exit in self.exits_before(event) {
            self.take(&exit);
        }
        let has = self.has(&event.what);
        if has && let Some(record) = self.record(event) {
            self.take(&record);
        }
        has
    }

    /// Processes of the tree that have not exited, as far as was heard.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        self.family.forked().filter(|(pid, tgid)| pid == tgid).map(|(pid, _)| pid).collect()
    }
}
