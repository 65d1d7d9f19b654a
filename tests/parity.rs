//! One test body, two arms: the simulator with the accounting of Linux 6.18, and the kernel that this runs on.
//!
//! A body speaks to an [`arm::Arm`] and returns what it saw; a test runs it on both and compares. Without the feature
//! `netlink`, or where the live arm is not to be had, it runs on the simulator alone.

#![cfg_attr(
    not(all(feature = "netlink", target_os = "linux")),
    allow(dead_code, reason = "without a kernel there is less to compare")
)]

#[path = "parity/arm.rs"]
mod arm;
#[path = "parity/both.rs"]
mod both;
#[path = "parity/crowd.rs"]
mod crowd;
#[path = "parity/family.rs"]
mod family;
#[cfg(all(feature = "netlink", target_os = "linux"))]
#[path = "parity/forks.rs"]
mod forks;
#[cfg(all(feature = "netlink", target_os = "linux"))]
#[path = "parity/gone.rs"]
mod gone;
#[path = "parity/grid.rs"]
mod grid;
#[cfg(all(feature = "netlink", target_os = "linux"))]
#[path = "parity/kernel.rs"]
mod kernel;
#[path = "parity/kinds.rs"]
mod kinds;
#[path = "parity/latch.rs"]
mod latch;
#[cfg(all(feature = "netlink", target_os = "linux"))]
#[path = "parity/random.rs"]
mod random;
#[path = "parity/simulator.rs"]
mod simulator;
#[path = "parity/switch.rs"]
mod switch;
#[path = "parity/table.rs"]
mod table;
#[cfg(all(feature = "netlink", target_os = "linux"))]
#[path = "common/tools.rs"]
mod tools;
#[cfg(all(feature = "netlink", target_os = "linux"))]
#[path = "parity/uevents.rs"]
mod uevents;
