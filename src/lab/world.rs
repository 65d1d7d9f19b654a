//! A booted kernel with its listeners: where every run begins.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fork_model::fork::{do_fork, flags};
use fork_model::init::{boot, boot_early, reap_orphans};
use fork_model::tree::{Believed, Truth};
use fork_model::{System, SystemConfig, TaskRef};
use sim::lock::WaitQueue;
use sim::mm::LiveEntry;
use sim::{Calm, Chooser, Machine};
use uevent::af_netlink::{Caller, NETLINK_KOBJECT_UEVENT, SockRef, msg, netlink_bind, netlink_create, netlink_recvmsg};

use crate::scenario_file::{self, Boot, Pace};

/// Bytes that a listener offers to a receive; no message of this kernel is longer.
const ROOM: usize = 4096;

/// A listener: a socket, a pace, and what it has heard.
pub struct Listener {
    /// Its name, and that of its lane.
    pub name: String,
    /// Its socket; `None` if none could be made.
    pub sock: Option<SockRef>,
    /// When it reads.
    pub pace: Pace,
    /// What it has heard.
    pub heard: RefCell<Heard>,
}

/// What a listener has heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Messages received.
    pub received: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// How often it was told that something was lost (`-ENOBUFS`).
    pub overruns: u64,
    /// The tree that it believes in.
    pub tree: Believed,
    /// The messages themselves, as long as there are few.
    pub messages: Vec<Vec<u8>>,
}

/// Messages that a listener keeps for people to look at.
const KEPT: usize = 8;

impl Heard {
    fn hear(&mut self, message: &[u8]) {
        self.received += 1;
        self.bytes += message.len() as u64;
        if self.messages.len() < KEPT {
            self.messages.push(message.to_vec());
        }
        // What is no fork event is counted by the tree itself.
        let _ = self.tree.hear(message);
    }
}

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
    pub before: Vec<LiveEntry>,
    /// Listeners that read at a pace look up when an event was sent.
    paced: WaitQueue,
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
#[derive(Clone, Debug)]
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
        let listeners = setup.listeners.iter().enumerate().map(|(i, spec)| open(&sys, i, spec)).collect();
        let (done, before, paced) = (Done::default(), sys.live(), WaitQueue::default());
        Ok(World { init, roots, listeners, done, before, paced, sys })
    }

    /// The run proper begins: listeners listen, init reaps, and what is really forked is noted from here on.
    pub fn begin(self: &Rc<World>, chooser: impl Chooser + 'static) {
        self.sys.m.spawn("init", reap_orphans(self.sys.clone(), self.init));
        for (i, listener) in self.listeners.iter().enumerate() {
            if listener.pace != Pace::DrainAtEnd {
                self.sys.m.spawn(listener.name.as_str(), listen(self.clone(), i));
            }
        }
        // Until each of them waits: how they got there is no part of the run.
        self.sys.m.settle();
        self.sys.m.begin(chooser);
        *self.sys.truth.borrow_mut() = Some(Truth::default());
        self.sys.core.fork_outcomes.take();
    }

    /// An event may have been sent: listeners that count events look up.
    pub fn tick(&self) {
        self.paced.wake_up(&self.sys.m);
    }

    /// Everybody reads what is left, in order.
    pub fn drain(self: &Rc<World>) {
        let world = self.clone();
        alone(&self.sys, async move {
            for i in 0..world.listeners.len() {
                drain(&world, i).await;
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

fn open(sys: &Rc<System>, number: usize, spec: &scenario_file::Listener) -> Listener {
    let (s, spec_) = (sys.clone(), spec.clone());
    let sock = alone(sys, async move {
        let sock = netlink_create(&s.core, NETLINK_KOBJECT_UEVENT).await.ok()?;
        let caller = Caller { pid: 500 + i32::try_from(number).expect("few listeners"), net_admin: true };
        netlink_bind(&s.core, sock, caller, 0, spec_.groups).await.ok()?;
        s.core.sock(sock, |sock| sock.rcvbuf = i32::try_from(spec_.rcvbuf).unwrap_or(i32::MAX));
        Some(sock)
    });
    Listener { name: spec.name.clone(), sock, pace: spec.pace, heard: RefCell::default() }
}

/// A listener's life: it reads at its pace, and waits patiently in between.
async fn listen(world: Rc<World>, i: usize) {
    let mut seen = 0;
    loop {
        match world.listeners[i].pace {
            Pace::Eager => receive(&world, i, 0).await,
            Pace::Every(events) => {
                let sent = || world.sys.core.fork_outcomes.borrow().total();
                let m = &world.sys.m;
                world.paced.wait_event(m, "a listener's pace", true, || sent() >= seen + u64::from(events)).await;
                seen = sent();
                drain(&world, i).await;
                continue;
            }
            Pace::DrainAtEnd => return,
        };
    }
}

async fn drain(world: &World, i: usize) {
    while receive(world, i, msg::DONTWAIT).await {}
}

/// One receive. False when there is nothing to receive, or nobody to do it.
async fn receive(world: &World, i: usize, flags: u32) -> bool {
    let listener = &world.listeners[i];
    let Some(sock) = listener.sock else { return false };
    let mut message = Vec::new();
    match netlink_recvmsg(&world.sys.core, sock, &mut message, ROOM, flags).await {
        Ok(_) => listener.heard.borrow_mut().hear(&message),
        Err(sim::Errno::Again) => return false,
        Err(_) => listener.heard.borrow_mut().overruns += 1,
    }
    true
}
