//! Who may run where: the lanes of a machine, its CPUs, and the queue for them.

use slab::Slab;

use super::room::Room;
use super::{Lane, LaneName, LaneState, State};

/// CPUs, a bit each: a machine has at most 64 of them.
type CpuSet = u64;

/// Those of a set in order.
fn each(mut set: CpuSet) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let cpu = (set != 0).then_some(set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(cpu)
    })
}

/// All lanes and CPUs of a machine.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) all: Slab<LaneState>,
    /// What they are made of, by their numbers. Room is left for the next lane of that number.
    pub(super) rooms: Vec<Room>,
    /// Lanes that want a CPU and have none, longest waiting first.
    queue: Vec<Lane>,
    /// How many of them can run: one that was displaced and now waits for a spinlock is in the queue, too.
    pub(super) queued: u32,
    /// The lane of each CPU that is not idle.
    on: Vec<Lane>,
    idle: CpuSet,
    /// CPUs whose lane can go on. Those that are neither idle nor here have one that waits for a spinlock.
    running: CpuSet,
    /// Scratch of [`Lanes::names`], so that asking does not allocate.
    names: Vec<LaneName>,
}

/// What the running lane may do at a point.
///
/// A whole register wide: a byte would be written into a future next to another one, and then read together with it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Stay {
    /// Keeps its CPU: the others run elsewhere.
    OnCpu,
    /// May be displaced by a waiting lane, and goes on by default.
    Preemptible,
    /// Asks to be displaced: `yield()`, `schedule()`.
    Yields,
}

/// Who has just run and may go on: it is on its CPU.
#[derive(Clone, Copy)]
pub(super) struct Me {
    pub(super) lane: Lane,
    pub(super) cpu: u32,
    pub(super) stay: Stay,
}

impl Lanes {
    /// So many idle CPUs.
    pub(crate) fn with_cpus(cpus: u32) -> Lanes {
        let mut lanes = Lanes { on: vec![Lane::of(0); cpus as usize], ..Lanes::default() };
        lanes.clear();
        lanes
    }

    /// As at the start, but that room is left.
    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.queue.clear();
        self.queued = 0;
        (self.idle, self.running) = (CpuSet::MAX >> (64 - self.on.len()), 0);
    }

    /// A lane that has just run, if it can go on.
    #[inline(always)]
    pub(super) fn goes_on(&self, lane: Lane) -> Option<Me> {
        let state = &self.all[lane.index()];
        let cpu = if state.state == State::Runnable { state.cpu } else { None };
        cpu.map(|cpu| Me { lane, cpu, stay: Stay::OnCpu })
    }

    /// Whether somebody of the queue could have a CPU.
    #[inline(always)]
    pub(super) fn queue_counts(&self, me: Option<Me>) -> bool {
        self.idle != 0 || me.is_some_and(|me| me.stay != Stay::OnCpu)
    }

    /// Those of the queue who can run, and where they stand.
    fn queued(&self) -> impl Iterator<Item = (usize, Lane)> {
        let can_run = |(_, lane): &(usize, Lane)| self.all[lane.index()].state == State::Runnable;
        self.queue.iter().copied().enumerate().filter(can_run)
    }

    /// Where the `n`-th of them stands. Nearly always everybody can.
    #[inline(always)]
    fn nth_queued(&self, n: usize) -> Option<usize> {
        if self.queue.len() == self.queued as usize {
            (n < self.queue.len()).then_some(n)
        } else {
            self.queued().nth(n).map(|(at, _)| at)
        }
    }

    /// CPUs whose lane can go on, but for the one of `me`.
    #[inline(always)]
    fn others(&self, me: Option<Me>) -> CpuSet {
        self.running & !me.map_or(0, |me| 1 << me.cpu)
    }

    /// Everybody who may step next, in order: whom the calm run takes first.
    fn candidates(&self, me: Option<Me>) -> impl Iterator<Item = Lane> {
        let lane = me.map(|me| me.lane);
        let yields = me.is_some_and(|me| me.stay == Stay::Yields);
        let others = each(self.others(me)).map(|cpu| self.on[cpu]);
        let queued = self.queue_counts(me).then(|| self.queued()).into_iter().flatten().map(|(_, lane)| lane);
        lane.filter(|_| !yields).into_iter().chain(others).chain(queued).chain(lane.filter(|_| yields))
    }

    /// Their names.
    pub(super) fn names(&mut self, me: Option<Me>) -> &[LaneName] {
        let mut names = std::mem::take(&mut self.names);
        names.clear();
        names.extend(self.candidates(me).map(|lane| self.all[lane.index()].name));
        self.names = names;
        &self.names
    }

    /// One of them, on a CPU, and whether it was put there now: on an idle one, else on the one of `me`. Written out: a chain of
    /// iterators took three times as long, and this is asked at every step.
    #[inline(always)]
    pub(super) fn turn(&mut self, me: Option<Me>, queue: bool, pick: u32) -> (Lane, bool) {
        let mut before = pick;
        if let Some(Me { lane, stay: Stay::OnCpu | Stay::Preemptible, .. }) = me {
            if before == 0 {
                return (lane, false);
            }
            before -= 1;
        }
        let mut others = self.others(me);
        while others != 0 {
            if before == 0 {
                return (self.on[others.trailing_zeros() as usize], false);
            }
            before -= 1;
            others &= others - 1;
        }
        let queued = if queue { self.nth_queued(before as usize) } else { None };
        match (queued, me) {
            (Some(at), _) => (self.place(at, me), true),
            (None, Some(me)) => (me.lane, false),
            (None, None) => panic!("as many as were counted"),
        }
    }

    /// Puts the lane that stands there in the queue on a CPU: an idle one, else the one of `displaced`.
    #[inline(always)]
    fn place(&mut self, at: usize, displaced: Option<Me>) -> Lane {
        let lane = self.unqueue(at);
        if self.idle == 0 {
            let out = displaced.expect("a lane without a CPU is a candidate only if one is idle or can be had").lane;
            self.enqueue(out);
            self.leave_cpu(out).expect("the displaced lane ran");
        }
        let cpu = self.idle.trailing_zeros();
        self.idle &= self.idle - 1;
        self.running |= 1 << cpu;
        self.on[cpu as usize] = lane;
        self.all[lane.index()].cpu = Some(cpu);
        lane
    }

    /// A lane that can run has no CPU.
    pub(super) fn enqueue(&mut self, lane: Lane) {
        self.queue.push(lane);
        self.queued += 1;
    }

    /// Takes a lane that could run out of the queue.
    #[inline(always)]
    fn unqueue(&mut self, at: usize) -> Lane {
        self.queued -= 1;
        if at + 1 == self.queue.len() { self.queue.pop().expect("it stands there") } else { self.queue.remove(at) }
    }

    /// A lane that could run sleeps: it leaves its CPU, or the queue.
    pub(super) fn leave(&mut self, lane: Lane) {
        if self.leave_cpu(lane).is_none()
            && let Some(at) = self.queue.iter().position(|queued| *queued == lane)
        {
            self.unqueue(at);
        }
    }

    pub(super) fn leave_cpu(&mut self, lane: Lane) -> Option<u32> {
        let cpu = self.all[lane.index()].cpu.take()?;
        self.idle |= 1 << cpu;
        self.running &= !(1 << cpu);
        Some(cpu)
    }

    /// A lane waits for a spinlock, or does so no longer. If it has a CPU, that one is busy all the same; else it is queued.
    pub(super) fn spin(&mut self, lane: Lane, spins: bool) {
        match (self.all[lane.index()].cpu, spins) {
            (Some(cpu), true) => self.running &= !(1 << cpu),
            (Some(cpu), false) => self.running |= 1 << cpu,
            (None, true) => self.queued -= 1,
            (None, false) => self.queued += 1,
        }
    }

    /// A lane stands before a lock, until it runs again.
    pub(crate) fn stands(&mut self, lane: Lane) {
        self.all[lane.index()].stands = true;
    }

    /// A lane has ended.
    pub(super) fn remove(&mut self, lane: Lane) -> LaneState {
        self.leave_cpu(lane);
        self.all.remove(lane.index())
    }
}
