//! `kmalloc()`, object caches, and the ledger behind them.
//!
//! Models `mm/slab.c` (Linux 2.6.11) as far as its callers can tell: what fails, what is reused first, what a stale
//! pointer finds. DIFFERENCE: no slab pages, colours or per-CPU arrays; a cache never runs out unless a fault is asked for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Serialize;

use super::fault::Failed;
use super::{Faults, Gfp};
use crate::choice::Question;
use crate::lane::{LaneName, Point};
use crate::machine::{Machine, empty};
use crate::rare;
use crate::touch::{Access, Object};
use crate::trace::What;
use crate::violation::Rule;

mod buf;
mod touched;

pub use buf::{Buf, c_str};
pub use touched::Part;

/// What a freed object is filled with (`POISON_FREE`): a 32-bit field of it reads 0x6b6b6b6b = 1802201963.
pub const POISON: u8 = 0x6b;

/// What fresh memory is filled with (`POISON_INUSE`).
pub const POISON_INUSE: u8 = 0x5a;

/// A place in the code that allocates, by the name that faults, tables and vectors use: `alloc_skb.data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site(pub &'static str);

/// From which allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `kmalloc()`.
    #[default]
    Kmalloc,
    /// `kmem_cache_alloc()`.
    CacheAlloc,
    /// `get_zeroed_page()`, `__get_free_pages()`.
    PageAlloc,
}

/// The general cache that serves `kmalloc(size)`; `None` beyond the largest, 128 KiB.
///
/// Models `include/linux/kmalloc_sizes.h` for 4 KiB pages and 64-byte cache lines.
#[must_use]
pub fn size_class(size: u32) -> Option<u32> {
    match size {
        129..=192 => Some(192),
        0..=131_072 => Some(size.next_power_of_two().max(32)),
        _ => None,
    }
}

/// A pointer to an object of a [`Cache`], with the generation in which it was valid.
pub struct Handle<T> {
    index: u32,
    /// Not 0, so that an `Option` of a handle is no larger than a handle: a task has five of them.
    generation: NonZeroU32,
    of: std::marker::PhantomData<fn() -> T>,
}

// Written out: the derives would ask the same of T.
impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Handle<T> {}
impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}
impl<T> Eq for Handle<T> {}
impl<T> std::fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

impl<T> Handle<T> {
    /// A handle that was never valid, to stand where a pointer will be stored later.
    #[must_use]
    pub const fn dangling() -> Handle<T> {
        Handle { index: u32::MAX, generation: NonZeroU32::MAX, of: std::marker::PhantomData }
    }
}

/// The object behind a handle is gone: the access is a use after free, and was reported as one.
///
/// DIFFERENCE: the kernel would read poison, or the fields of whoever has the memory by now; here nothing is read, and the
/// caller says what stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use after free")]
pub struct Stale;

/// A piece of memory, and who allocated it. Freed memory keeps what was in it until it is used again.
struct Entry<T> {
    seq: u64,
    step: u64,
    site: &'static str,
    lane: LaneName,
    size: u32,
    /// That of the handle to it; `None`: it is free.
    generation: Option<NonZeroU32>,
    /// While it is free: the one that was freed before it.
    next_free: Option<u32>,
    value: T,
}

impl<T: Clone> Clone for Entry<T> {
    fn clone(&self) -> Entry<T> {
        Entry { value: self.value.clone(), ..*self }
    }

    /// In the room of another one, see [`Cache::copy_over`].
    fn clone_from(&mut self, source: &Entry<T>) {
        let Entry { seq, step, site, lane, size, generation, next_free, value } = self;
        (*seq, *step, *site, *lane, *size) = (source.seq, source.step, source.site, source.lane, source.size);
        (*generation, *next_free) = (source.generation, source.next_free);
        value.clone_from(&source.value);
    }
}

/// Who freed the last object of a slot.
#[derive(Clone, Copy, Default)]
struct Grave {
    /// That of the object; `None`: nothing was freed here.
    generation: Option<NonZeroU32>,
    step: u64,
    lane: LaneName,
    by: &'static str,
}

/// So many that there is one for the slot. Once a slot: apart, so that a free is small.
#[cold]
#[inline(never)]
fn first_grave(graves: &mut Vec<Grave>, slot: usize, grave: Grave) {
    graves.resize(slot, Grave::default());
    graves.push(grave);
}

/// One object that is still allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveEntry {
    /// Its number among all allocations of the run.
    pub seq: u64,
    /// Where it was allocated.
    pub site: &'static str,
    /// Bytes asked for.
    pub size: u32,
    /// By which lane.
    pub lane: LaneName,
    /// In which step.
    pub step: u64,
}

/// Anything that can list what is still allocated in it.
pub trait Ledger {
    /// Appends what is still allocated and was so after the allocation of this number.
    fn list_since(&self, seq: u64, out: &mut Vec<LiveEntry>);
}

/// Totals of a run, for costs: take them before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Allocations that succeeded.
    pub allocs: u64,
    /// Allocations that failed.
    pub failed: u64,
    /// Bytes asked for by those that succeeded.
    pub bytes: u64,
    /// Objects freed.
    pub frees: u64,
}

/// What all caches of a machine share: numbers, totals, faults.
#[derive(Default)]
pub struct Memory {
    /// Allocations tried so far.
    seq: Cell<u64>,
    failed: Cell<u64>,
    bytes: Cell<u64>,
    frees: Cell<u64>,
    faulty: Cell<bool>,
    faults: RefCell<Faults>,
}

impl Memory {
    /// Totals so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let failed = self.failed.get();
        Counters { allocs: self.seq.get() - failed, failed, bytes: self.bytes.get(), frees: self.frees.get() }
    }

    /// Counts an allocation; returns its number.
    #[inline]
    fn count_alloc(&self, size: u32, ok: bool) -> u64 {
        let seq = self.seq.get() + 1;
        self.seq.set(seq);
        if ok {
            self.bytes.set(self.bytes.get() + u64::from(size));
        } else {
            self.failed.set(self.failed.get() + 1);
        }
        seq
    }

    /// The same numbers and totals in the place of others. Nothing fails there.
    pub(crate) fn copy_over(&self, used: &Memory) {
        let Memory { seq, failed, bytes, frees, faulty, faults } = used;
        seq.set(self.seq.get());
        failed.set(self.failed.get());
        bytes.set(self.bytes.get());
        frees.set(self.frees.get());
        if faulty.replace(false) || faults.borrow().has_any() {
            faults.take();
        }
    }

    /// Nothing was allocated yet, and nothing fails.
    pub(crate) fn clear(&mut self) {
        let Memory { seq, failed, bytes, frees, faulty, faults } = self;
        [seq, failed, bytes, frees].iter().for_each(|total| total.set(0));
        if faulty.replace(false) || faults.get_mut().has_any() {
            faults.take();
        }
    }

    /// Changes what fails from now on.
    pub fn faults<R>(&self, f: impl FnOnce(&mut Faults) -> R) -> R {
        let faults = &mut self.faults.borrow_mut();
        let result = f(faults);
        self.faulty.set(faults.is_active());
        result
    }
}

/// A cache of objects of one type. Models `kmem_cache_t`.
pub struct Cache<T> {
    kind: Kind,
    /// What an explorer calls its objects, see [`Machine::touch`].
    object: Object,
    slots: RefCell<Slots<T>>,
    /// The object that was freed last: it is the first to be used again.
    first_free: Cell<Option<u32>>,
    /// How many objects are not free.
    live: Cell<usize>,
    /// The generation of the next object: one number for all slots, so that a new object need not ask its slot's grave.
    generation: Cell<NonZeroU32>,
    /// What an explorer calls objects that were allocated while it listened.
    names: RefCell<BTreeMap<NonZeroU32, Object>>,
}

/// The memory of a cache. Graves are apart: most slots of a large machine have none.
struct Slots<T> {
    objects: Vec<Entry<T>>,
    graves: Vec<Grave>,
}

impl<T: Clone> Cache<T> {
    /// The same objects in the place of those of a cache that is used up, and in its room.
    pub fn copy_over(&self, used: &Cache<T>) {
        let Cache { kind: _, object: _, slots, first_free, live, generation, names } = used;
        let (mut slots, from) = (slots.borrow_mut(), self.slots.borrow());
        slots.objects.clone_from(&from.objects);
        slots.graves.clone_from(&from.graves);
        first_free.set(self.first_free.get());
        live.set(self.live.get());
        generation.set(self.generation.get());
        // Only an explorer gives any.
        let (mut names, from) = (names.borrow_mut(), self.names.borrow());
        if !names.is_empty() || !from.is_empty() {
            names.clone_from(&from);
        }
    }
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache::new(Kind::Kmalloc)
    }
}

impl<T> Cache<T> {
    /// An empty cache.
    #[must_use]
    pub const fn new(kind: Kind) -> Cache<T> {
        Cache {
            kind,
            object: Object::named("kmem_cache"),
            slots: RefCell::new(Slots { objects: Vec::new(), graves: Vec::new() }),
            first_free: Cell::new(None),
            live: Cell::new(0),
            generation: Cell::new(NonZeroU32::MIN),
            names: RefCell::new(BTreeMap::new()),
        }
    }

    /// Nothing was allocated yet.
    pub(crate) fn clear(&mut self) {
        let Cache { kind: _, object: _, slots, first_free, live, generation, names } = self;
        let Slots { objects, graves } = slots.get_mut();
        objects.clear();
        graves.clear();
        first_free.set(None);
        live.set(0);
        generation.set(NonZeroU32::MIN);
        empty(names.get_mut());
    }

    /// The same cache under a name of its own, by which an explorer tells its objects from those of other caches.
    #[must_use]
    pub const fn named(mut self, name: &str) -> Cache<T> {
        self.object = Object::named(name);
        self
    }

    /// How many objects are allocated.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.get()
    }

    /// Whether nothing is allocated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Allocates an object of `size` bytes, as the kernel counts them, and puts `value` into it. A point.
    ///
    /// `None` when a fault was asked for. May sleep with [`Gfp::WAIT`].
    ///
    /// # Violations
    /// [`Rule::AtomicSleep`] when it may sleep and must not.
    #[inline]
    pub fn alloc(
        &self,
        m: &Machine,
        site: Site,
        size: u32,
        gfp: Gfp,
        value: T,
    ) -> impl Future<Output = Option<Handle<T>>> {
        self.alloc_with(m, site, size, gfp, || value)
    }

    /// The same, with a value that is made only if the allocation succeeds.
    ///
    /// Hot code writes [`alloc!`](crate::alloc), which makes no future where nobody could get in.
    pub async fn alloc_with(
        &self,
        m: &Machine,
        site: Site,
        size: u32,
        gfp: Gfp,
        value: impl FnOnce() -> T,
    ) -> Option<Handle<T>> {
        m.alloc_point(gfp).await;
        self.alloc_now(m, site, size, gfp, value)
    }

    /// What of an allocation comes behind its point.
    #[doc(hidden)]
    #[inline(always)]
    pub fn alloc_now(
        &self,
        m: &Machine,
        site: Site,
        size: u32,
        gfp: Gfp,
        value: impl FnOnce() -> T,
    ) -> Option<Handle<T>> {
        let seq = self.try_alloc(m, site, size, gfp)?;
        Some(self.insert(m, seq, site.0, size, value))
    }

    /// The number of the allocation, if it succeeds.
    #[inline]
    fn try_alloc(&self, m: &Machine, site: Site, size: u32, gfp: Gfp) -> Option<u64> {
        let ok = !rare(m.mem.faulty.get()) || !m.should_fail(site.0, size, gfp);
        let seq = m.mem.count_alloc(size, ok);
        m.trace.emit(m, || What::Alloc { seq, site: site.0, kind: self.kind, size, gfp, ok });
        ok.then_some(seq)
    }

    /// An object in static memory: it was never allocated, and is nobody's leak.
    pub fn place_static(&self, m: &Machine, value: T) -> Handle<T> {
        self.insert(m, 0, "static", 0, || value)
    }

    fn insert(&self, m: &Machine, seq: u64, site: &'static str, size: u32, value: impl FnOnce() -> T) -> Handle<T> {
        let value = value(); // Before the borrow: it may be a copy of an object of this cache.
        self.insert_with(m, (seq, site, size), |free| match free {
            Some(old) => {
                *old = value;
                None
            }
            None => Some(value),
        })
    }

    /// Takes the object that was freed last, which `put` overwrites, else a new one, which it makes.
    #[inline]
    fn insert_with(
        &self,
        m: &Machine,
        (seq, site, size): (u64, &'static str, u32),
        put: impl FnOnce(Option<&mut T>) -> Option<T>,
    ) -> Handle<T> {
        let objects = &mut self.slots.borrow_mut().objects;
        let generation = self.generation.get();
        self.generation.set(generation.checked_add(1).unwrap_or(NonZeroU32::MIN));
        self.live.set(self.live.get() + 1);
        let (step, lane) = (m.step(), m.lane_name());
        let index = match self.first_free.get() {
            Some(index) => {
                let object = &mut objects[index as usize];
                self.first_free.set(object.next_free);
                (object.seq, object.step, object.site, object.lane, object.size) = (seq, step, site, lane, size);
                object.generation = Some(generation);
                put(Some(&mut object.value));
                index
            }
            None => {
                let value = put(None).expect("it makes one");
                let generation = Some(generation);
                objects.push(Entry { seq, step, site, lane, size, generation, next_free: None, value });
                u32::try_from(objects.len() - 1).expect("fewer objects than 2^32")
            }
        };
        let handle = Handle { index, generation, of: std::marker::PhantomData };
        self.name(m, handle);
        handle
    }

    /// Reads or changes the object.
    ///
    /// # Errors
    /// [`Stale`] if it was freed, which is also reported as [`Rule::UseAfterFree`]; `who` says who looked, and at what.
    #[inline]
    pub fn with<R>(&self, m: &Machine, handle: Handle<T>, who: &str, f: impl FnOnce(&mut T) -> R) -> Result<R, Stale> {
        self.touch(m, handle, Access::Write);
        self.get(m, handle, who, f)
    }

    #[inline(always)]
    fn get<R>(&self, m: &Machine, handle: Handle<T>, who: &str, f: impl FnOnce(&mut T) -> R) -> Result<R, Stale> {
        match self.slots.borrow_mut().objects.get_mut(handle.index as usize) {
            Some(object) if object.generation == Some(handle.generation) => return Ok(f(&mut object.value)),
            _ => {}
        }
        self.report_stale(m, handle, Rule::UseAfterFree, "use after free", who);
        Err(Stale)
    }

    /// Reads or changes two objects at once; `None` if they are one, or one of them was freed: nothing is reported of it.
    #[inline]
    fn with_both<R>(
        &self,
        m: &Machine,
        (one, other): (Handle<T>, Handle<T>),
        f: impl FnOnce(&mut T, &mut T) -> R,
    ) -> Option<R> {
        if m.is_explored() {
            m.touch(self.object.nth(one.index), Access::Write);
            m.touch(self.object.nth(other.index), Access::Write);
        }
        let objects = &mut self.slots.borrow_mut().objects;
        let [first, second] = objects.get_disjoint_mut([one.index as usize, other.index as usize]).ok()?;
        let there = first.generation == Some(one.generation) && second.generation == Some(other.generation);
        there.then(|| f(&mut first.value, &mut second.value))
    }

    /// Looks at the object, as [`Cache::with`] does, and changes nothing: for an explorer, two lanes may look in any order.
    ///
    /// # Errors
    /// Those of [`Cache::with`].
    #[inline]
    pub fn read<R>(&self, m: &Machine, handle: Handle<T>, who: &str, f: impl FnOnce(&T) -> R) -> Result<R, Stale> {
        self.touch(m, handle, Access::Read);
        match self.slots.borrow().objects.get(handle.index as usize) {
            Some(object) if object.generation == Some(handle.generation) => return Ok(f(&object.value)),
            _ => {}
        }
        self.report_stale(m, handle, Rule::UseAfterFree, "use after free", who);
        Err(Stale)
    }

    /// Looks at the object if it is still there; asking is no use.
    pub fn peek<R>(&self, handle: Handle<T>, f: impl FnOnce(&T) -> R) -> Option<R> {
        let slots = self.slots.borrow();
        slots
            .objects
            .get(handle.index as usize)
            .filter(|object| object.generation == Some(handle.generation))
            .map(|object| f(&object.value))
    }

    /// Frees the object; what was in it stays there until the memory is used again. `by` is the function that frees.
    ///
    /// False if it was freed before, which is reported as [`Rule::DoubleFree`].
    #[inline]
    pub fn free(&self, m: &Machine, handle: Handle<T>, by: &'static str) -> bool {
        self.touch(m, handle, Access::Write);
        let mut slots = self.slots.borrow_mut();
        let Slots { objects, graves } = &mut *slots;
        let object = match objects.get_mut(handle.index as usize) {
            Some(object) if object.generation == Some(handle.generation) => object,
            _ => {
                drop(slots);
                self.report_stale(m, handle, Rule::DoubleFree, "double free", by);
                return false;
            }
        };
        object.generation = None;
        object.next_free = self.first_free.replace(Some(handle.index));
        self.live.set(self.live.get() - 1);
        let grave = || Grave { generation: Some(handle.generation), step: m.step(), lane: m.lane_name(), by };
        match graves.get_mut(handle.index as usize) {
            Some(old) => *old = grave(), // Made in its place.
            None => first_grave(graves, handle.index as usize, grave()),
        }
        m.mem.frees.set(m.mem.frees.get() + 1);
        m.trace.emit(m, || What::Free { seq: object.seq, site: Some(object.site), by });
        true
    }

    #[cold]
    #[inline(never)]
    fn report_stale(&self, m: &Machine, handle: Handle<T>, rule: Rule, what: &str, who: &str) {
        let slots = self.slots.borrow();
        let cause = slots.graves.get(handle.index as usize).map(|grave| {
            let reused =
                if grave.generation == Some(handle.generation) { "" } else { "; reused and freed again since" };
            format!("freed by lane {} in step {} ({}){reused}", grave.lane, grave.step, grave.by)
        });
        m.report(rule, format!("{what}: {who}"), cause);
    }
}

impl<T> Ledger for Cache<T> {
    fn list_since(&self, seq: u64, out: &mut Vec<LiveEntry>) {
        let entry = |object: &Entry<T>| LiveEntry {
            seq: object.seq,
            site: object.site,
            size: object.size,
            lane: object.lane,
            step: object.step,
        };
        // Static memory has the number 0.
        let is_leak = |object: &&Entry<T>| object.generation.is_some() && object.seq > seq;
        out.extend(self.slots.borrow().objects.iter().filter(is_leak).map(entry));
    }
}

/// [`Cache::alloc_with`], awaited. A future is made only where somebody could get in.
#[macro_export]
macro_rules! alloc {
    ($cache:expr, $m:expr, $site:expr, $size:expr, $gfp:expr, $value:expr) => {
        if $m.passes_to_alloc($gfp) {
            $cache.alloc_now($m, $site, $size, $gfp, $value)
        } else {
            $cache.alloc_with($m, $site, $size, $gfp, $value).await
        }
    };
}

impl Machine {
    /// The point of an allocation is passed: it may sleep if it wants to, and nobody could get in.
    #[doc(hidden)]
    #[inline(always)]
    #[must_use]
    pub fn passes_to_alloc(&self, gfp: Gfp) -> bool {
        !rare(gfp.may_wait() && self.in_atomic()) && self.passes()
    }

    /// The point of an allocation, which may sleep if `gfp` says so.
    fn alloc_point(&self, gfp: Gfp) -> Point<'_> {
        if gfp.may_wait() {
            self.might_sleep("mm/slab.c:cache_alloc_debugcheck_before()");
        }
        self.point()
    }

    /// Everything still allocated in these caches and in `kmalloc()`, oldest first.
    #[must_use]
    pub fn live(&self, caches: &[&dyn Ledger]) -> Vec<LiveEntry> {
        self.live_since(caches, 0)
    }

    /// What of it was allocated after the allocation of this number.
    #[must_use]
    pub fn live_since(&self, caches: &[&dyn Ledger], seq: u64) -> Vec<LiveEntry> {
        let mut live = Vec::new();
        self.kmalloc.list_since(seq, &mut live);
        caches.iter().for_each(|cache| cache.list_since(seq, &mut live));
        live.sort_unstable_by_key(|entry| entry.seq);
        live
    }

    #[cold]
    fn should_fail(&self, site: &'static str, size: u32, gfp: Gfp) -> bool {
        self.mem.faults.borrow().touch(self, site);
        let ask = || self.choose(Question::Fault(site), 2) == 1;
        let counters = self.mem.counters();
        let live = counters.allocs - counters.frees;
        let fails = self.mem.faults.borrow_mut().should_fail((site, size, gfp), live, ask);
        if fails {
            self.mem.faults.borrow_mut().note(Failed { step: self.step(), site, gfp });
        }
        self.mem.faulty.set(self.mem.faults.borrow().is_active());
        fails
    }
}
