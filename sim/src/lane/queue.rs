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
    queue: Vec<Lane>,
    /// How many of them can run: one that was displaced and now waits for a spinlock is in the queue, too.
    queued: u32,
    cpus: Vec<Cpu>,
    /// How many of them are idle, and on how many a lane can go on.
    idle: u32,
    running: u32,
    /// Scratch of [`Lanes::names`], so that asking does not allocate.
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
        self.queued = 0;
        self.cpus.fill(Cpu::Idle);
        (self.idle, self.running) = (u32::try_from(self.cpus.len()).expect("few CPUs"), 0);
    }

    /// The machine is gone; the next one may have the room.
    pub(crate) fn spare(mut self, mut locks: Vec<Locks>) {
        self.clear();
        self.cpus.clear();
        locks.iter_mut().for_each(Locks::clear);
        // A machine that a thread keeps to its end has nobody to leave it to.
        let _ = SPARE.try_with(|spare| spare.set(Some((self, locks))));
    }

    /// Whether a lane that has just run can go on. It then is on its CPU.
    #[inline]
    pub(super) fn goes_on(&self, lane: Lane) -> bool {
        self.all[lane.0 as usize].state == State::Runnable
    }

    /// How many may step next. `me` has just run, and may go on.
    #[inline]
    pub(super) fn count(&self, me: Option<(Lane, Stay)>) -> u32 {
        self.running + if self.queue_counts(me) { self.queued } else { 0 }
    }

    /// Whether somebody of the queue could have a CPU.
    #[inline]
    fn queue_counts(&self, me: Option<(Lane, Stay)>) -> bool {
        self.queued > 0 && (self.idle > 0 || me.is_some_and(|(_, stay)| stay != Stay::OnCpu))
    }

    /// Those of the queue who can run.
    fn queued(&self) -> impl Iterator<Item = Lane> {
        self.queue.iter().copied().filter(|lane| self.all[lane.0 as usize].state == State::Runnable)
    }

    /// The `n`-th of them. Nearly always everybody can.
    #[inline]
    fn nth_queued(&self, n: usize) -> Option<Lane> {
        if self.queue.len() == self.queued as usize { self.queue.get(n).copied() } else { self.queued().nth(n) }
    }

    /// Everybody who may step next, in order: whom the calm run takes first.
    #[inline]
    fn candidates(&self, me: Option<(Lane, Stay)>) -> impl Iterator<Item = Lane> {
        let (lane, stay) = me.unzip();
        let yields = stay == Some(Stay::Yields);
        let others = self.cpus.iter().filter_map(move |cpu| match cpu {
            Cpu::Runs(other) if lane != Some(*other) => Some(*other),
            _ => None,
        });
        let queued = self.queue_counts(me).then(|| self.queued()).into_iter().flatten();
        lane.filter(|_| !yields).into_iter().chain(others).chain(queued).chain(lane.filter(|_| yields))
    }

    /// Their names.
    pub(super) fn names(&mut self, me: Option<(Lane, Stay)>) -> &[LaneName] {
        let mut names = std::mem::take(&mut self.names);
        names.clear();
        names.extend(self.candidates(me).map(|lane| self.all[lane.0 as usize].name));
        self.names = names;
        &self.names
    }

    /// One of them. Written out: a chain of iterators took three times as long, and this is asked at every step.
    #[inline]
    pub(super) fn candidate(&self, me: Option<(Lane, Stay)>, pick: u32) -> Lane {
        let (lane, stay) = me.unzip();
        let mut before = pick;
        if let (Some(lane), Some(Stay::OnCpu | Stay::Preemptible)) = (lane, stay) {
            if before == 0 {
                return lane;
            }
            before -= 1;
        }
        for cpu in &self.cpus {
            match cpu {
                Cpu::Runs(other) if lane != Some(*other) => {
                    if before == 0 {
                        return *other;
                    }
                    before -= 1;
                }
                _ => {}
            }
        }
        let queued = if self.queue_counts(me) { self.nth_queued(before as usize) } else { None };
        queued.or(lane).expect("as many as were counted")
    }

    /// Puts `lane` on a CPU if it has none: an idle one, else the one of `displaced`. True if it had none.
    pub(super) fn place(&mut self, lane: Lane, displaced: Option<Lane>) -> bool {
        if self.all[lane.0 as usize].cpu.is_some() {
            return false;
        }
        let idle = if self.idle > 0 { self.cpus.iter().position(|cpu| *cpu == Cpu::Idle) } else { None };
        let cpu = idle.unwrap_or_else(|| {
            let out = displaced.expect("a lane without a CPU is a candidate only if one is idle or can be had");
            self.enqueue(out);
            self.leave_cpu(out).expect("the displaced lane ran") as usize
        });
        self.unqueue(lane);
        self.cpus[cpu] = Cpu::Runs(lane);
        (self.idle, self.running) = (self.idle - 1, self.running + 1);
        self.all[lane.0 as usize].cpu = Some(u32::try_from(cpu).expect("few CPUs"));
        true
    }

    /// A lane that can run has no CPU.
    pub(super) fn enqueue(&mut self, lane: Lane) {
        self.queue.push(lane);
        self.queued += 1;
    }

    /// Takes a lane that could run out of the queue if it is there; nobody is there twice.
    pub(super) fn unqueue(&mut self, lane: Lane) {
        if let Some(at) = self.queue.iter().position(|queued| *queued == lane) {
            self.queue.remove(at);
            self.queued -= 1;
        }
    }

    pub(super) fn leave_cpu(&mut self, lane: Lane) -> Option<u32> {
        let cpu = self.all[lane.0 as usize].cpu.take()?;
        if std::mem::replace(&mut self.cpus[cpu as usize], Cpu::Idle) != Cpu::Spins {
            self.running -= 1;
        }
        self.idle += 1;
        Some(cpu)
    }

    /// A lane waits for a spinlock, or does so no longer. If it has a CPU, that one is busy all the same; else it is queued.
    pub(super) fn spin(&mut self, lane: Lane, spins: bool) {
        let can_run = match self.all[lane.0 as usize].cpu {
            Some(cpu) => {
                self.cpus[cpu as usize] = if spins { Cpu::Spins } else { Cpu::Runs(lane) };
                &mut self.running
            }
            None => &mut self.queued,
        };
        if spins {
            *can_run -= 1;
        } else {
            *can_run += 1;
        }
    }

    /// A lane has ended.
    pub(super) fn remove(&mut self, lane: Lane) {
        self.leave_cpu(lane);
        self.all.remove(lane.0 as usize);
    }
}
