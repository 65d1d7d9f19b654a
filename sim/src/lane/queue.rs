//! Who may run where: the lanes of a machine, its CPUs, and the queue for them.

use std::cell::Cell;

use slab::Slab;

use super::{Lane, LaneName, LaneState, Locks, State};

/// What a CPU does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cpu {
    Idle,
    Runs(Lane),
    /// Its lane waits for a spinlock.
    Spins,
}

/// All lanes and CPUs of a machine.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) all: Slab<LaneState>,
    /// Lanes that want a CPU and have none, longest waiting first.
    pub(super) queue: Vec<Lane>,
    cpus: Vec<Cpu>,
    /// How many of them are idle.
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
    static SPARE: Cell<Option<(Lanes, Vec<Locks>)>> = const { Cell::new(None) };
}

impl Lanes {
    /// So many idle CPUs, and room for what lanes lock.
    pub(crate) fn with_cpus(cpus: u32) -> (Lanes, Vec<Locks>) {
        let (mut lanes, locks) = SPARE.take().unwrap_or_default();
        lanes.cpus.resize(cpus as usize, Cpu::Idle);
        lanes.idle = cpus;
        (lanes, locks)
    }

    /// As at the start. Drops what the lanes are made of.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.queue.clear();
        self.cpus.fill(Cpu::Idle);
        self.idle = u32::try_from(self.cpus.len()).expect("few CPUs");
    }

    /// The machine is gone; the next one may have the room.
    pub(crate) fn spare(mut self, mut locks: Vec<Locks>) {
        self.clear();
        self.cpus.clear();
        locks.iter_mut().for_each(Locks::clear);
        // A machine that a thread keeps to its end has nobody to leave it to.
        let _ = SPARE.try_with(|spare| spare.set(Some((self, locks))));
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
        let (me, stay) = me.unzip();
        for cpu in &self.cpus {
            match cpu {
                Cpu::Runs(lane) if me != Some(*lane) => found.push(*lane),
                _ => {}
            }
        }
        if !self.queue.is_empty() && (self.idle > 0 || stay.is_some_and(|stay| stay != Stay::OnCpu)) {
            // One that was displaced and now waits for a spinlock is still there.
            found.extend(self.queue.iter().copied().filter(|lane| self.runs(*lane)));
        }
        if stay == Some(Stay::Yields) {
            found.extend(me);
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
        let idle = if self.idle > 0 { self.cpus.iter().position(|cpu| *cpu == Cpu::Idle) } else { None };
        let cpu = idle.unwrap_or_else(|| {
            let out = displaced.expect("a lane without a CPU is a candidate only if one is idle or can be had");
            self.queue.push(out);
            self.leave_cpu(out).expect("the displaced lane ran") as usize
        });
        self.unqueue(lane);
        self.cpus[cpu] = Cpu::Runs(lane);
        self.idle -= 1;
        self.all[lane.0 as usize].cpu = Some(u32::try_from(cpu).expect("few CPUs"));
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
        self.cpus[cpu as usize] = Cpu::Idle;
        self.idle += 1;
        Some(cpu)
    }

    /// A lane waits for a spinlock, or does so no longer. If it has a CPU, that one is busy all the same.
    pub(super) fn spin(&mut self, lane: Lane, spins: bool) {
        if let Some(cpu) = self.all[lane.0 as usize].cpu {
            self.cpus[cpu as usize] = if spins { Cpu::Spins } else { Cpu::Runs(lane) };
        }
    }

    /// A lane has ended.
    pub(super) fn remove(&mut self, lane: Lane) {
        self.leave_cpu(lane);
        self.all.remove(lane.0 as usize);
    }
}
