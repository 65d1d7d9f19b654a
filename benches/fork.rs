//! Forks a second, simulated and real, in one run; and what a fork costs when many tasks live.
//!
//! `simulated` forks, sends the event, receives it, and lets the child exit and release itself; `simulated_with_wait` leaves
//! the release to the parent's wait, as `real_vfork` does, which sends and receives nothing.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use common::{Kernel, Released, block_on};
use divan::Bencher;
use divan::counter::ItemsCount;
use fork_model::pid::PID_MAX_LIMIT;

fn main() {
    divan::main();
}

const BATCH: usize = 1000;

/// fork + notify + receive + exit, one listener.
#[divan::bench(sample_count = 50)]
fn simulated(bencher: Bencher) {
    lives(bencher, Released::ByItself);
}

/// fork + notify + receive + exit + wait, one listener.
#[divan::bench(sample_count = 50)]
fn simulated_with_wait(bencher: Bencher) {
    lives(bencher, Released::ByParent);
}

/// Each sample is one lane of the machine, as every run has them. The kernel moves into the lane, and back.
fn lives(bencher: Bencher, released: Released) {
    let kernel = Kernel::with_tasks(100, released);
    let m = kernel.sys.m.clone();
    let slot = Rc::new(Cell::new(Some(kernel)));
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let slot = slot.clone();
        m.spawn("p", async move {
            let mut kernel = slot.take().expect("put back by the sample before");
            for _ in 0..BATCH {
                let pid = kernel.fork().await;
                kernel.exit(pid).await;
            }
            slot.set(Some(kernel));
        });
        m.run();
    });
    let kernel = slot.take().expect("put back by the last sample");
    assert_eq!(kernel.sys.live_tasks(), 100, "every child is gone");
}

/// vfork + _exit + waitpid of the kernel that this runs on.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn real_vfork(bencher: Bencher) {
    let mut peer = Peer::new();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| peer.vfork(BATCH));
}

/// Forks alone, of a batch that ends with so many tasks alive. Their exits are not in the time.
#[divan::bench(args = [1_000, PID_MAX_LIMIT as usize], sample_count = 30, sample_size = 1)]
fn fork_at_live_tasks(bencher: Bencher, live: usize) {
    const FORKS: usize = 500;
    let kernel = RefCell::new(Kernel::with_tasks(live - FORKS, Released::ByItself));
    let born = RefCell::new(Vec::new());
    bencher
        .counter(ItemsCount::new(FORKS))
        .with_inputs(|| {
            let kernel = &mut *kernel.borrow_mut();
            born.borrow_mut().drain(..).for_each(|pid| block_on(kernel.exit(pid)));
        })
        .bench_local_values(|()| {
            let (kernel, born) = (&mut *kernel.borrow_mut(), &mut *born.borrow_mut());
            block_on(async {
                for _ in 0..FORKS {
                    born.push(kernel.fork().await);
                }
            });
        });
    let alive = kernel.borrow().sys.live_tasks();
    assert_eq!(alive, live, "as many tasks as the name of the bench says");
}

/// A C program, since no safe Rust function calls vfork(). The compiler is the one that Rust links with.
struct Peer {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Peer {
    fn new() -> Peer {
        let program = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("vfork");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/vfork.c");
        let built = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).status();
        assert!(built.expect("cc, with which Rust links, can be run").success(), "cc compiles {source}");
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was just built");
        let (ask, answer) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Peer { child, ask, answer: BufReader::new(answer) }
    }

    fn vfork(&mut self, times: usize) {
        writeln!(self.ask, "{times}").expect("the peer reads");
        let mut line = String::new();
        let read = self.answer.read_line(&mut line).expect("the peer answers");
        assert!(read > 0, "the peer could not vfork");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends by itself at the end of its input; a peer that is gone already is no error of the bench.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
