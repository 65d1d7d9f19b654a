//! Bytes of memory for each of 4,194,304 live tasks: as many as there are pids.

#[allow(dead_code, reason = "the other bench lets tasks exit, this one only forks")]
mod common;

use common::{Kernel, Released};
use fork_model::pid::PID_MAX_LIMIT;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOC: PeakAlloc = PeakAlloc;

fn main() {
    // `cargo bench -- fork` and `cargo test --benches` name another bench, or none.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let live = usize::try_from(PID_MAX_LIMIT).expect("a positive number");
    let before = ALLOC.current_usage();
    let kernel = Kernel::with_tasks(live, Released::ByItself);
    let (now, peak) = (ALLOC.current_usage() - before, ALLOC.peak_usage() - before);
    assert_eq!(kernel.sys.live_tasks(), live);
    println!("memory: {live} live tasks, {} bytes a task ({} at the peak, while tables grow)", now / live, peak / live);
}
