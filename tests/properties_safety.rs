//! Each exhibit of P7, P9 to P12, P14 to P20, P27 and P28: found in the design that history tried, proved in what mended it.

use std::fmt::Write as _;

use fork_model::Design;
use forklab::lab::run::{Loaded, Watch, run};
use forklab::museum::exhibits::{ALL, Exhibit, Mended};
use forklab::property::{Case, CaseTrial, Property, check_case};
use sim::explore::Verdict;
use sim::explore::parallel::How;
use sim::explore::shrink::shrink;

/// Properties that stand in another test.
const ELSEWHERE: [&str; 12] = ["P1", "P2", "P3", "P4", "P5", "P6", "P8", "P13", "P21", "P22", "P23", "P24"];
/// More of them.
const ELSEWHERE_TOO: [&str; 2] = ["P25", "P26"];

fn mine() -> impl Iterator<Item = &'static Exhibit> {
    let elsewhere = |id: &str| ELSEWHERE.contains(&id) || ELSEWHERE_TOO.contains(&id);
    ALL.iter().filter(move |exhibit| !elsewhere(exhibit.property.id))
}

fn look(property: &'static Property, case: Case, design: &str) -> (CaseTrial, Verdict) {
    let design: Design = design.parse().expect("an exhibit's design");
    design.check().expect("a design that can be built");
    check_case(property, case, design, How::default(), &|_| ())
}

/// The smallest finding, in words. Its replay line says the same twice, to the same trace hash.
fn shown(trial: &CaseTrial, verdict: &Verdict) -> String {
    let Some(finding) = verdict.finding() else { return format!("  {verdict:?}\n") };
    let small = shrink(trial, finding, 2000);
    let line = trial.spec(&small).to_string();
    let twice = [(); 2].map(|()| {
        let report = run(&Loaded::new(line.parse().expect("a line"), |_| ()).expect("a run"), Watch::default());
        let report = report.expect("it can be followed");
        assert_eq!(report.replay, line, "a line is its own replay");
        let texts: Vec<_> = report.violations.iter().map(|violation| &violation.text).collect();
        assert!(texts.contains(&&small.found[0].text), "{line}: {texts:?} has {:?}", small.found);
        report.trace_hash
    });
    assert_eq!(twice[0], twice[1], "{line}");
    let text = small.found[0].to_string().replace('\n', "\n           ");
    format!("  in {}, {}\n  step {:<4} {text}\n  {line}\n", verdict.executions(), small.size(), small.found[0].step)
}

/// A proof, in words.
fn proof(property: &'static Property, case: Case, design: &str) -> String {
    let verdict = look(property, case, design).1;
    let Verdict::Proved { executions, given_up } = verdict else {
        panic!("{} in {} with {design}: {verdict:?}", property.id, case.scenario)
    };
    assert_eq!(given_up.cut, 0);
    format!("proved in {executions}: {design}")
}

#[test]
fn each_exhibit_is_found_and_what_mended_it_is_proved() {
    let mut table = String::new();
    for exhibit in mine() {
        let (id, case) = (exhibit.id, exhibit.case);
        let started = std::env::var_os("SHOW_EXHIBITS").map(|_| eprintln!("{id}"));
        let (trial, verdict) = look(exhibit.property, case, exhibit.design);
        writeln!(table, "{id} {} in {}", exhibit.title, case.scenario).expect("a string");
        table += &shown(&trial, &verdict);
        let mended = match exhibit.mended {
            Mended::By(design) => proof(exhibit.property, case, design),
            Mended::Otherwise(how, case, design) => {
                format!("{how}, {}: {}", case.scenario, proof(exhibit.property, case, design))
            }
            Mended::Not(why) => format!("not mended: {why}"),
        };
        writeln!(table, "  {mended}\n").expect("a string");
        let _ = started.map(|()| eprintln!("{}", table.trim_end().rsplit("\n\n").next().unwrap_or_default()));
    }
    insta::assert_snapshot!("exhibits", table);
}

/// What a property finds under a design, in all its cases.
fn found(id: &str, design: &str) -> Vec<bool> {
    let property = Property::from_id(id).expect("a property");
    property.cases.iter().map(|case| look(property, *case, design).1.finding().is_some()).collect()
}

#[test]
fn a_plain_child_that_stays_a_zombie_is_safe_and_a_saved_pid_is_safe_everywhere() {
    // reaps-itself, ignored, waited, adopted; then zombie.
    assert_eq!(found("P18", "hook=end"), [true, true, true, true, false]);
    assert_eq!(found("P18", "hook=after-wake"), [true, true, true, true, false]);
    for safe in ["hook=end-saved-pid", "hook=before-wake", "hook=locked"] {
        assert_eq!(found("P18", safe), [false; 5], "{safe}");
    }
    let zombie = proof(Property::from_id("P18").expect("a property"), Case::of("zombie"), "hook=end");
    insta::assert_snapshot!(zombie, @"proved in 3: hook=end");
}

#[test]
fn only_locked_and_before_wake_tell_a_fork_before_the_child_can_do_anything() {
    for (hook, late) in
        [("end", true), ("end-saved-pid", true), ("after-wake", true), ("locked", false), ("before-wake", false)]
    {
        assert_eq!(found("P20", &format!("hook={hook}")), [late; 2], "{hook}");
        assert_eq!(found("P19", &format!("hook={hook}")), [late], "{hook}");
    }
    // Deferral takes it away again: the worker sends when it sends.
    assert_eq!(found("P20", "hook=before-wake delivery=deferred"), [true; 2]);
}

#[test]
fn gfp_by_context_as_a_table() {
    let property = Property::from_id("P16").expect("a property");
    let mut table = String::new();
    for (context, hook) in [("process", "before-wake"), ("process", "end-saved-pid"), ("atomic", "locked")] {
        for (gfp, format) in [("GFP_KERNEL", "connector-struct"), ("GFP_ATOMIC", "connector-ascii")] {
            let design = format!("hook={hook} gate=has-listeners format={format}");
            let verdict = look(property, Case::of("pressure"), &design).1;
            let word = verdict.finding().map_or("kept".to_owned(), |finding| finding.found[0].text.replace('\n', ", "));
            writeln!(table, "{context:8} {hook:14} {gfp} {word}").expect("a string");
        }
    }
    insta::assert_snapshot!("gfp_by_context", table);
}

#[test]
fn an_unlocked_counter_is_a_data_race_even_where_no_number_is_drawn_twice() {
    let race = |design: &str| {
        let line = format!("v1 two-forks {design} fault=none");
        let report = run(&Loaded::new(line.parse().expect("a line"), |_| ()).expect("a run"), Watch::default());
        report.expect("a calm run").violations.iter().map(|violation| violation.text.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        race("sequence=unlocked format=connector-ascii"),
        ["unlocked shared counter: lanes p and q meet in cn_fork_seq without a common lock"]
    );
    assert!(race("sequence=locked format=connector-ascii").is_empty());
    assert!(race("sequence=per-cpu format=connector-ascii").is_empty());
}

#[test]
fn numbers_of_each_cpu_are_in_order_as_long_as_one_cpu_forks() {
    let property = Property::from_id("P14").expect("a property");
    let one = proof(property, Case::of("three-forks"), "hook=before-wake sequence=per-cpu format=connector-struct");
    insta::assert_snapshot!(one, @"proved in 48: hook=before-wake sequence=per-cpu format=connector-struct");
}
