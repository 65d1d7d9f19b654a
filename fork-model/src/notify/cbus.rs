//! Delivery `deferred`: the fork appends a node to a list, a worker sends it later. Models CBUS (Polyakov, 2005).
//!
//! Delivery `batched` is the same, but the worker sends all that waits as one datagram; nothing of 2005 did.
//!
//! DIFFERENCE: one list and one worker; CBUS had them for each CPU.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use sim::lock::{Lock, Mode, WaitQueue};
use sim::mm::Buf;
use sim::touch::{Access, Object};
use sim::{Errno, Gfp, Handle, Site};
use uevent::wire::connector::ForkIds;

use super::meter::metered;
use super::note_yields;
use super::send::{count, send, send_batch};
use crate::System;
use crate::design::{Delivery, Seq};
use crate::facts::Fact;

/// `kmalloc()` of a node.
pub const NODE: Site = Site("cbus_insert.node");
/// Its bytes: `struct list_head`, `struct cn_msg`, and the ids.
pub const SIZEOF_NODE: u32 = 16 + 20 + 24;
/// Events that the worker of `batched` sends at once, at the most: a page of the longest messages.
pub const BATCH: usize = 64;
/// The name of the worker's lane. No task of a scenario has a capital.
pub const WORKER: &str = "Cbus";

/// Whether the list is empty: all that the worker looks at without the lock.
const EMPTY: Object = Object::named("cbus list is empty");

/// A node is about to come to the list, or has left it.
fn touch_list(sys: &System) {
    if sys.notify.cbus.backlog() == 0 {
        sys.m.touch(EMPTY, Access::Write);
    }
}

/// The list, and what guards it.
pub struct Cbus {
    lock: Lock,
    list: RefCell<VecDeque<Node>>,
    wait: WaitQueue,
    /// The longest that the list has been: nothing bounds it.
    pub longest: Cell<usize>,
}

struct Node {
    memory: Handle<Buf>,
    ids: ForkIds,
    seq: Option<Seq>,
}

impl Cbus {
    /// Events wait: copies of a kernel would share them.
    pub(super) fn shares(&self) -> bool {
        !self.list.borrow().is_empty()
    }

    /// See [`System::copy_over`].
    pub(super) fn copy_over(&self, used: &mut Cbus) {
        *used = Cbus { longest: self.longest.clone(), ..Cbus::default() };
    }
}

impl Default for Cbus {
    fn default() -> Cbus {
        Cbus {
            lock: Lock::new("cbus_event_lock"),
            list: RefCell::default(),
            wait: WaitQueue::default(),
            longest: Cell::new(0),
        }
    }
}

impl Cbus {
    /// How many events wait.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.list.borrow().len()
    }
}

/// Appends an event to the list and wakes the worker: all that a fork pays. Models `cbus_insert()`.
///
/// # Errors
/// [`Errno::NoMem`]: [`NODE`] failed, with `GFP_ATOMIC`. The event is lost, whatever memory there will be later.
pub(super) async fn cbus_insert(sys: &System, ids: &ForkIds, seq: Option<Seq>) -> Result<(), Errno> {
    sys.m.enter("cbus_insert", || vec![("parent", ids.parent_pid.into()), ("child", ids.child_pid.into())]);
    let result = insert(sys, ids, seq).await;
    sys.m.leave("cbus_insert", Some(sim::errno::Rc::rc(&result)));
    result
}

async fn insert(sys: &System, ids: &ForkIds, seq: Option<Seq>) -> Result<(), Errno> {
    let Cbus { lock, list, wait, longest } = &sys.notify.cbus;
    let Some(memory) = sys.m.kmalloc(NODE, SIZEOF_NODE, Gfp::ATOMIC).await else {
        count(sys, sys.config.design.format, Err(Errno::NoMem));
        return Err(Errno::NoMem);
    };
    let held = lock.take(&sys.m, Mode::SPIN_IRQ).await;
    touch_list(sys);
    list.borrow_mut().push_back(Node { memory, ids: *ids, seq });
    longest.set(longest.get().max(list.borrow().len()));
    drop(held);
    wait.wake_up(&sys.m);
    Ok(())
}

/// Takes the oldest event and sends it; of design `batched` the oldest ones, as one datagram. False if there is none.
/// Models one round of `cbus_event_thread()`.
async fn process(sys: &System) -> bool {
    let Cbus { lock, list, .. } = &sys.notify.cbus;
    let held = lock.take(&sys.m, Mode::SPIN_IRQ).await;
    let most = if sys.config.design.delivery == Delivery::Batched { BATCH } else { 1 };
    let nodes: Vec<_> = {
        let list = &mut *list.borrow_mut();
        let most = most.min(list.len());
        list.drain(..most).collect()
    };
    touch_list(sys);
    drop(held);
    let Some(first) = nodes.first() else { return false };
    let sending = async {
        match nodes.as_slice() {
            [node] => send(sys, &node.ids, node.seq).await,
            nodes => send_batch(sys, &nodes.iter().map(|node| (node.ids, node.seq)).collect::<Vec<_>>()).await,
        }
    };
    let (outcome, mut paid) = metered(&sys.m, sending).await;
    if sys.facts.on() {
        note_yields(sys, first.ids.child_pid);
    }
    if outcome == Err(Errno::Srch) {
        super::gate::nobody_got_it(sys);
    }
    for Node { memory, ids, seq } in nodes {
        sys.m.kfree(memory, "cbus_process_event");
        // The first of a batch is charged for all of it.
        let paid = std::mem::take(&mut paid);
        sys.note(|| Fact::Sent { child_said: ids.child_pid, seq, cpu: sys.m.cpu(), outcome, paid });
    }
    true
}

/// Sends all that waits, in the calling lane.
pub async fn work_off(sys: &System) {
    while process(sys).await {}
}

/// Starts the worker: it sends whatever comes, to the end of the run.
pub(super) fn start(sys: &Rc<System>) {
    let s = sys.clone();
    sys.m.spawn(WORKER, async move {
        loop {
            let waits = || {
                s.m.touch(EMPTY, Access::Read);
                s.notify.cbus.backlog() > 0
            };
            s.notify.cbus.wait.wait_event(&s.m, "cbus_event_thread()", true, waits).await;
            process(&s).await;
        }
    });
}
