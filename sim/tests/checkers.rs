//! The checkers of the machine: what they catch, and where they must not cry.
//!
//! Each story is told under every schedule; a checker that cries in one of them has cried.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use forklab_sim::explore::exhaustive::{Bounds, Exhaustive};
use forklab_sim::explore::{Ran, Verdict, search};
use forklab_sim::lock::{Completion, Lock, Mode, WaitQueue};
use forklab_sim::touch::{Access, Object, Shared};
use forklab_sim::{Config, Ended, Lent, Machine, Rule};

/// What was found in any of all runs of a story on two CPUs.
fn found(tell: impl Fn(&Rc<Machine>) + Sync) -> BTreeSet<String> {
    let all = std::sync::Mutex::new(BTreeSet::new());
    let trial = |chooser: Lent| {
        let m = Machine::new(Config { cpus: 3, ..Config::default() }, chooser);
        tell(&m);
        let ended = m.run();
        if ended != Ended::Stopped {
            all.lock().expect("one thread").extend(m.violations().iter().map(|violation| violation.text.clone()));
        }
        Ran { found: Vec::new(), steps: m.step(), placement: m.placement_matters() }
    };
    let verdict = search(&trial, Exhaustive::new(Bounds::default()), 100_000, |_| ());
    assert!(matches!(verdict, Verdict::Proved { .. }), "not all runs were tried");
    all.into_inner().expect("one thread")
}

/// Starts a lane with a machine and what it shares with others.
fn lane<T: 'static, F: Future<Output = ()> + 'static>(
    m: &Rc<Machine>,
    name: &'static str,
    shared: &Rc<T>,
    work: fn(Rc<Machine>, Rc<T>) -> F,
) {
    m.spawn(name, work(m.clone(), shared.clone()));
}

const SILENT: [&str; 0] = [];

fn is_found(tell: impl Fn(&Rc<Machine>) + Sync, expected: &[&str]) {
    let found = found(tell);
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

// Lost wake-ups: `Machine::shake`.

/// A condition and who sleeps for it. Whoever opens the door or calls touches it: a wait queue is no object of its own, and
/// the search takes a wake-up that touches nothing for a step that commutes with going to sleep.
struct Door {
    open: Cell<bool>,
    queue: WaitQueue,
}

const DOOR: Object = Object::named("door");

impl Door {
    fn is_open(&self, m: &Machine) -> bool {
        m.touch(DOOR, Access::Read);
        self.open.get()
    }

    fn open(&self, m: &Machine) {
        m.touch(DOOR, Access::Write);
        self.open.set(true);
    }

    fn call(&self, m: &Machine) {
        m.touch(DOOR, Access::Write);
        self.queue.wake_up(m);
    }
}

fn door() -> Rc<Door> {
    Rc::new(Door { open: Cell::new(false), queue: WaitQueue::default() })
}

async fn waits(m: Rc<Machine>, door: Rc<Door>) {
    door.queue.wait_event(&m, "door", false, || door.is_open(&m)).await;
}

#[test]
fn a_sleeper_whose_condition_came_without_a_wake_up_is_told_from_one_whose_condition_never_came() {
    is_found(
        |m| {
            let shared = door();
            lane(m, "w", &shared, waits);
            lane(m, "s", &shared, |m, door| async move {
                m.point().await;
                door.open(&m); // And nobody is woken.
            });
        },
        &["lost wake-up: lane w sleeps in door for what has come"],
    );
    is_found(
        |m| {
            let shared = door();
            lane(m, "w", &shared, waits);
        },
        &["deadlock: lane w waits for door"],
    );
}

#[test]
fn a_wake_up_that_comes_before_its_condition_is_lost_and_the_right_order_is_silent() {
    is_found(
        |m| {
            let shared = door();
            lane(m, "w", &shared, waits);
            lane(m, "s", &shared, |m, door| async move {
                door.call(&m);
                m.point().await;
                door.open(&m);
            });
        },
        &["lost wake-up: lane w sleeps in door for what has come"],
    );
    is_found(
        |m| {
            let shared = door();
            lane(m, "w", &shared, waits);
            lane(m, "s", &shared, |m, door| async move {
                door.open(&m);
                m.point().await;
                door.call(&m);
            });
        },
        &SILENT,
    );
}

#[test]
fn a_sleeper_that_was_woken_for_nothing_goes_on_waiting_and_is_not_called_lost() {
    is_found(
        |m| {
            let shared = door();
            lane(m, "w", &shared, waits);
            lane(m, "s", &shared, |m, door| async move { door.call(&m) });
        },
        &["deadlock: lane w waits for door"],
    );
}

#[test]
fn a_patient_sleeper_is_neither_lost_nor_deadlocked_even_if_what_it_waits_for_has_come() {
    is_found(
        |m| {
            let shared = door();
            lane(m, "w", &shared, |m, door| async move {
                door.queue.wait_event(&m, "door", true, || door.is_open(&m)).await;
            });
            lane(m, "s", &shared, |m, door| async move { door.open(&m) });
        },
        &SILENT,
    );
}

#[test]
fn of_two_sleepers_that_one_event_should_wake_only_the_forgotten_one_is_named() {
    is_found(
        |m| {
            let shared = door();
            lane(m, "w", &shared, waits);
            lane(m, "x", &Rc::new((shared.clone(), WaitQueue::default())), |m, other| async move {
                other.1.wait_event(&m, "back door", false, || other.0.is_open(&m)).await;
            });
            lane(m, "s", &shared, |m, door| async move {
                m.point().await;
                door.open(&m);
                door.call(&m);
            });
        },
        &["lost wake-up: lane x sleeps in back door for what has come"],
    );
}

#[test]
fn a_completion_never_loses_its_wake_up() {
    is_found(
        |m| {
            let shared = Rc::new(Completion::named("done"));
            lane(m, "w", &shared, |m, done| async move { done.wait_for_completion(&m).await });
            lane(m, "x", &shared, |m, done| async move { done.wait_for_completion(&m).await });
            lane(m, "s", &shared, |m, done| async move {
                done.complete(&m);
                m.point().await;
                done.complete(&m);
            });
        },
        &SILENT,
    );
}

#[test]
fn whoever_waits_for_a_lock_that_a_lost_sleeper_holds_is_deadlocked_and_not_lost() {
    is_found(
        |m| {
            let shared = Rc::new((door(), Lock::new("sem")));
            lane(m, "w", &shared, |m, both| async move {
                let _held = both.1.take(&m, Mode::DOWN_WRITE).await;
                waits(m.clone(), both.0.clone()).await;
            });
            lane(m, "x", &shared, |m, both| async move {
                m.point().await;
                both.0.open(&m);
                drop(both.1.take(&m, Mode::DOWN_WRITE).await);
            });
        },
        &["deadlock: lane x waits for sem", "lost wake-up: lane w sleeps in door for what has come"],
    );
}

// Lock order: `lockdep`.

type Two = (Lock, Lock);

fn two() -> Rc<Two> {
    Rc::new((Lock::new("first"), Lock::new("second")))
}

async fn both(m: Rc<Machine>, one: &Lock, other: &Lock, modes: [&'static Mode; 2]) {
    let outer = one.take(&m, modes[0]).await;
    let inner = other.take(&m, modes[1]).await;
    drop((inner, outer));
}

#[test]
fn an_inversion_is_found_in_one_lane_that_can_never_deadlock() {
    is_found(
        |m| {
            lane(m, "a", &two(), |m, two| async move {
                both(m.clone(), &two.0, &two.1, [Mode::SPIN; 2]).await;
                both(m.clone(), &two.1, &two.0, [Mode::SPIN; 2]).await;
            });
        },
        &["possible circular locking dependency detected: first is taken under second"],
    );
}

#[test]
fn a_circle_of_three_locks_is_found_and_is_told_once() {
    is_found(
        |m| {
            let three = Rc::new([Lock::new("l1"), Lock::new("l2"), Lock::new("l3")]);
            lane(m, "a", &three, |m, three| async move {
                for _ in 0..2 {
                    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
                        both(m.clone(), &three[one], &three[other], [Mode::SPIN; 2]).await;
                    }
                }
            });
        },
        &["possible circular locking dependency detected: l1 is taken under l3"],
    );
}

/// Who reads what another reads does not wait for him; a writer on either side of both locks is what it takes.
#[test]
fn readers_that_cross_are_silent_and_readers_that_meet_writers_both_times_are_found() {
    let crossing = |modes: [[&'static Mode; 2]; 2], found: &[&str]| {
        is_found(
            |m| {
                let shared = Rc::new((Lock::new("first"), Lock::new("second"), modes));
                lane(m, "a", &shared, |m, shared| async move {
                    let (first, second, modes) = &*shared;
                    both(m.clone(), first, second, modes[0]).await;
                    both(m.clone(), second, first, modes[1]).await;
                });
            },
            found,
        );
    };
    let found = ["possible circular locking dependency detected: first is taken under second"];
    crossing([[Mode::READ; 2]; 2], &[]);
    crossing([[Mode::READ, Mode::SPIN], [Mode::SPIN, Mode::READ]], &[]);
    crossing([[Mode::READ, Mode::SPIN], [Mode::SPIN, Mode::WRITE]], &found);
    crossing([[Mode::WRITE, Mode::READ], [Mode::WRITE, Mode::READ]], &found);
}

#[test]
fn locks_that_nest_in_one_order_are_silent_in_any_number_of_lanes_and_modes() {
    is_found(
        |m| {
            let shared = two();
            lane(m, "a", &shared, |m, two| async move { both(m, &two.0, &two.1, [Mode::SPIN; 2]).await });
            lane(m, "b", &shared, |m, two| async move { both(m, &two.0, &two.1, [Mode::READ, Mode::SPIN_IRQ]).await });
        },
        &SILENT,
    );
}

#[test]
fn locks_that_follow_each_other_without_nesting_have_no_order() {
    is_found(
        |m| {
            lane(m, "a", &two(), |m, two| async move {
                for (one, other) in [(&two.0, &two.1), (&two.1, &two.0)] {
                    drop(one.take(&m, Mode::SPIN).await);
                    drop(other.take(&m, Mode::SPIN).await);
                }
            });
        },
        &SILENT,
    );
}

#[test]
fn a_lock_that_is_released_before_the_one_taken_under_it_leaves_no_order_to_the_next() {
    is_found(
        |m| {
            lane(m, "a", &two(), |m, two| async move {
                let outer = two.0.take(&m, Mode::SPIN).await;
                let inner = two.1.take(&m, Mode::SPIN).await;
                drop(outer);
                drop(inner);
                // Nothing is held any more: this is no inversion.
                drop(two.1.take(&m, Mode::SPIN).await);
                drop(two.0.take(&m, Mode::SPIN).await);
            });
        },
        &SILENT,
    );
}

#[test]
fn readers_of_one_lock_may_nest_in_it() {
    is_found(
        |m| {
            let shared = two();
            lane(m, "a", &shared, |m, two| async move { both(m, &two.0, &two.0, [Mode::READ; 2]).await });
            lane(m, "b", &shared, |m, two| async move { drop(two.0.take(&m, Mode::READ).await) });
        },
        &SILENT,
    );
}

#[test]
fn a_lane_that_takes_its_own_lock_again_is_a_deadlock_and_no_matter_of_order() {
    is_found(
        |m| lane(m, "a", &two(), |m, two| async move { both(m, &two.0, &two.0, [Mode::SPIN; 2]).await }),
        &["deadlock: lane a waits for first, and holds first (since step 2)"],
    );
}

/// Stricter than this machine needs: with no writer anywhere, readers that cross cannot block each other. It is kept: a
/// semaphore that lets a waiting writer go first (as Linux has them, and this machine has not) would make a deadlock of it.
#[test]
fn readers_of_semaphores_that_cross_are_told_of_although_they_cannot_deadlock_here() {
    is_found(
        |m| {
            let shared = two();
            lane(m, "a", &shared, |m, two| async move { both(m, &two.0, &two.1, [Mode::DOWN_READ; 2]).await });
            lane(m, "b", &shared, |m, two| async move { both(m, &two.1, &two.0, [Mode::DOWN_READ; 2]).await });
        },
        // Reads commute: of the two orders one is tried.
        &["possible circular locking dependency detected: first is taken under second"],
    );
}

// Unlocked shared counters: `touch::Shared`.

type Counted = (Shared<u32>, Lock, Completion);

fn counted() -> Rc<Counted> {
    Rc::new((Shared::new("count", 0), Lock::new("count_lock"), Completion::named("set up")))
}

async fn plain(m: Rc<Machine>, counted: Rc<Counted>) {
    let seen = counted.0.get(&m);
    m.point().await;
    counted.0.set(&m, seen + 1);
}

async fn locked(m: Rc<Machine>, counted: Rc<Counted>) {
    let held = counted.1.take(&m, Mode::SPIN).await;
    counted.0.set(&m, counted.0.get(&m) + 1);
    drop(held);
}

#[test]
fn two_lanes_that_count_without_a_lock_are_caught_also_where_no_update_is_lost() {
    let found = found(|m| {
        let shared = counted();
        lane(m, "a", &shared, plain);
        lane(m, "b", &shared, plain);
    });
    assert!(!found.is_empty());
    for text in found {
        assert!(text.starts_with("unlocked shared counter: lanes ") && text.contains(" meet in count "), "{text}");
    }
}

#[test]
fn one_lane_with_the_lock_and_one_without_are_caught() {
    let found = found(|m| {
        let shared = counted();
        lane(m, "a", &shared, locked);
        lane(m, "b", &shared, plain);
    });
    assert!(!found.is_empty());
}

#[test]
fn two_lanes_with_different_locks_have_none_in_common() {
    let found = found(|m| {
        let shared = Rc::new((counted(), Lock::new("other_lock")));
        lane(m, "a", &shared.0, locked);
        lane(m, "b", &shared, |m, shared| async move {
            let held = shared.1.take(&m, Mode::SPIN).await;
            shared.0.0.set(&m, 7);
            shared.0.0.set(&m, 8);
            drop(held);
        });
        lane(m, "c", &shared.0, locked);
    });
    assert!(!found.is_empty());
}

#[test]
fn a_counter_under_one_lock_is_silent_whatever_else_is_held() {
    is_found(
        |m| {
            let shared = counted();
            lane(m, "a", &shared, locked);
            lane(m, "b", &shared, |m, counted| async move {
                let lock = Lock::new("another");
                let outer = lock.take(&m, Mode::SPIN).await;
                locked(m.clone(), counted).await;
                drop(outer);
            });
        },
        &SILENT,
    );
}

#[test]
fn atomic_additions_and_one_lane_alone_need_no_lock() {
    is_found(
        |m| {
            let shared = counted();
            for name in ["a", "b"] {
                lane(m, name, &shared, |m, counted| async move {
                    counted.0.add(&m, |count| count + 1);
                    m.point().await;
                    counted.0.add_return(&m, |count| count + 1);
                });
            }
        },
        &SILENT,
    );
    is_found(|m| lane(m, "a", &counted(), plain), &SILENT);
}

#[test]
fn lanes_that_only_read_need_no_lock() {
    is_found(
        |m| {
            let shared = counted();
            for name in ["a", "b", "c"] {
                lane(m, name, &shared, |m, counted| async move {
                    counted.0.get(&m);
                    m.point().await;
                    counted.0.get(&m);
                });
            }
        },
        &SILENT,
    );
}

#[test]
fn a_variable_that_one_lane_sets_up_before_the_others_come_needs_no_lock_for_that() {
    is_found(
        |m| {
            let shared = counted();
            lane(m, "a", &shared, |m, counted| async move {
                counted.0.set(&m, 40);
                counted.2.complete(&m);
            });
            lane(m, "b", &shared, |m, counted| async move {
                counted.2.wait_for_completion(&m).await;
                locked(m, counted).await;
            });
        },
        &SILENT,
    );
}

#[test]
fn a_finding_is_a_data_race_by_rule() {
    let m = Machine::new(Config { cpus: 2, ..Config::default() }, forklab_sim::Calm);
    let shared = counted();
    lane(&m, "a", &shared, plain);
    lane(&m, "b", &shared, plain);
    m.run();
    assert_eq!(m.violations()[0].rule, Rule::DataRace);
}
