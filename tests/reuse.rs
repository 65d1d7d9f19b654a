//! Pids that are used again, pids that are taken, and what must be gone at the end.

use std::fs;
use std::path::Path;

use fork_model::init::boot;
use fork_model::{System, SystemConfig};
use forklab::lab::run::{Loaded, Report, Watch, run};
use forklab::lab::spec::{Order, Source, Spec};
use sim::{Calm, Machine, Rule};
use uevent::kobject_uevent::kobject_uevent;

fn report_of(text: &str, name: &str, order: Order) -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, text).expect("written");
    let source = if Path::new(name).extension().is_some_and(|end| end == "toml") {
        Source::File(path)
    } else {
        Source::Workload(path)
    };
    let loaded = Loaded::new(Spec { order, ..Spec::new(source) }, |_| ()).expect("a good file");
    run(&loaded, Watch::default()).expect("it can be run")
}

#[test]
fn each_fork_of_a_pid_that_is_used_again_counts() {
    let forks = r#""fork c", "wait", "#.repeat(52);
    let text = format!(
        "name = \"wrap\"\n[machine]\npid_max = 320\nlast_pid = 310\n\
         [[listeners]]\nname = \"elsa\"\ngroups = 1\nrcvbuf = 9000\npace = \"drain-at-end\"\n\
         [[tasks]]\nname = \"p\"\ndoes = [{forks}\"exit 0\"]\n[[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n"
    );
    let report = report_of(&text, "wrap.toml", Order::Calm);
    let tree = report.listeners[0].tree;
    assert_eq!(report.forks, 52);
    assert!(report.listeners[0].lost > 0, "or nothing is shown");
    assert_eq!(tree.right + tree.wrong + tree.missing, 52, "{report}");
    assert_eq!((tree.missing, tree.wrong, tree.phantom), (report.listeners[0].lost, 0, 0), "{report}");
}

#[test]
fn a_recorded_pid_that_is_taken_at_boot_gets_another_and_its_parent_waits_for_that() {
    let text = "fork,0,1,100,100,2,2\nfork,0,2,100,100,6,6\nexit,0,3,6,6,0,17\nexec,0,4,100,100\n";
    let report = report_of(text, "low.csv", Order::Calm);
    let followed = report.followed.expect("a recording");
    assert_eq!((report.ended, followed.left, followed.renumbered > 0), ("quiet", 0, true), "{report}");
    assert_eq!((report.forks, report.exits, report.execs), (2, 1, 1), "{report}");
    assert!(report.violations.is_empty(), "{report}");
}

#[test]
fn nobody_forks_init() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("one.csv");
    fs::write(&path, "fork,0,1,100,100,1,1\n").expect("written");
    let error = Loaded::new(Spec::new(Source::Workload(path)), |_| ()).err().expect("refused").to_string();
    assert!(
        error.ends_with("one.csv:1:18: found fork of pid 1, expected a pid above 1: init is made at boot"),
        "{error}"
    );
}

#[test]
fn a_replay_line_can_be_pasted_however_long_the_run() {
    let text = "name = \"many\"\n[machine]\ncpus = 2\n[[tasks]]\nname = \"p\"\nsigchld = \"ignore\"\n\
                does = [\"fork c x2000\", \"exit 0\"]\n[[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n";
    let report = report_of(text, "many.toml", Order::Seed(3));
    assert!(report.replay.len() < 4096, "{} bytes", report.replay.len());
    assert!(report.replay.contains(" seed=3 "), "{}", report.replay);
}

#[test]
fn without_the_option_no_event_is_sent_and_none_is_called_delivered() {
    let text = "name = \"off\"\n[machine]\nconfig = { hotplug = true, kobject_uevent = false }\n\
                [[listeners]]\nname = \"elsa\"\ngroups = 1\n\
                [[tasks]]\nname = \"p\"\ndoes = [\"fork c\", \"wait\", \"exit 0\"]\n[[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n";
    let report = report_of(text, "off.toml", Order::Calm);
    assert_eq!((report.forks, report.events_sent, report.events.delivered, report.events.not_configured), (1, 0, 0, 1));
    assert_eq!((report.listeners[0].received, report.listeners[0].tree.missing), (0, 1));
}

#[test]
fn a_path_that_an_unknown_action_leaks_is_reported_with_who_took_it() {
    let sys = System::new(Machine::new(sim::Config::default(), Calm), SystemConfig::default()).expect("it links");
    let s = sys.clone();
    sys.m.spawn("a", async move {
        boot(&s).await.expect("it boots");
        let before = s.live();
        let kobj = s.fork_kobj.get().expect("booted");
        let answer = kobject_uevent(&s.core, kobj, 99, None).await;
        assert_eq!(answer, Err(sim::Errno::Inval));
        let leaks = s.live_since(&before);
        assert_eq!(leaks.len(), 1);
        s.m.report_leaks(&leaks);
    });
    sys.m.run();
    let violations = sys.m.violations();
    assert_eq!(violations[0].rule, Rule::Leak);
    assert_eq!(violations[0].text, "leak: 11 bytes of kobject_get_path.path were never freed");
}
