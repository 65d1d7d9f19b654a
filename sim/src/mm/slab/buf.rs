//! The buffers of `kmalloc()`: their bytes, and who writes them. Models that part of `mm/slab.c` (Linux 2.6.11).

use std::ops::Range;

use super::{Gfp, Handle, POISON_INUSE, Site, Stale, size_class};
use crate::machine::Machine;
use crate::trace::What;
use crate::violation::Rule;

/// The bytes before the first NUL. Models `strlen()`.
#[inline]
#[must_use]
pub fn c_str(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
}

/// The bytes behind a `kmalloc()`.
///
/// They grow as they are written, also past what was asked for: the kernel's memory does not end there either.
#[derive(Debug, Default)]
pub struct Buf {
    bytes: Vec<u8>,
    size: u32,
    site: &'static str,
    /// Users of the data of a socket buffer (`skb_shared_info.dataref`).
    pub dataref: u32,
}

impl Clone for Buf {
    fn clone(&self) -> Buf {
        Buf { bytes: self.bytes.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Buf) {
        let Buf { bytes, size, site, dataref } = self;
        bytes.clear();
        if !source.bytes.is_empty() {
            bytes.extend_from_slice(&source.bytes); // Most of a booted kernel's have none.
        }
        (*size, *site, *dataref) = (source.size, source.site, source.dataref);
    }
}

impl Buf {
    /// What was written, from the start to the last byte ever written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes at an offset, as C does: bytes in between that nobody wrote read as `POISON_INUSE`.
    #[inline]
    pub fn put(&mut self, offset: usize, bytes: &[u8]) {
        if offset == self.bytes.len() {
            return self.bytes.extend_from_slice(bytes); // As nearly always: no poison to be overwritten at once.
        }
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, POISON_INUSE);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
    }

    /// The C string at an offset, without its NUL; up to the last byte written if there is none.
    #[must_use]
    pub fn c_str(&self, offset: usize) -> &[u8] {
        c_str(self.bytes.get(offset..).unwrap_or_default())
    }

    /// How many bytes were asked for.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How far past the end something was written.
    #[must_use]
    pub fn overflow(&self) -> usize {
        self.bytes.len().saturating_sub(self.size as usize)
    }
}

/// [`Machine::kmalloc`], awaited. A future is made only where somebody could get in.
#[macro_export]
macro_rules! kmalloc {
    ($m:expr, $site:expr, $size:expr, $gfp:expr) => {
        if $m.passes_to_alloc($gfp) { $m.kmalloc_now($site, $size, $gfp) } else { $m.kmalloc($site, $size, $gfp).await }
    };
}

impl Machine {
    /// Models `kmalloc()`. See [`Cache::alloc`](super::Cache::alloc).
    ///
    /// Hot code writes [`kmalloc!`](crate::kmalloc), which makes no future where nobody could get in.
    pub async fn kmalloc(&self, site: Site, size: u32, gfp: Gfp) -> Option<Handle<Buf>> {
        self.alloc_point(gfp).await;
        self.kmalloc_now(site, size, gfp)
    }

    /// What of a `kmalloc()` comes behind its point.
    #[doc(hidden)]
    #[inline(never)]
    pub fn kmalloc_now(&self, site: Site, size: u32, gfp: Gfp) -> Option<Handle<Buf>> {
        let seq = self.kmalloc.try_alloc(self, site, size, gfp)?;
        // The bytes of the buffer that was there before are overwritten: a run does not allocate for each message.
        let put = |free: Option<&mut Buf>| match free {
            Some(buf) => {
                buf.bytes.clear();
                (buf.size, buf.site, buf.dataref) = (size, site.0, 1);
                None
            }
            None => Some(Buf { bytes: Vec::new(), size, site: site.0, dataref: 1 }),
        };
        Some(self.kmalloc.insert_with(self, (seq, site.0, size), put))
    }

    /// Models `kfree()` of a pointer that is not NULL. `by` is the function that frees.
    #[inline]
    pub fn kfree(&self, handle: Handle<Buf>, by: &'static str) {
        self.kmalloc.free(self, handle, by);
    }

    /// Models `kfree(NULL)`: nothing, but it is seen.
    pub fn kfree_null(&self, by: &'static str) {
        self.trace.emit(self, || What::Free { seq: 0, site: None, by });
    }

    /// Appends to the bytes written so far; see [`Machine::write_at`].
    #[inline]
    pub fn write(&self, handle: Handle<Buf>, bytes: &[u8], who: &str) {
        self.write_with(handle, who, |buf| buf.bytes.extend_from_slice(bytes));
    }

    /// Writes at an offset of a buffer; `who` is the function that writes.
    ///
    /// # Violations
    /// [`Rule::OutOfBounds`] past the size asked for (the bytes are written all the same), [`Rule::UseAfterFree`].
    #[inline(always)]
    pub fn write_at(&self, handle: Handle<Buf>, offset: usize, bytes: &[u8], who: &str) {
        self.write_with(handle, who, |buf| buf.put(offset, bytes));
    }

    /// Copies bytes of one buffer into another; `who` is the function that copies.
    ///
    /// # Violations
    /// Those of [`Machine::write_at`].
    pub fn memcpy(&self, to: (Handle<Buf>, usize), from: (Handle<Buf>, Range<usize>), who: &str) {
        let copied = self.kmalloc.with_both(self, (from.0, to.0), |from_buf, buf| {
            let before = buf.overflow();
            buf.put(to.1, &from_buf.bytes[from.1.clone()]);
            (buf.overflow() > before).then_some((buf.overflow(), buf.size, buf.site))
        });
        match copied {
            Some(None) => {}
            Some(Some((by, size, site))) => self.report_overflow(by, size, site, who),
            None => self.memmove(to, from, who),
        }
    }

    /// The same if they are one buffer, or one of them is gone, which is reported; nothing is copied then.
    #[cold]
    fn memmove(&self, to: (Handle<Buf>, usize), from: (Handle<Buf>, Range<usize>), who: &str) {
        let Ok(bytes) = self.buf(from.0, who, |buf| buf.bytes[from.1].to_vec()) else { return };
        self.write_at(to.0, to.1, &bytes, who);
    }

    #[inline]
    fn write_with(&self, handle: Handle<Buf>, who: &str, write: impl FnOnce(&mut Buf)) {
        let over = self.kmalloc.with(self, handle, who, |buf| {
            let before = buf.overflow();
            write(buf);
            (buf.overflow() > before).then_some((buf.overflow(), buf.size, buf.site))
        });
        if let Ok(Some((by, size, site))) = over {
            self.report_overflow(by, size, site, who);
        }
    }

    #[cold]
    fn report_overflow(&self, by: usize, size: u32, site: &str, who: &str) {
        let class = size_class(size)
            .map_or("no size class holds so much".into(), |class| format!("its size class holds {class}"));
        let bytes = if by == 1 { "byte" } else { "bytes" };
        self.report(
            Rule::OutOfBounds,
            format!("{who} wrote {by} {bytes} past the {size} bytes of {site} ({class})"),
            None,
        );
    }

    /// Reads or changes a buffer; see [`Cache::with`](super::Cache::with).
    ///
    /// # Errors
    /// [`Stale`] if it was freed.
    #[inline]
    pub fn buf<R>(&self, handle: Handle<Buf>, who: &str, f: impl FnOnce(&mut Buf) -> R) -> Result<R, Stale> {
        self.kmalloc.with(self, handle, who, f)
    }

    /// Looks at a buffer; see [`Cache::read`](super::Cache::read).
    ///
    /// # Errors
    /// [`Stale`] if it was freed.
    #[inline]
    pub fn buf_look<R>(&self, handle: Handle<Buf>, who: &str, f: impl FnOnce(&Buf) -> R) -> Result<R, Stale> {
        self.kmalloc.read(self, handle, who, f)
    }
}
