//! Netlink sockets, bound to multicast groups. Models `net/netlink/af_netlink.c` (Linux 2.6.11), in its order.
//!
//! What a listener of this path can meet: groups, port ids, the receive buffer and its latch, and the four answers of a
//! broadcast. DIFFERENCE: no dump; a sender is the kernel, or a process by [`netlink_sendmsg`]. See [`netlink_insert`] for the hash table.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sim::lock::WaitQueue;
use sim::mm::{Buf, Part};
use sim::touch::{Access, Object};
use sim::{Errno, Gfp, Handle, LaneName};

use crate::skbuff::{Skb, kfree_skb};
use crate::{Core, Fix, site};

mod broadcast;
mod loss;
mod sendmsg;

pub use broadcast::{netlink_broadcast, netlink_trim};
pub use loss::{Loss, Lost, Why};
pub use sendmsg::{Destination, netlink_sendmsg};

/// `NETLINK_KOBJECT_UEVENT`.
pub const NETLINK_KOBJECT_UEVENT: usize = 15;
/// How many netlink protocols there are.
pub const MAX_LINKS: usize = 32;
/// The smallest `sk_rcvbuf` that `SO_RCVBUF` gives, in bytes.
pub const SOCK_MIN_RCVBUF: i32 = 256;
/// `sizeof(struct sock)`, without SMP.
pub const SIZEOF_SOCK: u32 = 560;
/// `sizeof(struct netlink_opt)`.
pub const SIZEOF_NETLINK_OPT: u32 = 64;

/// Flags of a receive. Models `include/linux/socket.h`.
pub mod msg {
    /// Out-of-band data, which netlink has not.
    pub const OOB: u32 = 1;
    /// Leave the message in the queue.
    pub const PEEK: u32 = 2;
    /// Do not sleep.
    pub const DONTWAIT: u32 = 0x40;
}

/// Protocol, port id, groups and filter of a socket: who it is to a sender.
const ADDRESS: Part = Part(1);
/// Its queue, latch and error.
const QUEUE: Part = Part(2);
/// The table of a protocol, as an explorer calls it.
const TABLE: Object = Object::named("nl_table");
/// `nl_table_users`.
const USERS: Object = Object::named("nl_table_users");
/// The number of the next socket, and of the next port id that nobody asked for.
const MADE: Object = Object::named("netlink sockets");
/// `sk_rmem_alloc`, by the number of the socket.
const RMEM: Object = Object::named("sk_rmem_alloc");

/// A pointer to a socket.
pub type SockRef = Handle<Sock>;

/// `struct sock` with its `struct netlink_opt`.
#[derive(Debug)]
pub struct Sock {
    /// Which socket this is, for traces: 0 is the first one made.
    pub number: u32,
    /// The netlink protocol.
    pub protocol: usize,
    /// The port id; 0 while unbound, and for the kernel.
    pub pid: i32,
    /// The multicast groups, a bit each.
    pub groups: u32,
    /// `sk_rcvbuf`, in bytes.
    pub rcvbuf: i32,
    /// `sk_rmem_alloc`, in bytes.
    pub rmem_alloc: Rc<Cell<i32>>,
    /// `sk_receive_queue`.
    pub queue: VecDeque<Skb>,
    /// Bit 0 of the state: something was lost and the queue was not empty at the end of a receive since.
    pub congested: bool,
    /// `sk_err`: a positive error number for the next receive.
    pub err: i32,
    /// Messages that were not delivered here, by reason. The kernel does not count them.
    pub lost: Lost,
    /// It asked not to be told of forks: the filter of event types that Linux 6.6 added to the connector.
    pub filters_forks: bool,
    /// Its network namespace; 0 is the first one, which the kernel's own sockets are in. DIFFERENCE: 2.6.11 has no others.
    pub netns: u32,
    hashed: bool,
    opt: Option<Handle<Buf>>,
    wait: Rc<WaitQueue>,
}

impl Clone for Sock {
    /// The socket of a kernel that is copied: nobody waits at it yet, and nobody else's messages are charged to it.
    fn clone(&self) -> Sock {
        Sock {
            rmem_alloc: Rc::new(Cell::clone(&self.rmem_alloc)),
            wait: Rc::default(),
            queue: self.queue.clone(),
            ..*self
        }
    }

    /// In the room of a socket that is used up, see [`Cache::copy_over`](sim::Cache::copy_over).
    fn clone_from(&mut self, source: &Sock) {
        // By its fields, so that none is forgotten.
        let Sock {
            number,
            protocol,
            pid,
            groups,
            rcvbuf,
            rmem_alloc,
            queue,
            congested,
            err,
            lost,
            filters_forks,
            netns,
            hashed,
            opt,
            wait,
        } = self;
        (*number, *protocol, *pid, *groups) = (source.number, source.protocol, source.pid, source.groups);
        (*rcvbuf, *congested, *err, *lost) = (source.rcvbuf, source.congested, source.err, source.lost);
        (*filters_forks, *netns, *hashed, *opt) = (source.filters_forks, source.netns, source.hashed, source.opt);
        queue.clone_from(&source.queue);
        match (Rc::get_mut(rmem_alloc), Rc::get_mut(wait)) {
            (Some(rmem_alloc), Some(wait)) => {
                rmem_alloc.set(source.rmem_alloc.get());
                *wait = WaitQueue::default();
            }
            // Somebody has kept one of them.
            _ => (*rmem_alloc, *wait) = (Rc::new(Cell::clone(&source.rmem_alloc)), Rc::default()),
        }
    }
}

/// One protocol: who is bound, and who listens, most recently joined first.
#[derive(Default)]
struct Table {
    mc_list: VecDeque<SockRef>,
    pids: BTreeMap<i32, SockRef>,
    /// The memory of `nl_pid_hash`, which doubles with use.
    hash: Option<Handle<Buf>>,
    shift: u32,
}

impl Table {
    fn copy_over(&self, used: &mut Table) {
        (used.hash, used.shift) = (self.hash, self.shift);
        // Most protocols are nobody's.
        let sockets = [&self.pids, &used.pids].map(BTreeMap::len);
        let listeners = [&self.mc_list, &used.mc_list].map(VecDeque::len);
        if sockets != [0; 2] || listeners != [0; 2] {
            self.copy_sockets_over(used);
        }
    }

    /// Few runs bind or close, and to look is cheaper than to copy.
    #[cold]
    fn copy_sockets_over(&self, used: &mut Table) {
        let Table { mc_list, pids, hash: _, shift: _ } = used;
        if *mc_list != self.mc_list {
            mc_list.clone_from(&self.mc_list);
        }
        if *pids != self.pids {
            pids.clone_from(&self.pids);
        }
    }
}

/// The static variables of the file.
pub(crate) struct Netlink {
    tables: RefCell<Vec<Table>>,
    /// Broadcasts that walk a list; whoever changes one waits for them (`nl_table_users`).
    users: Cell<u32>,
    wait: WaitQueue,
    rover: Cell<i32>,
    made: Cell<u32>,
    /// `uevent_sock` of `lib/kobject_uevent.c`.
    pub(crate) uevent_sock: Cell<Option<SockRef>>,
    /// The connector's kernel socket, `cdev.nls` of `drivers/connector/connector.c`.
    pub(crate) cn_sock: Cell<Option<SockRef>>,
    /// Senders that yielded for a congested listener, and when, while somebody wants to know.
    pub(crate) yields: RefCell<Option<Vec<(u64, LaneName)>>>,
    /// What listeners lost, while somebody wants to know.
    losses: RefCell<Option<Vec<Loss>>>,
    pub(crate) sock_create_lite_fails: Cell<bool>,
}

impl Default for Netlink {
    fn default() -> Netlink {
        Netlink {
            tables: RefCell::new((0..MAX_LINKS).map(|_| Table::default()).collect()),
            users: Cell::new(0),
            wait: WaitQueue::default(),
            rover: Cell::new(-4097),
            made: Cell::new(0),
            uevent_sock: Cell::new(None),
            cn_sock: Cell::new(None),
            yields: RefCell::default(),
            losses: RefCell::default(),
            sock_create_lite_fails: Cell::new(false),
        }
    }
}

impl Netlink {
    /// See [`Core::copy_over`].
    pub(crate) fn copy_over(&self, used: &mut Netlink) {
        let Netlink { tables, users, wait, rover, made, uevent_sock, cn_sock, yields, losses, sock_create_lite_fails } =
            used;
        self.tables.borrow().iter().zip(tables.get_mut()).for_each(|(table, used)| table.copy_over(used));
        users.set(self.users.get());
        wait.clone_from(&self.wait);
        rover.set(self.rover.get());
        made.set(self.made.get());
        uevent_sock.set(self.uevent_sock.get());
        cn_sock.set(self.cn_sock.get());
        yields.clone_from(&self.yields);
        losses.clone_from(&self.losses);
        sock_create_lite_fails.set(self.sock_create_lite_fails.get());
    }
}

/// Who makes a system call: what netlink asks about the current task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its pid, the first choice for a port id.
    pub pid: i32,
    /// Whether it has `CAP_NET_ADMIN`.
    pub net_admin: bool,
}

impl Core {
    /// Reads or changes a socket.
    ///
    /// # Panics
    /// If it was closed: a file descriptor keeps its socket alive.
    #[inline]
    pub fn sock<R>(&self, sk: SockRef, f: impl FnOnce(&mut Sock) -> R) -> R {
        self.socks.with(&self.m, sk, "sock", f).expect("the socket is open")
    }

    /// Looks at a socket's address: protocol, port id, groups, filter, number.
    #[inline]
    fn address<R>(&self, sk: SockRef, f: impl FnOnce(&Sock) -> R) -> R {
        self.socks.read_part(&self.m, sk, ADDRESS, "sock", f).expect("the socket is open")
    }

    /// Changes a socket's address.
    fn set_address<R>(&self, sk: SockRef, f: impl FnOnce(&mut Sock) -> R) -> R {
        self.socks.with_part(&self.m, sk, ADDRESS, Access::Write, "sock", f).expect("the socket is open")
    }

    /// Reads or changes a socket's queue, latch and error.
    #[inline]
    fn queue<R>(&self, sk: SockRef, f: impl FnOnce(&mut Sock) -> R) -> R {
        self.socks.with_part(&self.m, sk, QUEUE, Access::Write, "sock", f).expect("the socket is open")
    }

    /// Looks whether there is anything to receive.
    fn readable(&self, sk: SockRef) -> bool {
        let look = |s: &Sock| s.err != 0 || !s.queue.is_empty();
        self.socks.read_part(&self.m, sk, QUEUE, "sock", look).expect("the socket is open")
    }

    /// The wait queue of a socket, which it has from its start.
    fn wait_queue(&self, sk: SockRef) -> Rc<WaitQueue> {
        self.socks.read_part(&self.m, sk, Part::FIXED, "sock", |s| s.wait.clone()).expect("the socket is open")
    }

    /// Whether a uevent goes to the network namespace of a socket. To all of them since there are any; only to the one that
    /// owns the device since 2018-04-24 (Brauner), see [`Config::uevents_stay`](crate::Config::uevents_stay).
    #[inline]
    fn reaches(&self, s: &Sock) -> bool {
        s.netns == 0 || !self.config.uevents_stay
    }

    /// Moves a socket into another network namespace. Models the `socket()` of a process that lives in one.
    pub fn set_netns(&self, sk: SockRef, netns: u32) {
        self.set_address(sk, |s| s.netns = netns);
    }

    /// The port id of a socket.
    #[must_use]
    pub fn port_id(&self, sk: SockRef) -> i32 {
        self.address(sk, |s| s.pid)
    }

    /// Lets a listener be told of forks, or not.
    pub fn filter_forks(&self, sk: SockRef, on: bool) {
        self.set_address(sk, |s| s.filters_forks = on);
    }

    /// Whether `sock_create_lite()` fails from now on; it makes the inode of a kernel socket, which is not modelled.
    pub fn fail_sock_create_lite(&self, fails: bool) {
        self.netlink.sock_create_lite_fails.set(fails);
    }

    /// Notes from now on who yields for a congested listener, or no longer.
    pub fn watch_yields(&self, watch: bool) {
        *self.netlink.yields.borrow_mut() = watch.then(Vec::new);
    }

    /// The steps in which this lane yielded for a congested listener since the last time it asked.
    #[must_use]
    pub fn take_yields(&self, lane: LaneName) -> Vec<u64> {
        let mut yields = self.netlink.yields.borrow_mut();
        let Some(yields) = &mut *yields else { return Vec::new() };
        yields.extract_if(.., |(_, name)| *name == lane).map(|(step, _)| step).collect()
    }

    fn table<R>(&self, protocol: usize, f: impl FnOnce(&mut Table) -> R) -> R {
        self.m.touch(TABLE.nth(u32::try_from(protocol).expect("few")), Access::Write);
        f(&mut self.netlink.tables.borrow_mut()[protocol])
    }

    fn table_look<R>(&self, protocol: usize, f: impl FnOnce(&Table) -> R) -> R {
        self.m.touch(TABLE.nth(u32::try_from(protocol).expect("few")), Access::Read);
        f(&self.netlink.tables.borrow()[protocol])
    }
}

/// Frees what a socket still holds. Models `netlink_sock_destruct()`.
fn netlink_sock_destruct(core: &Core, sk: SockRef) {
    while let Some(skb) = core.sock(sk, |s| s.queue.pop_front()) {
        kfree_skb(core, skb);
    }
    if let Some(opt) = core.sock(sk, |s| s.opt.take()) {
        core.m.kfree(opt, "netlink_sock_destruct");
    }
}

fn sk_free(core: &Core, sk: SockRef) {
    core.socks.free(&core.m, sk, "sk_free");
}

/// Waits until no broadcast walks a list. Models `netlink_table_grab()`.
async fn netlink_table_grab(core: &Core) {
    let users = &core.netlink.users;
    let free = || {
        core.m.touch(USERS, Access::Read);
        users.get() == 0
    };
    if !free() {
        core.netlink.wait.wait_event(&core.m, "net/netlink/af_netlink.c:netlink_table_grab()", false, free).await;
    }
}

fn netlink_lock_table(core: &Core) {
    core.m.touch(USERS, Access::Add);
    core.netlink.users.set(core.netlink.users.get() + 1);
}

fn netlink_unlock_table(core: &Core) {
    if core.m.is_explored() {
        // With somebody waiting it matters who is the last.
        core.m.touch(USERS, if core.netlink.wait.is_empty() { Access::Add } else { Access::Write });
    }
    let left = core.netlink.users.get() - 1;
    core.netlink.users.set(left);
    if left == 0 {
        core.netlink.wait.wake_up(&core.m);
    }
}

/// Doubles the table if more than one socket shares a bucket on average; without memory it stays as it is.
///
/// Models `nl_pid_hash_dilute()` and `nl_pid_hash_rehash()`.
/// DIFFERENCE: the kernel leaves the table alone when the bucket of the new port id happens to be empty.
async fn nl_pid_hash_dilute(core: &Core, protocol: usize) {
    let (entries, shift, old) = core.table_look(protocol, |t| (t.pids.len(), t.shift, t.hash));
    if entries >> shift <= 1 {
        return;
    }
    let Some(new) = core.m.kmalloc(site::PID_HASH, 16 << shift, Gfp::ATOMIC).await else { return };
    core.table(protocol, |t| (t.hash, t.shift) = (Some(new), shift + 1));
    if let Some(old) = old {
        core.m.kfree(old, "nl_pid_hash_free");
    }
}

/// Gives a socket its port id. Models `netlink_insert()`.
///
/// # Errors
/// [`Errno::AddrInUse`]: another socket of this protocol has it.
pub async fn netlink_insert(core: &Core, sk: SockRef, pid: i32) -> Result<(), Errno> {
    netlink_table_grab(core).await;
    let protocol = core.address(sk, |s| s.protocol);
    if core.table_look(protocol, |t| t.pids.contains_key(&pid)) {
        return Err(Errno::AddrInUse);
    }
    nl_pid_hash_dilute(core, protocol).await;
    // DIFFERENCE: the kernel holds the table's lock from the first look on; here somebody may have come in between.
    if core.table_look(protocol, |t| t.pids.contains_key(&pid)) {
        return Err(Errno::AddrInUse);
    }
    core.table(protocol, |t| t.pids.insert(pid, sk));
    core.set_address(sk, |s| (s.pid, s.hashed) = (pid, true));
    Ok(())
}

/// Models `netlink_remove()`.
async fn netlink_remove(core: &Core, sk: SockRef) {
    netlink_table_grab(core).await;
    let (protocol, pid, hashed) = core.set_address(sk, |s| (s.protocol, s.pid, std::mem::take(&mut s.hashed)));
    core.table(protocol, |t| {
        if hashed {
            t.pids.remove(&pid);
        }
        t.mc_list.retain(|other| *other != sk);
    });
}

/// Makes a socket of a protocol. Models `netlink_create()`; see [`netlink_kernel_create`] for what it does wrong.
///
/// # Errors
/// [`Errno::NoMem`]: [`site::SOCK`] or [`site::OPT`] failed. In the second case the socket that was made is returned
/// with the error, freed, as the kernel leaves it in its caller's hands.
pub async fn netlink_create(core: &Core, protocol: usize) -> Result<SockRef, (Errno, Option<SockRef>)> {
    core.m.touch(MADE, Access::Write);
    let number = core.netlink.made.get();
    let sock = Sock {
        number,
        protocol,
        pid: 0,
        groups: 0,
        rcvbuf: core.config.rmem.0,
        rmem_alloc: Rc::default(),
        queue: VecDeque::new(),
        congested: false,
        err: 0,
        lost: Lost::default(),
        filters_forks: false,
        netns: 0,
        hashed: false,
        opt: None,
        wait: Rc::default(),
    };
    let sk = core.socks.alloc(&core.m, site::SOCK, SIZEOF_SOCK, Gfp::KERNEL, sock).await.ok_or((Errno::NoMem, None))?;
    let Some(opt) = core.m.kmalloc(site::OPT, SIZEOF_NETLINK_OPT, Gfp::KERNEL).await else {
        sk_free(core, sk);
        // The socket still points at it, and its caller releases the socket: experiment G26.
        return Err((Errno::NoMem, (!core.has(Fix::FailedSocket)).then_some(sk)));
    };
    core.m.touch(MADE, Access::Write);
    core.netlink.made.set(number + 1);
    core.sock(sk, |s| s.opt = Some(opt));
    Ok(sk)
}

/// Closes a socket. Models `netlink_release()`: it leaves the lists, its queue and itself are freed.
///
/// # Violations
/// [`sim::Rule::UseAfterFree`], and [`sim::Rule::Oops`] on the private part that was never there, for the socket
/// without one that [`netlink_create`] has freed already. Only [`netlink_kernel_create`] comes with such a socket.
pub async fn netlink_release(core: &Core, sk: SockRef) {
    if core.socks.read(&core.m, sk, "netlink_remove() reads sk", |_| ()).is_err() {
        match core.m.oops("netlink_remove").await {}
    }
    netlink_remove(core, sk).await;
    netlink_sock_destruct(core, sk);
    sk_free(core, sk);
}

/// Finds a free port id: the caller's pid, else the next of a counter that never restarts (-4097, -4098, …).
async fn netlink_autobind(core: &Core, sk: SockRef, caller: Caller) -> Result<(), Errno> {
    let protocol = core.address(sk, |s| s.protocol);
    let mut pid = caller.pid;
    while core.table_look(protocol, |t| t.pids.contains_key(&pid)) {
        core.m.touch(MADE, Access::Write);
        pid = core.netlink.rover.replace(core.netlink.rover.get() - 1);
    }
    netlink_insert(core, sk, pid).await
}

/// Gives a socket its port id (0: pick one) and its groups (0: none). Models `netlink_bind()`.
///
/// # Errors
/// - [`Errno::Perm`]: groups without `CAP_NET_ADMIN`.
/// - [`Errno::Inval`]: bound before, to another port id.
/// - [`Errno::AddrInUse`]: the port id is taken. The socket stays unbound, and may try again.
pub async fn netlink_bind(core: &Core, sk: SockRef, caller: Caller, pid: i32, groups: u32) -> Result<(), Errno> {
    if groups != 0 && !caller.net_admin {
        return Err(Errno::Perm);
    }
    match core.address(sk, |s| s.pid) {
        0 if pid == 0 => netlink_autobind(core, sk, caller).await?,
        0 => netlink_insert(core, sk, pid).await?,
        bound if bound != pid => return Err(Errno::Inval),
        _ => {}
    }
    netlink_table_grab(core).await;
    let (protocol, before) = core.set_address(sk, |s| (s.protocol, std::mem::replace(&mut s.groups, groups)));
    core.table(protocol, |t| match (before, groups) {
        (0, 1..) => t.mc_list.push_front(sk),
        (1.., 0) => t.mc_list.retain(|other| *other != sk),
        _ => {}
    });
    Ok(())
}

/// Marks that a listener missed something, once until it has drained its queue. Models `netlink_overrun()`.
pub fn netlink_overrun(core: &Core, sk: SockRef) {
    let first = core.queue(sk, |s| !std::mem::replace(&mut s.congested, true));
    if first {
        sk_error_report(core, sk, Errno::NoBufs.rc().unsigned_abs().try_into().expect("105"));
    }
}

fn sk_error_report(core: &Core, sk: SockRef, err: i32) {
    let (number, wait) = core.queue(sk, |s| {
        s.err = err;
        (s.number, s.wait.clone())
    });
    core.m.call("sk_error_report", || vec![("sock", number.into()), ("sk_err", err.into())], None);
    wait.wake_up(&core.m);
}

/// Whether somebody is in a group's list. Models `netlink_has_listeners()`, which Linux has since 2.6.17.
///
/// One look at the table: no lock, no allocation. A listener that died has left the list; one that filters forks has not.
#[must_use]
pub fn netlink_has_listeners(core: &Core, ssk: SockRef, group: u32) -> bool {
    let protocol = core.address(ssk, |s| s.protocol);
    core.table_look(protocol, |t| t.mc_list.iter().any(|sk| *sk != ssk && core.address(*sk, |s| s.groups & group != 0)))
}

/// Leaves an error for the next receive of every listener of a group. Models `netlink_set_err()`.
pub fn netlink_set_err(core: &Core, ssk: SockRef, pid: i32, group: u32, code: i32) {
    let protocol = core.address(ssk, |s| s.protocol);
    let listeners = core.table_look(protocol, |t| t.mc_list.clone());
    for sk in listeners {
        if sk != ssk && core.address(sk, |s| s.pid != pid && s.groups & group != 0) {
            sk_error_report(core, sk, code);
        }
    }
}

/// Sets the receive buffer as `setsockopt(SO_RCVBUF)` does: capped at `rmem_max`, doubled, at least [`SOCK_MIN_RCVBUF`].
///
/// Models that case of `net/core/sock.c:sock_setsockopt()`. A negative value counts as huge.
pub fn so_rcvbuf(core: &Core, sk: SockRef, value: i32) {
    let max = core.config.rmem.1;
    let value = value.cast_unsigned().min(max.cast_unsigned()).cast_signed();
    core.queue(sk, |s| s.rcvbuf = value.saturating_mul(2).max(core.sock_min_rcvbuf()));
}

/// What a receive says beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes copied.
    pub len: usize,
    /// `MSG_TRUNC`: the message was longer, the rest is gone.
    pub truncated: bool,
    /// The sender's port id; 0 is the kernel.
    pub from_pid: i32,
    /// The groups in the sender's address: 0, not the group that was sent to (experiment G12).
    pub from_groups: u32,
}

/// Receives one message: appends at most `room` bytes to `out`. Models `netlink_recvmsg()`.
///
/// Sleeps until there is a message or an error, unless `flags` has [`msg::DONTWAIT`]. Whatever it answers, but for
/// [`msg::OOB`]: if the queue is empty at its end, the latch is released.
///
/// # Errors
/// - [`Errno::OpNotSupp`]: [`msg::OOB`]; nothing else happens.
/// - the pending error, once, without a message: [`Errno::NoBufs`] after an overrun.
/// - [`Errno::Again`]: nothing there, and [`msg::DONTWAIT`].
pub async fn netlink_recvmsg(
    core: &Core,
    sk: SockRef,
    out: &mut Vec<u8>,
    room: usize,
    flags: u32,
) -> Result<Received, Errno> {
    if flags & msg::OOB != 0 {
        return Err(Errno::OpNotSupp);
    }
    if flags & msg::DONTWAIT == 0 {
        let wait = core.wait_queue(sk);
        let ready = || core.readable(sk);
        wait.wait_event(&core.m, "net/netlink/af_netlink.c:netlink_recvmsg()", true, ready).await;
    } else {
        sim::point!(core.m);
    }
    let peek = flags & msg::PEEK != 0;
    let found = core.queue(sk, |s| {
        let found = match std::mem::take(&mut s.err) {
            0 if peek => s.queue.front().copied().ok_or(Errno::Again),
            0 => s.queue.pop_front().ok_or(Errno::Again),
            err => Err(Errno::from_number(err.unsigned_abs().try_into().unwrap_or(u16::MAX))),
        };
        s.congested &= !s.queue.is_empty();
        found
    });
    let skb = found?;
    let received = copy_message(core, skb, out, room);
    if !peek {
        kfree_skb(core, skb);
    }
    Ok(received)
}

/// Models `skb_copy_datagram_iovec()`: what fits.
fn copy_message(core: &Core, skb: Skb, out: &mut Vec<u8>, room: usize) -> Received {
    core.skb_and_message(skb, |skb, message| {
        let len = message.len().min(room);
        out.extend_from_slice(&message[..len]);
        Received { len, truncated: len < message.len(), from_pid: skb.sender, from_groups: skb.dst_groups }
    })
}

/// Sleeps until there is something to receive, or until `enough` says that the sleeper has another reason to wake.
///
/// Models `datagram_poll()` in a program that also waits for something else; see [`wake_reader`].
pub async fn datagram_poll(core: &Core, sk: SockRef, enough: impl Fn() -> bool) {
    let wait = core.wait_queue(sk);
    let ready = || enough() || core.readable(sk);
    wait.wait_event(&core.m, "net/core/datagram.c:datagram_poll()", true, ready).await;
}

/// Lets the reader of a socket look at its other reason again. Models the `wake_up()` of whatever else it polls.
pub fn wake_reader(core: &Core, sk: SockRef) {
    let wait = core.wait_queue(sk);
    wait.wake_up(&core.m);
}

/// Makes the kernel's own socket of a protocol, port id 0. Models `netlink_kernel_create()`.
///
/// `None` if anything fails: `sock_create_lite()` (see [`Core::fail_sock_create_lite`]), [`site::SOCK`].
///
/// # Violations
/// [`sim::Rule::UseAfterFree`]: [`site::OPT`] failed, `netlink_create()` freed the sock and left the socket pointing at
/// it, and `sock_release()` releases it again (experiment G26). See [`netlink_release`] for how that ends.
pub async fn netlink_kernel_create(core: &Core, protocol: usize) -> Option<SockRef> {
    if core.netlink.sock_create_lite_fails.get() {
        return None;
    }
    match netlink_create(core, protocol).await {
        Ok(sk) => match netlink_insert(core, sk, 0).await {
            Ok(()) => Some(sk),
            Err(_) => {
                netlink_release(core, sk).await;
                None
            }
        },
        Err((_, stale)) => {
            if let Some(sk) = stale {
                netlink_release(core, sk).await;
            }
            None
        }
    }
}

/// Makes the hash tables, one bucket each. Models what of `netlink_proto_init()` allocates: a level-1 initcall.
pub async fn netlink_proto_init(core: &Core) {
    for protocol in 0..MAX_LINKS {
        let table = core.m.kmalloc(site::PID_HASH, 8, Gfp::ATOMIC).await;
        core.table(protocol, |t| t.hash = table);
    }
}
