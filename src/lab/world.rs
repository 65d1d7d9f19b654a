//! A booted kernel with its listeners: where every run begins.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fork_model::design::Delivery;
use fork_model::fork::{do_fork, flags};
use fork_model::init::{boot, boot_early, reap_orphans};
use fork_model::notify::cbus::{NODE, work_off};
use fork_model::notify::relay::SIGQUEUE;
use fork_model::notify::start_kernel_threads;
use fork_model::tree::Truth;
use fork_model::{System, SystemConfig, TaskRef};
use sim::lock::WaitQueue;
use sim::mm::LiveEntry;
use sim::touch::{Access, Object};
use sim::{Calm, Chooser, Machine};

use crate::lab::listen::{self, Listener, open};
use crate::scenario_file::{self, Boot};

/// [`World::forks`], as an explorer calls it: for listeners that count forks.
pub(crate) const FORKS: Object = Object::named("forks");

/// One simulated kernel after its boot, shared by the lanes of a run.
pub struct World {
    /// The kernel.
    pub sys: Rc<System>,
    /// Its first process.
    pub init: TaskRef,
    /// The tasks that the run begins with, in the order of [`Setup::roots`]. They sleep.
    pub roots: Vec<TaskRef>,
    /// Who listens, in the order in which they bound.
    pub listeners: Vec<Listener>,
    /// What the tasks did.
    pub done: Done,
    /// What was allocated before the run proper.
    pub before: Rc<[LiveEntry]>,
    /// Forks tried in the run proper.
    pub forks: Cell<u64>,
    /// Listeners that read at a pace, or act after so many forks, look up here when there was one.
    pub(crate) paced: WaitQueue,
}

/// Counts what the tasks of a run did.
#[derive(Default)]
pub struct Done {
    /// Exits.
    pub exits: Cell<u64>,
    /// Execs.
    pub execs: Cell<u64>,
    /// Children waited for.
    pub waits: Cell<u64>,
    /// Forks that failed, by error.
    pub fork_errors: RefCell<Vec<(sim::Errno, u64)>>,
}

impl Done {
    /// One more.
    pub fn count(counter: &Cell<u64>) {
        counter.set(counter.get() + 1);
    }

    /// One more fork that failed.
    pub fn fork_failed(&self, errno: sim::Errno) {
        let mut errors = self.fork_errors.borrow_mut();
        match errors.iter_mut().find(|(known, _)| *known == errno) {
            Some((_, count)) => *count += 1,
            None => errors.push((errno, 1)),
        }
    }
}

/// How the kernel is built before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The machine.
    pub machine: sim::Config,
    /// The kernel.
    pub system: SystemConfig,
    /// How far it boots.
    pub boot: Boot,
    /// `pid_max`.
    pub pid_max: i32,
    /// `last_pid` before the first task is made.
    pub last_pid: i32,
    /// Children of init with which the run begins: with this pid, or with the next one.
    pub roots: Vec<Option<i32>>,
    /// Who listens.
    pub listeners: Vec<scenario_file::Listener>,
}

/// A machine that is too small for the tasks with which the run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fork {n} of the {of} tasks at boot returns {errno}", n = .made + 1)]
pub struct NoRoom {
    /// How many tasks were made.
    pub made: usize,
    /// How many there are.
    pub of: usize,
    /// What the next fork returned.
    pub errno: sim::Errno,
}

impl World {
    /// Boots a kernel and binds its listeners, all of it calmly and outside of the run proper.
    ///
    /// # Errors
    /// [`NoRoom`] if there are more tasks than pids or memory for them.
    ///
    /// # Panics
    /// If the configuration cannot be built; a [`ScenarioFile`](scenario_file::ScenarioFile) refuses such a kernel.
    pub fn new(setup: &Setup) -> Result<World, NoRoom> {
        let machine = Machine::new(setup.machine.clone(), Calm);
        let sys = System::new(machine, setup.system.clone()).expect("the specification was checked");
        let init = alone(&sys, {
            let (sys, early) = (sys.clone(), setup.boot == Boot::Early);
            async move {
                let booted = if early { boot_early(&sys).await } else { boot(&sys).await };
                booted.expect("nothing fails before a fault is asked for, and a kernel has room for five tasks")
            }
        });
        sys.pids.pid_max.set(setup.pid_max);
        let roots = make_roots(&sys, init, setup)?;
        // Only now: what was forked before is nobody's news.
        if matches!(setup.system.design.delivery, Delivery::Deferred | Delivery::Batched) {
            let s = sys.clone();
            alone(&sys, async move { work_off(&s).await });
        }
        let listeners = setup.listeners.iter().enumerate().map(|(i, spec)| open(&sys, i, spec)).collect();
        let (done, before, paced) = (Done::default(), sys.live().into(), WaitQueue::default());
        Ok(World { init, roots, listeners, done, before, paced, sys, forks: Cell::new(0) })
    }

    /// The same world once more, before its run: as if it had been made anew. `None` if its kernel has what copies would share.
    #[must_use]
    pub fn copy(&self) -> Option<World> {
        Some(World {
            sys: self.sys.copy()?,
            init: self.init,
            roots: self.roots.clone(),
            listeners: self.listeners.clone(),
            done: Done::default(),
            before: self.before.clone(),
            forks: Cell::new(0),
            paced: WaitQueue::default(),
        })
    }

    /// The same in the place of a copy of it that has run, and in its room. False, and the other one is of no use any more: its
    /// kernel is still in somebody's hands.
    pub fn copy_over(&self, used: &mut World) -> bool {
        let World { sys, init, roots, listeners, done, before, forks, paced } = used;
        *init = self.init;
        roots.clone_from(&self.roots);
        self.listeners.iter().zip(listeners).for_each(|(listener, used)| listener.copy_over(used));
        *done = Done::default();
        before.clone_from(&self.before);
        forks.set(0);
        *paced = WaitQueue::default();
        self.sys.copy_over(sys)
    }

    /// The run proper begins: listeners listen, init reaps, and what is really forked is noted from here on.
    pub fn begin(self: &Rc<World>, chooser: impl Chooser + 'static) {
        self.sys.m.spawn("init", reap_orphans(self.sys.clone(), self.init));
        listen::start(self);
        start_kernel_threads(&self.sys);
        // Until each of them waits: how they got there is no part of the run.
        self.sys.m.settle();
        self.sys.m.begin(chooser);
        *self.sys.truth.borrow_mut() = Some(Truth::default());
        self.sys.core.fork_outcomes.take();
        self.sys.core.env_strings.take();
    }

    /// A fork was tried, and an event may have been sent: listeners that count them look up.
    pub fn tick(&self) {
        // Without a sleeper nobody looks at the count later than now: additions commute.
        self.sys.m.touch(FORKS, if self.paced.is_empty() { Access::Add } else { Access::Write });
        self.forks.set(self.forks.get() + 1);
        self.paced.wake_up(&self.sys.m);
    }

    /// Reports what an event took and nobody gave back. Tables that have grown, and pages of the bitmap, stay.
    pub fn report_leaks(&self) {
        let of_events = |entry: &LiveEntry| {
            let mut sites = uevent::site::ALL.iter().filter(|site| **site != uevent::site::PID_HASH);
            sites.any(|site| site.0 == entry.site) || [NODE, SIGQUEUE].iter().any(|site| site.0 == entry.site)
        };
        let mut leaks = self.sys.live_since(&self.before);
        leaks.retain(of_events);
        self.sys.m.report_leaks(&leaks);
    }

    /// Everybody reads what is left, in order.
    pub fn drain(self: &Rc<World>) {
        let world = self.clone();
        alone(&self.sys, async move {
            for i in 0..world.listeners.len() {
                listen::drain(&world, i).await;
            }
        });
    }
}

/// Runs one lane to its end, outside of the run proper.
pub(crate) fn alone<R: 'static>(sys: &System, work: impl Future<Output = R> + 'static) -> R {
    let result = Rc::new(RefCell::new(None));
    let slot = result.clone();
    sys.m.spawn("setup", async move {
        let value = work.await;
        *slot.borrow_mut() = Some(value);
    });
    sys.m.run();
    result.take().expect("set-up neither waits nor dies")
}

fn make_roots(sys: &Rc<System>, init: TaskRef, setup: &Setup) -> Result<Vec<TaskRef>, NoRoom> {
    sys.pids.last_pid.set(setup.last_pid);
    let (s, pids) = (sys.clone(), setup.roots.clone());
    alone(sys, async move {
        let mut roots = Vec::new();
        for &pid in &pids {
            if let Some(pid) = pid {
                // A recording may speak of init and of the kernel's own threads, which are there since the boot.
                if let Some(task) = s.find_task_by_pid(pid) {
                    roots.push(task);
                    continue;
                }
                s.pids.last_pid.set(pid - 1);
            }
            let made = do_fork(&s, init, flags::SIGCHLD, None).await;
            let pid = made.map_err(|errno| NoRoom { made: roots.len(), of: pids.len(), errno })?;
            roots.push(s.find_task_by_pid(pid).expect("it sleeps"));
        }
        Ok(roots)
    })
}
