//! forklab.
pub mod input;
pub mod workload;
