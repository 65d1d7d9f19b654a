//! The recordings load, count and write back as they are; the story that a recording tells is followed as the kernel
//! tells it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use forklab::workload::{Counts, What, Workload};

const RECORDINGS: [&str; 2] = ["kernel-build.csv.gz", "shell.csv.gz"];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn unpacked(name: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let zipped = fs::read(data(name)).expect("the recording is there");
    GzDecoder::new(&zipped[..]).read_to_end(&mut text).expect("it is gzip");
    text
}

fn counts(name: &str) -> Counts {
    Workload::read(&data(name)).expect("the recording is sound").counts()
}

fn parse(text: &str) -> Workload {
    Workload::parse("t.csv", text.as_bytes()).expect("the text is a recording")
}

fn set(pids: &[i32]) -> BTreeSet<i32> {
    pids.iter().copied().collect()
}

#[test]
fn the_kernel_build_has_the_counts_of_its_readme() {
    let expected = Counts {
        forks: 11_822,
        threads: 3,
        exits: 11_822,
        execs: 11_174,
        cpus: 2,
        survivors: set(&[]),
        outsiders: set(&[32428]),
    };
    assert_eq!(counts("kernel-build.csv.gz"), expected);
}

#[test]
fn the_shell_session_has_the_counts_of_its_readme() {
    let expected = Counts {
        forks: 688,
        threads: 0,
        exits: 688,
        execs: 640,
        cpus: 2,
        survivors: set(&[]),
        outsiders: set(&[15225]),
    };
    assert_eq!(counts("shell.csv.gz"), expected);
}

#[test]
fn a_recording_is_written_byte_for_byte_as_it_was_read() {
    for name in RECORDINGS {
        let text = unpacked(name);
        let workload = Workload::parse(name, &text[..]).expect("the recording is sound");
        let mut written = Vec::new();
        workload.write(&mut written).expect("a Vec takes everything");
        assert!(written == text, "{name} differs");
    }
}

#[test]
fn gzip_is_known_by_its_content_and_not_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let zipped_csv = folder.path().join("zipped.csv");
    let plain_gz = folder.path().join("plain.gz");
    fs::copy(data("shell.csv.gz"), &zipped_csv).expect("a copy");
    fs::write(&plain_gz, unpacked("shell.csv.gz")).expect("a file");
    let zipped = Workload::read(&zipped_csv).expect("gzip called csv");
    let plain = Workload::read(&plain_gz).expect("csv called gz");
    assert_eq!(zipped.records, plain.records);
    assert_eq!(zipped.file, zipped_csv.display().to_string());
}

#[test]
fn a_saved_recording_is_gzip_if_its_name_says_so_and_reads_back_the_same() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let workload = Workload::read(&data("shell.csv.gz")).expect("the recording is sound");
    for (name, first_byte) in [("a.csv", b'#'), ("a.csv.gz", 0x1f)] {
        let path = folder.path().join(name);
        workload.save(&path).expect("the folder takes it");
        assert_eq!(fs::read(&path).expect("it was saved")[0], first_byte);
        let again = Workload::read(&path).expect("it is sound");
        assert_eq!(again.records, workload.records);
    }
}

#[test]
fn progress_counts_up_to_the_size_of_the_file_on_disk() {
    let path = data("kernel-build.csv.gz");
    let mut steps = Vec::new();
    Workload::read_with_progress(&path, |bytes| steps.push(bytes)).expect("the recording is sound");
    let size = fs::metadata(&path).expect("it is there").len();
    assert!(steps.is_sorted(), "bytes read never become fewer");
    assert!(steps.len() > 10, "a bar needs steps, not one jump");
    assert_eq!(steps.last(), Some(&size));
}

#[test]
fn a_record_knows_its_line_among_comments_and_empty_lines() {
    let workload = parse("# one\n\nfork,0,5,1,1,9,9\r\n# four\nexit,0,6,9,9,256,17");
    let lines: Vec<u64> = workload.records.iter().map(|record| record.line).collect();
    assert_eq!(lines, [3, 5]);
    let exit = What::Exit { pid: 9, tgid: 9, exit_code: 256, exit_signal: 17 };
    assert_eq!(workload.records[1].what, exit);
}

#[test]
fn two_cpus_may_overtake_each_other_as_the_recordings_show() {
    parse("fork,0,50,1,1,9,9\nexec,1,49,9,9\n");
    let shown = RECORDINGS.map(|name| {
        let records = Workload::read(&data(name)).expect("sound").records;
        records.windows(2).filter(|w| w[1].ns < w[0].ns).count()
    });
    assert_eq!(shown, [1, 2], "the reason for this tolerance");
}

#[test]
fn survivors_and_outsiders_are_told_apart_even_if_a_pid_is_used_twice() {
    let counts =
        parse("fork,0,0,10,10,20,20\nexit,0,1,10,10,0,17\nfork,0,2,20,20,10,10\nfork,0,3,30,30,40,40\n").counts();
    assert_eq!(counts.outsiders, set(&[10, 30]));
    assert_eq!(counts.survivors, set(&[10, 20, 40]));
}

#[test]
fn a_forking_thread_from_outside_brings_its_leader_along() {
    let counts = parse("fork,0,0,11,10,20,20\nexit,0,1,10,10,0,17\nexit,0,2,11,10,0,4294967295\n").counts();
    assert_eq!(counts.outsiders, set(&[10, 11]));
    assert_eq!(counts.survivors, set(&[20]));
}

#[test]
fn a_group_lives_on_when_its_leader_exits_before_its_last_thread() {
    // The kernel build does this once, with process 451.
    let text = "fork,0,0,1,1,9,9\nfork,0,1,1,1,10,9\nexit,0,2,9,9,0,17\nfork,0,3,1,1,11,9\n";
    assert_eq!(parse(text).counts().survivors, set(&[10, 11]));
}

#[test]
fn an_exec_by_a_thread_takes_over_the_pid_of_its_leader() {
    let text = "fork,0,0,1,1,9,9\nfork,0,1,1,1,10,9\nexit,0,2,9,9,0,17\nexec,0,3,9,9\nexit,0,4,9,9,0,17\n";
    assert_eq!(parse(text).counts().survivors, set(&[]));
}

#[test]
fn threads_killed_by_an_exec_may_report_their_exits_after_it() {
    let text = "fork,0,0,1,1,9,9\nfork,0,1,1,1,10,9\nfork,0,1,1,1,11,9\nexit,0,2,9,9,0,17\n\
                exec,0,3,9,9\nexit,0,4,11,9,0,4294967295\nexit,0,5,10,9,0,4294967295\n";
    assert_eq!(parse(text).counts().survivors, set(&[9]));
}

#[test]
fn a_thread_may_name_a_parent_who_has_just_exited() {
    let text = "fork,0,0,1,1,8,8\nfork,0,1,8,8,9,9\nexit,0,2,8,8,0,17\nfork,0,3,8,8,10,9\n";
    assert_eq!(parse(text).counts().survivors, set(&[9, 10]));
}
