//! A body on both arms.

use std::fmt::Debug;

use uevent::{Config, Era};

use super::arm::Arm;
use super::simulator::Simulator;

/// What the body sees on the kernel and on a simulator that is configured like it; they must agree. Where there is no
/// kernel to ask, what it sees on a simulator of 6.18.
pub fn on_both<T: Debug + PartialEq + Send>(body: impl Fn(&mut dyn Arm) -> T + Send + Sync) -> T {
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    if let Some((config, seen)) = super::kernel::apart(|| {
        let (mut kernel, config) = super::kernel::Kernel::new()?;
        Some((config, body(&mut kernel)))
    }) {
        assert_eq!(body(&mut Simulator::new(config)), seen, "left: the simulator, right: the kernel");
        return seen;
    }
    body(&mut Simulator::new(Config::of(Era::Linux6_18)))
}

/// Whether the kernel that is asked, if one is, lets a body force receive buffers.
pub fn may_force() -> bool {
    #[cfg(all(feature = "netlink", target_os = "linux"))]
    return super::kernel::may_force();
    #[cfg(not(all(feature = "netlink", target_os = "linux")))]
    true
}

/// What it sees on a simulator of 2.6.11.
pub fn in_2005<T>(body: impl Fn(&mut dyn Arm) -> T) -> T {
    body(&mut Simulator::new(Config::of(Era::Linux2_6_11)))
}
