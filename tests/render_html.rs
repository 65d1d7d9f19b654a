//! The page of `--html`: one file that asks nobody for anything, and a reader's way through it in a real browser.

mod common;

use std::path::{Path, PathBuf};

use common::forklab;

const FOUND: &str = "v1 autoreap hook=end sched=p5.c6.p7.elsa2.p4.init5 fault=none";

/// Writes a page; the command may find something.
fn page(folder: &Path, args: &[&str]) -> PathBuf {
    let file = folder.join("page.html");
    let path = file.to_str().expect("a temporary folder is UTF-8");
    let done = forklab(&[args, &["--html", path]].concat());
    assert!(done.code < Some(2), "{}", done.err);
    file
}

fn text(args: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::read_to_string(page(folder.path(), args)).expect("it was written")
}

#[test]
fn nothing_in_the_page_comes_from_elsewhere() {
    let text = text(&["replay", FOUND]);
    assert!(text.contains("default-src 'none'; script-src 'sha256-"));
    for elsewhere in ["src=", "href=", "url(", "@import", "fetch(", "https://"] {
        assert!(!text.contains(elsewhere), "{elsewhere}");
    }
    assert_eq!(text.matches("http://").count(), 1, "the name of SVG, which nobody opens");
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    assert_eq!(text(&["replay", FOUND]), text(&["replay", FOUND]));
}

/// The data of a page.
fn data(text: &str) -> serde_json::Value {
    let (_, data) = text.split_once(r#"<script type="application/json" id="data">"#).expect("the data");
    let (data, _) = data.split_once("</script>").expect("their end");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn a_run_that_fails_stands_beside_the_nearest_that_passes() {
    let commands: [&[&str]; 4] = [
        &["replay", FOUND],
        &["check", "autoreap", "--property", "P18"],
        &["museum", "P18a"],
        &["replay", "v1 G16 answers=0.10"],
    ];
    for command in commands {
        let data = data(&text(command));
        let runs = data["runs"].as_array().expect("runs");
        assert_eq!(runs.iter().map(|run| &run["label"]).collect::<Vec<_>>(), ["fails", "passes"], "{command:?}");
        assert!(data["differs"].is_u64());
        for (run, code) in runs.iter().zip([1, 0]) {
            let again = forklab(&["replay", run["replay"].as_str().expect("a line")]);
            assert_eq!(again.code, Some(code), "{command:?}: {}", run["replay"]);
        }
    }
}

/// A law is judged when the run is over; this one broke in step 25 of 28.
const JUDGED: &str =
    "v1 two-forks hook=before-wake gate=has-listeners sequence=per-cpu format=keys sched=p8.q1 fault=none law=P14";

#[test]
fn what_broke_stands_in_the_step_that_the_report_names() {
    for line in [FOUND, JUDGED] {
        let report: serde_json::Value = serde_json::from_str(&forklab(&["replay", line, "--json"]).out).expect("JSON");
        let data = data(&text(&["replay", line]));
        let frames = data["runs"][0]["frames"].as_array().expect("frames");
        let broken: Vec<_> = frames.iter().filter(|frame| frame["kind"] == "broken").collect();
        assert_eq!(broken.len(), 1, "{line}");
        assert_eq!(broken[0]["step"], report["violations"][0]["step"], "{line}");
        assert!(frames.is_sorted_by_key(|frame| frame["step"].as_u64()), "{line}");
    }
}

/// The kernel's own slot for a number, 28 bytes, is part of the buffer, and so is the byte behind its end.
#[test]
fn a_buffer_has_the_byte_that_was_written_past_its_end() {
    let data = data(&text(&["replay", "v1 G16 answers=0.10"]));
    let longest = |run: &serde_json::Value| {
        let frames = run["frames"].as_array().expect("frames").iter();
        let changes = frames.filter_map(|frame| frame["changes"].as_array()).flatten();
        let inside = |change: &&serde_json::Value| change["do"] == "write" && change["area"].is_null();
        changes.filter(inside).filter_map(|change| change["bytes"].as_str()).map(|hex| hex.len() / 2).max()
    };
    assert_eq!(
        data["runs"].as_array().expect("runs").iter().map(longest).collect::<Vec<_>>(),
        [Some(1025), Some(1024)]
    );
}

#[test]
fn what_a_message_says_does_not_end_the_script_it_stands_in() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = folder.path().join("</script>.toml");
    let toml = include_str!("../src/scenarios/tour.toml");
    // A slash in a name is a folder.
    std::fs::create_dir_all(scenario.parent().expect("a folder")).expect("a temporary folder can be written");
    std::fs::write(&scenario, toml).expect("a temporary folder can be written");
    let text = text(&["run", scenario.to_str().expect("UTF-8")]);
    assert_eq!(text.matches("</script>").count(), 2, "that of the data and that of the script");
    assert!(data(&text)["runs"][0]["replay"].as_str().expect("a line").contains("</script>"));
}

#[test]
fn a_long_run_is_refused_with_the_limit_and_the_other_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("page.html");
    let done = forklab(&["run", "overrun", "--html", file.to_str().expect("UTF-8")]);
    assert_eq!(done.code, Some(2));
    assert_eq!(
        done.err,
        "forklab: <command line>: found a run of 52566 events, expected at most 5000 for --html; --perfetto FILE takes any number\n"
    );
    assert!(!file.exists());
}

#[test]
fn several_exhibits_are_no_page_and_nothing_found_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("page.html");
    let path = file.to_str().expect("UTF-8");
    let done = forklab(&["museum", "P18", "--html", path]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("expected one of them, such as P18a"), "{}", done.err);
    let done = forklab(&["check", "--hook", "end-saved-pid", "--property", "P17", "--html", path]);
    assert_eq!(done.code, Some(0));
    assert!(done.err.contains("nothing was found, so that"), "{}", done.err);
    assert!(!file.exists());
}

#[test]
fn both_files_of_a_counterexample_are_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = folder.path().join("trace.json");
    let trace_path = trace.to_str().expect("UTF-8");
    page(folder.path(), &["check", "autoreap", "--property", "P18", "--perfetto", trace_path]);
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&trace).expect("it was written")).expect("JSON");
    assert!(json["traceEvents"].as_array().is_some_and(|events| events.iter().any(|event| event["s"] == "g")));
}

#[cfg(target_os = "linux")]
mod browser {
    use serde_json::Value;

    use super::common::chromium::Browser;
    use super::common::tools::need;
    use super::{FOUND, JUDGED, page};

    /// All that the page shows of its state: the marked event, lanes, memory, messages, listeners, of every run.
    const STATE: &str =
        "[...document.querySelectorAll('.state, #where, li[aria-current]')].map(e => e.innerText).join('\\n')";

    fn url(file: &std::path::Path, hash: &str) -> String {
        format!("file://{}{hash}", file.display())
    }

    #[test]
    fn it_loads_without_an_error_and_without_a_request() {
        if !need(&["chromium"]) {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut browser = Browser::new(&folder.path().join("profile"));
        for args in [&["replay", FOUND][..], &["run", "thread", "--format", "keys"], &["museum", "G16"]] {
            let url = url(&page(folder.path(), args), "");
            browser.open(&url);
            browser.press("End");
            browser.press("?");
            assert_eq!(browser.eval("document.getElementById('keys').open"), true);
            assert_eq!(browser.errors, Vec::<String>::new());
            assert_eq!(browser.requests, [url]);
        }
    }

    #[test]
    fn the_policy_stops_a_request_and_the_client_sees_the_error() {
        if !need(&["chromium"]) {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut browser = Browser::new(&folder.path().join("profile"));
        browser.open(&url(&page(folder.path(), &["run", "tour"]), ""));
        let asks = "new Promise(done => { const i = new Image(); i.onerror = () => done('stopped'); i.src = 'http://127.0.0.1:9/x.png'; })";
        assert_eq!(browser.eval(asks), "stopped");
        assert_eq!(browser.errors.len(), 1, "{:?}", browser.errors);
    }

    #[test]
    fn forward_and_backward_show_the_same() {
        if !need(&["chromium"]) {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = page(folder.path(), &["replay", FOUND]);
        let mut browser = Browser::new(&folder.path().join("profile"));
        browser.open(&url(&file, "#step=0"));
        let mut forward = vec![browser.eval(STATE)];
        loop {
            browser.press("ArrowRight");
            let state = browser.eval(STATE);
            if forward.last() == Some(&state) {
                break;
            }
            forward.push(state);
        }
        assert!(forward.len() > 40, "{}", forward.len());
        let changes = forward.windows(2).filter(|two| two[0] != two[1]).count();
        assert_eq!(changes + 1, forward.len());
        for before in forward.iter().rev().skip(1) {
            browser.press("ArrowLeft");
            assert_eq!(&browser.eval(STATE), before);
        }
        // The same place by the slider, by a click, and by the address.
        let slid =
            "s = document.getElementById('slider'); s.value = 40; s.dispatchEvent(new Event('input')); location.hash";
        let hash = browser.eval(slid);
        let state = browser.eval(STATE);
        browser.press("Home");
        assert_eq!(browser.eval(STATE), forward[0]);
        browser.click(".tree li:nth-child(40)");
        assert_eq!(browser.eval(STATE), state);
        browser.open(&url(&file, hash.as_str().expect("a hash")));
        assert_eq!(browser.eval(STATE), state);
        assert_eq!(browser.errors, Vec::<String>::new());
    }

    /// What the page shows in a step of a run.
    fn at(browser: &mut Browser, file: &std::path::Path, hash: &str) -> String {
        browser.open(&url(file, hash));
        browser.eval("document.querySelector('.state').innerText").as_str().expect("text").to_owned()
    }

    #[test]
    fn the_step_in_the_address_is_restored_with_its_buffers() {
        if !need(&["chromium"]) {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = page(folder.path(), &["run", "tour"]);
        let mut browser = Browser::new(&folder.path().join("profile"));
        let sent = at(&mut browser, &file, "#step=10");
        assert_eq!(browser.eval("location.hash"), "#step=10");
        assert!(sent.contains("0010  31 30 30 00 31 30 31 00"), "the message, byte by byte: {sent}");
        assert!(sent.contains("\"101\\0\""), "the slot of the child's pid: {sent}");
        assert!(sent.contains("0 arrived"), "{sent}");
        let queued = at(&mut browser, &file, "#step=12");
        assert!(queued.contains("1 arrived, 1 waiting, 0 read"), "{queued}");
        let before = at(&mut browser, &file, "#step=6");
        assert!(!before.contains("31 30 30 00"), "{before}");
        assert!(before.contains("none yet"), "{before}");
        browser.press("End");
        let end = browser.eval("document.querySelector('.state').innerText");
        assert!(end.as_str().is_some_and(|end| end.contains("1 arrived, 0 waiting, 1 read")), "{end}");
        // A second look at the same page is told by the address alone.
        browser.eval("location.hash = '#step=10'; new Promise(done => setTimeout(done, 100))");
        assert_eq!(browser.eval("document.querySelector('.state').innerText"), sent.as_str());
    }

    #[test]
    fn two_runs_step_together_and_part_at_the_finding() {
        if !need(&["chromium"]) {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = page(folder.path(), &["replay", FOUND]);
        let mut browser = Browser::new(&folder.path().join("profile"));
        browser.open(&url(&file, ""));
        // It begins where the rule broke.
        let shown = browser.eval(STATE);
        assert!(
            shown.as_str().is_some_and(|shown| shown.contains("use after free: do_fork() reads p->pid")),
            "{shown}"
        );
        let steps = "[...document.querySelectorAll('li[aria-current]')].map(e => Number(e.firstChild.innerText))";
        for key in ["v", "ArrowDown", "ArrowUp", "d", "n", "p", "m"] {
            browser.press(key);
            let steps = browser.eval(steps);
            assert!(steps[1].as_u64() <= steps[0].as_u64(), "after {key}: {steps}");
        }
        browser.press("End");
        let trees = "[...document.querySelectorAll('.listeners')].map(e => e.innerText)";
        let trees = browser.eval(trees);
        assert!(trees[0].as_str().is_some_and(|tree| tree.contains("1802201963  ← never was")), "{trees}");
        assert!(trees[1].as_str().is_some_and(|tree| tree.contains("└ 101\n") || tree.ends_with("└ 101")), "{trees}");
    }

    #[test]
    fn it_opens_at_the_step_that_the_report_names_and_says_it() {
        if !need(&["chromium"]) {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut browser = Browser::new(&folder.path().join("profile"));
        for (line, says) in [(FOUND, "lane p, step 12: use after free"), (JUDGED, "step 25: elsa cannot tell")] {
            browser.open(&url(&page(folder.path(), &["replay", line]), ""));
            let shown = browser.eval(STATE);
            let shown = shown.as_str().expect("text");
            let (_, named) = says.split_once("step ").expect("it names one");
            let step = named.split(':').next().expect("a number");
            assert!(shown.starts_with(&format!("step {step}, event ")) && shown.contains(says), "{shown}");
        }
    }

    #[test]
    fn words_are_whole_and_only_a_long_one_loses_its_middle() {
        if !need(&["chromium"]) {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut browser = Browser::new(&folder.path().join("profile"));
        browser.open(&url(&page(folder.path(), &["check", "--hook", "locked", "--property", "P17"]), ""));
        let calls = browser.eval("document.querySelector('.tree').innerText");
        let calls = calls.as_str().expect("text");
        assert!(calls.contains("irqs_disabled():1\ntasklist_lock was taken in step 5"), "{calls}");
        let strings = "'fork@/fork_kobj\\\\0' + 'KEY=value\\\\0'.repeat(20) + '\\\\x03\\\\0'.repeat(3)";
        let cut = browser.eval(&format!("short({strings})"));
        let cut = cut.as_str().expect("text");
        let (head, rest) = cut.split_once(" …").unwrap_or_else(|| panic!("{cut}"));
        let (left, tail) = rest.split_once(" more… ").expect("how much");
        assert!(head.ends_with("value\\0") && tail.starts_with("KEY=") && tail.ends_with("\\x03\\0"), "{cut}");
        let whole = browser.eval(&format!("({strings}).length"));
        assert_eq!(whole.as_u64(), left.parse::<u64>().ok().map(|left| left + (head.len() + tail.len()) as u64));
        for whole in ["'a '.repeat(200)", "'a'.repeat(161)", "'a'.repeat(170)"] {
            assert_eq!(browser.eval(&format!("short({whole}) === {whole}")), true, "{whole}");
        }
        assert_eq!(browser.eval("short('a'.repeat(1000)).length < 180"), true);
    }

    #[test]
    fn it_fits_narrow_screens_and_paper_in_dark_and_in_light() {
        if !need(&["chromium"]) {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = page(folder.path(), &["replay", FOUND]);
        let mut browser = Browser::new(&folder.path().join("profile"));
        let mut papers = Vec::new();
        for (width, scheme, media) in [
            (1400, "light", "screen"),
            (1400, "dark", "screen"),
            (420, "light", "screen"),
            (420, "dark", "screen"),
            (700, "light", "print"),
        ] {
            browser.look(width, scheme, media);
            browser.open(&url(&file, "#step=12"));
            let wide = browser.eval("document.documentElement.scrollWidth");
            assert!(wide.as_u64() <= Some(width.into()), "{width} {scheme} {media}: {wide}");
            papers.push(browser.eval("getComputedStyle(document.body).backgroundColor"));
            if let Some(folder) = std::env::var_os("FORKLAB_SCREENSHOTS") {
                let name = format!("{width}-{scheme}-{media}.png.base64");
                std::fs::write(std::path::Path::new(&folder).join(name), browser.screenshot()).expect("a folder");
            }
        }
        assert_ne!(papers[0], papers[1], "dark is dark");
        assert_eq!(papers[4], Value::from("rgb(255, 255, 255)"), "paper is white");
    }
}
