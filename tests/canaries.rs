//! A canary for each rule: a seeded fault that must be caught, worded as the kernel words it, and a twin without the fault
//! that must stay silent. Each is told under every schedule. A rule without a canary does not compile.

use std::rc::Rc;

use forklab::museum::{defects, exhibits};
use forklab::property;
use sim::explore::exhaustive::{Bounds, Exhaustive};
use sim::explore::{Ran, Trial, Verdict, search};
use sim::lock::{Completion, Lock, Mode, WaitQueue};
use sim::mm::{Cache, Kind, Site};
use sim::touch::Shared;
use sim::{Config, Ended, Gfp, Lent, Machine, Rule};

const SITE: Site = Site("canary");

/// A story; with `guilty` the fault is in it.
type Tell = fn(&Rc<Machine>, guilty: bool);

struct Canary {
    /// How the finding begins.
    says: &'static str,
    tell: Tell,
}

/// The rules of the machine, one after the other; a new one must be put somewhere.
fn next(rule: Rule) -> Option<Rule> {
    match rule {
        Rule::UseAfterFree => Some(Rule::DoubleFree),
        Rule::DoubleFree => Some(Rule::OutOfBounds),
        Rule::OutOfBounds => Some(Rule::Leak),
        Rule::Leak => Some(Rule::AtomicSleep),
        Rule::AtomicSleep => Some(Rule::Deadlock),
        Rule::Deadlock => Some(Rule::Bug),
        Rule::Bug => Some(Rule::Oops),
        Rule::Oops => Some(Rule::Warning),
        Rule::Warning => Some(Rule::LockOrder),
        Rule::LockOrder => Some(Rule::LostWakeup),
        Rule::LostWakeup => Some(Rule::DataRace),
        Rule::DataRace | Rule::Law(_) => None,
    }
}

fn canary(rule: Rule) -> Canary {
    let (says, tell): (_, Tell) = match rule {
        Rule::UseAfterFree => ("use after free: b reads it\nfreed by lane a in step ", use_after_free),
        Rule::DoubleFree => ("double free: kfree\nfreed by lane ", double_free),
        Rule::OutOfBounds => ("strcpy wrote 1 byte past the 100 bytes of canary (its size class holds 128)", overflow),
        Rule::Leak => ("leak: 11 bytes of canary were never freed\nallocated by lane a in step ", leak),
        Rule::AtomicSleep => ("Debug: sleeping function called from invalid context at mm/slab.c", atomic_sleep),
        Rule::Deadlock => ("deadlock: lane a waits for second_lock, and holds first_lock (since step ", deadlock),
        Rule::Bug => ("kernel BUG at net/core/skbuff.c:skb_over_panic()", bug),
        Rule::Oops => ("Unable to handle kernel NULL pointer dereference in get_kobj_path_length()", oops),
        Rule::Warning => ("Badness in kref_get at lib/kref.c", warning),
        Rule::LockOrder => {
            ("possible circular locking dependency detected: first_lock is taken under second_lock", lock_order)
        }
        Rule::LostWakeup => ("lost wake-up: lane w sleeps in kernel/exit.c:do_wait() for what has come", lost_wakeup),
        Rule::DataRace => ("unlocked shared counter: lanes ", data_race),
        Rule::Law(law) => panic!("{law:?}: the museum has its canary"),
    };
    Canary { says, tell }
}

fn use_after_free(m: &Rc<Machine>, guilty: bool) {
    let cache: Rc<Cache<u32>> = Rc::new(Cache::new(Kind::Kmalloc));
    let read = Rc::new(Completion::named("read"));
    let (lane, spawner) = (m.clone(), m.clone());
    m.spawn("a", async move {
        let object = cache.alloc(&lane, SITE, 64, Gfp::KERNEL, 7).await.expect("nothing fails");
        let (other, objects, done) = (lane.clone(), cache.clone(), read.clone());
        spawner.spawn("b", async move {
            other.point().await;
            let _ = objects.with(&other, object, "b reads it", |value| *value);
            done.complete(&other);
        });
        if !guilty {
            read.wait_for_completion(&lane).await;
        }
        lane.point().await;
        cache.free(&lane, object, "kfree");
    });
}

fn double_free(m: &Rc<Machine>, guilty: bool) {
    let cache: Rc<Cache<u32>> = Rc::new(Cache::new(Kind::Kmalloc));
    let (lane, spawner) = (m.clone(), m.clone());
    m.spawn("a", async move {
        let object = cache.alloc(&lane, SITE, 64, Gfp::KERNEL, 7).await.expect("nothing fails");
        let (other, objects) = (lane.clone(), cache.clone());
        spawner.spawn("b", async move {
            other.point().await;
            if guilty {
                objects.free(&other, object, "kfree");
            }
        });
        lane.point().await;
        cache.free(&lane, object, "kfree");
    });
}

fn overflow(m: &Rc<Machine>, guilty: bool) {
    let lane = m.clone();
    m.spawn("a", async move {
        let buf = lane.kmalloc(SITE, 100, Gfp::KERNEL).await.expect("nothing fails");
        lane.write_at(buf, 90, if guilty { b"eleven byte" } else { b"ten bytes!" }, "strcpy");
        lane.kfree(buf, "kfree");
    });
}

fn leak(m: &Rc<Machine>, guilty: bool) {
    let lane = m.clone();
    m.spawn("a", async move {
        let buf = lane.kmalloc(SITE, 11, Gfp::KERNEL).await.expect("nothing fails");
        if !guilty {
            lane.kfree(buf, "kfree");
        }
    });
}

fn atomic_sleep(m: &Rc<Machine>, guilty: bool) {
    let lane = m.clone();
    m.spawn("a", async move {
        let lock = Lock::new("tasklist_lock");
        let held = lock.take(&lane, Mode::WRITE_IRQ).await;
        let gfp = if guilty { Gfp::KERNEL } else { Gfp::ATOMIC };
        let buf = lane.kmalloc(SITE, 11, gfp).await.expect("nothing fails");
        drop(held);
        lane.kfree(buf, "kfree");
    });
}

/// Takes two locks, one under the other.
async fn nest(m: &Machine, outer: &Lock, inner: &Lock) {
    let outer = outer.take(m, Mode::SPIN).await;
    let inner = inner.take(m, Mode::SPIN).await;
    drop((inner, outer));
}

fn locks() -> Rc<(Lock, Lock)> {
    Rc::new((Lock::new("first_lock"), Lock::new("second_lock")))
}

fn deadlock(m: &Rc<Machine>, guilty: bool) {
    let locks = locks();
    for (name, crosswise) in [("a", false), ("b", guilty)] {
        let (lane, locks) = (m.clone(), locks.clone());
        m.spawn(name, async move {
            let (outer, inner) = if crosswise { (&locks.1, &locks.0) } else { (&locks.0, &locks.1) };
            nest(&lane, outer, inner).await;
        });
    }
}

/// One lane alone: nothing can deadlock, and nothing has to.
fn lock_order(m: &Rc<Machine>, guilty: bool) {
    let (lane, locks) = (m.clone(), locks());
    m.spawn("a", async move {
        nest(&lane, &locks.0, &locks.1).await;
        let (outer, inner) = if guilty { (&locks.1, &locks.0) } else { (&locks.0, &locks.1) };
        nest(&lane, outer, inner).await;
    });
}

fn bug(m: &Rc<Machine>, guilty: bool) {
    let lane = m.clone();
    m.spawn("a", async move {
        let (room, message) = (1024, if guilty { 1025 } else { 1024 });
        if message > room {
            match lane.bug("net/core/skbuff.c", "skb_over_panic").await {}
        }
    });
}

fn oops(m: &Rc<Machine>, guilty: bool) {
    let lane = m.clone();
    m.spawn("a", async move {
        let name = (!guilty).then_some("fork_kobj");
        if name.is_none() {
            match lane.oops("get_kobj_path_length").await {}
        }
    });
}

fn warning(m: &Rc<Machine>, guilty: bool) {
    let lane = m.clone();
    m.spawn("a", async move {
        if guilty {
            lane.warn_on("lib/kref.c", "kref_get");
        }
    });
}

fn lost_wakeup(m: &Rc<Machine>, guilty: bool) {
    let shared = Rc::new((Shared::new("exit_state", 0), WaitQueue::default()));
    let (lane, there) = (m.clone(), shared.clone());
    m.spawn("w", async move {
        there.1.wait_event(&lane, "kernel/exit.c:do_wait()", false, || there.0.get(&lane) == 1).await;
    });
    let lane = m.clone();
    m.spawn("s", async move {
        lane.point().await;
        shared.0.add(&lane, |state| state + 1);
        if !guilty {
            shared.1.wake_up(&lane);
        }
    });
}

fn data_race(m: &Rc<Machine>, guilty: bool) {
    let shared = Rc::new((Shared::new("total_forks", 0), Lock::new("tasklist_lock")));
    for name in ["a", "b"] {
        let (lane, shared) = (m.clone(), shared.clone());
        m.spawn(name, async move {
            let held = if guilty { None } else { Some(shared.1.take(&lane, Mode::WRITE_IRQ).await) };
            let seen = shared.0.get(&lane);
            lane.point().await;
            shared.0.set(&lane, seen + 1);
            drop(held);
        });
    }
}

struct Told {
    tell: Tell,
    guilty: bool,
    /// Findings of other rules do not count.
    only: Option<Rule>,
}

impl Trial for Told {
    fn run(&self, chooser: Lent) -> Ran {
        let m = Machine::new(Config { cpus: 2, ..Config::default() }, chooser);
        (self.tell)(&m, self.guilty);
        let ended = m.run();
        m.report_leaks(&m.live(&[]));
        let mut found = m.violations().clone();
        found.retain(|violation| ended != Ended::Stopped && self.only.is_none_or(|rule| violation.rule == rule));
        Ran { found, steps: m.step(), placement: m.placement_matters() }
    }
}

fn search_all(told: &Told) -> Verdict {
    search(told, Exhaustive::new(Bounds::default()), 10_000, |_| ())
}

#[test]
fn every_rule_has_a_canary_that_is_caught_in_its_words_and_a_twin_that_stays_silent() {
    let rules: Vec<_> = std::iter::successors(Some(Rule::UseAfterFree), |rule| next(*rule)).collect();
    assert_eq!(rules.len(), 12, "{rules:?}");
    for rule in rules {
        let Canary { says, tell } = canary(rule);
        let caught = search_all(&Told { tell, guilty: true, only: Some(rule) });
        let finding = caught.finding().unwrap_or_else(|| panic!("{rule:?}: not caught, {caught:?}"));
        let text = finding.found[0].to_string();
        assert!(text.starts_with(says), "{rule:?}: {text:?} does not begin with {says:?}");
        let silent = search_all(&Told { tell, guilty: false, only: None });
        assert!(matches!(silent, Verdict::Proved { .. }), "{rule:?}: the twin is not silent: {silent:?}");
    }
}

/// Under one schedule after the other, as a fuzzer does it, each is caught, too.
#[test]
fn every_canary_is_caught_by_random_schedules() {
    for rule in std::iter::successors(Some(Rule::UseAfterFree), |rule| next(*rule)) {
        let told = Told { tell: canary(rule).tell, guilty: true, only: Some(rule) };
        let verdict = search(&told, sim::explore::random::Random::new(1, 0..500), 500, |_| ());
        assert!(verdict.finding().is_some(), "{rule:?}");
    }
}

/// An exhibit bears the number of the remark that it shows. P25a shows the cost half of its remark by the law of P8.
#[test]
fn every_property_has_an_exhibit_whose_design_breaks_it() {
    for property in property::ALL {
        let number = |id: &str| id.trim_end_matches(|c: char| c.is_ascii_lowercase()).to_owned();
        let mine = |exhibit: &&exhibits::Exhibit| number(exhibit.id) == property.id && exhibit.property == *property;
        assert!(exhibits::ALL.iter().any(|exhibit| mine(&exhibit)), "{}: no exhibit", property.id);
    }
}

#[test]
fn the_second_wing_has_what_was_asked_for() {
    let wanted = [
        "G10", "G14", "G15", "G16", "G17", "G18", "G19", "G23", "G25", "G26", "G27", "G30", "G31", "G35", "G37", "G38",
        "G40",
    ];
    for id in wanted {
        assert!(defects::ALL.iter().any(|experiment| experiment.id == id), "{id}");
    }
}
