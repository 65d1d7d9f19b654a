//! `wireshark/forklab.lua` in the real tshark, held against the codec.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::tshark::{self, AND};
use common::{command, tools};
use fork_model::Design;
use forklab::render::pcap::Family;
use serde_json::Value;
use uevent::netlink::ProcEvents;
use uevent::source::{Arrival, UeventSource, Wait};
use uevent::wire::connector::{CN_PROC, ConnectorMessage, ForkIds, emit, emit_fork_ascii, emit_fork_struct};
use uevent::wire::proc_event::{Ids, ProcEvent, What, emit_proc_event};
use uevent::wire::{Filters, Layout, Message, emit_bare, emit_keyed, emit_libudev};

use Family::{Connector, KobjectUevent};

const INFO: &str = "_ws.col.Info";
const EXPERT: &str = "_ws.expert.message";

/// The rows of a capture, the info column and the words of experts first.
fn rows(datagrams: &[(Family, &[u8])], fields: &[&str]) -> Vec<Vec<String>> {
    let rows =
        tshark::fields(tshark::with_dissector(), &tshark::capture(datagrams), &[&[INFO, EXPERT][..], fields].concat());
    assert_eq!(rows.len(), datagrams.len());
    for row in &rows {
        assert!(!row[1].contains("Exception"), "Wireshark itself gave up: {row:?}");
    }
    rows
}

/// The info column of what a simulated run of a scenario says, packet by packet.
fn run(scenario: &str, format: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.pcap");
    let path = file.to_str().expect("UTF-8");
    let status = command(&["run", scenario, "--format", format, "--pcap", path]).output().expect("runs").status;
    assert!(status.code().is_some_and(|code| code < 2), "{scenario}, {format}");
    let all = tshark::read(tshark::with_dissector(), &file, &["-V"]);
    assert!(!all.contains("Malformed"), "{all}");
    let info = tshark::read(tshark::with_dissector(), &file, &["-T", "fields", "-e", INFO]);
    info.lines().map(str::to_owned).collect()
}

#[test]
fn a_simulated_run_is_read_in_every_format() {
    if !tools::need(&["tshark"]) {
        return;
    }
    let said = [
        ("bare", ["fork@/fork_kobj 100 101", "fork@/fork_kobj 101 102"]),
        // Its one string is in the slot that is never sent.
        ("one-slot", ["fork@/fork_kobj"; 2]),
        ("keys", ["fork@/fork_kobj 100 101 5 keys", "fork@/fork_kobj 101 102 5 keys"]),
        ("keys-change", ["change@/fork_kobj 100 101 5 keys", "change@/fork_kobj 101 102 5 keys"]),
        ("connector-ascii", ["fork 100 -> 101 seq 0", "fork 101 -> 102 seq 0"]),
        ("connector-struct", ["fork 100 -> 101/100 cpu 0 seq 0", "fork 101/100 -> 102 cpu 0 seq 0"]),
        ("connector-leak", ["fork 100 -> 101 seq 0", "fork 101 -> 102 seq 0"]),
    ];
    let formats: BTreeSet<_> = said.iter().map(|(format, _)| *format).collect();
    assert_eq!(formats, Design::choices("format").expect("an axis").into_iter().collect());
    for (format, expected) in said {
        assert_eq!(run("thread", format), expected, "{format}");
    }
}

/// What a real kernel sent, from the folder of recordings.
fn real() -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(common::data("real/uevents-6.18.json")).expect("the recording");
    let messages: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let byte = |hex: &[u8]| u8::from_str_radix(str::from_utf8(hex).expect("ASCII"), 16).expect("hex");
    let bytes = |message: &Value| message["hex"].as_str().expect("a string").as_bytes().chunks(2).map(byte).collect();
    messages.iter().map(bytes).collect()
}

fn name(layout: Layout) -> &'static str {
    match layout {
        Layout::Bare => "bare",
        Layout::Keyed => "keyed",
        Layout::Libudev => "libudev",
    }
}

const UEVENT: [&str; 6] =
    ["uevent.layout", "uevent.action", "uevent.devpath", "uevent.key", "uevent.value", "uevent.seqnum"];

/// What the fields of [`UEVENT`] hold, if the codec is right.
fn expected(message: &Message<'_>) -> [String; 6] {
    // A newline in a value, such as the MODALIAS of a CPU has, is escaped by tshark.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\n', r"\n");
    let (keys, values): (Vec<_>, Vec<_>) = message.keys().map(|(key, value)| (text(key), text(value))).unzip();
    let seqnum = message.seqnum().ok().flatten().map_or(String::new(), |number| number.to_string());
    let [action, devpath] = [message.action(), message.devpath()].map(text);
    [name(message.layout()).into(), action, devpath, keys.join(AND), values.join(AND), seqnum]
}

#[test]
fn the_messages_of_a_real_kernel_are_read_as_the_codec_reads_them() {
    if !tools::need(&["tshark"]) {
        return;
    }
    let real = real();
    assert_eq!(real.len(), 425);
    let datagrams: Vec<_> = real.iter().map(|bytes| (KobjectUevent, &bytes[..])).collect();
    for (row, bytes) in rows(&datagrams, &UEVENT).iter().zip(&real) {
        let message = Message::parse(bytes).expect("a kernel wrote it");
        assert_eq!(row[2..], expected(&message), "{message:?}");
        assert_eq!(row[1], "", "{message:?}");
    }
}

/// One message of each layout, as they are written.
fn good_uevents() -> Vec<Vec<u8>> {
    let keys = [("ACTION", "add"), ("DEVPATH", "/devices/x"), ("SUBSYSTEM", "x"), ("SEQNUM", "18446744073709551615")];
    let filters = Filters { subsystem_hash: 0x1234_5678, devtype_hash: 0, tag_bloom: 0x0102_0304_0506_0708 };
    let mut all = vec![Vec::new(); 5];
    emit_bare(&mut all[0], "fork", "/fork_kobj", ["100", "101"]).expect("fits");
    emit_bare(&mut all[1], "fork", "/fork_kobj", ["-1", "1802201963", "SEQNUM=7"]).expect("fits");
    emit_bare(&mut all[2], "mount", "/block/sda", [""; 0]).expect("fits");
    emit_keyed(&mut all[3], "add", "/devices/x", keys).expect("fits");
    emit_libudev(&mut all[4], filters, keys).expect("fits");
    all
}

#[test]
fn every_layout_has_its_line_and_its_fields() {
    if !tools::need(&["tshark"]) {
        return;
    }
    let good = good_uevents();
    let datagrams: Vec<_> = good.iter().map(|bytes| (KobjectUevent, &bytes[..])).collect();
    let more = [
        "uevent.fork.parent",
        "uevent.fork.child",
        "uevent.libudev.header_size",
        "uevent.libudev.properties_len",
        "uevent.libudev.subsystem_hash",
        "uevent.libudev.tag_bloom",
        "netlink.family",
    ];
    let rows = rows(&datagrams, &[&UEVENT[..], &more].concat());
    let lines: Vec<_> = rows.iter().map(|row| (&row[0][..], &row[1][..])).collect();
    let said = [
        ("fork@/fork_kobj 100 101", ""),
        ("fork@/fork_kobj -1 1802201963 seq 7", ""),
        ("mount@/block/sda", ""),
        ("add@/devices/x 4 keys seq 18446744073709551615", ""),
        ("libudev add@/devices/x 4 keys seq 18446744073709551615", ""),
    ];
    assert_eq!(lines, said);
    for (row, bytes) in rows.iter().zip(&good) {
        assert_eq!(row[2..8], expected(&Message::parse(bytes).expect("well-formed")));
    }
    assert_eq!(rows[1][8..], ["-1", "1802201963", "", "", "", "", "0x000f"]);
    assert_eq!(rows[4][8..], ["", "", "40", "70", "0x12345678", "0x0102030405060708", "0x000f"]);
}

/// One message for each kind of process event, and the two of 2005.
fn good_connector() -> Vec<(Vec<u8>, String)> {
    let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
    let (thread, parent) = (Ids { pid: 102, tgid: 100 }, Ids { pid: 1, tgid: 1 });
    let whats = [
        What::Ack(0),
        What::Ack(22),
        What::Fork(ids),
        What::Fork(ForkIds { child_pid: 102, child_tgid: 100, ..ids }),
        What::Exec(thread),
        What::Uid(thread, 0, u32::MAX),
        What::Gid(thread, 5, 6),
        What::Sid(parent),
        What::Ptrace(thread, Some(parent)),
        What::Ptrace(thread, None),
        What::Comm(thread, *b"sixteen bytes ok"),
        What::Coredump(thread, parent),
        What::Exit { ids: thread, code: 3 << 8, signal: -1, parent },
        What::Exit { ids: parent, code: 9, signal: 17, parent },
        What::Other(0x800),
    ];
    let said = |(seq, what): (u32, What)| {
        let mut bytes = Vec::new();
        emit_proc_event(&mut bytes, seq, 0, &ProcEvent { cpu: 1, timestamp_ns: u64::MAX, what });
        (bytes, format!("{what} cpu 1 seq {seq}"))
    };
    let mut all: Vec<_> = (7..).zip(whats).map(said).collect();
    let mut old = (Vec::new(), Vec::new());
    emit_fork_ascii(&mut old.0, 8, 100, 101);
    emit_fork_struct(&mut old.1, u32::MAX, 3, &ids);
    // Between 2006 and 2011 the event had 32 bytes; and what a listener says to the kernel is seen, too.
    let mut timed = vec![0; 32];
    timed[0] = 1;
    timed[4] = 3;
    timed[16..].copy_from_slice(&[100, 100, 101, 101].map(u32::to_le_bytes).concat());
    let mut more = (Vec::new(), Vec::new());
    emit(&mut more.0, CN_PROC, 9, 0, &timed);
    emit(&mut more.1, CN_PROC, 10, 0, &1_u32.to_le_bytes());
    all.push((old.0, "fork 100 -> 101 seq 8".into()));
    all.push((old.1, format!("fork 100 -> 101 cpu 3 seq {}", u32::MAX)));
    all.push((more.0, "fork 100 -> 101 cpu 3 seq 9".into()));
    all.push((more.1, "listen seq 10".into()));
    all
}

#[test]
fn process_events_read_as_the_codec_writes_them_in_a_line() {
    if !tools::need(&["tshark"]) {
        return;
    }
    let good = good_connector();
    let datagrams: Vec<_> = good.iter().map(|(bytes, _)| (Connector, &bytes[..])).collect();
    let rows = rows(&datagrams, &["cn.idx", "proc.timestamp", "proc.child.pid", "proc.tgid", "proc.comm"]);
    for (row, (_, said)) in rows.iter().zip(&good) {
        assert_eq!((&row[0], &row[1][..]), (said, ""));
    }
    let timestamp = u64::MAX.to_string();
    assert_eq!(rows[3][2..], ["0x00000001", &timestamp, "102", "", ""]);
    assert_eq!(rows[10][2..], ["0x00000001", &timestamp, "", "100", "sixteen bytes ok"]);
    assert_eq!(rows[15][2..], ["0x0000feed", "", "101", "", ""]);
    assert_eq!(rows[16][2..], ["0x00000001", "", "101", "", ""]);
}

/// The same message as a machine of the other byte order sends it: `sizes` are those of its first fields, then come words.
fn other_order(bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut rest, mut swapped) = (bytes, Vec::new());
    for size in sizes.iter().copied().chain(std::iter::repeat(4)) {
        let (field, after) = rest.split_at(size.min(rest.len()));
        swapped.extend(field.iter().rev());
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    swapped
}

#[test]
fn messages_of_a_machine_with_the_other_byte_order_are_read_too() {
    if !tools::need(&["tshark"]) {
        return;
    }
    let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
    let mut event = Vec::new();
    emit_fork_struct(&mut event, 7, 1, &ids);
    // nlmsghdr and cn_msg.
    let event = other_order(&event, &[4, 2, 2, 4, 4, 4, 4, 4, 4, 2, 2]);
    let libudev = &good_uevents()[4];
    // Of libudev's header only the three sizes are in the order of the machine.
    let libudev = [&libudev[..12], &other_order(&libudev[12..24], &[]), &libudev[24..]].concat();
    let rows = rows(&[(Connector, &event), (KobjectUevent, &libudev)], &[]);
    let said = ["fork 100 -> 101 cpu 1 seq 7", "libudev add@/devices/x 4 keys seq 18446744073709551615"];
    assert_eq!(rows, said.map(|line| [line, ""]));
}

#[test]
fn a_process_of_this_machine_is_seen_from_its_fork_to_its_exit() {
    if !tools::need(&["tshark"]) {
        return;
    }
    let mut events = match ProcEvents::open() {
        Ok(events) => events,
        Err(error) => {
            tools::skip(&format!("process events: {error}"));
            return;
        }
    };
    let child = Command::new("true").spawn().and_then(|mut child| child.wait().map(|_| child.id()));
    let child = child.expect("runs").cast_signed();
    let (mut heard, mut said) = (Vec::new(), Vec::new());
    while !said.last().is_some_and(|line: &String| line.starts_with("exit")) {
        let arrival = events.receive(Wait::AtMost(Duration::from_secs(5))).expect("received");
        let Arrival::Message(datagram) = arrival else { panic!("{arrival:?}") };
        let message = ConnectorMessage::parse(datagram.bytes).expect("the kernel wrote it");
        let event = ProcEvent::parse(&message).expect("the kernel wrote it");
        match event.what {
            What::Fork(ids) if ids.child_pid == child => {}
            What::Exec(ids) | What::Exit { ids, .. } if ids.pid == child => {}
            _ => continue,
        }
        heard.push(datagram.bytes.to_vec());
        said.push(format!("{} cpu {} seq {}", event.what, event.cpu, message.seq));
    }
    let datagrams: Vec<_> = heard.iter().map(|bytes| (Connector, &bytes[..])).collect();
    let lines: Vec<_> = rows(&datagrams, &[]).into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(lines, said);
    assert_eq!(lines.len(), 3, "{lines:?}");
}

/// Drawn from a seed: xorshift.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).expect("below n")
    }

    /// The datagram with one to three things wrong: a byte, a piece that is gone, one that is doubled, an end that is cut.
    fn spoil(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let (at, to) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
            let (from, to) = (at.min(to), at.max(to));
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(from..to.min(from + 8))),
                2 => bytes.splice(from..from, bytes[from..to].to_vec()).for_each(drop),
                _ if at == bytes.len() => bytes.push(b'7'),
                3 => bytes[at] = u8::try_from(self.below(256)).expect("a byte"),
                _ => bytes[at] = b"\0@=-017\xff/S "[self.below(11)],
            }
        }
        bytes
    }
}

fn spoilt(seed: u64, good: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut draw = Draw(seed);
    let mut all: Vec<_> = (0..1500).map(|i| draw.spoil(&good[i % good.len()])).collect();
    all.extend([&b""[..], b"\0", b"@\0", b"@", b"=", b"libudev\0", b"a@b\0=\0"].map(<[u8]>::to_vec));
    all
}

/// Whether the byte order of a spoilt size is a guess: the dissector takes the one in which it is smaller.
fn guessed(bytes: &[u8], at: usize) -> bool {
    let size = bytes.get(at..).and_then(<[u8]>::first_chunk);
    size.is_some_and(|size| u32::from_le_bytes(*size) > u32::from_be_bytes(*size))
}

/// Whether every byte is shown as itself.
fn plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0 || (byte.is_ascii_graphic() && byte != b'\\'))
}

#[test]
fn a_spoilt_uevent_is_refused_in_the_words_of_the_codec() {
    if !tools::need(&["tshark"]) {
        return;
    }
    let all = spoilt(0x5eed, &good_uevents());
    let datagrams: Vec<_> = all.iter().map(|bytes| (KobjectUevent, &bytes[..])).collect();
    let rows = rows(&datagrams, &[&UEVENT[..], &["uevent.fork.parent", "uevent.fork.child"]].concat());
    let mut refused = 0;
    for (row, bytes) in rows.iter().zip(&all) {
        if bytes.starts_with(b"libudev\0") && guessed(bytes, 12) {
            continue;
        }
        let message = match Message::parse(bytes) {
            Err(error) => {
                refused += 1;
                assert_eq!((&row[1], &row[0]), (&error.to_string(), &format!("not a uevent: {error}")), "{bytes:?}");
                continue;
            }
            Ok(message) => message,
        };
        if plain(bytes) {
            assert_eq!(row[2..8], expected(&message), "{message:?}");
        }
        if message.layout() == Layout::Bare && message.action() == b"fork" {
            let pids = message.fork_pids().map(|(parent, child)| [parent.to_string(), child.to_string()]);
            match pids {
                Ok(pids) => assert_eq!(row[8..], pids, "{message:?}"),
                Err(error) => assert_eq!(row[1].split(AND).next(), Some(&error.to_string()[..]), "{message:?}"),
            }
        }
    }
    assert!((100..1400).contains(&refused), "{refused} of {} refused", all.len());
}

#[test]
fn a_spoilt_connector_message_is_refused_in_the_words_of_the_codec() {
    if !tools::need(&["tshark"]) {
        return;
    }
    let good: Vec<_> = good_connector().into_iter().map(|(bytes, _)| bytes).collect();
    let all = spoilt(0xfeed, &good);
    let datagrams: Vec<_> = all.iter().map(|bytes| (Connector, &bytes[..])).collect();
    let mut refused = 0;
    for (row, bytes) in rows(&datagrams, &[]).iter().zip(&all) {
        let wrong = ConnectorMessage::parse(bytes).err();
        if let Some(error) = wrong.filter(|_| !guessed(bytes, 0)) {
            refused += 1;
            assert_eq!(row[..2], [format!("not a connector message: {error}"), error.to_string()], "{bytes:?}");
        }
    }
    assert!((100..1400).contains(&refused), "{refused} of {} refused", all.len());
}

#[test]
fn other_families_and_what_goes_to_the_kernel_stay_with_wireshark() {
    if !tools::need(&["tshark"]) {
        return;
    }
    // A nlmsghdr alone.
    let mut bytes = tshark::capture(&[(KobjectUevent, &[16, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0])]);
    let fields = ["netlink.hdr_seq", "netlink.family", "uevent"];
    // A message of a process to the kernel, PACKET_KERNEL: that one has a nlmsghdr, whatever the family.
    let cooked = bytes.len() - 32;
    bytes[cooked + 1] = 7;
    assert_eq!(tshark::fields(tshark::with_dissector(), &bytes, &fields), [["7", "0x000f", ""]]);
    bytes[cooked..cooked + 2].copy_from_slice(&[0, 6]);
    bytes[cooked + 15] = 0;
    assert_eq!(tshark::fields(tshark::with_dissector(), &bytes, &fields), [["7", "0x0000", ""]]);
}

/// The page shows what tshark prints: `$ forklab` and `$ tshark` commands, which share the file `forks.pcap`.
#[test]
fn the_page_shows_what_tshark_prints() {
    if !tools::need(&["tshark"]) {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/wireshark.md");
    let text = std::fs::read_to_string(&page).expect("the page");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("forks.pcap");
    let mut out = String::new();
    let mut blocks = text.split("```");
    while let (Some(prose), Some(block)) = (blocks.next(), blocks.next()) {
        let lines = block.lines().filter_map(|line| line.strip_prefix("$ "));
        let printed = lines.map(|line| format!("$ {line}\n{}", shell(line, &file)));
        out += &format!("{prose}```console\n{}```", printed.collect::<String>());
    }
    out += text.rsplit("```").next().expect("something");
    if std::env::var_os("UPDATE_CONSOLES").is_some() {
        std::fs::write(&page, &out).expect("a page can be written");
        return;
    }
    assert_eq!(text, out, "UPDATE_CONSOLES=1 writes what is printed now");
}

fn shell(line: &str, file: &Path) -> String {
    let mut words = line.split(' ').map(|word| match word {
        "forks.pcap" => file.as_os_str().to_owned(),
        word => word.trim_matches('\'').into(),
    });
    let program = words.next().expect("a program");
    let mut command = match program.to_str() {
        Some("forklab") => command(&[]),
        Some("tshark") => tshark::plain(),
        _ => panic!("{line}"),
    };
    let output = Command::output(command.args(words)).expect("it starts");
    assert!(output.status.success(), "{line}");
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    // What a run reports is a matter for the readme.
    if program == "forklab" { String::new() } else { shown }
}
