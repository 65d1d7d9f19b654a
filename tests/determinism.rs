//! The same run everywhere: twice, in threads, in debug and release builds. And every event is accounted for.

mod common;

use common::{report, seeded, workload};
use fork_model::Hook;
use forklab::lab::run::Report;
use forklab::lab::spec::{Bench, Order, Spec, parse_fault, parse_pace};
use proptest::prelude::*;
use sim::Rule;

/// What must hold of every run, however lossy: no event and no task gets lost in the counting.
fn adds_up(r: &Report) {
    let e = r.events;
    assert_eq!(e.delivered + e.nobody + e.no_copy, r.events_sent, "sent: {}", r.replay);
    assert_eq!(r.events_sent + e.no_memory + e.no_socket, r.forks, "each fork reaches the hook once: {}", r.replay);
    for l in &r.listeners {
        assert_eq!(l.received + l.lost, r.events_sent, "{}: {}", l.name, r.replay);
        assert_eq!(l.why.full + l.why.latched + l.why.no_copy, l.lost, "{}: {}", l.name, r.replay);
        assert_eq!(l.tree.right + l.tree.wrong + l.tree.missing, r.forks, "{}: {}", l.name, r.replay);
        assert!(l.told <= l.lost, "{}: told of more losses than there were: {}", l.name, r.replay);
    }
    let best = r.listeners.iter().map(|l| l.received).max().unwrap_or(0);
    assert!(e.delivered >= best, "what one listener received was delivered: {}", r.replay);
    if r.listeners.len() == 1 {
        assert_eq!(e.delivered, best, "{}", r.replay);
    }
    if let Some(followed) = r.followed {
        assert_eq!(followed.left, 0, "every act had its turn: {}", r.replay);
    }
}

fn kernel_build(bench: Bench, order: Order) -> Report {
    let r = report(&Spec { bench, order, ..workload("kernel-build.csv.gz") });
    adds_up(&r);
    assert_eq!((r.forks, r.threads, r.exits, r.execs), (11_822, 3, 11_822, 11_174));
    assert_eq!((r.events_sent, r.ended), (11_822, "quiet"));
    r
}

#[test]
fn every_fork_of_a_kernel_build_reaches_an_eager_listener_and_the_run_is_the_same_twice() {
    let r = kernel_build(Bench::default(), Order::Calm);
    let l = &r.listeners[0];
    // A thread's event looks like a process's: those are the three.
    assert_eq!((l.received, l.lost, l.tree.right, l.tree.wrong, l.tree.phantom), (11_822, 0, 11_819, 3, 0));
    assert!(r.violations.is_empty());
    assert_eq!(r.trace_hash, kernel_build(Bench::default(), Order::Calm).trace_hash);
}

#[test]
fn a_listener_that_reads_only_at_the_end_loses_what_its_buffer_does_not_hold() {
    let bench = Bench { pace: parse_pace("drain-at-end").expect("a pace"), ..Bench::default() };
    let r = kernel_build(bench, Order::Calm);
    assert!(r.listeners[0].lost > 11_000 && r.listeners[0].told == 1, "{:?}", r.listeners[0]);
}

#[test]
fn three_slow_listeners_on_four_cpus_of_a_preemptible_kernel_are_accounted_for() {
    let pace = parse_pace("every:50").expect("a pace");
    let bench = Bench { cpus: 4, preempt: true, listeners: 3, rcvbuf: 8192, pace };
    let r = kernel_build(bench, Order::Seed(1));
    assert!(r.listeners.iter().all(|l| l.lost > 0 && l.received > 0), "{:?}", r.listeners);
}

#[test]
fn every_lossy_way_to_listen_to_a_shell_adds_up() {
    let mut losses = 0;
    for pace in ["eager", "drain-at-end", "every:7", "every:100"] {
        for rcvbuf in [300, 8192] {
            for (cpus, preempt, listeners, order) in
                [(1, false, 1, Order::Calm), (2, false, 3, Order::Seed(2)), (4, true, 3, Order::Seed(3))]
            {
                let pace = parse_pace(pace).expect("a pace");
                let bench = Bench { cpus, preempt, listeners, rcvbuf, pace };
                let r = report(&Spec { bench, order, ..workload("shell.csv.gz") });
                adds_up(&r);
                assert_eq!((r.forks, r.exits, r.execs), (688, 688, 640), "{}", r.replay);
                losses += r.listeners.iter().map(|l| l.lost).sum::<u64>();
            }
        }
    }
    assert!(losses > 10_000, "{losses}: ways that lose nothing test nothing");
}

#[test]
fn a_recording_goes_on_when_a_fork_of_it_fails_and_says_what_was_skipped() {
    for (fault, failed) in [("alloc_task_struct#5", 1), ("alloc_thread_info#20", 1), ("alloc_task_struct#300+", 1)] {
        for (cpus, order) in [(1, Order::Calm), (4, Order::Seed(3))] {
            let bench = Bench { cpus, ..Bench::default() };
            let faults = vec![parse_fault(fault).expect("a fault")];
            let r = report(&Spec { faults, bench, order, ..workload("shell.csv.gz") });
            adds_up(&r);
            let errors: u64 = r.fork_errors.iter().map(|(_, count)| count).sum();
            let followed = r.followed.expect("it is a recording");
            assert!(errors >= failed && followed.skipped > 0, "{fault}: {followed:?}");
            assert_eq!(r.forks, r.exits, "whoever was made ends as recorded: {}", r.replay);
            if !fault.ends_with('+') {
                assert!(r.forks > 600, "{fault}: {} forks", r.forks);
            }
        }
    }
}

#[test]
fn init_and_kernel_threads_may_be_parents_in_a_recording() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("boot.csv");
    std::fs::write(&path, "fork,0,1,1,1,50,50\nfork,0,2,2,2,51,51\nexit,0,3,50,50,0,17\nexit,0,4,51,51,0,17\n")
        .expect("written");
    let r = report(&Spec::new(forklab::lab::spec::Source::Workload(path)));
    adds_up(&r);
    assert_eq!((r.forks, r.exits, r.listeners[0].tree.right), (2, 2, 2));
    assert_eq!(r.listeners[0].messages, [r"fork@/fork_kobj\01\050\0", r"fork@/fork_kobj\02\051\0"]);
}

#[test]
fn a_group_that_appears_first_by_a_thread_of_it_was_there_before_the_recording() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("thread.csv");
    std::fs::write(&path, "fork,0,1,90,90,120,90\nexit,0,2,120,90,0,17\n").expect("written");
    let r = report(&Spec::new(forklab::lab::spec::Source::Workload(path)));
    adds_up(&r);
    assert_eq!((r.forks, r.threads, r.exits), (1, 1, 1));
}

/// The literal hashes: what runs here runs the same in release builds and on other machines. `.ci/run` does both builds.
/// A change of the model that changes a trace on purpose changes these lines, and its commit says so.
#[test]
fn these_runs_have_these_hashes_on_every_machine_and_in_every_build() {
    let known = [
        ("v1 tour hook=end fault=none", "cdc0a43b743d1296dbdcf0c2f7aa754ed13d8a9debd2987b5f37e909b07d39fd"),
        (
            "v1 autoreap hook=end-saved-pid seed=7 fault=none",
            "604a7219d0809ee26239df785858cac83fcf8da40e26705f7e14c6afb85d59ce",
        ),
        (
            "v1 thread hook=end seed=1 fault=alloc_skb.data#1",
            "74de6c507b8f646fea2d15cbc30493746a30e136c62c2a38ca31e382ee27f4d4",
        ),
    ];
    let found = known.map(|(line, _)| (line, report(&line.parse().expect("a line")).trace_hash));
    assert_eq!(found, known.map(|(line, hash)| (line, hash.to_owned())));
}

#[test]
fn three_hundred_seeds_are_the_same_twice_and_in_threads() {
    let hashes =
        |from: u64, to: u64| (from..to).map(|seed| report(&seeded("autoreap", seed)).trace_hash).collect::<Vec<_>>();
    let once = hashes(0, 300);
    let threads: Vec<_> = (0..6).map(|i| std::thread::spawn(move || hashes(50 * i, 50 * (i + 1)))).collect();
    let threaded: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
    assert_eq!(once, threaded);
    let different = once.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(different > 100, "{different} different runs of 300 seeds");
}

#[test]
fn the_repaired_hook_never_reads_a_freed_task() {
    for seed in 0..300 {
        let spec = Spec { design: Hook::EndSavedPid.into(), ..seeded("autoreap", seed) };
        assert!(report(&spec).violations.is_empty(), "{spec}");
    }
}

#[test]
fn what_the_seeds_find_with_the_hook_as_posted_is_the_use_after_free_and_nothing_else() {
    let found: Vec<_> = (0..300).flat_map(|seed| report(&seeded("autoreap", seed)).violations).collect();
    assert!(!found.is_empty(), "300 seeds found nothing");
    assert!(found.iter().all(|violation| violation.rule == Rule::UseAfterFree), "{found:?}");
}

fn sites() -> Vec<&'static str> {
    forklab::lab::spec::sites().into_iter().chain(["any"]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_small_run_adds_up_and_is_the_same_twice(
        name in prop::sample::select(vec!["autoreap", "boot-early", "thread", "tour"]),
        seed: u64,
        fixed: bool,
        faults in prop::collection::vec((prop::sample::select(sites()), 1..12_u64, any::<bool>()), 0..3),
    ) {
        let mut spec = seeded(name, seed);
        spec.design.hook = fixed.then_some(Hook::EndSavedPid);
        let text = |(site, nth, on): &(&str, u64, bool)| format!("{site}#{nth}{}", if *on { "+" } else { "" });
        spec.faults = faults.iter().map(|fault| parse_fault(&text(fault)).expect("a fault")).collect();
        let r = report(&spec);
        adds_up(&r);
        prop_assert_eq!(&r.trace_hash, &report(&spec).trace_hash);
    }
}
