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
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::choice::{Chooser, Question, STOP};
use crate::machine::{Config, Machine};
use crate::rare;
use crate::touch::{Access, Object};
use crate::trace::What;

mod end;
mod held;
mod name;
mod queue;
mod room;

pub(crate) use held::{Held, IRQS_OFF, Parked, SLEEPING, irqs_off, is_atomic, preempt_count};
pub use name::LaneName;
pub(crate) use queue::Lanes;
use queue::{Me, Stay};
use room::Work;

/// A lane of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(NonZeroU32);

impl Lane {
    fn of(index: usize) -> Lane {
        Lane(u32::try_from(index + 1).ok().and_then(NonZeroU32::new).expect("fewer lanes than 2^32 - 1"))
    }

    /// Where it stands among the lanes.
    #[inline(always)]
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Wants a CPU, or has one.
    Runnable,
    /// Waits, for a `lock` or to be woken; `spins` keeps its CPU busy, `patient` may last to the end of the run. `silent`: it
    /// did not get as far as to see that it has to, somebody took the lock that it was about to take.
    Waits { on: &'static str, lock: bool, spins: bool, patient: bool, silent: bool },
    /// Hit a BUG or an oops; its locks and memory stay as they were.
    Dead,
}

/// What the machine knows of one lane.
pub(crate) struct LaneState {
    pub(crate) name: LaneName,
    state: State,
    cpu: Option<u32>,
    /// Stands before a lock: the last thing that it did.
    stands: bool,
    /// Looked at its condition after the run was over, and found that it holds: nobody had woken it.
    pub(crate) overslept: bool,
}

impl Machine {
    /// Starts a lane; it takes its first step when it is chosen.
    #[inline]
    pub fn spawn(&self, name: impl Into<LaneName>, work: impl Future<Output = ()> + 'static) -> Lane {
        let mut work = Some(work);
        let lane = self.start(name.into());
        self.lanes.borrow_mut().move_in(lane, &mut work);
        lane
    }

    fn start(&self, name: LaneName) -> Lane {
        let lanes = &mut *self.lanes.borrow_mut();
        self.saw_lanes(lanes.all.len() + 1);
        let lane = Lane::of(lanes.all.insert(LaneState {
            name,
            state: State::Runnable,
            cpu: None,
            stands: false,
            overslept: false,
        }));
        lanes.enqueue(lane);
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

    /// Runs until nobody can step any more. Whoever waits goes on waiting: [`Machine::run`] may follow.
    pub fn settle(&self) {
        self.settle_until(|| false);
    }

    /// The same, until there is enough: for somebody outside of the machine who takes turns with its lanes. Asked
    /// whenever a lane lets go, and only then.
    pub fn settle_until(&self, enough: impl Fn() -> bool) {
        let mut context = Context::from_waker(Waker::noop());
        self.borrow_draws();
        while !enough()
            && let Some((lane, mut work)) = self.next_lane()
        {
            if work.as_mut().poll(&mut context).is_pending() {
                self.lanes.borrow_mut().put_work(lane, work);
                continue;
            }
            self.end();
            work.as_mut().clear();
            let lanes = &mut *self.lanes.borrow_mut();
            lanes.put_work(lane, work);
            if rare(lanes.remove(lane).stands) {
                self.step_aside(lane);
            }
        }
        self.block_before_held();
        self.switch_to(None);
        self.give_back();
    }

    /// The lane that runs has come to its end.
    fn end(&self) {
        self.trace.emit(self, || What::End);
        self.tell_left();
        if rare(self.nesting.get() != 0) {
            self.block_before_held();
            self.hold_nothing();
        }
        self.current.set(None);
        self.runnable.set(self.runnable.get() - 1);
    }

    /// Whose turn it is, and his future: the lane that a point decided for, else one of those that can run.
    #[inline(always)]
    fn next_lane(&self) -> Option<(Lane, Pin<Box<dyn Work>>)> {
        let decided = self.next.take();
        if decided.is_none() {
            if self.stopped.get() {
                return None;
            }
            self.block_before_held();
        }
        let lanes = &mut *self.lanes.borrow_mut();
        let lane = match decided {
            Some(lane) => lane,
            None => match self.current.get().and_then(|lane| lanes.goes_on(lane)) {
                None => self.decide(lanes, None)?,
                me => self.decide_anew(lanes, me)?,
            },
        };
        self.switch_to(Some(lane));
        let state = &mut lanes.all[lane.index()];
        if state.stands {
            state.stands = false;
            self.step_aside(lane);
        }
        self.name.set(state.name);
        self.cpu.set(state.cpu.expect("a chosen lane is placed"));
        self.step.set(self.step.get() + 1);
        if self.told.get() {
            self.ask(|chooser| chooser.stepped(state.name));
        }
        Some((lane, lanes.take_work(lane)))
    }

    /// Its future was pending, though nothing keeps the lane: it waits for something outside of the machine.
    #[cold]
    #[inline(never)]
    fn decide_anew(&self, lanes: &mut Lanes, me: Option<Me>) -> Option<Lane> {
        self.decide(lanes, me)
    }

    /// Asks who steps next, and gives that lane a CPU. `None` if nobody can.
    #[inline(always)]
    fn decide(&self, lanes: &mut Lanes, me: Option<Me>) -> Option<Lane> {
        let queue = lanes.queue_counts(me);
        let n = self.runnable.get() - if queue { 0 } else { lanes.queued };
        let pick = match n {
            2.. if self.drawn.get() => self.draw(Question::Lane(&[]), n),
            0 => return None,
            1 if !self.trace.is_explored() => 0,
            _ => {
                let names = if self.told.get() { lanes.names(me) } else { &[] };
                let pick = self.ask(|chooser| chooser.choose(Question::Lane(names), n));
                if pick == STOP {
                    self.stopped.set(true);
                    return None;
                }
                pick
            }
        };
        let (lane, placed) = lanes.turn(me, queue, pick);
        if placed {
            self.tell_placed();
        }
        Some(lane)
    }

    /// Somebody else may run before what follows. Costs a counter when nobody else could.
    ///
    /// Hot code writes [`point!`](crate::point), which makes no future where nobody could get in.
    pub fn point(&self) -> Point<'_> {
        Point { m: self, stay: self.stay(), left: false }
    }

    /// How a lane in the kernel stands on its CPU.
    #[inline]
    fn stay(&self) -> Stay {
        if self.config().preempt && !self.in_atomic() { Stay::Preemptible } else { Stay::OnCpu }
    }

    /// A point in the kernel as a future asks for it when it is polled first: whether the lane goes on at once.
    #[inline]
    pub(crate) fn goes_on(&self) -> bool {
        self.passes() || self.goes_on_as(self.stay())
    }

    /// A point in the kernel at which nobody else could run and that nobody wants to hear of: it is passed, and true.
    #[inline(always)]
    #[must_use]
    pub fn passes(&self) -> bool {
        let passes = !rare(self.runnable.get() >= self.crowd.get());
        if passes {
            self.step.set(self.step.get() + 1);
        }
        passes
    }

    /// Says what a crowd is at a point in the kernel. One that is atomic in a preemptible kernel is not counted here: it finds
    /// out when it asks.
    pub(crate) fn look_around(&self) {
        self.crowd.set(match self.config() {
            _ if self.watched.get() => 0,
            Config { cpus: 1, preempt: false, .. } => u32::MAX,
            _ => 2,
        });
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
            self.ask(|chooser| chooser.stepped(self.name.get()));
        }
    }

    /// The current lane, whose future then is pending, sleeps until [`Machine::wake`]. `patient`: no deadlock if it lasts.
    pub(crate) fn sleep(&self, on: &'static str, patient: bool) -> Lane {
        let lane = self.current.get().expect("only a lane can wait");
        let lanes = &mut *self.lanes.borrow_mut();
        lanes.all[lane.index()].state = State::Waits { on, lock: false, spins: false, patient, silent: false };
        self.runnable.set(self.runnable.get() - 1);
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
    #[inline(always)]
    pub(crate) fn block(&self, lane: Lane, on: &'static str, (spins, silent): (bool, bool), access: Access) {
        let lanes = &mut *self.lanes.borrow_mut();
        // At the end of a run its lanes are gone before what they hold.
        let Some(state) = lanes.all.get_mut(lane.index()).filter(|lane| lane.state == State::Runnable) else {
            return;
        };
        state.state = State::Waits { on, lock: true, spins, patient: false, silent };
        self.tell_blocked(state.name, Object::named(on), access);
        self.runnable.set(self.runnable.get() - 1);
        if spins {
            lanes.spin(lane, true);
            return;
        }
        self.tell_left();
        lanes.leave(lane);
    }

    /// Makes a waiting lane runnable; one that does not wait stays as it is.
    pub(crate) fn wake(&self, lane: Lane) {
        if let Some(name) = self.unblock(lane, false) {
            self.tell_woken(name);
        }
    }

    /// The same for one that stands before a lock: that the lock is free now orders nothing, it might have come there first.
    /// Returns its name if it waited.
    #[inline(always)]
    pub(crate) fn unblock(&self, lane: Lane, from_lock: bool) -> Option<LaneName> {
        let lanes = &mut *self.lanes.borrow_mut();
        let state = lanes.all.get_mut(lane.index())?;
        let State::Waits { lock, spins, silent, .. } = state.state else { return None };
        if lock != from_lock {
            return None; // A wait queue has its number from an earlier run.
        }
        state.state = State::Runnable;
        let name = state.name;
        self.runnable.set(self.runnable.get() + 1);
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
            lanes.all[lane.index()].state = State::Dead;
            lanes.leave_cpu(lane);
            self.tell_left();
            self.runnable.set(self.runnable.get() - 1);
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
        if self.left || self.m.goes_on_as(self.stay) {
            return Poll::Ready(());
        }
        self.left = true;
        Poll::Pending
    }
}

impl Machine {
    /// Alone, or in the kernel of a machine with one CPU and without preemption, a lane goes on without a question.
    fn is_alone(&self, stay: Stay) -> bool {
        self.runnable.get() <= 1 || (stay == Stay::OnCpu && self.config().cpus == 1)
    }

    /// Lets the chooser say who goes on: the lane that runs, or else another one, for which it is to give way.
    #[inline(never)]
    fn goes_on_as(&self, stay: Stay) -> bool {
        if let Some(lane) = self.current.get()
            && (!self.is_alone(stay) || self.trace.is_explored())
        {
            let me = Me { lane, cpu: self.cpu.get(), stay };
            self.block_before_held();
            let next = self.decide(&mut self.lanes.borrow_mut(), Some(me));
            if next != Some(lane) {
                self.next.set(next);
                return false;
            }
            if stay != Stay::OnCpu {
                self.tell_kept(); // Somebody else might have got the CPU.
            }
        }
        self.step_on();
        true
    }
}
