//! Who may listen, who may speak, and in which namespace.

use crate::property::{Case, broken, property};

property! {
    /// Only who may hears of forks, only from the kernel, and only in the kernel's own network namespace.
    P28 "who may listen, who may speak, and where", Interface;
    said: [
        "2005-03-22" "Evgeniy Polyakov" "in the thread of the fork connector; no Message-Id is known",
        "2009-04-16" "Sebastian Krahmer" "CVE-2009-1185",
        "2018-04-24" "Christian Brauner" "netns: restrict uevents",
    ];
    rules: [];
    cases: [Case::of("unprivileged"), Case::of("forged"), Case::of("namespace")];
    fn p28(run) {
        for (listener, log) in run.heard() {
            let name = &listener.name;
            for entry in log {
                let step = run.sent_at(&entry);
                let child = entry.said.map_or("a fork".to_owned(), |said| format!("the fork of {}", said.ids.child_pid));
                if entry.from != 0 {
                    return broken(step, format!("{name} believes {child}, which port {} sent, not the kernel", entry.from));
                }
                if !listener.net_admin {
                    return broken(step, format!("{name} hears of {child} without CAP_NET_ADMIN"));
                }
                if listener.netns != 0 {
                    return broken(step, format!("{name}, in network namespace {}, hears of {child}", listener.netns));
                }
            }
        }
        Ok(())
    }
}
