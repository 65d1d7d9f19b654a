//! What is characteristic of each value of each axis of a design.

use std::rc::Rc;

use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::facts::{Act, Fact, Outcome};
use fork_model::{Design, Hook};
use forklab::lab::observe::{Observed, observe};
use forklab::lab::program::Play;
use forklab::lab::spec::{Source, Spec, parse_scenario, scenario};
use forklab::lab::world::World;
use sim::mm::{FaultRule, Times};
use sim::{Calm, Ended, Errno, Rule, Seeded};

/// A family of one child, two CPUs; `rest` comes before the tasks.
const FAMILY: &str = "[[tasks]]\nname = \"p\"\ndoes = [\"fork c\", \"wait\", \"exit 0\"]\n[[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n";
/// The same with three children, one after the other.
const THREE: &str =
    "[[tasks]]\nname = \"p\"\ndoes = [\"fork c x3\", \"exit 0\"]\n[[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n";
const ELSA: &str = "[[listeners]]\nname = \"elsa\"\ngroups = 1\n";

/// One run: calm, or by a seed.
fn play(design: Design, scenario: &str, seed: Option<u64>, faults: &[FaultRule]) -> Observed {
    design.check().expect("a possible design");
    let scenario = parse_scenario("test", &format!("name = \"x\"\n{scenario}")).unwrap_or_else(|e| panic!("{e}"));
    let spec = Spec { design: design.into(), ..Spec::new(Source::BuiltIn("x".into())) };
    let setup = spec.setup(Some(&scenario));
    match seed {
        Some(seed) => observe(&setup, &scenario, faults, Seeded::new(seed)),
        None => observe(&setup, &scenario, faults, Calm),
    }
    .expect("room for a few tasks")
}

fn calm(design: Design, scenario: &str) -> Observed {
    play(design, scenario, None, &[])
}

fn rules(observed: &Observed) -> Vec<Rule> {
    observed.world.sys.m.violations().iter().map(|violation| violation.rule).collect()
}

/// How many events each listener got.
fn received(observed: &Observed) -> Vec<u64> {
    observed.world.listeners.iter().map(|listener| listener.heard.borrow().received).collect()
}

/// What the notification of each fork cost and came to, in allocations.
fn told(observed: &Observed) -> Vec<(Outcome, u64)> {
    let told = observed.facts.iter().filter_map(|(_, fact)| match fact {
        Fact::Told { outcome, paid, .. } => Some((*outcome, paid.allocs)),
        _ => None,
    });
    told.collect()
}

fn with_gate(gate: Gate) -> Design {
    Design { gate, ..Design::default() }
}

fn numbered(sequence: Sequence) -> Design {
    Design { hook: Hook::EndSavedPid, sequence, format: Format::ConnectorStruct, ..Design::default() }
}

/// The step of the first fact that is like this.
fn step_of(observed: &Observed, like: impl Fn(&Fact) -> bool) -> u64 {
    observed.facts.iter().find(|(_, fact)| like(fact)).expect("such a fact").0
}

#[test]
fn each_hook_tells_of_the_fork_at_its_own_place() {
    // The child runs at once, and the parent waits for it: calmly each hook has one place among the child's acts.
    let vfork = format!("{ELSA}{}", FAMILY.replace("fork c", "vfork c"));
    let when = |hook: Hook| {
        let run = calm(hook.into(), &vfork);
        let told = step_of(&run, |fact| matches!(fact, Fact::Told { .. }));
        let exits = step_of(&run, |fact| matches!(fact, Fact::Acts { pid: 101, what: Act::Exits }));
        let runs = step_of(&run, |fact| matches!(fact, Fact::Acts { pid: 101, what: Act::Runs }));
        assert_eq!(received(&run), [1], "{hook:?}");
        (told < runs, told < exits)
    };
    assert_eq!(when(Hook::End), (false, false), "a vfork is told of when the child is done (P19)");
    assert_eq!(when(Hook::EndSavedPid), (false, false));
    assert!(when(Hook::AfterWake).1, "before the vfork wait");
    assert_eq!(when(Hook::Locked), (true, true));
    assert_eq!(when(Hook::BeforeWake), (true, true));
}

#[test]
fn the_hook_behind_the_wake_up_reads_a_freed_child_as_the_posted_one_does() {
    let autoreap = format!("{ELSA}{}", FAMILY.replace("name = \"p\"", "name = \"p\"\nsigchld = \"ignore\""));
    let broken = |hook: Hook| {
        let runs = (0..600).map(|seed| play(hook.into(), &autoreap, Some(seed), &[]));
        runs.flat_map(|run| rules(&run)).collect::<Vec<_>>()
    };
    for hook in [Hook::End, Hook::AfterWake] {
        let broken = broken(hook);
        assert!(!broken.is_empty(), "{hook:?}: no seed of 600");
        assert!(broken.iter().all(|rule| *rule == Rule::UseAfterFree), "{hook:?}: {broken:?}");
    }
    for hook in [Hook::EndSavedPid, Hook::BeforeWake] {
        assert_eq!(broken(hook), [], "{hook:?}");
    }
}

#[test]
fn the_hook_under_tasklist_lock_may_sleep_at_its_first_allocation() {
    let run = calm(Hook::Locked.into(), &format!("{ELSA}{FAMILY}"));
    let violations = run.world.sys.m.violations();
    assert_eq!(violations[0].rule, Rule::AtomicSleep);
    assert!(violations[0].text.starts_with("Debug: sleeping function called from invalid context at mm/slab.c:"));
    assert!(violations[0].cause.as_ref().expect("a lock").contains("tasklist_lock was taken in step"));
    // Whoever allocates atomically may stand there: the fork connector's message, or a node of the worker's list.
    for (format, delivery) in [(Format::ConnectorAscii, Delivery::Broadcast), (Format::Bare, Delivery::Deferred)] {
        let design = Design { hook: Hook::Locked, format, delivery, ..Design::default() };
        assert_eq!(rules(&calm(design, &format!("{ELSA}{FAMILY}"))), [], "{design}");
    }
}

#[test]
fn with_nobody_listening_only_the_gates_that_ask_somebody_allocate_nothing() {
    let allocs = |gate| told(&calm(with_gate(gate), FAMILY))[0];
    assert_eq!(allocs(Gate::Always), (Outcome::Sent(Err(Errno::Srch)), 5));
    assert_eq!(
        allocs(Gate::Socket),
        (Outcome::Sent(Err(Errno::Srch)), 5),
        "a socket that exists is not a listener (P2)"
    );
    for gate in [Gate::OnOff, Gate::Counter, Gate::HasListeners, Gate::CounterReset] {
        assert_eq!(allocs(gate), (Outcome::Kept, 0), "{gate:?}");
    }
}

#[test]
fn a_gate_that_asks_for_the_socket_keeps_back_what_is_forked_before_the_boot_is_over() {
    let early = format!("[machine]\nboot = \"early\"\n{FAMILY}");
    assert_eq!(told(&calm(with_gate(Gate::Socket), &early)), [(Outcome::Kept, 0)]);
    assert_eq!(told(&calm(Design::default(), &early)), [(Outcome::Sent(Err(Errno::Io)), 2)], "P21");
}

#[test]
fn every_gate_lets_the_events_of_a_listener_through() {
    for gate in Gate::ALL.iter().chain(Gate::LATER) {
        assert_eq!(received(&calm(with_gate(*gate), &format!("{ELSA}{THREE}"))), [3], "{gate:?}");
    }
}

#[test]
fn one_listeners_off_silences_the_other_with_the_on_off_gate() {
    let two =
        format!("{ELSA}[[listeners]]\nname = \"jay\"\ngroups = 1\ncontrol = [\"listen\", \"ignore after 1\"]\n{THREE}");
    let worst = |gate| (0..60).map(|seed| received(&play(with_gate(gate), &two, Some(seed), &[]))[0]).min();
    assert!(worst(Gate::OnOff) < Some(3), "elsa never said off, and still misses events (P4)");
    assert_eq!(worst(Gate::Counter), Some(3), "a counter knows that elsa still listens");
}

#[test]
fn ignore_first_leaves_a_counter_without_floor_at_zero_listeners() {
    let elsa = format!("{ELSA}control = [\"ignore\", \"listen\"]\n{FAMILY}");
    let run = calm(with_gate(Gate::Counter), &elsa);
    assert_eq!(run.world.sys.core.listening.proc_event_num_listeners.get(), 0);
    assert_eq!(received(&run), [0], "it listens and hears nothing (P5)");
    assert_eq!(received(&calm(with_gate(Gate::OnOff), &elsa)), [1], "a flag has no such memory");
}

#[test]
fn a_listener_that_dies_without_a_word_is_paid_for_ever_unless_the_list_itself_is_asked() {
    let elsa = format!("{ELSA}control = [\"listen\", \"die\"]\n{FAMILY}");
    for gate in [Gate::OnOff, Gate::Counter] {
        assert_eq!(told(&calm(with_gate(gate), &elsa)), [(Outcome::Sent(Err(Errno::Srch)), 5)], "{gate:?} (P3)");
    }
    assert_eq!(told(&calm(with_gate(Gate::HasListeners), &elsa)), [(Outcome::Kept, 0)]);
}

#[test]
fn a_listener_may_die_in_the_middle_of_a_run_under_any_schedule() {
    for pace in ["\"eager\"", "\"drain-at-end\"", "{ every = 1 }"] {
        let elsa = format!("{ELSA}pace = {pace}\ncontrol = [\"listen\", \"die after 1\"]\n{THREE}");
        for delivery in [Delivery::Broadcast, Delivery::Deferred, Delivery::Signal] {
            let design = Design { hook: Hook::EndSavedPid, delivery, ..Design::default() };
            for seed in 0..60 {
                let run = play(design, &elsa, Some(seed), &[]);
                assert_eq!((rules(&run), run.ended), (vec![], Ended::Quiet), "{design} seed {seed} {pace}");
            }
        }
    }
}

#[test]
fn a_counter_that_is_reset_when_nobody_took_the_event_forgets_a_listener_that_only_filters() {
    let elsa = format!("{ELSA}control = [\"listen\", \"filter\", \"unfilter after 1\"]\n{THREE}");
    let best = |gate| (0..60).map(|seed| received(&play(with_gate(gate), &elsa, Some(seed), &[]))[0]).max();
    assert_eq!(best(Gate::CounterReset), Some(0), "it wants forks again, and nobody sends them (P6)");
    assert!(best(Gate::Counter) > Some(0));
}

#[test]
fn two_cpus_draw_the_same_number_from_an_unlocked_sequence_and_from_no_other() {
    let two = format!(
        "{ELSA}[[tasks]]\nname = \"p\"\ndoes = [\"fork c\", \"exit 0\"]\n[[tasks]]\nname = \"q\"\ndoes = [\"fork c\", \"exit 0\"]\n\
         [[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n"
    );
    let doubles = |sequence| {
        let runs = (0..200).map(|seed| play(numbered(sequence), &two, Some(seed), &[]));
        runs.map(|run| run.world.listeners[0].heard.borrow().numbers.doubles).sum::<u64>()
    };
    assert!(doubles(Sequence::Unlocked) > 0, "no seed of 200 (P12)");
    assert_eq!(doubles(Sequence::Locked), 0);
    assert_eq!(doubles(Sequence::PerCpu), 0);
    assert_eq!(doubles(Sequence::None), 0, "a field that is always 0 is no number");
}

#[test]
fn a_lost_event_leaves_a_gap_in_a_sequence_and_no_trace_without_one() {
    // The first message of the second event: with a number the listener knows, without one it cannot (P11).
    let second = FaultRule { site: Some("alloc_skb.data".into()), nth: 2, times: Times::Count(1) };
    for format in [Format::Keys, Format::ConnectorAscii, Format::ConnectorStruct] {
        for (sequence, missing) in [(Sequence::None, 0), (Sequence::Locked, 1), (Sequence::Unlocked, 1)] {
            let design = Design { format, ..numbered(sequence) };
            let run = play(design, &format!("{ELSA}{THREE}"), None, std::slice::from_ref(&second));
            let heard = run.world.listeners[0].heard.borrow();
            assert_eq!((heard.received, heard.numbers.missing()), (2, missing), "{design}");
            assert_eq!(heard.tree.unreadable, 0, "{design}: {:?}", heard.messages);
        }
    }
}

#[test]
fn a_number_of_a_cpu_names_the_cpu_in_every_format_that_has_room() {
    for format in [Format::Keys, Format::ConnectorStruct] {
        let run = calm(Design { format, ..numbered(Sequence::PerCpu) }, &format!("{ELSA}{THREE}"));
        let heard = run.world.listeners[0].heard.borrow();
        let cpus: Vec<_> =
            heard.log.iter().map(|entry| entry.said.expect("readable").seq.expect("a number").cpu).collect();
        assert!(cpus.iter().all(Option::is_some), "{format:?}: {cpus:?}");
        assert_eq!(heard.numbers.missing(), 0, "{format:?}");
    }
}

#[test]
fn each_format_has_its_own_bytes_and_its_own_cost() {
    let shown = |format| {
        let run = calm(Design { format, ..Design::default() }, &format!("{ELSA}{FAMILY}"));
        let message = run.world.listeners[0].heard.borrow().messages[0].clone();
        (sim::Value::shown(&message), message.len(), told(&run)[0].1)
    };
    assert_eq!(shown(Format::Bare), (r"fork@/fork_kobj\0100\0101\0".into(), 24, 5));
    let keys = r"fork@/fork_kobj\0ACTION=fork\0DEVPATH=/fork_kobj\0SUBSYSTEM=process\0PPID=100\0PID=101\0";
    assert_eq!(shown(Format::Keys), (keys.into(), 82, 6));
    let (ascii, len, allocs) = shown(Format::ConnectorAscii);
    assert!(ascii.contains(r"100 101\0"), "{ascii}");
    assert_eq!((len, allocs), (44, 2));
    let (_, len, allocs) = shown(Format::ConnectorStruct);
    assert_eq!((len, allocs), (60, 2));
}

#[test]
fn only_the_structure_says_that_a_child_is_a_thread() {
    let thread = format!(
        "{ELSA}[[tasks]]\nname = \"p\"\ndoes = [\"clone t CLONE_VM|CLONE_SIGHAND|CLONE_THREAD\", \"exit 0\"]\n[[tasks]]\nname = \"t\"\ndoes = [\"exit 0\"]\n"
    );
    let right = |format| {
        let run = calm(Design { hook: Hook::BeforeWake, format, ..Design::default() }, &thread);
        let truth = run.world.sys.truth.borrow().clone().expect("noted");
        let verdict = run.world.listeners[0].heard.borrow().tree.compare(&truth);
        (verdict.right, verdict.wrong)
    };
    assert_eq!(right(Format::ConnectorStruct), (1, 0));
    for format in [Format::Bare, Format::Keys, Format::ConnectorAscii] {
        assert_eq!(right(format), (0, 1), "{format:?} (P15)");
    }
}

#[test]
fn a_deferred_event_costs_its_fork_one_small_node_and_is_sent_later() {
    let deferred = Design { delivery: Delivery::Deferred, ..Design::default() };
    let run = calm(deferred, &format!("{ELSA}{THREE}"));
    assert_eq!(told(&run), [(Outcome::Queued, 1); 3]);
    let sent = run.facts.iter().filter(|(_, fact)| matches!(fact, Fact::Sent { outcome: Ok(()), .. })).count();
    assert_eq!((sent, received(&run)), (3, vec![3]));
    let posted = calm(Design::default(), &format!("{ELSA}{THREE}"));
    assert!(run.steps > posted.steps, "the work only moved (P25)");
}

#[test]
fn the_backlog_of_deferred_events_has_no_bound() {
    let deferred = Design { delivery: Delivery::Deferred, ..Design::default() };
    // On one CPU without preemption the worker runs when the parent is done: all events wait until then.
    let many = format!("[machine]\ncpus = 1\n{ELSA}{}", THREE.replace("x3", "x300"));
    let longest = (0..20).map(|seed| play(deferred, &many, Some(seed), &[]).world.sys.notify.cbus.longest.get()).max();
    assert!(longest > Some(1), "{longest:?}");
    assert_eq!(calm(deferred, &many).world.sys.notify.cbus.backlog(), 0, "it is worked off in the end");
}

#[test]
fn a_node_that_cannot_be_allocated_is_an_event_lost() {
    let design = Design { delivery: Delivery::Deferred, ..numbered(Sequence::Locked) };
    let second = FaultRule { site: Some("cbus_insert.node".into()), nth: 2, times: Times::Count(1) };
    let run = play(design, &format!("{ELSA}{THREE}"), None, &[second]);
    assert_eq!(told(&run)[1].0, Outcome::Sent(Err(Errno::NoMem)));
    assert_eq!((received(&run), run.world.listeners[0].heard.borrow().numbers.missing()), (vec![2], 1));
}

#[test]
fn a_signal_goes_to_each_registered_process_and_each_is_an_allocation() {
    let signal = Design { delivery: Delivery::Signal, ..Design::default() };
    let two = format!("{ELSA}[[listeners]]\nname = \"jay\"\ngroups = 1\n{FAMILY}");
    let run = calm(signal, &two);
    assert_eq!((received(&run), told(&run)), (vec![1, 1], vec![(Outcome::Sent(Ok(())), 2)]));
    assert_eq!(run.world.listeners[1].heard.borrow().tree.parent(101), Some(100));
    assert_eq!(told(&calm(signal, FAMILY)), [(Outcome::Sent(Err(Errno::Srch)), 0)]);
}

#[test]
fn a_helper_per_event_is_itself_an_event_for_which_khelper_would_wait_for_itself() {
    let hotplug =
        Design { hook: Hook::EndSavedPid, format: Format::Keys, delivery: Delivery::Hotplug, ..Design::default() };
    let run = calm(hotplug, &format!("{ELSA}{FAMILY}"));
    let helpers = run.facts.iter().filter(|(_, fact)| matches!(fact, Fact::Helper { .. })).count();
    assert_eq!((helpers, received(&run)), (1, vec![2]), "one fork, two events");
    let violations = run.world.sys.m.violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!(violations[0].rule, Rule::Deadlock);
    assert_eq!(
        violations[0].to_string(),
        "deadlock: lane Khelper waits for kernel/kmod.c:call_usermodehelper(), its own work\n\
         the fork of a helper is an event, too, and needs a helper"
    );
    // Without a helper's path there is none, and no recursion.
    assert_eq!(run.ended, Ended::Quiet);
}

#[test]
fn a_sender_that_gives_way_to_a_congested_listener_is_a_fact() {
    let sleepy = format!("{ELSA}rcvbuf = 300\npace = \"drain-at-end\"\n{THREE}");
    let run = calm(Design::default(), &sleepy);
    let yielded = run.facts.iter().filter(|(_, fact)| matches!(fact, Fact::Yielded { child_said: 102, .. })).count();
    assert!(yielded > 0, "{:?}", run.facts);
}

#[test]
fn facts_tell_a_whole_life_in_order() {
    let run = calm(Design::default(), &format!("{ELSA}{FAMILY}"));
    let forked = Fact::Forked {
        caller_pid: 100,
        caller_tgid: 100,
        real_parent_tgid: 100,
        child_pid: 101,
        child_tgid: 101,
        is_thread: false,
        vfork: false,
    };
    let act = |pid, what| Fact::Acts { pid, what };
    let story = [act(100, Act::Forks), forked, act(101, Act::Runs), act(101, Act::Exits), act(101, Act::Released)];
    let steps = story.iter().map(|fact| step_of(&run, |other| other == fact));
    assert!(steps.is_sorted(), "{:?}", run.facts);
    assert!(run.facts.iter().any(|(_, fact)| matches!(fact, Fact::Told { child_true: 101, child_said: 101, .. })));
}

#[test]
fn noting_facts_changes_nothing_in_the_run() {
    let hash = |name: &str, design: Design, seed, facts| {
        let source = Source::BuiltIn(name.into());
        let scenario = scenario(&source).expect("built in").expect("a scenario");
        let spec = Spec { design: design.into(), ..Spec::new(source) };
        let world = Rc::new(World::new(&spec.setup(Some(&scenario))).expect("room"));
        world.begin(Seeded::new(seed));
        world.sys.m.trace.start_hash();
        world.sys.record_facts(facts);
        Play::new(&world, scenario).start();
        world.sys.m.run();
        world.sys.m.trace.hash()
    };
    let full: Design =
        "hook=before-wake gate=counter sequence=locked format=keys delivery=deferred".parse().expect("one");
    for (name, seed) in
        ["tour", "autoreap", "thread"].into_iter().flat_map(|name| (0..40).map(move |seed| (name, seed)))
    {
        for design in [Design::default(), full] {
            assert_eq!(hash(name, design, seed, false), hash(name, design, seed, true), "{name} {seed} {design}");
        }
    }
}
