//! Delivery `signal`: real-time signal 33 to each registered process. Models the Relay Fork Module (Thouvenin, 2005-01-19),
//! and what of `kernel/signal.c` (Linux 2.6.11) it meets.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use sim::lock::{Lock, Mode, WaitQueue};
use sim::mm::Buf;
use sim::touch::{Access, Object};
use sim::{Errno, Gfp, Handle, Site};
use uevent::wire::connector::ForkIds;

use super::send::count;
use crate::System;
use crate::design::Format;

/// `kmem_cache_alloc()` of a `struct sigqueue`.
pub const SIGQUEUE: Site = Site("send_signal.sigqueue");
/// Its bytes on x86_64, of which `siginfo_t` is 128.
pub const SIZEOF_SIGQUEUE: u32 = 160;
/// The signal: one above the first of the real-time ones, which the C library keeps for itself.
pub const SIGRELAY: i32 = 33;

/// What a signal says: two integers. Models the fields of `siginfo_t` that the module filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigInfo {
    /// `si_pid`: the parent.
    pub parent: i32,
    /// `si_int`: the child.
    pub child: i32,
}

/// A process that asked for signals, and its queue.
pub struct Registered {
    queue: RefCell<VecDeque<(SigInfo, Handle<Buf>)>>,
    wait: WaitQueue,
    /// What an explorer calls it: all of it is reached together.
    object: Object,
    gone: Cell<bool>,
    /// Signals that could not be queued for it.
    pub lost: Cell<u64>,
}

/// All registered processes, under one lock.
pub struct Relay {
    lock: Lock,
    list: RefCell<Vec<Rc<Registered>>>,
}

impl Relay {
    /// Somebody has asked for signals: copies of a kernel would share it.
    pub(super) fn shares(&self) -> bool {
        !self.list.borrow().is_empty()
    }
}

impl Default for Relay {
    fn default() -> Relay {
        Relay { lock: Lock::new("relay_fork_lock"), list: RefCell::default() }
    }
}

/// A process asks for signals.
pub async fn register(sys: &System) -> Rc<Registered> {
    let held = sys.notify.relay.lock.take(&sys.m, Mode::WRITE).await;
    let number = u32::try_from(sys.notify.relay.list.borrow().len()).expect("few processes");
    let registered = Rc::new(Registered {
        queue: RefCell::default(),
        wait: WaitQueue::default(),
        object: Object::named("sigpending").nth(number),
        gone: Cell::new(false),
        lost: Cell::new(0),
    });
    sys.notify.relay.list.borrow_mut().push(registered.clone());
    drop(held);
    registered
}

impl Registered {
    /// The process dies without a word: it stays in the list, and its queue is flushed. Models `flush_sigqueue()`.
    pub fn die(&self, sys: &System) {
        sys.m.touch(self.object, Access::Write);
        self.gone.set(true);
        self.queue.borrow_mut().drain(..).for_each(|(_, memory)| sys.m.kfree(memory, "flush_sigqueue"));
        self.wait.wake_up(&sys.m);
    }

    /// Whether the process died.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// Takes the oldest signal. Models `dequeue_signal()`.
    pub fn dequeue_signal(&self, sys: &System) -> Option<SigInfo> {
        sys.m.touch(self.object, Access::Write);
        let (info, memory) = self.queue.borrow_mut().pop_front()?;
        sys.m.kfree(memory, "__sigqueue_free");
        Some(info)
    }

    /// Sleeps until there is a signal, or `enough`. Models `sigwaitinfo()`.
    pub async fn wait(&self, sys: &System, enough: impl Fn() -> bool) {
        let ready = || {
            sys.m.touch(self.object, Access::Read);
            enough() || !self.queue.borrow().is_empty()
        };
        self.wait.wait_event(&sys.m, "kernel/signal.c:sys_rt_sigtimedwait()", true, ready).await;
    }

    /// Lets the sleeper look at its other reason again.
    pub fn wake(&self, sys: &System) {
        sys.m.touch(self.object, Access::Write);
        self.wait.wake_up(&sys.m);
    }
}

/// Sends the signal to one process. Models `send_sig_info()`.
///
/// # Errors
/// [`Errno::Srch`]: it is gone. [`Errno::Again`]: [`SIGQUEUE`] failed, or `RLIMIT_SIGPENDING` (half of `max_threads`) is
/// reached: a real-time signal without its information is not sent.
async fn send_sig_info(sys: &System, to: &Registered, info: SigInfo) -> Result<(), Errno> {
    sys.m.touch(to.object, Access::Read);
    if to.is_gone() {
        return Err(Errno::Srch);
    }
    let pending = i64::try_from(to.queue.borrow().len()).unwrap_or(i64::MAX);
    let memory = if pending < sys.max_threads.get() / 2 {
        sys.m.kmalloc(SIGQUEUE, SIZEOF_SIGQUEUE, Gfp::ATOMIC).await
    } else {
        None
    };
    sys.m.touch(to.object, Access::Write);
    match memory {
        // It may have died while the allocator was asked.
        Some(memory) if to.is_gone() => {
            sys.m.kfree(memory, "__sigqueue_free");
            Err(Errno::Srch)
        }
        Some(memory) => {
            to.queue.borrow_mut().push_back((info, memory));
            to.wait.wake_up(&sys.m);
            Ok(())
        }
        None => {
            to.lost.set(to.lost.get() + 1);
            Err(Errno::Again)
        }
    }
}

/// Signals every registered process, under the lock of their list.
///
/// # Errors
/// [`Errno::Srch`]: nobody is registered, or all are gone. [`Errno::Again`]: nobody got it, and one could not be queued.
pub(super) async fn relay_fork(sys: &System, ids: &ForkIds) -> Result<(), Errno> {
    let info = SigInfo { parent: ids.parent_pid, child: ids.child_pid };
    sys.m.enter("relay_fork", || vec![("parent", info.parent.into()), ("child", info.child.into())]);
    let mut result = Err(Errno::Srch);
    let held = sys.notify.relay.lock.take(&sys.m, Mode::READ).await;
    let mut next = 0;
    while let Some(to) = { sys.notify.relay.list.borrow().get(next).cloned() } {
        next += 1;
        let sent = send_sig_info(sys, &to, info).await;
        result = match (result, sent) {
            (Ok(()), _) | (_, Ok(())) => Ok(()),
            (_, Err(Errno::Srch)) => result,
            (_, other) => other,
        };
    }
    drop(held);
    sys.m.leave("relay_fork", Some(sim::errno::Rc::rc(&result)));
    // Signals need no netlink socket, whatever the configuration.
    count(sys, Format::ConnectorAscii, result);
    result
}
