//! A machine that is done with leaves its room to the next one, and nothing else.

use std::rc::Rc;

use forklab_sim::lock::{Lock, Mode};
use forklab_sim::mm::{FaultRule, Gfp, Site, Times};
use forklab_sim::{Calm, Config, Machine, Seeded};

const SITE: Site = Site("test.site");
const OTHER: Site = Site("test.other");

/// A run that leaves something wherever a machine can keep it: what it found, its trace, its last numbers.
fn messy(seed: u64) -> (String, Vec<String>, u64) {
    let m = Machine::new(Config { cpus: 2, preempt: true, ..Config::default() }, Seeded::new(seed));
    m.trace.start_hash();
    m.mem.faults(|faults| faults.add(FaultRule { site: Some(OTHER.0.into()), nth: 1, times: Times::Count(1) }));
    let locks = Rc::new([Lock::new("a"), Lock::new("b")]);
    for (name, first) in [("p", 0), ("q", 1), ("r", 0)] {
        let (m2, locks) = (m.clone(), locks.clone());
        m.spawn(name, async move {
            let kept = m2.kmalloc(SITE, 10, Gfp::ATOMIC).await.expect("only the other site fails");
            let _fails_once = m2.kmalloc(OTHER, 10, Gfp::ATOMIC).await;
            let _outer = locks[first].take(&m2, Mode::SPIN).await;
            let _inner = locks[1 - first].take(&m2, Mode::SPIN).await;
            m2.write(kept, b"more than ten", "test");
        });
    }
    let ended = m.run();
    m.report_leaks(&m.live(&[]));
    let found = m.violations().iter().map(ToString::to_string).collect();
    let ran = (format!("{ended:?} {:?} {}", m.trace.hash(), m.placement_matters()), found, m.step());
    m.retire();
    ran
}

#[test]
fn the_room_of_a_retired_machine_is_used_again_and_not_while_somebody_has_it() {
    let new = || Machine::new(Config { cpus: 3, ..Config::default() }, Calm);
    let address = |m: &Rc<Machine>| Rc::as_ptr(m);
    let (first, other) = (new(), new());
    let (place, kept) = (address(&first), other.clone());
    first.retire();
    let second = new();
    assert_eq!(address(&second), place);
    other.retire();
    assert_ne!(address(&new()), address(&kept), "somebody still has it");
}

#[test]
fn a_run_in_the_room_of_a_retired_machine_is_the_run_of_a_new_one() {
    for seed in 0..40 {
        // A thread of its own has no room to offer.
        let new = std::thread::spawn(move || messy(seed)).join().expect("no panic");
        assert_eq!(messy(seed), new, "seed {seed}");
    }
}
