//! What the exhaustive search promises: each kind of run once, and none left out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Mutex;

use forklab_sim::explore::exhaustive::{Bounds, Exhaustive};
use forklab_sim::explore::{Ran, Trial, Verdict, search};
use forklab_sim::lock::{Lock, Mode, WaitQueue};
use forklab_sim::touch::Shared;
use forklab_sim::{Config, Lent, Machine};

/// One access of a lane.
#[derive(Clone, Copy, Debug)]
enum Op {
    Read(usize),
    Write(usize),
    /// Lock, read and write, unlock.
    Update(usize),
    Lock(usize),
    Unlock(usize),
}
use Op::{Lock as L, Read as R, Unlock as U, Update as Up, Write as W};

const NAMES: [&str; 4] = ["x", "y", "z", "w"];
const LOCKS: [&str; 4] = ["lx", "ly", "lz", "lw"];
const LANES: [&str; 4] = ["a", "b", "c", "d"];

/// What each lane saw, and what is left in the variables: two runs of one kind agree in it.
type Outcome = String;

struct Ops<'a> {
    lanes: &'a [&'a [Op]],
    cpus: u32,
    preempt: bool,
    outcomes: Mutex<BTreeSet<Outcome>>,
    runs: Mutex<u64>,
}

impl Trial for Ops<'_> {
    fn run(&self, chooser: Lent) -> Ran {
        let m = Machine::new(Config { cpus: self.cpus, preempt: self.preempt, ..Config::default() }, chooser);
        let vars = Rc::new(NAMES.map(|name| Shared::new(name, 0u64)));
        let locks = Rc::new(LOCKS.map(Lock::new));
        let seen = Rc::new(RefCell::new(vec![Vec::new(); self.lanes.len()]));
        for (i, ops) in self.lanes.iter().enumerate() {
            let (m2, vars, locks, seen, ops) = (m.clone(), vars.clone(), locks.clone(), seen.clone(), ops.to_vec());
            m.spawn(LANES[i], async move {
                let m = &*m2;
                let mut held = Vec::new();
                for op in ops {
                    match op {
                        R(v) => {
                            m.point().await;
                            seen.borrow_mut()[i].push(vars[v].get(m));
                        }
                        W(v) => {
                            m.point().await;
                            vars[v].set(m, (i + 1) as u64);
                        }
                        Up(v) => {
                            let lock = locks[v].take(m, Mode::SPIN).await;
                            let before = vars[v].get(m);
                            vars[v].set(m, before * 10 + (i + 1) as u64);
                            drop(lock);
                        }
                        L(v) => held.push((v, locks[v].take(m, Mode::SPIN).await)),
                        U(v) => {
                            m.point().await;
                            held.retain(|(lock, _)| *lock != v);
                        }
                    }
                }
            });
        }
        let ended = m.run();
        let left: Vec<_> = vars.iter().map(Shared::peek).collect();
        *self.runs.lock().unwrap() += 1;
        if ended != forklab_sim::Ended::Stopped {
            self.outcomes.lock().unwrap().insert(format!("{:?} {left:?} {ended:?}", seen.borrow()));
        }
        Ran { found: Vec::new(), steps: m.step(), placement: m.placement_matters() }
    }
}

/// Executions of the reduced search, and of the full one; they must see the same outcomes.
fn explore(lanes: &[&[Op]], cpus: u32) -> (u64, u64) {
    explore_on(lanes, cpus, false)
}

/// The same, on a machine that may be preempted.
fn explore_on(lanes: &[&[Op]], cpus: u32, preempt: bool) -> (u64, u64) {
    let run = |bounds: Bounds| {
        let trial = Ops { lanes, cpus, preempt, outcomes: Mutex::default(), runs: Mutex::default() };
        let verdict = search(&trial, Exhaustive::new(bounds), u64::MAX, |_| ());
        assert!(matches!(verdict, Verdict::Proved { .. }));
        (verdict.executions(), trial.outcomes.into_inner().unwrap())
    };
    let (reduced, few) = run(Bounds::default());
    let (full, all) = run(Bounds { preemptions: Some(u32::MAX), ..Bounds::default() });
    assert_eq!(few, all, "{lanes:?}: the reduced search must see what the full one sees");
    (reduced, full)
}

#[test]
fn steps_that_do_not_meet_are_run_in_one_order() {
    assert_eq!(explore(&[&[W(0), W(0)], &[W(1), W(1)]], 4).0, 1);
    assert_eq!(explore(&[&[R(0)], &[R(0)], &[R(0)]], 4).0, 1);
}

#[test]
fn two_writes_of_one_variable_are_run_in_both_orders() {
    assert_eq!(explore(&[&[W(0)], &[W(0)]], 4).0, 2);
    assert_eq!(explore(&[&[W(0)], &[W(0)], &[W(0)]], 4).0, 6);
}

/// The example of the paper: one writer of x, two readers that first read something else.
#[test]
fn a_writer_and_two_readers_have_four_kinds_of_run() {
    assert_eq!(explore(&[&[W(0)], &[R(1), R(0)], &[R(2), R(0)]], 4).0, 4);
}

#[test]
fn a_lock_is_taken_in_every_order_and_waiting_for_it_is_no_run_of_its_own() {
    assert_eq!(explore(&[&[Up(0)], &[Up(0)]], 4).0, 2);
    assert_eq!(explore(&[&[Up(0)], &[Up(0)], &[Up(0)]], 4).0, 6);
    assert_eq!(explore(&[&[L(0), W(0), U(0)], &[L(0), R(0), U(0)]], 4).0, 2);
}

#[test]
fn locks_taken_crosswise_deadlock_in_one_kind_of_run() {
    assert_eq!(explore(&[&[L(0), L(1), U(1), U(0)], &[L(1), L(0), U(0), U(1)]], 4).0, 3);
}

#[test]
fn with_fewer_cpus_than_lanes_nothing_is_left_out_either() {
    explore(&[&[W(0), R(1)], &[W(1), R(0)], &[W(0)]], 2);
    explore(&[&[W(0), R(1)], &[W(1), R(0)]], 1);
}

#[test]
fn a_sleeper_is_woken_in_every_order() {
    let trial = |chooser: Lent| {
        let m = Machine::new(Config { cpus: 4, ..Config::default() }, chooser);
        let (queue, flag) = (Rc::new(WaitQueue::default()), Rc::new(Shared::new("flag", 0)));
        let (q, f, m2) = (queue.clone(), flag.clone(), m.clone());
        m.spawn("waits", async move { q.wait_event(&m2, "flag", false, || f.get(&m2) == 1).await });
        let m2 = m.clone();
        m.spawn("wakes", async move {
            m2.point().await;
            flag.add_return(&m2, |_| 1);
            queue.wake_up(&m2);
        });
        m.run();
        let found = m.violations().clone();
        Ran { found, steps: m.step(), placement: m.placement_matters() }
    };
    let verdict = search(&trial, Exhaustive::default(), u64::MAX, |_| ());
    assert!(matches!(verdict, Verdict::Proved { executions: 2, .. }), "{verdict:?}");
}

/// One to four accesses, from two drawn numbers.
fn ops((kind, v): (usize, usize)) -> Vec<Op> {
    let next = (v + 1) % 3;
    match kind {
        0 => vec![R(v)],
        1 => vec![W(v)],
        2 => vec![Up(v)],
        3 => vec![L(v), R(next), U(v)],
        _ => vec![L(v), Up(next), U(v)],
    }
}

fn explore_drawn(lanes: &[Vec<(usize, usize)>], cpus: u32, preempt: bool) {
    let lanes: Vec<Vec<Op>> = lanes.iter().map(|drawn| drawn.iter().copied().flat_map(ops).collect()).collect();
    let slices: Vec<&[Op]> = lanes.iter().map(Vec::as_slice).collect();
    let (reduced, full) = explore_on(&slices, cpus, preempt);
    assert!(reduced <= full);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    #[test]
    fn of_two_lanes_the_reduced_search_sees_what_the_full_one_sees(
        lanes in proptest::collection::vec(proptest::collection::vec((0..5usize, 0..3usize), 1..4), 2..3),
        cpus in 1..4u32,
        preempt: bool,
    ) {
        explore_drawn(&lanes, cpus, preempt);
    }

    #[test]
    fn of_three_lanes_the_reduced_search_sees_what_the_full_one_sees(
        lanes in proptest::collection::vec(proptest::collection::vec((0..3usize, 0..3usize), 1..3), 3..4),
        cpus in 1..5u32,
        preempt: bool,
    ) {
        explore_drawn(&lanes, cpus, preempt);
    }

    #[test]
    fn of_lanes_that_lock_crosswise_the_reduced_search_sees_every_deadlock(
        lanes in proptest::collection::vec(proptest::collection::vec((3..5usize, 0..3usize), 1..2), 3..4),
        cpus in 2..5u32,
        preempt: bool,
    ) {
        explore_drawn(&lanes, cpus, preempt);
    }
}

#[test]
#[should_panic(expected = "flag: the condition touches nothing")]
fn a_condition_that_an_explorer_cannot_see_is_no_part_of_a_proof() {
    let trial = |chooser: Lent| {
        let m = Machine::new(Config::default(), chooser);
        let (flag, lane) = (Rc::new(Cell::new(true)), m.clone());
        m.spawn("waits", async move { WaitQueue::default().wait_event(&lane, "flag", false, || flag.get()).await });
        m.run();
        Ran::default()
    };
    search(&trial, Exhaustive::default(), u64::MAX, |_| ());
}
