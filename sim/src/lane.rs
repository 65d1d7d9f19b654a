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

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::choice::{Question, STOP};
use crate::machine::Machine;
use crate::rare;
use crate::touch::{Access, Object};
use crate::trace::What;

mod end;
mod name;
mod queue;

pub use name::LaneName;
pub(crate) use queue::Lanes;
use queue::{Me, Stay};

/// A lane of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(u32);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every lane ended, or waits where it may wait for ever.
    Quiet,
    /// Some lane waits for what nobody can bring any more; a [`Rule::Deadlock`](crate::Rule::Deadlock) or
    /// [`Rule::LostWakeup`](crate::Rule::LostWakeup) violation names it.
    Deadlock,
    /// The chooser has seen enough ([`STOP`]): the lanes were dropped where they stood.
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
    /// Looked at its condition after the run was over, and found that it holds: nobody had woken it.
    pub(crate) overslept: bool,
}

/// The locks that a lane holds, and what follows from them.
#[derive(Default)]
pub(crate) struct Locks {
    /// `preempt_count()`: spinlocks held and explicit disables.
    pub(crate) preempt_count: u32,
    /// Depth of `local_irq_disable()`.
    pub(crate) irqs_off: u32,
    /// Names of the locks held, innermost last, the step in which each was taken, and whether it shuts others out for
    /// [`lockdep`](crate::lockdep).
    pub(crate) held: Vec<(&'static str, u64, bool)>,
}

impl Locks {
    /// `in_atomic() || irqs_disabled()`.
    pub(crate) fn is_atomic(&self) -> bool {
        self.preempt_count > 0 || self.irqs_off > 0
    }

    /// Nothing is locked.
    fn clear(&mut self) {
        (self.preempt_count, self.irqs_off) = (0, 0);
        self.held.clear();
    }
}

impl Machine {
    /// Starts a lane; it takes its first step when it is chosen.
    pub fn spawn(&self, name: impl Into<LaneName>, work: impl Future<Output = ()> + 'static) -> Lane {
        self.start(name.into(), Box::pin(work))
    }

    fn start(&self, name: LaneName, work: Work) -> Lane {
        let lanes = &mut *self.lanes.borrow_mut();
        let state = LaneState { name, state: State::Runnable, cpu: None, work: Some(work), overslept: false };
        self.saw_lanes(lanes.all.len() + 1);
        let lane = lanes.all.insert(state);
        let locks = &mut *self.locks.borrow_mut();
        match locks.get_mut(lane) {
            Some(locks) => locks.clear(),
            None => locks.push(Locks::default()),
        }
        let lane = Lane(u32::try_from(lane).expect("fewer lanes than 2^32"));
        lanes.enqueue(lane);
        self.set_runnable(self.runnable.get() + 1);
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

    /// Runs until nobody can step any more. Whoever waits goes on waiting: [`Machine::run`] may follow.
    pub fn settle(&self) {
        self.settle_until(|| false);
    }

    /// The same, until there is enough: for somebody outside of the machine who takes turns with its lanes. Asked
    /// whenever a lane lets go, and only then.
    pub fn settle_until(&self, enough: impl Fn() -> bool) {
        let mut context = Context::from_waker(Waker::noop());
        while !enough()
            && let Some((lane, mut work)) = self.next_lane()
        {
            let polled = work.as_mut().poll(&mut context);
            if polled.is_pending() {
                self.lanes.borrow_mut().all[lane.0 as usize].work = Some(work);
                continue;
            }
            self.trace.emit(self, || What::End);
            self.tell_left();
            self.switch_to(None);
            self.lanes.borrow_mut().remove(lane);
            self.set_runnable(self.runnable.get() - 1);
        }
        self.switch_to(None);
    }

    /// Whose turn it is, and his future: the lane that a point decided for, else one of those that can run.
    fn next_lane(&self) -> Option<(Lane, Work)> {
        if self.stopped.get() {
            return None;
        }
        let lanes = &mut *self.lanes.borrow_mut();
        let lane = match self.next.take() {
            Some(lane) => lane,
            None => self.decide(lanes, self.current.get().and_then(|lane| lanes.goes_on(lane)))?,
        };
        self.switch_to(Some(lane));
        let state = &mut lanes.all[lane.0 as usize];
        self.name.set(state.name);
        self.cpu.set(state.cpu.expect("a chosen lane is placed"));
        self.step.set(self.step.get() + 1);
        if self.told.get() {
            self.chooser.borrow_mut().stepped(state.name);
        }
        Some((lane, state.work.take().expect("one poll at a time")))
    }

    /// Another lane runs, or none.
    fn switch_to(&self, lane: Option<Lane>) {
        self.current.set(lane);
        self.atomic.set(lane.is_some_and(|lane| self.locks.borrow()[lane.0 as usize].is_atomic()));
    }

    /// Reads or changes what the lane that runs now has locked; `None` outside of every lane.
    #[inline(always)]
    pub(crate) fn locks<R>(&self, f: impl FnOnce(&mut Locks) -> R) -> Option<R> {
        let lane = self.current.get()?;
        let locks = &mut self.locks.borrow_mut()[lane.0 as usize];
        let result = f(locks);
        self.atomic.set(locks.is_atomic());
        Some(result)
    }

    /// Asks who steps next, and gives that lane a CPU. `None` if nobody can.
    #[inline(always)]
    fn decide(&self, lanes: &mut Lanes, me: Option<Me>) -> Option<Lane> {
        let n = lanes.count(me, self.runnable.get());
        let pick = match n {
            0 => return None,
            1 if !self.trace.is_explored() => 0,
            _ => {
                let names = if self.told.get() { lanes.names(me) } else { &[] };
                self.chooser.borrow_mut().choose(Question::Lane(names), n)
            }
        };
        if pick == STOP {
            self.stopped.set(true);
            return None;
        }
        let (lane, placed) = lanes.turn(me, pick);
        if placed {
            self.tell_placed();
        }
        Some(lane)
    }

    /// Somebody else may run before what follows. Costs a counter when nobody else could.
    ///
    /// Hot code writes [`point!`](crate::point), which makes no future where nobody could get in.
    pub fn point(&self) -> Point<'_> {
        let stay = if self.config().preempt && !self.in_atomic() { Stay::Preemptible } else { Stay::OnCpu };
        Point { m: self, stay, left: false }
    }

    /// A point in the kernel at which nobody else could run and that nobody wants to hear of: it is passed, and true.
    #[inline(always)]
    #[must_use]
    pub fn passes(&self) -> bool {
        let passes = !rare(!self.undisturbed.get());
        if passes {
            self.step.set(self.step.get() + 1);
        }
        passes
    }

    pub(crate) fn set_runnable(&self, runnable: u32) {
        self.runnable.set(runnable);
        self.look_around();
    }

    /// Decides what a point in the kernel then asks for as a flag. One that is atomic in a preemptible kernel is not counted
    /// here: it finds out when it asks.
    pub(crate) fn look_around(&self) {
        let alone = self.runnable.get() <= 1 || (self.config().cpus == 1 && !self.config().preempt);
        self.undisturbed.set(alone && !self.watched.get());
    }

    /// Between two system calls of a task: any waiting lane may take the CPU.
    pub fn user_point(&self) -> Point<'_> {
        Point { m: self, stay: Stay::Preemptible, left: false }
    }

    /// Models `kernel/sched.c:yield()`: the others first.
    ///
    /// # Violations
    /// [`Rule::AtomicSleep`](crate::Rule::AtomicSleep) while a spinlock is held or interrupts are off.
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

    /// The current lane, whose future then is pending, sleeps until [`Machine::wake`]. `patient`: no deadlock if it lasts.
    pub(crate) fn sleep(&self, on: &'static str, patient: bool) -> Lane {
        let lane = self.current.get().expect("only a lane can wait");
        let lanes = &mut *self.lanes.borrow_mut();
        lanes.all[lane.0 as usize].state = State::Waits { on, spins: false, patient, silent: false };
        self.set_runnable(self.runnable.get() - 1);
        lanes.leave_cpu(lane);
        self.tell_left();
        self.trace.emit(self, || What::Wait { on });
        lane
    }

    /// The current lane, whose future then is pending, finds a lock taken: it spins, or sleeps.
    pub(crate) fn wait_for_lock(&self, on: &'static str, spins: bool, access: Access) {
        let lane = self.current.get().expect("outside of every lane nobody holds a lock");
        self.block(lane, on, (spins, false), access);
        self.count_lock_wait(on);
        self.trace.emit(self, || What::Wait { on });
    }

    /// A lane that stood before a lock finds it taken by the time it gets there.
    pub(crate) fn block(&self, lane: Lane, on: &'static str, (spins, silent): (bool, bool), access: Access) {
        let lanes = &mut *self.lanes.borrow_mut();
        // At the end of a run its lanes are gone before what they hold.
        let Some(state) = lanes.all.get_mut(lane.0 as usize).filter(|lane| lane.state == State::Runnable) else {
            return;
        };
        state.state = State::Waits { on, spins, patient: false, silent };
        self.tell_blocked(state.name, Object::named(on), access);
        self.set_runnable(self.runnable.get() - 1);
        if spins {
            lanes.spin(lane, true);
            return;
        }
        self.tell_left();
        lanes.leave(lane);
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
        self.set_runnable(self.runnable.get() + 1);
        if spins {
            lanes.spin(lane, false);
        } else {
            lanes.enqueue(lane);
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
            self.set_runnable(self.runnable.get() - 1);
        }
        std::future::pending().await
    }
}

/// [`Machine::point`], awaited. A future is made only where somebody could get in: elsewhere a point is a test and a count.
#[macro_export]
macro_rules! point {
    ($m:expr) => {
        if !$m.passes() {
            $m.point().await;
        }
    };
}

/// A place where somebody else may run; see [`Machine::point`].
#[must_use = "a point is where it is awaited"]
pub struct Point<'a> {
    m: &'a Machine,
    stay: Stay,
    /// Another lane was let in; the next poll is the return.
    left: bool,
}

impl Future for Point<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.left { Poll::Ready(()) } else { self.ask() }
    }
}

impl Machine {
    /// Alone, or in the kernel of a machine with one CPU and without preemption, a lane goes on without a question.
    fn is_alone(&self, stay: Stay) -> bool {
        self.runnable.get() <= 1 || (stay == Stay::OnCpu && self.config().cpus == 1)
    }
}

impl<'a> Point<'a> {
    pub(crate) fn machine(&self) -> &'a Machine {
        self.m
    }

    /// Lets the chooser say who goes on.
    fn ask(&mut self) -> Poll<()> {
        let m = self.m;
        if m.is_alone(self.stay) && !m.trace.is_explored() {
            m.step_on();
            return Poll::Ready(());
        }
        let Some(me) = m.current.get() else {
            m.step_on();
            return Poll::Ready(());
        };
        let can = Me { lane: me, cpu: m.cpu.get(), stay: self.stay };
        let next = m.decide(&mut m.lanes.borrow_mut(), Some(can));
        match next {
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
