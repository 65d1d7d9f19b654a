//! The lab: runs a scenario or a recorded workload on a simulated kernel, and says what came of it.
//!
//! | module | holds |
//! |---|---|
//! | [`spec`] | what is to be run, and its replay line |
//! | [`world`] | a booted kernel with its listeners |
//! | [`listen`] | who listens, what it says of itself, and what it heard |
//! | [`life`] | what a listener wants, step by step |
//! | [`program`] | what the tasks of a scenario do |
//! | [`turns`] | what the tasks of a recorded workload do, in the order of the recording |
//! | [`run`](mod@run) | one run and its report |
//! | [`observe`] | one run with its facts, for properties |
//! | [`nearest`](mod@nearest) | of a run that fails, the nearest one that passes |
//! | [`cost`] | what one event costs with so many listeners |
//! | [`faults`] | every allocation that fails, and what follows |
//! | [`tour`] | the one-screen tour |

mod asked;
pub mod cost;
pub mod faults;
pub mod forge;
pub mod life;
pub mod listen;
pub mod nearest;
pub mod observe;
pub mod program;
pub(crate) mod report;
pub mod run;
pub mod source;
pub mod spec;
pub mod tour;
pub mod turns;
pub mod world;
