//! The machine under forklab: one source of choice, lanes, memory, locks, faults, trace.
//!
//! A simulated kernel is ordinary `async` Rust that calls this crate. What this crate promises:
//!
//! - **Between two `.await`s a lane runs alone.** Who runs next is decided at a [`Machine::point`],
//!   by the [`Chooser`] and by nothing else: no wall clock, no thread, no address, no hash order.
//! - **The list of choices is the run.** Drawn from a seed ([`Seeded`]), replayed from a line of
//!   text ([`Replay`]) or always "go on as you are" ([`Calm`]).
//! - **Memory tells.** Every object is reached through a [`Handle`] with a generation; a stale one
//!   is a [`Violation`] that names who freed the object, and when.
//! - **Nobody looks, nothing is paid.** A trace that is off is one test of a flag.
//!
//! | module | holds |
//! |---|---|
//! | [`choice`] | the one question `choose(what, n)` and who may answer it |
//! | [`lane`] | lanes, CPUs, the executor, points, sleeping |
//! | [`lock`] | spinlocks, read/write locks, semaphores, completions, wait queues |
//! | [`mm`] | gfp flags, size classes, object caches with a ledger, injected faults |
//! | [`touch`] | what a step touches, and variables that lanes share |
//! | [`trace`] | typed events, their JSON, their hash |
//! | [`violation`] | what the lab found |
//! | [`errno`] | what a modelled function returns |
//!
//! What must stay absent: this crate knows no kobject and no task. It does no I/O.
//!
//! ```
//! use forklab_sim::{Calm, Config, Machine, mm::{Gfp, Site}};
//!
//! const NOTE: Site = Site("example.note");
//! let m = Machine::new(Config::default(), Calm);
//! m.spawn("a", {
//!     let m = m.clone();
//!     async move {
//!         let note = m.kmalloc(NOTE, 10, Gfp::KERNEL).await.expect("no fault was asked for");
//!         m.write(note, b"0123456789+", "strcpy"); // one byte too many
//!         m.kfree(note, "example");
//!     }
//! });
//! m.run();
//! assert_eq!(m.violations()[0].to_string().lines().next(), Some(
//!     "strcpy wrote 1 byte past the 10 bytes of example.note (its size class holds 32)"));
//! ```

pub mod choice;
pub mod errno;
pub mod explore;
pub mod lane;
pub mod lock;
mod lockdep;
mod machine;
pub mod mm;
pub mod touch;
pub mod trace;
pub mod violation;

pub use choice::{Calm, Chooser, Lent, Question, Replay, Schedule, Seeded};
pub use errno::Errno;
pub use lane::{Ended, Lane, LaneName};
pub use machine::{Config, Machine};
pub use mm::{Cache, Gfp, Handle, Site};
pub use trace::{Event, Value, What};
pub use violation::{Law, Rule, Violation};

/// A yes or no of which the compiler is told that it is nearly always no: what follows a yes then stands out of the way. A fork
/// is one long straight line of code, which has to fit into the first cache without what nobody asked for.
#[inline(always)]
#[must_use]
pub const fn rare(yes: bool) -> bool {
    if yes {
        std::hint::cold_path();
    }
    yes
}
