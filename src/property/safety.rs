//! May the kernel do that there?

use fork_model::facts::Outcome;
use fork_model::hook::Place;
use sim::Errno;

use crate::property::{Case, broken, property};

property! {
    /// A notification neither waits for memory where nothing may sleep, nor loses an event for memory that it could have waited for.
    P16 "the wrong gfp", Safety;
    said: [
        "2005-05-09" "Alexander Nyberg" "1115631107.936.25",
        "2005-11-28" "Andrew Morton" "Pine.LNX.4.64.0511282006370.3177@g5.osdl.org",
    ];
    rules: [AtomicSleep];
    cases: [Case::of("pressure")];
    fn p16(run) {
        // Under tasklist_lock there was nothing better than GFP_ATOMIC.
        if run.design.hook.place() == Place::Locked {
            return Ok(());
        }
        let lost = run.events().into_iter().find_map(|event| {
            let Outcome::Sent(Err(errno @ (Errno::NoMem | Errno::NoBufs | Errno::Again))) = event.outcome else { return None };
            let failed = run.observed.first_failed.iter().rfind(|failed| failed.step <= event.step)?;
            (!failed.gfp.may_wait()).then_some((event, errno, failed))
        });
        let Some((event, errno, failed)) = lost else { return Ok(()) };
        let (child, site, gfp) = (event.child, failed.site, failed.gfp);
        broken(failed.step, format!("{site} with {gfp} failed where one may wait: the fork of {child} is lost, {errno}"))
    }
}

property! {
    /// Nothing sleeps while a spinlock is held or interrupts are off, whoever listens.
    P17 "the hook under tasklist_lock sleeps", Safety;
    said: ["2005-11-28" "Andrew Morton" "Pine.LNX.4.64.0511282006370.3177@g5.osdl.org"];
    rules: [AtomicSleep];
    cases: [Case::of("first-fork")];
    fn p17(_run) {
        Ok(())
    }
}

property! {
    /// The parent reads nothing of the child after it has set it free to run.
    P18 "p->pid is read after the wake-up", Safety;
    said: [
        "2005-02-11" "read off the patch; do_fork()'s own comment warns of it" "1108109504.30559.43",
        "2005-09-28" "read off Matt Helsley's first process events connector" "1127961841.12346.2344.camel@stark",
    ];
    rules: [UseAfterFree];
    cases: [
        Case::of("reaps-itself"),
        Case::of("ignored"),
        Case::of("waited"),
        Case::of("adopted"),
        Case::of("zombie"),
    ];
    fn p18(_run) {
        Ok(())
    }
}
