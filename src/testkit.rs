//! A test kit for consumers of uevents and process events: hostile streams on demand, laws, one line to see it again.
//!
//! | module | holds |
//! |---|---|
//! | [`Script`], [`Step`] | what happens, as a line of text: forks, exits, devices, losses, lies |
//! | [`Kernel`] | follows a script: a [`UeventSource`] for the consumer, the truth for whoever resynchronises |
//! | [`Truth`], [`View`] | what `/proc` and `/sys` would show; what a consumer believes |
//! | [`laws`] | rules for consumers, each held against every short script |
//! | [`Stream`] | the picture of a script, one line a step |
//! | [`fd`] | the same behind a real file descriptor |
//! | `strategy` | scripts for proptest, with the feature `proptest` |
//! | [`garbage`] | malformed messages of each format |
//!
//! A guide from nothing to the first caught bug is in `docs/testkit.md`; two whole consumers are in `examples/`.
//!
//! A consumer that hears of forks and ignores that it did not hear of some:
//!
//! ```
//! use forklab::testkit::{Arrival, Consumer, Format, Truth, View, What, laws, parse_event};
//!
//! #[derive(Default)]
//! struct Deaf(std::collections::BTreeMap<i32, i32>);
//! impl Consumer for Deaf {
//!     fn handle(&mut self, arrival: Arrival<'_>) {
//!         let Arrival::Message(datagram) = arrival else { return };
//!         match parse_event(datagram.bytes).map(|event| event.what) {
//!             Some(What::Fork(ids)) => drop(self.0.insert(ids.child_pid, ids.parent_pid)),
//!             Some(What::Exit { ids, .. }) => drop(self.0.remove(&ids.pid)),
//!             _ => {}
//!         }
//!     }
//!     fn needs_resync(&self) -> bool { false }
//!     fn resync(&mut self, truth: &Truth) { self.0 = truth.parents() }
//!     fn view(&self) -> View { View::of_processes(self.0.clone()) }
//! }
//! let broken = laws::overrun(Format::Process).check(Deaf::default).unwrap_err();
//! assert!(broken.to_string().ends_with("Script::from_line(\"v1 process overrun fork:1>10\")"));
//! ```

mod bytes;
mod fact;
pub mod fd;
mod kernel;
pub mod laws;
mod script;
mod step;
#[cfg(feature = "proptest")]
pub mod strategy;
mod stream;
mod truth;

pub use bytes::garbage;
pub use kernel::Kernel;
pub use laws::{Broken, Consumer};
pub use script::{Format, LineError, RCVBUF, ROOM, Script};
pub use step::{Birth, Device, Step, Task};
pub use stream::{Stream, show};
pub use truth::{Process, Truth, View};

// What a consumer's author needs of the layers below, so that one dependency does.
pub use uevent::source::{Arrival, Datagram, Loss, Numbers, Order, Refusal, Sender, Trust, UeventSource, Wait};
pub use uevent::source::{Stream as NumberStream, per_cpu, seqnum};
pub use uevent::wire::proc_event::{Ids, ProcEvent, What};
pub use uevent::wire::{Message, connector::ConnectorMessage};

/// The process event in a message, if it is one.
#[must_use]
pub fn parse_event(bytes: &[u8]) -> Option<ProcEvent> {
    ProcEvent::parse(&ConnectorMessage::parse(bytes).ok()?).ok()
}
