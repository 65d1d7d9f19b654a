//! The book in `docs/`: its consoles are true, its links lead somewhere, its reference forgets nothing.

mod common;
mod consoles;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{command, forklab};
use serde_json::Value;

/// Pages whose consoles are run elsewhere, and by whom.
const RUN_ELSEWHERE: [(&str, &str); 5] = [
    ("docs/own-design.md", "tests/own_design.rs follows its steps"),
    ("docs/parity.md", "the real kernel: tests/parity.rs"),
    ("docs/testkit.md", "its own test follows its steps"),
    ("docs/wireshark.md", "tshark: tests/wireshark.rs"),
    ("docs/reference/live.md", "feature netlink: every_console_of_the_real_kernel_s_commands_is_true"),
];

/// Commands that other tests run, and which.
const COMMANDS_ELSEWHERE: [(&str, &str); 9] = [
    ("forklab matrix --svg matrix.svg", "takes minutes in a debug build: .ci/run runs it"),
    ("forklab matrix --property P1,P17,P18 --delivery broadcast --csv", "tests/matrix.rs, with fewer designs"),
    ("forklab museum --json", "tests/museum.rs"),
    ("forklab learn moment", "wants a terminal: tests/learn_tmux.rs"),
    ("forklab listen", "the real kernel: tests/live_listen.rs"),
    ("forklab tree", "the real kernel: tests/live_listen.rs"),
    ("forklab send", "the real kernel: tests/live_listen.rs"),
    ("forklab record", "the real kernel: tests/live_record.rs, which runs what it recorded, too"),
    ("forklab relay", "the real kernel: tests/live_relay.rs"),
];

/// Fields of `--json` whose own keys are names and numbers, and no part of the shape.
const NAMES: [&str; 4] = ["args", "axes", "done", "fixed"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Every page of the book, by its path from the root.
fn pages() -> Vec<String> {
    let (mut pages, mut todo): (Vec<String>, Vec<PathBuf>) = (Vec::new(), vec![root().join("docs")]);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the book") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root()).expect("inside").to_string_lossy().replace('\\', "/");
                pages.push(name);
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 12, "{pages:?}");
    pages
}

/// Where the links of a page lead: `](TARGET)` outside of blocks and of code.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    prose
        .flat_map(|line| {
            line.split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned)).collect::<Vec<_>>()
        })
        .filter(|link| !link.contains("://"))
        .collect()
}

/// The anchors that readers of Markdown make of the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_lowercase());
    let anchor = |heading: String| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    text.lines().filter_map(heading).map(anchor).collect()
}

/// The text between back quotes.
fn code(text: &str) -> BTreeSet<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The lines of the blocks of a page in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).filter_map(|rest| rest.split("\n```").next().map(str::to_owned)).collect()
}

#[test]
fn every_console_of_the_book_is_true() {
    let elsewhere = |page: &str| RUN_ELSEWHERE.iter().any(|(known, _)| *known == page);
    let shown = pages().into_iter().filter(|page| !elsewhere(page) && read(page).contains("```console\n"));
    let wrong: Vec<_> = shown.flat_map(|page| consoles::check(&root().join(page))).collect();
    assert!(wrong.is_empty(), "{}\nUPDATE_CONSOLES=1 writes what is printed now", wrong.join("\n"));
}

#[test]
fn every_command_that_readme_and_book_give_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenarios = blocks(&read("docs/judge.md"), "toml");
    fs::write(folder.path().join("two-makers.toml"), &scenarios[0]).expect("it can be written");
    // Of the pages on clusters, each engine's script needs that engine: tests/matrix.rs runs the one that needs none.
    let elsewhere = |page: &str| page == "docs/sweeps.md" || RUN_ELSEWHERE.iter().any(|(known, _)| *known == page);
    let mut ran = 0;
    std::os::unix::fs::symlink(root().join("tests"), folder.path().join("tests")).expect("recordings");
    for page in pages().into_iter().chain(["README.md".into()]).filter(|page| !elsewhere(page)) {
        for line in blocks(&read(&page), "sh").iter().flat_map(|block| block.lines()) {
            let Some(args) = line.trim().strip_prefix("forklab ") else { continue };
            let elsewhere = COMMANDS_ELSEWHERE.iter().any(|(known, _)| line.starts_with(known));
            if elsewhere || line.ends_with("--workload build.csv.gz") {
                continue;
            }
            let args = consoles::words(args.split('>').next().expect("a part"));
            let output = command(&args).current_dir(folder.path()).output().expect("it runs");
            let err = String::from_utf8_lossy(&output.stderr);
            let fine = matches!(output.status.code(), Some(0 | 1)) && !output.stdout.is_empty();
            assert!(fine, "{page}: {line}: {:?} {err}", output.status);
            ran += 1;
        }
    }
    assert!(ran > 5, "{ran} commands");
}

#[cfg(all(feature = "netlink", target_os = "linux"))]
#[test]
fn every_console_of_the_real_kernel_s_commands_is_true() {
    let wrong = consoles::check(&root().join("docs/reference/live.md"));
    assert!(wrong.is_empty(), "{}\nUPDATE_CONSOLES=1 writes what is printed now", wrong.join("\n"));
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut all = pages();
    all.push("README.md".into());
    let mut checked = 0;
    for page in all {
        let folder = Path::new(&page).parent().expect("a file").to_owned();
        for link in links(&read(&page)) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { PathBuf::from(&page) } else { folder.join(file) };
            let exists = root().join(&target).exists();
            assert!(exists, "{page} links {link}: there is no such file");
            if !anchor.is_empty() {
                let text = fs::read_to_string(root().join(&target)).expect("a page is text");
                assert!(anchors(&text).contains(anchor), "{page} links {link}: there is no such heading");
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} links: the rule has lost its subject");
}

#[test]
fn no_link_of_the_book_leads_out_of_it() {
    for page in pages() {
        let depth = Path::new(&page).components().count() - 2;
        for link in links(&read(&page)) {
            // What is built stands alone: of the repository around the pages nothing is there.
            let up = link.split('/').take_while(|part| *part == "..").count();
            assert!(up <= depth, "{page} links {link}: the book ends at docs/");
        }
    }
}

#[test]
fn every_page_stands_in_the_summary() {
    let summary: BTreeSet<_> = links(&read("docs/SUMMARY.md")).into_iter().map(|link| format!("docs/{link}")).collect();
    for page in pages().iter().filter(|page| *page != "docs/SUMMARY.md") {
        assert!(summary.contains(page), "docs/SUMMARY.md does not name {page}");
    }
}

/// What stands under a heading of `--help`: the first word of each entry.
fn commands_of(help: &str) -> Vec<String> {
    let entries = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let entries = entries.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    entries.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// Every long flag that a help text explains.
fn flags_of(help: &str) -> BTreeSet<String> {
    let entry = |line: &str| {
        let line = line.trim_start();
        let line =
            line.strip_prefix('-').filter(|rest| rest.as_bytes().get(1) == Some(&b',')).map_or(line, |_| &line[4..]);
        let flag = line.strip_prefix("--")?.split([' ', ',', '=']).next()?;
        (!flag.is_empty()).then(|| format!("--{flag}"))
    };
    help.lines().filter(|line| line.trim_start().starts_with('-')).filter_map(entry).collect()
}

#[test]
fn the_reference_names_every_command_and_every_flag() {
    let reference = read("docs/reference/commands.md") + &read("docs/reference/live.md");
    let commands = commands_of(&forklab(&["--help"]).out);
    assert!(commands.len() > 9 && commands.contains(&"check".to_owned()), "{commands:?}");
    for command in commands {
        assert!(reference.contains(&format!("\n## forklab {command}\n")), "no part of the reference on {command}");
        let flags = flags_of(&forklab(&[&command, "--help"]).out);
        assert!(flags.contains("--help"), "{command}: {flags:?}");
        let (_, part) = reference.split_once(&format!("\n## forklab {command}\n")).expect("it was found");
        let named = flags_of(part.split("\n## ").next().expect("a part"));
        let missing: Vec<_> = flags.difference(&named).collect();
        assert!(missing.is_empty(), "the reference does not name {missing:?} of forklab {command}");
    }
}

/// The keys of the scenario file, as serde says them when it meets one that it does not know.
fn keys_of(table: &str, text: &str) -> Vec<String> {
    let error = forklab::lab::spec::parse_scenario("keys.toml", text).expect_err("no such key").to_string();
    let (_, keys) = error.split_once("expected ").unwrap_or_else(|| panic!("{table}: {error}"));
    let keys: Vec<_> = keys.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(keys.len() > 1, "{table}: {error}");
    keys
}

const TASKS: &str = "[[tasks]]\nname = \"p\"\n";

#[test]
fn the_reference_names_every_key_of_a_scenario() {
    let reference = read("docs/reference/scenario.md");
    let code = code(&reference);
    let tables = [
        ("a scenario", format!("name = \"x\"\nno-such-key = 1\n{TASKS}")),
        ("[machine]", format!("name = \"x\"\n[machine]\nno-such-key = 1\n{TASKS}")),
        ("config", format!("name = \"x\"\n[machine]\nconfig = {{ no-such-key = 1 }}\n{TASKS}")),
        ("[design]", format!("name = \"x\"\n[design]\nno-such-key = 1\n{TASKS}")),
        ("[[faults]]", format!("name = \"x\"\n[[faults]]\nno-such-key = 1\n{TASKS}")),
        ("[failslab]", format!("name = \"x\"\n[failslab]\nno-such-key = 1\n{TASKS}")),
        ("[[listeners]]", format!("name = \"x\"\n[[listeners]]\nno-such-key = 1\n{TASKS}")),
        ("[[tasks]]", format!("name = \"x\"\n{TASKS}no-such-key = 1\n")),
    ];
    for (table, text) in tables {
        for key in keys_of(table, &text) {
            assert!(code.contains(key.as_str()), "scenario.md does not name {key} of {table}");
        }
    }
    for axis in ["hook", "gate", "sequence", "format", "delivery"] {
        for choice in fork_model::Design::choices(axis).expect("an axis") {
            assert!(code.contains(choice), "scenario.md does not name {axis} = {choice}");
        }
    }
    for site in forklab::lab::spec::sites() {
        assert!(code.contains(site), "scenario.md does not name the site {site}");
    }
    for (name, _) in forklab::lab::spec::BUILT_IN {
        assert!(code.contains(name), "scenario.md does not name the scenario {name}");
    }
}

#[test]
fn every_scenario_that_the_book_shows_can_be_read() {
    let mut shown = 0;
    for page in pages().iter().filter(|page| page.ends_with("scenario.md") || page.ends_with("judge.md")) {
        for text in blocks(&read(page), "toml") {
            forklab::lab::spec::parse_scenario(page, &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            shown += 1;
        }
    }
    assert!(shown >= 2, "{shown} scenarios");
}

#[test]
fn the_reference_names_every_column_of_a_recording() {
    let reference = read("docs/reference/workload.md");
    let code = code(&reference);
    let (_, shapes) = forklab::workload::Workload::HEADER.split_once(": ").expect("what it is: the columns");
    for column in shapes.split([',', '|', ' ']).filter(|column| !column.is_empty()) {
        assert!(code.contains(column), "workload.md does not name {column}");
    }
    for text in blocks(&reference, "csv") {
        forklab::workload::Workload::parse("workload.md", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_reference_names_every_key_of_a_replay_line() {
    let reference = read("docs/reference/replay-line.md");
    let code = code(&reference);
    for (line, first) in [("v1 tour nosuchkey=1", "one of "), ("v1 G16 nosuchkey=1", "expected ")] {
        let error = forklab(&["replay", line]).err;
        let (_, keys) = error.trim().rsplit_once(first).unwrap_or_else(|| panic!("{error}"));
        let keys = keys.split(':').next().expect("keys").replace(" or ", ", ");
        for key in keys.split(", ") {
            assert!(code.contains(format!("{key}=").as_str()), "replay-line.md does not name {key}=");
        }
    }
}

/// Every key of a value and of the values in it.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.insert(key.clone());
                if !NAMES.contains(&key.as_str()) {
                    keys(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn the_reference_names_every_field_of_the_json() {
    let reference = read("docs/reference/json.md");
    let printed: [(&str, &[&str]); 12] = [
        ("run", &["run", "overrun", "--gate", "has-listeners", "--sequence", "unlocked", "--format", "keys", "--json"]),
        ("run", &["run", "--workload", "tests/data/shell.csv.gz", "--fault", "alloc_skb.head#3+", "--json"]),
        ("run", &["replay", "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=none", "--json"]),
        ("experiment", &["run", "G16", "--json"]),
        ("check", &["check", "--property", "P18,P13", "--json"]),
        ("shard of a check", &["check", "--property", "P17", "--shard", "1/1"]),
        (
            "matrix",
            &[
                "matrix",
                "--hook",
                "end",
                "--delivery",
                "broadcast",
                "--format",
                "bare",
                "--property",
                "P17,P18",
                "--json",
            ],
        ),
        ("museum", &["museum", "P7", "--json"]),
        ("faults", &["faults", "--json"]),
        ("layout", &["layout", "--json"]),
        ("consumers", &["layout", "--consumers", "--json"]),
        ("trace", &["run", "tour", "--trace", "json"]),
    ];
    for (part, args) in printed {
        let (_, rest) = reference.split_once(&format!("\n## {part}\n")).unwrap_or_else(|| panic!("json.md: {part}"));
        let named = code(rest.split("\n## ").next().expect("a part"));
        let output = command(args).output().expect("it runs");
        let mut found = BTreeSet::new();
        for value in serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>() {
            keys(&value.unwrap_or_else(|error| panic!("{args:?}: {error}")), &mut found);
        }
        assert!(!found.is_empty(), "{args:?}");
        let missing: Vec<_> = found.iter().filter(|key| !named.contains(key.as_str())).collect();
        assert!(missing.is_empty(), "json.md does not name {missing:?} of {part} ({args:?})");
    }
}

#[cfg(all(feature = "netlink", target_os = "linux"))]
#[test]
fn the_reference_names_every_field_of_what_the_real_kernel_s_commands_count() {
    use forklab::live::{feed, hear, recorder, relay};

    let reference = read("docs/reference/json.md");
    let (_, part) = reference.split_once("\n## The real kernel\n").expect("the part");
    let named = code(part);
    let tally = feed::Tally { received: 0, missing: 0, overruns: 0, refused: 0, certain: true, rcvbuf: feed::RCVBUF };
    let counts = [
        serde_json::to_value(tally),
        serde_json::to_value(hear::Tally::default()),
        serde_json::to_value(recorder::Counts::default()),
        serde_json::to_value(relay::Relayed::default()),
    ];
    for value in counts {
        let mut found = BTreeSet::new();
        keys(&value.expect("JSON"), &mut found);
        let missing: Vec<_> = found.iter().filter(|key| !named.contains(key.as_str())).collect();
        assert!(missing.is_empty(), "json.md does not name {missing:?} of the real kernel's commands");
    }
}

#[test]
fn the_history_names_every_source_of_a_property() {
    let history = read("docs/explanation/history.md");
    for property in forklab::property::ALL {
        // What has a space in it is no Message-Id, CVE or commit.
        for source in property.remarks.iter().map(|remark| remark.source).filter(|source| !source.contains(' ')) {
            assert!(history.contains(source), "history.md does not name {source} of {}", property.id);
        }
    }
}

#[test]
fn every_shell_completes_every_command_and_flag() {
    let commands = commands_of(&forklab(&["--help"]).out);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = forklab(&["completions", shell]);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{shell}");
        for word in commands.iter().map(String::as_str).chain(["--rcvbuf"]) {
            assert!(done.out.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
    }
    let done = forklab(&["completions", "tcsh"]);
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{}", done.err);
    assert_eq!(forklab(&["completions"]).code, Some(2));
}

#[test]
fn the_manual_names_every_command_and_has_a_page_for_each() {
    let manual = forklab(&["man"]);
    assert_eq!((manual.code, manual.err.as_str()), (Some(0), ""));
    assert!(manual.out.contains(".TH forklab 1"), "{}", manual.out);
    for command in commands_of(&forklab(&["--help"]).out) {
        assert!(manual.out.contains(&command.replace('-', "\\-")), "{command}");
        let page = forklab(&["man", &command]);
        assert_eq!((page.code, page.err.as_str()), (Some(0), ""), "{command}");
        assert!(page.out.contains(&format!(".TH forklab-{command} 1")), "{}", page.out);
        for flag in flags_of(&forklab(&[&command, "--help"]).out) {
            assert!(page.out.contains(&flag.replace('-', "\\-")), "{command}: {flag}");
        }
    }
    let done = forklab(&["man", "bake"]);
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
    assert!(done.err.contains("\"bake\"") && done.err.contains("run, check, museum"), "{}", done.err);
}
