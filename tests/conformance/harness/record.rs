//! The model's trace, and what is left in memory, in the words of the vectors.

use serde_json::{Map, Value, json};
use sim::trace::Args;
use sim::{Event, Gfp, Rule, What};

use super::bench::{Bench, errno_name, rc_json};
use super::bytes::bytes_json;
use super::extend;

/// The trace entries of these events, with allocations numbered from the start of the measured part.
pub fn entries(bench: &Bench, events: &[Event]) -> Vec<Value> {
    events.iter().flat_map(|event| entry(bench, &event.what)).collect()
}

fn entry(bench: &Bench, what: &What) -> Vec<Value> {
    match what {
        What::Alloc { seq, site, kind, size, gfp, ok } => {
            let mut entry =
                json!({"op": "alloc", "seq": bench.seq(*seq), "site": site, "kind": kind, "size": size, "ok": ok});
            extend(&mut entry, gfp_json(*gfp));
            vec![entry]
        }
        What::Free { seq, site, by } => free(bench, *seq, *site, by),
        What::Enter { func: "netlink_broadcast", args } => {
            let mut entry = args_json("netlink_broadcast", &args[..args.len() - 1]); // Without the bytes.
            extend(&mut entry, gfp_json(gfp_arg(args)));
            vec![entry]
        }
        What::Leave { func: "netlink_broadcast", rc } => {
            let mut entry = json!({"op": "netlink_broadcast_ret"});
            extend(&mut entry, rc_json(rc.expect("it returns a number")));
            vec![entry]
        }
        What::Call { func, args, rc } => vec![call(bench, func, args, *rc)],
        What::Printk { text } => vec![json!({"op": "printk", "text": text})],
        What::Bug { file, func } => vec![json!({"op": "BUG", "file": file, "func": func})],
        What::WarnOn { file, func } => vec![json!({"op": "WARN_ON", "file": file, "func": func})],
        What::Violation(violation) if violation.rule == Rule::OutOfBounds => {
            overflow(bench, &violation.text);
            Vec::new()
        }
        // The vectors have no entry for these; an oops ends the case.
        What::Enter { .. } | What::Leave { .. } | What::Wait { .. } | What::Wake { .. } => Vec::new(),
        What::End | What::Oops { .. } | What::Violation(_) => Vec::new(),
    }
}

/// A free; an overflow was found by the canary behind the memory, so it is reported just before.
fn free(bench: &Bench, seq: u64, site: Option<&'static str>, by: &str) -> Vec<Value> {
    let Some(site) = site else { return vec![json!({"op": "free", "seq": 0, "site": null, "by": by})] };
    let seq = bench.seq(seq);
    let shown = if seq < 0 { bench.before_site.get() } else { site };
    let free = json!({"op": "free", "seq": seq, "site": shown, "by": by});
    match bench.overflows.borrow_mut().remove(site) {
        Some(over) => {
            vec![json!({"op": "overflow", "seq": seq, "site": site, "size": BUFFER_SIZE, "by": over}), free]
        }
        None => vec![free],
    }
}

/// Bytes of the one buffer of this path that can overflow.
const BUFFER_SIZE: u32 = uevent::kobject_uevent::BUFFER_SIZE;

/// Notes `.. wrote N bytes past the 1024 bytes of SITE (..)`.
fn overflow(bench: &Bench, text: &str) {
    let mut words = text.split(' ').skip_while(|word| *word != "wrote").skip(1);
    let by = words.next().and_then(|by| by.parse().ok());
    let site = text.split(" bytes of ").nth(1).and_then(|rest| rest.split(' ').next());
    let (Some(by), Some(site)) = (by, site) else { return };
    if let Some(site) = uevent::site::ALL.iter().find(|known| known.0 == site) {
        bench.overflows.borrow_mut().insert(site.0, by);
    }
}

/// A call that the model does not open.
fn call(bench: &Bench, func: &str, args: &Args, rc: Option<i64>) -> Value {
    let sock = |args: &Args| bench.socks.borrow().get(&number(arg(args, "sock"))).copied().expect("a known socket");
    match func {
        "sk_data_ready" => json!({"op": "data_ready", "sock": sock(args), "len": value(arg(args, "len"))}),
        "sk_error_report" => json!({"op": "error_report", "sock": sock(args), "sk_err": value(arg(args, "sk_err"))}),
        // Which lock it is the vectors do not say.
        "down_read" | "up_read" | "down_write" | "up_write" => json!({"op": func}),
        "op_filter" => {
            let mut entry = args_json(func, args);
            extend(&mut entry, json!({"ret": rc}));
            entry
        }
        "op_name" => {
            let mut entry = json!({"op": func, "ret": null});
            extend(&mut entry, args_json(func, args));
            entry
        }
        _ => {
            let mut entry = args_json(func, args);
            extend(&mut entry, rc.map_or(json!({}), |rc| json!({"rc": rc})));
            entry
        }
    }
}

fn args_json(func: &str, args: &[(&'static str, sim::Value)]) -> Value {
    let args = args.iter().map(|(name, v)| ((*name).to_string(), value(v)));
    Value::Object(std::iter::once(("op".to_string(), func.into())).chain(args).collect::<Map<_, _>>())
}

/// The argument of this name.
pub fn arg<'a>(args: &'a Args, name: &str) -> &'a sim::Value {
    &args.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no argument {name}")).1
}

/// An argument in JSON.
pub fn value(value: &sim::Value) -> Value {
    match value {
        sim::Value::Int(n) => (*n).into(),
        sim::Value::Name(name) => (*name).into(),
        sim::Value::Bytes(bytes) => bytes_json(&bytes[..]),
        sim::Value::List(list) => list.iter().map(|bytes| bytes_json(&bytes[..])).collect(),
    }
}

/// A number of an argument.
pub fn number(value: &sim::Value) -> u32 {
    match value {
        sim::Value::Int(n) => u32::try_from(*n).expect("small"),
        other => panic!("{other:?} is no number"),
    }
}

fn gfp_arg(args: &Args) -> Gfp {
    Gfp(number(arg(args, "gfp")))
}

/// Flags, and their name.
pub fn gfp_json(gfp: Gfp) -> Value {
    json!({"gfp": gfp.0, "gfp_name": gfp.to_string()})
}

/// What the measured part left in memory.
pub fn live(bench: &Bench) -> Vec<Value> {
    let overflows = bench.overflows.borrow();
    let live = bench.core.live().into_iter().filter(|entry| bench.seq(entry.seq) > 0);
    live.map(|entry| {
        let mut json = json!({"seq": bench.seq(entry.seq), "site": entry.site, "size": entry.size});
        if let Some(by) = overflows.get(entry.site) {
            extend(&mut json, json!({"overflow_by": by}));
        }
        json
    })
    .collect()
}

/// The size that the last `alloc_skb()` was asked for.
pub fn alloc_skb_size_arg(events: &[Event]) -> Option<u32> {
    let size = |event: &Event| match &event.what {
        What::Enter { func: "alloc_skb", args } => Some(number(arg(args, "size"))),
        _ => None,
    };
    events.iter().rev().find_map(size)
}

/// The size that its data was asked for.
pub fn skb_data_kmalloc_size(events: &[Event]) -> Option<u32> {
    let size = |event: &Event| match event.what {
        What::Alloc { site: "alloc_skb.data", size, .. } => Some(size),
        _ => None,
    };
    events.iter().rev().find_map(size)
}

/// What the calls of `netlink_broadcast()` returned.
pub fn broadcast_rcs(events: &[Event]) -> Vec<i64> {
    let rc = |event: &Event| match event.what {
        What::Leave { func: "netlink_broadcast", rc } => rc,
        _ => None,
    };
    events.iter().filter_map(rc).collect()
}

/// `skb_over_panic()` with the figures of its log line (`<6>skput:over: <addr>:LEN put:PUT dev:DEV`), or null.
pub fn panic_json(events: &[Event]) -> Value {
    let Some(function) = events.iter().find_map(|event| match event.what {
        What::Bug { func, .. } => Some(func),
        _ => None,
    }) else {
        return Value::Null;
    };
    let line = events.iter().rev().find_map(|event| match &event.what {
        What::Printk { text } => text.strip_prefix("<6>skput:over: <addr>:"),
        _ => None,
    });
    let fields: Vec<_> = line.expect("skb_over_panic() says what happened").split(' ').collect();
    let [len, put, dev] = fields[..] else { panic!("three figures, not {fields:?}") };
    let number = |text: &str| text.parse::<u32>().expect("a figure");
    let field = |text: &'static str, field: &str| field.strip_prefix(text).expect("its name").to_string();
    json!({
        "function": function,
        "skb_len_after_put": number(len),
        "put": number(&field("put:", put)),
        "dev": field("dev:", dev),
    })
}

/// Equal return codes in a row: `{rc, errno, count}`.
pub fn runs(rcs: &[i64]) -> Vec<Value> {
    rcs.chunk_by(|a, b| a == b)
        .map(|run| json!({"rc": run[0], "errno": errno_name(run[0]), "count": run.len()}))
        .collect()
}

/// During which broadcasts, from 0, the sender yielded.
pub fn yielded_at(events: &[Event]) -> Vec<usize> {
    let mut broadcast = 0;
    let mut yields = Vec::new();
    for event in events {
        match &event.what {
            What::Leave { func: "netlink_broadcast", .. } => broadcast += 1,
            What::Call { func: "yield", .. } => yields.push(broadcast),
            _ => {}
        }
    }
    yields
}
