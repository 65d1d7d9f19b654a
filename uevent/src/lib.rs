//! Kobjects, uevent buffers, socket buffers and AF_NETLINK of Linux 2.6.11, and a codec for uevent messages.
//!
//! | C file | here |
//! |---|---|
//! | `lib/kobject.c` | [`kobject`] |
//! | `lib/kobject_uevent.c`, with the patch of 11 February 2005 | [`kobject_uevent`] |
//! | `lib/vsprintf.c` | [`vsprintf`] |
//! | `fs/sysfs/dir.c` | [`sysfs`], directories as names |
//! | `net/core/skbuff.c` | [`skbuff`] |
//! | `net/netlink/af_netlink.c` | [`af_netlink`] |
//! | `drivers/connector/connector.c`, of 2005 | [`connector`] |
//! | `drivers/connector/cn_proc.c`, of 2005 | [`cn_proc`] |
//!
//! [`wire`] stands apart: it parses and emits messages, does no I/O and knows no simulator. A program that only parses
//! takes this crate with `default-features = false` and gets that and [`source`], the trait of whoever reads messages.
//! With the feature `netlink`, `netlink` has the sockets of the kernel this runs on. Nothing here knows what a task is.
//!
//! A message of today, taken apart and put together again:
//!
//! ```
//! use forklab_uevent::wire::{Message, emit_keyed};
//!
//! let bytes = b"change@/devices/virtual/mem/null\0ACTION=change\0DEVPATH=/devices/virtual/mem/null\0SUBSYSTEM=mem\0SEQNUM=7\0";
//! let message = Message::parse(bytes)?;
//! assert_eq!((message.action(), message.devpath()), (&b"change"[..], &b"/devices/virtual/mem/null"[..]));
//! let keys: Vec<_> = message.keys().collect();
//! assert_eq!(keys[3], (&b"SEQNUM"[..], &b"7"[..]));
//!
//! let mut again = Vec::new();
//! emit_keyed(&mut again, message.action(), message.devpath(), keys).expect("no NUL");
//! assert_eq!(again, bytes);
//! # Ok::<(), forklab_uevent::wire::WireError>(())
//! ```

#[cfg(feature = "model")]
pub use sim;

pub mod wire;

mod meminfo;
pub mod source;

#[cfg(all(feature = "netlink", target_os = "linux"))]
pub mod netlink;

pub mod vsprintf;

#[cfg(feature = "model")]
pub mod af_netlink;
#[cfg(feature = "model")]
pub mod cn_proc;
#[cfg(feature = "model")]
pub mod connector;
#[cfg(feature = "model")]
mod core;
#[cfg(feature = "model")]
pub mod era;
#[cfg(feature = "model")]
mod fix;
#[cfg(feature = "model")]
pub mod kobject;
#[cfg(feature = "model")]
pub mod kobject_uevent;
#[cfg(feature = "model")]
pub mod site;
#[cfg(feature = "model")]
pub mod skbuff;
#[cfg(feature = "model")]
pub mod sysfs;

#[cfg(feature = "model")]
pub use self::core::{Config, ConfigError, Core};
#[cfg(feature = "model")]
pub use self::era::Era;
#[cfg(feature = "model")]
pub use self::fix::{Fix, Fixes};
pub use self::meminfo::MemInfo;

// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
