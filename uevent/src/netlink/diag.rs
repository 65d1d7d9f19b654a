//! What a socket's memory is charged with, as `SO_MEMINFO` has it.
//!
//! No safe library knows `SO_MEMINFO`; `NETLINK_SOCK_DIAG` gives the same array, by the same function of the kernel,
//! `sk_get_meminfo()`.

use std::io;

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use zerocopy::byteorder::native_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::NetlinkSocket;
use crate::MemInfo;

/// `SOCK_DIAG_BY_FAMILY`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`: netlink sockets can only be listed.
const REQUEST_DUMP: u16 = 1 | 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NDIAG_SHOW_MEMINFO`.
const SHOW_MEMINFO: u32 = 1;
/// `NETLINK_DIAG_MEMINFO`, the attribute.
const MEMINFO: u16 = 0;
/// `AF_NETLINK`.
const AF_NETLINK: u8 = 16;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    len: U32,
    kind: U16,
    flags: U16,
    seq: U32,
    port: U32,
}

/// `struct netlink_diag_req`.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Request {
    header: Header,
    family: u8,
    protocol: u8,
    pad: U16,
    ino: U32,
    show: U32,
    cookie: [U32; 2],
}

/// `struct netlink_diag_msg`.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Listed {
    family: u8,
    kind: u8,
    protocol: u8,
    state: u8,
    port: U32,
    dst_port: U32,
    dst_group: U32,
    ino: U32,
    cookie: [U32; 2],
}

/// `struct nlattr`.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Attr {
    len: U16,
    kind: U16,
}

impl NetlinkSocket {
    /// Receive memory and drops of this socket, as the kernel counts them now.
    ///
    /// What this process has read ahead is no longer counted.
    ///
    /// # Errors
    /// `Unsupported`: the kernel was built without `CONFIG_NETLINK_DIAG`, or does not list this socket. Else those of
    /// the system calls.
    pub fn meminfo(&self) -> io::Result<MemInfo> {
        let (protocol, port) = (self.protocol().raw(), self.port()?);
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(SOCK_DIAG))?;
        let request = Request {
            header: Header {
                len: U32::new(size_of::<Request>() as u32),
                kind: U16::new(SOCK_DIAG_BY_FAMILY),
                flags: U16::new(REQUEST_DUMP),
                seq: U32::new(1),
                port: U32::new(0),
            },
            family: AF_NETLINK,
            protocol,
            pad: U16::new(0),
            ino: U32::new(0),
            show: U32::new(SHOW_MEMINFO),
            cookie: [U32::new(0); 2],
        };
        rustix::net::sendto(&fd, request.as_bytes(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut room = vec![0; 65536];
        loop {
            let (_, len) = rustix::net::recv(&fd, &mut room[..], RecvFlags::empty())?;
            let mut rest = &room[..len];
            while let Some((kind, body, after)) = message(rest) {
                match kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        let why = "the kernel does not list this socket (CONFIG_NETLINK_DIAG)";
                        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
                    }
                    _ => {
                        if let Some(found) = listed(body, protocol, port) {
                            return Ok(found);
                        }
                    }
                }
                rest = after;
            }
        }
    }
}

/// The first message of several: its type, its body and the others.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (header, _) = Header::ref_from_prefix(bytes).ok()?;
    let (kind, len) = (header.kind.get(), header.len.get() as usize);
    let body = bytes.get(size_of::<Header>()..len)?;
    Some((kind, body, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// The numbers of this socket, if the message is about it.
fn listed(body: &[u8], protocol: u8, port: u32) -> Option<MemInfo> {
    let (listed, mut attrs) = Listed::ref_from_prefix(body).ok()?;
    if listed.protocol != protocol || listed.port.get() != port {
        return None;
    }
    loop {
        let (attr, _) = Attr::ref_from_prefix(attrs).ok()?;
        let (kind, len) = (attr.kind.get(), usize::from(attr.len.get()));
        let data = attrs.get(size_of::<Attr>()..len)?;
        if kind == MEMINFO {
            let (numbers, _) = <[U32; 9]>::ref_from_prefix(data).ok()?;
            return Some(MemInfo { rmem_alloc: numbers[0].get(), rcvbuf: numbers[1].get(), drops: numbers[8].get() });
        }
        attrs = attrs.get(len.next_multiple_of(4)..)?;
    }
}
