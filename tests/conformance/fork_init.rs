//! `fork_init()`: the limits of tasks, and the patch's object.

use fork_model::init::init_task;
use fork_model::{System, SystemConfig, fork};
use serde::Deserialize;
use serde_json::{Value, json};
use sim::{Calm, Machine};
use uevent::kobject::KName;

use crate::harness::{self, Bench, bytes_json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    mempages: u64,
    page_size: u32,
    thread_size: u32,
}

#[test]
fn every_recorded_size_of_memory_gives_the_recorded_limits_and_a_named_object() {
    harness::check("fork_init", run);
}

fn run(input: Input) -> Value {
    assert_eq!((input.page_size, input.thread_size), (4096, fork::THREAD_SIZE), "another architecture");
    let machine = Machine::new(sim::Config::default(), Calm);
    let sys = System::new(machine, SystemConfig::default()).expect("it links");
    let bench = Bench::around(sys.core.clone());
    let init = init_task(&sys);
    bench.must({
        let sys = sys.clone();
        async move |_: &uevent::Core| fork::fork_init(&sys, init, input.mempages).await
    });
    let limit = sys.signal(sys.task(init, |t| t.signal), |s| s.rlimit_nproc);
    let kobj = sys.fork_kobj.get().expect("it was made");
    let mut outcome = sys.core.kobj(kobj, |k| {
        json!({
            "k_name_is_array": matches!(k.k_name, KName::Array),
            "refcount": k.refcount,
            "parent_null": k.parent.is_none(),
            "kset_null": k.kset.is_none(),
        })
    });
    harness::extend(
        &mut outcome,
        json!({
            "max_threads": sys.max_threads.get(),
            "rlim_nproc_cur": limit.cur,
            "rlim_nproc_max": limit.max,
            "k_name": bytes_json(sys.core.name(kobj).as_deref()),
        }),
    );
    outcome
}
