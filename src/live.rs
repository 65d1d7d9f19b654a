//! The real kernel: feature `netlink`, Linux only.
//!
//! Everything here reads through [`UeventSource`](uevent::source::UeventSource), as consumers of the simulated kernel do.

pub mod decode;
pub mod hear;
pub mod proc_fs;
pub mod stop;
pub mod tree;
