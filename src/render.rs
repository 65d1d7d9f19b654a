//! Pictures of a run. Each but the matrix reads the trace (`sim::trace::Event`), never the state; the same events give the same bytes.
//!
//! | module | picture |
//! |---|---|
//! | [`lanes`] | who did what, one column a lane: the default, in the notation of kernel commit messages |
//! | [`graph`] | the text of ftrace's `function_graph` |
//! | [`heat`] | a matrix of designs and properties, as SVG |
//! | [`json`] | one event a line, as the trace hash sees them |
//! | [`html`] | one page for a browser: the run step by step, its buffers, messages and listeners |
//! | [`perfetto`] | the trace for ui.perfetto.dev |
//! | [`pcap`] | a capture file of the messages, for tshark and Wireshark |
//! | [`layout`] | the memory of one message, byte by byte |
//!
//! [`layout`] alone runs something: a machine of its own, whose trace it then reads.

pub mod graph;
pub mod heat;
pub mod html;
pub mod json;
pub mod lanes;
pub mod layout;
pub mod pcap;
pub mod perfetto;
mod queues;
pub(crate) mod words;

use sim::trace::{Event, What};

/// The events, each broken rule in the step in which it broke.
///
/// The trace has it where it was told: what is judged when a run is over stands at its end.
#[must_use]
pub fn where_it_broke(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    for event in &mut events {
        if let What::Violation(violation) = &event.what {
            event.step = violation.step;
        }
    }
    // Stable: within a step it is behind what led to it.
    events.sort_by_key(|event| event.step);
    events
}
