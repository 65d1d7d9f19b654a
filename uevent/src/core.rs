//! The state that the kernel keeps in static variables of `lib/`, `net/core/` and `net/netlink/`.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use sim::mm::{Kind, Ledger, LiveEntry};
use sim::{Cache, Machine, rare};

use crate::af_netlink::{Netlink, Sock};
use crate::cn_proc::Listening;
use crate::era::Era;
use crate::fix::{Fix, Fixes};
use crate::kobject::{Kobject, Kset, Subsystem};
use crate::kobject_uevent::ForkOutcomes;
use crate::skbuff::SkBuff;
use crate::sysfs::Sysfs;

/// How the kernel was configured, as far as this path depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `CONFIG_HOTPLUG`: without it `kobject_hotplug()` is an empty stub.
    pub hotplug: bool,
    /// `CONFIG_KOBJECT_UEVENT`: without it `send_uevent()` is an empty stub, and there is no uevent socket.
    pub kobject_uevent: bool,
    /// `sizeof(struct sk_buff)` in bytes: 232, more with netfilter and others.
    pub sizeof_sk_buff: u32,
    /// `sysctl_rmem_default` and `sysctl_rmem_max`, in bytes.
    pub rmem: (i32, i32),
    /// Uevents stay in the network namespace of their device, as since 2018. DIFFERENCE: 2.6.11 has no such namespaces.
    pub uevents_stay: bool,
    /// Whose accounting of receive buffers it has.
    pub era: Era,
    /// Bytes of an object of `skbuff_small_head`, which only later eras have: 576, or 640 in a kernel with wireless LAN.
    pub small_head: u32,
    /// Which genuine defects are repaired: none.
    pub fixes: Fixes,
}

impl Default for Config {
    /// The x86_64 kernel of the vectors.
    fn default() -> Config {
        Config {
            hotplug: true,
            kobject_uevent: true,
            sizeof_sk_buff: 232,
            rmem: Era::Linux2_6_11.rmem(),
            uevents_stay: false,
            era: Era::Linux2_6_11,
            small_head: 576,
            fixes: Fixes::NONE,
        }
    }
}

/// A configuration of which no kernel can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `fork.c` calls `kobject_fork()`, which then exists nowhere.
    #[error(
        "with CONFIG_HOTPLUG and CONFIG_KOBJECT_UEVENT both off the patched kernel does not link: kobject_fork() is missing"
    )]
    DoesNotLink,
}

/// The driver core and the network core of one simulated kernel.
pub struct Core {
    /// The machine it runs on.
    pub m: Rc<Machine>,
    /// How it was configured.
    pub config: Config,
    pub(crate) kobjects: RefCell<Vec<Kobject>>,
    pub(crate) ksets: RefCell<Vec<Kset>>,
    pub(crate) subsystems: RefCell<Vec<Rc<Subsystem>>>,
    /// Directories of sysfs.
    pub sysfs: Sysfs,
    /// `hotplug_seqnum`, guarded by `sequence_lock`.
    pub hotplug_seqnum: Cell<u64>,
    /// `hotplug_path`, `/sbin/hotplug` by default; empty: no helper.
    pub hotplug_path: RefCell<Vec<u8>>,
    /// What `call_usermodehelper()` answers; 0 by default.
    pub usermodehelper_rc: Cell<i64>,
    /// How far the fork events came that `kobject_fork()` swallowed the results of. The kernel does not count them.
    pub fork_outcomes: RefCell<ForkOutcomes>,
    /// Strings of environments that [`send_uevent`](crate::kobject_uevent::send_uevent) was given, and those of them that
    /// it wrote. The kernel does not count them.
    pub env_strings: Cell<(u64, u64)>,
    pub(crate) skbs: Cache<SkBuff>,
    pub(crate) socks: Cache<Sock>,
    pub(crate) netlink: Netlink,
    /// What listeners have said of themselves, for designs that ask.
    pub listening: Listening,
    /// Room that nobody uses just now.
    scratch: Cell<Vec<u8>>,
}

/// Bytes outside of the simulated memory, on their way from one buffer of it to another; given back for reuse when dropped.
pub(crate) struct Scratch<'a> {
    core: &'a Core,
    bytes: Vec<u8>,
}

impl Deref for Scratch<'_> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Scratch<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Scratch<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.bytes.clear();
        self.core.scratch.set(std::mem::take(&mut self.bytes));
    }
}

impl Core {
    /// A core before any initcall: no socket, no kobject.
    ///
    /// # Errors
    /// [`ConfigError`] for a configuration of which no patched kernel can be built.
    pub fn new(m: Rc<Machine>, config: Config) -> Result<Core, ConfigError> {
        if !config.hotplug && !config.kobject_uevent {
            return Err(ConfigError::DoesNotLink);
        }
        Ok(Core {
            m,
            config,
            kobjects: RefCell::default(),
            ksets: RefCell::default(),
            subsystems: RefCell::default(),
            sysfs: Sysfs::default(),
            hotplug_seqnum: Cell::new(0),
            hotplug_path: RefCell::new(b"/sbin/hotplug".to_vec()),
            usermodehelper_rc: Cell::new(0),
            fork_outcomes: RefCell::default(),
            env_strings: Cell::default(),
            skbs: Cache::new(Kind::CacheAlloc).named("sk_buff"),
            socks: Cache::new(Kind::CacheAlloc).named("sock"),
            netlink: Netlink::default(),
            listening: Listening::default(),
            scratch: Cell::default(),
        })
    }

    /// Whether it has what copies would share: ksets with the functions of their owners, and messages on their way.
    #[must_use]
    pub fn shares(&self) -> bool {
        !self.ksets.borrow().is_empty() || !self.subsystems.borrow().is_empty() || !self.skbs.is_empty()
    }

    /// Makes a core that is used up the same as this one, in its room. Its machine is left to whoever owns it.
    ///
    /// # Panics
    /// If [`Core::shares`].
    pub fn copy_over(&self, used: &mut Core) {
        assert!(!self.shares(), "it has what copies would share");
        // By its fields, so that none is forgotten.
        let Core {
            m: _,
            config,
            kobjects,
            ksets,
            subsystems,
            sysfs,
            hotplug_seqnum,
            hotplug_path,
            usermodehelper_rc,
            fork_outcomes,
            env_strings,
            skbs,
            socks,
            netlink,
            listening,
            scratch: _,
        } = used;
        config.clone_from(&self.config);
        kobjects.clone_from(&self.kobjects);
        ksets.get_mut().clear();
        subsystems.get_mut().clear();
        self.sysfs.copy_over(sysfs);
        hotplug_seqnum.clone_from(&self.hotplug_seqnum);
        hotplug_path.clone_from(&self.hotplug_path);
        usermodehelper_rc.clone_from(&self.usermodehelper_rc);
        fork_outcomes.clone_from(&self.fork_outcomes);
        env_strings.clone_from(&self.env_strings);
        self.skbs.copy_over(skbs);
        self.socks.copy_over(socks);
        self.netlink.copy_over(netlink);
        listening.clone_from(&self.listening);
    }

    /// Whether this defect is repaired here.
    #[inline(always)]
    pub(crate) fn has(&self, fix: Fix) -> bool {
        rare(self.config.fixes.has(fix))
    }

    /// The same for the one path that every fork takes: given back by hand, so that nothing stands out of line.
    #[inline(always)]
    pub(crate) fn take_scratch(&self) -> Vec<u8> {
        self.scratch.take()
    }

    /// Gives back what [`Core::take_scratch`] gave.
    #[inline(always)]
    pub(crate) fn keep_scratch(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.scratch.set(bytes);
    }

    /// No bytes yet, and room for some.
    #[inline]
    pub(crate) fn scratch(&self) -> Scratch<'_> {
        Scratch { core: self, bytes: self.scratch.take() }
    }

    /// Everything of this layer that is still allocated, oldest first.
    #[must_use]
    pub fn live(&self) -> Vec<LiveEntry> {
        self.m.live(&self.ledgers())
    }

    /// The object caches of this layer, for a leak check of the whole.
    #[must_use]
    pub fn ledgers(&self) -> [&dyn Ledger; 2] {
        [&self.skbs, &self.socks]
    }
}
