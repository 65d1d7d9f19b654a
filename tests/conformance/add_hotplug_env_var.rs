//! `add_hotplug_env_var()`.

use serde::Deserialize;
use serde_json::{Value, json};
use sim::errno::Rc as _;
use sim::{Gfp, Site};
use uevent::Core;
use uevent::kobject_uevent::{HotplugEnv, Slot, add_hotplug_env_var};

use crate::harness::bench::rc_json;
use crate::harness::{self, Bench, bytes_json, extend};
use crate::set_name::Param;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    num_envp: i32,
    buffer_size: i32,
    cur_index: i32,
    cur_len: i32,
    adds: Vec<Add>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    format: String,
    args: Vec<Param>,
}

/// How the vectors show bytes that were never written.
const NEVER_WRITTEN: u8 = 0xee;

#[test]
fn every_recorded_variable_is_added() {
    harness::check("add_hotplug_env_var", run);
}

fn run(input: Input) -> Value {
    Bench::new().must(async move |core: &Core| {
        let size = input.buffer_size.try_into().unwrap_or(0);
        let buffer = core.m.kmalloc(Site("conformance.buffer"), size, Gfp::KERNEL).await.expect("no fault");
        let mut envp = vec![None; input.num_envp.try_into().unwrap_or(0)];
        let sizes = (input.num_envp, input.buffer_size);
        let mut env = HotplugEnv::new(core, buffer, 0, &mut envp, sizes);
        let (mut index, mut len) = (input.cur_index, input.cur_len);
        let steps = input.adds.iter().map(|add| {
            let args: Vec<_> = add.args.iter().map(Param::arg).collect();
            let result = add_hotplug_env_var(&mut env, &mut index, &mut len, add.format.as_bytes(), &args);
            let mut written = core.m.buf(buffer, "conformance", |buf| buf.bytes().to_vec()).expect("not freed");
            // Variables lie one behind the other: the only gap is the part that was taken at the start.
            let gap = written.len().min(input.cur_len.try_into().expect("a length"));
            written[..gap].fill(NEVER_WRITTEN);
            let mut step = json!({
                "cur_index": index,
                "cur_len": len,
                "buffer_written": bytes_json(&written[..]),
                "envp_offsets": env.envp.iter().map(offset).collect::<Vec<_>>(),
            });
            extend(&mut step, rc_json(result.rc()));
            step
        });
        json!({"steps": steps.collect::<Vec<_>>()})
    })
}

fn offset(slot: &Option<Slot>) -> i64 {
    match slot {
        Some(Slot::Buffer(at)) => i64::try_from(*at).expect("small"),
        Some(Slot::Text(_)) => panic!("a variable lies in the buffer"),
        None => -1,
    }
}
