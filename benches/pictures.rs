//! 100,000 events of the recorded kernel build, as what people look at.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use forklab::lab::run::{Loaded, Watch, run};
use forklab::lab::spec::{Source, Spec};
use forklab::render::perfetto::perfetto;
use sim::Event;
use sim::trace::Recording;

const EVENTS: usize = 100_000;

fn main() {
    divan::main();
}

/// With three listeners, so that queues fill and empty.
fn events() -> Vec<Event> {
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kernel-build.csv.gz");
    let mut spec = Spec::new(Source::Workload(build.into()));
    spec.bench.listeners = 3;
    let recording = Recording::default();
    let watch = Watch { sinks: vec![Box::new(recording.clone())], ..Watch::default() };
    run(&Loaded::new(spec, |_| ()).expect("it is there"), watch).expect("it runs");
    let mut events = recording.take();
    events.truncate(EVENTS);
    assert_eq!(events.len(), EVENTS);
    events
}

/// `--perfetto FILE`, without the disk.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn perfetto_of_a_kernel_build(bencher: Bencher) {
    let events = events();
    let write = || perfetto(&events, Vec::new()).expect("memory takes everything");
    let bytes = write().len();
    bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::new(bytes)).bench_local(write);
}
