//! Whether what is said is so, and said in time.

use fork_model::facts::{Act, Outcome};

use super::look::did;
use crate::property::{Case, broken, property};

property! {
    /// An event tells a thread from a process, and of a process its true parent.
    P15 "pid or tgid, and whose child", Truth;
    said: ["2005-05-09" "Alexander Nyberg" "1115631107.936.25"];
    rules: [];
    cases: [Case::of("new-thread"), Case::of("other-parent")];
    fn p15(run) {
        for (listener, heard) in run.said() {
            for (step, said) in heard {
                let step = run.sent_in(said.ids.child_pid, step);
                // A number that nobody has is P18's; what a listener makes of who is not the kernel is P28's.
                let Some(fork) = run.fork_of(said.ids.child_pid, step) else { continue };
                let (name, child, parent) = (&listener.name, fork.child, fork.parent);
                if said.is_thread() != fork.is_thread {
                    let (is, taken) = if fork.is_thread {
                        (format!("a thread of process {}", fork.child_tgid), "process")
                    } else {
                        ("a process".to_owned(), "thread")
                    };
                    return broken(step, format!("{child} is {is}, and {name} is told of a new {taken}"));
                }
                if !fork.is_thread && said.ids.parent_tgid != parent {
                    let said = said.ids.parent_tgid;
                    return broken(step, format!("the parent of {child} is {parent}, and {name} is told that it is {said}"));
                }
            }
        }
        Ok(())
    }
}

property! {
    /// A vfork is told before the child execs or exits.
    P19 "vfork: the event comes after the child's exec", Order;
    said: ["2005-02-11" "read off the patch: the hook stands behind the vfork wait" "1108109504.30559.43"];
    rules: [];
    cases: [Case::of("vfork")];
    fn p19(run) {
        for event in run.events().into_iter().filter(|event| event.outcome != Outcome::Kept) {
            let Some(fork) = run.fork_of(event.child, event.step).filter(|fork| fork.vfork) else { continue };
            let ends = |act| matches!(act, Act::Execs | Act::Exits);
            let end = run.acts().find(|(step, pid, act)| *pid == fork.child && *step > fork.step && ends(*act));
            let Some((step, child, act)) = end.filter(|(step, ..)| *step < event.step) else { continue };
            return broken(
                event.step,
                format!("{} vforked {child}, which {} in step {step}; its fork is told only now", fork.caller, did(act)),
            );
        }
        Ok(())
    }
}

property! {
    /// A fork is told before the child can do anything that is told, too: fork, exec or exit.
    P20 "the child's own events come before its fork", Order;
    said: ["2005-02-11" "read off the patch: the hook stands behind wake_up_new_task()" "1108109504.30559.43"];
    rules: [];
    cases: [Case::of("exits"), Case::of("chain")];
    fn p20(run) {
        let events = run.events();
        for event in events.iter().filter(|event| event.outcome != Outcome::Kept) {
            let Some(fork) = run.fork_of(event.child, event.step) else { continue };
            let is_told = |act| matches!(act, Act::Forks | Act::Execs | Act::Exits);
            let first = run.acts().find(|(step, pid, act)| *pid == fork.child && *step > fork.step && is_told(*act));
            let Some((step, child, act)) = first.filter(|(step, ..)| *step < event.step) else { continue };
            let mut text = format!("{child} {} in step {step}, and its own fork is told only now", did(act));
            let of_child = |child| run.forked().find(move |fork| fork.caller == child);
            let grandchild = of_child(child).map(|fork| fork.child);
            let earlier = |other| events.iter().any(|event_| event_.child == other && event_.step < event.step);
            if let Some(grandchild) = grandchild.filter(|grandchild| earlier(*grandchild)) {
                text += &format!(", after that of its child {grandchild}");
            }
            return broken(event.step, text);
        }
        Ok(())
    }
}
