//! A lesson in a real terminal, from first to last, with the keys that the screen names.

mod common;

use std::path::Path;
use std::process::Command;

use common::tools;
use forklab::learn::learner::{Key, Learner};
use forklab::learn::lessons;

/// A tmux server of this test alone, and one session in it.
struct Tmux {
    folder: tempfile::TempDir,
}

impl Tmux {
    /// Starts a shell command in a terminal of this size.
    fn start(size: (u16, u16), command: &str) -> Tmux {
        let tmux = Tmux { folder: tempfile::tempdir().expect("a temporary folder") };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        tmux.run(&["new-session", "-d", "-x", &width, "-y", &height, command]);
        tmux
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("tmux")
    }

    fn run(&self, args: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        // Nobody's settings, and a terminal type that every Debian knows.
        tmux.arg("-S").arg(self.socket()).args(["-f", "/dev/null"]).args(args);
        let output =
            tmux.env("LC_ALL", "C.UTF-8").env("TERM", "xterm").env_remove("TMUX").output().expect("tmux starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        self.run(&args);
    }

    fn shown(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Looks until the screen says this, as a person would.
    #[track_caller]
    fn until(&self, text: &str) -> String {
        for _ in 0..200 {
            let shown = self.shown();
            if shown.contains(text) {
                return shown;
            }
            Command::new("sleep").arg("0.05").status().expect("sleep");
        }
        panic!("never shown: {text}\n{}", self.shown());
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // The server is this test's own, and ends with its session.
        let _ = Command::new("tmux").arg("-S").arg(self.socket()).arg("kill-server").output();
    }
}

/// A shell command that runs forklab, says how it ended, and stays.
fn shell(args: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_forklab")).display();
    format!("'{program}' {args}; echo \"ended with $?\"; cat")
}

#[test]
fn a_lesson_is_gone_through_in_a_terminal_with_the_keys_that_the_screen_names() {
    if !tools::need(&["tmux"]) {
        return;
    }
    let lesson = lessons::find("nobody").expect("a lesson");
    let mut learner = Learner::new(lesson).expect("it runs");
    let tmux = Tmux::start((80, 24), &shell("learn nobody"));
    let first = tmux.until("event 0 of");
    for key in ["→ on", "← back", "↓ next stop", "n question", "q quit"] {
        assert!(first.contains(key), "{key}\n{first}");
    }
    let events = learner.run().events.len();
    for at in 1..=events {
        if let Some(right) = learner.question().map(|posed| posed.asked.right + 1) {
            learner.press(Key::Show);
            tmux.keys(&[&right.to_string()]);
            tmux.until("── right ");
        }
        learner.press(Key::Next);
        tmux.keys(&["Right"]);
        tmux.until(&format!("event {at} of {events}"));
    }
    let right = learner.question().map_or(1, |posed| posed.asked.right + 1);
    tmux.keys(&[&right.to_string()]);
    let of = learner.questions().len();
    tmux.until(&format!("You predicted {of} of {of}, {of} of them right."));
    tmux.keys(&["Left"]);
    tmux.until(&format!("event {} of", events - 1));
    tmux.keys(&["Home"]);
    tmux.until("event 0 of");
    tmux.keys(&["g", "1", "0", "Enter"]);
    tmux.until(" step 10, ");
    tmux.keys(&["w"]);
    tmux.until("who runs next?");
    tmux.keys(&["Escape"]);
    tmux.until("the lesson");
    tmux.keys(&["f"]);
    tmux.until("fails: what follows is yours");
    tmux.keys(&["Right"]);
    tmux.until("your run");
    tmux.keys(&["u"]);
    tmux.until("taken back");
    tmux.run(&["resize-window", "-x", "100", "-y", "30"]);
    tmux.until("lines more: Tab");
    tmux.keys(&["f", "q"]);
    let left = tmux.until("ended with 0");
    assert!(left.contains("forklab replay 'v1 nobody hook=end"), "{left}");
}

#[test]
fn all_lessons_are_gone_through_one_after_the_other_stop_by_stop() {
    if !tools::need(&["tmux"]) {
        return;
    }
    let tmux = Tmux::start((100, 30), &shell("learn"));
    tmux.until("Enter begin");
    for lesson in lessons::ALL {
        let mut learner = Learner::new(lesson).expect("it runs");
        tmux.keys(&["Enter"]);
        tmux.until(&format!(" {} {}", lesson.number, lesson.title));
        let events = learner.run().events.len();
        tmux.until(&format!("event 0 of {events}"));
        while !learner.is_over() {
            learner.press(Key::NextStop);
            tmux.keys(&["Down"]);
            tmux.until(&format!("event {} of {events}", learner.at()));
            if let Some(right) = learner.question().map(|posed| posed.asked.right + 1) {
                tmux.keys(&[&right.to_string()]);
                tmux.until("── right ");
            }
        }
        let of = learner.questions().len();
        tmux.until(&format!("You predicted {of} of {of}, {of} of them right."));
    }
    tmux.keys(&["q"]);
    tmux.until("Enter begin");
    tmux.keys(&["q"]);
    tmux.until("ended with 0");
}

#[test]
fn ctrl_c_gives_the_terminal_back() {
    if !tools::need(&["tmux"]) {
        return;
    }
    let tmux = Tmux::start((100, 30), &shell("learn"));
    tmux.until("forklab learn: a process forks");
    tmux.keys(&["Down", "Enter"]);
    tmux.until("2 The message on the wire");
    tmux.keys(&["C-c"]);
    let shown = tmux.until("ended with 0");
    assert!(!shown.contains("The message on the wire"), "{shown}");
}
