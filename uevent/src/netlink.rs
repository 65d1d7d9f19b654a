//! Real netlink sockets of the kernel this runs on: feature `netlink`, Linux only.
//!
//! | what | opened by | hears |
//! |---|---|---|
//! | uevents of the kernel | [`NetlinkSocket::uevents`] | `NETLINK_KOBJECT_UEVENT`, group 1 |
//! | events of udevd | [`NetlinkSocket::udev`] | the same, group 2 |
//! | process events | [`ProcEvents::open`] | `NETLINK_CONNECTOR`, `CN_IDX_PROC` |
//! | a bus of one's own | [`NetlinkSocket::open`] | `NETLINK_USERSOCK` |
//!
//! All are a [`UeventSource`](crate::source::UeventSource): what is lost or not to be trusted is a value. All are
//! [`AsFd`](std::os::fd::AsFd), to be polled beside other descriptors: read until
//! [`Arrival::Nothing`](crate::source::Arrival::Nothing) before polling again, as a socket holds what it read ahead.
//!
//! ```no_run
//! use forklab_uevent::netlink::NetlinkSocket;
//! use forklab_uevent::source::{Arrival, UeventSource, Wait};
//! use forklab_uevent::wire::Message;
//!
//! let mut socket = NetlinkSocket::uevents()?;
//! loop {
//!     match socket.receive(Wait::Block)? {
//!         Arrival::Message(datagram) => println!("{:?}", Message::parse(datagram.bytes)),
//!         Arrival::Lost(loss) => println!("{loss}: look at /sys again"),
//!         Arrival::Refused(_, why) => println!("not believed: {why}"),
//!         Arrival::Nothing | Arrival::End => {}
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod diag;
mod error;
mod proc_events;
mod socket;

pub use crate::MemInfo;
pub use error::OpenError;
pub use proc_events::ProcEvents;
pub use socket::{NetlinkSocket, Protocol, To};
