//! A capture file of the messages, as if `nlmon` had listened: for tshark and Wireshark.
//!
//! Link type 253 (`LINKTYPE_NETLINK`), one packet for each [`netlink_broadcast`](uevent::af_netlink::netlink_broadcast),
//! stamped with its step in microseconds. A packet has the 16-byte "cooked" header that the kernel's `nlmon` writes, then
//! the bytes of the message.
//!
//! A message of this protocol has no `nlmsghdr`, which Wireshark's dissector looks for next: tshark 4.0.17 names the
//! protocol, the hardware type and the family, and then says "Malformed Packet". The bytes are all there (`tshark -x`).
//!
//! [`Packets`] is the same for messages of any origin, with nanoseconds: what `forklab record` writes.
//!
//! DIFFERENCE: `nlmon` sees a copy for each listener, and nothing when there is none; here a packet is one broadcast, so
//! that the file shows what was said and not how many heard it.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};
use sim::trace::{Event, Sink, What};
use uevent::af_netlink::NETLINK_KOBJECT_UEVENT;
use uevent::connector::NETLINK_CONNECTOR;
use uevent::wire::connector::ConnectorMessage;

use super::words;

/// `PACKET_USER` of `include/uapi/linux/if_packet.h`: on its way to user space.
const PACKET_USER: u16 = 6;
/// `ARPHRD_NETLINK` of `include/uapi/linux/if_arp.h`.
const ARPHRD_NETLINK: u16 = 824;
/// The longest message of this path has 1,087 bytes behind its header; this is tcpdump's own limit.
const SNAPLEN: u32 = 262_144;

/// The header in front of each message: packet type, hardware type, ten bytes that netlink does not use, protocol.
///
/// The protocol is told by the message: no uevent begins like a connector message.
fn cooked(message: &[u8]) -> [u8; 16] {
    let mut header = [0; 16];
    let connector = ConnectorMessage::parse(message).is_ok();
    let family = if connector { NETLINK_CONNECTOR } else { NETLINK_KOBJECT_UEVENT };
    let family = u16::try_from(family).expect("11 or 15");
    header[0..2].copy_from_slice(&PACKET_USER.to_be_bytes());
    header[2..4].copy_from_slice(&ARPHRD_NETLINK.to_be_bytes());
    header[14..16].copy_from_slice(&family.to_be_bytes());
    header
}

/// A capture of messages, written one by one.
pub struct Packets<W: Write>(PcapWriter<W>);

impl<W: Write> Packets<W> {
    /// Begins a capture with stamps of this resolution: writes the file's header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, resolution: TsResolution) -> Result<Packets<W>, PcapError> {
        // One endianness everywhere: the same run gives the same bytes.
        let header = PcapHeader {
            datalink: DataLink::NETLINK,
            endianness: Endianness::Little,
            snaplen: SNAPLEN,
            ts_resolution: resolution,
            ..PcapHeader::default()
        };
        Ok(Packets(PcapWriter::with_header(out, header)?))
    }

    /// Writes one message.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, stamp: Duration, message: &[u8]) -> Result<(), PcapError> {
        let data = [&cooked(message)[..], message].concat();
        let length = u32::try_from(data.len()).expect("messages are small");
        self.0.write_packet(&PcapPacket::new(stamp, length, &data)).map(|_| ())
    }

    /// Ends it: flushes, and gives back where it was written to.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(self) -> Result<W, PcapError> {
        let mut out = self.0.into_writer();
        out.flush().map_err(PcapError::IoError)?;
        Ok(out)
    }
}

/// A capture that is being written.
///
/// The run gets [`Pcap::sink`]; who made the capture keeps this, and asks for the outcome with [`Pcap::finish`].
pub struct Pcap<W: Write>(Rc<RefCell<State<W>>>);

/// The half of a [`Pcap`] that listens to a run.
pub struct PcapSink<W: Write>(Rc<RefCell<State<W>>>);

enum State<W: Write> {
    Open { writer: Packets<W>, packets: u64 },
    Failed(PcapError),
    Finished,
}

impl<W: Write> Pcap<W> {
    /// Begins a capture: writes the file's header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> Result<Pcap<W>, PcapError> {
        let writer = Packets::new(out, TsResolution::MicroSecond)?;
        Ok(Pcap(Rc::new(RefCell::new(State::Open { writer, packets: 0 }))))
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
    pub fn finish(self) -> Result<(u64, W), PcapError> {
        match self.0.replace(State::Finished) {
            State::Open { writer, packets } => Ok((packets, writer.finish()?)),
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
        let State::Open { writer, packets } = &mut *state else { return };
        match writer.write(Duration::from_micros(event.step), message) {
            Ok(()) => *packets += 1,
            Err(error) => *state = State::Failed(error),
        }
    }
}

/// Writes a capture of events that were recorded before; see [`Pcap`].
///
/// # Errors
/// Those of `out`.
pub fn pcap<W: Write>(events: &[Event], out: W) -> Result<W, PcapError> {
    let capture = Pcap::new(out)?;
    let mut sink = capture.sink();
    events.iter().for_each(|event| sink.event(event));
    Ok(capture.finish()?.1)
}
