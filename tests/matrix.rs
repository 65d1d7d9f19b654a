//! All designs against all properties: the table, its shapes for machines, the picture, shards, and the page made of it.

mod common;

use std::path::Path;
use std::process::Command;

use common::{command, forklab};
use fork_model::Design;
use forklab::matrix::judge::{Effort, judge};
use forklab::property::{Found, Property, check_case};
use serde_json::Value;
use sim::explore::parallel::How;

/// One hook, three properties, and designs that differ.
const SMALL: [&str; 6] = ["matrix", "--hook", "locked", "--property", "P1,P17", "--runs=200"];

fn small(more: &[&str]) -> String {
    let args: Vec<&str> = SMALL.iter().chain(more).copied().collect();
    let done = forklab(&args);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{args:?}");
    done.out
}

fn refused(args: &[&str]) -> String {
    let done = forklab(args);
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{args:?}: {}", done.err);
    done.err
}

#[test]
fn a_survey_of_one_hook_reads_like_this() {
    insta::assert_snapshot!(small(&[]));
}

#[test]
fn the_columns_are_named_again_before_they_have_scrolled_away() {
    let done = forklab(&["matrix", "--hook", "locked", "--runs", "1", "--random", "0"]);
    let (_, table) = done.out.split_once("\n hook locked, ").expect("a table");
    let (table, _) = table.split_once("\n\n").expect("its end");
    let tables: Vec<_> = table.split("        PPPP").collect();
    assert!(tables.len() > 3 && tables[0].lines().count() == 1, "{table}");
    // The heads themselves, and a design whose name takes some lines.
    assert!(tables.iter().all(|table| table.lines().count() < 48), "{table}");
}

#[test]
fn a_survey_fits_a_terminal_but_for_the_names_of_designs() {
    for line in small(&[]).lines().filter(|line| !line.contains("hook=")) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    assert_eq!(small(&["--json", "--jobs", "1"]), small(&["--json", "--jobs", "3"]));
}

#[test]
fn the_json_has_a_row_for_each_design_and_a_cell_for_each_property() {
    let matrix: Value = serde_json::from_str(&small(&["--json"])).expect("JSON");
    assert_eq!((&matrix["forklab"], &matrix["survey"]["fixed"]["hook"]), (&"matrix".into(), &"locked".into()));
    let designs: Vec<_> = Design::possible().filter(|design| design.names()[0].1 == "locked").collect();
    let rows = matrix["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), designs.len());
    for (row, design) in rows.iter().zip(designs) {
        assert_eq!(row["design"], design.to_string());
        let cells = row["cells"].as_array().expect("cells");
        assert_eq!(cells.iter().map(|cell| cell["property"].as_str().unwrap()).collect::<Vec<_>>(), ["P1", "P17"]);
        for cell in cells {
            assert_eq!(cell["found"] == "violated", cell["violated"].is_object(), "{cell}");
        }
        assert_eq!(row["cost"].as_array().expect("costs").len(), 3);
    }
    assert!(matrix["front"].as_array().is_some_and(|front| !front.is_empty()));
    assert!(matrix["axes"]["gate"]["always"]["caused"].is_u64());
}

#[test]
fn the_replay_line_of_a_violation_shows_it() {
    let matrix: Value = serde_json::from_str(&small(&["--json"])).expect("JSON");
    let rows = matrix["rows"].as_array().expect("rows");
    for column in 0..2 {
        let violated = rows.iter().find_map(|row| row["cells"][column]["violated"].as_object()).expect("one of each");
        let line = violated["replay"].as_str().expect("a line");
        let done = forklab(&["replay", line]);
        let text = violated["text"].as_str().expect("a sentence").lines().next().unwrap_or_default();
        assert_eq!(done.code, Some(1), "{line}: {}", done.err);
        assert!(done.out.contains(text), "{line}: {} has no {text}", done.out);
    }
}

#[test]
fn the_csv_has_a_line_for_each_design() {
    let csv = small(&["--csv"]);
    let mut lines = csv.lines();
    let head = lines.next().expect("a head");
    assert!(head.starts_with("hook,gate,sequence,format,delivery,front,allocations_0,bytes_0"), "{head}");
    assert!(head.ends_with(",P1,P17"), "{head}");
    let columns = head.split(',').count();
    assert_eq!(lines.clone().count(), 153);
    assert!(lines.all(|line| line.split(',').count() == columns));
}

#[test]
fn a_search_for_many_properties_says_what_a_search_for_each_says() {
    let effort = Effort { runs: u64::MAX, steps: u64::MAX, random: 0, seed: 1 };
    for (design, ids) in [("hook=locked", ["P17", "P18"]), ("hook=end", ["P17", "P18"])] {
        let design: Design = design.parse().expect("a design");
        let properties = ids.map(|id| Property::from_id(id).expect("a property"));
        let case = properties[0].cases[0];
        for (judged, property) in judge(case, design, &properties, effort).iter().zip(properties) {
            let (_, verdict) = check_case(property, case, design, How::default(), &|_| ());
            assert_eq!(judged.found, Found::from(&verdict), "{design} {}", property.id);
            let first = |answers: &[u32]| answers.iter().rposition(|answer| *answer != 0).map_or(0, |last| last + 1);
            if let (Some((text, answers)), Some(finding)) = (&judged.violated, verdict.finding()) {
                let theirs = &finding.choices.answers;
                assert_eq!(answers[..first(answers)], theirs[..first(theirs)], "{design} {}", property.id);
                assert_eq!(*text, finding.found[0].text);
                assert_eq!(judged.runs, verdict.executions());
            }
        }
    }
}

#[test]
fn the_picture_is_well_formed_and_has_a_cell_for_each_row_and_property() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m.svg");
    let path = file.display().to_string();
    let done = forklab(&["matrix", "--property", "P1,P17", "--runs", "3", "--random", "0", "--svg", &path]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let svg = std::fs::read_to_string(&file).expect("a picture");
    well_formed(&svg);
    assert!(svg.len() < 400_000, "{} bytes", svg.len());
    let mut rows = 0;
    for row in svg.split("<g class=\"row\">").skip(1) {
        let row = row.split("</g>").next().expect("it ends");
        let cells = ["v", "n", "p", "s", "b"].iter().map(|shape| row.matches(&format!("href=\"#{shape}\"")).count());
        assert_eq!(cells.sum::<usize>(), 2, "{row}");
        rows += 1;
    }
    assert!(rows >= 10, "{rows} rows");
    for mark in
        ["posted 2005-02", "mainline 2005-11", "2.6.15-rc3", "href=\"#star\"", "class=\"value\"", "violated: a run"]
    {
        assert!(svg.contains(mark), "no {mark}");
    }
}

/// Every element is closed in order, and nothing stands outside of the one root. Enough for what we write.
fn well_formed(xml: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>') || !open.is_empty(), "text outside: {}", &rest[..start]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split_whitespace().next().expect("a name")),
        }
        rest = &rest[end + 1..];
        assert!(!open.is_empty() || rest.trim().is_empty(), "after the root: {rest}");
    }
    assert!(open.is_empty(), "{open:?}");
    for amp in xml.split('&').skip(1) {
        assert!(["amp;", "lt;", "quot;"].iter().any(|entity| amp.starts_with(entity)), "&{}", &amp[..5]);
    }
}

/// Writes the shards of the small survey into a folder; their paths.
fn shards(folder: &Path, of: usize) -> Vec<String> {
    let write = |i: usize| {
        let path = folder.join(format!("{i}.json"));
        std::fs::write(&path, small(&["--json", "--shard", &format!("{i}/{of}")])).expect("a file");
        path.display().to_string()
    };
    (1..=of).map(write).collect()
}

#[test]
fn shards_in_any_order_merge_to_the_whole_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = shards(folder.path(), 3);
    let done = forklab(&["merge", &files[2], &files[0], &files[1]]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert!(done.out == small(&["--json"]), "the whole is another one");
}

#[test]
fn what_cannot_be_merged_is_refused_with_the_file_and_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = shards(folder.path(), 3);
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let text = std::fs::read_to_string(&files[0]).expect("a shard");
    let cases = [
        (vec![files[0].clone(), files[2].clone()], "2 of 3 shards, without 2/3, expected all of them"),
        (vec![files[0].clone(), files[0].clone(), files[1].clone()], "shard 1/3 again"),
        (vec![write("cut", &text[..text.len() / 2])], "the end of the file, in the middle of a value"),
        (vec![write("foreign", "{\"a\": 1}")], "JSON that forklab did not write"),
        (vec![write("garbage", "shard")], "expected value"),
        (vec![write("empty", "")], "an empty file"),
        (vec![write("old", &text.replacen("\"version\": \"", "\"version\": \"9", 1))], "expected forklab 0."),
        (vec![write("rows", &text.replacen("\"shard\": \"1/3\"", "\"shard\": \"1/2\"", 1))], "rows in shard 1/2"),
        (
            vec![files[0].clone(), write("other", &text.replacen("\"runs\": 200", "\"runs\": 201", 1))],
            "a shard of another survey: --runs 201",
        ),
        (vec![folder.path().join("none").display().to_string()], "no such file"),
    ];
    for (files, expected) in cases {
        let args: Vec<&str> = ["merge"].into_iter().chain(files.iter().map(String::as_str)).collect();
        let said = refused(&args);
        assert!(said.contains(expected) && said.lines().count() == 1, "{said} has no {expected}");
    }
}

#[test]
fn mistakes_on_the_command_line_say_what_was_expected() {
    let impossible = refused(&["matrix", "--format", "bare", "--sequence", "locked"]);
    assert!(impossible.contains("needs room in the message"), "{impossible}");
    let left_out = refused(&["matrix", "--gate", "counter-reset", "--format", "bare"]);
    let gates = "always, socket, on-off, counter, has-listeners";
    let expected = format!("found --gate counter-reset, expected what a survey goes through: {gates}; check takes it");
    assert!(left_out.contains(&expected), "{left_out}");
    assert!(refused(&["matrix", "--shard", "1/2"]).contains("found --shard, expected --json with it"));
    assert!(refused(&["matrix", "--json", "--shard", "3/2"]).contains("expected auto, or I/N"));
    assert!(refused(&["matrix", "--property", "P99"]).contains("P17"));
    assert!(refused(&["matrix", "--svg", "/nowhere/m.svg"]).contains("no such directory"));
}

#[test]
fn a_shard_is_asked_of_the_environment() {
    let auto = |name: &str, value: &str| {
        let args: Vec<&str> = SMALL.iter().copied().chain(["--json", "--shard", "auto"]).collect();
        let done = command(&args).env_remove("FORKLAB_SHARD").env(name, value).output().expect("it runs");
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stdout).into_owned(),
            String::from_utf8_lossy(&done.stderr).into_owned(),
        )
    };
    let (code, out, _) = auto("FORKLAB_SHARD", "2/150");
    assert_eq!(code, Some(0));
    assert!(out == small(&["--json", "--shard", "2/150"]));
    let (code, out, err) = auto("FORKLAB_SHARD", "0/4");
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("FORKLAB_SHARD=\"0/4\""), "{err}");
}

#[test]
fn the_recipe_for_one_machine_works_as_it_is_written() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sweeps.md")).expect("the page");
    let (_, recipe) = page.split_once("## One machine").expect("the recipe");
    let recipe = recipe.split("```sh\n").nth(1).and_then(|recipe| recipe.split("```").next()).expect("a block");
    let folder = tempfile::tempdir().expect("a folder");
    let done = Command::new("sh")
        .args(["-euc", recipe])
        .env("FORKLAB", env!("CARGO_BIN_EXE_forklab"))
        .env("ARGS", SMALL[1..].join(" "))
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let whole = std::fs::read_to_string(folder.path().join("matrix.json")).expect("the whole");
    assert!(whole == small(&["--json"]), "the whole is another one");
}

/// `forklab verdict > docs/verdict.md` writes it anew.
#[test]
fn the_verdict_is_what_the_command_says_today() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verdict.md")).expect("the page");
    let done = forklab(&["verdict"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert_eq!(done.out, page, "forklab verdict > docs/verdict.md");
    assert!(page.lines().count() <= 120, "{} lines", page.lines().count());
}
