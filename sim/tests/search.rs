//! Searches in parts, shrinking, and why: on a counter that two lanes increment without a lock, and a third that looks on.

use std::rc::Rc;

use forklab_sim::choice::{Choices, Follow};
use forklab_sim::explore::exhaustive::{Bounds, Exhaustive};
use forklab_sim::explore::parallel::{How, Shard, Sweep, explore};
use forklab_sim::explore::pct::Pct;
use forklab_sim::explore::random::Random;
use forklab_sim::explore::shrink::shrink;
use forklab_sim::explore::why::why;
use forklab_sim::explore::{Ran, Strategy, Trial, Verdict, run_once, search};
use forklab_sim::lock::{Lock, Mode};
use forklab_sim::touch::Shared;
use forklab_sim::{Config, Law, Lent, Machine, Question, Rule};

const LOST: Rule = Rule::Law(Law { id: "lost", sentence: "no update is lost" });

/// Each of `lanes` lanes adds `times` to a counter; a branch that means nothing is asked before.
struct Count {
    lanes: usize,
    times: usize,
    locked: bool,
}

impl Trial for Count {
    fn run(&self, chooser: Lent) -> Ran {
        self.run_on(8, chooser)
    }
}

impl Count {
    fn run_on(&self, cpus: u32, chooser: Lent) -> Ran {
        let m = Machine::new(Config { cpus, ..Config::default() }, chooser);
        let (counter, lock) = (Rc::new(Shared::new("counter", 0)), Rc::new(Lock::new("lock")));
        for name in ["a", "b", "c", "d"].iter().take(self.lanes) {
            let (m2, counter, lock, times, locked) =
                (m.clone(), counter.clone(), lock.clone(), self.times, self.locked);
            m.spawn(*name, async move {
                let m = &*m2;
                m.choose(Question::Branch("colour"), 3);
                for _ in 0..times {
                    let held = if locked { Some(lock.take(m, Mode::SPIN).await) } else { None };
                    let read = counter.get(m);
                    m.point().await;
                    counter.set(m, read + 1);
                    drop(held);
                }
            });
        }
        let ended = m.run();
        let mut found: Vec<_> =
            m.violations().iter().filter(|violation| violation.rule != Rule::DataRace).cloned().collect();
        if ended != forklab_sim::Ended::Stopped && counter.peek() != self.lanes * self.times {
            m.report(LOST, format!("{} of {} updates are left", counter.peek(), self.lanes * self.times), None);
            found.push(m.violations().last().expect("just reported").clone());
        }
        Ran { found, steps: m.step(), placement: m.placement_matters() }
    }
}

const RACY: Count = Count { lanes: 2, times: 2, locked: false };
const SAFE: Count = Count { lanes: 3, times: 1, locked: true };

fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(work)
}

#[test]
fn a_locked_counter_is_proved_and_an_unlocked_one_is_violated() {
    let proved = explore(&SAFE, How::default(), &|_| ());
    assert!(matches!(proved, Verdict::Proved { executions: 162, .. }), "6 orders, 27 colours: {proved:?}");
    let violated = explore(&RACY, How::default(), &|_| ());
    assert_eq!(violated.finding().expect("found").rule(), Some(LOST));
}

#[test]
fn any_number_of_threads_says_the_same() {
    let big = Count { lanes: 4, times: 1, locked: false };
    let hows = [
        How::default(),
        How::Exhaustive { preemptions: Some(1), steps: None, most: None },
        How::Random { seed: 7, runs: 2000 },
        How::Pct { seed: 7, runs: 2000, depth: 2 },
    ];
    for how in hows {
        let says = |threads| format!("{:?}", with_threads(threads, || explore(&big, how, &|_| ())));
        assert_eq!(says(1), says(3), "{how:?}");
    }
}

#[test]
fn shards_that_are_merged_say_what_the_whole_says_and_an_interrupted_one_goes_on() {
    let trial = Count { lanes: 4, times: 1, locked: true };
    let how = How::Random { seed: 1, runs: 1500 };
    let mut whole = Sweep::plan(&trial, how);
    whole.run(&trial, Shard::ALL, &|_| (), &|_| ());
    let shard = |text: &str| {
        let mut sweep = Sweep::plan(&trial, how);
        sweep.run(&trial, text.parse().expect("a shard"), &|_| (), &|_| ());
        sweep
    };
    let mut merged = shard("1/3");
    assert!(merged.verdict(&trial).is_none(), "a third is not the whole");
    merged.merge(&shard("3/3")).expect("one search");
    // The rest is done by resuming from the file of what is there.
    let text = serde_json::to_string(&merged).expect("a sweep is data");
    let mut resumed: Sweep = serde_json::from_str(&text).expect("read back");
    resumed.run(&trial, Shard::ALL, &|_| (), &|_| ());
    assert_eq!(resumed, whole);
    assert!(shard("1/3").merge(&Sweep::plan(&trial, How::default())).is_err());
    assert_eq!(
        "4/3".parse::<Shard>().unwrap_err().to_string(),
        "found \"4/3\", expected I/N with I from 1 to N, such as 2/8"
    );
}

#[test]
fn a_large_complete_search_is_split_and_merges_to_a_proof() {
    let trial = Count { lanes: 3, times: 3, locked: true };
    let sweep = |threads| {
        with_threads(threads, || {
            let mut sweep = Sweep::plan(&trial, How::Exhaustive { preemptions: None, steps: None, most: None });
            sweep.run(&trial, Shard::ALL, &|_| (), &|_| ());
            sweep
        })
    };
    let (one, two) = (sweep(1), sweep(2));
    assert_eq!(one, two);
    assert!(one.progress().0 >= 64, "{:?}", one.progress());
    // 1,680 orders of nine updates and 27 colours: none is left out, some are run in more than one part.
    let verdict = one.verdict(&trial).expect("complete");
    assert!(matches!(verdict, Verdict::Proved { executions: 45_360.., .. }), "{verdict:?}");
}

/// With fewer CPUs than lanes a search begins anew once it sees that placement matters: each part still has its own beginning.
#[test]
fn the_parts_of_a_split_search_do_not_repeat_each_other() {
    let parts = [vec![0], vec![1]].map(|prefix| {
        let trial = Count { lanes: 2, times: 2, locked: true };
        let on_one_cpu = |chooser: Lent| trial.run_on(1, chooser);
        search(&on_one_cpu, Exhaustive::under(Bounds::default(), prefix), u64::MAX, |_| ()).executions()
    });
    let trial = Count { lanes: 2, times: 2, locked: true };
    let whole = search(&|chooser: Lent| trial.run_on(1, chooser), Exhaustive::default(), u64::MAX, |_| ());
    assert!(parts.iter().all(|part| *part < whole.executions()), "{parts:?} of {}", whole.executions());
}

#[test]
fn a_search_that_was_cut_off_proves_nothing() {
    let how = How::Exhaustive { preemptions: None, steps: Some(3), most: None };
    assert!(matches!(explore(&SAFE, how, &|_| ()), Verdict::NotFound { .. }));
}

#[test]
fn a_finding_shrinks_to_two_lanes_and_the_fewest_switches() {
    let trial = Count { lanes: 4, times: 3, locked: false };
    let found = search(&trial, Random::new(3, 0..1000), u64::MAX, |_| ());
    let small = shrink(&trial, found.finding().expect("found"), 20_000);
    assert_eq!(small.rule(), Some(LOST));
    let size = small.size();
    assert!(size < found.finding().expect("found").size());
    assert_eq!((size.picks, size.faults), (0, 0), "{size}");
    assert_eq!(
        small.choices.schedule.switches(),
        4,
        "one lane is displaced once, the others come whole: {}",
        small.choices.schedule
    );
    // Shrunk answers find the same again.
    assert_eq!(run_once(&trial, Follow::new(small.choices.answers.clone())).found, small.found);
}

#[test]
fn why_names_the_step_and_the_nearest_run_that_passes() {
    let found = explore(&Count { lanes: 2, times: 1, locked: false }, How::default(), &|_| ());
    let trial = Count { lanes: 2, times: 1, locked: false };
    let why = why(&trial, found.finding().expect("found"));
    let nearest = why.nearest.expect("there are runs that pass");
    assert!(nearest.run.found.is_empty());
    assert!(why.lost_in.is_some());
    assert_eq!(why.failing.last().expect("the whole run").1, why.of, "behind all its decisions it always fails");
}

#[test]
fn pct_finds_what_needs_one_switch_in_a_few_runs() {
    let verdict = search(&RACY, Pct::new(1, 0..1000, 2, 12), u64::MAX, |_| ());
    assert!(verdict.finding().is_some() && verdict.executions() < 50, "{}", verdict.executions());
}

#[test]
fn a_run_of_a_random_search_is_the_same_wherever_it_is_run() {
    let run = |mut strategy: Random| {
        strategy.next();
        run_once(&RACY, strategy).choices
    };
    let mut all: Vec<Choices> = Vec::new();
    let mut strategy = Random::new(5, 0..10);
    while strategy.next() {
        all.push(run_once(&RACY, strategy.clone()).choices);
    }
    assert_eq!(run(Random::new(5, 7..8)), all[7]);
}

/// What a lane objects to in its first step is found, however early its runs are cut off; a law of the end is not.
#[test]
fn what_was_found_before_a_run_was_cut_off_stays_found() {
    let early = |chooser: Lent| {
        let m = Machine::new(Config::default(), chooser);
        for name in ["a", "b"] {
            let m2 = m.clone();
            m.spawn(name, async move {
                if m2.choose(Question::Branch("colour"), 3) == 2 {
                    m2.report(LOST, "the third colour".into(), None);
                }
                for _ in 0..5 {
                    m2.point().await;
                }
            });
        }
        m.run();
        let found = m.violations().clone();
        Ran { found, steps: m.step(), placement: m.placement_matters() }
    };
    let within = |steps| search(&early, Exhaustive::new(Bounds { preemptions: None, steps }), 10_000, |_| ());
    let cut = within(Some(2));
    let cut = cut.finding().expect("found");
    assert!(cut.step() <= 2, "{cut:?}");
    let again = run_once(&early, Follow::new(cut.choices.answers.clone()));
    assert_eq!(again.found, cut.found, "its answers can be given again");
    assert!(matches!(
        search(&RACY, Exhaustive::new(Bounds { preemptions: None, steps: Some(2) }), 10_000, |_| ()),
        Verdict::Proved { given_up, .. } if given_up.cut > 0
    ));
}
