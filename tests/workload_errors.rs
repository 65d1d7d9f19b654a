//! Every mistake in a recording, with the exact words that the user reads.

use std::fs;
use std::path::Path;

use forklab::workload::Workload;

fn message(bytes: &[u8]) -> String {
    match Workload::parse("t.csv", bytes) {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Puts each text behind two sound lines, so that its own first line is the third.
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let whole = format!("fork,0,10,1,1,9,9\nfork,1,11,1,1,8,8\n{text}\n");
        assert_eq!(message(whole.as_bytes()), *expected, "for {text:?}");
    }
}

#[test]
fn a_line_of_the_wrong_shape_is_refused_where_it_goes_wrong() {
    check(&[
        ("frok,0,20,1,1,2,2", "t.csv:3:1: found \"frok\", expected one of fork, exec, exit"),
        (" exec,0,20,9,9", "t.csv:3:1: found \" exec\", expected one of fork, exec, exit"),
        ("exec,0,20,9", "t.csv:3:12: found 4 columns, expected 5: exec,cpu,ns,pid,tgid"),
        ("exec", "t.csv:3:5: found 1 column, expected 5: exec,cpu,ns,pid,tgid"),
        ("exec,0,20,9,9,", "t.csv:3:15: found 6 columns, expected 5: exec,cpu,ns,pid,tgid"),
        (
            "fork,0,20",
            "t.csv:3:10: found 3 columns, expected 7: \
             fork,cpu,ns,parent_pid,parent_tgid,child_pid,child_tgid",
        ),
        ("exit,0,20,9,9,0,17,5", "t.csv:3:20: found 8 columns, expected 7: exit,cpu,ns,pid,tgid,exit_code,exit_signal"),
    ]);
}

#[test]
fn a_number_that_is_none_or_out_of_range_is_refused_with_its_range() {
    const PID: &str = "expected a pid from 1 to 4194303";
    for bad in ["nine", "", "-9", "+9", "0", "4194304", "99999999999", " 9"] {
        let text = format!("exec,0,20,{bad},9");
        check(&[(&text, &format!("t.csv:3:11: found \"{bad}\", {PID}"))]);
    }
    check(&[
        ("exec,4096,20,9,9", "t.csv:3:6: found \"4096\", expected a cpu from 0 to 4095"),
        ("exec,0,-1,9,9", "t.csv:3:8: found \"-1\", expected nanoseconds from 0 to 18446744073709551615"),
        ("exit,0,20,9,9,4294967296,17", "t.csv:3:15: found \"4294967296\", expected an exit code from 0 to 4294967295"),
        ("exit,0,20,9,9,0,-1", "t.csv:3:17: found \"-1\", expected a signal from 0 to 4294967295"),
    ]);
}

#[test]
fn the_clock_of_one_cpu_may_not_go_backwards() {
    check(&[("exec,0,9,9,9", "t.csv:3:8: found 9 ns, expected 10 or more, as the event before it on cpu 0")]);
}

#[test]
fn a_fork_of_a_pid_that_is_alive_is_refused() {
    const FREE: &str = "expected a child pid that is free";
    for (text, pid, place) in [
        ("fork,0,20,1,1,9,9", 9, "3:15"),
        // A parent is alive as well, and so is one that appears in this very line.
        ("fork,0,20,9,9,1,1", 1, "3:15"),
        ("fork,0,20,5,5,5,5", 5, "3:15"),
        // A leader that has exited keeps its pid as long as one of its threads lives.
        ("fork,0,20,1,1,10,9\nexit,0,21,9,9,0,17\nfork,0,22,1,1,9,9", 9, "5:15"),
    ] {
        let expected = format!("t.csv:{place}: found fork of pid {pid}, which is alive, {FREE}");
        check(&[(text, &expected)]);
    }
}

#[test]
fn an_event_of_a_pid_that_nobody_ever_saw_is_refused() {
    const SEEN: &str = "expected a pid that was forked or that appeared as a parent before";
    for (event, rest) in [("exit", "77,77,0,17"), ("exec", "77,77")] {
        let text = format!("{event},0,20,{rest}");
        check(&[(&text, &format!("t.csv:3:11: found {event} of pid 77, {SEEN}"))]);
    }
}

#[test]
fn an_event_of_a_pid_after_its_exit_is_refused_and_names_the_line_of_the_exit() {
    check(&[
        (
            "exit,0,20,9,9,0,17\nexec,0,21,9,9",
            "t.csv:4:11: found exec of pid 9, which exited in line 3, expected a pid that is alive",
        ),
        (
            "exit,0,20,9,9,0,17\nexit,0,21,9,9,0,17",
            "t.csv:4:11: found exit of pid 9, which exited in line 3, expected a pid that is alive",
        ),
        (
            "exit,0,20,9,9,0,17\nfork,0,21,9,9,10,10",
            "t.csv:4:11: found fork by pid 9, which exited in line 3, expected a parent that is alive",
        ),
    ]);
}

#[test]
fn a_thread_needs_a_group_that_is_alive() {
    check(&[
        ("fork,0,20,1,1,10,7", "t.csv:3:18: found a thread of group 7, expected a thread group that is alive"),
        (
            "exit,0,20,9,9,0,17\nfork,0,21,1,1,10,9",
            "t.csv:4:18: found a thread of group 9, expected a thread group that is alive",
        ),
    ]);
}

#[test]
fn a_task_stays_in_its_group_and_only_a_leader_execs() {
    check(&[
        ("exit,0,20,9,8,0,17", "t.csv:3:13: found group 8, expected 9, the group of pid 9"),
        ("fork,0,20,9,8,10,10", "t.csv:3:13: found group 8, expected 9, the group of pid 9"),
        (
            "exec,0,20,9,8",
            "t.csv:3:11: found exec of pid 9 in group 8, \
             expected pid = tgid, as an exec makes its caller the leader",
        ),
    ]);
}

#[test]
fn a_file_without_events_is_refused() {
    const NOTHING: &str = "t.csv: found no events, expected a recorded workload (CSV, or gzip of it)";
    assert_eq!(message(b""), NOTHING);
    assert_eq!(message(b"# only a comment\n\n"), NOTHING);
}

#[test]
fn garbage_is_quoted_so_that_no_terminal_suffers() {
    check(&[("exec,0,20,9,\u{1b}[31m", "t.csv:3:13: found \"\\u{1b}[31m\", expected a pid from 1 to 4194303")]);
    assert_eq!(message(b"fork,0,\xff\n"), "t.csv:1:8: found byte 0xff, expected UTF-8 text");
    // Characters are counted, not bytes.
    assert_eq!(message(b"# caf\xc3\xa9\nfork,\xc3\xa9\xe9"), "t.csv:2:7: found byte 0xe9, expected UTF-8 text");
    assert_eq!(
        message(&[b'x'; 1 << 20]),
        "t.csv:1:1: found a line of more than 4096 bytes, \
         expected a recorded workload (CSV, or gzip of it)"
    );
    let cut = message("x".repeat(4000).as_bytes());
    assert!(cut.starts_with("t.csv:1:1: found \"xxx") && cut.len() < 200, "{cut}");
}

#[test]
fn gzip_that_is_cut_short_or_damaged_says_how_far_it_went() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shell.csv.gz");
    let whole = fs::read(path).expect("the recording is there");
    let cut = |length: usize| message(&whole[..length]);
    const COMPLETE: &str = "expected a complete gzip file";
    assert_eq!(cut(2), format!("t.csv: found gzip data that ends after 0 lines, {COMPLETE}"));
    assert_eq!(cut(9000), format!("t.csv: found gzip data that ends after 959 lines, {COMPLETE}"));
    // All lines are there, but not the checksum behind them.
    assert_eq!(cut(whole.len() - 4), format!("t.csv: found gzip data that ends after 2,017 lines, {COMPLETE}"));
    let mut damaged = whole.clone();
    damaged[whole.len() - 6] ^= 1;
    let damaged = message(&damaged);
    assert!(damaged.starts_with("t.csv: found damaged gzip data after 2,017 lines"), "{damaged}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_without_a_line() {
    let read = |path: &str| Workload::read(Path::new(path)).expect_err("no recording").to_string();
    const RECORDING: &str = "expected a recorded workload (CSV, or gzip of it)";
    assert_eq!(read("no/such.csv"), format!("no/such.csv: found no such file, {RECORDING}"));
    assert_eq!(read("/"), format!("/: found a directory, {RECORDING}"));
    if cfg!(target_os = "linux") {
        // The test may run as root, who may read everything: page 0 of this process is what even root cannot have.
        let refused = read("/proc/self/mem");
        assert!(refused.starts_with("/proc/self/mem: found an input/output error ("), "{refused}");
    }
}

#[test]
fn a_recording_that_cannot_be_saved_names_the_file() {
    let workload = Workload::parse("t.csv", &b"fork,0,0,1,1,2,2\n"[..]).expect("it is sound");
    let error = workload.save(Path::new("no/such/folder.csv")).expect_err("there is no folder");
    assert_eq!(error.to_string(), "no/such/folder.csv: found no such file, expected a file that can be written");
}
