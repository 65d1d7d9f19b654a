//! Every mistake a user can make is answered in one line that says where, what was found and what was expected; nothing
//! is printed as if it were a result, nothing panics, and the exit code is 2.

mod common;

use std::path::Path;

use common::{command, data, forklab};

/// The command fails, and this is all that it says.
#[track_caller]
fn says(args: &[&str], message: &str) {
    let done = forklab(args);
    assert_eq!(done.err, format!("forklab: {message}\n"), "forklab {}", args.join(" "));
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "forklab {}", args.join(" "));
}

/// The same for a message that clap begins; what is ours in it comes first.
#[track_caller]
fn begins(args: &[&str], message: &str) {
    let done = forklab(args);
    assert!(done.err.starts_with(&format!("error: {message}")), "forklab {}: {}", args.join(" "), done.err);
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "forklab {}", args.join(" "));
}

/// In a folder that has a file of this name and content.
#[track_caller]
fn file_says(before: &[&str], name: &str, content: &[u8], message: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(name), content).expect("written");
    let args: Vec<_> = before.iter().copied().chain([name]).collect();
    let output = command(&args).current_dir(folder.path()).output().expect("it runs");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(err, format!("forklab: {message}\n"), "{}", String::from_utf8_lossy(content));
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
}

#[track_caller]
fn scenario_says(text: &str, message: &str) {
    file_says(&["run"], "s.toml", text.as_bytes(), message);
}

#[track_caller]
fn workload_says(content: &[u8], message: &str) {
    file_says(&["run", "--workload"], "w.csv", content, message);
}

const NOBODY: &str = "[[tasks]]\nname = \"p\"\ndoes = [\"exit 0\"]\n";

/// What a scenario may be called: all that are built in.
fn built_in() -> String {
    let names: Vec<_> = forklab::lab::spec::BUILT_IN.iter().map(|(name, _)| *name).collect();
    format!("a built-in scenario ({})", names.join(", "))
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    says(&["run", "no.toml"], "no.toml: found no such file, expected a scenario (TOML)");
    says(&["run", "./src"], "./src: found a directory, expected a scenario (TOML)");
    let recording = "expected a recorded workload (CSV, or gzip of it)";
    says(&["run", "--workload", "no.csv"], &format!("no.csv: found no such file, {recording}"));
    says(&["run", "--workload", "src"], &format!("src: found a directory, {recording}"));
    says(&["replay", "v1 workload=no.csv"], &format!("no.csv: found no such file, {recording}"));
    says(&["replay", "v1 file=no.toml"], "no.toml: found no such file, expected a scenario (TOML)");
}

#[test]
fn a_file_that_is_something_else_is_told_so_at_its_first_wrong_byte() {
    scenario_says("name = \"x\"\n\u{7f}", "s.toml:2:2: found key with no value, expected `=`");
    file_says(&["run"], "s.toml", b"name = \"\xff\"", "s.toml:1:9: found byte 0xff, expected UTF-8 text");
    workload_says(
        b"fork,0\n\x00\xff\xfe",
        "w.csv:1:7: found 2 columns, expected 7: fork,cpu,ns,parent_pid,parent_tgid,child_pid,child_tgid",
    );
    workload_says(b"\x7fELF\xd0", "w.csv:1:5: found byte 0xd0, expected UTF-8 text");
    workload_says(b"", "w.csv: found no events, expected a recorded workload (CSV, or gzip of it)");
}

#[test]
fn a_recording_that_was_cut_short_says_how_far_it_goes() {
    let whole = std::fs::read(data("shell.csv.gz")).expect("it is in the repository");
    workload_says(&whole[..5000], "w.csv: found gzip data that ends after 518 lines, expected a complete gzip file");
}

#[test]
fn a_wrong_line_of_a_recording_is_pointed_at() {
    workload_says(b"frok,0,1,1,1,2,2\n", "w.csv:1:1: found \"frok\", expected one of fork, exec, exit");
    workload_says(
        b"fork,0,1,9,9,12,12\nfork,0,x,9,9,13,13\n",
        "w.csv:2:8: found \"x\", expected nanoseconds from 0 to 18446744073709551615",
    );
    workload_says(
        b"exit,0,1,77,77,0,17\n",
        "w.csv:1:10: found exit of pid 77, expected a pid that was forked or that appeared as a parent before",
    );
    workload_says(
        b"fork,0,1,9,9,12,12\nexit,0,2,12,12,0,17\nexit,0,3,12,12,0,17\n",
        "w.csv:3:10: found exit of pid 12, which exited in line 2, expected a pid that is alive",
    );
}

#[test]
fn a_machine_that_cannot_be_built_is_refused_at_the_number() {
    let machine = |line: &str, message: &str| {
        scenario_says(&format!("name = \"x\"\n[machine]\n{line}\n{NOBODY}"), &format!("s.toml:3:{message}"));
    };
    machine("cpus = 0", "8: found integer `0`, expected a number from 1 to 64");
    machine("pid_max = 300", "11: found integer `300`, expected a number from 301 to 4194304");
    machine("last_pid = 32768", "12: found 32768, expected less than pid_max, which is 32768");
    machine("smp_cache_bytes = 48", "19: found integer `48`, expected 32, 64 or 128");
    machine(
        "config = { hotplug = false, kobject_uevent = false }",
        "10: found hotplug and kobject_uevent both off, expected one of them on: without both, the patched kernel does \
         not link, kobject_fork() is missing",
    );
}

#[test]
fn nobody_can_listen_before_there_is_a_socket() {
    let text =
        format!("name = \"x\"\n[machine]\nboot = \"early\"\n[[listeners]]\nname = \"elsa\"\ngroups = 1\n{NOBODY}");
    scenario_says(
        &text,
        "s.toml:4:1: found a listener, expected none: with boot = \"early\" there is no netlink socket yet",
    );
}

#[test]
fn more_tasks_than_the_machine_has_room_for_are_refused_before_the_run() {
    let tasks: String = ('a'..='z').map(|name| format!("[[tasks]]\nname = \"{name}\"\n")).collect();
    let room = "expected a machine with room for them: see pid_max, last_pid and mempages";
    scenario_says(
        &format!("name = \"x\"\n[machine]\nmempages = 1\n{tasks}"),
        &format!("s.toml: found fork 15 of the 26 tasks at boot returns -EAGAIN, {room}"),
    );
    let many: String =
        (0..110).map(|i| format!("[[tasks]]\nname = \"{}\"\n", "ab".repeat(3).replace('b', &letters(i)))).collect();
    scenario_says(
        &format!("name = \"x\"\n[machine]\npid_max = 301\nlast_pid = 200\n{many}"),
        &format!("s.toml: found fork 101 of the 110 tasks at boot returns -EAGAIN, {room}"),
    );
}

fn letters(i: u8) -> String {
    [b'a' + i / 26, b'a' + i % 26].map(char::from).iter().collect()
}

#[test]
fn a_key_or_a_name_that_is_not_known_is_refused_with_those_that_are() {
    scenario_says(
        &format!("name = \"x\"\nfoo = 1\n{NOBODY}"),
        "s.toml:2:1: found unknown key `foo`, expected one of `name`, `machine`, `design`, `faults`, `failslab`, \
         `listeners`, `tasks`",
    );
    scenario_says(
        &format!("name = \"x\"\n[design]\nhook = \"start\"\n{NOBODY}"),
        "s.toml:3:8: found \"start\", expected one of end, end-saved-pid, after-wake, locked, before-wake",
    );
    let built_in = built_in();
    for name in ["nosuch", ""] {
        says(
            &["run", name],
            &format!(
                "<scenario>: found \"{name}\", expected {built_in}, or the path of a file, with a dot or a slash in it"
            ),
        );
    }
}

#[test]
fn a_name_that_no_lane_can_have_is_refused() {
    let task = |name: &str, message: &str| {
        scenario_says(
            &format!("name = \"x\"\n[[tasks]]\nname = \"{name}\"\n"),
            &format!("s.toml:3:8: found string \"{name}\", {message}"),
        );
    };
    task("abcdefghijkl", "expected a name of at most 11 letters");
    task("init", "expected another name: init is the first process");
    task("p1", "expected a name of lower-case letters");
    let listener = format!("name = \"x\"\n[[listeners]]\nname = \"abcdefghijklmnop\"\ngroups = 1\n{NOBODY}");
    scenario_says(&listener, "s.toml:3:8: found string \"abcdefghijklmnop\", expected a name of at most 11 letters");
}

#[test]
fn the_longest_name_leaves_room_for_many_lanes_of_one_program() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "name = \"x\"\n[[tasks]]\nname = \"p\"\nsigchld = \"ignore\"\ndoes = [\"fork abcdefghijk x800\"]\n\
                [[tasks]]\nname = \"abcdefghijk\"\ndoes = [\"exit 0\"]\n";
    assert_eq!(common::report(&common::scenario(folder.path(), text)).forks, 800);
}

#[test]
fn a_wrong_word_of_a_replay_line_is_pointed_at() {
    let line = |line: &str, message: &str| says(&["replay", line], &format!("<replay line>:1:{message}"));
    let keys = "one of hook, gate, sequence, format, delivery, sched, seed, fault, cut, law, cpus, preempt, listeners, rcvbuf, pace, era";
    let source = format!("{}, file=PATH or workload=PATH", built_in());
    let site = "SITE#N or SITE#N+, such as alloc_skb.head#1";
    let lane = "a lane's name and a count, like p4";
    line("", "1: found an empty line, expected v1, the version of replay lines");
    line("v2 tour", "1: found \"v2\", expected v1, the version of replay lines");
    line("forklab replay 'v1 tour'", "1: found \"forklab\", expected v1, the version of replay lines");
    line("v1", "3: found the end of the line, expected a scenario, file=PATH or workload=PATH");
    line("v1 nosuch", &format!("4: found \"nosuch\", expected {source}"));
    line("v1 foo=x", &format!("4: found \"foo=x\", expected {source}"));
    line("v1 tour hook", "9: found \"hook\", expected KEY=VALUE");
    line("v1 tour foo=1", &format!("9: found \"foo\", expected {keys}"));
    line("v1 tour hook=end hook=end", "18: found \"hook\", expected each key once");
    line(
        "v1 tour hook=start",
        "14: found \"start\", expected a hook: end, end-saved-pid, after-wake, locked, before-wake",
    );
    line("v1 tour sched=p", &format!("15: found \"p\", expected {lane}"));
    line("v1 tour sched=p1.c0", &format!("15: found \"c0\", expected {lane}"));
    line("v1 tour sched=p99999999999999999999", &format!("15: found \"p99999999999999999999\", expected {lane}"));
    line("v1 tour sched=p1 seed=2", "23: found \"2\", expected sched or seed, not both");
    line("v1 tour seed=x", "14: found \"x\", expected a number from 0 to 18446744073709551615");
    line("v1 tour fault=x", &format!("15: found \"x\", expected {site}"));
    line("v1 tour fault=any#0", &format!("15: found \"any#0\", expected {site}"));
    line("v1 tour fault=", &format!("15: found \"\", expected {site}"));
    line("v1 tour cpus=2", "14: found \"2\", expected no cpus= here: a scenario has its own");
    line("v1 workload=x cpus=0", "20: found \"0\", expected a number from 1 to 64");
    line("v1 workload=x preempt=yes", "23: found \"yes\", expected true or false");
    line("v1 workload=x listeners=65", "25: found \"65\", expected a number from 0 to 64");
    line("v1 workload=x rcvbuf=-1", "22: found \"-1\", expected a number from 0 to 2147483647");
    line("v1 workload=x pace=now", "20: found \"now\", expected eager, drain-at-end, or every:N with N at least 1");
}

#[test]
fn a_schedule_that_names_a_lane_that_cannot_run_says_when_and_who_could() {
    let wrong = |sched: &str, message: &str| {
        says(&["replay", &format!("v1 tour sched={sched}")], &format!("<schedule>: {message}"));
        says(&["run", "tour", "--sched", sched], &format!("<schedule>: {message}"));
    };
    for (sched, lane) in [("q3", "q"), ("p2.c3", "c")] {
        let done = forklab(&["replay", &format!("v1 tour sched={sched}")]);
        assert!(
            done.err.starts_with(&format!("forklab: <schedule>: found lane {lane} next after step ")),
            "{}",
            done.err
        );
        assert!(done.err.ends_with(", expected one that can run: p\n"), "{}", done.err);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
    }
    wrong("p400", "found lane p next after step 15, expected one that can run: c, elsa");
}

#[test]
fn a_wrong_flag_says_what_it_takes() {
    let flag = |args: &[&str], message: &str| begins(&[&["run"], args].concat(), &format!("invalid value {message}"));
    let seeds = "expected a number from 0 to 18446744073709551615";
    flag(&["tour", "--seed", "x"], &format!("'x' for '--seed <N>': found \"x\", {seeds}"));
    flag(&["tour", "--seed", "-1"], &format!("'-1' for '--seed <N>': found \"-1\", {seeds}"));
    flag(
        &["tour", "--hook", "start"],
        "'start' for '--hook <HOOK>': expected end, end-saved-pid, after-wake, locked, before-wake",
    );
    flag(
        &["tour", "--sched", "p4..c"],
        "'p4..c' for '--sched <SCHEDULE>': part 2 of the schedule: found \"\", expected a lane's name and a count, like p4",
    );
    flag(
        &["tour", "--fault", "alloc_skb.head"],
        "'alloc_skb.head' for '--fault <SITE#N>': found \"alloc_skb.head\", expected SITE#N or SITE#N+",
    );
    flag(
        &["tour", "--fault", "nosite#1"],
        "'nosite#1' for '--fault <SITE#N>': found \"nosite\", expected an allocation site: any, kobject_get_path.path",
    );
    flag(&["tour", "--trace", "video"], "'video' for '--trace <TRACE>'\n  [possible values: lanes, graph, json, none]");
    flag(&["--workload", "x", "--cpus", "0"], "'0' for '--cpus <N>': 0 is not in 1..=64");
    flag(&["--workload", "x", "--listeners", "65"], "'65' for '--listeners <N>': 65 is not in 0..=64");
    flag(&["--workload", "x", "--rcvbuf", "-1"], "'-1' for '--rcvbuf <BYTES>': -1 is not in 0..=2147483647");
    flag(
        &["--workload", "x", "--pace", "now"],
        "'now' for '--pace <PACE>': found \"now\", expected eager, drain-at-end, or every:N with N at least 1",
    );
    begins(
        &["layout", "--parent", "x"],
        "invalid value 'x' for '--parent <PID>': expected a number from -2147483648 to 2147483647",
    );
    begins(
        &["layout", "--smp-cache-bytes", "48"],
        "invalid value '48' for '--smp-cache-bytes <BYTES>': expected 32, 64 or 128",
    );
}

#[test]
fn what_is_missing_or_too_much_on_the_command_line_is_named() {
    begins(&["run"], "the following required arguments were not provided:\n  <SCENARIO|--workload <FILE>>\n");
    begins(&["replay"], "the following required arguments were not provided:\n  <LINE>...");
    begins(
        &["layout", "--subsystem", "usb"],
        "the following required arguments were not provided:\n  --hotplug <DEVPATH>",
    );
    begins(&["run", "tour", "--workload", "x"], "the argument '[SCENARIO]' cannot be used with '--workload <FILE>'");
    begins(
        &["run", "tour", "--seed", "1", "--sched", "p1"],
        "the argument '--seed <N>' cannot be used with '--sched <SCHEDULE>'",
    );
    for who in ["parent", "child"] {
        begins(
            &["layout", &format!("--{who}"), "3", "--hotplug", "/block/sda"],
            &format!("the argument '--{who} <PID>' cannot be used with '--hotplug <DEVPATH>'"),
        );
    }
    for command in [&["run", "tour"][..], &["replay", "v1 tour"], &["faults"], &["layout"]] {
        begins(
            &[&["--json"], command].concat(),
            &format!("the subcommand '{}' cannot be used with '--json'", command[0]),
        );
    }
    begins(&["frobnicate"], "unrecognized subcommand 'frobnicate'");
    begins(&["faults", "x"], "unexpected argument 'x' found");
}

#[test]
fn what_cannot_go_together_is_refused_before_anything_runs() {
    let refused = |args: &[&str], message: &str| says(args, &format!("<command line>: {message}"));
    refused(
        &["run", "tour", "--json", "--trace", "graph"],
        "found --json with --trace, expected one of them: both go to standard output",
    );
    refused(
        &["run", "--workload", "tests/data/shell.csv.gz", "--trace", "lanes"],
        "found --trace lanes with a workload, expected graph, json or none: a recording has a lane for each of its tasks",
    );
    for picture in [&[][..], &["--trace", "none"], &["--trace", "graph"], &["--trace", "json"]] {
        for run in [&["run", "tour", "--all"], &["replay", "v1 tour", "--all"]] {
            refused(&[&run[..], picture].concat(), "found --all, expected --trace lanes with it");
        }
    }
    for flag in [&["--cpus", "2"][..], &["--preempt"], &["--listeners", "2"], &["--rcvbuf", "9"], &["--pace", "eager"]]
    {
        refused(
            &[&["run", "tour"], flag].concat(),
            &format!("found {}, expected that flag with --workload only: a scenario has its own", flag[0]),
        );
    }
    for args in [&["--seed", "3"][..], &["--strategy", "random", "--depth", "2"]] {
        let expected = "--strategy random or pct with --seed, and pct with --depth: nothing else is drawn";
        refused(&[&["check"], args].concat(), &format!("found --seed or --depth, expected {expected}"));
    }
    refused(
        &["layout", "--hotplug", "block"],
        "found --hotplug \"block\", expected a slash before each name, such as /block/sda",
    );
}

/// A path of so many characters, its slash included.
fn path_of(characters: usize) -> String {
    format!("/{}", "a".repeat(characters - 1))
}

#[test]
fn a_path_over_which_the_kernel_dies_is_refused_in_the_kernels_words() {
    for characters in [1000, 1001, 1019, 1032] {
        says(
            &["layout", "--hotplug", &path_of(characters)],
            "<command line>: found kernel BUG at net/core/skbuff.c:skb_over_panic(), expected an event that this \
             kernel can send",
        );
    }
}

#[test]
fn a_path_that_overflows_the_buffer_and_is_sent_is_drawn_and_found() {
    for (characters, past) in [(960, 0), (961, 0), (979, 0), (980, 1), (985, 6), (999, 20), (1020, 41), (1031, 52)] {
        let done = forklab(&["layout", "--hotplug", &path_of(characters)]);
        assert_eq!((done.code, done.err.as_str()), (Some(i32::from(past > 0)), ""), "{characters}");
        let bytes = if past == 1 { "byte" } else { "bytes" };
        let found = format!(
            " found     kobject_hotplug: sprintf() wrote {past} {bytes} past the 1024 bytes of\n           \
             kobject_hotplug.buffer (its size class holds 1024)\n"
        );
        assert_eq!(done.out.ends_with(&found), past > 0, "{characters}: {}", done.out);
        assert_eq!(done.out.contains(&format!(" bytes written, {past} past its capacity\n")), past > 0, "{characters}");
        let json = forklab(&["layout", "--json", "--hotplug", &path_of(characters)]);
        assert_eq!(json.code, done.code, "{characters}");
        let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
        assert_eq!(json["buffers"][0]["overflow"], past, "{characters}");
        assert_eq!(json["violations"].as_array().is_some_and(Vec::is_empty), past == 0, "{characters}");
    }
}

#[test]
fn a_capture_file_that_cannot_be_written_is_named() {
    let expected = "expected a file that can be written";
    says(
        &["run", "tour", "--pcap", "/no/such/dir/x.pcap"],
        &format!("/no/such/dir/x.pcap: found no such directory, {expected}"),
    );
    says(&["run", "tour", "--pcap", "src"], &format!("src: found a directory, {expected}"));
    if Path::new("/dev/full").exists() {
        // The tour's capture fails when it is flushed, the long one while the run goes on.
        let full = "found an input/output error (No space left on device (os error 28))";
        for scenario in ["tour", "overrun"] {
            says(&["run", scenario, "--pcap", "/dev/full"], &format!("/dev/full: {full}, {expected}"));
        }
    }
}

#[test]
fn a_full_disk_under_the_output_is_an_error() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    for args in [&["run", "tour"][..], &["run", "overrun", "--trace", "json"], &["faults"]] {
        let output = command(args).stdout(full.try_clone().expect("a handle")).output().expect("it runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains("the output could not be written"), "{args:?}: {err}");
    }
}

#[test]
fn a_thousand_broken_replay_lines_are_refused_or_run_and_none_panics() {
    // Each character of a long line in turn left out, doubled, or replaced by one that means something.
    let line = "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=alloc_skb.head#1+";
    for i in 0..line.len() {
        for new in ["", "=", "#", ".", "9", " ", "é", "\u{0}"] {
            let broken = format!("{}{new}{}", &line[..i], &line[i + 1..]);
            let spec = broken.parse::<forklab::lab::spec::Spec>();
            if let Ok(spec) = spec
                && let Ok(loaded) = forklab::lab::run::Loaded::new(spec, |_| ())
            {
                let _ = forklab::lab::run::run(&loaded, forklab::lab::run::Watch::default());
            }
        }
    }
}
