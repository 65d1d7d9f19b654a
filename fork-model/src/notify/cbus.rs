//! Delivery `deferred`: the fork appends a node to a list, a worker sends it later. Models CBUS (Polyakov, 2005).
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

use super::note_yields;
use super::send::{count, send};
use crate::System;
use crate::design::Seq;
use crate::facts::Fact;

/// `kmalloc()` of a node.
pub const NODE: Site = Site("cbus_insert.node");
/// Its bytes: `struct list_head`, `struct cn_msg`, and the ids.
pub const SIZEOF_NODE: u32 = 16 + 20 + 24;
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

/// Takes the oldest event and sends it. False if there is none. Models one round of `cbus_event_thread()`.
async fn process_one(sys: &System) -> bool {
    let Cbus { lock, list, .. } = &sys.notify.cbus;
    let held = lock.take(&sys.m, Mode::SPIN_IRQ).await;
    let node = list.borrow_mut().pop_front();
    touch_list(sys);
    drop(held);
    let Some(Node { memory, ids, seq }) = node else { return false };
    let outcome = send(sys, &ids, seq).await;
    sys.m.kfree(memory, "cbus_process_event");
    if outcome == Err(Errno::Srch) {
        super::gate::nobody_got_it(sys);
    }
    if sys.facts.on() {
        note_yields(sys, ids.child_pid);
        sys.note(|| Fact::Sent { child_said: ids.child_pid, seq, cpu: sys.m.cpu(), outcome });
    }
    true
}

/// Sends all that waits, in the calling lane.
pub async fn work_off(sys: &System) {
    while process_one(sys).await {}
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
            process_one(&s).await;
        }
    });
}
