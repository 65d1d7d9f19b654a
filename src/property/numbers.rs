//! What the numbers of events are good for.

use std::collections::BTreeMap;

use fork_model::design::{Design, Sequence};
use fork_model::facts::Outcome;

use crate::property::{Case, broken, property};

/// Why a design without numbers has nothing to say of them.
fn unnumbered(design: &Design) -> Option<&'static str> {
    (design.sequence == Sequence::None).then_some("its events have no numbers")
}

property! {
    /// Who has lost an event between two that he heard can tell: he was told so, or a number is missing.
    P11 "a lost event leaves no gap", Loss;
    said: ["2005-04-10" "asked of the fork connector, which then numbered its events" "20050410235124.2addd7d9.akpm@osdl.org"];
    rules: [];
    cases: [Case::of("three-forks").with_faults(1)];
    fn p11(run) {
        let events: Vec<_> = run.events().into_iter().filter(|event| event.outcome != Outcome::Kept).collect();
        for (listener, log) in run.said() {
            let heard = listener.heard.borrow();
            if heard.overruns > 0 || heard.numbers.missing() > 0 || heard.tree.unreadable > 0 || listener.may_stop() {
                continue;
            }
            let mut left: Vec<_> = log.iter().map(|(_, said)| said.ids.child_pid).collect();
            let reached: Vec<_> = events
                .iter()
                .map(|event| left.iter().position(|said| *said == event.said).map(|at| left.remove(at)).is_some())
                .collect();
            let Some(first) = reached.iter().position(|reached| *reached) else { continue };
            let last = reached.iter().rposition(|reached| *reached).expect("there is a first one");
            let Some(lost) = (first..last).find(|at| !reached[*at]) else { continue };
            let (name, child, before, after) =
                (&listener.name, events[lost].child, events[lost - 1].child, events[lost + 1].child);
            let why = match events[lost].outcome {
                Outcome::Sent(Err(errno)) => format!("the fork of {child} came to nothing, {errno}"),
                _ => format!("the fork of {child} did not reach {name}"),
            };
            let whom = if lost == first + 1 { format!("{before}") } else { "others".to_owned() };
            return broken(events[lost].step, format!("{why}: {name} hears of {whom} and of {after}, and cannot tell"));
        }
        Ok(())
    }
}

property! {
    /// No two events have the same number.
    P12 "two events with one number", Order;
    said: ["2005-04-07 to 10" "Jay Lan, Andrew Morton" "20050410235124.2addd7d9.akpm@osdl.org"];
    rules: [];
    cases: [Case::of("two-forks")];
    silent: unnumbered;
    fn p12(run) {
        let mut whose = BTreeMap::new();
        for event in run.events() {
            let Some(seq) = event.seq else { continue };
            let Some(other) = whose.insert(seq, event.child) else { continue };
            let of_cpu = seq.cpu.map_or(String::new(), |cpu| format!(" of CPU {cpu}"));
            let (child, number) = (event.child, seq.number);
            return broken(event.step, format!("the forks of {other} and of {child} both have number {number}{of_cpu}"));
        }
        Ok(())
    }
}

property! {
    /// The numbers put the events in one order, and they arrive in it.
    P14 "the numbers do not tell the order", Order;
    said: ["2005-03-17 to 04-10" "Evgeniy Polyakov" "20050410235124.2addd7d9.akpm@osdl.org"];
    rules: [];
    cases: [Case::of("two-forks")];
    silent: unnumbered;
    fn p14(run) {
        for (listener, heard) in run.said() {
            for pair in heard.windows(2) {
                let [(_, first), (step, second)] = pair else { continue };
                let (Some(a), Some(b)) = (first.seq, second.seq) else { continue };
                let (name, one, two) = (&listener.name, first.ids.child_pid, second.ids.child_pid);
                let text = match (a.cpu, b.cpu) {
                    (Some(cpu), Some(other)) if cpu != other => format!(
                        "{name} cannot tell who forked first: {one} is number {} of CPU {cpu}, {two} is number {} of CPU {other}",
                        a.number, b.number
                    ),
                    _ if b.number < a.number => format!(
                        "number {}, the fork of {two}, reaches {name} behind number {}, the fork of {one}",
                        b.number, a.number
                    ),
                    _ => continue,
                };
                return broken(run.sent_in(two, *step), text);
            }
        }
        Ok(())
    }
}
