//! User sockets: bound before the measured part, read once after it.

use serde::Deserialize;
use serde_json::{Value, json};
use sim::errno::Rc as _;
use uevent::Core;
use uevent::af_netlink::{Caller, NETLINK_KOBJECT_UEVENT, SockRef, msg, netlink_bind, netlink_create, netlink_recvmsg};

use super::bench::{Bench, rc_json};
use super::{bytes_json, extend};

/// The task that makes the sockets of a case.
pub const CALLER: Caller = Caller { pid: 4242, net_admin: true };

/// One listener of an input.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    sock: i64,
    pid: i32,
    groups: u32,
    /// Assigned as it is; -1 leaves the default.
    #[serde(default = "unset")]
    rcvbuf: i32,
}

fn unset() -> i32 {
    -1
}

/// A listener that was made.
#[derive(Clone, Copy)]
pub struct Open {
    /// The vectors' number.
    pub number: i64,
    /// The socket.
    pub sk: SockRef,
}

impl Listener {
    /// Number 1, port id 500, group 1.
    pub fn first(rcvbuf: i32) -> Listener {
        Listener { sock: 1, pid: 500, groups: 1, rcvbuf }
    }
}

/// Creates and binds the listeners, in order.
pub fn open(bench: &Bench, listeners: &[Listener]) -> Vec<Open> {
    let open = |listener: &Listener| {
        let Listener { sock, pid, groups, rcvbuf } = *listener;
        let sk = bench.must(async move |core: &Core| {
            let sk = netlink_create(core, NETLINK_KOBJECT_UEVENT).await.expect("no fault was asked for");
            netlink_bind(core, sk, CALLER, pid, groups).await.expect("a listener can bind");
            sk
        });
        set_rcvbuf(bench, sk, rcvbuf);
        bench.socks.borrow_mut().insert(bench.core.sock(sk, |s| s.number), sock);
        Open { number: sock, sk }
    };
    listeners.iter().map(open).collect()
}

/// Assigns `sk_rcvbuf`; -1 leaves the default.
pub fn set_rcvbuf(bench: &Bench, sk: SockRef, rcvbuf: i32) {
    if rcvbuf != -1 {
        bench.core.sock(sk, |s| s.rcvbuf = rcvbuf);
    }
}

/// One receive of 4,000 bytes from each, in order.
pub fn received(bench: &Bench, listeners: &[Open]) -> Vec<Value> {
    listeners.iter().map(|listener| receive(bench, *listener)).collect()
}

/// One non-blocking receive of 4,000 bytes, and the socket after it.
pub fn receive(bench: &Bench, Open { number, sk }: Open) -> Value {
    let (result, data) = bench.must(async move |core: &Core| {
        let mut data = Vec::new();
        (netlink_recvmsg(core, sk, &mut data, 4000, msg::DONTWAIT).await, data)
    });
    let (rmem, congested) = bench.core.sock(sk, |s| (s.rmem_alloc.get(), s.congested));
    let mut json = json!({
        "sock": number,
        "data": result.is_ok().then_some(&data[..]).map_or(Value::Null, bytes_json),
        "from_pid": result.map_or(0, |r| r.from_pid),
        "from_groups": result.map_or(0, |r| r.from_groups),
        "rmem_after": rmem,
        "congested_after": congested,
    });
    extend(&mut json, rc_json(result.map(|r| r.len).rc()));
    json
}
