//! What the machine promises to the kernels on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use forklab_sim::lock::{Completion, Lock, Mode, WaitQueue};
use forklab_sim::mm::{Cache, FaultRule, Gfp, Handle, Kind, Site, Times, size_class};
use forklab_sim::{Calm, Chooser, Config, Ended, LaneName, Machine, Question, Replay, Rule, Schedule, Seeded, What};
use proptest::prelude::*;

const SITE: Site = Site("test.site");
const OTHER: Site = Site("test.other");

fn two_cpus() -> Config {
    Config { cpus: 2, ..Config::default() }
}

/// Runs lanes that each write their letter at every point, and returns who wrote when.
fn letters(config: Config, chooser: impl Chooser + 'static, lanes: &'static [(&'static str, usize)]) -> String {
    let m = Machine::new(config, chooser);
    let text = Rc::new(RefCell::new(String::new()));
    for (name, points) in lanes {
        let (lane, out) = (m.clone(), text.clone());
        m.spawn(*name, async move {
            for _ in 0..*points {
                out.borrow_mut().push_str(name);
                lane.point().await;
            }
        });
    }
    m.watch_steps();
    assert_eq!(m.run(), Ended::Quiet);
    text.take()
}

#[test]
fn a_lane_in_the_kernel_of_one_cpu_keeps_it_until_it_ends() {
    for seed in 0..20 {
        let text = letters(Config::default(), Seeded::new(seed), &[("a", 4), ("b", 4)]);
        assert!(["aaaabbbb", "bbbbaaaa"].contains(&text.as_str()), "{text}");
    }
}

#[test]
fn with_preemption_it_does_not() {
    let config = Config { preempt: true, ..Config::default() };
    let mixed = (0..20)
        .filter(|seed| letters(config.clone(), Seeded::new(*seed), &[("a", 4), ("b", 4)]).contains("ba"))
        .count();
    assert!(mixed > 5, "{mixed} of 20 seeds let b run in between");
}

#[test]
fn a_calm_run_lets_whoever_runs_go_on() {
    assert_eq!(letters(two_cpus(), Calm, &[("a", 3), ("b", 3)]), "aaabbb");
}

#[test]
fn every_way_to_mix_two_lanes_on_two_cpus_is_some_seed() {
    let mixes: std::collections::BTreeSet<_> =
        (0..500).map(|seed| letters(two_cpus(), Seeded::new(seed), &[("a", 2), ("b", 2)])).collect();
    let all = ["aabb", "abab", "abba", "baab", "baba", "bbaa"];
    assert_eq!(mixes.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn a_schedule_is_followed_step_by_step() {
    let schedule: Schedule = "a1.b2.a2.b1".parse().expect("a schedule");
    assert_eq!(letters(two_cpus(), Replay::new(schedule), &[("a", 2), ("b", 2)]), "abba");
}

#[test]
fn a_schedule_that_names_a_lane_that_cannot_run_is_objected_to() {
    let m = Machine::new(two_cpus(), Replay::new("a1.c1".parse().expect("a schedule")));
    m.watch_steps();
    for name in ["a", "b"] {
        let lane = m.clone();
        m.spawn(name, async move { lane.point().await });
    }
    m.run();
    let objection = m.objection().expect("there is no lane c");
    assert_eq!(objection, "after step 1: found lane c next, expected one that can run: a, b");
}

#[test]
fn a_schedule_reads_back_as_it_was_written() {
    for text in ["", "p4", "p4.c3.p1", "init1.cAA12.p7"] {
        assert_eq!(text.parse::<Schedule>().expect("a schedule").to_string(), text);
    }
    for (text, part) in
        [("p", 1), ("4", 1), ("p4.", 2), ("p4.c0", 2), ("p4.c-1", 2), ("p4c3", 1), ("p99999999999999999999", 1)]
    {
        assert_eq!(text.parse::<Schedule>().expect_err("no schedule").part, part, "{text}");
    }
}

#[test]
fn two_lanes_that_take_two_locks_crosswise_deadlock_on_some_seed_and_the_finding_says_who_holds_what() {
    let found = (0..50).find_map(|seed| {
        let m = Machine::new(two_cpus(), Seeded::new(seed));
        let locks = Rc::new((Lock::new("first_lock"), Lock::new("second_lock")));
        for (name, swap) in [("a", false), ("b", true)] {
            let (lane, locks) = (m.clone(), locks.clone());
            m.spawn(name, async move {
                let (one, two) = if swap { (&locks.1, &locks.0) } else { (&locks.0, &locks.1) };
                let outer = one.take(&lane, Mode::SPIN).await;
                let inner = two.take(&lane, Mode::SPIN).await;
                drop((outer, inner));
            });
        }
        (m.run() == Ended::Deadlock).then(|| m.violations().iter().map(ToString::to_string).collect::<Vec<_>>())
    });
    let found = found.expect("50 seeds are enough");
    assert_eq!(found.len(), 2);
    assert!(
        found[0].starts_with("deadlock: lane a waits for second_lock, and holds first_lock (since step "),
        "{found:?}"
    );
}

#[test]
fn a_spinlock_lets_one_lane_in_at_a_time() {
    for seed in 0..200 {
        let m = Machine::new(Config { cpus: 3, ..Config::default() }, Seeded::new(seed));
        let shared = Rc::new((Lock::new("lock"), Cell::new(0)));
        for name in ["a", "b", "c"] {
            let (lane, shared) = (m.clone(), shared.clone());
            m.spawn(name, async move {
                let held = shared.0.take(&lane, Mode::SPIN).await;
                let seen = shared.1.get();
                lane.point().await;
                shared.1.set(seen + 1);
                drop(held);
            });
        }
        assert_eq!(m.run(), Ended::Quiet, "seed {seed}");
        assert_eq!(shared.1.get(), 3, "seed {seed}");
    }
}

#[test]
fn without_the_lock_an_update_is_lost_on_some_seed() {
    let lost = (0..200).any(|seed| {
        let m = Machine::new(two_cpus(), Seeded::new(seed));
        let shared = Rc::new(Cell::new(0));
        for name in ["a", "b"] {
            let (lane, shared) = (m.clone(), shared.clone());
            m.spawn(name, async move {
                let seen = shared.get();
                lane.point().await;
                shared.set(seen + 1);
            });
        }
        m.run();
        shared.get() == 1
    });
    assert!(lost, "or the test above proves nothing");
}

#[test]
fn sleeping_under_a_spinlock_is_worded_as_the_kernel_words_it() {
    let m = Machine::new(Config::default(), Calm);
    let lane = m.clone();
    m.spawn("a", async move {
        let lock = Lock::new("tasklist_lock");
        let held = lock.take(&lane, Mode::WRITE_IRQ).await;
        assert!(lane.kmalloc(SITE, 10, Gfp::ATOMIC).await.is_some(), "GFP_ATOMIC is fine here");
        assert!(lane.kmalloc(SITE, 10, Gfp::KERNEL).await.is_some());
        drop(held);
        assert!(lane.kmalloc(SITE, 10, Gfp::KERNEL).await.is_some(), "and GFP_KERNEL is fine here");
    });
    m.run();
    let violations = m.violations();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].rule, Rule::AtomicSleep);
    assert_eq!(
        violations[0].to_string(),
        "Debug: sleeping function called from invalid context at mm/slab.c:cache_alloc_debugcheck_before()\n\
         in_atomic():1, irqs_disabled():1\n\
         tasklist_lock was taken in step 2"
    );
}

#[test]
fn readers_share_and_a_writer_does_not() {
    for seed in 0..100 {
        let m = Machine::new(Config { cpus: 4, ..Config::default() }, Seeded::new(seed));
        let (lock, readers, most) = (Rc::new(Lock::new("lock")), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for name in ["ra", "rb", "w"] {
            let (lane, lock, readers, most) = (m.clone(), lock.clone(), readers.clone(), most.clone());
            m.spawn(name, async move {
                let writes = name == "w";
                let held = lock.take(&lane, if writes { Mode::WRITE } else { Mode::READ }).await;
                assert!(!writes || readers.get() == 0, "a writer is alone");
                readers.set(readers.get() + 1);
                most.set(most.get().max(readers.get()));
                lane.point().await;
                readers.set(readers.get() - 1);
                drop(held);
            });
        }
        assert_eq!(m.run(), Ended::Quiet);
    }
}

#[test]
fn a_completion_lets_its_waiter_go_on_whoever_comes_first() {
    for seed in 0..50 {
        let m = Machine::new(two_cpus(), Seeded::new(seed));
        let (completion, order) = (Rc::new(Completion::default()), Rc::new(RefCell::new(String::new())));
        let (lane, done, out) = (m.clone(), completion.clone(), order.clone());
        m.spawn("w", async move {
            done.wait_for_completion(&lane).await;
            out.borrow_mut().push('w');
        });
        let (lane, out) = (m.clone(), order.clone());
        m.spawn("c", async move {
            lane.point().await;
            out.borrow_mut().push('c');
            completion.complete(&lane);
        });
        assert_eq!(m.run(), Ended::Quiet);
        assert_eq!(order.take(), "cw");
    }
}

#[test]
fn a_wait_that_nobody_ends_is_a_deadlock_unless_it_is_patient() {
    for (patient, ended) in [(false, Ended::Deadlock), (true, Ended::Quiet)] {
        let m = Machine::new(Config::default(), Calm);
        let lane = m.clone();
        m.spawn("a", async move { WaitQueue::default().wait_event(&lane, "something", patient, || false).await });
        assert_eq!(m.run(), ended);
        assert_eq!(m.violations().len(), usize::from(!patient));
    }
}

#[test]
fn a_lane_that_dies_keeps_its_lock_and_its_memory() {
    let m = Machine::new(two_cpus(), Calm);
    let lock = Rc::new(Lock::new("lock"));
    let (lane, held_by_a) = (m.clone(), lock.clone());
    m.spawn("a", async move {
        let _held = held_by_a.take(&lane, Mode::SPIN).await;
        lane.kmalloc(SITE, 64, Gfp::ATOMIC).await.expect("no fault was asked for");
        match lane.bug("net/core/skbuff.c", "skb_over_panic").await {}
    });
    let lane = m.clone();
    m.spawn("b", async move { drop(lock.take(&lane, Mode::SPIN).await) });
    assert_eq!(m.run(), Ended::Deadlock);
    let rules: Vec<_> = m.violations().iter().map(|violation| violation.rule).collect();
    assert_eq!(rules, [Rule::Bug, Rule::Deadlock]);
    assert_eq!(m.live(&[]).len(), 1);
}

#[test]
fn a_stale_handle_names_who_freed_the_object_and_when() {
    let m = Machine::new(Config::default(), Calm);
    let cache: Rc<Cache<u32>> = Rc::new(Cache::new(Kind::CacheAlloc));
    let (lane, objects) = (m.clone(), cache.clone());
    m.spawn("a", async move {
        let first = objects.alloc(&lane, SITE, 100, Gfp::KERNEL, 1).await.expect("no fault was asked for");
        assert!(objects.free(&lane, first, "kfree"));
        let second = objects.alloc(&lane, SITE, 100, Gfp::KERNEL, 2).await.expect("no fault was asked for");
        // The slot is the same, the generation is not.
        assert!(objects.with(&lane, first, "somebody reads it", |_| ()).is_err());
        assert_eq!(objects.with(&lane, second, "the owner reads it", |value| *value), Ok(2));
        assert!(!objects.free(&lane, first, "kfree"));
        objects.free(&lane, second, "kfree");
    });
    m.run();
    let found: Vec<_> = m.violations().iter().map(|violation| (violation.rule, violation.to_string())).collect();
    let cause = "freed by lane a in step 2 (kfree)";
    assert_eq!(found[0], (Rule::UseAfterFree, format!("use after free: somebody reads it\n{cause}")));
    assert_eq!(found[1], (Rule::DoubleFree, format!("double free: kfree\n{cause}")));
    assert_eq!(found.len(), 2);
}

#[test]
fn what_is_left_at_the_end_names_who_took_it() {
    let m = Machine::new(Config::default(), Calm);
    let lane = m.clone();
    m.spawn("a", async move {
        lane.kmalloc(SITE, 11, Gfp::KERNEL).await.expect("no fault was asked for");
    });
    m.run();
    let live = m.live(&[]);
    assert_eq!(live.len(), 1);
    m.report_leaks(&live);
    let text = m.violations()[0].to_string();
    assert_eq!(text, "leak: 11 bytes of test.site were never freed\nallocated by lane a in step 2");
}

#[test]
fn a_buffer_keeps_what_is_written_past_its_end_and_tells() {
    let m = Machine::new(Config::default(), Calm);
    let lane = m.clone();
    m.spawn("a", async move {
        let buf = lane.kmalloc(SITE, 100, Gfp::KERNEL).await.expect("no fault was asked for");
        lane.write_at(buf, 98, b"ab", "fits");
        lane.write_at(buf, 99, b"xyz", "strcpy");
        assert_eq!(lane.buf(buf, "test", |buf| (buf.c_str(98).to_vec(), buf.overflow())), Ok((b"axyz".to_vec(), 2)));
        lane.kfree(buf, "test");
    });
    m.run();
    let text = "strcpy wrote 2 bytes past the 100 bytes of test.site (its size class holds 128)";
    assert_eq!(m.violations().iter().map(ToString::to_string).collect::<Vec<_>>(), [text]);
}

/// Which of 8 allocations, alternately of two sites, fail under these rules.
fn failures(rules: Vec<FaultRule>) -> String {
    let m = Machine::new(Config::default(), Calm);
    m.mem.faults(|faults| rules.into_iter().for_each(|rule| faults.add(rule)));
    let out = Rc::new(RefCell::new(String::new()));
    let (lane, text) = (m.clone(), out.clone());
    m.spawn("a", async move {
        for site in [SITE, OTHER].into_iter().cycle().take(8) {
            let got: Option<Handle<_>> = lane.kmalloc(site, 8, Gfp::KERNEL).await;
            text.borrow_mut().push(if got.is_some() { '.' } else { 'x' });
        }
    });
    m.run();
    out.take()
}

#[test]
fn the_nth_allocation_fails_once_a_few_times_or_from_then_on_of_one_site_or_of_all() {
    let rule = |site: Option<Site>, nth, times| FaultRule { site: site.map(|site| site.0.to_owned()), nth, times };
    assert_eq!(failures(vec![]), "........");
    assert_eq!(failures(vec![rule(None, 3, Times::Count(1))]), "..x.....");
    assert_eq!(failures(vec![rule(None, 3, Times::Count(2))]), "..xx....");
    assert_eq!(failures(vec![rule(None, 3, Times::Forever)]), "..xxxxxx");
    assert_eq!(failures(vec![rule(Some(SITE), 2, Times::Count(1))]), "..x.....");
    assert_eq!(failures(vec![rule(Some(OTHER), 2, Times::Forever)]), "...x.x.x");
    assert_eq!(failures(vec![rule(Some(SITE), 1, Times::Count(1)), rule(Some(OTHER), 4, Times::Count(1))]), "x......x");
}

/// Answers every question about a fault from a list.
struct Listed(Vec<u32>);

impl Chooser for Listed {
    fn choose(&mut self, question: Question<'_>, _: u32) -> u32 {
        if matches!(question, Question::Fault(_)) { self.0.remove(0) } else { 0 }
    }
}

#[test]
fn the_chooser_is_asked_at_every_allocation_until_the_budget_of_failures_is_spent() {
    let m = Machine::new(Config::default(), Listed(vec![0, 1, 0, 1]));
    m.mem.faults(|faults| faults.explore = 2);
    let lane = m.clone();
    m.spawn("a", async move {
        let mut got = String::new();
        for _ in 0..6 {
            got.push(if lane.kmalloc(SITE, 8, Gfp::KERNEL).await.is_some() { '.' } else { 'x' });
        }
        assert_eq!(got, ".x.x..");
    });
    assert_eq!(m.run(), Ended::Quiet);
}

#[test]
fn nobody_looks_nothing_is_built() {
    let m = Machine::new(Config::default(), Calm);
    let built = Cell::new(0);
    m.enter("f", || {
        built.set(built.get() + 1);
        Vec::new()
    });
    assert_eq!(built.get(), 0);
    let recording = m.trace.record();
    m.enter("f", || {
        built.set(built.get() + 1);
        Vec::new()
    });
    assert_eq!((built.get(), recording.events().len()), (1, 1));
}

#[test]
fn a_recording_survives_the_panic_of_its_run() {
    let m = Machine::new(Config::default(), Calm);
    let recording = m.trace.record();
    let lane = m.clone();
    m.spawn("a", async move {
        lane.printk(|| "the last word".into());
        panic!("on purpose");
    });
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| m.run()));
    assert!(run.is_err());
    assert!(matches!(&recording.take()[0].what, What::Printk { text } if text == "the last word"));
}

#[test]
fn the_trace_hash_is_that_of_the_json_lines() {
    let m = Machine::new(Config::default(), Calm);
    m.trace.start_hash();
    let recording = m.trace.record();
    let lane = m.clone();
    m.spawn("a", async move {
        let buf = lane.kmalloc(SITE, 8, Gfp::KERNEL).await.expect("no fault was asked for");
        lane.kfree(buf, "test");
    });
    m.run();
    let mut lines = Vec::new();
    recording.events().iter().for_each(|event| forklab_sim::trace::write_json(event, &mut lines));
    let first = r#"{"step":2,"cpu":0,"lane":"a","event":"alloc","seq":1,"site":"test.site","kind":"kmalloc","size":8,"gfp":"GFP_KERNEL","ok":true}"#;
    assert_eq!(String::from_utf8_lossy(&lines).lines().next(), Some(first));
    use sha2::Digest;
    let hash = sha2::Sha256::digest(&lines).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(m.trace.hash(), Some(hash));
}

proptest! {
    #[test]
    fn a_size_class_holds_its_size_and_wastes_less_than_half(size in 33u32..=131_072) {
        let class = size_class(size).expect("up to 128 KiB");
        prop_assert!(class >= size && class < 2 * size);
        prop_assert_eq!(size_class(class), Some(class));
    }

    #[test]
    fn the_same_seed_gives_the_same_run(seed: u64) {
        let run = || letters(Config { cpus: 3, ..Config::default() }, Seeded::new(seed), &[("a", 5), ("b", 4), ("c", 3)]);
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn a_recorded_schedule_replays_to_the_same_run(seed: u64) {
        let lanes: &[_] = &[("a", 5), ("b", 4), ("c", 3)];
        let noted = Rc::new(RefCell::new(Schedule::default()));
        let chooser = Noted(Seeded::new(seed), noted.clone());
        let config = Config { cpus: 3, ..Config::default() };
        let first = letters(config.clone(), chooser, lanes);
        prop_assert_eq!(letters(config, Replay::new(noted.take()), lanes), first);
    }

    #[test]
    fn a_name_is_a_lane_s_if_and_only_if_it_is_short_and_alphanumeric(name in ".{0,20}") {
        let fine = name.len() <= 15 && name.bytes().all(|b| b.is_ascii_alphanumeric());
        prop_assert_eq!(LaneName::from_text(&name).map(|lane| lane.as_str().to_owned()), fine.then_some(name));
    }
}

struct Noted(Seeded, Rc<RefCell<Schedule>>);

impl Chooser for Noted {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        self.0.choose(question, n)
    }

    fn stepped(&mut self, lane: LaneName) {
        self.1.borrow_mut().push(lane);
    }
}

/// Two lanes that hold a lock for reading to the end of the run, and one that waits for it.
fn readers_and_a_writer(m: &Rc<Machine>) {
    let lock = Rc::new(Lock::new("relay"));
    for name in ["a", "b"] {
        let (m2, lock) = (m.clone(), lock.clone());
        m.spawn(name, async move {
            let _held = lock.take(&m2, Mode::DOWN_READ).await;
            match m2.oops("somebody").await {}
        });
    }
    let m2 = m.clone();
    m.spawn("w", async move {
        let _held = lock.take(&m2, Mode::DOWN_WRITE).await;
    });
}

#[test]
fn a_lock_that_is_held_for_reading_at_the_end_of_a_run_is_dropped_with_its_lanes() {
    let m = Machine::new(Config { cpus: 4, ..Config::default() }, Calm);
    readers_and_a_writer(&m);
    m.run();
    assert_eq!(m.violations().iter().filter(|found| found.rule == Rule::Deadlock).count(), 1);
}
