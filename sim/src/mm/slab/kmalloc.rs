//! The future behind [`Machine::kmalloc`](crate::Machine::kmalloc).

use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Buf, Handle, Site};
use crate::lane::Point;
use crate::mm::Gfp;

/// Memory that is being allocated; see [`Machine::kmalloc`](crate::Machine::kmalloc). Written out: an `async` block is a call of its own.
#[must_use = "memory is allocated where this is awaited"]
pub struct Kmalloc<'a> {
    site: Site,
    size: u32,
    gfp: Gfp,
    point: Point<'a>,
}

impl<'a> Kmalloc<'a> {
    #[inline(always)]
    pub(super) fn new(site: Site, size: u32, gfp: Gfp, point: Point<'a>) -> Kmalloc<'a> {
        Kmalloc { site, size, gfp, point }
    }
}

impl Future for Kmalloc<'_> {
    type Output = Option<Handle<Buf>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if Pin::new(&mut self.point).poll(context).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.point.machine().kmalloc_now(self.site, self.size, self.gfp))
    }
}
