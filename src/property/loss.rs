//! What is lost, and who learns of it?

use fork_model::facts::Outcome;
use sim::Errno;
use uevent::af_netlink::Why;

use crate::lab::listen::{Entry, Listener};
use crate::lab::report::plural;
use crate::property::account::{Account, accounts, cost};
use crate::property::{Case, broken, property};

property! {
    /// While there is no socket to send it through, no event is made.
    P21 "forks of the boot build their events, and -EIO drops them", Loss;
    said: ["2005-02-11" "read off send_uevent(), which looks for its socket last" "1108109504.30559.43"];
    rules: [];
    cases: [Case::of("boot-early")];
    fn p21(run) {
        let io = |event: &Account| event.outcome() == Some(Err(Errno::Io)) && event.paid().allocs > 0;
        let Some(event) = accounts(run).into_iter().find(io) else { return Ok(()) };
        let (child, paid) = (event.told.child_true, cost(event.paid()));
        broken(event.end(), format!("the event of {child} took {paid}, ended in -EIO as there is no socket yet, and nobody was told"))
    }
}

/// What a listener got of the events that name this child.
fn heard_of(listener: &Listener, child: i32) -> usize {
    let of = |entry: &&Entry| entry.said.is_ok_and(|said| said.ids.child_pid == child);
    listener.heard.borrow().log.iter().filter(of).count()
}

/// Whether the numbers show a listener that it lost this event: it got one before it and one behind it.
fn sees_the_gap(listener: &Listener, event: &Account) -> bool {
    let Some(lost) = event.told.seq else { return false };
    let heard = listener.heard.borrow();
    let mut numbers = heard.log.iter().filter_map(|entry| entry.said.ok()?.seq).filter(|seq| seq.cpu == lost.cpu);
    numbers.clone().any(|seq| seq.number < lost.number) && numbers.any(|seq| seq.number > lost.number)
}

property! {
    /// An event that is due to a listener reaches it, or somebody is told that it does not.
    P22 "kobject_fork() returns nothing, and each loss vanishes in it", Loss;
    said: [
        "2005-02-11" "read off the patch" "1108109504.30559.43",
        "2005-09-28" "read off Matt Helsley's process events connector" "1127961841.12346.2344.camel@stark",
    ];
    rules: [];
    cases: [Case::of("one-fork").with_faults(1)];
    fn p22(run) {
        if !run.is_over() {
            return Ok(()); // What never came to its end may still arrive.
        }
        let events = accounts(run);
        for (i, event) in events.iter().enumerate() {
            if event.told.outcome == Outcome::Kept {
                continue;
            }
            let same = |other: &&Account| other.told.child_said == event.told.child_said;
            for listener in run.observed.world.listeners.iter().filter(|listener| event.is_due_to(listener)) {
                let nth = events[..=i].iter().filter(same).count();
                let told = listener.heard.borrow().told.iter().any(|step| *step >= event.told.begun);
                if heard_of(listener, event.told.child_said) >= nth || told || sees_the_gap(listener, event) {
                    continue;
                }
                let failed = run.observed.failed.iter().map(|(site, _)| format!(", {site} failed")).collect::<String>();
                let rc = match event.outcome() {
                    Some(Err(errno)) => errno.to_string(),
                    Some(Ok(())) => "0".to_owned(),
                    None => "nothing".to_owned(),
                };
                return broken(
                    event.end(),
                    format!(
                        "{} is not told of {}, and nobody learns of it: its fork succeeds, the sender's {rc} is dropped{failed}",
                        listener.name, event.told.child_true
                    ),
                );
            }
        }
        Ok(())
    }
}

property! {
    /// A listener that has room gets the message, whatever it lost before and whatever another listener lacks.
    P23 "an overrun sticks to a listener, and one failed copy to all that follow", Loss;
    said: ["2005-02-11" "read off netlink_broadcast(), see G27 and G31" "1108109504.30559.43"];
    rules: [];
    cases: [Case::of("two-late").with_faults(1), Case::of("three-listeners").with_faults(1)];
    silent: |design| {
        (design.delivery == fork_model::design::Delivery::Signal).then_some("it sends no message over netlink")
    };
    fn p23(run) {
        let sys = &run.observed.world.sys;
        let with_room = |why: Why, room: i32| room >= 0 && matches!(why, Why::Latched | Why::Untried);
        let Some(loss) = sys.core.losses().into_iter().find(|loss| with_room(loss.why, loss.room)) else { return Ok(()) };
        let of = |listener: &&Listener| {
            listener.sock.get().is_some_and(|sock| sys.core.sock(sock, |sock| sock.number) == loss.sock)
        };
        let name = run.observed.world.listeners.iter().find(of).map_or("a listener", |listener| listener.name.as_str());
        let room = plural(loss.room.unsigned_abs().into(), "byte");
        let why = match loss.why {
            Why::Untried => "the copy of a listener before it failed, and none is tried for it",
            _ => "it lost something before and has not drained its queue since",
        };
        broken(loss.step, format!("{name} has room for {room} and does not get the message: {why}"))
    }
}
