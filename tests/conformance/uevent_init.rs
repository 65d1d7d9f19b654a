//! `kobject_uevent_init()`, and what becomes of an event after it.

use serde::Deserialize;
use serde_json::{Value, json};
use sim::errno::Rc as _;
use uevent::Core;
use uevent::kobject_uevent::{KobjectAction, kobject_uevent, kobject_uevent_init};

use crate::harness::bench::rc_json;
use crate::harness::{self, Bench, extend};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Which step of creating the kernel socket fails, in words: an allocation site, or `sock_create_lite`.
    failure: Option<String>,
}

#[test]
fn every_recorded_start_of_the_event_layer_is_reproduced() {
    harness::check("uevent_init", run);
}

fn run(input: Input) -> Value {
    let bench = Bench::new();
    let kobj = bench.kobject(Some(b"kernel".to_vec()), None);
    bench.measure();
    if let Some(failure) = input.failure {
        let site = uevent::site::ALL.iter().find(|site| failure.contains(site.0));
        match site {
            Some(site) => bench.fail(&[site.0.to_string()]),
            None if failure.contains("sock_create_lite") => bench.core.fail_sock_create_lite(true),
            None => panic!("no step of creating the socket is called {failure:?}"),
        }
    }
    let result = bench.run(async |core: &Core| kobject_uevent_init(core).await);
    let mut json = json!({
        "uevent_sock_set": bench.core.uevent_sock().is_some(),
        "trace": bench.trace(),
        "leaked_or_live": bench.live(),
        "?crash": bench.crash(),
    });
    let Some(result) = result else {
        // netlink_remove() follows a pointer that was never there: the initcall does not return.
        extend(&mut json, json!({"?rc": null, "?errno": null, "?later_kobject_uevent": null}));
        return json;
    };
    extend(&mut json, rc_json(result.rc()));
    let add = KobjectAction::Add.number();
    let later = bench.run(async move |core: &Core| kobject_uevent(core, kobj, add, None).await);
    extend(&mut json, json!({"later_kobject_uevent": rc_json(later.expect("it returns").rc())}));
    json
}
