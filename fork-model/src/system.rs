//! The state that the kernel keeps in static variables of `kernel/`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sim::lock::Lock;
use sim::mm::{Kind, Ledger, LiveEntry};
use sim::touch::Access;
use sim::{Cache, Calm, Errno, Machine, rare};
use slab::Slab;
use uevent::kobject::KobjId;
use uevent::{ConfigError, Core};

use crate::design::Design;
use crate::facts::{Fact, Facts};
use crate::ground;
use crate::hook::Place;
use crate::notify::Notify;
use crate::pid::Pids;
use crate::sched::{MmRef, Sighand, Signal, Task, TaskRef, ThreadInfo, User, Work};
use crate::tree::Truth;

/// How the kernel was configured, and which design of the notification it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemConfig {
    /// Configuration of the layers below.
    pub core: uevent::Config,
    /// `CONFIG_NUMA`: a fork copies a memory policy.
    pub numa: bool,
    /// Pages of memory, which fix the limits of tasks: see [`fork_init`](crate::fork::fork_init).
    pub mempages: u64,
    /// The notification. [`Design::check`] is for whoever takes it from a user.
    pub design: Design,
}

impl Default for SystemConfig {
    /// The kernel of the vectors, with 512 MiB, and the patch as posted.
    fn default() -> SystemConfig {
        SystemConfig { core: uevent::Config::default(), numa: false, mempages: 131_072, design: Design::default() }
    }
}

/// One simulated kernel, from the process table down.
pub struct System {
    /// The machine it runs on.
    pub m: Rc<Machine>,
    /// The layer that tells user space.
    pub core: Rc<Core>,
    /// How it was configured.
    pub config: SystemConfig,
    /// The pid bitmap.
    pub pids: Pids,
    /// `tasklist_lock`: guards parents, children, groups and exit states.
    pub tasklist_lock: Lock,
    /// `siglock`. DIFFERENCE: one for all tasks, not one for each `sighand_struct`.
    pub siglock: Lock,
    pub(crate) tasks: Cache<Task>,
    pub(crate) thread_infos: Cache<ThreadInfo>,
    pub(crate) signals: RefCell<Slab<Signal>>,
    pub(crate) sighands: RefCell<Slab<Sighand>>,
    /// Users of each memory map.
    pub(crate) mms: RefCell<Slab<u32>>,
    pub(crate) users: RefCell<Slab<User>>,
    /// `pid_hash` of type PID: the task of each number.
    pub(crate) pid_hash: RefCell<Vec<Option<TaskRef>>>,
    /// Tasks that have a tracer.
    pub(crate) traced: RefCell<Vec<TaskRef>>,
    /// Work of tasks that were born stopped.
    pub(crate) newborn: RefCell<Vec<(TaskRef, Work)>>,
    /// See [`System::fail_helper`].
    helper_failures: RefCell<Vec<(String, Errno)>>,
    /// Whether there are any, so that asking costs a flag.
    helpers_fail: Cell<bool>,
    /// `fork_kobj`, once [`fork_init`](crate::fork::fork_init) has run.
    pub fork_kobj: Cell<Option<KobjId>>,
    /// `child_reaper`: who inherits orphans.
    pub child_reaper: Cell<Option<TaskRef>>,
    /// What is really forked, once somebody wants to know. The kernel keeps no such list.
    pub truth: RefCell<Option<Truth>>,
    /// What really happened, once somebody wants to know.
    pub facts: Facts,
    /// The static variables of designs other than the patch's.
    pub notify: Notify,
    /// Where the design's hook stands.
    pub(crate) place: Place,
    /// The patch as posted, or its repair.
    pub(crate) posted: bool,
    /// `nr_threads`.
    pub nr_threads: Cell<i64>,
    /// `max_threads`.
    pub max_threads: Cell<i64>,
    /// `total_forks`.
    pub total_forks: Cell<u64>,
    /// `process_counts`, summed over CPUs.
    pub process_counts: Cell<i64>,
}

impl System {
    /// A kernel before `start_kernel()`; see [`boot`](crate::init::boot).
    ///
    /// # Errors
    /// [`ConfigError`] for a configuration of which no patched kernel can be built.
    pub fn new(m: Rc<Machine>, config: SystemConfig) -> Result<Rc<System>, ConfigError> {
        Ok(Rc::new(System {
            core: Rc::new(Core::new(m.clone(), config.core.clone())?),
            m,
            pids: Pids::with_fixes(config.core.fixes),
            place: config.design.hook.place(),
            posted: config.design.is_posted_or_repaired(),
            config,
            tasklist_lock: Lock::new("tasklist_lock"),
            siglock: Lock::new("siglock"),
            tasks: Cache::new(Kind::CacheAlloc).named("task_struct"),
            thread_infos: Cache::new(Kind::PageAlloc).named("thread_info"),
            signals: RefCell::default(),
            sighands: RefCell::default(),
            mms: RefCell::default(),
            users: RefCell::default(),
            pid_hash: RefCell::default(),
            traced: RefCell::default(),
            newborn: RefCell::default(),
            helper_failures: RefCell::default(),
            helpers_fail: Cell::new(false),
            fork_kobj: Cell::new(None),
            child_reaper: Cell::new(None),
            truth: RefCell::default(),
            facts: Facts::default(),
            notify: Notify::default(),
            nr_threads: Cell::new(0),
            max_threads: Cell::new(0),
            total_forks: Cell::new(0),
            process_counts: Cell::new(0),
        }))
    }

    /// The same kernel once more, on a machine of its own. For kernels that have booted and not run yet: `None` while there
    /// is what copies would share, such as somebody who waits, messages on their way, programs, or facts.
    ///
    /// # Panics
    /// If the machine has lanes.
    #[must_use]
    pub fn copy(&self) -> Option<Rc<System>> {
        let m = Machine::new(self.m.config().clone(), Calm);
        let mut copy = System::new(m, self.config.clone()).ok()?;
        self.copy_over(&mut copy).then_some(copy)
    }

    /// The same in the place of a kernel of this configuration that is used up, and in its room. False: it cannot be copied,
    /// or somebody still has the other one.
    ///
    /// # Panics
    /// If one of the machines has lanes.
    pub fn copy_over(&self, used: &mut Rc<System>) -> bool {
        let waits = self.signals.borrow().iter().any(|(_, signal)| signal.wait_chldexit.is_some());
        let works = !self.newborn.borrow().is_empty() || self.helpers_fail.get();
        let shares = self.core.shares() || self.notify.shares();
        if waits || works || shares || self.facts.on() || self.truth.borrow().is_some() {
            return false;
        }
        let Some(used) = Rc::get_mut(used) else { return false };
        let Some(core_of_used) = Rc::get_mut(&mut used.core) else { return false };
        assert_eq!(self.config, used.config, "a kernel becomes one of its configuration");
        self.m.copy_over(&used.m);
        self.core.copy_over(core_of_used);
        // By its fields, so that none is forgotten.
        let System {
            m: _,
            core: _,
            config: _,
            pids,
            tasklist_lock,
            siglock,
            tasks,
            thread_infos,
            signals,
            sighands,
            mms,
            users,
            pid_hash,
            traced,
            newborn,
            helper_failures,
            helpers_fail,
            fork_kobj,
            child_reaper,
            truth,
            facts,
            notify,
            place: _,
            posted: _,
            nr_threads,
            max_threads,
            total_forks,
            process_counts,
        } = used;
        self.pids.copy_over(pids);
        tasklist_lock.clone_from(&self.tasklist_lock);
        siglock.clone_from(&self.siglock);
        self.tasks.copy_over(tasks);
        self.thread_infos.copy_over(thread_infos);
        signals.clone_from(&self.signals);
        sighands.clone_from(&self.sighands);
        mms.clone_from(&self.mms);
        users.clone_from(&self.users);
        pid_hash.clone_from(&self.pid_hash);
        traced.clone_from(&self.traced);
        newborn.get_mut().clear();
        helper_failures.get_mut().clear();
        helpers_fail.set(false);
        fork_kobj.set(self.fork_kobj.get());
        child_reaper.set(self.child_reaper.get());
        *truth.get_mut() = None;
        facts.forget();
        self.notify.copy_over(notify);
        nr_threads.set(self.nr_threads.get());
        max_threads.set(self.max_threads.get());
        total_forks.set(self.total_forks.get());
        process_counts.set(self.process_counts.get());
        true
    }

    /// Reads or changes a task that the caller holds a reference to.
    ///
    /// # Panics
    /// If it was freed. Where that can happen in the kernel, the model uses [`System::task_or_gone`].
    ///
    /// An explorer takes it for a change of the whole task: see [`System::fixed`] and its like.
    #[inline(always)]
    pub fn task<R>(&self, task: TaskRef, f: impl FnOnce(&mut Task) -> R) -> R {
        self.tasks.with(&self.m, task, "task_struct", f).expect("a reference is held")
    }

    /// Makes a memory map with one user.
    ///
    /// An explorer is told nothing of these: who is the last user is only seen in the trace.
    #[inline(always)]
    pub fn new_mm(&self) -> MmRef {
        MmRef(index(self.mms.borrow_mut().insert(1)))
    }

    /// The task of a pid. Models `find_task_by_pid()`; needs `tasklist_lock`.
    #[must_use]
    pub fn find_task_by_pid(&self, pid: i32) -> Option<TaskRef> {
        self.m.touch(ground::PID_HASH.nth(pid.cast_unsigned()), Access::Read);
        self.pid_hash.borrow().get(usize::try_from(pid).ok()?).copied().flatten()
    }

    /// How many task structures exist, the idle task included.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Notes facts from now on, or no longer: see [`Facts`].
    pub fn record_facts(&self, on: bool) {
        self.facts.record(on);
        self.core.watch_yields(on);
        self.core.watch_losses(on);
    }

    /// Notes a fact of this step, if somebody wants to know.
    #[inline(always)]
    pub(crate) fn note(&self, fact: impl FnOnce() -> Fact) {
        if self.facts.on() {
            self.noted(fact);
        }
    }

    /// Out of line, so that a fact that nobody wants is a flag and a jump.
    #[cold]
    #[inline(never)]
    fn noted(&self, fact: impl FnOnce() -> Fact) {
        let fact = fact();
        if let Some(pid) = fact.about() {
            self.m.touch(ground::FACTS.nth(pid.cast_unsigned()), Access::Write);
        }
        self.facts.push(self.m.step(), fact);
    }

    /// Sets `last_pid` in a run, as checkpoint/restore tools do.
    pub fn set_last_pid(&self, pid: i32) {
        self.m.touch(ground::LAST_PID, Access::Write);
        self.pids.last_pid.set(pid);
    }

    /// The run is over: whoever was born stopped and never set free will not run. Their work may hold what holds this kernel,
    /// which then would never be dropped, nor would those who look at its trace.
    pub fn forget_the_stopped(&self) {
        self.newborn.borrow_mut().clear();
    }

    /// From now on a helper of `copy_process()` fails whenever it is called.
    pub fn fail_helper(&self, func: impl Into<String>, errno: Errno) {
        self.helper_failures.borrow_mut().push((func.into(), errno));
        self.helpers_fail.set(true);
    }

    /// From now on no helper fails.
    pub fn heal_helpers(&self) {
        self.helper_failures.borrow_mut().clear();
        self.helpers_fail.set(false);
    }

    /// Calls a function that the model does not open: traced, and failing if [`System::fail_helper`] says so.
    ///
    /// # Errors
    /// What [`System::fail_helper`] asks for.
    #[inline(always)]
    pub(crate) fn helper(&self, func: &'static str) -> Result<(), Errno> {
        let failure = self.helper_failure(func);
        self.m.call(func, Vec::new, Some(failure.map_or(0, Errno::rc)));
        failure.map_or(Ok(()), Err)
    }

    /// Calls several of them, one after the other, up to one that fails: what it answers, and what stands beside it.
    ///
    /// # Errors
    /// Those of [`System::helper`].
    #[inline(always)]
    pub(crate) fn helpers<L: Copy>(&self, funcs: &[(&'static str, L)]) -> Result<(), (Errno, L)> {
        if !rare(self.helpers_fail.get()) && !self.m.trace.is_on() {
            return Ok(());
        }
        funcs.iter().try_for_each(|(func, label)| self.helper(func).map_err(|error| (error, *label)))
    }

    #[inline(always)]
    pub(crate) fn helper_failure(&self, func: &str) -> Option<Errno> {
        if !rare(self.helpers_fail.get()) {
            return None;
        }
        self.helper_failures.borrow().iter().find(|(name, _)| name == func).map(|(_, errno)| *errno)
    }

    /// All object caches, for leak checks.
    fn ledgers(&self) -> [&dyn Ledger; 4] {
        let [skbs, socks] = self.core.ledgers();
        [skbs, socks, &self.tasks, &self.thread_infos]
    }

    /// Everything that is still allocated, oldest first.
    #[must_use]
    pub fn live(&self) -> Vec<LiveEntry> {
        self.m.live(&self.ledgers())
    }

    /// What is allocated now and was not at `before`, oldest first.
    #[must_use]
    pub fn live_since(&self, before: &[LiveEntry]) -> Vec<LiveEntry> {
        let last = before.iter().map(|entry| entry.seq).max().unwrap_or(0);
        self.m.live_since(&self.ledgers(), last)
    }
}

pub(crate) fn index(key: usize) -> u32 {
    u32::try_from(key).expect("fewer objects than 2^32")
}
