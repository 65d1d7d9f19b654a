//! A capture file of the messages, as if `nlmon` had listened: for tshark and Wireshark.
//!
//! Link type 253 (`LINKTYPE_NETLINK`), one packet for each [`netlink_broadcast`](uevent::af_netlink::netlink_broadcast),
//! stamped with its step in microseconds. A packet has the 16-byte "cooked" header that the kernel's `nlmon` writes, then
//! the bytes of the message. [`Capture`] writes the file; [`Pcap`] is the part that listens to a simulated run.
//!
//! A message of this protocol has no `nlmsghdr`, which Wireshark's dissector looks for next: by itself, tshark 4.0.17
//! names the protocol, the hardware type and the family, and then says "Malformed Packet". With
//! `wireshark/forklab.lua` it reads them all (`docs/wireshark.md`).
//!
//! DIFFERENCE: `nlmon` sees a copy for each listener, and nothing when there is none; here a packet is one broadcast, so
//! that the file shows what was said and not how many heard it.

mod capture;

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use sim::trace::{Event, Sink, What};

pub use capture::{Capture, Family};

use super::words;

/// The capture of a simulated run that is being written.
///
/// The run gets [`Pcap::sink`]; who made the capture keeps this, and asks for the outcome with [`Pcap::finish`].
pub struct Pcap<W: Write>(Rc<RefCell<State<W>>>);

/// The half of a [`Pcap`] that listens to a run.
pub struct PcapSink<W: Write>(Rc<RefCell<State<W>>>);

enum State<W: Write> {
    Open(Capture<W>),
    Failed(io::Error),
    Finished,
}

impl<W: Write> Pcap<W> {
    /// Begins a capture: writes the file's header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> io::Result<Pcap<W>> {
        Ok(Pcap(Rc::new(RefCell::new(State::Open(Capture::new(out)?)))))
    }

    /// What [`Trace::attach`](sim::trace::Trace::attach) takes.
    #[must_use]
    pub fn sink(&self) -> PcapSink<W> {
        PcapSink(self.0.clone())
    }

    /// Ends the capture: flushes, and gives back how many packets were written, and where. Later events are not written.
    ///
    /// # Errors
    /// The first one since [`Pcap::new`]; nothing was written after it.
    pub fn finish(self) -> io::Result<(u64, W)> {
        match self.0.replace(State::Finished) {
            State::Open(capture) => capture.finish(),
            State::Failed(error) => Err(error),
            State::Finished => unreachable!("finish() takes the only Pcap there is"),
        }
    }
}

impl<W: Write> Sink for PcapSink<W> {
    fn event(&mut self, event: &Event) {
        let What::Enter { func, args } = &event.what else { return };
        let Some(message) = words::message(func, args) else { return };
        let mut state = self.0.borrow_mut();
        let State::Open(capture) = &mut *state else { return };
        if let Err(error) = capture.write(Family::of(message), Duration::from_micros(event.step), message) {
            *state = State::Failed(error);
        }
    }
}

/// Writes a capture of events that were recorded before; see [`Pcap`].
///
/// # Errors
/// Those of `out`.
pub fn pcap<W: Write>(events: &[Event], out: W) -> io::Result<W> {
    let capture = Pcap::new(out)?;
    let mut sink = capture.sink();
    events.iter().for_each(|event| sink.event(event));
    Ok(capture.finish()?.1)
}
