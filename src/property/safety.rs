//! May the kernel do that there?

use crate::property::{Case, property};

property! {
    /// Nothing sleeps while a spinlock is held or interrupts are off, whoever listens.
    P17 "the hook under tasklist_lock sleeps", Safety;
    said: ["2005-11-28" "Andrew Morton" "Pine.LNX.4.64.0511282006370.3177@g5.osdl.org"];
    rules: [AtomicSleep];
    cases: [Case::of("tour")];
    fn p17(_run) {
        Ok(())
    }
}

property! {
    /// The parent reads nothing of the child after it has set it free to run.
    P18 "p->pid is read after the wake-up", Safety;
    said: ["2005-02-11" "read off the patch; do_fork()'s own comment warns of it" "1108109504.30559.43"];
    rules: [UseAfterFree];
    cases: [Case::of("autoreap"), Case::of("thread"), Case::of("tour")];
    fn p18(_run) {
        Ok(())
    }
}
