//! Who may run where: the lanes of a machine, its CPUs, and the queue for them.

use std::cell::Cell;
use std::collections::VecDeque;

use slab::Slab;

use super::{Lane, LaneName, LaneState, State};

/// All lanes and CPUs of a machine.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) all: Slab<LaneState>,
    /// Runnable lanes that have no CPU, longest waiting first.
    pub(super) queue: VecDeque<Lane>,
    /// The lane on each CPU.
    cpus: Vec<Option<Lane>>,
    /// How many of them have none.
    idle: u32,
    /// Scratch of [`Lanes::candidates`], so that asking does not allocate.
    candidates: Vec<Lane>,
    names: Vec<LaneName>,
}

/// What the running lane may do at a point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// Keeps its CPU: the others run elsewhere.
    OnCpu,
    /// May be displaced by a waiting lane, and goes on by default.
    Preemptible,
    /// Asks to be displaced: `yield()`, `schedule()`.
    Yields,
}

thread_local! {
    /// What the last machine of this thread left, empty: an explorer makes one for each run.
    static SPARE: Cell<Option<Lanes>> = const { Cell::new(None) };
}

impl Lanes {
    pub(crate) fn with_cpus(cpus: u32) -> Lanes {
        let mut lanes = SPARE.take().unwrap_or_default();
        lanes.cpus.resize(cpus as usize, None);
        lanes.idle = cpus;
        lanes
    }

    /// As at the start. Drops what the lanes are made of.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.queue.clear();
        self.cpus.fill(None);
        self.idle = u32::try_from(self.cpus.len()).expect("few CPUs");
    }

    /// The machine is gone; the next one may have the room.
    pub(crate) fn spare(mut self) {
        self.clear();
        self.cpus.clear();
        SPARE.set(Some(self));
    }

    fn runs(&self, lane: Lane) -> bool {
        self.all[lane.0 as usize].state == State::Runnable
    }

    /// Finds everybody who may step next, whom the calm run takes first. Returns how many there are.
    pub(super) fn candidates(&mut self, current: Option<(Lane, Stay)>) -> u32 {
        let mut found = std::mem::take(&mut self.candidates);
        found.clear();
        let me = current.filter(|(lane, _)| self.runs(*lane));
        if let Some((lane, Stay::OnCpu | Stay::Preemptible)) = me {
            found.push(lane);
        }
        let runs = |lane: &Lane| me.is_none_or(|(m, _)| m != *lane) && self.runs(*lane);
        found.extend(self.cpus.iter().flatten().copied().filter(runs));
        if self.idle > 0 || me.is_some_and(|(_, stay)| stay != Stay::OnCpu) {
            found.extend(self.queue.iter().copied().filter(|lane| self.runs(*lane)));
        }
        if let Some((lane, Stay::Yields)) = me {
            found.push(lane);
        }
        self.candidates = found;
        u32::try_from(self.candidates.len()).expect("fewer lanes than 2^32")
    }

    /// Their names.
    pub(super) fn names(&mut self) -> &[LaneName] {
        self.names.clear();
        self.names.extend(self.candidates.iter().map(|lane| self.all[lane.0 as usize].name));
        &self.names
    }

    /// One of them.
    pub(super) fn candidate(&self, pick: u32) -> Lane {
        self.candidates[pick as usize]
    }

    /// Puts `lane` on a CPU if it has none: an idle one, else the one of `displaced`. True if it had none.
    pub(super) fn place(&mut self, lane: Lane, displaced: Option<Lane>) -> bool {
        if self.all[lane.0 as usize].cpu.is_some() {
            return false;
        }
        let idle = if self.idle > 0 { self.cpus.iter().position(Option::is_none) } else { None };
        let cpu = idle.map(|cpu| u32::try_from(cpu).expect("few CPUs")).unwrap_or_else(|| {
            let out = displaced.expect("a lane without a CPU is a candidate only if one is idle or can be had");
            self.queue.push_back(out);
            self.leave_cpu(out).expect("the displaced lane ran")
        });
        self.unqueue(lane);
        self.cpus[cpu as usize] = Some(lane);
        self.idle -= 1;
        self.all[lane.0 as usize].cpu = Some(cpu);
        true
    }

    /// Takes a lane out of the queue if it is there; nobody is there twice.
    pub(super) fn unqueue(&mut self, lane: Lane) {
        if let Some(at) = self.queue.iter().position(|queued| *queued == lane) {
            self.queue.remove(at);
        }
    }

    pub(super) fn leave_cpu(&mut self, lane: Lane) -> Option<u32> {
        let cpu = self.all[lane.0 as usize].cpu.take()?;
        self.cpus[cpu as usize] = None;
        self.idle += 1;
        Some(cpu)
    }

    /// A lane has ended.
    pub(super) fn remove(&mut self, lane: Lane) {
        self.leave_cpu(lane);
        self.all.remove(lane.0 as usize);
    }
}
