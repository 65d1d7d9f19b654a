//! Whose accounting a simulated kernel has: the numbers that decide when a listener loses a message, by version.
//!
//! | | [`Era::Linux2_6_11`] | [`Era::Linux6_18`] |
//! |---|---|---|
//! | data of a message of m bytes | m, rounded up to the cache line | what its slab object has left: 256 of `skbuff_small_head`, or the next power of two less 320 |
//! | charge (`truesize`) | `sk_buff` and data | `sk_buff`, data and the 320 bytes of `skb_shared_info` |
//! | charge after a trim | less by the bytes cut off | that of the new area |
//! | admitted | while what is queued fits | if it fits with the message; an empty queue takes any |
//! | the sender yields | above the whole buffer | above half of it |
//! | `SO_RCVBUF` is at least | 256 | 2,304 |
//! | a process sends to a mask of groups | to all of them | to the lowest |
//! | a clone fails, nobody has it | -ENOBUFS | -ESRCH |
//!
//! What is not in this list is the same in both: the doubling, the latch and who releases it, the order of delivery.
//! `tests/parity.rs` holds the second column against the kernel it runs on; `docs/parity.md` has what it found.
//!
//! DIFFERENCE: only the accounting is of that version. Allocation sites, the order of the steps and the slab's own size
//! classes stay those of 2.6.11.

use sim::{Errno, Gfp};

use crate::af_netlink::{Lost, SOCK_MIN_RCVBUF, SockRef};
use crate::skbuff::{SIZEOF_SKB_SHARED_INFO, Skb, alloc_skb};
use crate::{Config, Core, Fix, MemInfo};

/// `SKB_DATA_ALIGN(sizeof(struct skb_shared_info))` of 6.18 on x86_64.
const SHARED_INFO_6_18: u32 = 320;
/// A larger buffer for one port comes from `vmalloc()`.
const PAGE_SIZE: u32 = 4096;
/// `SOCK_MIN_RCVBUF` of 6.18: 2,048 and an `sk_buff`.
const SOCK_MIN_RCVBUF_6_18: i32 = 2304;
/// `-ENODATA`.
const ENODATA: u16 = 61;
/// `-ENOPROTOOPT`.
const ENOPROTOOPT: u16 = 92;

/// A kernel version, as far as receive buffers are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Era {
    /// As the patch met it, and as the vectors were recorded.
    #[default]
    Linux2_6_11,
    /// As measured on Linux 6.18.
    Linux6_18,
}

impl Era {
    /// All of them, oldest first.
    pub const ALL: [Era; 2] = [Era::Linux2_6_11, Era::Linux6_18];

    /// Its version, as scenario files and flags have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Era::Linux2_6_11 => "2.6.11",
            Era::Linux6_18 => "6.18",
        }
    }

    /// The era of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Era> {
        Era::ALL.into_iter().find(|era| era.name() == name)
    }

    /// `sysctl_rmem_default` and `sysctl_rmem_max` as the kernel sets them, in bytes.
    #[must_use]
    pub const fn rmem(self) -> (i32, i32) {
        match self {
            Era::Linux2_6_11 => (124_928, 124_928),
            Era::Linux6_18 => (212_992, 4_194_304),
        }
    }

    #[inline(always)]
    fn is_6_18(self) -> bool {
        self == Era::Linux6_18
    }
}

impl Config {
    /// The default configuration with the accounting and the buffers of an era.
    #[must_use]
    pub fn of(era: Era) -> Config {
        Config { era, rmem: era.rmem(), ..Config::default() }
    }
}

impl Core {
    /// Bytes of data that a buffer for `size` bytes has. Models `SKB_DATA_ALIGN()` in `alloc_skb()`; for 6.18
    /// `net/core/skbuff.c:kmalloc_reserve()`, which gives the message all that the slab object has.
    #[inline]
    pub(crate) fn data_area(&self, size: u32) -> u32 {
        match self.config.era {
            Era::Linux2_6_11 => self.skb_data_align(size),
            Era::Linux6_18 => self.object(size) - SHARED_INFO_6_18,
        }
    }

    /// The slab object or the pages in which data and `skb_shared_info` lie, in bytes. Models `kmalloc_size_roundup()`.
    fn object(&self, size: u32) -> u32 {
        let line = u64::from(self.m.config().smp_cache_bytes);
        let needed = u64::from(size).next_multiple_of(line) + u64::from(SHARED_INFO_6_18);
        if needed <= self.config.small_head.into() {
            return self.config.small_head;
        }
        // What does not fit 32 bits is more than any allocation gives.
        u32::try_from(needed.next_power_of_two()).unwrap_or(u32::MAX)
    }

    /// Bytes behind the data. Models `sizeof(struct skb_shared_info)`.
    #[inline]
    pub(crate) fn shared_info(&self) -> u32 {
        if self.config.era.is_6_18() { SHARED_INFO_6_18 } else { SIZEOF_SKB_SHARED_INFO }
    }

    /// The charge of a buffer with so many bytes of data. Models `SKB_TRUESIZE()`.
    #[inline]
    pub(crate) fn truesize(&self, area: u32) -> u32 {
        let sizeof = self.config.sizeof_sk_buff;
        match self.config.era {
            Era::Linux2_6_11 => area.wrapping_add(sizeof),
            Era::Linux6_18 => area.wrapping_add(self.skb_data_align(sizeof)).wrapping_add(SHARED_INFO_6_18),
        }
    }

    /// Bytes that a message of `len` bytes is charged with, allocated at exactly its length and not trimmed.
    #[must_use]
    pub fn charge_of(&self, len: u32) -> u32 {
        self.truesize(self.data_area(len))
    }

    /// Whether a trim changes the charge to that of the new area: `pskb_expand_head()` of 6.18, or [`Fix::ChargeArea`].
    #[inline]
    pub(crate) fn charges_area(&self) -> bool {
        self.config.era.is_6_18() || self.has(Fix::ChargeArea)
    }

    /// Whether a queue with this charge takes a message.
    ///
    /// Models the test in `netlink_broadcast_deliver()` and `netlink_attachskb()`: what is there against the limit; in
    /// 6.18 what would be there, and an empty queue always takes one.
    #[inline]
    pub(crate) fn admits(&self, skb: Skb, rmem: i32, rcvbuf: i32) -> bool {
        // What this message adds is not asked for in 2.6.11: experiment G29.
        let later = self.config.era.is_6_18();
        if !later && !self.has(Fix::ChargeFirst) {
            return rmem <= rcvbuf;
        }
        let adds = self.skb_look(skb, |skb| skb.truesize);
        later && rmem == 0 || i64::from(rmem) + i64::from(adds) <= i64::from(rcvbuf)
    }

    /// Whether a queue is so full that its sender yields.
    #[inline]
    pub(crate) fn crowded(&self, rmem: i32, rcvbuf: i32) -> bool {
        rmem > if self.config.era.is_6_18() { rcvbuf >> 1 } else { rcvbuf }
    }

    /// The groups that a message of a process goes to. Models what `netlink_sendmsg()` makes of `nl_groups`.
    pub(crate) fn addressed(&self, groups: u32) -> u32 {
        if self.config.era.is_6_18() { groups & groups.wrapping_neg() } else { groups }
    }

    /// The smallest `sk_rcvbuf` that a process can set. Models `SOCK_MIN_RCVBUF`.
    #[must_use]
    pub fn sock_min_rcvbuf(&self) -> i32 {
        if self.config.era.is_6_18() { SOCK_MIN_RCVBUF_6_18 } else { SOCK_MIN_RCVBUF }
    }

    /// Whether a sender is told that the one clone that somebody would have got could not be made.
    pub(crate) fn tells_failed_clone(&self) -> bool {
        !self.config.era.is_6_18()
    }

    /// Whether a receiver sees the group that a broadcast went to: 6.18, or [`Fix::SenderGroup`].
    #[inline]
    pub(crate) fn notes_group(&self) -> bool {
        self.config.era.is_6_18() || self.has(Fix::SenderGroup)
    }

    /// What a socket is charged with now. Models `net/core/sock.c:sk_get_meminfo()`, which 2.6.11 has not.
    #[must_use]
    pub fn meminfo(&self, sk: SockRef) -> MemInfo {
        let drops = |lost: Lost| u32::try_from(lost.total() - lost.refused).unwrap_or(u32::MAX);
        self.sock(sk, |s| MemInfo {
            rmem_alloc: s.rmem_alloc.get().cast_unsigned(),
            rcvbuf: s.rcvbuf.cast_unsigned(),
            drops: drops(s.lost),
        })
    }
}

/// Sets the receive buffer as `setsockopt(SO_RCVBUFFORCE)` does for `CAP_NET_ADMIN`: doubled, not capped.
///
/// Models that case of `net/core/sock.c:sk_setsockopt()`. A negative value counts as 0.
///
/// # Errors
/// -ENOPROTOOPT in 2.6.11, which does not know the option.
pub fn so_rcvbufforce(core: &Core, sk: SockRef, value: i32) -> Result<(), Errno> {
    if !core.config.era.is_6_18() {
        return Err(Errno::from_number(ENOPROTOOPT));
    }
    let doubled = value.clamp(0, i32::MAX / 2) * 2;
    core.sock(sk, |s| s.rcvbuf = doubled.max(core.sock_min_rcvbuf()));
    Ok(())
}

/// The buffer for a message of a process. Models `netlink_alloc_large_skb()` (6.18); `alloc_skb()` in 2.6.11.
///
/// To one port a message that would need more than a page lies in `vmalloc()`ed memory, and is charged to the cache line.
/// DIFFERENCE: the simulated memory of such a message is that of `alloc_skb()`.
///
/// # Errors
/// - -ENODATA in 6.18: it is empty.
/// - [`Errno::NoMem`]: those of [`alloc_skb`].
pub(crate) async fn netlink_alloc_large_skb(core: &Core, len: usize, broadcast: bool) -> Result<Skb, Errno> {
    let later = core.config.era.is_6_18();
    if later && len == 0 {
        return Err(Errno::from_number(ENODATA));
    }
    let size = u32::try_from(len).unwrap_or(u32::MAX);
    let skb = alloc_skb(core, size, Gfp::KERNEL).await?;
    let area = core.skb_data_align(size);
    if later && !broadcast && area + SHARED_INFO_6_18 > PAGE_SIZE {
        let truesize = core.truesize(area);
        core.skb(skb, |skb| (skb.end, skb.truesize) = (area, truesize));
    }
    Ok(skb)
}
