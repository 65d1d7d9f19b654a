//! What each property finds, and where.

use fork_model::Design;
use forklab::lab::run::{Loaded, Watch, run};
use forklab::property::{self, CaseTrial, Property, check_case};
use sim::explore::parallel::How;
use sim::explore::shrink::shrink;

/// Every case of a property under a design: executions, and the smallest finding.
fn check(id: &str, design: &str) -> String {
    let property = Property::from_id(id).expect("a property");
    let design: Design = design.parse().expect("a design");
    let mut out = String::new();
    for case in property.cases {
        let (trial, verdict) = check_case(property, *case, design, How::default(), &|_| ());
        let found = verdict.finding().map(|finding| {
            let small = shrink(&trial, finding, 2000);
            let line = trial.spec(&small).to_string();
            let report = run(&Loaded::new(line.parse().unwrap(), |_| ()).unwrap(), Watch::default()).unwrap();
            assert_eq!(report.replay, line, "a line is its own replay");
            let again: Vec<_> = report.violations.iter().map(|violation| &violation.text).collect();
            assert!(again.contains(&&small.found[0].text), "{line}: {again:?} has {:?}", small.found);
            format!("{}\n      {}\n      {line}", small.size(), small.found[0])
        });
        out += &format!("  {} in {}: {}\n", case.scenario, verdict.executions(), found.unwrap_or("kept".into()));
    }
    out
}

#[test]
fn dev() {
    for (id, design) in [
        ("P1", ""),
        ("P1", "gate=has-listeners"),
        ("P17", "hook=locked"),
        ("P17", "hook=before-wake"),
        ("P18", ""),
        ("P18", "hook=end-saved-pid"),
    ] {
        println!("{id} {design}\n{}", check(id, design));
    }
    let _ = (property::ALL, CaseTrial::new);
}

/// `UPDATE_CONSOLES=1` writes the table.
#[test]
fn the_reference_has_every_rule_in_its_own_words() {
    let row = |property: &&Property| {
        let cases: Vec<_> = property.cases.iter().map(|case| format!("`{}`", case.scenario)).collect();
        let concern = format!("{:?}", property.concern).to_lowercase();
        format!("| {} | {concern} | {} | {} | {} |\n", property.id, property.title, property.rule, cases.join(", "))
    };
    let rows: String = property::ALL.iter().map(row).collect();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/properties.md");
    let page = std::fs::read_to_string(&file).expect("the page");
    let (before, table) = page.split_once("|---|---|---|---|---|\n").expect("the table");
    if std::env::var_os("UPDATE_CONSOLES").is_some() {
        std::fs::write(&file, format!("{before}|---|---|---|---|---|\n{rows}")).expect("writes");
    } else {
        assert_eq!(table, rows);
    }
}
