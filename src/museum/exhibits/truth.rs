//! P15, P19, P20: what is said of a fork, and when.

use super::{Exhibit, Mended};
use crate::property::{Case, truth};

/// A thread as a process.
pub(super) const P15A: Exhibit = Exhibit {
    id: "P15a",
    property: &truth::P15,
    remark: 0,
    title: "a thread is reported as a new process",
    says: "The patch writes the pid of what was made, which is a thread id after CLONE_THREAD, and nothing that would tell \
           it from a process: a tree built from the events has a process that never was. Thread and process ids, as the \
           process events connector has them, mend it.",
    case: Case::of("new-thread"),
    design: "",
    mended: Mended::By("hook=before-wake format=connector-struct"),
};

/// The wrong parent.
pub(super) const P15B: Exhibit = Exhibit {
    id: "P15b",
    property: &truth::P15,
    remark: 0,
    title: "CLONE_PARENT: the reported parent is not the parent",
    says: "The patch reports who called fork. After CLONE_PARENT the parent is the caller's own parent. A hook that reads \
           p->real_parent, as every later one does, says so.",
    case: Case::of("other-parent"),
    design: "",
    mended: Mended::By("hook=before-wake"),
};

/// After the exec.
pub(super) const P19: Exhibit = Exhibit {
    id: "P19",
    property: &truth::P19,
    remark: 0,
    title: "vfork: the event comes after the child's exec",
    says: "The hook stands behind the wait for the child: whoever vforks tells of it when the child has called exec or is \
           gone, in every schedule.",
    case: Case::of("vfork"),
    design: "",
    mended: Mended::By("hook=before-wake"),
};

/// After the exit.
pub(super) const P20A: Exhibit = Exhibit {
    id: "P20a",
    property: &truth::P20,
    remark: 0,
    title: "the child exits before its fork is told",
    says: "Behind wake_up_new_task() the child runs on another CPU: its exit, which a listener may know from elsewhere, can \
           come first.",
    case: Case::of("exits"),
    design: "",
    mended: Mended::By("hook=before-wake"),
};

/// After the grandchild.
pub(super) const P20B: Exhibit = Exhibit {
    id: "P20b",
    property: &truth::P20,
    remark: 0,
    title: "the grandchild's fork is told before the child's",
    says: "The child forks while its parent is still on its way to the hook. The listener hears of a parent that it has \
           never heard of. Only a hook before the wake-up, in the lock or behind it, cannot be overtaken.",
    case: Case::of("chain"),
    design: "",
    mended: Mended::By("hook=before-wake"),
};
