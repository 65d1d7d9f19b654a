//! Processes of Linux 2.6.11, and the hook that tells user space of a fork.
//!
//! | C file | here |
//! |---|---|
//! | `include/linux/sched.h` | [`sched`] |
//! | `kernel/pid.c` | [`pid`] |
//! | `kernel/fork.c`, with the patch of 11 February 2005 | [`fork`] |
//! | `kernel/exit.c` | [`exit`] |
//! | `kernel/ptrace.c`, what a fork and an exit need of it | [`ptrace`] |
//! | `kernel/signal.c`, what a fork and an exit need of it | [`signal`] |
//! | `fs/exec.c`, what a fork needs of it | [`exec`] |
//! | `init/main.c` | [`init`]: `main.rs` would be a program |
//!
//! [`design`] is the notification as a value, and [`hook`] its line in `do_fork()`; [`notify`] is what follows there; [`tree`] is the listener: it rebuilds the process tree from the
//! messages, as ELSA would, and is compared with the true one, and [`numbers`] is what
//! it learns of losses; [`facts`] is what really happened. Nothing here knows of properties or commands.
//!
//! Small functions of the fork's path are `#[inline(always)]`: measured in `benches/fork.rs`, a simulated fork takes 9 % less.
//!
//! A parent forks, the child exits, and a listener hears of it:
//!
//! ```
//! use std::rc::Rc;
//! use forklab_fork_model::{System, SystemConfig, exit::do_exit, fork::{do_fork, flags::SIGCHLD}, init::boot, sched::Work};
//! use forklab_fork_model::sim::{Calm, Config, Machine};
//!
//! let sys = System::new(Machine::new(Config::default(), Calm), SystemConfig::default()).unwrap();
//! let s = sys.clone();
//! sys.m.spawn("init", async move {
//!     let init = boot(&s).await.expect("no fault was asked for");
//!     let child = Work::new("c", |sys, me| async move { do_exit(&sys, me, 0).await });
//!     let pid = do_fork(&s, init, SIGCHLD, Some(child)).await.expect("no fault was asked for");
//!     assert_eq!(pid, 6); // 1 to 5 are init and the first kernel threads.
//! });
//! sys.m.run();
//! assert_eq!(sys.core.fork_outcomes.borrow().no_socket, 5); // Forks before the netlink socket exists.
//! assert_eq!(sys.core.fork_outcomes.borrow().nobody, 1);
//! ```

pub use {sim, uevent};

pub mod design;
pub mod exec;
pub mod exit;
pub mod facts;
pub mod fork;
mod ground;
pub mod hook;
pub mod init;
pub mod notify;
pub mod numbers;
pub mod pid;
pub mod ptrace;
pub mod sched;
pub mod signal;
mod system;
pub mod tree;

pub use design::Design;
pub use hook::Hook;
pub use sched::{Task, TaskRef};
pub use system::{System, SystemConfig};
