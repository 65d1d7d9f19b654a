//! Uevents.
pub mod vsprintf;
pub mod wire;
