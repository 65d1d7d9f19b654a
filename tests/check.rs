//! `forklab check` as a user has it: what it takes, what it prints, shards and checkpoints.

mod common;

use common::{Done, command, forklab};

/// A check that takes a moment: its answer is a proof.
const SHORT: [&str; 6] = ["check", "--hook", "end-saved-pid", "--property", "P17,P18", "--json"];

fn short(more: &[&str]) -> Done {
    forklab(&[&SHORT[..], more].concat())
}

#[test]
fn a_shard_is_asked_of_the_environment_as_for_a_matrix() {
    let auto = |value: &str| {
        let args = [&SHORT[..], &["--shard", "auto"]].concat();
        command(&args).env("FORKLAB_SHARD", value).output().expect("it runs")
    };
    let asked = auto("2/3");
    assert_eq!(asked.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&asked.stdout), short(&["--shard", "2/3"]).out);
    let wrong = auto("4/3");
    assert_eq!((wrong.status.code(), wrong.stdout.as_slice()), (Some(2), &b""[..]));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("FORKLAB_SHARD=\"4/3\""));
    let wrong = short(&["--shard", "0/3"]);
    let expected = "found --shard \"0/3\", expected auto, or I/N with I from 1 to N, such as 2/8\n";
    assert_eq!((wrong.code, wrong.err), (Some(2), format!("forklab: <command line>: {expected}")));
}

#[test]
fn a_property_that_is_named_twice_is_searched_once_and_the_order_is_the_user_s() {
    let ids = |list: &str| {
        let done = forklab(&["check", "--hook", "end-saved-pid", "--property", list, "--json"]);
        let answer: serde_json::Value = serde_json::from_str(&done.out).expect("JSON");
        let properties = answer["properties"].as_array().expect("a list").clone();
        properties.iter().map(|property| property["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("P18,P17,P18,P17"), ["P18", "P17"]);
}

#[test]
fn shards_merge_to_the_whole_and_what_is_no_shard_or_there_twice_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    // Searches of 250 random runs a part: each shard has two of the four.
    let search = ["check", "--property", "P1", "--gate", "has-listeners", "--strategy", "random", "--runs", "1000"];
    let shard = |shard: &str| forklab(&[&search[..], &["--shard", shard]].concat()).out;
    let (one, two) = (write("one", &shard("1/2")), write("two", &shard("2/2")));
    let whole = forklab(&[&search[..], &["--json"]].concat());
    let merged = forklab(&["merge", &two, &one]);
    assert_eq!((merged.code, merged.err.as_str()), (whole.code, ""));
    assert_eq!(merged.out, whole.out);

    let text = shard("1/2");
    let matrix = ["matrix", "--property", "P1", "--hook", "end", "--gate", "always", "--delivery", "broadcast"];
    let matrix = write("matrix", &forklab(&[&matrix[..], &["--runs", "1", "--random", "0", "--json"]].concat()).out);
    let cut = write("cut", &text[..text.len() / 2]);
    let cases = [
        (vec![&one, &two, &one], format!("{one}: found shard 1/2 again, which is in {one}, expected each shard once")),
        (vec![&one], "<command line>: found 1 of 2 shards, without 2/2, expected all of them".to_owned()),
        (
            vec![&one, &matrix],
            format!("{matrix}: found the JSON of forklab matrix, expected a shard of forklab check ("),
        ),
        (vec![&matrix, &one], format!("{one}: found the JSON of forklab check 2, expected a shard of forklab matrix")),
        (vec![&cut], format!("{cut}:")),
    ];
    for (files, expected) in cases {
        let files: Vec<_> = files.iter().map(|file| file.as_str()).collect();
        let done = forklab(&[&["merge"][..], &files].concat());
        assert!(done.err.starts_with(&format!("forklab: {expected}")) && done.err.lines().count() == 1, "{}", done.err);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
    }
    let said = forklab(&["merge", &cut]).err;
    assert!(
        said.ends_with(": found the end of the file, in the middle of a value, expected a shard of forklab check\n"),
        "{said}"
    );
    let again = write("again", &text.replacen("\"shard\": \"1/2\"", "\"shard\": \"1/3\"", 1));
    assert!(forklab(&["merge", &one, &again]).err.contains(": found shard 1/3, expected one of 2 shards, as in "));
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_told_before_the_search_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (file, found) in [(path("no/state"), "no such directory"), (path(""), "a directory")] {
        // All of this design, of which the last part is reached in minutes: nothing is searched.
        let done = forklab(&["check", "--faults", "8", "--checkpoint", &file]);
        assert_eq!(done.err, format!("forklab: {file}: found {found}, expected a file that can be written\n"));
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
    }
    // A file that is not there yet is no state, and is one afterwards.
    let file = path("state");
    let first = short(&["--checkpoint", &file, "--resume"]);
    let second = short(&["--checkpoint", &file, "--resume"]);
    assert_eq!((first.code, first.out.as_str()), (Some(0), second.out.as_str()));
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "nothing is left beside it");
    let of_a_shard = short(&["--checkpoint", &file, "--resume", "--shard", "1/2"]);
    assert!(of_a_shard.err.contains("found the state of another check ("), "{}", of_a_shard.err);
}

#[test]
fn a_recording_is_no_scenario_and_the_user_is_told_who_takes_it() {
    let recording = "tests/data/shell.csv.gz";
    for args in [&["check", recording][..], &["run", recording]] {
        let expected = "expected a scenario (TOML); run --workload takes a recorded workload";
        let done = forklab(args);
        assert_eq!(done.err, format!("forklab: {recording}: found gzip data, as of a recording, {expected}\n"));
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
    }
}

#[test]
fn a_search_that_was_ended_says_in_its_last_line_that_it_was() {
    let last = |args: &[&str]| {
        let done = forklab(&[&["check", "autoreap", "--property", "p18"], args].concat());
        assert_eq!(done.code, Some(0), "{}", done.err);
        done.out.lines().last().expect("a line").to_owned()
    };
    assert_eq!(last(&["--runs", "10"]), " Nothing was found; 1 scenario not searched to the end.");
    assert_eq!(last(&["--hook", "end-saved-pid"]), " Nothing was found.");
}

#[test]
fn the_table_and_its_pictures_fit_a_terminal_but_for_what_is_to_be_pasted() {
    for design in [&[][..], &["--hook", "locked"], &["--gate", "counter", "--delivery", "signal"]] {
        let done = forklab(&[&["check", "--runs", "500"][..], design].concat());
        assert_eq!((done.code, done.err.as_str()), (Some(1), ""), "{design:?}");
        assert!(done.out.contains("\n      says nothing: ") && done.out.contains("VIOLATED"), "{}", done.out);
        for line in done.out.lines().filter(|line| !line.contains("forklab replay '")) {
            assert!(line.chars().count() <= 80, "{} characters\n{line}", line.chars().count());
        }
    }
}

#[test]
fn the_picture_ends_with_the_finding_and_has_each_broken_rule_where_it_broke() {
    let step = |line: &str| line.get(..5)?.trim().parse::<u64>().ok();
    let judged = ["--hook", "before-wake", "--gate", "has-listeners", "--sequence", "per-cpu", "--format", "keys"];
    let designs = [(&["--hook", "locked"][..], "P17", "Debug: sleeping function"), (&judged, "P14", "cannot tell who")];
    for (design, id, says) in designs {
        let args = [&["check", "--property", id], design].concat();
        let answer: serde_json::Value =
            serde_json::from_str(&forklab(&[&args[..], &["--json"]].concat()).out).expect("JSON");
        let cases = answer["properties"][0]["cases"].as_array().expect("cases");
        let found = cases.iter().find_map(|case| case["counterexample"]["step"].as_u64()).expect("it is found");
        let done = forklab(&args);
        let (_, picture) = done.out.split_once("\n ----").expect("a picture");
        let (picture, _) = picture.split_once("\n rule ").expect("its end");
        assert_eq!(picture.matches(says).count(), 1, "{picture}");
        let (before, after) = picture.split_once(says).expect("the finding");
        assert_eq!(before.lines().filter_map(step).next_back(), Some(found), "{picture}");
        assert_eq!(after.lines().find_map(step), None, "{picture}");
    }
}

#[test]
fn what_was_found_before_a_run_was_cut_off_is_reported() {
    // The hook sleeps under tasklist_lock in step 5; the run would have 11.
    let check = |steps: &str| {
        let args = ["check", "--hook", "locked", "--property", "P17", "--json", "--steps", steps];
        let done = forklab(&args);
        let answer: serde_json::Value = serde_json::from_str(&done.out).expect("JSON");
        (done.code, answer["properties"][0]["cases"][0].clone())
    };
    let (code, whole) = check("1000");
    assert_eq!((code, &whole["found"]), (Some(1), &"violated".into()));
    let step = whole["counterexample"]["step"].as_u64().expect("a step");
    let (code, cut) = check(&step.to_string());
    assert_eq!((code, &cut["found"]), (Some(1), &"violated".into()));
    assert_eq!(cut["counterexample"], whole["counterexample"]);
    let (code, before) = check(&(step - 1).to_string());
    assert_eq!((code, &before["found"]), (Some(0), &"not-found".into()), "it was not reached: {before}");
}
