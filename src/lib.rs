//! A userspace test bed for one kernel path: *a process forks, and user space is told*.
//!
//! | module | holds |
//! |---|---|
//! | [`lab`] | runs scenarios and recorded workloads, and reports |
//! | [`learn`] | lessons: a fork step by step, with predictions |
//! | `live` | the real kernel, with the feature `netlink` |
//! | [`matrix`] | all designs against all properties, and the verdict |
//! | [`museum`] | what mails and readings found wrong, told again |
//! | [`property`] | what a design keeps or breaks |
//! | [`render`] | pictures of a run: lanes, ftrace text, capture files, layouts of memory |
//! | [`scenario_file`], [`workload`] | what the user writes or records |
//! | [`testkit`] | for consumers of these messages: hostile streams, laws, replay lines |
//! | [`input`] | what the user got wrong |
//! | `cli` | the command line, with the feature `cli` |
//!
//! Below stand the simulated kernel's layers, which are here, too, so that one dependency is enough: [`sim`] (the machine),
//! [`uevent`] (kobjects, netlink, the wire codec) and [`fork_model`] (tasks, the hook, the listener's tree).
//!
//! The patch as posted, a parent that ignores `SIGCHLD`, and one schedule:
//!
//! ```
//! use forklab::lab::{run::{Loaded, Watch, run}, spec::Spec};
//!
//! let spec: Spec = "v1 autoreap hook=end-saved-pid seed=7 fault=none".parse()?;
//! let report = run(&Loaded::new(spec, |_| ())?, Watch::default())?;
//! assert!(report.violations.is_empty());
//! assert_eq!(report.listeners[0].messages, [r"fork@/fork_kobj\0100\0101\0"]);
//! # Ok::<(), forklab::input::InputError>(())
//! ```

pub use {fork_model, sim, uevent};

#[cfg(feature = "cli")]
pub mod cli;
pub mod input;
pub mod lab;
pub mod learn;
#[cfg(all(feature = "netlink", target_os = "linux"))]
pub mod live;
pub mod matrix;
pub mod museum;
pub mod property;
pub mod render;
pub mod scenario_file;
pub mod testkit;
pub mod workload;
