//! `kobject_hotplug()`, with every kind of kset that the vectors have.

use serde::Deserialize;
use serde_json::{Value, json};
use sim::errno::Rc as _;
use uevent::kobject_uevent::{HotplugEnv, HotplugOps, Slot, add_hotplug_env_var, kobject_hotplug};
use uevent::vsprintf::Arg;
use uevent::{Core, kobject_uevent};

use crate::harness::bench::messages;
use crate::harness::listeners::{self, Listener};
use crate::harness::record::{self, panic_json};
use crate::harness::{self, Bench, Bytes, extend};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    kobjs: Vec<Kobj>,
    target: usize,
    action: i32,
    ksets: Vec<Kset>,
    hotplug_path: Bytes,
    seqnum_before: String,
    uevent_sock: bool,
    listeners: Vec<Listener>,
    fail: Vec<String>,
    usermodehelper_rc: i64,
    calls: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kobj {
    name: Option<Bytes>,
    parent: Option<usize>,
    kset: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kset {
    name: Option<Bytes>,
    filter: Option<i32>,
    name_op: Option<NameOp>,
    hotplug_op: Option<HotplugOp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameOp {
    returns: Option<Bytes>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HotplugOp {
    kind: String,
    #[serde(default)]
    vars: Vec<Bytes>,
    ret: i32,
    #[serde(default)]
    ignore_add_errors: bool,
}

#[test]
fn every_recorded_hotplug_event_is_reproduced() {
    harness::check("kobject_hotplug", run);
}

fn run(input: Input) -> Value {
    let bench = Bench::new();
    let core = &bench.core;
    bench.uevent_init(input.uevent_sock);
    let listeners = listeners::open(&bench, &input.listeners);
    // The objects of the input come first, so that their numbers in the trace are those of the input.
    let kobjs: Vec<_> =
        input.kobjs.iter().map(|kobj| bench.kobject(kobj.name.clone().map(|name| name.0), None)).collect();
    let ksets: Vec<_> = input.ksets.into_iter().map(|kset| make_kset(&bench, kset)).collect();
    for (kobj, node) in kobjs.iter().zip(&input.kobjs) {
        let (parent, kset) = (node.parent.map(|parent| kobjs[parent]), node.kset.map(|kset| ksets[kset]));
        core.kobj(*kobj, |k| (k.parent, k.kset) = (parent, kset));
    }
    core.hotplug_seqnum.set(input.seqnum_before.parse().expect("a decimal number"));
    core.usermodehelper_rc.set(input.usermodehelper_rc);
    core.hotplug_path.replace(input.hotplug_path.0);
    bench.measure();
    bench.fail(&input.fail);
    let (target, action, calls) = (kobjs[input.target], input.action, input.calls);
    let survived = bench.run(async move |core: &Core| {
        for _ in 0..calls {
            kobject_hotplug(core, target, action).await;
        }
    });
    let events = bench.events();
    let trace = record::entries(&bench, &events);
    let of = |op: &str| trace.iter().filter(|entry| entry["op"] == op).cloned().collect::<Vec<_>>();
    let alive = |value: Value| if survived.is_some() { value } else { Value::Null };
    let mut json = json!({
        "seqnum_after": alive(core.hotplug_seqnum.get().to_string().into()),
        "messages": messages(&events),
        "usermodehelper_calls": of("call_usermodehelper"),
        "overflows": overflows(&bench, &of("overflow")),
        "panic": panic_json(&events),
        "?crash": bench.crash(),
        "trace": trace,
    });
    let received = survived.map_or_else(Vec::new, |()| listeners::received(&bench, &listeners));
    extend(&mut json, json!({"received": received, "leaked": bench.live()}));
    json
}

/// The overflows of memory that was freed, then those of memory that was not.
fn overflows(bench: &Bench, freed: &[Value]) -> Vec<Value> {
    let short = |site: &Value, size: &Value, by: &Value| json!({"site": site, "size": size, "by": by});
    let mut overflows: Vec<_> = freed.iter().map(|entry| short(&entry["site"], &entry["size"], &entry["by"])).collect();
    let live = bench.live();
    let live = live.iter().filter(|entry| entry.get("overflow_by").is_some());
    overflows.extend(live.map(|entry| short(&entry["site"], &entry["size"], &entry["overflow_by"])));
    overflows
}

fn make_kset(bench: &Bench, kset: Kset) -> uevent::kobject::KsetId {
    let kobj = bench.kobject(kset.name.map(|name| name.0), None);
    let mut ops = HotplugOps::default();
    if let Some(ret) = kset.filter {
        ops.filter = Some(Box::new(move |_, _| ret));
    }
    if let Some(NameOp { returns }) = kset.name_op {
        ops.name = Some(Box::new(move |_, _| returns.clone().map(|name| name.0)));
    }
    if let Some(op) = kset.hotplug_op {
        ops.hotplug = Some(hotplug_op(op));
    }
    bench.core.new_kset(kobj, Some(ops))
}

/// What the operations of the vectors do, as their `kind` says.
fn hotplug_op(op: HotplugOp) -> kobject_uevent::HotplugOp {
    if op.kind.starts_with("calls add_hotplug_env_var(\"%s\",v) for each var") {
        Box::new(move |_, _, env| add_vars(&op, env))
    } else if op.kind.starts_with("stores pointers to strings outside the buffer") {
        Box::new(move |_, _, env| {
            for (slot, var) in env.envp.iter_mut().zip(&op.vars) {
                *slot = Some(Slot::Text(var.0.clone()));
            }
            op.ret
        })
    } else {
        assert!(op.vars.is_empty(), "hotplug_op.kind is unknown: {}", op.kind);
        Box::new(move |_, _, _| op.ret) // Without variables all that it does is answer.
    }
}

fn add_vars(op: &HotplugOp, env: &mut HotplugEnv<'_>) -> i32 {
    let (mut index, mut len) = (0, 0);
    for var in &op.vars {
        let result = add_hotplug_env_var(env, &mut index, &mut len, b"%s", &[Arg::Str(&var.0)]);
        if result.is_err() && !op.ignore_add_errors {
            return i32::try_from(result.rc()).expect("an errno");
        }
    }
    env.envp[usize::try_from(index).expect("an index")] = None;
    op.ret
}
