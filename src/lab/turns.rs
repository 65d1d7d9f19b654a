//! What the tasks of a recorded workload do: the recording's acts, begun in the recording's order.
//!
//! Every task is a lane of its own. An act begins when the one before it has begun: on one CPU they follow each other,
//! on several they overlap as the chooser will. The recording says nothing of `wait4()`: here the parent waits for each
//! child as soon as the last thread of it has exited, and init for those whose parent is gone.
//! Pids are those of the recording: `last_pid` is set before each fork, as checkpoint/restore tools do. A pid that is
//! still taken (on several CPUs its last owner may not have been reaped yet) makes the kernel give the next free one.
//! What a task would have done whose fork failed is skipped. [`Followed`] counts both.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fork_model::TaskRef;
use fork_model::exec::do_execve;
use fork_model::exit::{WaitFor, do_exit, wait4};
use fork_model::fork::{do_fork, flags};
use fork_model::sched::Work;
use serde::Serialize;
use sim::lock::WaitQueue;
use sim::touch::{Access, Object};

use crate::lab::world::{Done, World};
use crate::workload::{What, Workload};

/// Whose turn it is, as an explorer calls it.
const TURN: Object = Object::named("turn");

/// The first process.
const INIT: i32 = 1;
/// Flags of a thread as the C library makes it.
const THREAD: u32 = flags::VM | flags::FS | flags::FILES | flags::SIGHAND | flags::THREAD;

/// One act of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Act {
    actor: i32,
    does: Does,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Fork { child: i32, flags: u32 },
    Exec,
    Exit { code: i32 },
    Wait { child: i32 },
}

/// A recorded workload on its way.
pub struct Turns {
    world: Rc<World>,
    acts: Vec<Act>,
    /// The act that begins next.
    next: Cell<usize>,
    /// Tasks of the recording whose fork failed.
    absent: RefCell<BTreeSet<i32>>,
    skipped: Cell<u64>,
    renumbered: Cell<u64>,
    /// The pids of those that got another one, by the recorded pid, until they are waited for.
    actual: RefCell<BTreeMap<i32, i32>>,
    /// Where each task waits for its turn.
    waiting: RefCell<BTreeMap<i32, Rc<WaitQueue>>>,
    /// Told how many acts have begun.
    progress: RefCell<Box<dyn FnMut(usize)>>,
}

/// How closely a run followed its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Followed {
    /// Acts: forks, execs, exits, and the waits that were added.
    pub acts: u64,
    /// Acts of tasks that were never made, because a fork failed.
    pub skipped: u64,
    /// Acts that never had their turn: 0, unless a task died of a bug.
    pub left: u64,
    /// Forks that got another pid than in the recording, as that one was still taken.
    pub renumbered: u64,
}

/// A recording as acts: who forks, and who waits for whom when.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    acts: Vec<Act>,
    /// Live threads of each group, and the group's parent process.
    groups: BTreeMap<i32, (Vec<i32>, i32)>,
    /// Processes alive before the recording began, in order of appearance.
    pub outsiders: Vec<i32>,
}

impl Plan {
    /// Plans a recording.
    #[must_use]
    pub fn new(workload: &Workload) -> Plan {
        let mut plan = Plan::default();
        for record in &workload.records {
            match record.what {
                What::Fork { parent_pid, parent_tgid, child_pid, child_tgid } => {
                    plan.fork((parent_pid, parent_tgid), (child_pid, child_tgid));
                }
                What::Exec { pid, .. } => plan.acts.push(Act { actor: pid, does: Does::Exec }),
                What::Exit { pid, tgid, exit_code, .. } => plan.exit(pid, tgid, exit_code),
            }
        }
        plan
    }

    /// How many acts there are.
    #[must_use]
    pub fn acts(&self) -> usize {
        self.acts.len()
    }

    fn fork(&mut self, parent: (i32, i32), child: (i32, i32)) {
        if child.0 != child.1 {
            // The recording names the real parent of the group; the caller was some thread of the group itself.
            let (threads, _) = self.groups.entry(child.1).or_insert_with(|| {
                self.outsiders.push(child.1);
                (vec![child.1], 0)
            });
            let caller = *threads.first().expect("a group that is alive has a thread");
            threads.push(child.0);
            self.acts.push(Act { actor: caller, does: Does::Fork { child: child.0, flags: THREAD } });
            return;
        }
        let (threads, _) = self.groups.entry(parent.1).or_insert_with(|| {
            self.outsiders.push(parent.1);
            (vec![parent.1], 0)
        });
        let caller = if threads.contains(&parent.0) { parent.0 } else { threads[0] };
        self.groups.insert(child.0, (vec![child.0], parent.1));
        self.acts.push(Act { actor: caller, does: Does::Fork { child: child.0, flags: flags::SIGCHLD } });
    }

    fn exit(&mut self, pid: i32, tgid: i32, code: u32) {
        self.acts.push(Act { actor: pid, does: Does::Exit { code: code.cast_signed() } });
        let Some((threads, parent)) = self.groups.get_mut(&tgid) else { return };
        threads.retain(|thread| *thread != pid);
        if !threads.is_empty() {
            return;
        }
        let parent = *parent;
        self.groups.remove(&tgid);
        // Init waits for whatever child it has.
        if parent == INIT {
            return;
        }
        if let Some(waiter) = self.groups.get(&parent).and_then(|(threads, _)| threads.first()) {
            self.acts.push(Act { actor: *waiter, does: Does::Wait { child: tgid } });
        }
    }
}

impl Turns {
    /// A plan in a world whose roots are its outsiders. `progress` hears of acts begun.
    #[must_use]
    pub fn new(world: &Rc<World>, plan: Plan, progress: impl FnMut(usize) + 'static) -> Rc<Turns> {
        Rc::new(Turns {
            world: world.clone(),
            acts: plan.acts,
            next: Cell::new(0),
            absent: RefCell::default(),
            skipped: Cell::new(0),
            renumbered: Cell::new(0),
            actual: RefCell::default(),
            waiting: RefCell::default(),
            progress: RefCell::new(Box::new(progress)),
        })
    }

    /// How closely the run followed the recording so far.
    #[must_use]
    pub fn followed(&self) -> Followed {
        Followed {
            acts: self.acts.len() as u64,
            skipped: self.skipped.get(),
            left: (self.acts.len() - self.next.get()) as u64,
            renumbered: self.renumbered.get(),
        }
    }

    /// Sets the tasks free that were alive before the recording.
    pub fn start(self: &Rc<Turns>) {
        for me in &self.world.roots {
            let pid = self.world.sys.fixed(*me, |t| t.pid);
            // The lane of init itself, which reaps, is called init.
            self.world.sys.m.spawn(pid.to_string().as_str(), live(self.clone(), pid, *me));
        }
    }

    fn queue(&self, pid: i32) -> Rc<WaitQueue> {
        self.waiting.borrow_mut().entry(pid).or_default().clone()
    }

    /// The order of the recording: everything that a task does next depends on it.
    fn touch(&self, access: Access) {
        self.world.sys.m.touch(TURN, access);
    }

    /// Waits for the turn of this task; `None` if there will be none.
    async fn turn(&self, pid: i32) -> Option<Does> {
        let mine = || {
            self.touch(Access::Read);
            self.acts.get(self.next.get()).is_none_or(|act| act.actor == pid)
        };
        if !mine() {
            self.queue(pid).wait_event(&self.world.sys.m, "its turn in the recording", true, mine).await;
        }
        let act = self.acts.get(self.next.get())?;
        self.next.set(self.next.get() + 1);
        self.hand_on(pid);
        Some(act.does)
    }

    /// Skips acts of tasks that are not there, and wakes whoever is next.
    fn hand_on(&self, me: i32) {
        self.touch(Access::Write);
        let mut absent = self.absent.borrow_mut();
        while let Some(act) = self.acts.get(self.next.get()) {
            match act.does {
                // A child of nobody is not there, either.
                Does::Fork { child, .. } if absent.contains(&act.actor) => _ = absent.insert(child),
                Does::Wait { child } if absent.contains(&child) => {}
                _ if absent.contains(&act.actor) => {}
                _ => break,
            }
            self.skipped.set(self.skipped.get() + 1);
            self.next.set(self.next.get() + 1);
        }
        (self.progress.borrow_mut())(self.next.get());
        match self.acts.get(self.next.get()) {
            Some(next) if next.actor != me => self.queue(next.actor).wake_up(&self.world.sys.m),
            _ => {}
        }
    }

    /// The fork of this task came to this.
    fn forked(&self, me: i32, child: i32, result: Result<i32, sim::Errno>) {
        self.touch(Access::Write);
        match result {
            Ok(pid) if pid == child => {}
            Ok(pid) => {
                self.renumbered.set(self.renumbered.get() + 1);
                self.actual.borrow_mut().insert(child, pid);
            }
            Err(errno) => {
                self.world.done.fork_failed(errno);
                self.absent.borrow_mut().insert(child);
                self.hand_on(me);
            }
        }
    }
}

/// A task's life.
async fn live(turns: Rc<Turns>, pid: i32, me: TaskRef) {
    let world = turns.world.clone();
    let sys = &world.sys;
    while let Some(does) = turns.turn(pid).await {
        match does {
            Does::Fork { child, flags } => {
                let theirs = turns.clone();
                let work = Work::new(child.to_string().as_str(), move |_, me| {
                    let future: std::pin::Pin<Box<dyn Future<Output = ()>>> = Box::pin(live(theirs, child, me));
                    future
                });
                turns.touch(Access::Write);
                sys.set_last_pid(child - 1);
                // An earlier task of this pid may have failed to be made; this one acts from now on.
                turns.absent.borrow_mut().remove(&child);
                let result = do_fork(sys, me, flags, Some(work)).await;
                turns.forked(pid, child, result);
                world.tick();
            }
            Does::Exec => {
                do_execve(sys, me).await;
                Done::count(&world.done.execs);
            }
            Does::Wait { child } => {
                turns.touch(Access::Write);
                let child = turns.actual.borrow_mut().remove(&child).unwrap_or(child);
                if wait4(sys, me, WaitFor::Pid(child), false).await.is_ok() {
                    Done::count(&world.done.waits);
                }
            }
            Does::Exit { code } => {
                Done::count(&world.done.exits);
                turns.waiting.borrow_mut().remove(&pid);
                do_exit(sys, me, code).await;
                return;
            }
        }
    }
}
