//! The real kernel: feature `netlink`, Linux only.
//!
//! Everything here reads through [`UeventSource`](uevent::source::UeventSource), as consumers of the simulated kernel do.

pub mod clock;
pub mod decode;
pub mod feed;
pub mod follow;
pub mod gate;
pub mod hear;
pub mod kin;
pub mod namespace;
pub mod proc_fs;
pub mod program;
pub mod recorder;
pub mod relay;
pub mod send;
pub mod stop;
pub mod tree;
