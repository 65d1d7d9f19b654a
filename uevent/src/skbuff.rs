//! Socket buffers. Models `net/core/skbuff.c` (Linux 2.6.11), in its order.

use std::cell::Cell;
use std::rc::Rc;

use sim::mm::Buf;
use sim::{Errno, Gfp, Handle};

use crate::{Core, site};

/// `sizeof(struct skb_shared_info)`, which stands behind the data.
pub const SIZEOF_SKB_SHARED_INFO: u32 = 312;

/// One `struct sk_buff`: a view of a data buffer that clones may share.
#[derive(Debug)]
pub struct SkBuff {
    /// Bytes of message.
    pub len: u32,
    /// Bytes that are charged to a receiver.
    pub truesize: u32,
    /// References to this sk_buff.
    pub users: u32,
    /// Set when the data was ever shared with a clone.
    pub cloned: bool,
    /// Where the message starts in the data area: the head room.
    pub data: u32,
    /// Bytes of data area, without `skb_shared_info`.
    pub end: u32,
    /// The data area.
    pub head: Handle<Buf>,
    /// `sk_rmem_alloc` of the socket that pays; set means the destructor is `sock_rfree`.
    pub owner: Option<Rc<Cell<i32>>>,
}

/// A pointer to an sk_buff.
pub type Skb = Handle<SkBuff>;

impl SkBuff {
    fn tail(&self) -> u32 {
        self.data + self.len
    }

    /// Bytes between the end of the message and the end of the data area.
    #[must_use]
    pub fn tail_room(&self) -> u32 {
        self.end - self.tail()
    }
}

impl Core {
    /// Reads or changes an sk_buff.
    ///
    /// # Panics
    /// If it was freed: the model itself never looks at a freed one.
    #[inline]
    pub fn skb<R>(&self, skb: Skb, f: impl FnOnce(&mut SkBuff) -> R) -> R {
        self.skbs.with(&self.m, skb, "sk_buff", f).expect("the model holds a reference")
    }

    /// The users of the data of an sk_buff: `skb_shinfo(skb)->dataref`.
    #[must_use]
    pub fn dataref(&self, skb: Skb) -> u32 {
        self.data(skb, |buf| buf.dataref)
    }

    fn data<R>(&self, skb: Skb, f: impl FnOnce(&mut Buf) -> R) -> R {
        let head = self.skb(skb, |skb| skb.head);
        self.m.buf(head, "sk_buff", f).expect("the data lives as long as the sk_buff")
    }

    /// Reads the message.
    #[inline]
    pub fn message<R>(&self, skb: Skb, f: impl FnOnce(&[u8]) -> R) -> R {
        let (from, to, head) = self.skb(skb, |skb| (skb.data as usize, skb.tail() as usize, skb.head));
        self.m.buf(head, "sk_buff", |buf| f(&buf.bytes()[from..to])).expect("the data lives as long as the sk_buff")
    }

    /// Rounds up to the cache line, in 32 bits. Models `SKB_DATA_ALIGN()`.
    #[must_use]
    pub fn skb_data_align(&self, size: u32) -> u32 {
        let line = self.m.config().smp_cache_bytes;
        size.wrapping_add(line - 1) & !(line - 1)
    }
}

/// Models `skb_over_panic()`: logs, and dies.
async fn skb_over_panic(core: &Core, len: u32, put: u32) -> std::convert::Infallible {
    core.m.printk(|| format!("<6>skput:over: <addr>:{len} put:{put} dev:<NULL>"));
    core.m.bug("net/core/skbuff.c", "skb_over_panic").await
}

/// Allocates an sk_buff with room for `size` bytes, rounded up to the cache line.
///
/// Models `net/core/skbuff.c:alloc_skb()` (Linux 2.6.11). The size is rounded in 32 bits: 0xffffffff asks for nothing
/// and gets an empty buffer. The charge is the rounded size and the sk_buff, without the 312 bytes behind the data.
///
/// # Errors
/// [`Errno::NoMem`]: [`site::SKB_HEAD`] or [`site::SKB_DATA`] failed.
pub async fn alloc_skb(core: &Core, size: u32, gfp: Gfp) -> Result<Skb, Errno> {
    // The data comes after the head, so the head is born without one.
    let sizeof = core.config.sizeof_sk_buff;
    let end = core.skb_data_align(size);
    let truesize = end.wrapping_add(sizeof);
    let blank =
        SkBuff { len: 0, truesize, users: 1, cloned: false, data: 0, end, head: Handle::dangling(), owner: None };
    let skb =
        core.skbs.alloc(&core.m, site::SKB_HEAD, sizeof, gfp.without(Gfp::DMA), blank).await.ok_or(Errno::NoMem)?;
    match core.m.kmalloc(site::SKB_DATA, end.wrapping_add(SIZEOF_SKB_SHARED_INFO), gfp).await {
        Some(head) => core.skb(skb, |skb| skb.head = head),
        None => {
            core.skbs.free(&core.m, skb, "alloc_skb");
            return Err(Errno::NoMem);
        }
    }
    Ok(skb)
}

fn skb_release_data(core: &Core, skb: Skb) {
    let (cloned, head) = core.skb(skb, |skb| (skb.cloned, skb.head));
    let left = core.data(skb, |buf| {
        buf.dataref -= u32::from(cloned);
        if cloned { buf.dataref } else { 0 }
    });
    if left == 0 {
        core.m.kfree(head, "skb_release_data");
    }
}

/// Models `kfree_skbmem()`: the data if nobody else uses it, then the sk_buff.
fn kfree_skbmem(core: &Core, skb: Skb) {
    skb_release_data(core, skb);
    core.skbs.free(&core.m, skb, "kfree_skbmem");
}

/// Models `__kfree_skb()`: the destructor, then the memory.
fn __kfree_skb(core: &Core, skb: Skb) {
    skb_orphan(core, skb);
    kfree_skbmem(core, skb);
}

/// Drops a reference; the last one frees. Models `kfree_skb()`.
pub fn kfree_skb(core: &Core, skb: Skb) {
    let last = core.skb(skb, |skb| {
        skb.users -= 1;
        skb.users == 0
    });
    if last {
        __kfree_skb(core, skb);
    }
}

/// Takes a reference. Models `skb_get()`.
pub fn skb_get(core: &Core, skb: Skb) -> Skb {
    core.skb(skb, |skb| skb.users += 1);
    skb
}

/// Takes the charge back from the socket that paid. Models `skb_orphan()` with the destructor `sock_rfree()`.
pub fn skb_orphan(core: &Core, skb: Skb) {
    core.skb(skb, |skb| {
        if let Some(rmem) = skb.owner.take() {
            rmem.set(rmem.get() - truesize(skb.truesize));
        }
    });
}

/// A charge as `atomic_t` counts it.
pub(crate) fn truesize(bytes: u32) -> i32 {
    bytes.cast_signed()
}

/// Models `skb_clone()`: one more sk_buff on the same data.
///
/// # Errors
/// [`Errno::NoMem`]: [`site::CLONE_HEAD`] failed.
pub async fn skb_clone(core: &Core, skb: Skb, gfp: Gfp) -> Result<Skb, Errno> {
    let copy = core.skb(skb, |skb| SkBuff { users: 1, cloned: true, owner: None, ..*skb });
    let copy =
        core.skbs.alloc(&core.m, site::CLONE_HEAD, core.config.sizeof_sk_buff, gfp, copy).await.ok_or(Errno::NoMem)?;
    core.data(skb, |buf| buf.dataref += 1);
    core.skb(skb, |skb| skb.cloned = true);
    Ok(copy)
}

/// Moves the message into a new data area with `nhead` more bytes before and `ntail` more behind it; both may be negative.
///
/// Models `pskb_expand_head()`. The charge (`truesize`) stays as it was.
///
/// # Errors
/// [`Errno::NoMem`]: [`site::EXPAND_DATA`] failed; nothing changed.
///
/// # Violations
/// [`sim::Rule::Bug`] if anybody else holds a reference to the sk_buff.
pub async fn pskb_expand_head(core: &Core, skb: Skb, nhead: i32, ntail: i32, gfp: Gfp) -> Result<(), Errno> {
    let (users, end, data) = core.skb(skb, |skb| (skb.users, skb.end, skb.data));
    if users != 1 {
        match core.m.bug("net/core/skbuff.c", "pskb_expand_head").await {}
    }
    let end = core.skb_data_align(end.wrapping_add_signed(nhead).wrapping_add_signed(ntail));
    let head =
        core.m.kmalloc(site::EXPAND_DATA, end.wrapping_add(SIZEOF_SKB_SHARED_INFO), gfp).await.ok_or(Errno::NoMem)?;
    let data = data.wrapping_add_signed(nhead);
    core.copy_message(skb, head, data);
    skb_release_data(core, skb);
    core.skb(skb, |skb| {
        skb.head = head;
        skb.end = end;
        skb.data = data;
        skb.cloned = false;
    });
    Ok(())
}

impl Core {
    /// Copies a message to an offset of another buffer, through a buffer that is reused.
    fn copy_message(&self, skb: Skb, to: Handle<Buf>, offset: u32) {
        let mut bytes = self.netlink.scratch.take();
        self.message(skb, |message| bytes.extend_from_slice(message));
        if offset == 0 {
            self.m.write(to, &bytes, "pskb_expand_head");
        } else {
            self.m.write_at(to, offset as usize, &bytes, "pskb_expand_head");
        }
        bytes.clear();
        self.netlink.scratch.replace(bytes);
    }
}

/// Makes room before the message. Models `skb_reserve()`, for a buffer that is still empty.
pub fn skb_reserve(core: &Core, skb: Skb, len: u32) {
    core.skb(skb, |skb| skb.data += len);
}

/// Appends the parts, one behind the other, to the message. Models `skb_put()` and the copies that follow it.
///
/// # Violations
/// [`sim::Rule::Bug`] when they do not fit (`skb_over_panic`): the length has advanced, nothing is copied.
#[inline]
pub async fn skb_put(core: &Core, skb: Skb, parts: &[&[u8]]) {
    let put = parts.iter().map(|part| part.len()).sum::<usize>();
    let put = u32::try_from(put).expect("messages are small");
    let (mut at, head, over) = core.skb(skb, |skb| {
        let at = skb.tail() as usize;
        skb.len += put;
        (at, skb.head, (skb.tail() > skb.end).then_some(skb.len))
    });
    if let Some(len) = over {
        match skb_over_panic(core, len, put).await {}
    }
    let written = core.m.buf(head, "skb_put", |buf| {
        for part in parts {
            buf.put(at, part);
            at += part.len();
        }
    });
    written.expect("the data lives as long as the sk_buff");
}
