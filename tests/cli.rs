//! The commands as a user types them: what they print, and how they end.

mod common;
mod consoles;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use common::{command, forklab};
use serde_json::Value;

/// The consoles of `tests/cmd` and of the readme show what the commands print. `UPDATE_CONSOLES=1` writes them anew.
#[test]
fn every_console_that_is_shown_is_true() {
    let folder =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd")).expect("the folder of consoles");
    let mut pages: Vec<_> = folder.map(|entry| entry.expect("readable").path()).collect();
    pages.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let wrong: Vec<_> = pages.iter().filter(|page| page.exists()).flat_map(|page| consoles::check(page)).collect();
    assert!(wrong.is_empty(), "{}\nUPDATE_CONSOLES=1 writes what is printed now", wrong.join("\n"));
}

#[test]
fn every_built_in_scenario_runs_and_breaks_no_rule_when_nobody_hurries() {
    for (name, _) in forklab::lab::spec::BUILT_IN {
        let done = forklab(&["run", name]);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{name}");
        assert!(
            done.out.contains(&format!(" replay    forklab replay 'v1 {name} hook=end fault=none'\n")),
            "{}",
            done.out
        );
    }
}

#[test]
fn the_tour_fits_on_a_screen_and_its_last_command_finds_the_bug_again() {
    let done = forklab(&[]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert!(done.out.lines().count() <= 50, "{} lines", done.out.lines().count());
    let (_, replay) = done.out.split_once("forklab replay '").expect("the tour ends in a replay line");
    let (line, _) = replay.split_once('\'').expect("in quotes");
    let again = forklab(&["replay", line]);
    assert_eq!(again.code, Some(1), "{}", again.err);
    assert!(again.out.contains("use after free: do_fork() reads p->pid"), "{}", again.out);
}

#[test]
fn no_picture_is_wider_than_a_terminal_except_for_what_is_to_be_pasted() {
    let pictures: [&[&str]; 6] = [
        &[],
        &["faults"],
        &["layout"],
        &["layout", "--hotplug", "/block/sda"],
        &["run", "thread", "--trace", "lanes"],
        &["run", "autoreap", "--seed", "3", "--trace", "lanes", "--all"],
    ];
    for args in pictures {
        let pasted = |line: &str| line.contains("replay  ") || line.contains(" sha256 ");
        for line in forklab(args).out.lines().filter(|line| !pasted(line)) {
            assert!(
                line.chars().count() <= 80,
                "forklab {}: {} characters\n{line}",
                args.join(" "),
                line.chars().count()
            );
        }
    }
}

#[test]
fn the_json_report_has_every_key_that_scripts_rely_on() {
    let done = forklab(&["run", "overrun", "--json"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_str(&done.out).expect("one JSON value and nothing else");
    for key in ["forks", "threads", "exits", "events_sent"] {
        assert!(report[key].is_u64(), "{key}: {}", report[key]);
    }
    assert_eq!((&report["forks"], &report["exits"], &report["events_sent"]), (&600.into(), &601.into(), &600.into()));
    let listener = &report["listeners"][0];
    assert_eq!(
        (&listener["name"], &listener["received"], &listener["lost"]),
        (&"sleepy".into(), &489.into(), &111.into())
    );
    let tree = &listener["tree"];
    assert_eq!((&tree["right"], &tree["wrong"], &tree["missing"]), (&489.into(), &0.into(), &111.into()));
    assert_eq!(report["cost"][1]["listeners"], 1);
    assert_eq!(report["violations"], Value::Array(vec![]));
    assert_eq!(report["trace_hash"].as_str().map(str::len), Some(64));
    assert!(report["followed"].is_null(), "only a recording is followed");
}

#[test]
fn a_broken_rule_is_exit_code_1_and_in_the_json_with_its_step_and_cause() {
    let line = "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=none";
    let done = forklab(&["replay", line, "--json"]);
    assert_eq!((done.code, done.err.as_str()), (Some(1), ""));
    let report: Value = serde_json::from_str(&done.out).expect("JSON");
    let violation = &report["violations"][0];
    assert!(
        violation["step"].is_u64() && violation["cause"].is_string() && violation["text"].is_string(),
        "{violation}"
    );
    assert_eq!(report["replay"], line);
}

#[test]
fn tables_and_layouts_are_json_when_asked() {
    let rows: Value = serde_json::from_str(&forklab(&["faults", "--json"]).out).expect("JSON");
    assert!(rows.as_array().is_some_and(|rows| rows.iter().all(|row| row["leaks"] == 0)), "{rows}");
    let layout: Value = serde_json::from_str(&forklab(&["layout", "--json"]).out).expect("JSON");
    assert_eq!((&layout["by"], &layout["slot_count"]), (&"kobject_fork".into(), &5.into()));
    let tour: Value = serde_json::from_str(&forklab(&["--json"]).out).expect("JSON");
    assert_eq!(tour["violations"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_json_trace_is_alone_on_standard_output_and_the_report_beside_it() {
    let done = forklab(&["run", "tour", "--trace", "json"]);
    assert_eq!(done.code, Some(0));
    assert!(done.out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|event| event["step"].is_u64())));
    assert!(done.err.contains(" trace     sha256 "), "{}", done.err);
}

#[test]
fn a_pipe_gets_no_colours_and_a_terminal_that_asks_for_none_neither() {
    for args in [&["run", "autoreap", "--trace", "lanes"][..], &[]] {
        assert!(!forklab(args).out.contains('\x1b'), "a pipe");
        let output = command(args).env("CLICOLOR_FORCE", "1").output().expect("it runs");
        assert!(output.stdout.contains(&0x1b), "colours that are asked for are there, or this test shows nothing");
        let output = command(args).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().expect("it runs");
        assert!(!output.stdout.contains(&0x1b), "NO_COLOR");
    }
}

#[test]
fn colour_only_adds() {
    let args = ["run", "autoreap", "--trace", "lanes"];
    let coloured = command(&args).env("CLICOLOR_FORCE", "1").output().expect("it runs");
    let coloured = String::from_utf8(coloured.stdout).expect("UTF-8");
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, escape)) = rest.split_once("\x1b[") {
        plain += before;
        rest = escape.split_once('m').expect("every escape is a colour").1;
    }
    assert_eq!(plain + rest, forklab(&args).out);
}

#[test]
fn a_shell_is_told_which_values_there_are() {
    let script = forklab(&["completions", "bash"]).out;
    for value in ["end-saved-pid", "has-listeners", "per-cpu", "connector-struct", "deferred", "P28", "P18d", "overrun"]
    {
        assert!(script.contains(value), "{value}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let long: [&[&str]; 3] = [
        &["run", "overrun", "--trace", "json"],
        &["run", "overrun", "--trace", "graph"],
        &["run", "overrun", "--trace", "lanes", "--all"],
    ];
    for args in long {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut first = String::new();
        // The pipe is closed when the reader is dropped, as `head -1` does it.
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a first line");
        let output = child.wait_with_output().expect("it ends");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!first.is_empty() && !err.contains("panicked"), "{args:?}: {err}");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {err}");
    }
}

#[test]
fn a_capture_file_holds_every_message_that_was_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.pcap");
    let done = forklab(&["run", "thread", "--pcap", file.to_str().expect("UTF-8")]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let mut capture =
        pcap_file::pcap::PcapReader::new(std::fs::File::open(&file).expect("written")).expect("a capture file");
    let mut messages = 0;
    while let Some(packet) = capture.next_packet() {
        let packet = packet.expect("a whole packet");
        messages += usize::from(packet.data.windows(5).any(|bytes| bytes == b"fork@"));
    }
    assert_eq!(messages, 2);
}

#[test]
fn without_a_terminal_a_lesson_says_what_to_do() {
    let done = forklab(&["learn", "path"]);
    let says = "forklab: <learn>: found no terminal, expected one, or --print LESSON for the lesson as plain text\n";
    assert_eq!((done.code, done.err.as_str(), done.out.as_str()), (Some(2), says, ""));
    let done = forklab(&["learn", "--print", "forks"]);
    let says = "forklab: <lesson>: found \"forks\", expected a lesson: 1 to 8, or path, wire, nobody, failures, moment, \
                sleep, overrun, connector\n";
    assert_eq!((done.code, done.err.as_str(), done.out.as_str()), (Some(2), says, ""));
    assert_eq!(forklab(&["learn", "9"]).code, Some(2));
}

#[test]
fn the_list_of_lessons_names_them_all() {
    insta::assert_snapshot!("learn_list", forklab(&["learn", "--list"]).out);
    let json: Value = serde_json::from_str(&forklab(&["learn", "--list", "--json"]).out).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(forklab::learn::lessons::ALL.len()));
    let alone = forklab(&["learn", "--json"]);
    assert_eq!((alone.code, &alone.out), (Some(0), &forklab(&["learn", "--list", "--json"]).out), "{}", alone.err);
    assert_eq!(forklab(&["learn", "--json", "path"]).code, Some(2), "a lesson is no list");
}
