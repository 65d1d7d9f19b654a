//! Socket buffers. Models `net/core/skbuff.c` (Linux 2.6.11), in its order.

use std::cell::Cell;
use std::rc::Rc;

use sim::mm::Buf;
use sim::touch::{Access, Object};
use sim::{Errno, Gfp, Handle};

use crate::{Core, Fix, site};

/// `sizeof(struct skb_shared_info)`, which stands behind the data.
pub const SIZEOF_SKB_SHARED_INFO: u32 = 312;

/// One `struct sk_buff`: a view of a data buffer that clones may share.
#[derive(Clone, Debug)]
pub struct SkBuff {
    /// Bytes of message.
    pub len: u32,
    /// Bytes that are charged to a receiver.
    pub truesize: u32,
    /// References to this sk_buff.
    pub users: u32,
    /// `NETLINK_CB(skb).dst_groups`: 0, since nobody sets it (experiment G12).
    pub dst_groups: u32,
    /// `NETLINK_CB(skb).pid`: the port id of who sent it; 0 is the kernel.
    pub sender: i32,
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
    /// What an explorer calls that.
    pub(crate) payer: Option<Object>,
}

/// A pointer to an sk_buff.
pub type Skb = Handle<SkBuff>;

impl SkBuff {
    fn tail(&self) -> u32 {
        self.data + self.len
    }

    /// Bytes between the end of the message and the end of the data area.
    #[must_use]
    pub fn tail_room(&self) -> i32 {
        self.end.wrapping_sub(self.tail()).cast_signed()
    }

    /// Takes the charge back from the socket that paid. Models `skb_orphan()` with the destructor `sock_rfree()`.
    pub fn orphan(&mut self) {
        if let Some(rmem) = self.owner.take() {
            rmem.set(rmem.get() - self.charge());
        }
    }

    /// Makes a socket pay. Models `skb_set_owner_r()`.
    pub fn set_owner_r(&mut self, rmem: Rc<Cell<i32>>) {
        self.orphan();
        rmem.set(rmem.get() + self.charge());
        self.owner = Some(rmem);
    }

    /// `truesize` as `atomic_t` counts it.
    fn charge(&self) -> i32 {
        self.truesize.cast_signed()
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

    /// Looks at an sk_buff.
    ///
    /// # Panics
    /// Those of [`Core::skb`].
    #[inline]
    pub fn skb_look<R>(&self, skb: Skb, f: impl FnOnce(&SkBuff) -> R) -> R {
        self.skbs.read(&self.m, skb, "sk_buff", f).expect("the model holds a reference")
    }

    /// Takes the charge of a message from whoever paid, and lets another socket pay.
    #[inline]
    pub(crate) fn charge(&self, skb: &mut SkBuff, payer: Option<(&Rc<Cell<i32>>, Object)>) {
        if let Some(before) = skb.payer.take() {
            self.m.touch(before, Access::Add);
        }
        skb.orphan();
        if let Some((rmem, object)) = payer {
            self.m.touch(object, Access::Add);
            skb.set_owner_r(rmem.clone());
            skb.payer = Some(object);
        }
    }

    /// The users of the data of an sk_buff: `skb_shinfo(skb)->dataref`.
    #[must_use]
    pub fn dataref(&self, skb: Skb) -> u32 {
        self.data(self.skb_look(skb, |skb| skb.head), |buf| buf.dataref)
    }

    #[inline]
    fn data<R>(&self, head: Handle<Buf>, f: impl FnOnce(&mut Buf) -> R) -> R {
        self.m.buf(head, "sk_buff", f).expect("the data lives as long as the sk_buff")
    }

    /// Reads the message.
    #[inline]
    pub fn message<R>(&self, skb: Skb, f: impl FnOnce(&[u8]) -> R) -> R {
        self.skb_and_message(skb, |_, bytes| f(bytes))
    }

    /// Looks at an sk_buff and its message.
    #[inline]
    pub(crate) fn skb_and_message<R>(&self, skb: Skb, f: impl FnOnce(&SkBuff, &[u8]) -> R) -> R {
        self.skb_look(skb, |skb| {
            let message = skb.data as usize..skb.tail() as usize;
            let read = self.m.buf_look(skb.head, "sk_buff", |buf| f(skb, &buf.bytes()[message]));
            read.expect("the data lives as long as the sk_buff")
        })
    }

    /// Rounds up to the cache line, in 32 bits. Models `SKB_DATA_ALIGN()`.
    #[must_use]
    pub fn skb_data_align(&self, size: u32) -> u32 {
        let line = self.m.config().smp_cache_bytes;
        size.wrapping_add(line - 1) & !(line - 1)
    }
}

/// Models `skb_over_panic()`: logs, and dies.
pub(crate) async fn skb_over_panic(core: &Core, len: u32, put: u32) -> std::convert::Infallible {
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
    core.m.enter("alloc_skb", || vec![("size", size.into()), ("gfp", gfp.0.into())]);
    let _leaves = LeavesAllocSkb(core);
    // The data comes after the head, so the head is born without one.
    let sizeof = core.config.sizeof_sk_buff;
    let end = core.data_area(size);
    // In 32 bits a size near the top rounds to none at all: experiment G36.
    if core.has(Fix::CheckedSize) && (end < size || end.checked_add(SIZEOF_SKB_SHARED_INFO).is_none()) {
        return Err(Errno::NoMem);
    }
    let truesize = core.truesize(end);
    let blank = move || SkBuff {
        len: 0,
        truesize,
        users: 1,
        dst_groups: 0,
        sender: 0,
        cloned: false,
        data: 0,
        end,
        head: Handle::dangling(),
        owner: None,
        payer: None,
    };
    let allocated = sim::alloc!(core.skbs, &core.m, site::SKB_HEAD, sizeof, gfp.without(Gfp::DMA), blank);
    let skb = allocated.ok_or(Errno::NoMem)?;
    match sim::kmalloc!(core.m, site::SKB_DATA, end.wrapping_add(core.shared_info()), gfp) {
        Some(head) => core.skb(skb, |skb| skb.head = head),
        None => {
            core.skbs.free(&core.m, skb, "alloc_skb");
            return Err(Errno::NoMem);
        }
    }
    Ok(skb)
}

/// Traces the return of [`alloc_skb`], on every way out. A function of its own around it would keep all of it twice.
struct LeavesAllocSkb<'a>(&'a Core);

impl Drop for LeavesAllocSkb<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.m.leave("alloc_skb", None);
    }
}

/// Frees the data of an sk_buff, if no clone uses it.
fn skb_release_data(core: &Core, cloned: bool, head: Handle<Buf>) {
    let last = !cloned
        || core.data(head, |buf| {
            buf.dataref -= 1;
            buf.dataref == 0
        });
    if last {
        core.m.kfree(head, "skb_release_data");
    }
}

/// Models `__kfree_skb()` and `kfree_skbmem()` behind the destructor: the data if nobody else uses it, the sk_buff.
fn __kfree_skb(core: &Core, skb: Skb, (cloned, head): (bool, Handle<Buf>)) {
    skb_release_data(core, cloned, head);
    core.skbs.free(&core.m, skb, "kfree_skbmem");
}

/// Drops a reference; the last one frees. Models `kfree_skb()`.
pub fn kfree_skb(core: &Core, skb: Skb) {
    let last = core.skb(skb, |skb| {
        skb.users -= 1;
        (skb.users == 0).then(|| {
            core.charge(skb, None);
            (skb.cloned, skb.head)
        })
    });
    if let Some(data) = last {
        __kfree_skb(core, skb, data);
    }
}

/// Takes a reference. Models `skb_get()`.
#[inline(always)]
pub fn skb_get(core: &Core, skb: Skb) -> Skb {
    core.skb(skb, |skb| skb.users += 1);
    skb
}

/// Takes a reference if there is only one so far. Whether it did.
#[inline(always)]
pub(crate) fn skb_get_alone(core: &Core, skb: Skb) -> bool {
    let get = |skb: &mut SkBuff| {
        let alone = skb.users == 1;
        skb.users += u32::from(alone);
        alone
    };
    core.skbs.change_if(&core.m, skb, "sk_buff", get).expect("the model holds a reference")
}

/// Models `skb_clone()`: one more sk_buff on the same data.
///
/// # Errors
/// [`Errno::NoMem`]: [`site::CLONE_HEAD`] failed.
pub async fn skb_clone(core: &Core, skb: Skb, gfp: Gfp) -> Result<Skb, Errno> {
    let copy = core.skb_look(skb, |skb| SkBuff { users: 1, cloned: true, owner: None, payer: None, ..*skb });
    let head = copy.head;
    let copy =
        core.skbs.alloc(&core.m, site::CLONE_HEAD, core.config.sizeof_sk_buff, gfp, copy).await.ok_or(Errno::NoMem)?;
    core.data(head, |buf| buf.dataref += 1);
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
    expand_head(core, skb, (nhead, ntail), gfp, |_| ()).await
}

/// The same, and what its caller changes in the sk_buff behind it, if it succeeds.
#[inline]
pub(crate) async fn expand_head(
    core: &Core,
    skb: Skb,
    (nhead, ntail): (i32, i32),
    gfp: Gfp,
    and: impl FnOnce(&mut SkBuff),
) -> Result<(), Errno> {
    let (users, end, old, from, to) = core.skb_look(skb, |s| (s.users, s.end, s.head, s.data, s.tail()));
    if users != 1 {
        match core.m.bug("net/core/skbuff.c", "pskb_expand_head").await {}
    }
    let end = core.data_area(end.wrapping_add_signed(nhead).wrapping_add_signed(ntail));
    let head = sim::kmalloc!(core.m, site::EXPAND_DATA, end.wrapping_add(core.shared_info()), gfp);
    let head = head.ok_or(Errno::NoMem)?;
    let data = from.wrapping_add_signed(nhead);
    core.m.memcpy((head, data as usize), (old, from as usize..to as usize), "pskb_expand_head");
    let cloned = core.skb(skb, |skb| {
        (skb.head, skb.end, skb.data) = (head, end, data);
        and(skb);
        std::mem::take(&mut skb.cloned)
    });
    skb_release_data(core, cloned, old);
    Ok(())
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
pub async fn skb_put<const N: usize>(core: &Core, skb: Skb, parts: &[&[u8]; N]) {
    if let Err((len, put)) = put_parts(core, skb, parts) {
        match skb_over_panic(core, len, put).await {}
    }
}

/// What of `skb_put()` comes before its panic, of which it returns the figures. Inlined, so that a part of one byte is
/// a store and not a call of memcpy.
#[inline]
fn put_parts<const N: usize>(core: &Core, skb: Skb, parts: &[&[u8]; N]) -> Result<(), (u32, u32)> {
    core.skb(skb, |skb| core.data(skb.head, |buf| put(skb, buf, parts)))
}

#[inline(always)]
fn put<const N: usize>(skb: &mut SkBuff, buf: &mut Buf, parts: &[&[u8]; N]) -> Result<(), (u32, u32)> {
    let put = u32::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).expect("messages are small");
    let mut at = skb.tail() as usize;
    skb.len += put;
    if skb.tail() > skb.end {
        return Err((skb.len, put));
    }
    for part in parts {
        buf.put(at, part);
        at += part.len();
    }
    Ok(())
}

/// Several `skb_put()`, one behind the other: a header, then strings and a NUL behind each of them, which is one
/// `skb_put()` with its string.
///
/// # Errors
/// The figures of the [`skb_over_panic`] that must follow, as in [`skb_put`]: what fitted is written. It is the caller's, so
/// that the parts need not outlive an await.
#[inline]
pub(crate) fn skb_put_strings<'a, const N: usize>(
    core: &Core,
    skb: Skb,
    header: &[&[u8]; N],
    strings: impl Iterator<Item = &'a [u8]>,
) -> Result<(), (u32, u32)> {
    // Nobody can come in between, so that one look at the buffer does for all of them.
    let all = |skb: &mut SkBuff, buf: &mut Buf| {
        put(skb, buf, header)?;
        for string in strings {
            put(skb, buf, &[string, b"\0"])?;
        }
        Ok(())
    };
    core.skb(skb, |skb| core.data(skb.head, |buf| all(skb, buf)))
}
