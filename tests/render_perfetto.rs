//! The file for ui.perfetto.dev: its slices nest, its times are in order, its objects have what the format asks for.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use common::{built_in, data};
use forklab::lab::run::{Loaded, Watch, run};
use forklab::lab::spec::{Source, Spec};
use forklab::render::perfetto::{Perfetto, perfetto};
use serde_json::Value;
use sim::trace::Recording;
use sim::{Event, What};

fn events(spec: Spec) -> Vec<Event> {
    let recording = Recording::default();
    let watch = Watch { sinks: vec![Box::new(recording.clone())], ..Watch::default() };
    run(&Loaded::new(spec, |_| ()).expect("it is there"), watch).expect("it runs");
    recording.take()
}

fn replayed(line: &str) -> Vec<Event> {
    events(line.parse().expect("a replay line"))
}

fn written(events: &[Event]) -> String {
    String::from_utf8(perfetto(events, Vec::new()).expect("memory takes everything")).expect("JSON is UTF-8")
}

fn objects(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(file["displayTimeUnit"], "ns");
    file["traceEvents"].as_array().expect("an array").clone()
}

const USE_AFTER_FREE: &str = "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=none";

/// The runs that every check is made of: calm, broken, with a BUG() in the middle, with several CPUs and listeners.
fn runs() -> Vec<(&'static str, Vec<Event>)> {
    let shell = Spec { source: Source::Workload(data("shell.csv.gz")), ..built_in("") };
    let mut busy = shell.clone();
    (busy.bench.cpus, busy.bench.listeners, busy.bench.rcvbuf) = (4, 3, 2048);
    vec![
        ("tour", events(built_in("tour"))),
        ("thread", events(built_in("thread"))),
        ("boot-early", events(built_in("boot-early"))),
        ("use after free", replayed(USE_AFTER_FREE)),
        ("overrun", events(built_in("overrun"))),
        ("shell", events(shell)),
        ("shell on four CPUs", events(busy)),
    ]
}

/// Nanoseconds.
fn time(value: &Value) -> i64 {
    (value.as_f64().expect("a number") * 1000.0).round() as i64
}

/// Holds one file to the format: every slice ends on its track, inside of the one around it; times never go back.
fn check(name: &str, objects: &[Value]) {
    let mut open: BTreeMap<u64, Vec<(String, i64)>> = BTreeMap::new();
    let mut last: BTreeMap<(u64, u64, String), i64> = BTreeMap::new();
    let mut ends: BTreeMap<u64, i64> = BTreeMap::new();
    let (mut named, mut process) = (BTreeSet::new(), BTreeMap::new());
    for object in objects {
        let of = |key: &str| object[key].as_u64().unwrap_or_else(|| panic!("{name}: {key} of {object}"));
        let ph = object["ph"].as_str().expect("a phase");
        let pid = of("pid");
        if ph == "M" {
            if let Some(tid) = object["tid"].as_u64() {
                assert!(named.insert(tid), "{name}: {tid} is named twice");
            }
            continue;
        }
        let ts = time(&object["ts"]);
        let tid = if ph == "C" { 0 } else { of("tid") };
        let counter = if ph == "C" { object["name"].as_str().expect("a name") } else { "" };
        let before = last.insert((pid, tid, counter.to_owned()), ts).unwrap_or(0);
        assert!(before <= ts, "{name}: time goes back to {ts} in {object}");
        if ph == "C" {
            continue;
        }
        assert!(named.contains(&tid), "{name}: {tid} has no name yet");
        assert_eq!(*process.entry(tid).or_insert(pid), pid, "{name}: {tid} is in two processes");
        assert!(ends.get(&tid).is_none_or(|end| *end <= ts), "{name}: overlaps the slice before it: {object}");
        let open = open.entry(tid).or_default();
        match ph {
            "B" => open.push((object["name"].to_string(), ts)),
            "E" => {
                let (_, begin) = open.pop().unwrap_or_else(|| panic!("{name}: nothing is open at {object}"));
                assert!(begin <= ts, "{name}: ends before it begins: {object}");
            }
            "X" => {
                let dur = time(&object["dur"]);
                assert!(dur >= 0, "{name}: {object}");
                ends.insert(tid, ts + dur);
            }
            "i" => {}
            _ => panic!("{name}: what is {ph}?"),
        }
    }
    assert!(open.values().all(Vec::is_empty), "{name}: {open:?} never ends");
}

#[test]
fn slices_nest_and_times_are_in_order() {
    for (name, events) in runs() {
        check(name, &objects(&written(&events)));
    }
}

/// What an object may have, by its phase: required fields, and others.
fn fields(ph: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match ph {
        "M" => (&["ph", "pid", "name", "args"], &["tid"]),
        "B" => (&["ph", "pid", "tid", "ts", "name"], &["args"]),
        "E" => (&["ph", "pid", "tid", "ts"], &["args"]),
        "X" => (&["ph", "pid", "tid", "ts", "dur", "name"], &["args"]),
        "i" => (&["ph", "pid", "tid", "ts", "s", "name"], &["args"]),
        "C" => (&["ph", "pid", "ts", "name", "args"], &[]),
        _ => panic!("what is {ph}?"),
    }
}

#[test]
fn every_object_has_the_fields_of_its_phase_and_their_types() {
    for (name, events) in runs() {
        for object in objects(&written(&events)) {
            let map = object.as_object().expect("an object");
            let (required, others) = fields(object["ph"].as_str().expect("a phase"));
            assert!(required.iter().all(|field| map.contains_key(*field)), "{name}: {object}");
            for (field, value) in map {
                assert!(required.contains(&field.as_str()) || others.contains(&field.as_str()), "{name}: {object}");
                let right = match field.as_str() {
                    "pid" | "tid" => value.as_u64().is_some_and(|n| n > 0),
                    "ts" | "dur" => value.as_f64().is_some_and(|n| n >= 0.0),
                    "s" => value == "t" || value == "g",
                    "args" => value.is_object(),
                    _ => value.as_str().is_some_and(|text| !text.is_empty()),
                };
                assert!(right, "{name}: {field} of {object}");
            }
            if object["ph"] == "C" {
                let args = object["args"].as_object().expect("an object");
                assert!(args.values().all(Value::is_u64), "{name}: {object}");
            }
        }
    }
}

#[test]
fn a_step_is_a_microsecond_and_every_entered_function_is_a_slice() {
    let events = events(built_in("tour"));
    let objects = objects(&written(&events));
    let of_tasks = |ph: &str| objects.iter().filter(|object| object["ph"] == ph && object["pid"] == 2).count();
    assert_eq!(of_tasks("B"), events.iter().filter(|event| matches!(event.what, What::Enter { .. })).count());
    assert_eq!(of_tasks("B"), of_tasks("E"));
    let sends = objects.iter().find(|object| object["name"] == "netlink_broadcast").expect("it is sent");
    let sent = events.iter().find(|event| matches!(event.what, What::Enter { func: "netlink_broadcast", .. }));
    assert_eq!(time(&sends["ts"]) / 1000, i64::try_from(sent.expect("it is sent").step).expect("few steps"));
    assert_eq!(sends["args"]["data"], "fork@/fork_kobj\\0100\\0101\\0");
}

#[test]
fn a_broken_rule_is_an_instant_over_everything() {
    let objects = objects(&written(&replayed(USE_AFTER_FREE)));
    let broken: Vec<_> = objects.iter().filter(|object| object["s"] == "g").collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(
        broken[0]["name"],
        "VIOLATION: use after free: do_fork() reads p->pid; freed by lane c in step 11 (free_task_struct)"
    );
}

#[test]
fn what_was_judged_afterwards_names_the_step_in_which_it_broke() {
    let line =
        "v1 two-forks hook=before-wake gate=has-listeners sequence=per-cpu format=keys sched=p8.q1 fault=none law=P14";
    let objects = objects(&written(&replayed(line)));
    let broken = objects.iter().find(|object| object["s"] == "g").expect("a rule broke");
    assert_eq!(broken["args"]["step"], 25);
    assert!(time(&broken["ts"]) >= 28_000, "it was told at the end: {broken}");
}

#[test]
fn a_queue_fills_and_is_empty_at_the_end() {
    let objects = objects(&written(&events(built_in("overrun"))));
    let queue: Vec<_> = objects
        .iter()
        .filter(|object| object["name"] == "queue of socket 1")
        .map(|object| object["args"]["messages"].as_u64().expect("a number"))
        .collect();
    assert_eq!(queue.iter().max(), Some(&489), "as many as the buffer holds");
    assert_eq!(queue.last(), Some(&0));
}

#[test]
fn memory_of_events_is_gone_at_the_end() {
    let events = events(built_in("tour"));
    let objects = objects(&written(&events));
    let live = objects.iter().rev().find(|object| object["name"] == "memory").expect("it was counted");
    assert_eq!(live["args"]["bytes"], 0);
}

#[test]
fn a_run_of_a_hundred_thousand_events_stays_under_30_mb() {
    let mut spec = Spec { source: Source::Workload(data("kernel-build.csv.gz")), ..built_in("") };
    spec.bench.listeners = 3;
    let mut events = events(spec);
    assert!(events.len() > 100_000);
    events.truncate(100_000);
    let bytes = written(&events).len();
    assert!(bytes < 30_000_000, "{bytes} bytes");
}

#[test]
fn the_run_and_its_recording_give_the_same_file() {
    let live = Perfetto::new(Vec::new()).expect("memory takes everything");
    // Not a Vec of its own: a sink belongs to its run for ever.
    let recording = Recording::default();
    let watch = Watch { sinks: vec![Box::new(recording.clone()), Box::new(live.sink())], ..Watch::default() };
    run(&Loaded::new(built_in("thread"), |_| ()).expect("built in"), watch).expect("it runs");
    let live = live.finish().expect("memory takes everything");
    assert_eq!(String::from_utf8(live).expect("UTF-8"), written(&recording.take()));
}

#[test]
fn a_small_run_reads_like_this() {
    let events = events(built_in("tour"));
    let from = events.iter().position(|event| matches!(event.what, What::Enter { func: "kobject_fork", .. }));
    let from = from.expect("the event was sent");
    insta::assert_snapshot!(written(&events[from..from + 24]));
}

/// Takes so many bytes and then says that the disk is full.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.0);
        self.0 -= n;
        if n == 0 { Err(io::Error::other("disk full")) } else { Ok(n) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_the_disk_is_kept_until_the_end() {
    let events = events(built_in("tour"));
    let whole = written(&events).len();
    for room in (0..whole).step_by(997) {
        assert!(perfetto(&events, Full(room)).is_err(), "after {room} bytes");
    }
    assert!(perfetto(&events, Full(whole)).is_ok());
}
