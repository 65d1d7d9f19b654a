//! Fork events of a real program against the design `before-wake` + `connector-struct`, which is what the kernel has.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sim::{Calm, Seeded};
use uevent::netlink::ProcEvents;
use uevent::source::{Arrival, Order, Stream, UeventSource, Wait};
use uevent::wire::connector::{ConnectorMessage, ForkIds};
use uevent::wire::proc_event::{ProcEvent, What};

use super::family::{Family, Told, assert_order_per_cpu, who};
use super::kinds::{CONNECTOR, KINDS, RCVBUF, simulated};
use super::tools::{need, skip};

/// A storm of other programs may overrun even that.
const TRIES: usize = 5;

/// One test at a time speaks to the connector: whether anybody listens is one count for all.
pub fn alone() -> MutexGuard<'static, ()> {
    static CONNECTOR: Mutex<()> = Mutex::new(());
    CONNECTOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this test can hear of real forks.
pub fn able() -> bool {
    match ProcEvents::open() {
        Ok(_) => true,
        Err(error) => skip(&format!("no process events: {error}")),
    }
}

/// The program, compiled once.
fn program() -> Option<&'static PathBuf> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        if !need(&["cc"]) {
            return None;
        }
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("forks");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/forks.c");
        let cc =
            Command::new("cc").args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(source).status();
        assert!(cc.expect("cc is there").success(), "forks.c does not compile");
        Some(program)
    };
    PROGRAM.get_or_init(build).as_ref()
}

/// What a listener hears of the program, in the order of arrival; `None` if something was lost.
fn hear(program: &PathBuf, kind: &str, cpu: Option<usize>) -> Option<Vec<Told>> {
    let mut events = ProcEvents::open().expect("it could be opened before");
    events.socket().set_rcvbuf(RCVBUF).expect("root may");
    let cpu = cpu.map_or("-1".to_owned(), |cpu| cpu.to_string());
    let run = Command::new(program).args([kind, &cpu]).output().expect("it was compiled");
    assert!(run.status.success(), "{kind}: {}", run.status);
    let said = String::from_utf8(run.stdout).expect("numbers");
    let mut forks = Vec::new();
    let mut p = None;
    for line in said.lines() {
        let (first, second) = line.split_once(' ').expect("two words");
        let second = second.parse().expect("a pid");
        match first.parse() {
            Ok(caller) => forks.push((caller, second)),
            Err(_) => p = Some(second),
        }
    }
    let p: i32 = p.expect("it started");
    let heard = all_forks(&mut events)?;
    let parent = heard.iter().find(|(_, ids)| ids.child_pid == p).expect("the fork of p itself").1.parent_pid;
    let family = Family::new(parent, p, &forks);
    Some(heard.into_iter().filter_map(|(cpu, ids)| family.told(cpu, ids)).collect())
}

/// Every fork event that waits, with its CPU; none if one is missing.
fn all_forks(events: &mut ProcEvents) -> Option<Vec<(u32, ForkIds)>> {
    let (mut order, mut heard) = (Order::default(), Vec::new());
    loop {
        match events.receive(Wait::No).expect("a socket") {
            Arrival::Message(datagram) => {
                let message = ConnectorMessage::parse(datagram.bytes).expect("of the connector");
                let event = ProcEvent::parse(&message).expect("a process event");
                if let What::Fork(ids) = event.what {
                    heard.push((event.cpu, ids));
                }
                if !matches!(event.what, What::Ack(_)) {
                    let gap = order.saw(Stream::Cpu(event.cpu), message.seq.into());
                    if gap.is_some() {
                        return None;
                    }
                }
            }
            Arrival::Lost(_) => return None,
            Arrival::Refused(..) => {}
            Arrival::Nothing | Arrival::End => return Some(heard),
        }
    }
}

/// What the kernel tells of a kind, on the first CPU that there is; none where it cannot be asked.
pub fn told_of(kind: &str) -> Option<Vec<Told>> {
    let _alone = alone();
    Some(measured(able().then(program)??, kind, cpus().first().copied()))
}

fn measured(program: &PathBuf, kind: &str, cpu: Option<usize>) -> Vec<Told> {
    (0..TRIES).find_map(|_| hear(program, kind, cpu)).expect("a moment in which nothing was lost")
}

fn cpus() -> Vec<usize> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).expect("of this thread");
    (0..nix::sched::CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect()
}

#[test]
fn a_program_on_one_cpu_is_told_of_in_the_simulator_s_order_with_the_simulator_s_parents() {
    let _alone = alone();
    if !able() {
        return;
    }
    let Some(program) = program() else { return };
    for (kind, tasks) in KINDS {
        let expected = who(&simulated(CONNECTOR, (kind, tasks), 1, Calm));
        for cpu in cpus() {
            let events = measured(program, kind, Some(cpu));
            assert_eq!(who(&events), expected, "{kind} on CPU {cpu}; left: the kernel, right: the simulator");
            assert!(events.iter().all(|event| event.cpu as usize == cpu), "{kind}: told by another CPU than {cpu}");
        }
    }
}

#[test]
fn a_program_on_any_cpu_has_the_simulator_s_events_and_each_cpu_tells_them_in_order() {
    let _alone = alone();
    if !able() {
        return;
    }
    let Some(program) = program() else { return };
    for (kind, tasks) in KINDS {
        let mut expected = who(&simulated(CONNECTOR, (kind, tasks), 2, Calm));
        expected.sort();
        let mut runs = vec![("the kernel".to_owned(), measured(program, kind, None))];
        for seed in 0..5 {
            runs.push((
                format!("the simulator, seed {seed}"),
                simulated(CONNECTOR, (kind, tasks), 2, Seeded::new(seed)),
            ));
        }
        for (arm, events) in runs {
            assert_order_per_cpu(&events, &format!("{kind}, {arm}"));
            let mut events = who(&events);
            events.sort();
            assert_eq!(events, expected, "{kind}, {arm}");
        }
    }
}
