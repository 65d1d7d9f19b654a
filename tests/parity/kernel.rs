//! The live arm: sockets of the kernel that this runs on, in a network namespace of their own.

use std::os::fd::AsFd;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto, sockopt};
use uevent::netlink::{NetlinkSocket, Protocol};
use uevent::{Config, Era, MemInfo};

use super::arm::{Arm, Ask, GROUP, Got, Sent, To};
use super::tools::{need_namespaces, skip};

pub struct Kernel {
    protocol: Protocol,
    sender: NetlinkSocket,
    ears: Vec<Option<NetlinkSocket>>,
    poll: std::os::fd::OwnedFd,
    room: Vec<u8>,
}

/// The version of this kernel, such as `6.18.44`.
pub fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Whether its accounting is the one that is modelled.
pub fn is_of_the_era() -> bool {
    let release = release();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 18)
}

/// A number under `/proc/sys/net/core`.
fn net_core(name: &str) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}")).expect("/proc is mounted");
    text.trim().parse().expect("a number")
}

/// Whether receive buffers may be forced, for which it takes root in the first user namespace.
pub fn may_force() -> bool {
    let socket = NetlinkSocket::open(Protocol::Usersock, 0).expect("a socket");
    setsockopt(&socket.as_fd(), RcvBufForce, &4096).is_ok() || skip("SO_RCVBUFFORCE needs root")
}

/// Runs a test in a thread of its own, which ends with it: the namespace that a [`Kernel`] takes is the thread's. That of
/// an ordinary user runs in a user namespace, and not here.
pub fn apart<R: Send>(test: impl FnOnce() -> Option<R> + Send) -> Option<R> {
    if !need_namespaces() {
        return None;
    }
    std::thread::scope(|scope| scope.spawn(test).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Kernel {
    /// The kernel, and how a simulator has to be configured to be like it; `None` if this one cannot be compared.
    ///
    /// The thread gets a network namespace of its own: what other programs send is not heard there.
    pub fn new() -> Option<(Kernel, Config)> {
        Kernel::of(Protocol::Usersock, GROUP)
    }

    /// The same for `NETLINK_KOBJECT_UEVENT`. A device's events are heard in every network namespace.
    pub fn of_uevents() -> Option<(Kernel, Config)> {
        Kernel::of(Protocol::KobjectUevent, 2)
    }

    fn of(protocol: Protocol, quiet: u32) -> Option<(Kernel, Config)> {
        if !is_of_the_era() && !skip(&format!("this is Linux {}: the accounting of 6.18 is modelled", release())) {
            return None;
        }
        let rmem = (net_core("rmem_default"), net_core("rmem_max"));
        let apart = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok();
        if !apart && !skip("this test needs a network namespace of its own (CAP_SYS_ADMIN)") {
            return None;
        }
        let sender = NetlinkSocket::open(protocol, 0).expect("a socket");
        sockopt::set_socket_send_buffer_size(&sender, 1 << 20).expect("a send buffer");
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let mut kernel = Kernel { protocol, sender, ears: Vec::new(), poll, room: vec![0; 1 << 20] };
        let config = Config { rmem, small_head: kernel.small_head(quiet), ..Config::of(Era::Linux6_18) };
        Some((kernel, config))
    }

    /// What the kernel's configuration made of `skbuff_small_head`: the charge of one byte, less that of the `sk_buff`.
    fn small_head(&mut self, group: u32) -> u32 {
        let ear = self.open(group, Ask::Default);
        self.send(To::Groups(group), 1, 0);
        let small_head = self.meminfo(ear).rmem_alloc - 256;
        self.close(ear);
        self.ears.clear();
        assert!(
            [576, 640].contains(&small_head),
            "skbuff_small_head of {small_head} bytes: which configuration is it?"
        );
        small_head
    }

    fn ear(&self, ear: usize) -> &NetlinkSocket {
        self.ears[ear].as_ref().expect("it is open")
    }

    /// One receive, and its bytes.
    pub fn receive_bytes(&mut self, ear: usize) -> (Got, &[u8]) {
        let fd = self.ears[ear].as_ref().expect("it is open").as_fd();
        match recvfrom(fd, &mut self.room[..], RecvFlags::DONTWAIT) {
            Ok((bytes, _, from)) => {
                let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
                let bytes = &self.room[..bytes];
                let groups = from.map_or(0, |from| from.groups());
                (Got::Message { len: bytes.len(), first: bytes.first().copied(), groups }, bytes)
            }
            Err(Errno::NOBUFS) => (Got::Lost, &[]),
            Err(Errno::AGAIN) => (Got::Nothing, &[]),
            Err(errno) => panic!("receive: {errno}"),
        }
    }
}

impl Arm for Kernel {
    fn open(&mut self, groups: u32, ask: Ask) -> usize {
        let ear = self.ears.len();
        let socket = NetlinkSocket::open(self.protocol, groups).expect("a socket");
        let data = epoll::EventData::new_u64(ear as u64);
        epoll::add(&self.poll, &socket, data, epoll::EventFlags::IN | epoll::EventFlags::ET).expect("polled");
        self.ears.push(Some(socket));
        self.ask(ear, ask);
        ear
    }

    fn ask(&mut self, ear: usize, ask: Ask) {
        // The wrappers take a usize and the kernel an int, of the same bits; rustix refuses those of a negative one.
        let bits = |bytes: i32| bytes.cast_unsigned() as usize;
        let set = match ask {
            Ask::Default => Ok(()),
            Ask::Rcvbuf(bytes) => setsockopt(self.ear(ear), RcvBuf, &bits(bytes)),
            Ask::Force(bytes) => setsockopt(self.ear(ear), RcvBufForce, &bits(bytes)),
        };
        set.expect("root may");
    }

    fn close(&mut self, ear: usize) {
        self.ears[ear] = None;
    }

    fn send(&mut self, to: To, len: usize, fill: u8) -> Sent {
        let to_groups = matches!(to, To::Groups(_));
        let address = match to {
            To::Groups(groups) => SocketAddrNetlink::new(0, groups),
            To::Ear(ear) => SocketAddrNetlink::new(self.ear(ear).port().expect("bound"), 0),
        };
        self.room[..len].fill(fill);
        match sendto(&self.sender, &self.room[..len], SendFlags::DONTWAIT, &address) {
            Ok(_) => Sent::Accepted,
            // After the groups it goes to port 0, the kernel's, which has no socket of NETLINK_USERSOCK.
            Err(Errno::CONNREFUSED) if to_groups => Sent::Accepted,
            Err(Errno::AGAIN) => Sent::Full,
            Err(Errno::NODATA) => Sent::Empty,
            Err(errno) => panic!("send: {errno}"),
        }
    }

    fn receive(&mut self, ear: usize) -> Got {
        self.receive_bytes(ear).0
    }

    fn meminfo(&mut self, ear: usize) -> MemInfo {
        self.ear(ear).meminfo().expect("a kernel with CONFIG_NETLINK_DIAG")
    }

    fn told(&mut self) -> Vec<usize> {
        let mut events = Vec::with_capacity(self.ears.len().max(1));
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&now)).expect("polled");
        events.iter().map(|event| usize::try_from(event.data.u64()).expect("a number of ours")).collect()
    }
}
