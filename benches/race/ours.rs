//! The race, written for this project's machine.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use sim::explore::Ran;
use sim::lock::{Completion, Lock, Mode};
use sim::{Config, Lent, Machine};

struct State {
    m: Rc<Machine>,
    pid_lock: Lock,
    next_pid: Cell<u32>,
    task_lock: Lock,
    /// Whether each task is alive.
    tasks: RefCell<BTreeMap<u32, bool>>,
    queue_lock: Lock,
    queue: RefCell<Vec<u32>>,
    child_done: Completion,
    reaper_done: Completion,
}

pub fn run(chooser: Lent) -> Ran {
    let m = Machine::new(Config { cpus: 4, ..Config::default() }, chooser);
    let state = Rc::new(State {
        m: m.clone(),
        pid_lock: Lock::new("pid"),
        next_pid: Cell::new(100),
        task_lock: Lock::new("tasks"),
        tasks: RefCell::default(),
        queue_lock: Lock::new("queue"),
        queue: RefCell::default(),
        child_done: Completion::named("child"),
        reaper_done: Completion::named("reaper"),
    });
    m.spawn("parent", parent(state));
    m.run();
    let ran = Ran { found: m.violations().clone(), steps: m.step(), placement: m.placement_matters() };
    m.retire();
    ran
}

async fn parent(s: Rc<State>) {
    let m = &*s.m;
    let pid = {
        let _held = s.pid_lock.take(m, Mode::SPIN).await;
        s.next_pid.replace(s.next_pid.get() + 1)
    };
    {
        let _held = s.task_lock.take(m, Mode::SPIN).await;
        s.tasks.borrow_mut().insert(pid, true);
    }
    m.spawn("child", child(s.clone(), pid));
    m.spawn("reaper", reaper(s.clone(), pid));
    {
        let _held = s.queue_lock.take(m, Mode::SPIN).await;
        s.queue.borrow_mut().push(pid);
    }
    s.child_done.wait_for_completion(m).await;
    s.reaper_done.wait_for_completion(m).await;
}

async fn child(s: Rc<State>, pid: u32) {
    let m = &*s.m;
    {
        let _held = s.task_lock.take(m, Mode::SPIN).await;
        if let Some(alive) = s.tasks.borrow_mut().get_mut(&pid) {
            *alive = false;
        }
    }
    s.child_done.complete(m);
}

async fn reaper(s: Rc<State>, pid: u32) {
    let m = &*s.m;
    for _ in 0..2 {
        {
            let _held = s.task_lock.take(m, Mode::SPIN).await;
            let mut tasks = s.tasks.borrow_mut();
            if tasks.get(&pid) == Some(&false) {
                tasks.remove(&pid);
            }
        }
        m.yield_now().await;
    }
    s.reaper_done.complete(m);
}
