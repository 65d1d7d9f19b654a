//! The exhibits about cost, gates and loss: each is found in the design that history blames and proved away in the one that
//! mends it, in every schedule of its case.

use std::fmt::Write as _;

use fork_model::Design;
use forklab::lab::run::{Loaded, Watch, run};
use forklab::lab::spec::Spec;
use forklab::museum::exhibits::{ALL, Exhibit, Mended};
use forklab::property::{Case, Property, check_case};
use insta::assert_snapshot;
use sim::explore::Verdict;
use sim::explore::parallel::How;
use sim::explore::shrink::shrink;

/// The properties of this file.
const MINE: [&str; 14] =
    ["P2", "P3", "P4", "P5", "P6", "P8", "P13", "P21", "P22", "P23", "P24", "P25", "P26", "P1"];

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
        run(&Loaded::new(spec, |_| ()).expect("loaded"), Watch::default()).unwrap_or_else(|error| panic!("{line}: {error}"))
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
        let faults = if exhibit.case.faults > 0 { format!(", {} may fail", exhibit.case.faults) } else { String::new() };
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
