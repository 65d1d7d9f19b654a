//! What is on the wire, and who understands it.

use fork_model::design::{Delivery, Design, Over};
use uevent::wire::Message;
use uevent::wire::connector::ConnectorMessage;

use super::parsers::Parser;
use crate::lab::report::plural;
use crate::property::{Case, broken, property};

/// Why a design has nothing to say of the messages of kobjects.
fn no_uevent(design: &Design) -> Option<&'static str> {
    match (design.delivery, design.format.over()) {
        (Delivery::Signal, _) => Some("a signal has no bytes"),
        (_, Over::Connector) => Some("its messages are the connector's: they name no path and have no keys"),
        (_, Over::KobjectUevent) => None,
    }
}

property! {
    /// A path that a message names is a directory of sysfs.
    P7 "a path that is not there", Truth;
    said: ["2005-02-11" "Greg Kroah-Hartman" "20050211191112.GB19139@kroah.com"];
    rules: [];
    cases: [Case::of("first-fork")];
    fn p7(run) {
        if no_uevent(&run.design).is_some() {
            return Ok(());
        }
        for (listener, log) in run.heard() {
            let messages = &listener.heard.borrow().messages;
            for (message, entry) in messages.iter().zip(log) {
                let Ok(parsed) = Message::parse(message) else { continue };
                if !run.observed.world.sys.core.sysfs.has(parsed.devpath()) {
                    let (name, path) = (&listener.name, String::from_utf8_lossy(parsed.devpath()));
                    return broken(run.sent_at(&entry), format!("{name} is told of {path}, and sysfs has no such directory"));
                }
            }
        }
        Ok(())
    }
}

property! {
    /// What is put into an environment reaches somebody: the wire, or a helper.
    P9 "two slots that are not used", Interface;
    said: ["2005-02-11" "read off the patch" "1108109504.30559.43"];
    rules: [OutOfBounds];
    cases: [Case::of("first-fork")];
    fn p9(run) {
        let (given, written) = run.observed.world.sys.core.env_strings.get();
        // A helper gets all of them.
        if given == written || run.design.delivery == Delivery::Hotplug {
            return Ok(());
        }
        let Some(event) = run.events().into_iter().next() else { return Ok(()) };
        broken(event.step, format!("of {given} strings in environments {written} reach the wire: the first two are skipped"))
    }
}

property! {
    /// The parsers of today understand a message, and find both pids in it.
    P10 "no keys in the message", Interface;
    said: ["2005-02-11" "Greg Kroah-Hartman" "20050211191112.GB19139@kroah.com"];
    rules: [];
    cases: [Case::of("first-fork"), Case::of("long-pids")];
    silent: no_uevent;
    fn p10(run) {
        if no_uevent(&run.design).is_some() {
            return Ok(());
        }
        for (listener, log) in run.heard() {
            for (message, entry) in listener.heard.borrow().messages.iter().zip(log) {
                let all = Parser::ALL.map(|parser| {
                    let verdict = parser.parse(message).and_then(|keys| match (keys.get("PPID"), keys.get("PID")) {
                        (Some(_), Some(_)) => Ok(()),
                        _ => Err("takes it, and has neither pid".to_owned()),
                    });
                    (parser.name(), verdict)
                });
                if all.iter().any(|(_, verdict)| verdict.is_err()) {
                    let words = |(name, verdict)| format!("{name}: {}", Result::err(verdict).unwrap_or("understands it".into()));
                    return broken(run.sent_at(&entry), all.map(words).join("; "));
                }
            }
        }
        Ok(())
    }
}

property! {
    /// What is read is what was sent, as long as its headers say, and nothing of an event outlives it.
    P27 "lengths, alignment and references", Safety;
    said: ["2005-03-01" "Kaigai Kohei" "42247051.7070303@ak.jp.nec.com"];
    rules: [Leak, DoubleFree, OutOfBounds];
    cases: [Case::of("two-listeners").with_faults(1)];
    fn p27(run) {
        let told: Vec<_> = run.told().map(|told| (told.parent_said, told.child_said)).collect();
        for (listener, log) in run.heard() {
            let heard = listener.heard.borrow();
            let name = &listener.name;
            if run.design.format.over() == Over::Connector && run.design.delivery != Delivery::Signal {
                for (message, entry) in heard.messages.iter().zip(&log) {
                    let length = message.get(..4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four")) as usize);
                    if length != Some(message.len()) || message.len() % 4 != 0 || ConnectorMessage::parse(message).is_err() {
                        let (read, length) = (plural(message.len() as u64, "byte"), length.unwrap_or(0));
                        return broken(run.sent_at(entry), format!("{name} reads {read}, and their header says {length}"));
                    }
                }
            }
            for entry in log.iter().filter(|entry| entry.from == 0) {
                match &entry.said {
                    Err(error) => return broken(run.sent_at(entry), format!("{name} cannot read it: {error}")),
                    Ok(said) if told.contains(&(said.ids.parent_pid, said.ids.child_pid)) => {}
                    Ok(said) => {
                        let (parent, child) = (said.ids.parent_pid, said.ids.child_pid);
                        return broken(run.sent_at(entry), format!("{name} reads {parent} and {child}, which nobody sent"));
                    }
                }
            }
        }
        Ok(())
    }
}
