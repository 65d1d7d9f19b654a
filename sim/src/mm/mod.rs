//! Memory that tells: gfp flags, size classes, object caches with a ledger, injected faults.

mod fault;
mod gfp;
mod slab;

pub use fault::{Failed, Failslab, FaultRule, Faults, Times};
pub use gfp::Gfp;
pub use slab::{
    Buf, Cache, Counters, Handle, Kind, Ledger, LiveEntry, Memory, POISON, POISON_INUSE, Part, Site, Stale, c_str,
    size_class,
};
