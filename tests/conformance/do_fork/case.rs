//! One case: what stands before it, its forks, and what is read after it.

use std::rc::Rc;

use fork_model::fork::{TASK_STRUCT, THREAD_INFO, do_fork, flags, fork_idle, fork_init};
use fork_model::init::{Placed, init_task, place_task};
use fork_model::pid::{mark_used, pidmap_init};
use fork_model::sched::{Rlimit, User, UserRef, cap, pf};
use fork_model::signal::{SIGKILL, sigmask};
use fork_model::{System, SystemConfig, TaskRef};
use serde_json::{Value, json};
use sim::errno::Rc as _;
use sim::mm::{FaultRule, Times};
use sim::{Errno, Machine};
use uevent::Core;

use super::calls::{self, Numbering};
use super::input::{Config, Current, Failure, Fork, Function, Input, pids_in_use};
use super::stubs::{self, ChildFirst, Seen};
use crate::harness::bench::{messages, rc_json};
use crate::harness::listeners::{self, Open};
use crate::harness::{Bench, extend};

/// References to the user, to the group information, and forks so far, before each fork.
const START: (i32, i32, u64) = (3, 5, 7);
const PGRP: i32 = 90;
const SESSION: i32 = 80;

/// Every helper that can fail, but for the two that allocate.
const HELPERS: [&str; 16] = [
    "security_task_create",
    "try_module_get(exec_domain)",
    "try_module_get(binfmt)",
    "put_user",
    "mpol_copy",
    "security_task_alloc",
    "audit_alloc",
    "copy_semundo",
    "copy_files",
    "copy_fs",
    "copy_sighand",
    "copy_signal",
    "copy_mm",
    "copy_keys",
    "copy_namespace",
    "copy_thread",
];

pub fn run(mut input: Input) -> Value {
    let Some(forks) = input.forks.take() else { return run_idle(input) };
    let mut case = Case::new(&input);
    let outcomes: Vec<_> = forks.iter().map(|fork| case.fork(fork)).collect();
    let (received, leaked) = case.read(forks.len());
    json!({"forks": outcomes, "received": received, "leaked": leaked})
}

/// A case that is one `fork_idle()`. How its outcome was written down is not described: what is there counts.
fn run_idle(mut input: Input) -> Value {
    assert_eq!(input.function, Some(Function::ForkIdle), "a case without forks that is no fork_idle");
    let fork = Fork {
        function: Function::ForkIdle,
        helper_failures: std::mem::take(&mut input.helper_failures),
        current: input.current.take().unwrap_or_default(),
        cpu: input.cpu,
        ..Fork::default()
    };
    let mut case = Case::new(&input);
    let outcome = case.fork(&fork);
    let (received, leaked) = case.read(1);
    let mut json = json!({"?forks": [outcome.clone()], "?received": received, "?leaked": leaked});
    extend(&mut json, outcome);
    json
}

struct Case {
    sys: Rc<System>,
    bench: Bench,
    listeners: Vec<Open>,
    numbering: Numbering,
    /// A child has forked, too.
    child_forked: bool,
}

/// The tasks of one fork.
struct Cast {
    current: TaskRef,
    real_parent: TaskRef,
    user: UserRef,
}

impl Case {
    fn new(input: &Input) -> Case {
        let machine = Machine::new(sim::Config { cpus: 2, ..sim::Config::default() }, ChildFirst);
        let Config { numa } = input.config;
        let sys = System::new(machine, SystemConfig { numa, ..SystemConfig::default() }).expect("it links");
        let bench = Bench::around(sys.core.clone());
        let used = pids_in_use(&input.pid_bitmap);
        bench.must({
            let sys = sys.clone();
            async move |_: &Core| {
                pidmap_init(&sys.m, &sys.pids).await;
                let swapper = init_task(&sys);
                fork_init(&sys, swapper, sys.config.mempages).await;
                for pid in used {
                    mark_used(&sys.m, &sys.pids, pid).await;
                }
            }
        });
        sys.pids.last_pid.set(input.last_pid);
        sys.pids.pid_max.set(input.pid_max);
        bench.uevent_init(input.uevent_sock);
        let listeners = listeners::open(&bench, &input.listeners);
        bench.measure();
        bench.fail(&input.fail);
        Case { sys, bench, listeners, numbering: Numbering::default(), child_forked: false }
    }

    fn fork(&mut self, fork: &Fork) -> Value {
        let cast = cast(&self.sys, &fork.current);
        self.set_counters(&fork.current);
        self.fail_helpers(&fork.helper_failures);
        drop(self.bench.events()); // Those of the cast.
        let last_pid = self.sys.pids.last_pid.get();
        let seen = Rc::<Seen>::default();
        let rc = match (fork.function, fork.clone_flags) {
            (Function::DoFork, Some(clone_flags)) => self.do_fork(fork, &cast, &seen, clone_flags),
            (Function::DoFork, None) => panic!("a fork without clone_flags"),
            (Function::ForkIdle, _) => self.fork_idle(&cast, &seen),
        };
        self.unfail_helpers(&fork.helper_failures);
        self.child_forked |= seen.forked.get();
        let events = self.bench.events();
        let calls_full = calls::calls_full(&events);
        let mut json = json!({
            "kobject_fork": calls::kobject_fork(&calls_full),
            "calls": calls::calls(&calls_full),
            "calls_full": calls_full,
            "event_trace": self.numbering.event_trace(&self.bench, &events),
            "messages": messages(&events),
            "pid": self.pid(last_pid),
            "counters": self.counters(&cast),
            "?crash": self.bench.crash(),
        });
        extend(&mut json, rc_json(rc));
        if let Some(child) = seen.child.take() {
            extend(&mut json, json!({"child": child}));
        }
        if fork.function == Function::ForkIdle { as_recorded_idle(json, fork.cpu) } else { json }
    }

    fn do_fork(&self, fork: &Fork, cast: &Cast, seen: &Rc<Seen>, clone_flags: u32) -> i64 {
        let Cast { current, real_parent, .. } = *cast;
        let child = stubs::child(seen, current, fork.current.child_forks_first, fork.current.child_exits_before_event);
        if clone_flags & flags::VFORK != 0 {
            self.sys.m.spawn("v", stubs::end_wait(self.sys.clone(), seen.clone(), current, real_parent));
        }
        let sys = self.sys.clone();
        let result = self.bench.must(async move |_: &Core| do_fork(&sys, current, clone_flags, Some(child)).await);
        // One that was woken may be gone.
        if result.is_ok()
            && seen.child.borrow().is_none()
            && let Some(child) = stubs::stopped_child(&self.sys, current, real_parent)
        {
            seen.look(&self.sys, current, child);
        }
        result.rc()
    }

    fn fork_idle(&self, cast: &Cast, seen: &Seen) -> i64 {
        let (sys, current) = (self.sys.clone(), cast.current);
        let result = self.bench.must(async move |_: &Core| fork_idle(&sys, current).await);
        if let Ok(idle) = result {
            seen.look(&self.sys, cast.current, idle);
            // The recorder's unhash_process() did nothing.
            self.sys.nr_threads.set(self.sys.nr_threads.get() + 1);
        }
        result.map(|_| ()).rc()
    }

    fn set_counters(&self, current: &Current) {
        let sys = &self.sys;
        sys.nr_threads.set(current.nr_threads);
        sys.max_threads.set(current.max_threads);
        sys.total_forks.set(START.2);
        sys.process_counts.set(0);
    }

    fn fail_helpers(&self, failures: &[Failure]) {
        for Failure { helper, ret, .. } in failures {
            let number = ret.checked_neg().and_then(|number| u16::try_from(number).ok()).expect("a negative errno");
            if [TASK_STRUCT.0, THREAD_INFO.0].contains(&helper.as_str()) {
                let rule = FaultRule { site: Some(helper.clone()), nth: 1, times: Times::Forever };
                self.sys.m.mem.faults(|faults| faults.add(rule));
                continue;
            }
            let name = if helper == "put_user(parent_tidptr)" { "put_user" } else { helper };
            assert!(HELPERS.contains(&name), "{helper} is no helper of copy_process()");
            self.sys.fail_helper(name, Errno::from_number(number));
        }
    }

    fn unfail_helpers(&self, failures: &[Failure]) {
        self.sys.heal_helpers();
        if !failures.is_empty() {
            self.sys.m.mem.faults(|faults| faults.clear());
        }
    }

    fn pid(&self, before: i32) -> Value {
        let pids = &self.sys.pids;
        let last_pid = pids.last_pid.get();
        let page0 = pids.nr_free().into_iter().find(|(page, _)| *page == 0).expect("it is never freed").1;
        json!({
            "last_pid_before": before,
            "last_pid_after": last_pid,
            "bit_of_last_pid_after": u8::from(pids.is_used(&self.sys.m, last_pid)),
            "nr_free_page0_after": page0,
        })
    }

    fn counters(&self, cast: &Cast) -> Value {
        let sys = &self.sys;
        let user = sys.user(cast.user, |u| *u);
        let (message, superpriv, signal) =
            sys.task(cast.current, |t| (t.ptrace_message, t.flags & pf::SUPERPRIV != 0, t.signal));
        json!({
            "user_count": user.count,
            "user_processes": user.processes,
            "group_info_usage": user.group_info_usage,
            "nr_threads": sys.nr_threads.get(),
            "total_forks": sys.total_forks.get(),
            "process_counts": sys.process_counts.get(),
            "ptrace_message": message,
            "group_stop_count": sys.signal(signal, |s| s.group_stop_count),
            "current_superpriv": superpriv,
        })
    }

    /// Reads each listener once for each fork; and what is left in memory then.
    ///
    /// Whether a fork of a child gave one more round of reads, and whether the rounds or the listeners came first, is
    /// not described.
    fn read(&self, forks: usize) -> (Value, Value) {
        let round = || listeners::received(&self.bench, &self.listeners).into_iter().map(short).collect::<Vec<_>>();
        let leaked = || Value::from(self.numbering.renumber(self.bench.live()));
        let by_listener = |mut list: Vec<Value>| {
            list.sort_by_key(|entry| entry["sock"].as_i64());
            list
        };
        let once: Vec<_> = (0..forks).flat_map(|_| round()).collect();
        let left_once = leaked();
        if !self.child_forked && (forks == 1 || self.listeners.len() < 2) {
            return (once.into(), left_once);
        }
        let mut readings = vec![once.clone(), by_listener(once.clone())];
        let mut left = vec![left_once];
        if self.child_forked {
            let twice: Vec<_> = once.into_iter().chain(round()).collect();
            readings.extend([twice.clone(), by_listener(twice)]);
            left.push(leaked());
        }
        (json!({"one of": readings}), json!({"one of": left}))
    }
}

/// A receive as these vectors have it.
fn short(mut received: Value) -> Value {
    let entry = received.as_object_mut().expect("an object");
    entry.retain(|key, _| ["sock", "rc", "errno", "data"].contains(&key.as_str()));
    received
}

/// The outcome of `fork_idle()`: each key that was recorded counts, and the helpers may name their CPU.
fn as_recorded_idle(outcome: Value, cpu: Option<i64>) -> Value {
    let Value::Object(outcome) = outcome else { panic!("an object") };
    let mut outcome: Value =
        outcome.into_iter().map(|(key, value)| (format!("?{}", key.trim_start_matches('?')), value)).collect();
    for calls in ["?calls", "?calls_full"] {
        for call in outcome[calls].as_array_mut().expect("a list") {
            if call["fn"] == "init_idle" {
                call["?cpu"] = cpu.into();
            }
        }
    }
    outcome
}

/// Puts the caller, its parent, leader and tracer on the stage.
fn cast(sys: &Rc<System>, c: &Current) -> Cast {
    let (count, group_info_usage, _) = START;
    let user = sys.new_user(User { count, processes: c.user_processes, group_info_usage, is_root: c.user_is_root });
    let place =
        |pid, parent, leader| place_task(sys, Placed { pid, parent, leader, user, pgrp: PGRP, session: SESSION });
    // The idle task is its own parent.
    let parent = (c.real_parent != c.pid).then(|| place(c.real_parent, None, None));
    let leader = (c.tgid != c.pid).then(|| place(c.tgid, parent, None));
    let current = place(c.pid, parent, leader);
    let tracer = (c.tracer != 0).then(|| place(c.tracer, None, None));
    let mm = (!c.kernel_thread).then(|| sys.new_mm());
    let signal = sys.task(current, |t| {
        t.mm = mm;
        t.tracer = tracer;
        t.ptrace = c.ptrace;
        t.has_binfmt = c.has_binfmt;
        t.caps = bit(c.cap_sys_admin, cap::SYS_ADMIN) | bit(c.cap_sys_resource, cap::SYS_RESOURCE);
        t.flags = bit(c.pf_superpriv, pf::SUPERPRIV);
        t.pending = if c.sigkill_pending { sigmask(SIGKILL) } else { 0 };
        t.signal
    });
    sys.signal(signal, |s| {
        s.rlimit_nproc = Rlimit::both(c.rlimit_nproc);
        s.shared_pending = if c.shared_sigkill_pending { sigmask(SIGKILL) } else { 0 };
        s.group_exit = c.signal_group_exit;
        s.group_stop_count = c.group_stop_count;
    });
    Cast { current, real_parent: parent.unwrap_or(current), user }
}

fn bit(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}
