//! `alloc_pidmap()` and `free_pidmap()`.

use std::rc::Rc;

use fork_model::pid::{Pids, alloc_pidmap, free_pidmap, mark_used, pidmap_init};
use serde::Deserialize;
use serde_json::{Value, json};
use uevent::Core;

use crate::harness::{self, Bench, extend};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    initial: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    SetPidMax { value: i32 },
    SetLastPid { value: i32 },
    Alloc { count: u32, fail: Vec<String> },
    Free { pids: Vec<i32> },
    MarkUsed { from: i32, to_exclusive: i32 },
    State { pids: Vec<i32> },
}

#[test]
fn every_recorded_search_for_a_pid_ends_with_the_same_number() {
    harness::check("pidmap", |input: Input| {
        assert_eq!(input.initial, "pid 0 used, page 0 present, last_pid 0, pid_max 32768", "another start");
        let mut case = Case::new();
        let mut steps = Vec::new();
        for step in &input.steps {
            steps.push(case.step(step));
            if !case.bench.crash().is_null() {
                return json!({"steps": steps});
            }
        }
        let pids = &case.pids;
        let last = json!({"last_pid": pids.last_pid.get(), "pid_max": pids.pid_max.get(), "pages": pages(pids)});
        json!({"steps": steps, "final": last})
    });
}

struct Case {
    bench: Bench,
    pids: Rc<Pids>,
    /// Allocations of the searches so far.
    allocs: u64,
}

impl Case {
    fn new() -> Case {
        let case = Case { bench: Bench::new(), pids: Rc::default(), allocs: 0 };
        case.run(async |core, pids| pidmap_init(&core.m, pids).await).expect("nothing kills it");
        case
    }

    /// Runs kernel code in a lane; `None` if it died.
    fn run<R: 'static>(&self, work: impl AsyncFnOnce(&Core, &Pids) -> R + 'static) -> Option<R> {
        let pids = self.pids.clone();
        self.bench.run(async move |core: &Core| work(core, &pids).await)
    }

    fn step(&mut self, step: &Step) -> Value {
        match step {
            Step::SetPidMax { value } => {
                self.pids.pid_max.set(*value);
                json!({"op": "set_pid_max"})
            }
            Step::SetLastPid { value } => {
                self.pids.last_pid.set(*value);
                json!({"op": "set_last_pid"})
            }
            Step::Alloc { count, fail } => self.alloc(*count, fail),
            Step::Free { pids } => self.free(pids),
            Step::MarkUsed { from, to_exclusive } => {
                let pids = *from..*to_exclusive;
                self.run(async move |core, map| {
                    for pid in pids {
                        mark_used(&core.m, map, pid).await;
                    }
                });
                json!({"op": "mark_used"})
            }
            Step::State { pids } => {
                let bits: Vec<_> = pids.iter().map(|pid| u8::from(self.pids.is_used(&self.bench.m, *pid))).collect();
                let last_pid = self.pids.last_pid.get();
                json!({"op": "state", "last_pid": last_pid, "pages": pages(&self.pids), "bits": bits})
            }
        }
    }

    fn alloc(&mut self, count: u32, fail: &[String]) -> Value {
        drop(self.bench.events()); // Those of pages that mark_used() made.
        self.bench.fail(fail);
        let returned = self.run(async move |core, pids| {
            let mut returned = Vec::new();
            for _ in 0..count {
                returned.push(alloc_pidmap(&core.m, pids).await.unwrap_or(-1));
            }
            returned
        });
        self.bench.fail(&[]);
        let mut trace = self.bench.trace();
        for entry in &mut trace {
            self.allocs += 1;
            entry["seq"] = self.allocs.into();
        }
        let returns = runs(&returned.expect("a search does not die"));
        let mut json = json!({"op": "alloc", "returns": returns, "last_pid": self.pids.last_pid.get()});
        if !trace.is_empty() {
            extend(&mut json, json!({"trace": trace}));
        }
        json
    }

    fn free(&self, pids: &[i32]) -> Value {
        let pids = pids.to_vec();
        let freed = self.run(async move |core, map| {
            for pid in pids {
                free_pidmap(&core.m, map, pid).await;
            }
        });
        match freed {
            Some(()) => json!({"op": "free", "last_pid": self.pids.last_pid.get()}),
            None => json!({"op": "free", "crash": self.bench.crash()}),
        }
    }
}

/// Pids in a row, or failures in a row.
fn runs(pids: &[i32]) -> Vec<Value> {
    let runs = pids.chunk_by(|a, b| if *a < 0 { a == b } else { a + 1 == *b });
    runs.map(|run| json!({"start": run[0], "count": run.len()})).collect()
}

fn pages(pids: &Pids) -> Vec<Value> {
    pids.nr_free().into_iter().map(|(page, nr_free)| json!({"page": page, "nr_free": nr_free})).collect()
}
