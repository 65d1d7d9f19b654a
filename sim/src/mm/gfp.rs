//! How an allocation may behave.

use std::fmt;

use serde::{Serialize, Serializer};

/// Allocation flags. Models `include/linux/gfp.h` (Linux 2.6.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gfp(pub u32);

impl Gfp {
    /// `__GFP_DMA`: memory that old devices reach.
    pub const DMA: Gfp = Gfp(0x01);
    /// `__GFP_WAIT`: the allocator may sleep.
    pub const WAIT: Gfp = Gfp(0x10);
    /// `GFP_ATOMIC`: does not sleep, may use the emergency pools.
    pub const ATOMIC: Gfp = Gfp(0x20);
    /// `GFP_KERNEL`: may sleep, do I/O and call into file systems.
    pub const KERNEL: Gfp = Gfp(0xd0);

    /// Whether the allocator may sleep.
    #[must_use]
    pub const fn may_wait(self) -> bool {
        self.0 & Gfp::WAIT.0 != 0
    }

    /// Without these bits.
    #[must_use]
    pub const fn without(self, bits: Gfp) -> Gfp {
        Gfp(self.0 & !bits.0)
    }
}

impl fmt::Display for Gfp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Gfp::KERNEL => f.pad("GFP_KERNEL"),
            Gfp::ATOMIC => f.pad("GFP_ATOMIC"),
            Gfp(bits) => write!(f, "{bits:#x}"),
        }
    }
}

impl Serialize for Gfp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
