//! What the program of `forks.c` does, as scenarios.

use fork_model::facts::Fact;
use forklab::lab::observe::observe;
use forklab::lab::spec::{Source, Spec, parse_scenario};
use sim::{Calm, Chooser};

use super::family::{Family, Told, who};

/// What the kernel has since 2.6.15: process events, told before the child is woken.
pub const CONNECTOR: &str = "[design]\nhook = \"before-wake\"\nformat = \"connector-struct\"\nsequence = \"per-cpu\"";
/// The patch of 2005.
pub const PATCH: &str = "";

/// What the program does, and the same as tasks of a scenario.
pub const KINDS: [(&str, &str); 8] = [
    ("fork", r#"p: "fork c", "wait"; c: "exit 0""#),
    ("vfork", r#"p: "vfork c", "wait"; c: "exit 0""#),
    ("thread", r#"p: "clone t CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM"; t: "exit 0""#),
    (
        "thread-forks",
        r#"p: "clone t CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM"; t: "fork c", "wait c", "exit 0"; c: "exit 0""#,
    ),
    ("sibling", r#"p: "clone c CLONE_PARENT|SIGCHLD"; c: "exit 0""#),
    (
        "chain",
        r#"p: "fork a", "wait"; a: "fork b", "wait", "exit 0"; b: "fork c", "wait", "exit 0"; c: "fork d", "wait", "exit 0"; d: "fork e", "wait", "exit 0"; e: "exit 0""#,
    ),
    ("fan", r#"p: "fork c x8", "wait"; c: "exit 0""#),
    ("storm", r#"p: "fork c x500", "wait"; c: "exit 0""#),
];

/// Bytes that hold what a whole machine does meanwhile.
pub const RCVBUF: usize = 16 << 20;

/// The scenario of a kind, on so many CPUs.
fn scenario(design: &str, (kind, tasks): (&str, &str), cpus: usize) -> String {
    let mut text = format!(
        "name = \"{kind}\"\n[machine]\ncpus = {cpus}\nera = \"6.18\"\n{design}\n\
         [[listeners]]\nname = \"elsa\"\ngroups = 1\nrcvbuf = {RCVBUF}\npace = \"drain-at-end\"\n"
    );
    for task in tasks.split("; ") {
        let (name, does) = task.split_once(": ").expect("NAME: ACTIONS");
        text += &format!("[[tasks]]\nname = \"{name}\"\ndoes = [{does}]\n");
    }
    text
}

/// What a listener of the simulator hears of a kind.
pub fn simulated(design: &str, kind: (&str, &str), cpus: usize, chooser: impl Chooser + 'static) -> Vec<Told> {
    let text = scenario(design, kind, cpus);
    let scenario = parse_scenario(kind.0, &text).unwrap_or_else(|error| panic!("{error}"));
    let setup = Spec::new(Source::BuiltIn(kind.0.to_owned())).setup(Some(&scenario));
    let seen = observe(&setup, &scenario, &[], chooser).expect("there is room");
    let forks = seen.facts.iter().filter_map(|(_, fact)| match fact {
        Fact::Forked { caller_pid, child_pid, .. } => Some((*caller_pid, *child_pid)),
        _ => None,
    });
    let forks: Vec<_> = forks.collect();
    let heard = seen.world.listeners[0].heard.borrow();
    let p = seen.world.sys.fixed(seen.world.roots[0], |t| t.pid);
    let family = Family::new(1, p, &forks);
    let events = heard.log.iter().map(|entry| entry.said.expect("it can be read"));
    events.filter_map(|said| family.told(said.cpu.unwrap_or(0), said.ids)).collect()
}

#[test]
fn the_parent_that_is_told_is_the_real_parent_not_the_caller() {
    let said = |kind: &str| {
        let (_, tasks) = KINDS.iter().find(|(known, _)| *known == kind).expect("a kind");
        who(&simulated(CONNECTOR, (kind, tasks), 1, Calm))
    };
    assert_eq!(said("thread"), ["P of P made p.1 of p"]);
    assert_eq!(said("sibling"), ["P of P made p.1 of p.1"]);
    assert_eq!(said("thread-forks"), ["P of P made p.1 of p", "p.1 of p made p.1.1 of p.1.1"]);
}
