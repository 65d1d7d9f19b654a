//! G39: a page that cannot be had ends the search for a pid.

use std::rc::Rc;

use fork_model::System;
use fork_model::pid::{BITS_PER_PAGE, alloc_pidmap, pidmap_init};
use sim::Law;
use uevent::Fix;

use super::super::experiment::Experiment;
use super::stage::{alone, granted, judged_on_the_way, kernel, obey, pick};

const LAW: Law = Law { id: "G39", sentence: "a fork fails for want of a pid only if none is free" };

/// Without memory for one page of the bitmap, those that are there are not looked at.
///
/// The search reaches a page that was never used, cannot allocate it, and fails, though the first page has thousands of
/// free pids. `do_fork()` says -EAGAIN, as for want of pids. So it was until the bitmap went, in 4.15.
///
/// Tried: `pid_max` and `last_pid` on both sides of the page's end; one allocation fails.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "without memory for a page of the bitmap no free pid is found",
    says: "alloc_pidmap() gives up when it cannot allocate the page it has come to, though the pages that it has are nearly \
           empty.",
    source: "kernel/pid.c: alloc_pidmap()",
    mended_by: "here: the search goes on in the next page",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::NextPage),
    faults: 1,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

async fn story(sys: Rc<System>) {
    granted(&sys.m, pidmap_init(&sys.m, &sys.pids)).await;
    let (below, end, above) = (BITS_PER_PAGE - 1, BITS_PER_PAGE, BITS_PER_PAGE + 1);
    sys.pids.pid_max.set(pick(&sys.m, "pid_max: 32768, 32769, 65536", &[end, above, 2 * BITS_PER_PAGE]));
    sys.pids.last_pid.set(pick(&sys.m, "last_pid: 32766, 32767, 32768", &[below - 1, below, end]));
    let given = alloc_pidmap(&sys.m, &sys.pids).await;
    obey(&sys.m, LAW, given.is_some(), || {
        let free: Vec<_> =
            sys.pids.nr_clear(&sys.m).into_iter().map(|(page, n)| format!("{n} in page {page}")).collect();
        format!("alloc_pidmap() fails after pid {}; free: {}", sys.pids.last_pid.get(), free.join(", "))
    });
}
