//! Pictures of a run. Each reads the trace ([`sim::trace::Event`]), never the state; the same events give the same bytes.
//!
//! | module | picture |
//! |---|---|
//! | [`lanes`] | who did what, one column a lane: the default, in the notation of kernel commit messages |
//! | [`graph`] | the text of ftrace's `function_graph` |
//! | [`json`] | one event a line, as the trace hash sees them |
//! | [`pcap`] | a capture file of the messages, for tshark and Wireshark |
//! | [`layout`] | the memory of one message, byte by byte |
//!
//! [`layout`] alone runs something: a machine of its own, whose trace it then reads.

pub mod graph;
pub mod json;
pub mod lanes;
pub mod layout;
pub mod pcap;
mod words;
