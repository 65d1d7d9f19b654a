//! G40: a pid that is freed twice is counted twice.

use std::rc::Rc;

use fork_model::System;
use fork_model::pid::{BITS_PER_PAGE, alloc_pidmap, free_pidmap, pidmap_init};
use sim::{Law, Rule};
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{alone, kernel, pick};

const LAW: Law = Law { id: "G40", sentence: "the free counter of a page of pids equals its clear bits" };

/// `free_pidmap()` clears the bit and counts, and checks neither bit nor page.
///
/// A second free of the same pid inflates the page's counter for good: a full page then looks as if it had room, and is
/// searched in vain. A pid whose page was never allocated follows NULL.
///
/// Tried: all lists of three commands: nothing, take a pid, free pid 1, free pid 2, free pid 40,000.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a pid that is freed twice is counted twice",
    says: "free_pidmap() clears the pid's bit and raises the page's counter of free pids, whether the bit was set or not, and \
           without a look whether the page exists. The counter then promises pids that are not there.",
    source: "kernel/pid.c: free_pidmap()",
    mended_by: "here: the bit is tested, and a pid that is not in use is not freed",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::CheckedFree),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge,
};

#[derive(Clone, Copy)]
enum Does {
    Nothing,
    Take,
    Free(i32),
}

const COMMANDS: [Does; 5] =
    [Does::Nothing, Does::Take, Does::Free(1), Does::Free(2), Does::Free(BITS_PER_PAGE + 7_232)];

async fn story(sys: Rc<System>) {
    pidmap_init(&sys.m, &sys.pids).await;
    for _ in 0..3 {
        match pick(&sys.m, "nothing, take, free 1, free 2, free 40000", &COMMANDS) {
            Does::Nothing => {}
            Does::Take => drop(alloc_pidmap(&sys.m, &sys.pids).await),
            Does::Free(pid) => free_pidmap(&sys.m, &sys.pids, pid).await,
        }
    }
}

fn judge(sys: &Rc<System>) {
    for ((page, counted), (_, clear)) in sys.pids.nr_free().into_iter().zip(sys.pids.nr_clear(&sys.m)) {
        if counted != clear {
            let text = format!("page {page} of the bitmap counts {counted} free pids; {clear} bits are clear");
            sys.m.report(Rule::Law(LAW), text, None);
        }
    }
}
