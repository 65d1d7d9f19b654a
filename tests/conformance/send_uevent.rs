//! `send_uevent()`.

use serde::Deserialize;
use serde_json::{Value, json};
use sim::errno::Rc as _;
use uevent::Core;
use uevent::kobject_uevent::{BUFFER_SIZE, send_uevent};

use crate::harness::bench::{gfp, messages, rc_json};
use crate::harness::listeners::{self, Listener};
use crate::harness::record::{self, alloc_skb_size_arg, panic_json, skb_data_kmalloc_size};
use crate::harness::{self, Bench, Bytes, extend};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    signal: Bytes,
    obj: Bytes,
    envp: Option<Vec<Bytes>>,
    gfp: u32,
    gfp_name: Option<String>,
    uevent_sock: bool,
    listeners: Vec<Listener>,
    fail: Vec<String>,
}

#[test]
fn every_recorded_event_is_sent() {
    harness::check("send_uevent", run);
}

fn run(input: Input) -> Value {
    let bench = Bench::new();
    bench.uevent_init(input.uevent_sock);
    let listeners = listeners::open(&bench, &input.listeners);
    let header = input.signal.0.len() + input.obj.0.len() + 2;
    let header = u32::try_from(header).expect("small");
    bench.measure();
    bench.fail(&input.fail);
    let gfp = gfp(input.gfp, input.gfp_name.as_deref());
    let result = bench.run(async move |core: &Core| {
        let envp: Option<Vec<_>> =
            input.envp.as_ref().map(|envp| envp.iter().map(|string| Some(&string.0[..])).chain([None]).collect());
        send_uevent(core, &input.signal.0, &input.obj.0, envp.as_deref(), gfp).await
    });
    let events = bench.events();
    let mut json = json!({
        "message": messages(&events).pop(),
        "header_len": header,
        "alloc_skb_size_arg": alloc_skb_size_arg(&events),
        "skb_data_kmalloc_size": skb_data_kmalloc_size(&events),
        "env_capacity": bench.core.skb_data_align(header + BUFFER_SIZE) - header,
        "panic": panic_json(&events),
        "trace": record::entries(&bench, &events),
        "?crash": bench.crash(),
    });
    let received = result.map_or_else(Vec::new, |result| {
        extend(&mut json, rc_json(result.rc()));
        listeners::received(&bench, &listeners)
    });
    extend(&mut json, json!({"received": received, "leaked": bench.live()}));
    json
}
