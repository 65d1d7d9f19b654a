//! No input, however wild, makes a parser panic; and what a parser takes, it gives back.

use forklab::scenario_file::{Known, ScenarioFile};
use forklab::workload::Workload;
use proptest::prelude::*;

const KNOWN: Known<'_> = Known {
    hooks: &["end"],
    gates: &["always"],
    sequences: &["none"],
    formats: &["bare"],
    deliveries: &["broadcast"],
    sites: &[],
    impossible: |_| None,
};

/// Lines that are nearly right, with few pids: they get past the columns and into the rules of who is alive.
fn nearly_a_recording() -> impl Strategy<Value = String> {
    let pid = 1..6;
    let fork = (0..2, 0..9, pid.clone(), pid.clone(), pid.clone(), pid.clone())
        .prop_map(|(cpu, ns, a, b, c, d)| format!("fork,{cpu},{ns},{a},{b},{c},{d}"));
    let exec = (0..2, 0..9, pid.clone(), pid.clone()).prop_map(|(cpu, ns, a, b)| format!("exec,{cpu},{ns},{a},{b}"));
    let exit = (0..2, 0..9, pid.clone(), pid).prop_map(|(cpu, ns, a, b)| format!("exit,{cpu},{ns},{a},{b},0,17"));
    let line = prop_oneof![3 => fork, 1 => exec, 1 => exit, 1 => "[a-z0-9,#é]{0,20}"];
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

/// A scenario with one hole, for a text that may or may not be an action, a value or a key.
fn nearly_a_scenario() -> impl Strategy<Value = String> {
    let hole = prop_oneof![
        "(fork|vfork|clone|wait|cont|exit|exec)?( (p|c|x[0-9]{1,6}|CLONE_VM|[|]|[0-9]{1,4})){0,3}",
        "\\PC{0,20}",
    ];
    (0..4, hole).prop_map(|(kind, hole)| match kind {
        0 => format!("name=\"x\"\n[[tasks]]\nname=\"p\"\ndoes=[\"{hole}\"]\n[[tasks]]\nname=\"c\"\ndoes=[\"{hole}\"]"),
        1 => format!("name=\"x\"\n{hole}\n[[tasks]]\nname=\"p\""),
        2 => format!("name=\"{hole}\"\n[[tasks]]\nname=\"{hole}\""),
        _ => format!("name=\"x\"\n[machine]\ncpus={hole}\n[[tasks]]\nname=\"p\""),
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_a_recording_or_an_error(bytes: Vec<u8>, zipped: bool) {
        let magic: &[u8] = if zipped { &[0x1f, 0x8b, 8, 0] } else { &[] };
        let whole = [magic, &bytes].concat();
        if let Err(error) = Workload::parse("t", &whole[..]) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn a_recording_that_is_taken_is_given_back(text in nearly_a_recording()) {
        if let Ok(workload) = Workload::parse("t", text.as_bytes()) {
            let mut written = Vec::new();
            workload.write(&mut written)?;
            let again = Workload::parse("t", &written[..])?;
            let events = |w: &Workload| w.records.iter().map(ToString::to_string).collect::<Vec<_>>();
            prop_assert_eq!(events(&again), events(&workload));
            let counts = workload.counts();
            prop_assert_eq!(&again.counts(), &counts);
            prop_assert_eq!(counts.forks + counts.execs + counts.exits, workload.records.len());
        }
    }

    #[test]
    fn an_error_points_into_the_text(text in prop_oneof![nearly_a_recording(), "[ -~\n]{0,80}"]) {
        if let Err(error) = Workload::parse("t", text.as_bytes())
            && let (Some(line), Some(column)) = (error.line, error.column)
        {
            let line = text.lines().nth(line as usize - 1).unwrap_or("");
            prop_assert!((1..=line.chars().count() as u64 + 1).contains(&column));
        }
    }

    #[test]
    fn arbitrary_text_is_a_scenario_or_an_error(text in prop_oneof![".*", "[\\PC\n]{0,200}", nearly_a_scenario()]) {
        if let Err(error) = ScenarioFile::parse("t", &text, &KNOWN) {
            let (line, column) = (error.line.unwrap_or(0), error.column.unwrap_or(0));
            prop_assert!(line >= 1 && column >= 1, "{}", error);
            prop_assert!(line <= text.split('\n').count() as u64, "{}", error);
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn an_arbitrary_file_is_a_scenario_or_an_error(bytes: Vec<u8>) {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), bytes)?;
        let _ = ScenarioFile::read(file.path(), &KNOWN);
    }
}

#[test]
fn a_deep_nest_of_brackets_does_not_exhaust_the_stack() {
    let text = format!("name = {}", "[".repeat(500_000));
    ScenarioFile::parse("t", &text, &KNOWN).expect_err("nothing closes them");
}
