//! The writer of capture files: one message, one packet, whoever heard it and whatever clock it came with.

use std::io::{self, Write};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};
use uevent::af_netlink::NETLINK_KOBJECT_UEVENT;
use uevent::connector::NETLINK_CONNECTOR;
use uevent::wire::connector::ConnectorMessage;

/// `PACKET_USER` of `include/uapi/linux/if_packet.h`: on its way to user space.
const PACKET_USER: u16 = 6;
/// `ARPHRD_NETLINK` of `include/uapi/linux/if_arp.h`.
const ARPHRD_NETLINK: u16 = 824;
/// Bytes of the header in front of each message.
const COOKED: usize = 16;
/// Longer packets are cut, as tcpdump cuts them: a uevent has at most some thousand bytes.
const SNAPLEN: u32 = 262_144;

/// The netlink protocol that a message was sent over; the cooked header calls it the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `NETLINK_KOBJECT_UEVENT`, 15: uevents, without a `nlmsghdr`.
    KobjectUevent,
    /// `NETLINK_CONNECTOR`, 11: process events and the fork connector.
    Connector,
}

impl Family {
    /// What a message of this test bed was sent over, by its bytes: no uevent begins like a connector message.
    ///
    /// For a run that is simulated. Who has a socket knows its protocol, and need not ask.
    #[must_use]
    pub fn of(message: &[u8]) -> Family {
        if ConnectorMessage::parse(message).is_ok() { Family::Connector } else { Family::KobjectUevent }
    }

    /// The number in `include/linux/netlink.h`.
    #[must_use]
    pub fn protocol(self) -> u16 {
        let protocol = match self {
            Family::KobjectUevent => NETLINK_KOBJECT_UEVENT,
            Family::Connector => NETLINK_CONNECTOR,
        };
        u16::try_from(protocol).expect("11 or 15")
    }

    /// The header that `nlmon` writes: packet type, hardware type, ten bytes that netlink does not use, protocol.
    fn cooked(self) -> [u8; COOKED] {
        let mut header = [0; COOKED];
        header[0..2].copy_from_slice(&PACKET_USER.to_be_bytes());
        header[2..4].copy_from_slice(&ARPHRD_NETLINK.to_be_bytes());
        header[14..16].copy_from_slice(&self.protocol().to_be_bytes());
        header
    }
}

/// A capture file that is being written: for a simulated run through [`Pcap`](super::Pcap), for a real socket directly.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use forklab::render::pcap::{Capture, Family};
///
/// let mut capture = Capture::new(Vec::new())?;
/// // Since the epoch for a real message, since the beginning for a simulated one.
/// capture.write(Family::KobjectUevent, Duration::from_micros(14), b"fork@/fork_kobj\x00100\x00101\x00")?;
/// let (packets, file) = capture.finish()?;
/// assert_eq!((packets, file.len()), (1, 24 + 16 + 16 + 24));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Capture<W: Write> {
    writer: PcapWriter<W>,
    packets: u64,
}

impl<W: Write> Capture<W> {
    /// Begins a capture: writes the file's header. Times have nanoseconds.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> io::Result<Capture<W>> {
        // One endianness everywhere: the same run gives the same bytes.
        let header = PcapHeader {
            datalink: DataLink::NETLINK,
            endianness: Endianness::Little,
            snaplen: SNAPLEN,
            ts_resolution: TsResolution::NanoSecond,
            ..PcapHeader::default()
        };
        Ok(Capture { writer: PcapWriter::with_header(out, header).map_err(io_error)?, packets: 0 })
    }

    /// Writes one datagram, as it was received. `time` is since the epoch; that of a simulated run, since its beginning.
    ///
    /// After an error the file may end in half a packet: write no more.
    ///
    /// # Errors
    /// Those of `out`; a time whose seconds do not fit 32 bits, in the year 2106.
    pub fn write(&mut self, family: Family, time: Duration, datagram: &[u8]) -> io::Result<()> {
        let mut data = [&family.cooked()[..], datagram].concat();
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        data.truncate(SNAPLEN as usize);
        self.writer.write_packet(&PcapPacket::new(time, length, &data)).map_err(io_error)?;
        self.packets += 1;
        Ok(())
    }

    /// How many packets were written.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Ends the capture: flushes, and gives back how many packets were written, and where.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(self) -> io::Result<(u64, W)> {
        let mut out = self.writer.into_writer();
        out.flush()?;
        Ok((self.packets, out))
    }
}

/// What went wrong while writing is an error of the writer, or of a time that the format has no room for.
fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error),
    }
}
