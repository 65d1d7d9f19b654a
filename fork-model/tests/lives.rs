//! From birth to release: who is told, who waits, who inherits.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{FORK, FirstOf, Stage, cpus, event, exits, ignore_sigchld, run};
use forklab_fork_model::exec::do_execve;
use forklab_fork_model::exit::{WaitFor, do_exit, sigcont, wait4};
use forklab_fork_model::fork::{do_fork, flags, fork_idle};
use forklab_fork_model::init::boot_early;
use forklab_fork_model::pid::mark_used;
use forklab_fork_model::sched::{State, Work, pt};
use forklab_fork_model::signal::{SIGCHLD, sigmask};
use forklab_fork_model::{Hook, System, SystemConfig, TaskRef};
use sim::{Calm, Ended, Errno, Event, Machine, Seeded, What};

const THREAD: u32 = flags::VM | flags::FS | flags::FILES | flags::SIGHAND | flags::THREAD;
const VFORK: u32 = flags::VM | flags::VFORK | FORK;

/// One CPU, calm, the repaired hook, one listener.
fn calm() -> Stage {
    Stage::new(cpus(1), Calm, Hook::EndSavedPid, 1)
}

/// The number of the first event that is this.
fn position(events: &[Event], what: impl Fn(&What) -> bool) -> usize {
    events.iter().position(|event| what(&event.what)).expect("it happened")
}

/// A call of this function about this pid.
fn call(func: &'static str, pid: i32) -> impl Fn(&What) -> bool {
    move |what| match what {
        What::Enter { func: f, args } | What::Call { func: f, args, .. } => {
            *f == func && args.contains(&("pid", pid.into()))
        }
        _ => false,
    }
}

async fn must_fork(sys: &Rc<System>, me: TaskRef, clone_flags: u32, work: Work) -> i32 {
    do_fork(sys, me, clone_flags, Some(work)).await.expect("no fault was asked for")
}

async fn wait_for_all(sys: &System, me: TaskRef) -> Vec<(i32, i32)> {
    let mut reaped = Vec::new();
    while let Ok(child) = wait4(sys, me, WaitFor::Any, false).await {
        reaped.push(child);
    }
    reaped
}

#[test]
fn vfork_event_comes_after_the_childs_exit() {
    let stage = calm();
    let recording = stage.sys.m.trace.record();
    let child = Rc::new(Cell::new(0));
    stage.run({
        let child = child.clone();
        async move |sys, me| child.set(must_fork(&sys, me, VFORK, exits("c")).await)
    });
    let (events, child) = (recording.events(), child.get());
    let told = position(
        &events,
        |what| matches!(what, What::Enter { func: "kobject_fork", args } if args.contains(&("child", child.into()))),
    );
    assert!(position(&events, call("do_exit", child)) < told);
    assert_eq!(stage.violations(), []);
}

#[test]
fn vfork_event_comes_after_the_childs_exec_and_before_its_exit() {
    let stage = calm();
    let recording = stage.sys.m.trace.record();
    let child = Rc::new(Cell::new(0));
    stage.run({
        let child = child.clone();
        async move |sys, me| {
            let c = Work::new("c", async |sys: Rc<System>, me| {
                do_execve(&sys, me).await;
                wait4(&sys, me, WaitFor::Any, true).await.expect_err("it has no child, and waits for ever");
            });
            child.set(must_fork(&sys, me, VFORK, c).await);
        }
    });
    let events = recording.events();
    let told = position(
        &events,
        |what| matches!(what, What::Enter { func: "kobject_fork", args } if args.contains(&("child", child.get().into()))),
    );
    assert!(position(&events, |what| matches!(what, What::Leave { func: "do_execve", .. })) < told);
}

#[test]
fn forks_before_the_socket_exists_tell_nobody() {
    let sys = System::new(Machine::new(cpus(1), Calm), SystemConfig::default()).expect("it links");
    let before = sys.m.mem.counters();
    run(&sys, async |sys| boot_early(&sys).await.expect("no fault was asked for"));
    let outcomes = *sys.core.fork_outcomes.borrow();
    assert_eq!(outcomes.no_socket, 5, "init and four kernel threads");
    assert_eq!(outcomes.delivered, 0);
    // Task, stack, and for nothing the path and the slots of the event.
    assert_eq!(sys.m.mem.counters().allocs - before.allocs, 1 + 5 * 4, "and one page of the pid bitmap");
    assert_eq!(sys.m.violations().clone(), []);
}

#[test]
fn orphans_go_to_init() {
    let stage = calm();
    let before = stage.sys.nr_threads.get();
    let parents = Rc::new(RefCell::new(Vec::new()));
    stage.run({
        let parents = parents.clone();
        async move |sys, me| {
            let c = Work::new("c", async move |sys: Rc<System>, me| {
                let parents = parents.clone();
                let g = Work::new("g", async move |sys: Rc<System>, me| {
                    let parent = || sys.task(me, |t| t.real_parent);
                    parents.borrow_mut().push(parent());
                    while sys.task(parent(), |t| t.pid) != 1 {
                        sys.m.yield_now().await;
                    }
                    parents.borrow_mut().push(parent());
                    do_exit(&sys, me, 7).await;
                });
                must_fork(&sys, me, FORK, g).await;
                sys.m.yield_now().await;
                do_exit(&sys, me, 0).await;
            });
            let c = must_fork(&sys, me, FORK, c).await;
            assert_eq!(wait4(&sys, me, WaitFor::Pid(c), false).await, Ok((c, 0)));
            do_exit(&sys, me, 0).await;
        }
    });
    assert_eq!(parents.borrow().last(), Some(&stage.init));
    assert_eq!(stage.sys.nr_threads.get(), before, "init has released the orphan");
    assert_eq!(stage.violations(), []);
}

/// A process of two threads, whose leader exited first.
struct Group {
    stage: Stage,
    events: Vec<Event>,
    leader: i32,
    worker: i32,
    /// What its parent got from waiting: pids and exit codes.
    reaped: Vec<(i32, i32)>,
}

/// Its parent minds or ignores `SIGCHLD`.
fn leader_exits_first(ignores: bool) -> Group {
    let stage = Stage::new(cpus(2), FirstOf(&["init", "l", "p", "w"]), Hook::EndSavedPid, 0);
    let recording = stage.sys.m.trace.record();
    let (pids, reaped) = (Rc::new(Cell::new((0, 0))), Rc::new(RefCell::new(Vec::new())));
    stage.run({
        let (pids, reaped) = (pids.clone(), reaped.clone());
        async move |sys, me| {
            if ignores {
                ignore_sigchld(&sys, me);
            }
            let l = Work::new("l", async move |sys: Rc<System>, me| {
                let worker = must_fork(&sys, me, THREAD, exits("w")).await;
                pids.set((sys.task(me, |t| t.pid), worker));
                do_exit(&sys, me, 3).await;
            });
            must_fork(&sys, me, FORK, l).await;
            *reaped.borrow_mut() = wait_for_all(&sys, me).await;
        }
    });
    let (leader, worker) = pids.get();
    Group { stage, events: recording.events(), leader, worker, reaped: reaped.take() }
}

#[test]
fn a_group_leader_is_released_with_its_last_thread() {
    let Group { stage, events, leader, worker, reaped } = leader_exits_first(true);
    let released = |pid| position(&events, call("release_task", pid));
    assert!(position(&events, call("do_exit", leader)) < position(&events, call("do_exit", worker)));
    assert!(released(worker) < released(leader));
    assert_eq!(events[released(leader)].lane.as_str(), "w", "the last thread releases it");
    assert_eq!(reaped, [], "its parent does not want to know");
    assert_eq!(stage.sys.find_task_by_pid(leader), None);
    assert_eq!(stage.violations(), []);
}

#[test]
fn a_group_leader_can_be_waited_for_only_after_its_last_thread() {
    let Group { stage, events, leader, worker, reaped } = leader_exits_first(false);
    assert_eq!(reaped, [(leader, 3)], "a thread is nobody's child");
    assert!(position(&events, call("release_task", worker)) < position(&events, call("wait_task_zombie", leader)));
    assert_eq!(stage.violations(), []);
}

#[test]
fn children_of_a_thread_go_to_its_group_before_they_go_to_init() {
    let stage = calm();
    let reaped = Rc::new(RefCell::new(Vec::new()));
    stage.run({
        let reaped = reaped.clone();
        async move |sys, me| {
            let w = Work::new("w", async |sys: Rc<System>, me| {
                must_fork(&sys, me, FORK, exits("c")).await;
                do_exit(&sys, me, 0).await;
            });
            let worker = must_fork(&sys, me, THREAD, w).await;
            while sys.find_task_by_pid(worker).is_some() {
                sys.m.yield_now().await;
            }
            *reaped.borrow_mut() = wait_for_all(&sys, me).await;
            assert_eq!(reaped.borrow()[0].0, worker + 1);
        }
    });
    assert_eq!(reaped.borrow().len(), 1);
    assert_eq!(stage.violations(), []);
}

#[test]
fn a_child_born_stopped_is_reported_and_runs_when_it_is_continued() {
    let stage = calm();
    let pids = Rc::new(Cell::new((0, 0)));
    stage.run({
        let pids = pids.clone();
        async move |sys, me| {
            let child = must_fork(&sys, me, FORK | flags::STOPPED, exits("c")).await;
            let c = sys.find_task_by_pid(child).expect("it has not run");
            for _ in 0..3 {
                sys.m.yield_now().await;
            }
            assert_eq!(sys.task(c, |t| (t.state, t.sigpending)), (State::Stopped, true));
            sigcont(&sys, c).await;
            assert_eq!(wait4(&sys, me, WaitFor::Pid(child), false).await, Ok((child, 0)));
            pids.set((sys.task(me, |t| t.pid), child));
        }
    });
    assert_eq!(stage.heard()[0].last(), Some(&event(pids.get().0, pids.get().1)));
    assert_eq!(stage.violations(), []);
}

#[test]
fn a_vfork_child_born_stopped_blocks_its_parent_for_ever() {
    let stage = calm();
    let ended = stage.run(async |sys, me| {
        must_fork(&sys, me, VFORK | flags::STOPPED, exits("c")).await;
    });
    assert_eq!(ended, Ended::Deadlock);
    assert_eq!(stage.violations()[0].text, "deadlock: lane p waits for kernel/sched.c:wait_for_completion()");
}

#[test]
fn an_idle_task_has_no_pid_tells_nobody_and_leaves_no_trace_in_the_process_table() {
    let stage = calm();
    let init = stage.init;
    let before = (stage.sys.nr_threads.get(), stage.sys.process_counts.get(), stage.sys.pids.last_pid.get());
    let swapper = stage.sys.find_task_by_pid(0);
    let idle = run(&stage.sys, async move |sys| fork_idle(&sys, init).await.expect("no fault was asked for"));
    assert_eq!(stage.sys.task(idle, |t| t.pid), 0);
    assert_eq!(stage.heard(), [Vec::<String>::new()]);
    let after = (stage.sys.nr_threads.get(), stage.sys.process_counts.get(), stage.sys.pids.last_pid.get());
    assert_eq!(before, after);
    assert_eq!(stage.sys.find_task_by_pid(0), swapper);
    assert!(stage.sys.pids.is_used(&stage.sys.m, 0), "pid 0 is still the first idle task's");
}

#[test]
fn a_signal_beyond_the_last_one_reaches_nobody() {
    let stage = calm();
    stage.run(async |sys, me| {
        let child = must_fork(&sys, me, 200, exits("c")).await;
        assert_eq!(wait4(&sys, me, WaitFor::Any, false).await, Ok((child, 0)));
        assert_eq!(sys.signal(sys.task(me, |t| t.signal), |s| s.shared_pending), 0);
        let child = must_fork(&sys, me, FORK, exits("d")).await;
        assert_eq!(wait4(&sys, me, WaitFor::Any, false).await, Ok((child, 0)));
        assert_eq!(sys.signal(sys.task(me, |t| t.signal), |s| s.shared_pending), sigmask(SIGCHLD));
    });
    assert_eq!(stage.violations(), []);
}

#[test]
fn a_tracer_that_ends_is_forgotten_by_those_it_traced() {
    let stage = calm();
    stage.run(async |sys, me| {
        let traced = Rc::new(Cell::new(false));
        let seen = traced.clone();
        let y = Work::new("y", async move |sys: Rc<System>, me| {
            // PTRACE_TRACEME: its parent traces it, and its child, too.
            sys.task(me, |t| t.ptrace = pt::PTRACED);
            let c = Work::new("c", async move |sys: Rc<System>, me| {
                seen.set(sys.task(me, |t| t.tracer.is_some()));
                while sys.task(me, |t| t.tracer.is_some()) {
                    sys.m.yield_now().await;
                }
                do_exit(&sys, me, 0).await;
            });
            must_fork(&sys, me, FORK | flags::PTRACE, c).await;
            assert_eq!(wait_for_all(&sys, me).await.len(), 1);
            do_exit(&sys, me, 0).await;
        });
        must_fork(&sys, me, FORK, y).await;
        while !traced.get() {
            sys.m.yield_now().await;
        }
        do_exit(&sys, me, 0).await;
    });
    assert_eq!(stage.violations(), [], "the child does not look for its tracer when it ends");
    assert_eq!(stage.sys.nr_threads.get(), 6, "idle, init and the kernel threads");
}

#[test]
fn a_failed_fork_uses_up_its_number_and_frees_it() {
    let stage = calm();
    stage.run(async |sys, me| {
        let first = must_fork(&sys, me, FORK, exits("c")).await;
        assert_eq!(do_fork(&sys, me, flags::THREAD, None).await, Err(Errno::Inval));
        assert!(!sys.pids.is_used(&sys.m, first + 1));
        assert_eq!(must_fork(&sys, me, FORK, exits("d")).await, first + 2);
    });
}

#[test]
fn the_numbers_of_the_dead_are_free_again() {
    let stage = calm();
    let free = stage.sys.pids.nr_free();
    stage.run(async |sys, me| {
        let w = Work::new("w", async |sys: Rc<System>, me| do_exit(&sys, me, 0).await);
        must_fork(&sys, me, THREAD, w).await;
        must_fork(&sys, me, FORK, exits("c")).await;
        mark_used(&sys.m, &sys.pids, 0).await; // Pid 0 has never been free.
        sys.m.yield_now().await;
        wait_for_all(&sys, me).await;
        do_exit(&sys, me, 0).await;
    });
    assert_eq!(stage.sys.pids.nr_free(), free);
}

#[test]
fn a_parent_and_its_threads_never_reap_the_same_child_twice() {
    for seed in 0..200 {
        let stage = Stage::new(cpus(3), Seeded::new(seed), Hook::EndSavedPid, 0);
        let reaped = Rc::new(RefCell::new(Vec::new()));
        stage.run({
            let reaped = reaped.clone();
            async move |sys, me| {
                for _ in 0..2 {
                    let reaped = reaped.clone();
                    let w = Work::new("w", async move |sys: Rc<System>, me| {
                        let all = wait_for_all(&sys, me).await;
                        reaped.borrow_mut().extend(all);
                        do_exit(&sys, me, 0).await;
                    });
                    must_fork(&sys, me, FORK, exits("c")).await;
                    must_fork(&sys, me, THREAD, w).await;
                    must_fork(&sys, me, FORK, exits("d")).await;
                }
                let all = wait_for_all(&sys, me).await;
                reaped.borrow_mut().extend(all);
            }
        });
        let mut pids: Vec<_> = reaped.borrow().iter().map(|(pid, _)| *pid).collect();
        pids.sort_unstable();
        pids.dedup();
        assert_eq!((pids.len(), reaped.borrow().len()), (4, 4), "seed {seed}");
        assert_eq!(stage.violations(), [], "seed {seed}");
    }
}
