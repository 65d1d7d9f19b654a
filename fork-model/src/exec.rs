//! Starting a program, as far as the parent can tell. Models what of `fs/exec.c:do_execve()` a fork meets.

use std::rc::Rc;

use crate::System;
use crate::facts::{Act, Fact};
use crate::fork::{mm_release, mmput};
use crate::ground;
use crate::sched::{TaskRef, pf};

/// Replaces the memory of a task: a vfork parent may go on.
///
/// DIFFERENCE: no file is read and nothing fails; the other threads of a group go on.
pub async fn do_execve(sys: &Rc<System>, current: TaskRef) {
    sys.m.enter("do_execve", Vec::new);
    sys.note(|| Fact::Acts { pid: sys.fixed(current, |t| t.pid), what: Act::Execs });
    sys.m.point().await;
    mm_release(sys, current);
    let old = sys.part(current, ground::OWN, |t| {
        t.flags &= !pf::FORKNOEXEC;
        t.mm.replace(sys.new_mm())
    });
    if let Some(old) = old {
        mmput(sys, old);
    }
    sys.m.leave("do_execve", Some(0));
}
