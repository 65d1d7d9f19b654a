//! Lengths, parsers, exhaustion, and who may speak: what stands beside the exhibits of P10, P27 and P28.

use std::fmt::Write as _;
use std::rc::Rc;

use fork_model::Design;
use fork_model::design::Format;
use fork_model::facts::{Fact, Outcome};
use forklab::lab::observe::observe_with;
use forklab::lab::spec::{Source, Spec, parse_scenario};
use forklab::property::parsers::Parser;
use sim::{Calm, Errno, Machine};
use uevent::af_netlink::{
    Caller, Destination, NETLINK_KOBJECT_UEVENT, msg, netlink_bind, netlink_create, netlink_recvmsg, netlink_sendmsg,
};
use uevent::wire::connector::{CN_MSG, ConnectorMessage, ForkIds, NLMSG_HDR, emit, emit_fork_ascii, emit_fork_struct};
use uevent::wire::{Message, emit_bare};
use uevent::{Config, Core};

#[test]
fn every_payload_length_is_aligned_says_its_length_and_comes_back() {
    let mut bytes = Vec::new();
    let all: Vec<u8> = (0..usize::from(u16::MAX)).map(|i| u8::try_from(i % 251).expect("small")).collect();
    for len in 0..=all.len() {
        let payload = &all[..len];
        bytes.clear();
        emit(&mut bytes, (1, 1), 7, 0, payload);
        let says = u32::from_le_bytes(bytes[..4].try_into().expect("four")) as usize;
        assert_eq!((bytes.len(), bytes.len() % 4), (says, 0), "{len}");
        assert!(bytes.len() - NLMSG_HDR - CN_MSG - len < 4, "{len}");
        assert_eq!(ConnectorMessage::parse(&bytes).expect("it was made here").data, payload, "{len}");
    }
}

#[test]
fn every_length_of_pid_comes_back_in_every_format() {
    let numbers = (0..31).map(|bit| 1 << bit).chain([i32::MAX, i32::MIN, -1, 0]);
    for (parent, child) in numbers.clone().flat_map(|a| numbers.clone().map(move |b| (a, b))) {
        let ids = ForkIds { parent_pid: parent, parent_tgid: parent, child_pid: child, child_tgid: child };
        let mut bytes = Vec::new();
        emit_bare(&mut bytes, "fork", "/fork_kobj", [parent.to_string(), child.to_string()]).expect("words");
        assert_eq!(Message::parse(&bytes).expect("made here").fork_pids(), Ok((parent, child)));
        for (format, write) in [
            (
                Format::ConnectorAscii,
                &(|out: &mut Vec<u8>| emit_fork_ascii(out, 1, parent, child)) as &dyn Fn(&mut Vec<u8>),
            ),
            (Format::ConnectorStruct, &|out| emit_fork_struct(out, 1, 0, &ids)),
        ] {
            bytes.clear();
            write(&mut bytes);
            assert_eq!(bytes.len() % 4, 0);
            let design = Design { format, ..Design::default() };
            assert_eq!(design.read(&bytes).expect("made here").ids, ids, "{design}");
        }
    }
}

/// Which fork is the first that comes to nothing, or its event, while so many objects may live; `None`: none is.
///
/// Nobody listens, so that an event that was made is answered -ESRCH; nothing waits in a queue meanwhile.
fn first_lost(format: &str, forks: u32, most_live: u64) -> Option<usize> {
    let text = format!(
        "name = \"many\"\nmachine.cpus = 1\n[[tasks]]\nname = \"p\"\nsigchld = \"ignore\"\n\
         does = [\"vfork c x{forks}\"]\n[[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n"
    );
    let scenario = parse_scenario("many", &text).expect("a scenario");
    let design: Design = format!("format={format}").parse().expect("a design");
    let setup = Spec { design: design.into(), ..Spec::new(Source::BuiltIn("many".into())) }.setup(Some(&scenario));
    let observed = observe_with(&setup, &scenario, |faults| faults.most_live = Some(most_live), Calm).expect("room");
    let made = |fact: &Fact| matches!(fact, Fact::Told { outcome: Outcome::Sent(Err(Errno::Srch)), .. });
    let told = observed.facts.iter().filter(|(_, fact)| made(fact)).count();
    (told < forks as usize).then_some(told + 1)
}

#[test]
fn one_reference_too_many_exhausts_memory_at_a_fixed_fork() {
    // Two objects an event stay: each two more objects of room are one more fork, and no fork more.
    let first = |most| first_lost("connector-leak", 500, most).expect("it leaks");
    let base = (0..2000).find(|most| first_lost("connector-leak", 1, *most).is_none()).expect("one fork fits");
    for extra in 0..40 {
        assert_eq!(first(base + 2 * extra), usize::try_from(extra).expect("small") + 2, "{base} and 2 * {extra}");
    }
    assert_eq!(first(base + 2 * 365), 367, "as Kaigai saw it, had there been room for so many objects");
    assert_eq!(first_lost("connector-ascii", 500, base), None, "without the leak that is room enough for ever");
}

#[test]
fn our_rules_of_the_crate_kobject_uevent_are_those_of_the_crate() {
    let with = |words: &[&str]| words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect::<Vec<u8>>();
    let all = ["change@/x", "ACTION=change", "DEVPATH=/x", "SUBSYSTEM=s", "SEQNUM=7", "PPID=1", "PID=2"];
    let mut messages: Vec<Vec<u8>> = (0..all.len())
        .map(|left_out| {
            with(&all.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, w)| *w).collect::<Vec<_>>())
        })
        .collect();
    for action in ["add", "remove", "change", "move", "online", "offline", "bind", "unbind", "fork", "mount", ""] {
        messages.push(with(&[
            &format!("{action}@/x"),
            &format!("ACTION={action}"),
            "DEVPATH=/x",
            "SUBSYSTEM=s",
            "SEQNUM=1",
        ]));
    }
    messages.push(b"fork@/fork_kobj\x00100\x00101\0".to_vec());
    messages.push(with(&["add@/x", "ACTION=add", "DEVPATH=/x", "SUBSYSTEM=s", "SEQNUM=x"]));
    messages.push(b"add@/x\0ACTION=\xff\0".to_vec());
    for message in messages {
        let (ours, theirs) =
            (Parser::KobjectUevent.parse(&message), kobject_uevent::UEvent::from_netlink_packet(&message));
        match (&ours, &theirs) {
            (Ok(keys), Ok(event)) => assert!(keys.iter().all(|(key, value)| event.env.get(key) == Some(value))),
            (Err(why), Err(error)) => assert_eq!(*why, error.to_string(), "{}", message.escape_ascii()),
            _ => panic!("{}: {ours:?} {theirs:?}", message.escape_ascii()),
        }
    }
}

#[test]
fn what_parsers_of_today_make_of_each_format() {
    let mut table = String::new();
    for format in ["bare", "keys", "keys-change"] {
        for sequence in ["none", "locked"] {
            let design: Design = format!("sequence={sequence} format={format}").parse().expect("a design");
            if design.check().is_err() {
                continue;
            }
            for scenario in ["first-fork", "long-pids"] {
                let spec = Spec { design: design.into(), ..Spec::new(Source::BuiltIn(scenario.into())) };
                let file = forklab::lab::spec::scenario(&spec.source).expect("built in").expect("a scenario");
                let observed = observe_with(&spec.setup(Some(&file)), &file, |_| (), Calm).expect("room");
                let message = observed.world.listeners[0].heard.borrow().messages[0].clone();
                writeln!(table, "{format} sequence={sequence} {scenario}: {} bytes", message.len()).expect("a string");
                for parser in Parser::ALL {
                    let word = match parser.parse(&message) {
                        Ok(keys) => format!("takes it, PPID={:?} PID={:?}", keys.get("PPID"), keys.get("PID")),
                        Err(why) => why,
                    };
                    writeln!(table, "  {:20} {word}", parser.name()).expect("a string");
                }
            }
        }
    }
    insta::assert_snapshot!("parsers", table);
}

/// A core with its kernel socket, and one story told on it.
fn told<F: Future<Output = String> + 'static>(config: Config, story: impl FnOnce(Rc<Core>) -> F) -> String {
    let m = Machine::new(sim::Config::default(), Calm);
    let core = Rc::new(Core::new(m.clone(), config).expect("a kernel"));
    let out: Rc<std::cell::RefCell<String>> = Rc::default();
    let (slot, story) = (out.clone(), story(core));
    m.spawn("story", async move {
        let said = story.await;
        *slot.borrow_mut() = said;
    });
    m.run();
    out.take()
}

#[test]
fn who_may_listen_and_who_may_speak() {
    let table = told(Config::default(), |core| async move {
        let mut table = String::new();
        uevent::af_netlink::netlink_proto_init(&core).await;
        for net_admin in [true, false] {
            for groups in [0, 1] {
                let sock = netlink_create(&core, NETLINK_KOBJECT_UEVENT).await.expect("memory");
                let bound = netlink_bind(&core, sock, Caller { pid: 600, net_admin }, 0, groups).await;
                let word = bound.map_or_else(|errno| errno.to_string(), |()| "yes".to_owned());
                writeln!(table, "listen: CAP_NET_ADMIN {net_admin:5} groups {groups}: {word}").expect("a string");
            }
        }
        let listener = netlink_create(&core, NETLINK_KOBJECT_UEVENT).await.expect("memory");
        netlink_bind(&core, listener, Caller { pid: 700, net_admin: true }, 0, 1).await.expect("it may");
        for net_admin in [true, false] {
            for to in [Destination::Port(700), Destination::Port(701), Destination::Groups(1)] {
                let sock = netlink_create(&core, NETLINK_KOBJECT_UEVENT).await.expect("memory");
                let sent = netlink_sendmsg(&core, sock, Caller { pid: 800, net_admin }, to, b"fork@/x\0").await;
                let mut got = Vec::new();
                let heard = netlink_recvmsg(&core, listener, &mut got, 99, msg::DONTWAIT).await;
                let sent = sent.map_or_else(|errno| errno.to_string(), |()| "sent".to_owned());
                let heard =
                    heard.map_or("nothing is heard".to_owned(), |got| format!("heard from port {}", got.from_pid));
                writeln!(table, "speak:  CAP_NET_ADMIN {net_admin:5} to {to:?}: {sent}, {heard}").expect("a string");
            }
        }
        table
    });
    insta::assert_snapshot!("listen_and_speak", table);
}

#[test]
fn in_which_namespace_a_uevent_is_heard() {
    let mut table = String::new();
    for uevents_stay in [false, true] {
        for netns in [0, 1] {
            for format in ["bare", "connector-struct"] {
                let text = format!(
                    "name = \"ns\"\nmachine.config.uevents_stay = {uevents_stay}\n[[tasks]]\nname = \"p\"\n\
                     does = [\"fork c\"]\n[[tasks]]\nname = \"c\"\n\
                     [[listeners]]\nname = \"elsa\"\ngroups = 1\nnetns = {netns}\n"
                );
                let scenario = parse_scenario("ns", &text).expect("a scenario");
                let design: Design = format!("format={format}").parse().expect("a design");
                let spec = Spec { design: design.into(), ..Spec::new(Source::BuiltIn("ns".into())) };
                let observed = observe_with(&spec.setup(Some(&scenario)), &scenario, |_| (), Calm).expect("room");
                let heard = observed.world.listeners[0].heard.borrow().received;
                writeln!(table, "uevents stay {uevents_stay:5} listener in {netns} {format:16}: hears {heard}")
                    .expect("text");
            }
        }
    }
    insta::assert_snapshot!("namespaces", table);
}
