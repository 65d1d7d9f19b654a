//! Messages that did not reach a listener. The kernel counts none of them.

use super::SockRef;
use crate::Core;

/// Messages that matched a listener and were not delivered to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The receive buffer was full: this one set the latch.
    pub full: u64,
    /// The latch was set, whether there was room or not.
    pub latched: u64,
    /// No memory for this listener's copy, or for that of a listener visited before it in the same broadcast.
    pub no_copy: u64,
    /// Those of them that were sent to this socket alone, so that their sender was told.
    pub refused: u64,
}

impl Lost {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.full + self.latched + self.no_copy
    }
}

/// One of them, noted while somebody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// In which step.
    pub step: u64,
    /// The socket's number.
    pub sock: u32,
    /// Why.
    pub why: Why,
    /// Bytes that its receive buffer had left, below 0 if it was over its limit: a message is admitted from 0 on.
    pub room: i32,
}

/// Why a message did not reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its receive buffer was full.
    Full,
    /// It had lost something before, and had not drained its queue since.
    Latched,
    /// There was no memory for its copy.
    NoCopy,
    /// There was no memory for the copy of a listener before it, and none was tried for this one.
    Untried,
}

impl Core {
    /// Notes from now on which listener loses what, or no longer.
    pub fn watch_losses(&self, watch: bool) {
        *self.netlink.losses.borrow_mut() = watch.then(Vec::new);
    }

    /// What was lost since somebody began to watch.
    #[must_use]
    pub fn losses(&self) -> Vec<Loss> {
        self.netlink.losses.borrow().clone().unwrap_or_default()
    }
}

/// Counts a message to one port that does not fit there: its sender is told, and the receiver's latch stays as it is.
pub(super) fn refuse(core: &Core, sk: SockRef, why: Why) {
    lose(core, sk, why);
    core.queue(sk, |s| s.lost.refused += 1);
}

/// Counts a message that this listener does not get.
pub(super) fn lose(core: &Core, sk: SockRef, why: Why) {
    let (sock, room) = core.queue(sk, |s| {
        match why {
            Why::Full => s.lost.full += 1,
            Why::Latched => s.lost.latched += 1,
            Why::NoCopy | Why::Untried => s.lost.no_copy += 1,
        }
        (s.number, s.rcvbuf - s.rmem_alloc.get())
    });
    if let Some(losses) = &mut *core.netlink.losses.borrow_mut() {
        losses.push(Loss { step: core.m.step(), sock, why, room });
    }
}
