//! Lanes: threads of kernel or user execution, the CPUs they run on, and the executor that steps them.
//!
//! A lane is one future. The executor is single-threaded and polls exactly one lane at a time; a lane gives way
//! only at a [`Machine::point`] (somebody may get in), when it sleeps, or when it ends.
//!
//! A lane in the kernel keeps its CPU until it sleeps (`preempt = false`), as in a 2.6.11 kernel without
//! `CONFIG_PREEMPT`; lanes on other CPUs interleave with it at every point. A runnable lane without a CPU
//! takes an idle one.
//! DIFFERENCE: there is one run queue for all CPUs, and no time slice: who runs is the chooser's decision, so every
//! placement that a 2.6.11 balancer could arrive at is among the runs.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::choice::{Question, STOP};
use crate::machine::Machine;
use crate::touch::{Access, Object, RUNQUEUE};
use crate::trace::What;
use crate::violation::Rule;

mod name;

pub use name::LaneName;

/// A lane of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(u32);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every lane ended, or waits where it may wait for ever.
    Quiet,
    /// Some lane waits for what nobody can bring any more; a [`Rule::Deadlock`] or [`Rule::LostWakeup`] violation names it.
    Deadlock,
    /// The chooser has seen enough ([`STOP`](crate::choice::STOP)): the lanes were dropped where they stood.
    Stopped,
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Wants a CPU, or has one.
    Runnable,
    /// Waits; `spins` keeps its CPU busy, `patient` may last to the end of the run. `silent`: it did not get as far as to
    /// see that it has to, somebody took the lock that it was about to take.
    Waits { on: &'static str, spins: bool, patient: bool, silent: bool },
    /// Hit a BUG or an oops; its locks and memory stay as they were.
    Dead,
}

/// What the machine knows of one lane.
pub(crate) struct LaneState {
    pub(crate) name: LaneName,
    state: State,
    cpu: Option<u32>,
    work: Option<Work>,
    /// `preempt_count()`: spinlocks held and explicit disables.
    pub(crate) preempt_count: u32,
    /// Depth of `local_irq_disable()`.
    pub(crate) irqs_off: u32,
    /// Names of the locks held, innermost last, and the step in which each was taken.
    pub(crate) held: Vec<(&'static str, u64)>,
    /// Looked at its condition after the run was over, and found that it holds: nobody had woken it.
    pub(crate) overslept: bool,
}

impl LaneState {
    /// `in_atomic() || irqs_disabled()`.
    fn is_atomic(&self) -> bool {
        self.preempt_count > 0 || self.irqs_off > 0
    }
}

/// All lanes and CPUs of a machine.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) all: Slab<LaneState>,
    /// Runnable lanes that have no CPU, longest waiting first.
    queue: VecDeque<Lane>,
    /// The lane on each CPU.
    cpus: Vec<Option<Lane>>,
    /// Scratch of [`Lanes::candidates`], so that asking does not allocate.
    lanes: Vec<Lane>,
    names: Vec<LaneName>,
}

/// What the running lane may do at a point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// Keeps its CPU: the others run elsewhere.
    OnCpu,
    /// May be displaced by a waiting lane, and goes on by default.
    Preemptible,
    /// Asks to be displaced: `yield()`, `schedule()`.
    Yields,
}

impl Lanes {
    pub(crate) fn with_cpus(cpus: u32) -> Lanes {
        Lanes { cpus: vec![None; cpus as usize], ..Lanes::default() }
    }

    fn idle_cpu(&self) -> Option<u32> {
        self.cpus.iter().position(Option::is_none).map(|cpu| u32::try_from(cpu).expect("few CPUs"))
    }

    fn runs(&self, lane: Lane) -> bool {
        self.all[lane.0 as usize].state == State::Runnable
    }

    /// Fills `lanes` with everybody who may step next, whom the calm run takes first.
    fn candidates(&mut self, current: Option<(Lane, Stay)>) {
        let mut lanes = std::mem::take(&mut self.lanes);
        lanes.clear();
        let me = current.filter(|(lane, _)| self.runs(*lane));
        if let Some((lane, Stay::OnCpu | Stay::Preemptible)) = me {
            lanes.push(lane);
        }
        lanes
            .extend(self.cpus.iter().flatten().filter(|lane| self.runs(**lane) && me.is_none_or(|(m, _)| m != **lane)));
        if self.idle_cpu().is_some() || me.is_some_and(|(_, stay)| stay != Stay::OnCpu) {
            lanes.extend(self.queue.iter().filter(|lane| self.runs(**lane)));
        }
        if let Some((lane, Stay::Yields)) = me {
            lanes.push(lane);
        }
        self.names.clear();
        self.names.extend(lanes.iter().map(|lane| self.all[lane.0 as usize].name));
        self.lanes = lanes;
    }

    /// Puts `lane` on a CPU if it has none: an idle one, else the one of `displaced`. True if it had none.
    fn place(&mut self, lane: Lane, displaced: Option<Lane>) -> bool {
        if self.all[lane.0 as usize].cpu.is_some() {
            return false;
        }
        let cpu = self.idle_cpu().unwrap_or_else(|| {
            let out = displaced.expect("a lane without a CPU is a candidate only if one is idle or can be had");
            self.queue.push_back(out);
            self.leave_cpu(out).expect("the displaced lane ran")
        });
        self.queue.retain(|queued| *queued != lane);
        self.cpus[cpu as usize] = Some(lane);
        self.all[lane.0 as usize].cpu = Some(cpu);
        true
    }

    fn leave_cpu(&mut self, lane: Lane) -> Option<u32> {
        let cpu = self.all[lane.0 as usize].cpu.take()?;
        self.cpus[cpu as usize] = None;
        Some(cpu)
    }
}

impl Machine {
    /// Starts a lane; it takes its first step when it is chosen.
    pub fn spawn(&self, name: impl Into<LaneName>, work: impl Future<Output = ()> + 'static) -> Lane {
        let name = name.into();
        let lanes = &mut *self.lanes.borrow_mut();
        let state = LaneState {
            name,
            state: State::Runnable,
            cpu: None,
            work: Some(Box::pin(work)),
            preempt_count: 0,
            irqs_off: 0,
            held: Vec::new(),
            overslept: false,
        };
        self.saw_lanes(lanes.all.len() + 1);
        let lane = Lane(u32::try_from(lanes.all.insert(state)).expect("fewer lanes than 2^32"));
        lanes.queue.push_back(lane);
        self.runnable.set(self.runnable.get() + 1);
        self.tell_woken(name);
        lane
    }

    /// The lane that runs now, if any.
    #[must_use]
    pub fn current(&self) -> Option<Lane> {
        self.current.get()
    }

    /// Its name; empty outside of every lane.
    #[must_use]
    pub fn lane_name(&self) -> LaneName {
        self.name.get()
    }

    /// The CPU of the lane that runs now; 0 outside of every lane.
    #[must_use]
    pub fn cpu(&self) -> u32 {
        self.cpu.get()
    }

    /// Runs until nobody can step any more, and drops what is left of the lanes.
    ///
    /// A lane that waits impatiently at the end is a [`Rule::Deadlock`] violation.
    pub fn run(&self) -> Ended {
        self.settle();
        self.name.set(LaneName::default());
        if !self.stopped.get() {
            self.shake();
        }
        self.finish()
    }

    /// Wakes every lane that waits impatiently for a condition once more. One that then finds it to hold was never woken
    /// for it; it goes back to sleep all the same, and [`Machine::finish`] reports it.
    fn shake(&self) {
        let waits = |lane: &LaneState| matches!(lane.state, State::Waits { patient: false, spins: false, .. });
        let sleepers: Vec<_> = {
            let lanes = self.lanes.borrow();
            lanes.all.iter().filter(|(_, lane)| waits(lane)).map(|(i, _)| i).collect()
        };
        self.closing.set(true); // Nothing of this is part of the run.
        for i in sleepers {
            let lane = Lane(u32::try_from(i).expect("fewer lanes than 2^32"));
            let Some(mut work) = self.lanes.borrow_mut().all[i].work.take() else { continue };
            self.current.set(Some(lane));
            // A lane that waits for a lock stays there; one that looked at its condition is pending, too.
            let _ = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.current.set(None);
            self.lanes.borrow_mut().all[i].work = Some(work);
        }
        self.closing.set(false);
    }

    /// Runs until nobody can step any more. Whoever waits goes on waiting: [`Machine::run`] may follow.
    pub fn settle(&self) {
        let mut context = Context::from_waker(Waker::noop());
        while let Some(lane) = self.next_lane() {
            let mut work = self.lanes.borrow_mut().all[lane.0 as usize].work.take().expect("one poll at a time");
            let polled = work.as_mut().poll(&mut context);
            let lanes = &mut *self.lanes.borrow_mut();
            match polled {
                Poll::Pending => lanes.all[lane.0 as usize].work = Some(work),
                Poll::Ready(()) => {
                    self.trace.emit(self, || What::End);
                    self.tell_left();
                    lanes.leave_cpu(lane);
                    lanes.all.remove(lane.0 as usize);
                    self.runnable.set(self.runnable.get() - 1);
                    self.current.set(None);
                }
            }
        }
        self.current.set(None);
        self.atomic.set(false);
    }

    /// Whose turn it is: the lane that a point decided for, else one of those that can run.
    fn next_lane(&self) -> Option<Lane> {
        if self.stopped.get() {
            return None;
        }
        let lane = match self.next.take() {
            Some(lane) => lane,
            None => self.decide(self.current.get().map(|lane| (lane, Stay::OnCpu)))?,
        };
        let lanes = &mut *self.lanes.borrow_mut();
        let state = &lanes.all[lane.0 as usize];
        self.atomic.set(state.is_atomic());
        self.current.set(Some(lane));
        self.name.set(state.name);
        self.cpu.set(state.cpu.expect("a chosen lane is placed"));
        self.step.set(self.step.get() + 1);
        self.chooser.borrow_mut().stepped(state.name);
        Some(lane)
    }

    /// Asks who steps next, and gives that lane a CPU. `None` if nobody can.
    fn decide(&self, me: Option<(Lane, Stay)>) -> Option<Lane> {
        let lanes = &mut *self.lanes.borrow_mut();
        lanes.candidates(me);
        let n = u32::try_from(lanes.lanes.len()).expect("fewer lanes than 2^32");
        let pick = match n {
            0 => return None,
            1 if !self.explored.get() => 0,
            _ => self.chooser.borrow_mut().choose(Question::Lane(&lanes.names), n),
        };
        if pick == STOP {
            self.stopped.set(true);
            return None;
        }
        let lane = lanes.lanes[pick as usize];
        if lanes.place(lane, me.map(|(lane, _)| lane)) {
            self.tell_placed();
        }
        Some(lane)
    }

    fn finish(&self) -> Ended {
        let lanes = std::mem::take(&mut *self.lanes.borrow_mut());
        let mut ended = if self.stopped.get() { Ended::Stopped } else { Ended::Quiet };
        for (_, lane) in &lanes.all {
            if lane.state == State::Runnable && ended != Ended::Stopped {
                self.tell_blocked(lane.name, RUNQUEUE, Access::Write);
            }
            if let State::Waits { on, patient: false, .. } = lane.state
                && ended != Ended::Stopped
            {
                ended = Ended::Deadlock;
                if lane.overslept {
                    let text = format!("lost wake-up: lane {} sleeps in {on} for what has come", lane.name);
                    self.report_for(lane.name, Rule::LostWakeup, text, None);
                    continue;
                }
                let held: Vec<_> = lane.held.iter().map(|(lock, step)| format!("{lock} (since step {step})")).collect();
                let holds = if held.is_empty() { String::new() } else { format!(", and holds {}", held.join(", ")) };
                let text = format!("deadlock: lane {} waits for {on}{holds}", lane.name);
                self.report_for(lane.name, Rule::Deadlock, text, None);
            }
        }
        self.closing.set(true); // Guards that are dropped with the lanes must not speak any more.
        drop(lanes);
        *self.lanes.borrow_mut() = Lanes::with_cpus(self.config().cpus);
        self.runnable.set(0);
        self.closing.set(false);
        ended
    }

    /// Somebody else may run before what follows. Costs a counter when nobody else could.
    #[inline]
    pub fn point(&self) -> Point<'_> {
        let stay = if self.config().preempt && !self.in_atomic() { Stay::Preemptible } else { Stay::OnCpu };
        Point { m: self, stay, left: false }
    }

    /// Between two system calls of a task: any waiting lane may take the CPU.
    pub fn user_point(&self) -> Point<'_> {
        Point { m: self, stay: Stay::Preemptible, left: false }
    }

    /// Models `kernel/sched.c:yield()`: the others first.
    ///
    /// # Violations
    /// [`Rule::AtomicSleep`] while a spinlock is held or interrupts are off.
    pub fn yield_now(&self) -> Point<'_> {
        self.might_sleep("kernel/sched.c:yield()");
        Point { m: self, stay: Stay::Yields, left: false }
    }

    /// The next step belongs to the same lane.
    #[inline]
    fn step_on(&self) {
        self.step.set(self.step.get() + 1);
        if self.watched.get() {
            self.chooser.borrow_mut().stepped(self.name.get());
        }
    }

    /// Waits until [`Machine::wake`]. `spins`: on a spinlock, the CPU stays busy. `patient`: no deadlock if it lasts.
    pub(crate) async fn wait(&self, on: &'static str, spins: bool, patient: bool) {
        let lane = self.current.get().expect("only a lane can wait");
        {
            let lanes = &mut *self.lanes.borrow_mut();
            lanes.all[lane.0 as usize].state = State::Waits { on, spins, patient, silent: false };
            self.runnable.set(self.runnable.get() - 1);
            if !spins {
                lanes.leave_cpu(lane);
                self.tell_left();
            }
        }
        self.trace.emit(self, || What::Wait { on });
        Pause(false).await;
    }

    /// The current lane, whose future then is pending, finds a lock taken: it spins, or sleeps.
    pub(crate) fn wait_for_lock(&self, on: &'static str, spins: bool, access: Access) {
        let lane = self.current.get().expect("outside of every lane nobody holds a lock");
        self.block(lane, on, (spins, false), access);
        self.trace.emit(self, || What::Wait { on });
    }

    /// A lane that stood before a lock finds it taken by the time it gets there.
    pub(crate) fn block(&self, lane: Lane, on: &'static str, (spins, silent): (bool, bool), access: Access) {
        let lanes = &mut *self.lanes.borrow_mut();
        let state = &mut lanes.all[lane.0 as usize];
        if state.state != State::Runnable {
            return;
        }
        state.state = State::Waits { on, spins, patient: false, silent };
        self.tell_blocked(state.name, Object::named(on), access);
        self.runnable.set(self.runnable.get() - 1);
        if !spins {
            self.tell_left();
            if lanes.leave_cpu(lane).is_none() {
                lanes.queue.retain(|queued| *queued != lane);
            }
        }
    }

    /// Makes a waiting lane runnable; one that does not wait stays as it is.
    pub(crate) fn wake(&self, lane: Lane) {
        if let Some(name) = self.unblock(lane) {
            self.tell_woken(name);
        }
    }

    /// The same for one that stands before a lock: that the lock is free now orders nothing, it might have come there first.
    /// Returns its name if it waited.
    pub(crate) fn unblock(&self, lane: Lane) -> Option<LaneName> {
        let lanes = &mut *self.lanes.borrow_mut();
        let state = lanes.all.get_mut(lane.0 as usize)?;
        let State::Waits { spins, silent, .. } = state.state else { return None };
        state.state = State::Runnable;
        let name = state.name;
        self.runnable.set(self.runnable.get() + 1);
        if !spins {
            lanes.queue.push_back(lane);
        }
        if !silent {
            self.trace.emit(self, || What::Wake { lane: name });
        }
        Some(name)
    }

    /// The lane that runs now died in a BUG or an oops: it keeps its locks and memory, and never runs again.
    ///
    /// The future never ends, so that it can stand where the kernel's code would not go on.
    pub async fn die(&self) -> std::convert::Infallible {
        let lane = self.current.get().expect("only a lane can die");
        {
            let lanes = &mut *self.lanes.borrow_mut();
            lanes.all[lane.0 as usize].state = State::Dead;
            lanes.leave_cpu(lane);
            self.tell_left();
            self.runnable.set(self.runnable.get() - 1);
        }
        std::future::pending().await
    }

    /// Reads or changes what the machine knows of the lane that runs now; `None` outside of every lane.
    #[inline]
    pub(crate) fn here<R>(&self, f: impl FnOnce(&mut LaneState) -> R) -> Option<R> {
        let lane = self.current.get()?;
        let lanes = &mut *self.lanes.borrow_mut();
        let state = &mut lanes.all[lane.0 as usize];
        let result = f(state);
        self.atomic.set(state.is_atomic());
        Some(result)
    }
}

/// A place where somebody else may run; see [`Machine::point`]. Written out, since every allocation and lock is one.
#[must_use = "a point is where it is awaited"]
pub struct Point<'a> {
    m: &'a Machine,
    stay: Stay,
    /// Another lane was let in; the next poll is the return.
    left: bool,
}

impl Future for Point<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.left {
            return Poll::Ready(());
        }
        if self.m.goes_on(self.stay) {
            self.m.step_on();
            return Poll::Ready(());
        }
        self.ask()
    }
}

impl Machine {
    /// Alone, or in the kernel of a machine with one CPU and without preemption, a lane goes on without a question.
    #[inline]
    fn goes_on(&self, stay: Stay) -> bool {
        let alone = self.runnable.get() <= 1 || (stay == Stay::OnCpu && self.config().cpus == 1);
        alone && !self.explored.get()
    }
}

impl<'a> Point<'a> {
    pub(crate) fn machine(&self) -> &'a Machine {
        self.m
    }

    /// Lets the chooser say who goes on. Apart from `poll()`, which then is small enough to stand in each of its callers.
    #[cold]
    fn ask(&mut self) -> Poll<()> {
        let m = self.m;
        let Some(me) = m.current.get() else {
            m.step_on();
            return Poll::Ready(());
        };
        match m.decide(Some((me, self.stay))) {
            Some(lane) if lane == me => {
                if self.stay != Stay::OnCpu {
                    m.tell_kept(); // Somebody else might have got the CPU.
                }
                m.step_on();
                Poll::Ready(())
            }
            next => {
                m.next.set(next);
                self.left = true;
                Poll::Pending
            }
        }
    }
}

/// Pending once.
struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}
