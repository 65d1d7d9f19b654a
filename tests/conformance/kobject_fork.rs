//! `kobject_fork()` of the patch: one event, a flood of them, and what a put too many does.

use serde::Deserialize;
use serde_json::{Value, json};
use uevent::Core;
use uevent::kobject::{KobjId, kobject_get, kobject_put};
use uevent::kobject_uevent::kobject_fork;

use crate::harness::bench::{messages, rc_json};
use crate::harness::listeners::{self, Listener};
use crate::harness::record::{self, alloc_skb_size_arg, broadcast_rcs, skb_data_kmalloc_size};
use crate::harness::{self, Bench, Bytes, bytes_json, extend};

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(One),
    Flooded(Flooded),
    Sequence(Sequence),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    kobj_name: Option<Bytes>,
    kobj_parent: Option<Bytes>,
    ppid: i32,
    cpid: i32,
    uevent_sock: bool,
    listeners: Vec<Listener>,
    fail: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flooded {
    flood: Flood,
    listener_rcvbuf: i32,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flood {
    ppid: i32,
    first_cpid: i32,
    count: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sequence {
    sequence: Vec<String>,
}

#[test]
fn every_recorded_fork_event_is_reproduced() {
    harness::check("kobject_fork", |input| match input {
        Input::One(input) => one(input),
        Input::Flooded(input) => flood(&input),
        Input::Sequence(input) => sequence(&input),
    });
}

fn one(input: One) -> Value {
    let bench = Bench::new();
    bench.uevent_init(input.uevent_sock);
    let listeners = listeners::open(&bench, &input.listeners);
    let parent = input.kobj_parent.map(|name| bench.kobject(Some(name.0), None));
    let kobj = bench.kobject(input.kobj_name.map(|name| name.0), parent);
    bench.measure();
    bench.fail(&input.fail);
    let (ppid, cpid) = (input.ppid, input.cpid);
    let survived = bench.run(async move |core: &Core| kobject_fork(core, kobj, ppid, cpid).await);
    let events = bench.events();
    let mut json = json!({
        "message": messages(&events).pop(),
        "broadcast_rc": broadcast_rcs(&events).pop().map(rc_json),
        "alloc_skb_size_arg": alloc_skb_size_arg(&events),
        "skb_data_kmalloc_size": skb_data_kmalloc_size(&events),
        "trace": record::entries(&bench, &events),
        "crash": bench.crash(),
    });
    let received = survived.map_or_else(Vec::new, |()| listeners::received(&bench, &listeners));
    extend(&mut json, json!({"received": received, "leaked": bench.live()}));
    json
}

/// Many events, nobody reads; then three receives.
fn flood(input: &Flooded) -> Value {
    let bench = Bench::new();
    bench.uevent_init(true);
    let listener = listeners::open(&bench, &[Listener::first(input.listener_rcvbuf)])[0];
    let kobj = bench.kobject(Some(b"fork_kobj".to_vec()), None);
    bench.measure();
    let Flood { ppid, first_cpid, count } = input.flood;
    bench.must(async move |core: &Core| {
        for i in 0..count {
            kobject_fork(core, kobj, ppid, first_cpid + i).await;
        }
    });
    let events = bench.events();
    let rcs = broadcast_rcs(&events);
    let mut json = json!({
        "broadcast_rc_runs": record::runs(&rcs),
        "first_lost_index": rcs.iter().position(|rc| *rc != 0),
        "yielded_at": record::yielded_at(&events),
    });
    extend(
        &mut json,
        bench.core.sock(listener.sk, |s| {
            json!({
                "rmem_alloc": s.rmem_alloc.get(),
                "queue_len": s.queue.len(),
                "state_bit0": s.congested,
                "sk_err": s.err,
            })
        }),
    );
    let received: Vec<_> = (0..3).map(|_| listeners::receive(&bench, listener)).collect();
    extend(&mut json, json!({"received": received}));
    json
}

/// `fork_init`, then calls on `fork_kobj`; a get or put is followed by a look at the object.
fn sequence(input: &Sequence) -> Value {
    let bench = Bench::new();
    let mut fork_kobj = None;
    let mut steps = Vec::new();
    for text in &input.sequence {
        let (func, args) = text.strip_suffix(')').and_then(|text| text.split_once('(')).unwrap_or((text, ""));
        let numbers: Vec<i32> = args.split(',').filter_map(|arg| arg.parse().ok()).collect();
        if func == "fork_init" {
            fork_kobj = Some(bench.kobject(Some(b"fork_kobj".to_vec()), None));
            bench.measure();
            continue;
        }
        let kobj = fork_kobj.expect("fork_init makes fork_kobj");
        assert!(args.starts_with("fork_kobj"), "{text} is about another object");
        let func = match (func, &numbers[..]) {
            ("kobject_put", []) => "kobject_put",
            ("kobject_get", []) => "kobject_get",
            ("kobject_fork", [_, _]) => "kobject_fork",
            _ => panic!("{text} is no step of a sequence"),
        };
        let survived = bench.run(async move |core: &Core| match func {
            "kobject_put" => kobject_put(core, kobj),
            "kobject_get" => drop(kobject_get(core, Some(kobj))),
            _ => kobject_fork(core, kobj, numbers[0], numbers[1]).await,
        });
        steps.push(json!({"c": func, "crash": bench.crash(), "events": bench.trace(), "?nonnull": true}));
        if survived.is_none() {
            break;
        }
        if func != "kobject_fork" {
            steps.push(kstate(&bench, kobj));
        }
    }
    json!({"steps": steps})
}

fn kstate(bench: &Bench, kobj: KobjId) -> Value {
    let name = bench.core.name(kobj);
    let refcount = bench.core.kobj(kobj, |k| k.refcount);
    json!({"c": "kstate", "crash": null, "refcount": refcount, "k_name": bytes_json(name.as_deref()), "events": []})
}
