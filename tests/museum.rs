//! The museum: everything that it says is made and checked just now.

mod common;

use common::forklab;
use forklab::museum::piece::{self, Shown};
use forklab::museum::story::{Answers, Line, Story, Told, tell};
use forklab::museum::{defects, exhibits};
use proptest::prelude::*;
use serde_json::Value;

fn show_all() -> Vec<Shown> {
    piece::show(&piece::all(), &|_| ())
}

fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(f)
}

#[test]
fn every_exhibit_is_shown_and_what_mends_it_is_proved_or_it_says_why_not() {
    let all = show_all();
    assert_eq!(all.len(), exhibits::ALL.len() + defects::ALL.len());
    for shown in &all {
        assert!(shown.shown, "{}: not shown: {shown:?}", shown.id);
        match shown.why_not {
            None => assert!(shown.mended_proved && shown.mended_by.is_some(), "{}: not proved: {shown:?}", shown.id),
            Some(reason) => assert!(!shown.mended_proved && reason.len() > 20, "{}: {shown:?}", shown.id),
        }
    }
    let again = with_threads(1, show_all);
    let text = |all: &[Shown]| serde_json::to_string_pretty(all).expect("JSON");
    assert_eq!(text(&all), text(&again), "any number of threads says the same");
}

/// The line of each exhibit, pasted, is the same run: by the command, in another process.
#[test]
fn the_replay_line_of_every_exhibit_gives_the_same_trace() {
    let done = forklab(&["museum", "--json"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let all: Value = serde_json::from_str(&done.out).expect("an array and nothing else");
    for exhibit in all.as_array().expect("an array") {
        for key in ["id", "title", "date", "source", "replay", "size", "rule", "says"] {
            assert!(exhibit[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {exhibit}");
        }
        for key in ["steps", "switches", "faults"] {
            assert!(exhibit[key].is_u64(), "{key}: {exhibit}");
        }
        assert!(exhibit["shown"].is_boolean() && exhibit["mended_proved"].is_boolean());
        let search = exhibit["search"].as_object().expect("by strategy");
        assert!(search.values().any(Value::is_u64), "somebody found it: {exhibit}");
        assert_eq!(search.keys().collect::<Vec<_>>(), ["exhaustive", "pct", "random"]);
        let line = exhibit["replay"].as_str().expect("a line");
        let again = forklab(&["replay", line, "--json"]);
        assert_eq!(again.code, Some(1), "{line}: {}", again.err);
        let report: Value = serde_json::from_str(&again.out).expect("JSON");
        assert_eq!(report["trace_hash"], exhibit["trace_hash"], "{line}");
        assert_eq!(report["replay"], exhibit["replay"]);
    }
}

/// How it is cut on a terminal is tested beside it.
#[test]
fn the_table_has_a_line_for_each_and_is_whole_where_nobody_looks() {
    let done = forklab(&["museum"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    for piece in piece::all() {
        let (title, date) = match piece {
            piece::Piece::Said(exhibit) => (exhibit.title, exhibit.property.remarks[exhibit.remark].date),
            piece::Piece::Seen(experiment) => (experiment.title, ""),
        };
        let line = done.out.lines().find(|line| line.starts_with(&format!(" {} ", piece.id())));
        let line = line.unwrap_or_else(|| panic!("{} is missing", piece.id()));
        assert!(line.contains(title) && line.contains(date), "{line}");
    }
    assert!(done.out.contains("forklab museum P18"), "how to look closer");
}

#[test]
fn a_page_is_about_a_screen_and_ends_in_a_line_that_can_be_pasted() {
    for piece in piece::all() {
        let done = forklab(&["museum", piece.id()]);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{}", piece.id());
        let lines: Vec<_> = done.out.lines().collect();
        assert!(lines.len() <= 80, "{}: {} lines", piece.id(), lines.len());
        assert!(lines.last().is_some_and(|line| line.starts_with(" replay  forklab replay 'v1 ")), "{}", done.out);
        for line in lines.iter().filter(|line| !line.contains("forklab replay '")) {
            assert!(line.chars().count() <= 80, "{}: {} characters\n{line}", piece.id(), line.chars().count());
        }
    }
}

#[test]
fn an_exhibit_of_the_second_wing_names_the_file_and_the_function_and_every_rule_is_a_sentence() {
    for shown in show_all() {
        let rule = shown.rule.as_str();
        assert!(rule.ends_with('.') && !rule.starts_with(char::is_lowercase), "{}: {rule}", shown.id);
        if shown.id.starts_with('G') {
            let (file, function) = shown.source.split_once(": ").unwrap_or_else(|| panic!("{}", shown.source));
            let path = std::path::Path::new(file);
            assert!(path.extension().is_some_and(|extension| extension == "c") && function.ends_with("()"), "{file}");
        }
    }
}

#[test]
fn an_exhibit_that_is_not_there_is_the_users_mistake_and_the_list_is_shown() {
    for id in ["P99", "G1", ""] {
        let done = forklab(&["museum", id]);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{id}");
        assert!(done.err.contains("expected an exhibit: P1, ") && done.err.contains(", G43"), "{}", done.err);
    }
}

#[test]
fn all_exhibits_of_a_property_are_shown_by_its_id() {
    let ids: Vec<_> = piece::named("P18").expect("there").iter().map(piece::Piece::id).collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| id.starts_with("P18")), "{ids:?}");
}

#[test]
fn an_experiment_is_run_by_its_id_and_by_a_seed_and_its_line_is_the_same_run() {
    for experiment in defects::ALL {
        let calm = forklab(&["run", experiment.id]);
        assert_eq!((calm.code, calm.err.as_str()), (Some(0), ""), "{}: the calm run is harmless", experiment.id);
        for seed in 0..20 {
            let story = Story { told: Told::Seed(seed), ..Story::of(experiment.id).expect("there") };
            let first = tell(&story, Default::default()).expect("a seed answers what is asked");
            let Line::Story(again) = first.replay.parse().expect("a line") else { panic!("{}", first.replay) };
            let again = tell(&again, Default::default()).expect("the same answers");
            let letters = |telling| serde_json::to_string(telling).expect("JSON");
            assert_eq!(letters(&first), letters(&again));
        }
    }
}

#[test]
fn pictures_of_an_experiment_change_nothing_and_its_json_trace_is_its_hash() {
    use sha2::{Digest, Sha256};
    let line = ["replay", "v1 G38 answers=3"];
    let plain = forklab(&line);
    let report = plain.out.split_once(" G38 ").expect("the report").1;
    for look in ["lanes", "graph"] {
        let done = forklab(&[line[0], line[1], "--trace", look]);
        assert!(done.out.ends_with(report) && done.out.len() > plain.out.len() && done.code == Some(1), "{look}");
    }
    let trace = forklab(&[line[0], line[1], "--trace", "json"]);
    let hash: String = Sha256::digest(&trace.out).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(trace.err.contains(&format!(" trace     sha256 {hash}\n")), "{}", trace.err);
}

#[test]
fn a_line_of_an_experiment_that_is_wrong_says_where_and_what_was_expected() {
    let wrong = [
        ("v1 G99", "<replay line>:1:4: found \"G99\", expected an experiment: G8, G10, "),
        ("v2 G16", "<replay line>:1:1: found \"v2\", expected v1, "),
        ("v1 G16 hook=end", "<replay line>:1:8: found \"hook\", expected answers, seed or mended: "),
        ("v1 G16 answers", "<replay line>:1:8: found \"answers\", expected KEY=VALUE"),
        ("v1 G16 answers=", "<replay line>:1:16: found \"\", expected answers between dots, "),
        ("v1 G16 answers=1.x.2", "<replay line>:1:16: found \"x\", expected answers between dots, "),
        ("v1 G16 answers=1x0", "<replay line>:1:16: found \"1x0\", expected answers between dots, "),
        (
            "v1 G16 answers=0x99999999999",
            "<replay line>:1:16: found \"0x99999999999\", expected at most 100000 answers",
        ),
        ("v1 G16 answers=-1", "<replay line>:1:16: found \"-1\", expected answers between dots, "),
        ("v1 G16 mended=yes", "<replay line>:1:15: found \"yes\", expected true or false"),
        ("v1 G16 answers=1 answers=2", "<replay line>:1:18: found \"answers\", expected each key once"),
        ("v1 G16 answers=1 seed=2", "<replay line>:1:18: found \"seed\", expected answers or seed, not both"),
        ("v1 G16 answers=99", "<answers>: found 99 as answer 1, expected 0 to "),
        ("v1 G8 answers=1.1.1.1", "<answers>: found 1 as answer 3, expected at most 2 answers: no more was asked"),
        ("v1 tour answers=3", "<replay line>:1:9: found \"answers\", expected no answers= here: "),
        ("v1 tour mended=true", "<replay line>:1:9: found \"mended\", expected no mended= here: "),
    ];
    for (line, says) in wrong {
        let done = forklab(&["replay", line]);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{line}");
        assert!(done.err.starts_with(&format!("forklab: {says}")), "{line}\n{}\n{says}", done.err);
    }
    let done = forklab(&["run", "G16", "--hook", "end"]);
    assert!(
        done.code == Some(2) && done.err.contains("found --hook, expected that flag with a scenario"),
        "{}",
        done.err
    );
}

fn answers() -> impl Strategy<Value = Vec<u32>> {
    // Rows of equal ones, too.
    let row = (prop_oneof![Just(0), Just(1), any::<u32>()], 1..30usize);
    proptest::collection::vec(row, 0..12)
        .prop_map(|rows| rows.into_iter().flat_map(|(answer, count)| vec![answer; count]).collect())
}

proptest! {
    #[test]
    fn a_line_of_an_experiment_reads_back_as_it_was_written(
        answers in answers(), mended: bool, seed: Option<u64>, which in 0..defects::ALL.len(),
    ) {
        let told = seed.map_or_else(|| Told::As(Answers::new(answers.clone())), Told::Seed);
        let story = Story { experiment: &defects::ALL[which], told, mended };
        let line = story.to_string();
        prop_assert_eq!(line.parse::<Line>().expect("a line"), Line::Story(story.clone()));
        prop_assert_eq!(line.parse::<Story>().expect("a line").to_string(), line);
    }

    #[test]
    fn answers_without_zeros_at_their_end_are_kept_whole(answers in answers()) {
        let used = answers.iter().rposition(|answer| *answer != 0).map_or(0, |last| last + 1);
        let kept = Answers::new(answers.clone());
        prop_assert_eq!(kept.as_slice(), &answers[..used]);
        if used > 0 {
            prop_assert_eq!(kept.to_string().parse::<Answers>().expect("answers"), kept);
        }
    }

    #[test]
    fn no_text_behind_the_id_makes_the_reader_panic(text in "[ -~äöü]{0,40}") {
        // An error is as good as a line.
        let _ = format!("v1 G16 {text}").parse::<Line>();
        let _ = format!("v1 G16 answers={text}").parse::<Line>();
    }
}
