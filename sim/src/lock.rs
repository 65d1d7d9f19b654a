//! Spinlocks, read/write locks, semaphores, completions and wait queues.
//!
//! A lock protects by convention, as in the kernel: which one must be held stands above each function that needs it.
//! Taking one is a point; a lane that finds it taken spins (its CPU stays busy) or sleeps, as the lock's kind has it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;

use crate::lane::{self, IRQS_OFF, Lane, SLEEPING};
use crate::machine::Machine;
use crate::rare;
use crate::touch::{Access, Object};

mod standing;

pub(crate) use standing::{Place, Standing};

/// One way to take a lock.
#[derive(Debug)]
pub struct Mode {
    lock: &'static str,
    unlock: &'static str,
    exclusive: bool,
    /// Whether another lane may have to wait for one that holds or wants it so. A reader of an `rwlock_t` is let in by other
    /// readers, though a writer waits; of a semaphore he is not, in the kernel.
    shuts_out: bool,
    /// What it adds to [`Machine::nesting`].
    nesting: u64,
    /// Sleeps where others spin, and may sleep while it is held.
    sleeps: bool,
}

impl Mode {
    fn access(&self) -> Access {
        if self.exclusive { Access::Write } else { Access::Read }
    }
}

macro_rules! modes {
    ($($name:ident $lock:literal $unlock:literal $exclusive:literal $irq:literal $sleeps:literal;)*) => {
        impl Mode {
            $(#[doc = concat!("`", $lock, "()` … `", $unlock, "()`.")]
            pub const $name: &'static Mode = &Mode { lock: $lock, unlock: $unlock, exclusive: $exclusive, shuts_out: $exclusive || $sleeps, nesting: if $sleeps { SLEEPING } else { 1 + $irq as u64 * IRQS_OFF }, sleeps: $sleeps };)*
        }
    };
}

modes! {
    SPIN "spin_lock" "spin_unlock" true false false;
    SPIN_IRQ "spin_lock_irq" "spin_unlock_irq" true true false;
    READ "read_lock" "read_unlock" false false false;
    WRITE "write_lock" "write_unlock" true false false;
    WRITE_IRQ "write_lock_irq" "write_unlock_irq" true true false;
    DOWN_READ "down_read" "up_read" false false true;
    DOWN_WRITE "down_write" "up_write" true false true;
}

/// A lock of any kind; which kind is said when it is taken.
///
/// Models `spinlock_t`, `rwlock_t` and `struct rw_semaphore`.
/// DIFFERENCE: a waiting writer does not keep later readers out; who gets in first is the chooser's decision.
#[derive(Clone, Debug)]
pub struct Lock {
    name: &'static str,
    /// -1: one writer; above 0: that many readers.
    state: Cell<i32>,
}

impl Lock {
    /// A free lock with the name that the kernel's sources give it.
    #[must_use]
    pub const fn new(name: &'static str) -> Lock {
        Lock { name, state: Cell::new(0) }
    }

    /// Takes the lock; it is released when the guard is dropped.
    ///
    /// A point: others may get in before. A lane that wants a taken lock does not run until it is free.
    ///
    /// # Violations
    /// [`Rule::AtomicSleep`](crate::Rule::AtomicSleep) for a semaphore in atomic context.
    #[inline]
    pub fn take<'a>(&'a self, m: &'a Machine, mode: &'static Mode) -> Take<'a> {
        if mode.sleeps {
            m.might_sleep("kernel/rwsem.c:down()");
        }
        Take { lock: self, m, mode, stands: false }
    }

    /// The same where nobody could get in before and the lock is free; `None` where [`Lock::take`] must be awaited. Hot code
    /// writes [`take!`](crate::take), which does the one or the other.
    #[inline(always)]
    pub fn take_now<'a>(&'a self, m: &'a Machine, mode: &'static Mode) -> Option<Held<'a>> {
        // Whether one may sleep is asked once: there.
        if mode.sleeps || rare(self.is_taken(mode)) || !m.passes() {
            return None;
        }
        self.hold(m, mode);
        Some(Held { lock: self, m, mode })
    }

    #[inline]
    fn is_taken(&self, mode: &Mode) -> bool {
        self.state.get() < 0 || (mode.exclusive && self.state.get() != 0)
    }

    /// Whoever listens hears of it; out of line, since the name of the lock is hashed for him.
    #[cold]
    #[inline(never)]
    fn tell(&self, m: &Machine, access: Access, func: &'static str) {
        m.touch(Object::named(self.name), access);
        m.call(func, || vec![("lock", self.name.into())], None);
    }

    /// The lock is free for this mode: from here on it is taken. A call, so that each place that takes a lock stays small.
    #[inline(never)]
    fn hold(&self, m: &Machine, mode: &'static Mode) {
        self.state.set(if mode.exclusive { -1 } else { self.state.get() + 1 });
        let Mode { exclusive, shuts_out, .. } = *mode;
        let held = lane::Held { lock: self.name, place: self.place(), step: m.step(), exclusive, shuts_out };
        m.hold(held, mode.nesting);
        let seen = m.trace.is_seen();
        if seen {
            self.tell(m, mode.access(), mode.lock);
        }
        if mode.sleeps || seen || m.current.get().is_none() {
            // An explorer hears of it in this step; who sleeps leaves his CPU at once, and has to wait for one again; who holds
            // it outside of every lane does not give way.
            m.block_before(self.place(), exclusive);
        }
    }

    #[inline(always)]
    fn release(&self, m: &Machine, mode: &'static Mode) {
        self.state.set(if mode.exclusive { 0 } else { self.state.get() - 1 });
        if m.trace.is_seen() {
            self.tell(m, Access::Release, mode.unlock);
        }
        m.let_go(self.place(), mode.nesting);
        m.unblock_before(self);
    }
}

/// [`Lock::take`], awaited: `take!(lock, m, mode)`. A future is made only where somebody could get in, or has the lock.
#[macro_export]
macro_rules! take {
    ($lock:expr, $m:expr, $mode:expr) => {
        match $lock.take_now($m, $mode) {
            Some(held) => held,
            None => $lock.take($m, $mode).await,
        }
    };
}

/// A lock that is being taken; see [`Lock::take`].
#[must_use = "a lock is taken where this is awaited"]
pub struct Take<'a> {
    lock: &'a Lock,
    m: &'a Machine,
    mode: &'static Mode,
    /// The lane stands before the lock.
    stands: bool,
}

impl<'a> Future for Take<'a> {
    type Output = Held<'a>;

    // The guard is made where it stays: one that is returned by a call is copied, and waits for that.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Held<'a>> {
        let Take { lock, m, mode, .. } = *self;
        if self.try_hold() { Poll::Ready(Held { lock, m, mode }) } else { Poll::Pending }
    }
}

impl<'a> Take<'a> {
    /// Takes the lock if it can be had now.
    #[inline(never)]
    fn try_hold(&mut self) -> bool {
        let Take { lock, m, mode, stands } = *self;
        let free = !lock.is_taken(mode);
        if stands {
            if !free {
                return false; // Only a run that is over looks in here without being chosen.
            }
        } else if !free || !m.goes_on() {
            // Somebody else has the lock, or is let in.
            self.stands = true;
            m.stand(lock, mode);
            return false;
        }
        lock.hold(m, mode);
        true
    }
}

/// A lock that is held. Dropping it is the unlock.
#[derive(Debug)]
#[must_use = "a lock is released when its guard is dropped"]
pub struct Held<'a> {
    lock: &'a Lock,
    m: &'a Machine,
    mode: &'static Mode,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine at step {}", self.step())
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.lock.release(self.m, self.mode);
    }
}

/// Lanes that sleep until somebody wakes them. Models `wait_queue_head_t`.
#[derive(Clone, Debug, Default)]
pub struct WaitQueue(RefCell<SmallVec<[Lane; 4]>>);

impl WaitQueue {
    /// Models `wait_event()`: sleeps until `condition` holds. `on` names it for people.
    ///
    /// `patient`: waiting to the end of the run is no deadlock (a listener that hears nothing more).
    ///
    /// The condition looks at what says so ([`Machine::touch`]): [`Shared`](crate::touch::Shared) variables, objects of caches.
    ///
    /// # Panics
    /// Under an explorer, if the condition touches nothing: that others change it would be left out of a proof.
    ///
    /// # Violations
    /// [`Rule::AtomicSleep`](crate::Rule::AtomicSleep) in atomic context.
    #[inline]
    pub fn wait_event<'a, F: FnMut() -> bool + Unpin>(
        &'a self,
        m: &'a Machine,
        on: &'static str,
        patient: bool,
        condition: F,
    ) -> WaitEvent<'a, F> {
        m.might_sleep(on);
        WaitEvent { queue: self, m, on, patient, condition, begun: Begun::No }
    }

    /// Whether nobody sleeps here.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Models `wake_up()`: everybody who sleeps here looks at the condition again.
    #[inline]
    pub fn wake_up(&self, m: &Machine) {
        if !self.is_empty() {
            self.wake_all(m);
        }
    }

    #[inline(never)]
    fn wake_all(&self, m: &Machine) {
        let lanes = &mut *self.0.borrow_mut();
        lanes.iter().for_each(|lane| m.wake(*lane));
        lanes.clear();
    }
}

/// A lane that waits for a condition; see [`WaitQueue::wait_event`]. Written out, as one future is cheaper than three.
#[must_use = "a condition is waited for where this is awaited"]
pub struct WaitEvent<'a, F> {
    queue: &'a WaitQueue,
    m: &'a Machine,
    on: &'static str,
    patient: bool,
    condition: F,
    begun: Begun,
}

impl<F: FnMut() -> bool + Unpin> Future for WaitEvent<'_, F> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let WaitEvent { queue, m, on, patient, condition, begun } = &mut *self;
        begun.poll(m, queue, (on, *patient), condition)
    }
}

/// How far a lane has come that waits for a condition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    No,
    /// Others were let in, or may have been.
    Yes,
    /// The condition did not hold when it was last looked at.
    Sleeps,
}

impl Begun {
    #[inline]
    fn poll(
        &mut self,
        m: &Machine,
        queue: &WaitQueue,
        (on, patient): (&'static str, bool),
        condition: impl FnOnce() -> bool,
    ) -> Poll<()> {
        if *self == Begun::No {
            *self = Begun::Yes;
            if !m.goes_on() {
                return Poll::Pending;
            }
        }
        let holds = if m.is_explored() { m.told_of(on, condition) } else { condition() };
        if rare(*self == Begun::Sleeps && m.closing.get()) {
            // The run is over, and this lane was never woken: it says whether it should have been.
            m.overslept(holds);
            return Poll::Pending;
        }
        if holds {
            return Poll::Ready(());
        }
        *self = Begun::Sleeps;
        // Others look while it goes to sleep: at this queue, too.
        let lane = m.sleep(on, patient);
        queue.0.borrow_mut().push(lane);
        Poll::Pending
    }
}

/// Models `struct completion`.
#[derive(Debug)]
pub struct Completion {
    done: Cell<u32>,
    wait: WaitQueue,
    object: Object,
}

impl Default for Completion {
    fn default() -> Completion {
        Completion::named("struct completion")
    }
}

impl Completion {
    /// One that an explorer tells from others by its name; the nameless count as one.
    #[must_use]
    pub const fn named(name: &str) -> Completion {
        Completion::of(Object::named(name))
    }

    /// One that an explorer knows by this object.
    #[must_use]
    pub const fn of(object: Object) -> Completion {
        Completion { done: Cell::new(0), wait: WaitQueue(RefCell::new(SmallVec::new_const())), object }
    }

    /// Models `kernel/sched.c:complete()`: one waiter may go on.
    pub fn complete(&self, m: &Machine) {
        m.touch(self.object, Access::Write);
        self.done.set(self.done.get() + 1);
        self.wait.wake_up(m);
    }

    /// Models `kernel/sched.c:wait_for_completion()`.
    #[inline]
    pub fn wait_for_completion<'a>(&'a self, m: &'a Machine) -> WaitForCompletion<'a> {
        WaitForCompletion { completion: self, m, begun: Begun::No }
    }
}

const COMPLETION: &str = "kernel/sched.c:wait_for_completion()";

/// A lane that waits for a completion; see [`Completion::wait_for_completion`].
#[must_use = "a completion is waited for where this is awaited"]
pub struct WaitForCompletion<'a> {
    completion: &'a Completion,
    m: &'a Machine,
    begun: Begun,
}

impl Future for WaitForCompletion<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let WaitForCompletion { completion: Completion { done, wait, object }, m, begun } = &mut *self;
        if *begun == Begun::No {
            m.might_sleep(COMPLETION);
        }
        let is_done = || {
            m.touch(*object, Access::Read);
            done.get() > 0
        };
        ready!(begun.poll(m, wait, (COMPLETION, false), is_done));
        m.touch(*object, Access::Write);
        done.set(done.get() - 1);
        Poll::Ready(())
    }
}
