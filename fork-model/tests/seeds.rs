//! Random runs of a small family: forks, vforks and threads to the third generation, each waited for or left to init.

mod common;

use std::rc::Rc;

use common::{FORK, Stage};
use forklab_fork_model::exec::do_execve;
use forklab_fork_model::exit::{WaitFor, do_exit, wait4};
use forklab_fork_model::fork::{do_fork, flags};
use forklab_fork_model::sched::Work;
use forklab_fork_model::{Hook, System, TaskRef};
use sim::{Config, Ended, LaneName, Rule, Seeded};

const SEEDS: u64 = 300;
const THREAD: u32 = flags::VM | flags::FS | flags::FILES | flags::SIGHAND | flags::THREAD;
const VFORK: u32 = flags::VM | flags::VFORK | FORK;

/// The machine of a seed: 1, 2 or 4 CPUs, with and without preemption.
fn machine(seed: u64) -> Config {
    let cpus = [1, 2, 4][usize::try_from(seed % 3).expect("small")];
    Config { cpus, preempt: seed / 3 % 2 == 1, ..Config::default() }
}

/// One of the family: it makes a plain child, a vfork child and a thread, each with a family of its own.
///
/// Every second generation waits for its children; what the others leave behind is init's.
fn member(name: String, generation: u32) -> Work {
    let lane = LaneName::from_text(&name).expect("a few letters");
    Work::new(lane, move |sys, me| life(sys, me, name, generation))
}

async fn life(sys: Rc<System>, me: TaskRef, name: String, generation: u32) {
    if generation < 3 {
        for (letter, clone_flags) in [("f", FORK), ("v", VFORK), ("t", THREAD)] {
            let child = member(format!("{name}{letter}"), generation + 1);
            do_fork(&sys, me, clone_flags, Some(child)).await.expect("no fault was asked for");
            sys.m.user_point().await;
        }
        if generation.is_multiple_of(2) {
            while wait4(&sys, me, WaitFor::Any, false).await.is_ok() {}
        }
    } else if name.ends_with('v') {
        do_execve(&sys, me).await;
        sys.m.user_point().await;
    }
    do_exit(&sys, me, 0).await;
}

/// One run, to its quiet end.
fn family(seed: u64, hook: Hook) -> Stage {
    let stage = Stage::new(machine(seed), Seeded::new(seed), hook, 1);
    run_family(seed, &stage);
    stage
}

fn run_family(seed: u64, stage: &Stage) {
    let ended = stage.run(|sys, me| life(sys, me, "p".into(), 0));
    assert_eq!(ended, Ended::Quiet, "seed {seed}: {:?}", stage.violations());
}

/// The hash of the trace of one run.
fn hash(seed: u64) -> String {
    let stage = Stage::new(machine(seed), Seeded::new(seed), Hook::End, 1);
    stage.sys.m.trace.start_hash();
    run_family(seed, &stage);
    stage.sys.m.trace.hash().expect("it was asked for")
}

#[test]
fn with_the_saved_pid_no_seed_breaks_a_rule_or_leaves_anything_behind() {
    for seed in 0..SEEDS {
        let empty = Stage::new(machine(seed), Seeded::new(seed), Hook::EndSavedPid, 1);
        let stage = family(seed, Hook::EndSavedPid);
        assert_eq!(stage.violations(), [], "seed {seed}");
        let heard = &stage.heard()[0];
        assert_eq!(heard.len(), 3 + 9 + 27 + 1, "seed {seed}: everybody of the family is heard of");
        let left = |stage: &Stage| {
            let sys = &stage.sys;
            let user = sys.user(sys.task(stage.init, |t| t.user), |u| *u);
            (
                sys.live().len(),
                sys.live_tasks(),
                sys.nr_threads.get(),
                sys.process_counts.get(),
                user,
                sys.pids.nr_free(),
            )
        };
        assert_eq!(left(&stage), left(&empty), "seed {seed}");
    }
}

#[test]
fn with_the_patch_as_posted_the_same_seeds_find_its_bug_and_no_other() {
    let mut found = 0;
    for seed in 0..SEEDS {
        let stage = family(seed, Hook::End);
        let violations = stage.violations();
        assert!(violations.iter().all(|v| v.rule == Rule::UseAfterFree && v.text.contains("do_fork() reads p->pid")));
        found += u32::from(!violations.is_empty());
    }
    assert!(found > 0, "not one of {SEEDS} seeds let a child go before its parent told of it");
}

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    for seed in 0..24 {
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
    }
    assert_ne!(hash(1), hash(7), "two seeds on the same machine");
}
