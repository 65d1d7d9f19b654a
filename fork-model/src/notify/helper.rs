//! Delivery `hotplug`: a helper process for each event. Models what of `kernel/kmod.c` (Linux 2.6.11) that takes.
//!
//! The helper is forked by the kernel thread `khelper`, so that its fork is an event, too, which needs a helper. In
//! 2.6.11 khelper is one thread (`create_singlethread_workqueue("khelper")`), and `call_usermodehelper()` waits until it
//! has started the helper: khelper, asked by itself, would wait for itself for ever.
//! DIFFERENCE: here the lab says so ([`sim::Rule::Deadlock`]) and khelper goes on without that second helper, so that the
//! rest of the run can be seen. This is the cut of the recursion: at depth 1, where the kernel hangs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use sim::lock::{Completion, WaitQueue};
use sim::touch::{Access, Object};
use sim::{Errno, LaneName, Rule};
use uevent::kobject_uevent::ForkKeys;
use uevent::wire::connector::ForkIds;

use super::send::{count, fork_kobj};
use crate::design::{Format, Seq};
use crate::exec::do_execve;
use crate::exit::do_exit;
use crate::facts::Fact;
use crate::fork::{do_fork, flags};
use crate::sched::Work;
use crate::signal::SIGCHLD;
use crate::{System, TaskRef};

/// The name of khelper's lane. No task of a scenario has a capital.
pub const KHELPER: &str = "Khelper";
/// The pid of khelper, the third kernel thread that [`boot`](crate::init::boot) makes.
pub const KHELPER_PID: i32 = 4;

/// khelper's queue, as an explorer calls it.
const QUEUE: Object = Object::named("khelper_wq");

/// The queue of khelper.
#[derive(Default)]
pub struct Khelper {
    runs: Cell<bool>,
    queue: RefCell<VecDeque<Rc<Job>>>,
    wait: WaitQueue,
    /// Helpers started so far.
    pub born: Cell<u32>,
}

impl Khelper {
    /// It runs, or jobs wait: copies of a kernel would share them.
    pub(super) fn shares(&self) -> bool {
        self.runs.get() || !self.queue.borrow().is_empty()
    }

    /// See [`System::copy_over`].
    pub(super) fn copy_over(&self, used: &mut Khelper) {
        *used = Khelper { born: self.born.clone(), ..Khelper::default() };
    }
}

/// Models `struct subprocess_info`.
struct Job {
    complete: Completion,
    retval: Cell<Result<(), Errno>>,
}

/// Broadcasts an event with keys and starts a helper with the same environment, as `kobject_hotplug()` does.
///
/// # Errors
/// Those of the broadcast; what came of the helper is dropped, as there.
///
/// # Violations
/// [`Rule::Deadlock`] when khelper's own fork is the event.
pub(super) async fn hotplug_fork(sys: &System, ids: &ForkIds, seq: Option<Seq>) -> Result<(), Errno> {
    let core = &sys.core;
    if !core.config.hotplug {
        count(sys, Format::Keys, Ok(()));
        return Ok(());
    }
    sys.m.enter("kobject_hotplug", || vec![("action", "fork".into())]);
    let sent = match ForkKeys::build(core, fork_kobj(sys), ids, seq.map(|seq| (seq.number, seq.cpu))).await {
        Ok(keys) => {
            let sent = keys.send(core).await;
            let _ = call_usermodehelper(sys, &keys).await;
            keys.free(core);
            sent
        }
        Err(error) => Err(error),
    };
    sys.m.leave("kobject_hotplug", None);
    count(sys, Format::Keys, sent);
    sent
}

/// Has khelper start the helper, and waits until it has. Models `call_usermodehelper()` with `wait = 0`.
async fn call_usermodehelper(sys: &System, keys: &ForkKeys) -> Result<(), Errno> {
    let khelper = &sys.notify.helper;
    let path = sys.core.hotplug_path.borrow().clone();
    let args = || {
        let argv = vec![path.clone(), uevent::wire::SUBSYSTEM.to_vec()];
        let envp = keys.strings(&sys.core);
        let list = sim::Value::List;
        vec![("path", path.as_slice().into()), ("argv", list(argv)), ("envp", list(envp)), ("wait", 0.into())]
    };
    sys.m.call("call_usermodehelper", args, None);
    if path.is_empty() {
        return Ok(());
    }
    if !khelper.runs.get() {
        return Err(Errno::from_number(16)); // -EBUSY: khelper_wq is still NULL.
    }
    if sys.m.lane_name().as_str() == KHELPER {
        let text = format!("deadlock: lane {KHELPER} waits for kernel/kmod.c:call_usermodehelper(), its own work");
        let cause = "the fork of a helper is an event, too, and needs a helper".to_owned();
        sys.m.report(Rule::Deadlock, text, Some(cause));
        return Err(Errno::Again);
    }
    let job = Rc::new(Job { complete: Completion::of(sys.m.new_object(QUEUE, 0)), retval: Cell::new(Ok(())) });
    sys.m.touch(QUEUE, Access::Write);
    khelper.queue.borrow_mut().push_back(job.clone());
    khelper.wait.wake_up(&sys.m);
    job.complete.wait_for_completion(&sys.m).await;
    job.retval.get()
}

/// Starts khelper: it forks a helper for each job, to the end of the run.
pub(super) fn start(sys: &Rc<System>) {
    let Some(me) = sys.find_task_by_pid(KHELPER_PID) else { return };
    // A work queue's thread ignores SIGCHLD, so that its children reap themselves; the boot gave it init's handlers.
    let shared = sys.fixed(me, |t| t.sighand);
    sys.sighand_count(shared, -1);
    let own = sys.new_sighand(true, 1);
    sys.task(me, |t| t.sighand = own);
    sys.notify.helper.runs.set(true);
    sys.m.spawn(KHELPER, khelper(sys.clone(), me));
}

/// Models the thread of `khelper_wq`, `__call_usermodehelper()` and `____call_usermodehelper()`.
async fn khelper(sys: Rc<System>, me: TaskRef) {
    const FLAGS: u32 = flags::VFORK | flags::VM | flags::UNTRACED | SIGCHLD.cast_unsigned();
    let khelper = &sys.notify.helper;
    loop {
        let some = || {
            sys.m.touch(QUEUE, Access::Read);
            !khelper.queue.borrow().is_empty()
        };
        khelper.wait.wait_event(&sys.m, "kernel/workqueue.c:worker_thread()", true, some).await;
        sys.m.touch(QUEUE, Access::Write);
        let job = khelper.queue.borrow_mut().pop_front();
        let Some(job) = job else { continue };
        let work = Work::new(helper_name(khelper.born.get()), |sys: Rc<System>, me| async move {
            do_execve(&sys, me).await;
            sys.m.user_point().await;
            do_exit(&sys, me, 0).await;
        });
        khelper.born.set(khelper.born.get() + 1);
        let forked = do_fork(&sys, me, FLAGS, Some(work)).await;
        if let Ok(pid) = forked {
            sys.note(|| Fact::Helper { pid });
        }
        job.retval.set(forked.map(|_| ()));
        job.complete.complete(&sys.m);
    }
}

/// `HotplugA`, `HotplugB`, … `HotplugAA`: no digits, which count steps in a schedule.
fn helper_name(n: u32) -> LaneName {
    let mut suffix = String::new();
    let mut rest = n + 1;
    while rest > 0 {
        suffix.insert(0, char::from(b'A' + u8::try_from((rest - 1) % 26).expect("below 26")));
        rest = (rest - 1) / 26;
    }
    LaneName::from_text(&format!("Hotplug{suffix}")).expect("seven letters and at most seven more")
}
