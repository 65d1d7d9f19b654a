//! House rules that a compiler does not check. Each names what to do about it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::{Design, Hook};

/// Files that may be longer than 500 lines, and why.
const LONG: [(&str, &str); 3] = [
    ("sim/src/mm/slab.rs", "one Rust file per C file: mm/slab.c, and the pages beside it"),
    ("uevent/src/af_netlink.rs", "one Rust file per C file, in its order: net/netlink/af_netlink.c"),
    ("uevent/src/kobject_uevent.rs", "one Rust file per C file, in its order: lib/kobject_uevent.c"),
];
const LONGEST: usize = 500;

/// Files that stand for a file of the kernel: what is public there models something, and says what.
const MODELLED: [&str; 15] = [
    "fork-model/src/exec.rs",
    "fork-model/src/exit.rs",
    "fork-model/src/fork.rs",
    "fork-model/src/init.rs",
    "fork-model/src/pid.rs",
    "fork-model/src/sched.rs",
    "uevent/src/af_netlink.rs",
    "uevent/src/af_netlink/broadcast.rs",
    "uevent/src/cn_proc.rs",
    "uevent/src/connector.rs",
    "uevent/src/kobject.rs",
    "uevent/src/kobject_uevent.rs",
    "uevent/src/skbuff.rs",
    "uevent/src/sysfs.rs",
    "uevent/src/vsprintf.rs",
];

/// Public functions of those files that model nothing, and why they are there.
const OUR_OWN: [(&str, &str); 5] = [
    ("boot", "the order of several functions of init/main.c"),
    ("boot_early", "the same, stopped before the netlink socket"),
    ("do_execve", "only what this path sees of an exec"),
    ("mark_used", "sets the table up for tests that begin in its middle"),
    ("reap_orphans", "what /sbin/init does, a program of user space"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every Rust file of these folders, by its path from the root, with its text.
fn rust_files(folders: &[&str]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut todo: Vec<PathBuf> =
        folders.iter().map(|folder| root().join(folder)).filter(|path| path.exists()).collect();
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the repository") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("inside").to_string_lossy().replace('\\', "/");
                let text = read(&name);
                files.push((name, text));
            }
        }
    }
    files.sort();
    files
}

fn all() -> Vec<(String, String)> {
    let files = rust_files(&["src", "sim", "uevent", "fork-model", "tests", "benches", "examples"]);
    assert!(files.len() > 100, "{} files: somewhere else?", files.len());
    files.into_iter().filter(|(name, _)| !name.contains("/target/")).collect()
}

#[test]
fn a_file_has_at_most_500_lines_or_a_reason() {
    for (name, text) in all() {
        let lines = text.lines().count();
        let excused = LONG.iter().any(|(long, _)| *long == name);
        assert!(excused || lines <= LONGEST, "{name} has {lines} lines: split it, or give LONG a reason");
    }
}

/// The public functions outside of `impl` blocks: name, and the documentation above them.
fn public_functions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = text.lines().collect();
    let name = |line: &str| {
        let rest = line.strip_prefix("pub fn ").or_else(|| line.strip_prefix("pub async fn "))?;
        Some(rest.split(['(', '<']).next()?.to_owned())
    };
    let above = |i: usize| {
        let about = lines[..i].iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#["));
        about.filter(|line| line.starts_with("///")).copied().collect::<Vec<_>>().join("\n")
    };
    lines.iter().enumerate().filter_map(|(i, line)| Some((name(line)?, above(i)))).collect()
}

#[test]
fn every_modelled_function_says_what_it_models() {
    let mut own = BTreeSet::new();
    let mut modelled = 0;
    for file in MODELLED {
        for (name, docs) in public_functions(&read(file)) {
            if OUR_OWN.iter().any(|(known, _)| *known == name) {
                own.insert(name);
                continue;
            }
            modelled += 1;
            let models = docs.split_once("Models ").is_some_and(|(_, what)| what.contains('`'));
            assert!(models, "{file}: {name}() does not say \"Models `FILE:FUNCTION()`\"");
        }
    }
    assert!(modelled > 40, "{modelled} functions: the rule has lost its subject");
    assert_eq!(own.len(), OUR_OWN.len(), "of OUR_OWN there are only {own:?}");
}

#[test]
fn every_file_that_is_called_like_one_of_the_kernel_s_names_it() {
    for file in MODELLED {
        let text = read(file);
        let head: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let named = head.iter().any(|line| line.contains(".c`") || line.contains(".h`"));
        assert!(named || text.contains(".c:"), "{file}: which file of Linux 2.6.11?");
    }
}

/// `Site("…")`, and the lines of the list in `uevent/src/site.rs`.
fn sites_in(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = |line: &str, from: &str| {
        line.split(from).skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect::<Vec<_>>()
    };
    code.flat_map(|line| quoted(line, "Site(\"")).collect()
}

#[test]
fn every_allocation_site_is_in_the_list_that_faults_and_tables_read() {
    let listed = forklab::lab::spec::sites();
    let distinct: BTreeSet<_> = listed.iter().collect();
    assert_eq!(distinct.len(), listed.len(), "a site is named twice: {listed:?}");
    let mut found = 0;
    for (file, text) in rust_files(&["uevent/src", "fork-model/src", "src"]) {
        for site in sites_in(&text) {
            found += 1;
            assert!(listed.contains(&site.as_str()), "{file}: site {site} is not in forklab::lab::spec::sites()");
        }
    }
    assert!(found >= 3, "{found} sites: the rule has lost its subject");
    for site in uevent::site::ALL.iter().chain(uevent::site::FORK_EVENT) {
        assert!(listed.contains(&site.0), "{}", site.0);
    }
}

#[test]
fn every_value_of_every_axis_has_a_name_of_its_own_that_is_read_back_and_a_page() {
    let axes = ["hook", "gate", "sequence", "format", "delivery"];
    for axis in axes {
        let names = Design::choices(axis).expect("an axis");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{axis}");
        for name in &names {
            let mut design = Design::default();
            assert!(design.set(axis, name), "{axis}={name}");
            assert!(design.names().contains(&(axis, name)), "{axis}={name}");
            // design.md knows it, and so do the pages of scenario files and of the command line.
            let quoted = format!("\"{name}\";");
            let files = ["fork-model/src/hook.rs", "fork-model/src/design/axes.rs", "fork-model/src/design/format.rs"];
            assert!(files.iter().any(|file| read(file).contains(&quoted)), "{axis}={name}: where is its page?");
            for (file, place) in [("src/scenario_file.rs", "//! "), ("src/cli/run.rs", "    /// ")] {
                let text = read(file);
                let told = text.lines().any(|line| line.starts_with(place) && line.contains(name));
                assert!(told, "{file} does not tell of {axis}={name}");
            }
        }
        assert!(!Design::default().set(axis, "nowhere"));
    }
    assert_eq!(Design::default().names().map(|(axis, _)| axis), axes);
    assert_eq!(Design::choices("nothing"), None);
    assert_eq!(Hook::ALL.len() * Gate::ALL.len() * Sequence::ALL.len() * Format::ALL.len() * Delivery::ALL.len(), 1600);
}

#[test]
fn nothing_is_left_for_later_or_left_out() {
    // In two parts, or this file would be the first offender.
    let banned = [("todo", "!"), ("unimplemented", "!"), ("dbg", "!"), ("#[ig", "nore"), ("TO", "DO:"), ("FIX", "ME")];
    for (name, text) in all() {
        for (one, two) in banned {
            assert!(!text.contains(&format!("{one}{two}")), "{name}: {one}{two}");
        }
    }
}

#[test]
fn the_pages_name_other_layers_as_code_and_not_as_links() {
    // Where the layers' own pages are not built, a link's text is all that is left: ([sim::trace::Event]).
    for (name, text) in rust_files(&["src"]) {
        let about = |line: &&str| line.trim_start().starts_with("//!") || line.trim_start().starts_with("///");
        for line in text.lines().filter(about) {
            for layer in ["sim", "uevent", "fork_model"] {
                assert!(!line.contains(&format!("[`{layer}::")), "{name}: {line}");
            }
        }
    }
}

#[test]
fn simulated_code_has_no_clock_no_random_order_and_no_outside_world() {
    // HashMap's order differs from run to run; the others are the machine's own: see clippy.toml.
    let banned =
        ["HashMap", "HashSet", "Instant", "SystemTime", "std::net", "std::process", "std::env", "thread::sleep"];
    for (name, text) in rust_files(&["sim/src", "uevent/src", "fork-model/src"]) {
        // The feature `netlink` speaks to the real kernel.
        if name.contains("/netlink") && !name.contains("af_netlink") {
            continue;
        }
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in banned {
                assert!(!line.contains(word), "{name}:{}: {word}", i + 1);
            }
        }
    }
}

#[test]
fn arrows_between_the_layers_go_one_way() {
    let above = [
        ("sim", &["uevent", "fork_model", "forklab"][..]),
        ("uevent", &["fork_model", "forklab::"]),
        ("fork-model", &["forklab::"]),
    ];
    for (layer, names) in above {
        for (file, text) in rust_files(&[&format!("{layer}/src")]) {
            for (i, line) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("use ")) {
                for name in names {
                    assert!(!line.contains(&format!("use {name}")), "{file}:{}: {}", i + 1, line.trim());
                }
            }
        }
    }
}

#[test]
fn the_recorded_functions_are_all_here() {
    let vectors = fs::read_dir(root().join("tests/data/vectors")).expect("the folder of the recordings");
    let names: BTreeSet<_> =
        vectors.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8")).collect();
    let expected = [
        "action_strings",
        "add_hotplug_env_var",
        "constants",
        "do_fork",
        "fork_init",
        "kobject_fork",
        "kobject_hotplug",
        "kobject_lifecycle",
        "kobject_path",
        "kobject_uevent",
        "netlink_broadcast",
        "pidmap",
        "send_uevent",
        "set_name",
        "skb",
        "uevent_init",
    ];
    assert_eq!(names, expected.map(|name| format!("{name}.json")).into());
}
