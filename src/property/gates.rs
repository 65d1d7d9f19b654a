//! Who is asked whether somebody listens, and is the answer right?

use fork_model::facts::Outcome;
use sim::Errno;

use crate::lab::listen::Listener;
use crate::property::account::{Account, accounts, answered, cost};
use crate::property::{Case, Judgement, Run, Told, broken, property};

/// The first event that a gate kept back although this listener asked for it, and there is this reason.
fn kept_from<'a>(
    run: &'a Run<'_>,
    reason: impl Fn(&Told, &Listener) -> Option<String>,
) -> Option<(Told, &'a Listener, String)> {
    run.told().filter(|told| told.outcome == Outcome::Kept).find_map(|told| {
        run.observed.world.listeners.iter().find_map(|listener| {
            let asks = listener.life.asks(told.begun, told.step);
            let reason = asks.then(|| reason(&told, listener)).flatten()?;
            Some((told, listener, reason))
        })
    })
}

fn kept(found: Option<(Told, &Listener, String)>) -> Judgement {
    let Some((told, listener, reason)) = found else { return Ok(()) };
    broken(told.step, format!("{} asks to be told and is not told of {}: {reason}", listener.name, told.child_true))
}

property! {
    /// When the last who listened has gone, forks pay for no allocation any more.
    P3 "a listener that dies without a word leaves its cost behind", Cost;
    said: ["2005-02-11" "Andrew Morton" "20050211005446.081aa075.akpm@osdl.org"];
    rules: [];
    cases: [Case::of("gone")];
    fn p3(run) {
        let listeners = &run.observed.world.listeners;
        let all_gone = |step| {
            let mut lives = listeners.iter().map(|listener| &listener.life).filter(|life| life.was_there()).peekable();
            lives.peek().is_some() && lives.all(|life| life.is_gone(step))
        };
        let Some(event) = accounts(run).into_iter().find(|event| event.paid().allocs > 0 && all_gone(event.told.begun)) else {
            return Ok(());
        };
        let (paid, answer) = (cost(event.paid()), answered(event.told.outcome));
        broken(event.told.step, format!("all listeners are gone, and the event of {} still took {paid}{answer}", event.told.child_true))
    }
}

property! {
    /// One listener's word takes no event from another that asks for it.
    P4 "one listener switches all off", Loss;
    said: [
        "2005-03-21" "Ram Pai" "1111438349.5860.27",
        "2005-03-22" "Jay Lan" "4240AF8B.4000102@engr.sgi.com",
    ];
    rules: [];
    cases: [Case::of("says-off")];
    fn p4(run) {
        kept(kept_from(run, |told, asks| {
            let other = run.observed.world.listeners.iter().find(|other| {
                other.name != asks.name && other.life.took_back(told.step)
            })?;
            Some(format!("{} said that it listens no more, and that was taken for all", other.name))
        }))
    }
}

property! {
    /// Who says at last that it listens is told, whatever was said before.
    P5 "a counter without a floor: ignore, then listen, and nothing is heard", Loss;
    said: ["2005-10" "read off the later version of Matt Helsley's patch" "Message-Id not recorded"];
    rules: [];
    cases: [Case::of("ignore-first")];
    fn p5(run) {
        kept(kept_from(run, |told, _| {
            let too_much = run.observed.world.listeners.iter().find(|listener| listener.life.took_back_too_much(told.step))?;
            let count = run.observed.world.sys.core.listening.proc_event_num_listeners.get();
            Some(format!("{} took back once what it had not asked for, and the count of listeners stands at {count}", too_much.name))
        }))
    }
}

property! {
    /// That nobody wanted one event takes no later event from a listener that asks for it.
    P6 "an answer of -ESRCH is taken for the end of all listening", Loss;
    said: ["2024-01" "mainline, reverted by 8929f95b2b58" "c46bfba1337d"];
    rules: [];
    cases: [Case::of("filter")];
    fn p6(run) {
        kept(kept_from(run, |told, _| {
            let events = accounts(run);
            let srch = |event: &&Account| event.outcome() == Some(Err(Errno::Srch)) && event.end() < told.begun;
            let before = events.iter().find(srch)?;
            let (child, step) = (before.told.child_true, before.end());
            Some(format!("in step {step} the event of {child} had reached nobody, as it was filtered, and the count was set to 0"))
        }))
    }
}
