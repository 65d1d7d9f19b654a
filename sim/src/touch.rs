//! What a step touches: the ground on which an explorer decides that two steps commute.
//!
//! Two steps of different lanes commute unless one of them changes what the other one looks at or changes. The model says so
//! by itself wherever lanes can meet: locks, objects of caches, [`Shared`] variables, wait queues.

use std::cell::{Cell, RefCell};

use crate::choice::Chooser;
use crate::lane::LaneName;
use crate::machine::Machine;
use crate::violation::Rule;

/// Something that more than one lane can reach. Equal for two different things at worst: then they count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object(u64);

impl Object {
    /// A thing of which there is one, by its name. FNV-1a, so that a name is the same number on every machine.
    #[must_use]
    pub const fn named(name: &str) -> Object {
        let (bytes, mut hash, mut i) = (name.as_bytes(), 0xcbf2_9ce4_8422_2325_u64, 0);
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
            i += 1;
        }
        Object(hash)
    }

    /// The `index`-th of things of one name.
    #[must_use]
    pub const fn nth(self, index: u32) -> Object {
        Object(self.0.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

impl Object {
    /// 32 bits of it, for [`Object::part`] of another one.
    #[must_use]
    pub const fn short(self) -> u32 {
        (self.0 >> 32) as u32 ^ self.0 as u32
    }

    /// A part of it, which is reached apart from its other parts.
    #[must_use]
    pub const fn part(self, part: u32) -> Object {
        Object(self.0.rotate_left(29) ^ (part as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93))
    }
}

/// The CPUs as so many places: who takes one may leave none for another lane. Commutes as long as there are as many CPUs as
/// lanes and nobody asks for his CPU.
pub(crate) const RUNQUEUE: Object = Object::named("runqueue");
/// The CPUs by their numbers, which taking and leaving change.
pub(crate) const CPUS: Object = Object::named("cpu numbers");

/// How a step touches an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Looks at it.
    Read,
    /// Adds to it without looking at it, as `atomic_inc()` does: additions commute with each other.
    Add,
    /// Changes it.
    Write,
    /// Gives a lock back: whoever takes it next comes after what was done under it.
    Release,
}

impl Access {
    /// Whether two accesses of one object, by different lanes, may be swapped without anybody noticing.
    #[must_use]
    pub fn commutes(self, other: Access) -> bool {
        use Access::{Add, Read, Release};
        matches!((self, other), (Read, Read) | (Add, Add) | (Release, _) | (_, Release))
    }
}

impl Machine {
    /// The step that runs touches this object. Nobody looks: a test of a flag.
    #[inline]
    pub fn touch(&self, object: Object, access: Access) {
        if self.trace.is_explored() {
            self.tell_touched(object, access);
        }
    }

    /// Whether somebody listens to touches.
    #[inline]
    #[must_use]
    pub fn is_explored(&self) -> bool {
        self.trace.is_explored()
    }

    /// A name for something that the running lane has just made, the `index`-th thing of `base`: if somebody listens, after
    /// the lane and the how-manieth thing of that lane it is, so that it does not depend on what other lanes made before.
    #[inline]
    #[must_use]
    pub fn new_object(&self, base: Object, index: u32) -> Object {
        if self.is_explored() { self.object_of_lane(base) } else { base.nth(index) }
    }

    /// Does something whose touches are told in another, coarser way: by one object that stands for all that it looks at.
    #[inline]
    pub fn untold<R>(&self, f: impl FnOnce() -> R) -> R {
        let explored = self.is_explored();
        self.trace.explore(false);
        let result = f();
        self.trace.explore(explored);
        result
    }

    /// The answer of a condition, which an explorer must hear of.
    #[cold]
    #[inline(never)]
    pub(crate) fn told_of(&self, on: &str, condition: impl FnOnce() -> bool) -> bool {
        let before = self.touches.get();
        let holds = condition();
        let told = self.touches.get() > before || self.closing.get();
        assert!(
            told,
            "{on}: the condition touches nothing, an explorer cannot see who changes it; use Shared, or touch()"
        );
        holds
    }

    #[cold]
    #[inline(never)]
    fn object_of_lane(&self, base: Object) -> Object {
        let mut made = self.made.borrow_mut();
        let count = made.entry(self.name.get()).or_default();
        *count += 1;
        Object(base.0 ^ Object::named(self.name.get().as_str()).nth(*count).0.rotate_left(23))
    }

    #[cold]
    #[inline(never)]
    fn tell_touched(&self, object: Object, access: Access) {
        if self.current().is_some() && !self.closing.get() {
            self.touches.set(self.touches.get() + 1);
            self.ask(|chooser| chooser.touched(object, access));
        }
    }

    /// The step that runs began by taking a CPU.
    #[inline]
    pub(crate) fn tell_placed(&self) {
        if self.trace.is_explored() && !self.closing.get() {
            self.ask(|chooser| chooser.touched(RUNQUEUE, Access::Write));
            self.ask(|chooser| chooser.touched(CPUS, Access::Write));
        }
    }

    /// The step that runs began by keeping a CPU that a waiting lane could have had.
    pub(crate) fn tell_kept(&self) {
        self.touch(RUNQUEUE, Access::Write);
    }

    /// The step that runs gives its lane's CPU up.
    #[inline]
    pub(crate) fn tell_left(&self) {
        if self.trace.is_explored() && !self.closing.get() {
            self.ask(|chooser| chooser.touched(CPUS, Access::Write));
        }
    }

    /// This lane cannot go on as long as the object is as it is; what it would do next with it.
    pub(crate) fn tell_blocked(&self, lane: LaneName, object: Object, access: Access) {
        if self.trace.is_explored() {
            self.ask(|chooser| chooser.blocked(lane, object, access));
        }
    }

    /// The step that runs has started or woken this lane.
    #[inline]
    pub(crate) fn tell_woken(&self, lane: LaneName) {
        if self.trace.is_explored() && !self.closing.get() {
            self.ask(|chooser| chooser.woke(lane));
        }
    }

    /// With more lanes than CPUs it matters who runs where.
    pub(crate) fn saw_lanes(&self, lanes: usize) {
        if lanes > self.config().cpus as usize {
            self.placement.set(true);
        }
    }

    /// Whether it mattered so far which lane ran on which CPU. An explorer then takes placements into account.
    #[must_use]
    pub fn placement_matters(&self) -> bool {
        self.placement.get()
    }

    /// Models `smp_processor_id()`: the CPU of the lane that runs, for code whose result depends on it.
    pub fn smp_processor_id(&self) -> u32 {
        self.placement.set(true);
        self.touch(CPUS, Access::Read);
        self.cpu()
    }
}

/// A variable that several lanes reach without an object around it, such as a global counter of the kernel.
///
/// It checks the rule that such a variable is changed under a lock or atomically: lanes that meet in it without a common lock,
/// one of them changing it, are a [`Rule::DataRace`] (a lock set, as Eraser has it). `get` and `set` are plain accesses;
/// `add` is atomic and never a race with another `add`.
pub struct Shared<T> {
    name: &'static str,
    value: Cell<T>,
    /// Who came here without a lock that all so far had in common.
    met: RefCell<Met>,
}

#[derive(Clone, Debug, Default)]
struct Met {
    /// The first lane, as long as it is the only one.
    first: Option<LaneName>,
    /// The first other one that came.
    second: Option<LaneName>,
    /// Somebody changed it since, not atomically.
    written: bool,
    /// Locks that were held at every access since; `None` before that.
    locks: Option<Vec<&'static str>>,
    told: bool,
    /// Of which run this is, see [`Machine::begin`]: what came before a run is over.
    run: u32,
}

impl<T: Copy> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared { name: self.name, value: Cell::new(self.value.get()), met: self.met.clone() }
    }
}

impl<T: Copy> Shared<T> {
    /// A variable with the name that the kernel's source gives it.
    #[must_use]
    pub const fn new(name: &'static str, value: T) -> Shared<T> {
        let met = Met { first: None, second: None, written: false, locks: None, told: false, run: 0 };
        Shared { name, value: Cell::new(value), met: RefCell::new(met) }
    }

    /// Looks at it.
    #[inline]
    pub fn get(&self, m: &Machine) -> T {
        m.touch(Object::named(self.name), Access::Read);
        self.meet(m, false);
        self.value.get()
    }

    /// Changes it.
    #[inline]
    pub fn set(&self, m: &Machine, value: T) {
        m.touch(Object::named(self.name), Access::Write);
        self.meet(m, true);
        self.value.set(value);
    }

    /// Changes it in one go, as an atomic operation does; whoever only adds commutes with others who do.
    #[inline]
    pub fn add(&self, m: &Machine, change: impl FnOnce(T) -> T) {
        m.touch(Object::named(self.name), Access::Add);
        self.value.set(change(self.value.get()));
    }

    /// Changes it in one go and returns the new value (`atomic_inc_return()`).
    #[inline]
    pub fn add_return(&self, m: &Machine, change: impl FnOnce(T) -> T) -> T {
        m.touch(Object::named(self.name), Access::Write);
        self.value.set(change(self.value.get()));
        self.value.get()
    }

    /// The value, for reports: no access of the model.
    #[must_use]
    pub fn peek(&self) -> T {
        self.value.get()
    }

    fn meet(&self, m: &Machine, writes: bool) {
        if m.current().is_none() {
            return;
        }
        let lane = m.lane_name();
        let met = &mut *self.met.borrow_mut();
        if met.run != m.runs.get() {
            *met = Met { run: m.runs.get(), ..Met::default() };
        }
        // As long as one lane is there it needs no lock: it sets the variable up.
        let first = *met.first.get_or_insert(lane);
        if first == lane && met.second.is_none() {
            return;
        }
        let second = *met.second.get_or_insert(lane);
        // And what was set up before may be read by all.
        met.written |= writes;
        let held: Vec<_> = m.held().iter().map(|held| held.lock).collect();
        match &mut met.locks {
            None => met.locks = Some(held),
            Some(locks) => locks.retain(|lock| held.contains(lock)),
        }
        if met.written && !met.told && met.locks.as_ref().is_some_and(Vec::is_empty) {
            met.told = true;
            let other = if lane == first { second } else { first };
            let text = format!(
                "unlocked shared counter: lanes {other} and {lane} meet in {} without a common lock",
                self.name
            );
            m.report(Rule::DataRace, text, None);
        }
    }
}
