//! What the recorder had in the places of `wake_up_new_task()`, `wait_for_completion()` and `__ptrace_link()`.
//!
//! The genuine functions were recorded with stubs there: a child that was woken did what the case says at once, and
//! nothing else ever; a wait did not wait. Here lanes of their own do the same, stepped in a fixed order of preference.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fork_model::exit::put_task_struct;
use fork_model::fork::do_fork;
use fork_model::sched::Work;
use fork_model::signal::{SIGCHLD, SIGSTOP, sigmask};
use fork_model::{System, TaskRef};
use serde_json::{Value, json};
use sim::lock::Completion;
use sim::{Chooser, Question};

use crate::harness::extend;

/// The lane of a child that was woken; it runs first.
pub const CHILD: &str = "c";
/// The lane in which the bench calls.
const CALLER: &str = "t";
/// What the recorder noted when a child was gone before the event.
pub const GONE: &str = "<child runs, exits, task struct released>";

/// Lets the first of [`CHILD`], [`CALLER`] step that can; anybody else, who ends waits, steps when both wait.
pub struct ChildFirst;

impl Chooser for ChildFirst {
    fn choose(&mut self, question: Question<'_>, _n: u32) -> u32 {
        let Question::Lane(lanes) = question else { return 0 };
        let at = |wanted: &str| lanes.iter().position(|lane| lane.as_str() == wanted);
        let first = at(CHILD).or_else(|| at(CALLER)).unwrap_or(0);
        u32::try_from(first).expect("few lanes")
    }
}

/// What was seen of the first child that was woken.
#[derive(Default)]
pub struct Seen {
    /// Its fields at that moment.
    pub child: RefCell<Option<Value>>,
    /// Who waits for it.
    pub vfork_done: RefCell<Option<Rc<Completion>>>,
    /// It forked before its parent could go on.
    pub forked: Cell<bool>,
}

impl Seen {
    /// Looks at a child.
    pub fn look(&self, sys: &System, current: TaskRef, child: TaskRef) {
        *self.child.borrow_mut() = Some(fields(sys, current, child));
        *self.vfork_done.borrow_mut() = sys.task(child, |t| t.vfork_done.clone());
    }
}

/// What the child of `current` does once it is woken.
pub fn child(seen: &Rc<Seen>, current: TaskRef, forks: bool, exits: bool) -> Work {
    let seen = seen.clone();
    Work::new(CHILD, async move |sys, me| {
        seen.look(&sys, current, me);
        if forks {
            // The recorder's __ptrace_link() left the parent in its place.
            sys.task(me, |t| t.tracer = None);
            // Whether it can, the child's own calls show.
            let _ = do_fork(&sys, me, SIGCHLD.cast_unsigned(), None).await;
            seen.forked.set(true);
        }
        if exits {
            sys.m.call(GONE, Vec::new, None);
            // The structure goes, and nothing else: no pid, no counter.
            put_task_struct(&sys, me, "child");
            put_task_struct(&sys, me, "child");
        }
    })
}

/// Ends the wait of a vfork parent, when everybody else waits.
pub async fn end_wait(sys: Rc<System>, seen: Rc<Seen>, current: TaskRef, parent: TaskRef) {
    sys.m.point().await; // The caller comes first.
    // One that was woken may be gone.
    let newborn = || stopped_child(&sys, current, parent).and_then(|child| sys.task(child, |t| t.vfork_done.clone()));
    if let Some(vfork_done) = seen.vfork_done.take().or_else(newborn) {
        vfork_done.complete(&sys.m);
    }
}

/// The child that nobody woke.
pub fn stopped_child(sys: &System, current: TaskRef, parent: TaskRef) -> Option<TaskRef> {
    let children = [current, parent].map(|parent| sys.children(parent)).concat();
    let state = |child: &TaskRef| sys.task(*child, |t| t.state == fork_model::sched::State::Stopped);
    children.into_iter().find(state)
}

/// A child as the vectors show it.
fn fields(sys: &System, current: TaskRef, child: TaskRef) -> Value {
    let pid = |task| sys.task(task, |t| t.pid);
    let (real_parent, parent, group_leader) = sys.task(child, |t| (t.real_parent, t.parent, t.group_leader));
    let mm = sys.task(current, |t| t.mm);
    let mut json = sys.task(child, |t| {
        json!({
            "pid": t.pid,
            "tgid": t.tgid,
            "exit_signal": t.exit_signal,
            "ptrace": t.ptrace,
            "state": t.state as i32,
            "flags": t.flags,
            "usage": t.usage,
            "sigstop_pending": t.pending & sigmask(SIGSTOP) != 0,
            "tif_sigpending": t.sigpending,
            "set_child_tid": t.tid_pointers.set,
            "clear_child_tid": t.tid_pointers.clear,
            "vfork_done": t.vfork_done.is_some(),
            "pdeath_signal": t.pdeath_signal,
            "mm_shared": t.mm == mm,
            "has_mm": t.mm.is_some(),
        })
    });
    extend(
        &mut json,
        json!({"real_parent": pid(real_parent), "parent": pid(parent), "group_leader": pid(group_leader)}),
    );
    json
}
