//! Every combination of the five axes: which can be built, and that those which can neither panic nor leak.

use std::collections::BTreeMap;
use std::rc::Rc;

use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::exit::{WaitFor, do_exit, wait4};
use fork_model::fork::{do_fork, flags};
use fork_model::sched::Work;
use fork_model::{Design, Hook};
use forklab::lab::observe::observe;
use forklab::lab::spec::{Asked, Source, Spec, parse_scenario, scenario};
use forklab::lab::world::World;
use rayon::prelude::*;
use sim::mm::{FaultRule, Times};
use sim::{Calm, Ended, Rule};

/// The allocation sites of an event.
fn sites(design: &Design) -> Vec<&'static str> {
    const SKB: [&str; 3] = ["alloc_skb.head", "alloc_skb.data", "skb_clone.head"];
    let mut sites = match design.format {
        _ if design.delivery == Delivery::Signal => return vec!["send_signal.sigqueue"],
        Format::Bare | Format::OneSlot => vec!["kobject_get_path.path", "kobject_fork.envp", "pskb_expand_head.data"],
        Format::Keys | Format::KeysChange => {
            vec!["kobject_hotplug.envp", "kobject_hotplug.buffer", "kobject_get_path.path", "pskb_expand_head.data"]
        }
        Format::ConnectorAscii | Format::ConnectorStruct | Format::ConnectorLeak | Format::Own(_) => vec![],
    };
    sites.extend(SKB);
    sites.extend((design.delivery == Delivery::Deferred).then_some("cbus_insert.node"));
    sites
}

/// khelper's fork needs `tasklist_lock`, which the task that waits for khelper holds.
fn hangs(design: &Design) -> bool {
    (design.hook, design.delivery) == (Hook::Locked, Delivery::Hotplug)
}

fn is_its_own(design: &Design, rule: Rule) -> bool {
    match rule {
        Rule::UseAfterFree => matches!(design.hook, Hook::End | Hook::AfterWake),
        Rule::AtomicSleep => design.hook == Hook::Locked,
        Rule::Deadlock => design.delivery == Delivery::Hotplug,
        // A helper's fork is an event, too: khelper and the task that asked for it draw numbers.
        Rule::DataRace => design.sequence == Sequence::Unlocked,
        _ => false,
    }
}

#[test]
fn what_cannot_be_built_is_refused_with_the_reason() {
    let mut reasons = BTreeMap::new();
    for design in Design::all() {
        if let Err(impossible) = design.check() {
            *reasons.entry(impossible.to_string()).or_insert(0) += 1;
        }
    }
    let all = Design::all().count();
    let possible = Design::possible().count();
    let list: String = reasons.iter().map(|(reason, count)| format!("{count:>4}  {reason}\n")).collect();
    insta::assert_snapshot!(format!("{all} designs, {possible} possible\n\n{list}"));
}

#[test]
fn a_design_is_printed_and_read_back() {
    for design in Design::all() {
        assert_eq!(design.to_string().parse(), Ok(design));
        let asked = Asked::default().for_replay(design);
        assert_eq!(asked.over(Design::default()), design, "a replay line carries it");
    }
    let error = "gate=open".parse::<Design>().expect_err("no such gate");
    let expected = "found \"open\", expected a gate: always, socket, on-off, counter, has-listeners, counter-reset";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn every_possible_design_runs_the_tour_and_breaks_no_rule_but_its_own() {
    let tour = scenario(&Source::BuiltIn("tour".into())).expect("built in").expect("a scenario");
    let designs: Vec<_> = Design::possible().collect();
    designs.par_iter().for_each(|design| {
        let spec = Spec { design: (*design).into(), ..Spec::new(Source::BuiltIn("tour".into())) };
        let run = observe(&spec.setup(Some(&tour)), &tour, &[], Calm).expect("room for two tasks");
        let violations = run.world.sys.m.violations().clone();
        if hangs(design) {
            assert_eq!(run.ended, Ended::Deadlock, "{design}");
            return;
        }
        assert!(violations.iter().all(|violation| is_its_own(design, violation.rule)), "{design}: {violations:#?}");
        let heard = run.world.listeners[0].heard.borrow();
        let helpers = u64::from(design.delivery == Delivery::Hotplug);
        assert_eq!((heard.received, heard.tree.unreadable), (1 + helpers, 0), "{design}: {:?}", heard.messages);
        assert_eq!(heard.tree.parent(101), Some(100), "{design}");
    });
}

/// Two forks whose children are waited for, on a kernel of this design with so many listeners, and one fault.
/// Returns what the forks returned, how many allocations failed, and what was left behind or broken.
fn forks(design: Design, listeners: usize, fault: Option<FaultRule>) -> (Vec<i64>, u64, Vec<String>) {
    let listener = |i: usize| {
        let name = ["a", "b", "c"][i];
        format!("[[listeners]]\nname = \"{name}\"\ngroups = 1\n")
    };
    let text: String = (0..listeners).map(listener).collect();
    let scenario =
        parse_scenario("sweep", &format!("name = \"x\"\n{text}[[tasks]]\nname = \"p\"\n")).expect("a scenario");
    let spec = Spec { design: design.into(), ..Spec::new(Source::BuiltIn("x".into())) };
    let world = Rc::new(World::new(&spec.setup(Some(&scenario))).expect("room"));
    world.begin(Calm);
    let sys = world.sys.clone();
    sys.m.mem.faults(|faults| fault.into_iter().for_each(|rule| faults.add(rule)));
    let results = Rc::new(std::cell::RefCell::new(Vec::new()));
    let (s, p, out) = (sys.clone(), world.roots[0], results.clone());
    sys.m.spawn("p", async move {
        for _ in 0..2 {
            let work = Work::new("q", |sys, me| async move { do_exit(&sys, me, 0).await });
            let forked = do_fork(&s, p, flags::SIGCHLD, Some(work)).await;
            out.borrow_mut().push(sim::errno::Rc::rc(&forked));
            if let Ok(pid) = forked {
                let _ = wait4(&s, p, WaitFor::Pid(pid), false).await;
            }
        }
    });
    sys.m.run();
    let failed = sys.m.mem.faults(|faults| {
        let failed = faults.hits().iter().map(|(_, count)| count).sum();
        faults.clear();
        failed
    });
    world.drain();
    world.report_leaks();
    let broken = sys.m.violations().iter().filter(|v| !is_its_own(&design, v.rule)).map(ToString::to_string).collect();
    (results.take(), failed, broken)
}

#[test]
fn every_allocation_of_every_design_may_fail_without_a_leak_and_without_a_word_to_fork() {
    let designs: Vec<_> = Design::possible().filter(|design| !hangs(design)).collect();
    let runs: u64 = designs
        .par_iter()
        .map(|design| {
            let mut runs = 0;
            // With nobody listening nothing new can fail: a few designs are enough for that.
            let nobody = design.gate == Gate::Always && design.sequence == Sequence::None;
            for listeners in if nobody { &[0, 2][..] } else { &[2] } {
                let listeners = *listeners;
                let (undisturbed, ..) = forks(*design, listeners, None);
                for site in sites(design) {
                    for times in [Times::Count(1), Times::Forever] {
                        for nth in 1.. {
                            let which = format!("{design}: {site}#{nth} {times:?}, {listeners} listeners");
                            let fault = FaultRule { site: Some(site.to_owned()), nth, times };
                            let (results, failed, broken) = forks(*design, listeners, Some(fault));
                            runs += 1;
                            assert_eq!(results.len(), 2, "{which}");
                            // Helpers take pids of their own: without one, the next fork gets another number.
                            if design.delivery != Delivery::Hotplug {
                                assert_eq!(results, undisturbed, "{which}");
                            }
                            assert!(results.iter().all(|rc| *rc > 0), "{which}: {results:?}");
                            assert_eq!(broken, [""; 0], "{which}");
                            if failed == 0 {
                                assert!(nth > 1 || listeners == 0, "{which}: not a site of it");
                                break;
                            }
                        }
                    }
                }
            }
            runs
        })
        .sum();
    assert!(runs > 20_000, "{runs} runs: the sweep has lost its subject");
}
