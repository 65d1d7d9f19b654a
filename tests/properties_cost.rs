//! The exhibits about cost, gates and loss: each is found in the design that history blames and proved away in the one that
//! mends it, in every schedule of its case.

use std::fmt::Write as _;

use fork_model::Design;
use fork_model::facts::{Fact, Paid};
use forklab::lab::observe::{Observed, observe};
use forklab::lab::run::{Loaded, Watch, run};
use forklab::lab::spec::{Source, Spec, parse_scenario};
use forklab::museum::exhibits::{ALL, Exhibit, Mended};
use forklab::property::{Case, Property, check_case};
use insta::assert_snapshot;
use rayon::prelude::*;
use sim::explore::Verdict;
use sim::explore::parallel::How;
use sim::explore::shrink::shrink;
use sim::mm::{FaultRule, Times};
use sim::{Calm, Seeded};

/// The properties of this file.
const MINE: [&str; 14] = ["P2", "P3", "P4", "P5", "P6", "P8", "P13", "P21", "P22", "P23", "P24", "P25", "P26", "P1"];

fn mine() -> impl Iterator<Item = &'static Exhibit> {
    ALL.iter().filter(|exhibit| MINE.contains(&exhibit.property.id))
}

fn design(text: &str) -> Design {
    text.parse().expect("an exhibit's design")
}

/// The replay line gives the same violation and the same trace, twice.
fn is_repeated(line: &str, text: &str) {
    let once = || {
        let spec: Spec = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        run(&Loaded::new(spec, |_| ()).expect("loaded"), Watch::default())
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let (first, second) = (once(), once());
    assert_eq!(first.replay, line, "a line is its own replay");
    assert_eq!(first.trace_hash, second.trace_hash, "{line}");
    let texts: Vec<_> = first.violations.iter().map(|violation| violation.text.as_str()).collect();
    assert!(texts.contains(&text), "{line}: {texts:?} has {text:?}");
}

/// One row of the table: verdict, runs, and the smallest finding.
fn row(property: &'static Property, case: Case, design: Design) -> (bool, String) {
    let (trial, verdict) = check_case(property, case, design, How::default(), &|_| ());
    let executions = verdict.executions();
    match &verdict {
        Verdict::Proved { .. } => (true, format!("proved in {executions}")),
        Verdict::NotFound { .. } => (false, format!("not found in {executions}")),
        Verdict::Violated { finding, .. } => {
            let small = shrink(&trial, finding, 2000);
            let line = trial.spec(&small).to_string();
            is_repeated(&line, &small.found[0].text);
            let (size, text) = (small.size(), &small.found[0].text);
            (false, format!("violated in {executions}: {size}\n    {text}\n    {line}"))
        }
    }
}

#[test]
fn every_exhibit_is_found_in_its_design_and_proved_away_in_the_one_that_mends_it() {
    let mut table = String::new();
    let mut wrong = Vec::new();
    for exhibit in mine() {
        let started = std::env::var_os("SHOW").map(|_| eprintln!("{} …", exhibit.id));
        let (proved, found) = row(exhibit.property, exhibit.case, exhibit.design());
        let faults =
            if exhibit.case.faults > 0 { format!(", {} may fail", exhibit.case.faults) } else { String::new() };
        let _ = writeln!(table, "{} {} in {}{faults}", exhibit.id, exhibit.title, exhibit.case.scenario);
        let _ = writeln!(table, "  {}: {found}", exhibit.design());
        if proved || !found.starts_with("violated") {
            wrong.push(format!("{} is not found", exhibit.id));
        }
        let mended = match exhibit.mended {
            Mended::By(mended) => Some((exhibit.case, mended)),
            Mended::Otherwise(_, case, mended) => Some((case, mended)),
            Mended::Not(why) => {
                let _ = writeln!(table, "  not mended: {why}");
                None
            }
        };
        if let Some((case, mended)) = mended {
            let (proved, found) = row(exhibit.property, case, design(mended));
            let _ = writeln!(table, "  {}: {found}", design(mended));
            if !proved {
                wrong.push(format!("{} is not mended", exhibit.id));
            }
        }
        if started.is_some() {
            eprintln!("{table}");
        }
    }
    assert_eq!(wrong, [""; 0], "{table}");
    assert_snapshot!("exhibits", table);
}

#[test]
fn every_law_of_these_is_broken_by_an_exhibit() {
    let broken: Vec<_> = mine().map(|exhibit| exhibit.property.id).collect();
    let never: Vec<_> = MINE.iter().filter(|id| !broken.contains(id)).collect();
    assert!(never.is_empty(), "a law that nothing breaks says nothing: {never:?}");
}

/// A calm run of a scenario under a design.
fn calm(scenario: &str, design: Design) -> Observed {
    let source = Source::BuiltIn(scenario.into());
    let file = forklab::lab::spec::scenario(&source).expect("built in").expect("a scenario");
    let spec = Spec { design: design.into(), ..Spec::new(source) };
    observe(&spec.setup(Some(&file)), &file, &[], Calm).expect("room")
}

/// What two events of one task cost, in figures: those of the remarks P1, P8, P25 and P26.
#[test]
fn what_an_event_costs_by_design() {
    let mut table = "  fork pays for 2 events             worker pays          listener       design\n".to_owned();
    table += "  allocations  bytes  steps   allocations  bytes  steps   bytes receives\n";
    for scenario in ["nobody", "burst"] {
        table += &format!("{scenario}\n");
        for axes in [
            "",
            "gate=has-listeners",
            "format=keys",
            "format=connector-ascii",
            "format=connector-struct",
            "format=connector-struct delivery=deferred",
            "format=connector-struct delivery=batched",
            "delivery=signal",
        ] {
            let run = calm(scenario, design(axes));
            let (mut fork, mut worker) = (Paid::default(), Paid::default());
            for (_, fact) in &run.facts {
                match fact {
                    Fact::Told { paid, .. } => fork += *paid,
                    Fact::Sent { paid, .. } => worker += *paid,
                    _ => {}
                }
            }
            let (bytes, receives) = run.world.listeners.first().map_or((0, 0), |listener| {
                let heard = listener.heard.borrow();
                (heard.bytes, heard.receives)
            });
            let figures = |paid: Paid| format!("{:>11} {:>6} {:>6}", paid.allocs, paid.bytes, paid.steps);
            let axes = if axes.is_empty() { "as posted" } else { axes };
            table += &format!("  {}   {}   {bytes:>5} {receives:>8}   {axes}\n", figures(fork), figures(worker));
        }
    }
    assert_snapshot!("costs", table);
}

/// The most that any of many seeds has the forks of so many CPUs wait for the lock of the counter.
fn most_waits(cpus: u32, sequence: &str) -> u64 {
    let task = |i: u32| {
        let name = char::from(b'a' + u8::try_from(i).expect("few CPUs"));
        format!("[[tasks]]\nname = \"p{name}\"\ndoes = [\"fork c{name}\"]\n[[tasks]]\nname = \"c{name}\"\n")
    };
    let tasks: String = (0..cpus).map(task).collect();
    let text = format!("name = \"x\"\n[machine]\ncpus = {cpus}\n{tasks}");
    let file = parse_scenario("x", &text).expect("a scenario");
    let design = design(&format!("sequence={sequence} format=connector-struct"));
    let spec = Spec { design: design.into(), ..Spec::new(Source::BuiltIn("x".into())) };
    let setup = spec.setup(Some(&file));
    let waits = (0..400).map(|seed| {
        let run = observe(&setup, &file, &[], Seeded::new(seed)).expect("room");
        run.world.sys.m.lock_waits("cn_fork_lock")
    });
    waits.max().unwrap_or(0)
}

#[test]
fn forks_wait_the_longer_for_the_lock_of_the_counter_the_more_cpus_there_are_and_never_for_a_count_of_their_own() {
    let cpus = [1, 2, 4, 8];
    let locked: Vec<_> = cpus.iter().map(|cpus| most_waits(*cpus, "locked")).collect();
    assert!(locked.is_sorted_by(|fewer, more| fewer < more), "{locked:?}");
    assert_eq!(locked[0], 0, "alone on the machine");
    assert_eq!(cpus.map(|cpus| most_waits(cpus, "per-cpu")), [0; 4]);
}

/// Designs that differ from the posted one, with the saved pid, in at most two axes.
fn neighbourhood() -> Vec<Design> {
    let posted = design("hook=end-saved-pid");
    let differ = |other: &Design| {
        let names = posted.names().into_iter().zip(other.names());
        names.filter(|(one, other)| one != other).count()
    };
    Design::possible().filter(|other| other.hook == posted.hook && differ(other) <= 2).collect()
}

/// Whether a law is broken in one of its cases, as far as a short search sees.
fn is_broken(id: &str, design: Design) -> bool {
    let property = Property::from_id(id).expect("a property");
    let how = How::Exhaustive { preemptions: None, steps: None, most: Some(60) };
    let broken = |case: &Case| check_case(property, *case, design, how, &|_| ()).1.finding().is_some();
    (property.silent)(&design).is_none() && property.cases.iter().any(broken)
}

#[test]
fn each_law_blames_the_designs_that_its_remark_speaks_of_and_no_others() {
    use fork_model::design::{Delivery as D, Format as F, Gate as G, Sequence as S};
    type Blames = fn(&Design) -> bool;
    let blames: [(&str, Blames); 14] = [
        // A signal to nobody allocates nothing.
        ("P1", |d| matches!(d.gate, G::Always | G::Socket) && d.delivery != D::Signal),
        ("P2", |d| d.gate == G::Socket),
        ("P3", |d| d.gate != G::HasListeners && d.delivery != D::Signal),
        ("P4", |d| d.gate == G::OnOff),
        ("P5", |d| d.gate == G::Counter),
        // Its gate is no value of the axis, but one that came later.
        ("P6", |_| false),
        ("P8", |d| d.delivery == D::Deferred || (matches!(d.format, F::Bare | F::Keys) && d.delivery != D::Signal)),
        ("P13", |d| d.sequence == S::Locked),
        // The connector looks for its socket first; a node is allocated before anybody looks.
        ("P21", |d| {
            d.gate == G::Always
                && d.delivery != D::Signal
                && (d.delivery == D::Deferred || matches!(d.format, F::Bare | F::Keys))
        }),
        ("P22", |_| true),
        ("P23", |d| d.delivery != D::Signal),
        // Who allocates atomically does not yield, and the worker is nobody's fork.
        ("P24", |d| matches!(d.delivery, D::Broadcast | D::Hotplug) && d.format != F::ConnectorAscii),
        ("P25", |d| d.delivery == D::Deferred),
        ("P26", |_| true),
    ];
    let designs = neighbourhood();
    let wrong: Vec<_> = designs
        .par_iter()
        .flat_map_iter(|design| {
            let wrong = blames.iter().filter(|(id, blames)| is_broken(id, *design) != blames(design));
            wrong.map(|(id, _)| format!("{id} {design}")).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(wrong, [""; 0], "of {} designs", designs.len());
}

#[test]
fn a_socket_that_never_asked_hears_what_a_dead_one_had_asked_for() {
    let text = "name = \"x\"\n\
        [[listeners]]\nname = \"elsa\"\ngroups = 1\ncontrol = [\"listen\", \"die\"]\n\
        [[listeners]]\nname = \"jay\"\ngroups = 1\ncontrol = []\n\
        [[tasks]]\nname = \"p\"\ndoes = [\"fork c\"]\n[[tasks]]\nname = \"c\"\n";
    let file = parse_scenario("x", text).expect("a scenario");
    let heard = |gate: &str| {
        let spec = Spec { design: design(gate).into(), ..Spec::new(Source::BuiltIn("x".into())) };
        let run = observe(&spec.setup(Some(&file)), &file, &[], Calm).expect("room");
        run.world.listeners[1].heard.borrow().log.len()
    };
    assert_eq!(heard("gate=counter"), 1, "as Linux 6.18 does (P3)");
}

#[test]
fn of_the_errors_that_kobject_fork_drops_only_enomem_is_told_to_nobody() {
    // The third message finds the buffer full: -ESRCH for the sender, and an overrun for the listener.
    let text = "name = \"x\"\n\
        [[listeners]]\nname = \"elsa\"\ngroups = 1\nrcvbuf = 256\npace = \"drain-at-end\"\n\
        [[tasks]]\nname = \"p\"\ndoes = [\"fork c x3\"]\n[[tasks]]\nname = \"c\"\n";
    let file = parse_scenario("x", text).expect("a scenario");
    let setup = Spec::new(Source::BuiltIn("x".into())).setup(Some(&file));
    let outcomes = |faults: &[FaultRule]| {
        let run = observe(&setup, &file, faults, Calm).expect("room");
        let outcomes = *run.world.sys.core.fork_outcomes.borrow();
        let told = run.world.listeners[0].heard.borrow().overruns;
        (outcomes.delivered, outcomes.nobody, outcomes.no_memory, told)
    };
    assert_eq!(outcomes(&[]), (2, 1, 0, 1));
    let third = FaultRule { site: Some("alloc_skb.head".into()), nth: 3, times: Times::Count(1) };
    assert_eq!(outcomes(&[third]), (2, 0, 1, 0));
}
