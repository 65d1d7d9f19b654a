//! P16 to P18: memory, contexts, and who may be looked at.

use super::{Exhibit, Mended};
use crate::property::{Case, safety};

/// GFP_KERNEL where nothing may sleep.
pub(super) const P16A: Exhibit = Exhibit {
    id: "P16a",
    property: &safety::P16,
    remark: 0,
    title: "GFP_KERNEL in atomic context",
    says: "The merged hook made its message with GFP_KERNEL under tasklist_lock. The fork connector's GFP_ATOMIC may stand \
           there.",
    case: Case::of("pressure"),
    design: "hook=locked gate=has-listeners format=connector-struct",
    mended: Mended::By("hook=locked gate=has-listeners format=connector-ascii"),
};

/// GFP_ATOMIC where one may sleep.
pub(super) const P16B: Exhibit = Exhibit {
    id: "P16b",
    property: &safety::P16,
    remark: 0,
    title: "GFP_ATOMIC in process context loses events",
    says: "Nyberg and Morton asked why the fork connector allocates with GFP_ATOMIC although it may sleep. While memory is \
           short it loses the event; GFP_KERNEL in the same place waits, and loses none.",
    case: Case::of("pressure"),
    design: "hook=before-wake format=connector-ascii",
    mended: Mended::By("hook=before-wake format=connector-struct"),
};

/// The hook under the lock.
pub(super) const P17: Exhibit = Exhibit {
    id: "P17",
    property: &safety::P17,
    remark: 0,
    title: "the hook under tasklist_lock sleeps",
    says: "The merged hook allocated with GFP_KERNEL under write_lock_irq(&tasklist_lock): the first fork with a listener.",
    case: Case::of("first-fork"),
    design: "hook=locked gate=has-listeners format=connector-struct",
    mended: Mended::By("hook=before-wake gate=has-listeners format=connector-struct"),
};

/// A thread.
pub(super) const P18A: Exhibit = Exhibit {
    id: "P18a",
    property: &safety::P18,
    remark: 0,
    title: "a thread reaps itself",
    says: "A thread that was made with CLONE_THREAD sends no signal and reaps itself at its exit, before the hook reads \
           p->pid.",
    case: Case::of("reaps-itself"),
    design: "hook=end",
    mended: Mended::By("hook=end-saved-pid"),
};

/// SIGCHLD ignored.
pub(super) const P18B: Exhibit = Exhibit {
    id: "P18b",
    property: &safety::P18,
    remark: 0,
    title: "the parent ignores SIGCHLD, and the child reaps itself",
    says: "Nobody is to wait for the child of a parent that ignores SIGCHLD, so that it goes at its exit, before the hook \
           reads p->pid.",
    case: Case::of("ignored"),
    design: "hook=end",
    mended: Mended::By("hook=end-saved-pid"),
};

/// Another thread waits.
pub(super) const P18C: Exhibit = Exhibit {
    id: "P18c",
    property: &safety::P18,
    remark: 0,
    title: "another thread of the parent is in wait4()",
    says: "The forking thread is the child's parent, but any thread of its process may wait for the child: one that is in \
           wait4() releases it while the other is still on its way to the hook.",
    case: Case::of("waited"),
    design: "hook=end",
    mended: Mended::By("hook=end-saved-pid"),
};

/// Another parent.
pub(super) const P18D: Exhibit = Exhibit {
    id: "P18d",
    property: &safety::P18,
    remark: 0,
    title: "CLONE_PARENT: somebody else is the parent",
    says: "With CLONE_PARENT the child is a sibling of the forking task. Its parent, here init, reaps it whenever it likes.",
    case: Case::of("adopted"),
    design: "hook=end",
    mended: Mended::By("hook=end-saved-pid"),
};

/// The second try reads it, too.
pub(super) const P18E: Exhibit = Exhibit {
    id: "P18e",
    property: &safety::P18,
    remark: 1,
    title: "the first process events connector reads the child after the wake-up, too",
    says: "The hook of September 2005 stands right behind wake_up_new_task() and reads the child and its parent: the window \
           is smaller, and still there. What mended it is the place before the wake-up.",
    case: Case::of("ignored"),
    design: "hook=after-wake",
    mended: Mended::By("hook=before-wake"),
};
