//! forklab.
pub mod input;
pub mod scenario_file;
pub mod workload;
