//! Who pays, and how much?

use std::collections::BTreeSet;

use fork_model::design::Gate;
use fork_model::facts::{Act, Fact, Outcome};
use fork_model::notify::cbus::NODE;
use sim::Errno;

use crate::lab::listen::Entry;
use crate::lab::report::plural;
use crate::property::account::{Account, accounts, answered, cost};
use crate::property::{Case, Run, Told, broken, property};

/// Whether nobody has ever been there to listen.
fn nobody_ever(run: &Run<'_>) -> bool {
    !run.observed.world.listeners.iter().any(|listener| listener.life.was_there())
}

property! {
    /// With nobody listening, a fork pays for no allocation.
    P1 "all is set up and dropped when nobody listens", Cost;
    said: ["2005-02-11" "Andrew Morton" "20050211005446.081aa075.akpm@osdl.org"];
    rules: [];
    cases: [Case::of("nobody")];
    fn p1(run) {
        let nobody = nobody_ever(run);
        let Some(told) = run.told().find(|told| nobody && told.paid.allocs > 0) else { return Ok(()) };
        let answer = answered(told.outcome);
        let (child, paid) = (told.child_true, cost(told.paid));
        broken(
            told.step,
            format!("nobody listens, and the fork of {child} paid for {paid}{answer}"),
        )
    }
}

property! {
    /// A gate lets no event pass while nobody is bound: the kernel's own socket is no listener.
    P2 "a socket that exists is taken for a listener", Cost;
    said: ["2005-02-11" "Andrew Morton" "20050211005446.081aa075.akpm@osdl.org"];
    rules: [];
    cases: [Case::of("nobody")];
    silent: |design| (design.gate == Gate::Always).then_some("nobody is asked, so that no answer is wrong: see P1");
    fn p2(run) {
        let nobody = nobody_ever(run);
        let passed = accounts(run).into_iter().find(|event| nobody && event.told.outcome != Outcome::Kept);
        let Some(event) = passed else { return Ok(()) };
        let (told, answer) = (event.told, answered(event.told.outcome));
        let paid = cost(event.paid());
        broken(told.step, format!("nobody is bound, and the gate let the event of {} pass: {paid}{answer}", told.child_true))
    }
}

property! {
    /// An event takes no more memory than its message: a buffer's head and its data, and a head for each further listener.
    P8 "a uevent is too big a thing for two numbers", Cost;
    said: [
        "2005-02-11" "Andrew Morton" "20050211005446.081aa075.akpm@osdl.org",
        "2005-02-14" "Greg KH" "20050214174111.GB6697@kroah.com",
    ];
    rules: [];
    cases: [Case::of("one-fork")];
    fn p8(run) {
        let listeners = &run.observed.world.listeners;
        for event in accounts(run) {
            let there = listeners.iter().filter(|listener| listener.life.is_there(event.told.begun)).count() as u64;
            let needs = 2 + there.saturating_sub(1);
            let paid = event.paid();
            if paid.allocs <= needs {
                continue;
            }
            let heard = listeners.iter().map(|listener| listener.heard.borrow()).find(|heard| heard.received > 0);
            let message = heard.map_or_else(String::new, |heard| format!(" for a message of {}", plural(heard.bytes / heard.received, "byte")));
            let elsewhere = event.sent.map_or_else(String::new, |sent| {
                format!(" ({} in the fork, {} behind it)", event.told.paid.allocs, sent.paid.allocs)
            });
            let (child, paid) = (event.told.child_true, cost(paid));
            return broken(
                event.end(),
                format!("the event of {child} took {paid}{elsewhere}{message}; {needs} allocations hold it"),
            );
        }
        Ok(())
    }
}

property! {
    /// No fork waits, in its notification, for the fork of another CPU.
    P13 "one lock is taken by every CPU at every fork", Cost;
    said: ["2005-03-17" "Jesse Barnes" "200503170856.57893.jbarnes@engr.sgi.com"];
    rules: [];
    cases: [Case::of("neighbours")];
    fn p13(run) {
        let Some(told) = run.told().find(|told| told.paid.waits > 0) else { return Ok(()) };
        let forks = run.told().count() as u64;
        let all = run.told().map(|told| told.paid.waits).sum();
        let cpus = run.observed.world.sys.m.config().cpus;
        broken(
            told.step,
            format!(
                "the notification of {} found a lock taken {}: {} in {} on {cpus} CPUs",
                told.child_true,
                if told.paid.waits == 1 { "once".to_owned() } else { format!("{} times", told.paid.waits) },
                plural(all, "wait"),
                plural(forks, "fork"),
            ),
        )
    }
}

property! {
    /// No fork gives way for the sake of a listener that is slow.
    P24 "a congested listener makes the sender yield", Cost;
    said: ["2005-02-11" "read off netlink_broadcast(), which yields for a congested listener" "1108109504.30559.43"];
    rules: [];
    cases: [Case::of("slow-listener")];
    fn p24(run) {
        for (step, fact) in run.facts() {
            let Fact::Yielded { lane, child_said } = fact else { continue };
            let its = |told: &Told| {
                told.child_said == *child_said && (told.begun..=told.step).contains(step) && told.outcome != Outcome::Queued
            };
            let Some(told) = run.told().find(its) else { continue };
            let full = run.observed.world.listeners.iter().find(|listener| {
                listener.heard.borrow().log.first().is_none_or(|first| first.step > *step)
            });
            let whom = full.map_or_else(|| "a listener".to_owned(), |listener| listener.name.clone());
            return broken(
                *step,
                format!(
                    "{lane}, which forks {}, gave way to everybody because {whom} had not read: {} later it goes on",
                    told.child_true,
                    plural(told.step - step, "step"),
                ),
            );
        }
        Ok(())
    }
}

property! {
    /// No more events wait than tasks fork, and none is lost for want of a place to wait.
    P25 "deferral moves the cost, and may exhaust memory or lose what it puts off", Cost;
    said: ["2005-04-01" "Andrew Morton, Paul Jackson" "20050401111134.49a8af5f.akpm@osdl.org"];
    rules: [];
    cases: [Case::of("twice"), Case::of("one-fork").with_faults(1)];
    fn p25(run) {
        let events = accounts(run);
        let no_place = run.observed.failed.iter().any(|(site, _)| *site == NODE.0);
        let lost = events.iter().find(|event| no_place && event.told.outcome == Outcome::Sent(Err(Errno::NoMem)));
        if let Some(event) = lost {
            let child = event.told.child_true;
            return broken(
                event.told.step,
                format!("the event of {child} is lost before there is a message: no memory for its place in the list ({})", NODE.0),
            );
        }
        for (i, event) in events.iter().enumerate() {
            if event.told.outcome != Outcome::Queued {
                continue;
            }
            let now = event.told.step;
            let waits = |event: &&Account| {
                event.told.outcome == Outcome::Queued && event.sent.is_none_or(|sent| sent.step > now)
            };
            let waiting: Vec<_> = events[..=i].iter().filter(waits).collect();
            let forking: BTreeSet<_> = run.facts().iter().filter_map(|(step, fact)| match fact {
                Fact::Acts { pid, what: Act::Forks } if *step <= now => Some(*pid),
                _ => None,
            }).collect();
            if waiting.len() <= forking.len() {
                continue;
            }
            let bytes = waiting.iter().map(|event| event.told.paid.bytes).sum();
            let (waiting, tasks) = (plural(waiting.len() as u64, "event"), plural(forking.len() as u64, "task"));
            return broken(now, format!("{waiting} wait at once in a list without a bound, {} of nodes, and {tasks} forked", plural(bytes, "byte")));
        }
        Ok(())
    }
}

property! {
    /// What lies ready for a listener comes with one receive.
    P26 "one packet is sent for each fact", Cost;
    said: ["2005-03-29" "Paul Jackson" "Message-Id not recorded"];
    rules: [];
    cases: [Case::of("burst")];
    fn p26(run) {
        let events = accounts(run);
        for listener in &run.observed.world.listeners {
            let heard = listener.heard.borrow();
            let lay_there = |entry: &Entry, step: u64| {
                let Ok(said) = entry.said else { return false };
                let of = |event: &&Account| event.told.child_said == said.ids.child_pid;
                events.iter().find(of).is_some_and(|event| event.end() < step)
            };
            let pairs = heard.log.iter().zip(heard.log.iter().skip(1));
            let apart = pairs.clone().find(|(one, next)| one.receive != next.receive && lay_there(next, one.step));
            let Some((one, _)) = apart else { continue };
            let (name, bytes) = (&listener.name, heard.bytes);
            let (receives, facts) = (plural(heard.receives, "receive"), plural(heard.log.len() as u64, "event"));
            return broken(
                one.step,
                format!("{name} took {receives} and {} for {facts}, of which one lay there when the other was received", plural(bytes, "byte")),
            );
        }
        Ok(())
    }
}
