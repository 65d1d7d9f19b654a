//! `kobject_uevent()` and `kobject_uevent_atomic()`.

use serde::Deserialize;
use serde_json::{Value, json};
use sim::errno::Rc as _;
use uevent::Core;
use uevent::kobject_uevent::{kobject_uevent, kobject_uevent_atomic};

use crate::harness::bench::{messages, rc_json};
use crate::harness::listeners::{self, Listener};
use crate::harness::record::{self, alloc_skb_size_arg, skb_data_kmalloc_size};
use crate::harness::{self, Bench, Bytes, extend};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    function: Function,
    path_names: Vec<Option<Bytes>>,
    action: i32,
    attr: Option<Bytes>,
    uevent_sock: bool,
    listeners: Vec<Listener>,
    fail: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Function {
    KobjectUevent,
    KobjectUeventAtomic,
}

#[test]
fn every_recorded_notification_is_reproduced() {
    harness::check("kobject_uevent", run);
}

fn run(input: Input) -> Value {
    let bench = Bench::new();
    bench.uevent_init(input.uevent_sock);
    let listeners = listeners::open(&bench, &input.listeners);
    let leaf =
        input.path_names.iter().fold(None, |parent, name| Some(bench.kobject(name.clone().map(|name| name.0), parent)));
    let leaf = leaf.expect("a path has an object");
    bench.measure();
    bench.fail(&input.fail);
    let result = bench.run(async move |core: &Core| {
        let attr = input.attr.as_ref().map(|attr| &attr.0[..]);
        match input.function {
            Function::KobjectUevent => kobject_uevent(core, leaf, input.action, attr).await,
            Function::KobjectUeventAtomic => kobject_uevent_atomic(core, leaf, input.action, attr).await,
        }
    });
    let events = bench.events();
    let mut json = json!({
        "message": messages(&events).pop(),
        "alloc_skb_size_arg": alloc_skb_size_arg(&events),
        "?skb_data_kmalloc_size": skb_data_kmalloc_size(&events),
        "trace": record::entries(&bench, &events),
        "crash": bench.crash(),
    });
    let received = match result {
        Some(result) => {
            extend(&mut json, rc_json(result.rc()));
            listeners::received(&bench, &listeners)
        }
        None => {
            extend(&mut json, json!({"?rc": null, "?errno": null}));
            Vec::new()
        }
    };
    extend(&mut json, json!({"received": received, "leaked": bench.live()}));
    json
}
