//! The patch's bug: the parent reads the child after it has set it free to run (property P18).
//!
//! Four ways in which the child's structure is freed before the hook reads it, one in which it is not, and the repair.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{FORK, FirstOf, Stage, cpus, event, exits, ignore_sigchld};
use forklab_fork_model::exit::{WaitFor, wait4};
use forklab_fork_model::fork::{do_fork, flags};
use forklab_fork_model::sched::{ExitState, Work};
use forklab_fork_model::{Hook, System, TaskRef};
use sim::What;

/// 0x6b6b6b6b, what a freed structure is filled with.
const POISONED: i32 = 1_802_201_963;
const THREAD: u32 = flags::VM | flags::FS | flags::FILES | flags::SIGHAND | flags::THREAD;

/// Ways for a child to be gone before its parent is told that it was born.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The parent ignores `SIGCHLD`: the child reaps itself.
    Autoreap,
    /// The child is a thread: it reaps itself.
    Thread,
    /// Another thread of the parent waits for any child.
    OtherThreadWaits,
    /// The child is its parent's sibling, and the grandparent waits.
    Parent,
}

const WAYS: [Way; 4] = [Way::Autoreap, Way::Thread, Way::OtherThreadWaits, Way::Parent];

/// What came of it: the forking task's pid, and what `do_fork()` returned.
type Outcome = Rc<Cell<Option<(i32, i32)>>>;

/// One fork whose child is gone as early as can be.
fn stage(way: Way, hook: Hook, machine: sim::Config) -> (Stage, i32, i32) {
    let stage = Stage::new(machine, FirstOf(&["c", "q", "init", "p"]), hook, 1);
    let outcome = Outcome::default();
    stage.run({
        let outcome = outcome.clone();
        async move |sys, me| outcome.set(Some(parent(way, &sys, me).await))
    });
    let (parent, child) = outcome.take().expect("the parent came to its end");
    (stage, parent, child)
}

async fn parent(way: Way, sys: &Rc<System>, me: TaskRef) -> (i32, i32) {
    let clone_flags = match way {
        Way::Autoreap => {
            ignore_sigchld(sys, me);
            FORK
        }
        Way::Thread => THREAD,
        Way::OtherThreadWaits => {
            let waits = async |sys: Rc<System>, me| {
                wait4(&sys, me, WaitFor::Any, true).await.expect("there will be a child");
            };
            do_fork(sys, me, THREAD, Some(Work::new("q", waits))).await.expect("no fault was asked for");
            FORK
        }
        Way::Parent => FORK | flags::PARENT,
    };
    let child = do_fork(sys, me, clone_flags, Some(exits("c"))).await.expect("no fault was asked for");
    (sys.task(me, |t| t.pid), child)
}

/// The hook reads freed memory, says so, and tells who freed it; `do_fork()` returns the right pid all the same.
fn the_parent_reads_a_freed_child(way: Way) {
    let stage = Stage::new(cpus(2), FirstOf(&["c", "q", "init", "p"]), Hook::End, 1);
    let recording = stage.sys.m.trace.record();
    let outcome = Outcome::default();
    stage.run({
        let outcome = outcome.clone();
        async move |sys, me| outcome.set(Some(parent(way, &sys, me).await))
    });
    let (parent, child) = outcome.take().expect("the parent came to its end");

    let mut frees = recording.events().into_iter();
    let freed = frees.find(|event| matches!(event.what, What::Free { by: "free_task_struct", .. }));
    let freed = freed.expect("the child was freed");
    let violation = stage.use_after_free();
    assert_eq!(violation.text, "use after free: do_fork() reads p->pid");
    assert_eq!(
        violation.cause,
        Some(format!("freed by lane {} in step {} (free_task_struct)", freed.lane, freed.step))
    );
    assert!(freed.step < violation.step);
    assert_eq!(violation.lane.as_str(), "p");

    assert_eq!(stage.heard()[0].last(), Some(&event(parent, POISONED)));
    assert_eq!(child, stage.sys.pids.last_pid.get(), "do_fork() returns what it allocated, not what it reads");
}

#[test]
fn parent_reads_child_after_autoreap() {
    the_parent_reads_a_freed_child(Way::Autoreap);
}

#[test]
fn parent_reads_a_thread_that_has_exited() {
    the_parent_reads_a_freed_child(Way::Thread);
}

#[test]
fn parent_reads_a_child_that_its_other_thread_has_reaped() {
    the_parent_reads_a_freed_child(Way::OtherThreadWaits);
}

#[test]
fn parent_reads_a_sibling_that_the_grandparent_has_reaped() {
    the_parent_reads_a_freed_child(Way::Parent);
}

#[test]
fn end_saved_pid_reports_the_right_pid_in_all_four() {
    for way in WAYS {
        let (stage, parent, child) = stage(way, Hook::EndSavedPid, cpus(2));
        assert_eq!(stage.violations(), [], "{way:?}");
        assert_eq!(stage.heard()[0].last(), Some(&event(parent, child)), "{way:?}");
    }
}

#[test]
fn one_cpu_without_preemption_hides_the_bug() {
    for way in WAYS {
        let (stage, parent, child) = stage(way, Hook::End, cpus(1));
        assert_eq!(stage.violations(), [], "{way:?}: the child runs when its parent sleeps, which is after the hook");
        assert_eq!(stage.heard()[0].last(), Some(&event(parent, child)), "{way:?}");
    }
}

#[test]
fn one_cpu_with_preemption_is_enough_for_the_bug() {
    let machine = sim::Config { preempt: true, ..cpus(1) };
    let (stage, parent, _) = stage(Way::Autoreap, Hook::End, machine);
    stage.use_after_free();
    assert_eq!(stage.heard()[0].last(), Some(&event(parent, POISONED)));
}

#[test]
fn a_plain_child_stays_a_zombie_and_the_hook_reads_a_live_structure() {
    let stage = Stage::new(cpus(2), FirstOf(&["c", "init", "p"]), Hook::End, 1);
    let state = Rc::new(Cell::new(None));
    stage.run({
        let state = state.clone();
        async move |sys: Rc<System>, me| {
            let child = do_fork(&sys, me, FORK, Some(exits("c"))).await.expect("no fault was asked for");
            let zombie = sys.find_task_by_pid(child).expect("nobody has waited for it");
            state.set(Some(sys.task(zombie, |t| (t.exit_state, t.usage))));
            let reaped = wait4(&sys, me, WaitFor::Pid(child), false).await;
            assert_eq!(reaped, Ok((child, 0)));
            assert!(!sys.is_there(zombie), "released by the wait");
        }
    });
    // One reference is left: the process table's. The child's own went when it left its CPU.
    assert_eq!(state.get(), Some((ExitState::Zombie, 1)));
    assert_eq!(stage.violations(), []);
}
