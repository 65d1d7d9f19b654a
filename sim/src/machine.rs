//! The machine: configuration, the step counter, and the places where all else hangs together.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::choice::{Chooser, Draws, Lent, Needs, Question};
use crate::lane::{Held, Lane, LaneName, Lanes, Parked, irqs_off, is_atomic, preempt_count};
use crate::lock::Standing;
use crate::lockdep::LockOrder;
use crate::mm::{Buf, Cache, LiveEntry, Memory};
use crate::trace::{Trace, What};
use crate::violation::{Rule, Violation};

/// What kind of machine is simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// CPUs that run lanes at the same time, 1 to 64.
    pub cpus: u32,
    /// `CONFIG_PREEMPT`: a lane in the kernel may be displaced wherever it is not atomic.
    pub preempt: bool,
    /// `SMP_CACHE_BYTES`, to which socket buffers are rounded; a power of two.
    pub smp_cache_bytes: u32,
}

impl Default for Config {
    /// The machine of the vectors: one CPU, no preemption, 64-byte cache lines.
    fn default() -> Config {
        Config { cpus: 1, preempt: false, smp_cache_bytes: 64 }
    }
}

/// One simulated machine. Single-threaded; shared by its lanes through an [`Rc`].
pub struct Machine {
    config: Config,
    pub(crate) step: Cell<u64>,
    pub(crate) current: Cell<Option<Lane>>,
    pub(crate) name: Cell<LaneName>,
    pub(crate) cpu: Cell<u32>,
    /// How deep the lane that runs is in locks: see [`Mode`](crate::lock::Mode).
    pub(crate) nesting: Cell<u64>,
    /// The lock that it took last, if it holds any, and those under which it did, innermost last.
    pub(crate) inner: Cell<Held>,
    pub(crate) outer: RefCell<Vec<Held>>,
    /// What the other lanes hold, beside the lanes, so that a lock changes it while a lane is being looked at.
    pub(crate) parked: RefCell<Vec<Parked>>,
    /// How many of them hold anything.
    pub(crate) holders: Cell<u32>,
    /// Lanes that stand before a lock, in the order in which they came, and how many of them cannot run.
    pub(crate) standing: RefCell<Vec<Standing>>,
    pub(crate) blocked: Cell<u32>,
    /// What was told of touches so far: how many.
    pub(crate) touches: Cell<u64>,
    /// Decided at a point, taken up by the executor.
    pub(crate) next: Cell<Option<Lane>>,
    /// How many lanes want to run, the current one included.
    pub(crate) runnable: Cell<u32>,
    /// The chooser wants to hear who steps after a switch, and to be asked about lanes by name.
    pub(crate) told: Cell<bool>,
    /// The chooser wants to hear of every step.
    pub(crate) watched: Cell<bool>,
    /// With so many runnable lanes somebody could get in at a point in the kernel. None, if the chooser wants to hear of each.
    pub(crate) crowd: Cell<u32>,
    /// The chooser has seen enough.
    pub(crate) stopped: Cell<bool>,
    /// The answers are taken from here, and the chooser is not asked.
    pub(crate) drawn: Cell<bool>,
    draws: Cell<Draws>,
    /// Which CPU a lane runs on mattered: there were more lanes than CPUs, or somebody asked.
    pub(crate) placement: Cell<bool>,
    /// How many things each lane has made that an explorer tells apart.
    pub(crate) made: RefCell<BTreeMap<LaneName, u32>>,
    /// How often a run began.
    pub(crate) runs: Cell<u32>,
    /// The run is over and its remains are being dropped.
    pub(crate) closing: Cell<bool>,
    pub(crate) lanes: RefCell<Lanes>,
    /// Nobody between two runs: all is calm then.
    pub(crate) chooser: RefCell<Option<Lent>>,
    /// Counters, the fault injector, and what all caches share.
    pub mem: Memory,
    /// The general caches behind `kmalloc()`.
    pub(crate) kmalloc: Cache<Buf>,
    /// Who looks at this run.
    pub trace: Trace,
    violations: RefCell<Vec<Violation>>,
    /// Which lock was ever taken under which.
    pub(crate) lock_order: LockOrder,
    /// How often a lane found a lock taken, by its name.
    lock_waits: RefCell<BTreeMap<&'static str, u64>>,
}

/// To clear a map that is empty, as nearly always, takes as long as a step.
pub(crate) fn empty<K, V>(map: &mut BTreeMap<K, V>) {
    if !map.is_empty() {
        map.clear();
    }
}

thread_local! {
    /// What [`Machine::retire`] left.
    static SPARE: Cell<Option<Rc<Machine>>> = const { Cell::new(None) };
}

impl Machine {
    /// A machine at step 0, whose every choice is answered by `chooser`.
    ///
    /// # Panics
    /// If the configuration has no CPU or more than 64, or a cache line that is no power of two.
    #[must_use]
    pub fn new(config: Config, chooser: impl Chooser + 'static) -> Rc<Machine> {
        assert!((1..=64).contains(&config.cpus), "a machine has a CPU, and at most 64");
        assert!(config.smp_cache_bytes.is_power_of_two(), "a cache line is a power of two");
        if let Some(machine) = SPARE.take().filter(|machine| machine.config == config) {
            *machine.chooser.borrow_mut() = Some(chooser.lent());
            machine.serve();
            return machine;
        }
        let machine = Rc::new(Machine {
            lanes: RefCell::new(Lanes::with_cpus(config.cpus)),
            config,
            step: Cell::new(0),
            current: Cell::new(None),
            name: Cell::default(),
            cpu: Cell::new(0),
            nesting: Cell::new(0),
            inner: Cell::default(),
            outer: RefCell::default(),
            parked: RefCell::default(),
            holders: Cell::new(0),
            standing: RefCell::default(),
            blocked: Cell::new(0),
            touches: Cell::new(0),
            next: Cell::new(None),
            runnable: Cell::new(0),
            told: Cell::new(true),
            watched: Cell::new(false),
            crowd: Cell::new(0),
            stopped: Cell::new(false),
            drawn: Cell::new(false),
            draws: Cell::default(),
            placement: Cell::new(false),
            made: RefCell::default(),
            runs: Cell::new(0),
            closing: Cell::new(false),
            chooser: RefCell::new(Some(chooser.lent())),
            mem: Memory::default(),
            kmalloc: Cache::default(),
            trace: Trace::default(),
            violations: RefCell::default(),
            lock_order: LockOrder::default(),
            lock_waits: RefCell::default(),
        });
        machine.serve();
        machine
    }

    /// The next machine of this kind on this thread may have the room of this one, which is done with: an explorer's trial makes
    /// one for each run, and would else spend a fifth of its time on that.
    ///
    /// Whatever hangs on the machine is dropped now. Nothing comes of it while somebody else has the machine, too, or lanes are left.
    pub fn retire(mut self: Rc<Self>) {
        if let Some(machine) = Rc::get_mut(&mut self)
            && machine.lanes.get_mut().all.is_empty()
        {
            machine.clear();
            // A thread that ends has no next one.
            let _ = SPARE.try_with(|spare| spare.set(Some(self)));
        }
    }

    /// As it was made, but for the chooser. Between two runs.
    fn clear(&mut self) {
        self.end_run();
        // With nobody in them; but a lane that has ended leaves its number to the next one.
        self.lanes.get_mut().clear();
        self.step.set(0);
        self.name.take();
        self.cpu.set(0);
        self.placement.set(false);
        self.mem.clear();
        self.kmalloc.clear();
        self.violations.get_mut().clear();
        self.lock_order.clear();
    }

    /// What is not carried from run to run is as it was made. By its fields, so that none is forgotten.
    fn end_run(&self) {
        let Machine {
            current,
            next,
            runnable,
            stopped,
            made,
            runs,
            closing,
            chooser,
            trace,
            lock_waits,
            // Looked for anew when there is a chooser.
            told: _,
            drawn: _,
            draws: _,
            watched: _,
            crowd: _,
            // Empty between two runs.
            lanes: _,
            nesting: _,
            inner: _,
            outer: _,
            parked: _,
            holders: _,
            standing: _,
            blocked: _,
            touches: _,
            // What a machine is, or carries: each of the callers has its own way with them.
            config: _,
            step: _,
            name: _,
            cpu: _,
            placement: _,
            mem: _,
            kmalloc: _,
            violations: _,
            lock_order: _,
        } = self;
        current.set(None);
        next.set(None);
        runnable.set(0);
        stopped.set(false);
        empty(&mut made.borrow_mut());
        runs.set(0);
        closing.set(false);
        *chooser.borrow_mut() = None;
        trace.forget();
        empty(&mut lock_waits.borrow_mut());
    }

    /// This machine once more, between two runs, in the place of one of its kind that is used up, and in its room: its memory,
    /// its step, what was found and learnt. Nobody looks at the copy, and nothing fails in it.
    ///
    /// A search does this for each run, and would else spend a third of its time on memory.
    ///
    /// # Panics
    /// If one of the two has lanes, as a future cannot be copied, or they are of different kinds.
    pub fn copy_over(&self, used: &Machine) {
        let no_lanes = self.lanes.borrow().all.is_empty() && used.lanes.borrow().all.is_empty();
        assert!(no_lanes, "only a machine without lanes can be copied");
        assert_eq!(self.config, used.config, "a machine becomes one of its kind");
        used.end_run();
        used.step.set(self.step.get());
        used.name.set(self.name.get());
        used.cpu.set(self.cpu.get());
        used.placement.set(self.placement.get());
        self.mem.copy_over(&used.mem);
        self.kmalloc.copy_over(&used.kmalloc);
        used.violations.borrow_mut().clone_from(&self.violations.borrow());
        self.lock_order.copy_over(&used.lock_order);
        used.serve();
    }

    /// Does what the chooser needs to be done.
    fn serve(&self) {
        self.drawn.set(false); // A lane that panicked left it.
        let needs = self.ask(|chooser| chooser.needs());
        self.told.set(needs >= Needs::Choices);
        self.watched.set(needs >= Needs::Steps);
        self.look_around();
        self.trace.explore(needs >= Needs::Touches);
    }

    /// What kind of machine this is.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Steps so far; the first step of the first lane is 1.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step.get()
    }

    /// Tells the chooser of every single step from now on ([`Chooser::stepped`]), not only of those after a switch.
    ///
    /// Needed to replay a schedule and to record one; costs a call a step.
    pub fn watch_steps(&self) {
        self.told.set(true);
        self.watched.set(true);
        self.look_around();
    }

    /// The run proper begins: steps count from 1 again, `chooser` answers from here on, and what was found before is no part
    /// of it. For use between two runs.
    pub fn begin(&self, chooser: impl Chooser + 'static) {
        *self.chooser.borrow_mut() = Some(chooser.lent());
        self.step.set(0);
        self.violations.borrow_mut().clear();
        self.runs.set(self.runs.get() + 1);
        self.serve();
    }

    /// `chooser` answers from here on. For what comes behind a run that was explored, and is no part of it.
    pub fn hand_over(&self, chooser: impl Chooser + 'static) {
        *self.chooser.borrow_mut() = Some(chooser.lent());
        self.stopped.set(false);
        self.serve();
    }

    /// Asks or tells the chooser. Nobody is calm.
    #[inline(always)]
    pub(crate) fn ask<R: Default>(&self, f: impl FnOnce(&mut Lent) -> R) -> R {
        match &mut *self.chooser.borrow_mut() {
            Some(chooser) => f(chooser),
            None => R::default(),
        }
    }

    /// Asks the chooser; `n` answers are possible. A question with one answer is not asked.
    pub fn choose(&self, question: Question<'_>, n: u32) -> u32 {
        if n < 2 {
            0
        } else if self.drawn.get() {
            self.draw(question, n)
        } else {
            self.ask(|chooser| chooser.choose(question, n)).min(n - 1)
        }
    }

    /// An answer from what the chooser has lent.
    #[inline(always)]
    pub(crate) fn draw(&self, question: Question<'_>, n: u32) -> u32 {
        let mut draws = self.draws.get();
        let answer = draws.answer(question, n, || self.more_bits());
        self.draws.set(draws);
        answer
    }

    #[cold]
    #[inline(never)]
    fn more_bits(&self) -> u64 {
        self.ask(|chooser| chooser.bits())
    }

    /// As long as lanes run, the machine draws by itself if the chooser lets it.
    #[inline]
    pub(crate) fn borrow_draws(&self) {
        if let Some(draws) = self.ask(|chooser| chooser.draws()) {
            self.draws.set(draws);
            self.drawn.set(true);
        }
    }

    /// The chooser has what is left of the draws that it lent.
    #[inline]
    pub(crate) fn give_back(&self) {
        if self.drawn.replace(false) {
            self.ask(|chooser| chooser.take_back(self.draws.get()));
        }
    }

    /// What the chooser objects to, see [`Chooser::objection`].
    #[must_use]
    pub fn objection(&self) -> Option<String> {
        self.ask(|chooser| chooser.objection())
    }

    /// Notes a broken rule, in the current step and lane.
    pub fn report(&self, rule: Rule, text: String, cause: Option<String>) {
        self.report_for(self.name.get(), rule, text, cause);
    }

    /// Notes a broken rule that was seen afterwards: it broke in this earlier step.
    pub fn report_at(&self, step: u64, rule: Rule, text: String) {
        let violation = Violation { rule, step, lane: LaneName::default(), text, cause: None };
        self.trace.emit(self, || What::Violation(violation.clone()));
        self.violations.borrow_mut().push(violation);
    }

    pub(crate) fn report_for(&self, lane: LaneName, rule: Rule, text: String, cause: Option<String>) {
        let violation = Violation { rule, step: self.step(), lane, text, cause };
        self.trace.emit(self, || What::Violation(violation.clone()));
        self.violations.borrow_mut().push(violation);
    }

    /// How often a lane came to the lock of this name and found it taken, since the machine was made.
    #[must_use]
    pub fn lock_waits(&self, lock: &str) -> u64 {
        self.lock_waits.borrow().get(lock).copied().unwrap_or(0)
    }

    /// The same for all locks together.
    #[must_use]
    pub fn all_lock_waits(&self) -> u64 {
        self.lock_waits.borrow().values().sum()
    }

    pub(crate) fn count_lock_wait(&self, lock: &'static str) {
        *self.lock_waits.borrow_mut().entry(lock).or_default() += 1;
    }

    /// What was found so far, in order.
    #[must_use]
    pub fn violations(&self) -> Ref<'_, Vec<Violation>> {
        self.violations.borrow()
    }

    /// Whether the lane that runs now must not sleep: `in_atomic() || irqs_disabled()`.
    #[inline]
    #[must_use]
    pub fn in_atomic(&self) -> bool {
        is_atomic(self.nesting.get())
    }

    /// Models `kernel/sched.c:__might_sleep()`: called by everything that may sleep, whether it then does or not.
    ///
    /// `place` is the file and function that may sleep, such as `mm/slab.c:kmem_cache_alloc()`.
    ///
    /// # Violations
    /// [`Rule::AtomicSleep`], worded as the kernel words it, with the locks held as its cause.
    #[inline]
    pub fn might_sleep(&self, place: &str) {
        if self.in_atomic() {
            self.report_atomic_sleep(place);
        }
    }

    #[cold]
    fn report_atomic_sleep(&self, place: &str) {
        let taken = |held: &Held| format!("{} was taken in step {}", held.lock, held.step);
        let held = self.held().iter().map(taken).collect::<Vec<_>>().join(", ");
        let nesting = self.nesting.get();
        let (atomic, irqs) = (u32::from(preempt_count(nesting) > 0), u32::from(irqs_off(nesting) > 0));
        let text = format!(
            "Debug: sleeping function called from invalid context at {place}\nin_atomic():{atomic}, irqs_disabled():{irqs}"
        );
        self.report(Rule::AtomicSleep, text, (!held.is_empty()).then_some(held));
    }

    /// Models `BUG()`: the lane dies where it stands, with its locks and memory. `file` and `func` name the place.
    pub async fn bug(&self, file: &'static str, func: &'static str) -> std::convert::Infallible {
        self.trace.emit(self, || What::Bug { file, func });
        self.report(Rule::Bug, format!("kernel BUG at {file}:{func}()"), None);
        self.die().await
    }

    /// Models the end of a lane that followed a NULL pointer in `func`.
    pub async fn oops(&self, func: &'static str) -> std::convert::Infallible {
        self.trace.emit(self, || What::Oops { func });
        let text = format!("Unable to handle kernel NULL pointer dereference in {func}()");
        self.report(Rule::Oops, text, None);
        self.die().await
    }

    /// Models `WARN_ON()`: noted, and the lane goes on.
    pub fn warn_on(&self, file: &'static str, func: &'static str) {
        self.trace.emit(self, || What::WarnOn { file, func });
        self.report(Rule::Warning, format!("Badness in {func} at {file}"), None);
    }

    /// Models `printk()`.
    pub fn printk(&self, text: impl FnOnce() -> String) {
        self.trace.emit(self, || What::Printk { text: text() });
    }

    /// Reports each of these as a [`Rule::Leak`]: called by whoever knows that it should be gone. See [`Machine::live`].
    pub fn report_leaks(&self, leaks: &[LiveEntry]) {
        for entry in leaks {
            let text = format!("leak: {} bytes of {} were never freed", entry.size, entry.site);
            let cause = format!("allocated by lane {} in step {}", entry.lane, entry.step);
            self.report(Rule::Leak, text, Some(cause));
        }
    }
}
