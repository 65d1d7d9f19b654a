//! Telling user space. Models `lib/kobject_uevent.c` (Linux 2.6.11) with the `KOBJ_FORK` patch of 11 February 2005
//! (Message-Id 1108109504.30559.43), in its order.

use sim::errno::Rc as _;
use sim::mm::Buf;
use sim::touch::{Access, Object};
use sim::{Errno, Gfp, Handle};

use crate::af_netlink::{NETLINK_KOBJECT_UEVENT, SockRef, netlink_broadcast, netlink_kernel_create};
use crate::core::Scratch;
use crate::kobject::{KobjId, KsetId, kobject_get_path};
use crate::skbuff::{alloc_skb, skb_over_panic, skb_put_strings};
use crate::vsprintf::{Arg, vsnprintf};
use crate::{Core, Fix, site};

mod keys;
mod one_slot;

pub use keys::ForkKeys;
pub use one_slot::kobject_fork_one_slot;

/// Bytes of environment of one hotplug event, and of room for one in a message.
pub const BUFFER_SIZE: u32 = 1024;
/// Slots of a hotplug environment.
pub const NUM_ENVP: usize = 32;
/// Bytes of one pid string of the patch.
pub const FORK_BUFFER_SIZE: usize = 32;
/// Slots of a fork event, the terminating NULL included.
pub const FORK_BUFFER_NB: usize = 5;
/// Bytes of a pointer on x86_64.
const POINTER: u32 = 8;

/// `hotplug_seqnum`, as an explorer calls it.
const HOTPLUG_SEQNUM: Object = Object::named("hotplug_seqnum");
/// [`Core::fork_outcomes`], as an explorer calls them: for a listener whose pace they set.
pub const FORK_OUTCOMES: Object = Object::named("fork_outcomes");

/// What happened to a kobject. Models `enum kobject_action` with the patch's addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KobjectAction {
    /// `KOBJ_ADD`.
    Add = 1,
    /// `KOBJ_REMOVE`.
    Remove,
    /// `KOBJ_CHANGE`.
    Change,
    /// `KOBJ_MOUNT`.
    Mount,
    /// `KOBJ_UMOUNT`.
    Umount,
    /// `KOBJ_OFFLINE`.
    Offline,
    /// `KOBJ_ONLINE`.
    Online,
    /// `KOBJ_FORK`, the patch's.
    Fork,
}

impl KobjectAction {
    /// Every action, by number.
    pub const ALL: [KobjectAction; 8] = {
        use KobjectAction::{Add, Change, Fork, Mount, Offline, Online, Remove, Umount};
        [Add, Remove, Change, Mount, Umount, Offline, Online, Fork]
    };

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The string that stands before the `@`.
    #[must_use]
    pub const fn string(self) -> &'static [u8] {
        match self {
            KobjectAction::Add => b"add",
            KobjectAction::Remove => b"remove",
            KobjectAction::Change => b"change",
            KobjectAction::Mount => b"mount",
            KobjectAction::Umount => b"umount",
            KobjectAction::Offline => b"offline",
            KobjectAction::Online => b"online",
            KobjectAction::Fork => b"fork",
        }
    }
}

/// The string of an action number; `None` for a number that is no action. Models `action_to_string()`.
#[must_use]
pub fn action_to_string(action: i32) -> Option<&'static [u8]> {
    KobjectAction::ALL.into_iter().find(|a| a.number() == action).map(KobjectAction::string)
}

/// The slots of an environment as `send_uevent()` sees them: a NULL slot ends it.
pub type Envp<'a> = &'a [Option<&'a [u8]>];

/// Broadcasts one event to every listener of `NETLINK_KOBJECT_UEVENT`.
///
/// Models `lib/kobject_uevent.c:send_uevent()` (Linux 2.6.11).
///
/// The error-free path:
/// - allocates one skb of header + 1,024 bytes ([`site::SKB_HEAD`], [`site::SKB_DATA`]);
/// - writes `signal@object`, then `envp[2..]` up to the first NULL slot, each ended by a NUL: slots 0 and 1 are skipped;
/// - broadcasts it to group 1 and gives the skb away.
///
/// # Errors
/// - [`Errno::Io`]: there is no kernel socket (yet); nothing was allocated.
/// - [`Errno::NoMem`]: the skb could not be allocated.
/// - those of [`netlink_broadcast`].
///
/// # Violations
/// - [`sim::Rule::Bug`]: the environment is larger than the room, 1,024 to 1,087 bytes (`skb_over_panic`, G15).
/// - [`sim::Rule::OutOfBounds`]: fewer than two slots before the NULL, so that the walk starts behind it (P9).
pub async fn send_uevent(
    core: &Core,
    signal: &[u8],
    obj: &[u8],
    envp: Option<Envp<'_>>,
    gfp: Gfp,
) -> Result<(), Errno> {
    if !core.config.kobject_uevent {
        return Ok(()); // An empty function of its own, beside the one below.
    }
    core.m.enter("send_uevent", || vec![("signal", signal.into()), ("obj", obj.into())]);
    let result = do_send_uevent(core, signal, obj, envp, gfp).await;
    core.m.leave("send_uevent", Some(result.rc()));
    result
}

async fn do_send_uevent(core: &Core, signal: &[u8], obj: &[u8], envp: Option<Envp<'_>>, gfp: Gfp) -> Result<(), Errno> {
    let Some(sock) = core.uevent_sock() else { return Err(Errno::Io) };
    let header = u32::try_from(signal.len() + obj.len() + 2).expect("names are small");
    // Not as much as the environment needs, but as much as one usually does: experiment G15, and the trim of G35.
    let room = if core.has(Fix::FitMessage) { bytes_of(envp) } else { BUFFER_SIZE };
    let skb = alloc_skb(core, header + room, gfp).await?;
    if let Some(envp) = envp {
        if envp.len() < 2 {
            let text = format!("send_uevent() reads slot 2 of an environment of {} and its NULL", envp.len());
            core.m.report(sim::Rule::OutOfBounds, text, None);
        }
        let given = envp.iter().map_while(|slot| *slot).count() as u64;
        let (all, written) = core.env_strings.get();
        core.env_strings.set((all + given, written + given.saturating_sub(2)));
    }
    let strings = envp.unwrap_or_default().iter().skip(2).map_while(|slot| *slot);
    if let Err((len, put)) = skb_put_strings(core, skb, &[signal, b"@", obj, b"\0"], strings) {
        match skb_over_panic(core, len, put).await {}
    }
    netlink_broadcast(core, sock, skb, 0, 1, gfp).await
}

/// What an environment takes in a message.
fn bytes_of(envp: Option<Envp<'_>>) -> u32 {
    let strings = envp.unwrap_or_default().iter().skip(2).map_while(|slot| *slot);
    u32::try_from(strings.map(|string| string.len() + 1).sum::<usize>()).expect("messages are small")
}

/// Models `do_kobject_uevent()`: the path, then the action, in this order.
///
/// # Errors
/// [`Errno::NoMem`], [`Errno::Inval`] for an unknown action, those of [`send_uevent`].
///
/// # Violations
/// An unknown action leaks the path (experiment G14); whoever checks for leaks finds it.
async fn do_kobject_uevent(core: &Core, kobj: KobjId, action: i32, attr: Option<&[u8]>, gfp: Gfp) -> Result<(), Errno> {
    if !core.config.kobject_uevent {
        return Ok(()); // Both callers are empty stubs of include/linux/kobject_uevent.h.
    }
    if core.has(Fix::ActionFirst) && action_to_string(action).is_none() {
        return Err(Errno::Inval);
    }
    let path = kobject_get_path(core, kobj, gfp).await?;
    let signal = action_to_string(action).ok_or(Errno::Inval)?; // The path is lost here: experiment G14.
    let text = core.string(path);
    let result = match attr {
        None => send_uevent(core, signal, &text, None, gfp).await,
        Some(attr) => {
            let with_attr = [&text[..], b"/", attr].concat();
            let size = u32::try_from(with_attr.len() + 1).expect("names are small");
            match core.m.kmalloc(site::ATTRPATH, size, gfp).await {
                None => Err(Errno::NoMem),
                Some(attrpath) => {
                    core.m.write(attrpath, &with_attr, "do_kobject_uevent");
                    let result = send_uevent(core, signal, &with_attr, None, gfp).await;
                    core.m.kfree(attrpath, "do_kobject_uevent");
                    result
                }
            }
        }
    };
    core.m.kfree(path, "do_kobject_uevent");
    result
}

/// Notifies user space of an event on an object, from a context that may sleep. Models `kobject_uevent()`.
///
/// # Errors
/// Those of [`send_uevent`], and [`Errno::Inval`] for a number that is no action.
pub async fn kobject_uevent(core: &Core, kobj: KobjId, action: i32, attr: Option<&[u8]>) -> Result<(), Errno> {
    do_kobject_uevent(core, kobj, action, attr, Gfp::KERNEL).await
}

/// The same where one must not sleep. Models `kobject_uevent_atomic()`.
///
/// # Errors
/// Those of [`kobject_uevent`].
pub async fn kobject_uevent_atomic(core: &Core, kobj: KobjId, action: i32, attr: Option<&[u8]>) -> Result<(), Errno> {
    do_kobject_uevent(core, kobj, action, attr, Gfp::ATOMIC).await
}

/// Tells user space that `parent` forked `child`. It returns nothing: every failure is swallowed here.
///
/// Models `kobject_fork()` of the patch.
///
/// The error-free path:
/// - allocates the path of the object ([`site::PATH`]) and five slots ([`site::FORK_ENVP`]);
/// - fills slots 0 and 1 with strings that are never sent, 2 and 3 with the two pids in decimal, 4 with NULL;
/// - [`send_uevent`], whose result is dropped; frees both.
///
/// Where a failed allocation becomes a lost event: here. What was lost, and why, is counted in
/// [`Core::fork_outcomes`], which the kernel does not have.
///
/// # Violations
/// [`sim::Rule::Oops`] if somebody has put the static object, so that it lost its name (experiment G10).
pub async fn kobject_fork(core: &Core, kobj: KobjId, parent: i32, child: i32) {
    enter_kobject_fork(core, parent, child);
    let outcome = do_kobject_fork::<false>(core, kobj, parent, child).await;
    core.count_fork(core.config.kobject_uevent, outcome);
    core.m.leave("kobject_fork", None);
}

#[inline]
fn enter_kobject_fork(core: &Core, parent: i32, child: i32) {
    core.m.enter("kobject_fork", || {
        vec![("kobj", "fork_kobj".into()), ("parent", parent.into()), ("child", child.into())]
    });
}

/// The same, for a caller that the kernel does not have: it is told what was swallowed. Models `kobject_fork()`.
///
/// # Errors
/// [`Errno::NoMem`] for the path or the slots, and those of [`send_uevent`].
pub async fn kobject_fork_told(core: &Core, kobj: KobjId, parent: i32, child: i32) -> Result<(), Errno> {
    enter_kobject_fork(core, parent, child);
    let outcome = do_kobject_fork::<true>(core, kobj, parent, child).await;
    core.count_fork(core.config.kobject_uevent, outcome);
    core.m.leave("kobject_fork", None);
    outcome
}

/// `TOLD` only says which caller this copy is for: with one caller each it stands inside of it, and the patch's is fast.
async fn do_kobject_fork<const TOLD: bool>(core: &Core, kobj: KobjId, parent: i32, child: i32) -> Result<(), Errno> {
    let path = kobject_get_path(core, kobj, Gfp::KERNEL).await?;
    let slots = u32::try_from(FORK_BUFFER_NB).expect("5") * POINTER;
    let Some(envp) = sim::kmalloc!(core.m, site::FORK_ENVP, slots, Gfp::KERNEL) else {
        core.m.kfree(path, "kobject_fork");
        return Err(Errno::NoMem);
    };
    // As `sprintf("%i")` writes them: eleven bytes at the most, of the FORK_BUFFER_SIZE that each has.
    let (mut ppid, mut cpid) = (itoa::Buffer::new(), itoa::Buffer::new());
    let slots: [_; FORK_BUFFER_NB] = [
        Some(&b"Not used"[..]),
        Some(b"Not used"),
        Some(ppid.format(parent).as_bytes()),
        Some(cpid.format(child).as_bytes()),
        None,
    ];
    let mut text = core.take_scratch();
    // As in Core::string().
    let _ = core.m.buf(path, "strlen()", |buf| text.extend_from_slice(buf.c_str(0)));
    let result = send_uevent(core, KobjectAction::Fork.string(), &text, Some(&slots), Gfp::KERNEL).await;
    core.keep_scratch(text);
    core.m.kfree(envp, "kobject_fork");
    core.m.kfree(path, "kobject_fork");
    result
}

/// How many fork events went how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForkOutcomes {
    /// Somebody got it.
    pub delivered: u64,
    /// `CONFIG_KOBJECT_UEVENT` is off: `send_uevent()` does nothing, and says 0.
    pub not_configured: u64,
    /// `-EIO`: no socket.
    pub no_socket: u64,
    /// `-ENOMEM`, before any listener was asked.
    pub no_memory: u64,
    /// `-ESRCH`: nobody listens, or every listener is full.
    pub nobody: u64,
    /// `-ENOBUFS`: nobody got it, and a copy could not be made.
    pub no_copy: u64,
    /// The gate of the design kept it back: nothing was allocated. The patch as posted has no gate.
    pub kept: u64,
}

impl ForkOutcomes {
    fn count(&mut self, configured: bool, outcome: Result<(), Errno>) {
        *match outcome {
            Ok(()) if !configured => &mut self.not_configured,
            Ok(()) => &mut self.delivered,
            Err(Errno::Io) => &mut self.no_socket,
            Err(Errno::NoMem) => &mut self.no_memory,
            Err(Errno::Srch) => &mut self.nobody,
            Err(_) => &mut self.no_copy,
        } += 1;
    }

    /// All events that came to their end.
    #[must_use]
    pub fn total(self) -> u64 {
        self.delivered + self.not_configured + self.no_socket + self.no_memory + self.nobody + self.no_copy + self.kept
    }
}

/// Creates the kernel socket. Models `kobject_uevent_init()`, a level-2 initcall: forks before it tell nobody.
///
/// # Errors
/// [`Errno::NoDev`] if it cannot be created; then it stays so for ever.
pub async fn kobject_uevent_init(core: &Core) -> Result<(), Errno> {
    if !core.config.kobject_uevent {
        return Ok(()); // There is no such initcall.
    }
    let sock = netlink_kernel_create(core, NETLINK_KOBJECT_UEVENT).await;
    core.netlink.uevent_sock.set(sock);
    if sock.is_none() {
        core.m.printk(|| "<3>kobject_uevent: unable to create netlink socket!\n".into());
        return Err(Errno::NoDev);
    }
    Ok(())
}

impl Core {
    /// `uevent_sock`.
    #[must_use]
    pub fn uevent_sock(&self) -> Option<SockRef> {
        self.netlink.uevent_sock.get()
    }

    /// Counts how far a fork event came. `configured`: what was to send it is no empty stub.
    #[inline]
    pub fn count_fork(&self, configured: bool, outcome: Result<(), Errno>) {
        self.m.touch(FORK_OUTCOMES, Access::Add);
        self.fork_outcomes.borrow_mut().count(configured, outcome);
    }

    /// The C string in a buffer.
    #[inline]
    fn string(&self, buf: Handle<Buf>) -> Scratch<'_> {
        let mut string = self.scratch();
        // A buffer that is gone was reported; what is read instead does not matter.
        let _ = self.m.buf_look(buf, "strlen()", |buf| string.extend_from_slice(buf.c_str(0)));
        string
    }
}

/// Where a slot of a hotplug environment points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Into the hotplug buffer, at this offset.
    Buffer(usize),
    /// At a string elsewhere.
    Text(Vec<u8>),
}

/// What a hotplug operation may add to an event: the rest of the slots and of the buffer.
pub struct HotplugEnv<'a> {
    core: &'a Core,
    buffer: Handle<Buf>,
    /// Where the rest of the buffer starts.
    start: usize,
    /// The slots, all of them NULL at first.
    pub envp: &'a mut [Option<Slot>],
    /// How many slots there are, as the kernel says it.
    pub num_envp: i32,
    /// Bytes left in the buffer, as the kernel says it: may be 0 or less (experiment G17).
    pub buffer_size: i32,
}

impl<'a> HotplugEnv<'a> {
    /// An environment over the bytes of `buffer` from `start` on.
    pub fn new(
        core: &'a Core,
        buffer: Handle<Buf>,
        start: usize,
        envp: &'a mut [Option<Slot>],
        sizes: (i32, i32),
    ) -> Self {
        HotplugEnv { core, buffer, start, envp, num_envp: sizes.0, buffer_size: sizes.1 }
    }
}

/// Says whether an event of the object is sent: 0 keeps it back.
pub type Filter = Box<dyn Fn(KsetId, KobjId) -> i32>;
/// Gives the subsystem's name for an object; `None` is NULL.
pub type NameOp = Box<dyn Fn(KsetId, KobjId) -> Option<Vec<u8>>>;
/// Adds variables to an event; anything but 0 drops it.
pub type HotplugOp = Box<dyn Fn(KsetId, KobjId, &mut HotplugEnv<'_>) -> i32>;

/// Models `struct kset_hotplug_ops`; each may be absent.
#[derive(Default)]
pub struct HotplugOps {
    /// 0 keeps the event from being sent.
    pub filter: Option<Filter>,
    /// The subsystem's name; NULL falls back to the kset's.
    pub name: Option<NameOp>,
    /// Adds variables; anything but 0 drops the event.
    pub hotplug: Option<HotplugOp>,
}

/// The next sequence number; `sequence_lock` is left out, since no point lies between its lock and its unlock.
fn next_seqnum(core: &Core) -> u64 {
    core.m.touch(HOTPLUG_SEQNUM, Access::Write);
    let seq = core.hotplug_seqnum.get().wrapping_add(1);
    core.hotplug_seqnum.set(seq);
    seq
}

/// Tells user space of an event on an object, by netlink and by a helper process, with variables from its kset.
///
/// Models `lib/kobject_uevent.c:kobject_hotplug()` (Linux 2.6.11). It returns nothing.
///
/// The error-free path:
/// - finds the nearest kset, asks its filter, and for the subsystem's name;
/// - allocates 32 slots ([`site::HOTPLUG_ENVP`]), 1,024 bytes ([`site::HOTPLUG_BUFFER`]) and the path ([`site::PATH`]);
/// - writes `ACTION`, `DEVPATH`, `SUBSYSTEM`, leaves 28 bytes for `SEQNUM`, lets the kset add more, counts, fills `SEQNUM`;
/// - [`send_uevent`], then `call_usermodehelper()`; both results are dropped.
///
/// # Violations
/// [`sim::Rule::OutOfBounds`]: a path from 980 characters on; nothing bounds `DEVPATH` and `SUBSYSTEM` (G16).
pub async fn kobject_hotplug(core: &Core, kobj: KobjId, action: i32) {
    if !core.config.hotplug {
        return; // The empty stub of include/linux/kobject_uevent.h.
    }
    // The kset is asked before that: experiment G22.
    if core.has(Fix::ActionFirst) && action_to_string(action).is_none() {
        return;
    }
    let Some((kset, kset_kobj)) = core.nearest_kset(kobj) else { return };
    let ops = core.kset_look(kset, |kset| kset.hotplug_ops.clone());
    if let Some(filter) = ops.as_ref().and_then(|ops| ops.filter.as_ref()) {
        let ret = filter(kset, kobj);
        core.m.call(
            "op_filter",
            || vec![("kset", kset.index().into()), ("kobj", kobj.index().into())],
            Some(ret.into()),
        );
        if ret == 0 {
            return;
        }
    }
    let Some(action) = action_to_string(action) else { return };
    let slots = u32::try_from(NUM_ENVP).expect("32") * POINTER;
    let Some(envp) = core.m.kmalloc(site::HOTPLUG_ENVP, slots, Gfp::KERNEL).await else { return };
    let buffer = core.m.kmalloc(site::HOTPLUG_BUFFER, BUFFER_SIZE, Gfp::KERNEL).await;
    let mut path = None;
    if let Some(buffer) = buffer {
        let name = ops.as_ref().and_then(|ops| ops.name.as_ref()).and_then(|op| {
            let name = op(kset, kobj);
            let args = || {
                let mut args = vec![("kset", kset.index().into()), ("kobj", kobj.index().into())];
                args.extend(name.as_deref().map(|name| ("ret", name.into()))); // Left out: NULL.
                args
            };
            core.m.call("op_name", args, None);
            name
        });
        // Without a name op the text comes from the array, not through the pointer: 19 bytes at the most (G18).
        let name = name.unwrap_or_else(|| match core.has(Fix::WholeSubsystem) {
            true => core.name(kset_kobj).unwrap_or_default(),
            false => core.kobj_look(kset_kobj, |k| sim::mm::c_str(&k.name).to_vec()), // Experiment G18.
        });
        path = kobject_get_path(core, kobj, Gfp::KERNEL).await.ok();
        if let Some(path) = path {
            let event = Hotplug { action, name, kset, kobj, buffer, path: core.string(path) };
            event.send(core, ops.as_ref().and_then(|ops| ops.hotplug.as_ref())).await;
        }
    }
    for memory in [path, buffer, Some(envp)] {
        match memory {
            Some(memory) => core.m.kfree(memory, "kobject_hotplug"),
            None => core.m.kfree_null("kobject_hotplug"),
        }
    }
}

/// The part of `kobject_hotplug()` that has all its memory.
struct Hotplug<'a> {
    action: &'static [u8],
    name: Vec<u8>,
    kset: KsetId,
    kobj: KobjId,
    buffer: Handle<Buf>,
    path: Scratch<'a>,
}

impl Hotplug<'_> {
    async fn send(&self, core: &Core, hotplug_op: Option<&HotplugOp>) {
        let text = |text: &[u8]| Some(Slot::Text(text.to_vec()));
        let mut envp = vec![text(b"HOME=/"), text(b"PATH=/sbin:/bin:/usr/sbin:/usr/bin")];
        let mut scratch = 0;
        for part in [[b"ACTION=", self.action], [b"DEVPATH=", &self.path], [b"SUBSYSTEM=", &self.name]] {
            let part = [part.concat(), vec![0]].concat();
            // Nothing bounds these three: experiment G16.
            if core.has(Fix::BoundHotplug) && scratch + part.len() > BUFFER_SIZE as usize {
                return;
            }
            envp.push(Some(Slot::Buffer(scratch)));
            core.m.write_at(self.buffer, scratch, &part, "kobject_hotplug: sprintf()");
            scratch += part.len();
        }
        let seq_at = scratch;
        envp.push(Some(Slot::Buffer(seq_at)));
        scratch += b"SEQNUM=18446744073709551616\0".len();
        envp.resize(NUM_ENVP, None);
        if let Some(op) = hotplug_op {
            let first = 6;
            let num_envp = i32::try_from(NUM_ENVP - first).expect("26");
            let left = BUFFER_SIZE.cast_signed() - i32::try_from(scratch).expect("paths are small");
            // It may be less than nothing: experiment G17.
            if core.has(Fix::BoundHotplug) && left < 0 {
                return;
            }
            let args = || {
                vec![
                    ("kset", self.kset.index().into()),
                    ("kobj", self.kobj.index().into()),
                    ("num_envp", num_envp.into()),
                    ("buffer_size", left.into()),
                ]
            };
            core.m.call("op_hotplug", args, None);
            let mut env = HotplugEnv::new(core, self.buffer, scratch, &mut envp[first..], (num_envp, left));
            if op(self.kset, self.kobj, &mut env) != 0 {
                return;
            }
        }
        let seqnum = format!("SEQNUM={}\0", next_seqnum(core));
        // Refused here, the number is used up all the same: a listener sees the gap.
        if core.has(Fix::BoundHotplug) && seq_at + seqnum.len() > BUFFER_SIZE as usize {
            return;
        }
        core.m.write_at(self.buffer, seq_at, seqnum.as_bytes(), "kobject_hotplug: sprintf()");
        let strings = self.strings(core, &envp);
        let slots: Vec<_> = strings.iter().map(|string| Some(string.as_slice())).collect();
        // The kernel ignores the result; so does this.
        let _ = send_uevent(core, self.action, &self.path, Some(&slots), Gfp::KERNEL).await;
        self.call_usermodehelper(core, strings);
    }

    /// The environment up to its first NULL slot, as strings.
    fn strings(&self, core: &Core, envp: &[Option<Slot>]) -> Vec<Vec<u8>> {
        let string = |slot: &Slot| match slot {
            Slot::Text(text) => text.clone(),
            Slot::Buffer(at) => core.m.buf(self.buffer, "strlen()", |buf| buf.c_str(*at).to_vec()).unwrap_or_default(),
        };
        envp.iter().map_while(Option::as_ref).map(string).collect()
    }

    /// Starts the helper, does not wait for it. DIFFERENCE: only traced; nothing runs.
    fn call_usermodehelper(&self, core: &Core, envp: Vec<Vec<u8>>) {
        let path = core.hotplug_path.borrow();
        if path.is_empty() {
            return;
        }
        let args = || {
            vec![
                ("path", path.as_slice().into()),
                ("argv", sim::Value::List(vec![path.clone(), self.name.clone()])),
                ("envp", sim::Value::List(envp)),
                ("wait", 0.into()),
            ]
        };
        core.m.call("call_usermodehelper", args, Some(core.usermodehelper_rc.get()));
    }
}

/// Adds one formatted variable to a hotplug environment. Models `lib/kobject_uevent.c:add_hotplug_env_var()`.
///
/// `cur_index` and `cur_len` are the caller's: the next free slot, the bytes used.
///
/// # Errors
/// [`Errno::NoMem`]:
/// - no slot left (one must stay for the NULL); nothing changed;
/// - no room left: the slot points at a truncated copy, `cur_len` has advanced all the same and `cur_index` has not,
///   so that every later call fails, too (experiment G19).
pub fn add_hotplug_env_var(
    env: &mut HotplugEnv<'_>,
    cur_index: &mut i32,
    cur_len: &mut i32,
    format: &[u8],
    args: &[Arg<'_>],
) -> Result<(), Errno> {
    let result = add_var(env, cur_index, cur_len, format, args);
    let seen = || vec![("cur_index", (*cur_index).into()), ("cur_len", (*cur_len).into())];
    env.core.m.call("add_hotplug_env_var", seen, Some(result.rc()));
    result
}

fn add_var(
    env: &mut HotplugEnv<'_>,
    cur_index: &mut i32,
    cur_len: &mut i32,
    format: &[u8],
    args: &[Arg<'_>],
) -> Result<(), Errno> {
    if *cur_index >= env.num_envp - 1 {
        return Err(Errno::NoMem);
    }
    let at = env.start + usize::try_from(*cur_len).expect("a length only grows");
    env.envp[usize::try_from(*cur_index).expect("an index only grows")] = Some(Slot::Buffer(at));
    let room = (env.buffer_size - *cur_len).max(0);
    let before = *cur_len;
    let mut bytes = vec![0; room.cast_unsigned() as usize];
    let need = vsnprintf(&mut bytes, room, format, args);
    bytes.truncate(need + 1); // What vsnprintf() wrote: the text and its NUL, cut off at the room.
    if !bytes.is_empty() {
        env.core.m.write_at(env.buffer, at, &bytes, "add_hotplug_env_var");
    }
    *cur_len += i32::try_from(need + 1).expect("variables are small");
    if *cur_len > env.buffer_size {
        // The length has advanced for nothing, and a slot points at a torso: experiment G19.
        if env.core.has(Fix::FailedVariable) {
            *cur_len = before;
            env.envp[usize::try_from(*cur_index).expect("an index only grows")] = None;
        }
        return Err(Errno::NoMem);
    }
    *cur_index += 1;
    Ok(())
}
