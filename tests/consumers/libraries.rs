//! Parsers of Rust programs, called with what a listener receives.

use std::collections::BTreeMap;

use forklab::render::layout::Verdict;
use kobject_uevent::UEvent;
use nlink::netlink::connector::ProcEvent;
use nlink::netlink::uevent::Uevent;
use uevent::wire::connector::ConnectorMessage;

use crate::formats::Format;

/// What `Cargo.lock` says.
pub fn version(package: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).expect("a dependency");
    after.split('"').next().expect("a version").into()
}

pub fn kobject_uevent(format: &Format) -> (Verdict, Vec<String>) {
    match UEvent::from_netlink_packet(&format.heard()) {
        Err(error) => (Verdict::Refused, vec![error.to_string()]),
        Ok(UEvent { action, devpath, subsystem, env, seq }) => {
            let env: BTreeMap<_, _> = env.into_iter().collect();
            let words = format!("{action:?} {} {subsystem} {seq} {env:?}", devpath.display());
            (of_keys(&env), vec![words])
        }
    }
}

pub fn nlink(format: &Format) -> (Verdict, Vec<String>) {
    let bytes = format.heard();
    if format.is_connector() {
        let message = ConnectorMessage::parse(&bytes).expect("well-formed");
        let event = ProcEvent::parse_from_bytes(message.data);
        let verdict = match event {
            None => Verdict::Refused,
            Some(ProcEvent::Fork { parent_pid: 100, child_pid: 101, .. }) => Verdict::Pids,
            Some(_) => Verdict::NoPids,
        };
        return (verdict, vec![format!("{event:?}")]);
    }
    match Uevent::parse(&bytes) {
        None => (Verdict::Refused, vec!["None".into()]),
        Some(Uevent { action, devpath, subsystem, env }) => {
            let env: BTreeMap<_, _> = env.into_iter().collect();
            (of_keys(&env), vec![format!("{action:?} {devpath:?} {subsystem:?} {env:?}")])
        }
    }
}

fn of_keys(env: &BTreeMap<String, String>) -> Verdict {
    let has = |key: &str, value: &str| env.get(key).is_some_and(|found| found == value);
    if has("PPID", "100") && has("PID", "101") { Verdict::Pids } else { Verdict::NoPids }
}
