//! The trace of a fork in the words of the vectors: what was called, and what the event allocated.

use fork_model::fork::{TASK_STRUCT, THREAD_INFO};
use serde_json::{Map, Value, json};
use sim::trace::Args;
use sim::{Event, What};

use super::stubs::{CHILD, GONE};
use crate::harness::bench::{Bench, errno_name};
use crate::harness::record;

/// Calls that the vectors leave out of `calls`.
const TRIVIAL: [&str; 8] = [
    "prepare_to_copy",
    "copy_flags",
    "clear_tsk_thread_flag",
    "init_sigpending",
    "init_timer",
    "acct_clear_integrals",
    "do_posix_clock_monotonic_gettime",
    "set_task_cpu",
];

/// The helpers that were called, trivial ones included.
pub fn calls_full(events: &[Event]) -> Vec<Value> {
    helpers(events).iter().filter_map(|event| call(&event.what)).collect()
}

/// The same without the trivial ones.
pub fn calls(calls_full: &[Value]) -> Vec<Value> {
    calls_full.iter().filter(|call| call.get("trivial").is_none()).cloned().collect()
}

/// `{called, parent, child}` of the last event.
pub fn kobject_fork(calls_full: &[Value]) -> Value {
    let last = calls_full.iter().rev().find(|call| call["fn"] == "kobject_fork" && call.get("parent").is_some());
    last.map_or(
        json!({"called": false}),
        |call| json!({"called": true, "parent": call["parent"], "child": call["child"]}),
    )
}

/// What happens outside of events, until a child is gone or `unhash_process()`, which was a stub, is called.
fn helpers(events: &[Event]) -> Vec<&Event> {
    let mut in_event = Vec::new();
    let mut gone = false;
    let mut helpers = Vec::new();
    for event in events {
        match event.what {
            What::Enter { func: "kobject_fork", .. } => {
                helpers.push(event);
                in_event.push(event.lane);
            }
            What::Leave { func: "kobject_fork", .. } => {
                in_event.retain(|lane| *lane != event.lane);
                helpers.push(event);
            }
            _ if in_event.contains(&event.lane) || (gone && event.lane.as_str() == CHILD) => {}
            What::Call { func: "unhash_process", .. } => {
                helpers.push(event);
                break;
            }
            What::Call { func: GONE, .. } => {
                gone = true;
                helpers.push(event);
            }
            _ => helpers.push(event),
        }
    }
    helpers
}

fn call(what: &What) -> Option<Value> {
    match what {
        What::Enter { func: "do_fork", .. } | What::Leave { func: "do_fork", .. } => None,
        What::Enter { func: "kobject_fork", args } => {
            let [(_, kobj), pids @ ..] = &args[..] else { panic!("an object and two pids") };
            let mut json = named("kobject_fork", pids);
            json["is_fork_kobj"] = (*kobj == "fork_kobj".into()).into();
            Some(json)
        }
        What::Enter { func: func @ "copy_process", args } => Some(named(func, args)),
        What::Leave { func: func @ ("copy_process" | "kobject_fork"), rc } => {
            let mut json = json!({"fn": func, "returns": true});
            returned(&mut json, *rc);
            Some(json)
        }
        What::Enter { func, .. } | What::Leave { func, .. } => panic!("the vectors know no {func}"),
        What::Call { func, args, rc } => Some(leaf(func, args, *rc)),
        _ => None,
    }
}

fn leaf(func: &str, args: &Args, rc: Option<i64>) -> Value {
    let mut json = match &args[..] {
        [("lock", lock)] => json!({"fn": format!("{func}({})", record::value(lock).as_str().expect("a name"))}),
        args => named(func, args),
    };
    returned(&mut json, rc);
    if TRIVIAL.contains(&func) {
        json["trivial"] = true.into();
    }
    json
}

fn named(func: &str, args: &[(&'static str, sim::Value)]) -> Value {
    let args = args.iter().map(|(name, value)| ((*name).to_string(), record::value(value)));
    let mut json = Value::Object(std::iter::once(("fn".to_string(), func.into())).chain(args).collect::<Map<_, _>>());
    if func == "SET_LINKS" {
        json["on_task_list"] = (json["on_task_list"] == 1).into();
    }
    json
}

fn returned(json: &mut Value, rc: Option<i64>) {
    if let Some(rc) = rc {
        json["ret"] = rc.into();
        if let Some(errno) = errno_name(rc) {
            json["errno"] = errno.into();
        }
    }
}

/// Numbers allocations as the recorder did, which had no tasks and stacks among them.
#[derive(Default)]
pub struct Numbering {
    skipped: Vec<i64>,
}

impl Numbering {
    fn is_skipped(site: &str) -> bool {
        [TASK_STRUCT.0, THREAD_INFO.0].contains(&site)
    }

    /// What `entries` calls `seq`, in the recorder's numbers.
    pub fn renumber(&self, mut entries: Vec<Value>) -> Vec<Value> {
        for entry in &mut entries {
            if let Some(seq) = entry.get("seq").and_then(Value::as_i64).filter(|seq| *seq > 0) {
                let earlier = self.skipped.iter().filter(|skipped| **skipped < seq).count();
                entry["seq"] = (seq - i64::try_from(earlier).expect("few")).into();
            }
        }
        entries
    }

    /// What events allocated, freed and broadcast; and the pages of the pid bitmap.
    pub fn event_trace(&mut self, bench: &Bench, events: &[Event]) -> Vec<Value> {
        let mut kept = Vec::new();
        let mut in_event = Vec::new();
        for event in events {
            match &event.what {
                What::Enter { func: "kobject_fork", .. } => in_event.push(event.lane),
                What::Leave { func: "kobject_fork", .. } => in_event.retain(|lane| *lane != event.lane),
                What::Alloc { site, seq, .. } if Numbering::is_skipped(site) => self.skipped.push(bench.seq(*seq)),
                What::Free { site: Some(site), .. } if Numbering::is_skipped(site) || *site == "static" => {}
                What::Call { .. } if !in_event.contains(&event.lane) => {}
                _ => kept.push(event.clone()),
            }
        }
        self.renumber(record::entries(bench, &kept))
    }
}
