//! Scenario files: the examples, the defaults, and every mistake with the exact words that the user reads.

use std::path::{Path, PathBuf};

use forklab::scenario_file::{
    Action, Boot, Config, Design, Fault, Known, Listener, Machine, Pace, ScenarioFile, SigChld, Times,
};
use uevent::Era;

const KNOWN: Known<'_> = Known {
    hooks: &["end", "end-saved-pid"],
    gates: &["always", "counter"],
    sequences: &["none", "locked"],
    formats: &["bare", "keys"],
    deliveries: &["broadcast", "signal"],
    sites: &["alloc_skb.head", "alloc_skb.data"],
    impossible: |design| {
        (design.sequence == "locked" && design.format == "bare").then(|| "there is no room".to_owned())
    },
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scenarios")
}

fn example(name: &str) -> ScenarioFile {
    let path = folder().join(format!("{name}.toml"));
    ScenarioFile::read(&path, &KNOWN).unwrap_or_else(|error| panic!("{error}"))
}

fn parse(text: &str) -> ScenarioFile {
    ScenarioFile::parse("s.toml", text, &KNOWN).unwrap_or_else(|error| panic!("{error}"))
}

fn message(text: &str) -> String {
    match ScenarioFile::parse("s.toml", text, &KNOWN) {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Each text stands in lines 2 and following, behind the name and before a task `p`.
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let whole = format!("name = \"x\"\n{text}\n[[tasks]]\nname = \"p\"\n");
        assert_eq!(message(&whole), *expected, "for {text:?}");
    }
}

/// Each text is the second action of task `p`, at line 4, column 17; there is a program `c` as well.
fn check_actions(cases: &[(&str, &str)]) {
    for (action, expected) in cases {
        let whole = format!(
            "name = \"x\"\n[[tasks]]\nname = \"p\"\ndoes = [\"wait\", \"{action}\"]\n[[tasks]]\nname = \"c\"\n"
        );
        assert_eq!(message(&whole), format!("s.toml:4:17: {expected}"), "for {action:?}");
    }
}

#[test]
fn every_example_is_sound_and_is_called_like_its_file() {
    let mut names = Vec::new();
    for entry in folder().read_dir().expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_stem().expect("a file").display().to_string();
        assert_eq!(example(&name).name, name);
        names.push(name);
    }
    names.sort();
    let mut built_in: Vec<_> = forklab::lab::spec::BUILT_IN.iter().map(|(name, _)| *name).collect();
    built_in.sort_unstable();
    assert_eq!(names, built_in);
}

#[test]
fn the_tour_is_the_defaults_and_two_tasks_of_which_one_starts_at_boot() {
    let tour = example("tour");
    assert_eq!(tour.machine, Machine::default());
    assert_eq!(tour.design, Design::default());
    assert_eq!((tour.faults.len(), tour.failslab.as_ref()), (0, None));
    let boots: Vec<&str> = tour.boots().map(|task| task.name.as_str()).collect();
    assert_eq!(boots, ["p"]);
    let fork = Action::Fork { program: "c".to_owned(), flags: 17, times: 1 };
    assert_eq!(tour.tasks[0].does, [fork, Action::Wait(None), Action::Exit(0)]);
    assert_eq!(tour.task("c").expect("the program").does, [Action::Exit(0)]);
}

#[test]
fn the_other_examples_say_what_their_names_promise() {
    assert_eq!(example("autoreap").tasks[0].sigchld, SigChld::Ignore);
    let early = example("boot-early");
    assert_eq!((early.machine.boot, early.listeners.len()), (Boot::Early, 0));
    let overrun = example("overrun");
    assert_eq!(overrun.listeners[0].pace, Pace::DrainAtEnd);
    assert!(matches!(overrun.tasks[0].does[0], Action::Fork { times: 600, .. }));
    // CLONE_VM, FS, FILES, SIGHAND and THREAD, and no exit signal.
    let thread = Action::Fork { program: "t".to_owned(), flags: 0x1_0f00, times: 1 };
    assert_eq!(example("thread").tasks[0].does[0], thread);
}

#[test]
fn every_key_can_be_given() {
    let all = parse(
        r#"
        name = "all-9"
        [machine]
        cpus = 64
        preempt = true
        smp_cache_bytes = 128
        mempages = 0
        pid_max = 301
        last_pid = 300
        boot = "done"
        config = { hotplug = false, kobject_uevent = true }
        [design]
        hook = "end-saved-pid"
        [[faults]]
        site = "alloc_skb.data"
        nth = 3
        times = "forever"
        [[faults]]
        [failslab]
        probability = 100
        interval = 2
        times = -1
        space = 4096
        ignore-gfp-wait = false
        seed = 7
        [[listeners]]
        name = "elsa"
        groups = 0xffff_ffff
        rcvbuf = 0
        pace = { every = 10 }
        [[tasks]]
        name = "p"
        sigchld = "default"
        does = ["vfork c", "clone c CLONE_STOPPED|SIGCHLD x2", "cont c", "wait c", "exec", "exit 255"]
        [[tasks]]
        name = "c"
        "#,
    );
    let machine = Machine {
        cpus: 64,
        preempt: true,
        smp_cache_bytes: 128,
        mempages: 0,
        pid_max: 301,
        last_pid: 300,
        boot: Boot::Done,
        era: Era::Linux2_6_11,
        config: Config { hotplug: false, ..Config::default() },
    };
    assert_eq!(all.machine, machine);
    assert_eq!(all.design.hook, "end-saved-pid");
    let data = Fault { site: Some("alloc_skb.data".to_owned()), nth: 3, times: Times::Forever };
    let any = Fault { site: None, nth: 1, times: Times::Count(1) };
    assert_eq!(all.faults, [data, any]);
    let failslab = all.failslab.expect("it is given");
    assert_eq!((failslab.probability, failslab.interval), (100, 2));
    assert_eq!((failslab.times, failslab.space), (-1, 4096));
    assert_eq!((failslab.ignore_gfp_wait, failslab.seed), (false, 7));
    let elsa = Listener {
        name: "elsa".to_owned(),
        groups: u32::MAX,
        rcvbuf: Some(0),
        pace: Pace::Every(10),
        ..Listener::default()
    };
    assert_eq!(all.listeners, [elsa]);
    let fork = |flags, times| Action::Fork { program: "c".to_owned(), flags, times };
    let does = [
        fork(0x4111, 1),
        fork(0x200_0011, 2),
        Action::Cont("c".to_owned()),
        Action::Wait(Some("c".to_owned())),
        Action::Exec,
        Action::Exit(255),
    ];
    assert_eq!(all.tasks[0].does, does);
}

#[test]
fn flags_that_the_kernel_refuses_are_legal_input() {
    // CLONE_THREAD without CLONE_SIGHAND: that is an -EINVAL for the simulation to find.
    let text = "name=\"x\"\n[[tasks]]\nname=\"p\"\ndoes=[\"clone c CLONE_THREAD\"]\n[[tasks]]\nname=\"c\"";
    assert!(matches!(parse(text).tasks[0].does[0], Action::Fork { flags: 0x1_0000, .. }));
}

#[test]
fn an_impossible_machine_is_refused_at_the_number() {
    check(&[
        ("[machine]\ncpus = 0", "s.toml:3:8: found integer `0`, expected a number from 1 to 64"),
        ("[machine]\ncpus = 65", "s.toml:3:8: found integer `65`, expected a number from 1 to 64"),
        ("[machine]\nsmp_cache_bytes = 48", "s.toml:3:19: found integer `48`, expected 32, 64 or 128"),
        ("[machine]\nmempages = -1", "s.toml:3:12: found integer `-1`, expected a number from 0 to 16777216"),
        ("[machine]\npid_max = 300", "s.toml:3:11: found integer `300`, expected a number from 301 to 4194304"),
        ("[machine]\npid_max = 4194305", "s.toml:3:11: found integer `4194305`, expected a number from 301 to 4194304"),
        (
            "[machine]\npid_max = 301\nlast_pid = 301",
            "s.toml:4:12: found 301, expected less than pid_max, which is 301",
        ),
        ("[machine]\nboot = \"late\"", "s.toml:3:8: found unknown word `late`, expected `done` or `early`"),
    ]);
}

#[test]
fn an_unknown_key_is_refused_with_those_that_are_known() {
    check(&[
        (
            "cpus = 2",
            "s.toml:2:1: found unknown key `cpus`, expected one of `name`, `machine`, `design`, \
             `faults`, `failslab`, `listeners`, `tasks`",
        ),
        (
            "[machine]\ncpu = 2",
            "s.toml:3:1: found unknown key `cpu`, expected one of `cpus`, `preempt`, \
             `smp_cache_bytes`, `mempages`, `pid_max`, `last_pid`, `boot`, `era`, `config`",
        ),
        (
            "[machine]\nconfig = { net = true }",
            "s.toml:3:12: found unknown key `net`, expected one of `hotplug`, `kobject_uevent`, `uevents_stay`",
        ),
        (
            "[design]\ngates = \"socket\"",
            "s.toml:3:1: found unknown key `gates`, expected one of `hook`, `gate`, `sequence`, `format`, `delivery`",
        ),
        (
            "[failslab]\nignore_gfp_wait = true",
            "s.toml:3:1: found unknown key `ignore_gfp_wait`, expected one of `probability`, \
             `interval`, `times`, `space`, `ignore-gfp-wait`, `seed`",
        ),
    ]);
}

#[test]
fn a_value_of_the_wrong_type_is_refused_at_the_value() {
    check(&[
        ("[machine]\ncpus = \"two\"", "s.toml:3:8: found string \"two\", expected a number from 1 to 64"),
        ("[machine]\ncpus = 1.5", "s.toml:3:8: found floating point `1.5`, expected a number from 1 to 64"),
        ("[machine]\npreempt = 1", "s.toml:3:11: found integer `1`, expected true or false"),
        ("[machine]\nboot = 3", "s.toml:3:8: found another value, expected string or table"),
        ("[faults]\nnth = 1", "s.toml:2:1: found a table, expected an array"),
        ("[design]\nhook = 1", "s.toml:3:8: found integer `1`, expected a string"),
    ]);
}

#[test]
fn what_is_not_toml_is_refused_where_it_stops_being_toml() {
    check(&[
        ("cpus 2", "s.toml:2:6: found key with no value, expected `=`"),
        ("[machine]\n[machine]", "s.toml:3:2: found duplicate key, expected a scenario (TOML)"),
    ]);
}

#[test]
fn a_hook_or_a_site_that_nobody_knows_is_refused_with_those_that_are_known() {
    check(&[
        ("[design]\nhook = \"start\"", "s.toml:3:8: found \"start\", expected one of end, end-saved-pid"),
        (
            "[[faults]]\n[[faults]]\nsite = \"kmalloc\"",
            "s.toml:4:8: found \"kmalloc\", expected one of alloc_skb.head, alloc_skb.data",
        ),
    ]);
}

#[test]
fn a_default_hook_that_the_caller_does_not_know_is_refused_at_the_beginning() {
    let known = Known { hooks: &["locked"], ..KNOWN };
    let error =
        ScenarioFile::parse("s.toml", "name=\"x\"\n[[tasks]]\nname=\"p\"", &known).expect_err("the default is end");
    assert_eq!(error.to_string(), "s.toml:1:1: found \"end\", expected one of locked");
}

#[test]
fn a_fault_that_never_comes_is_refused() {
    const TIMES: &str = "expected a number from 1 to 4294967295, or \"forever\"";
    check(&[
        ("[[faults]]\nnth = 0", "s.toml:3:7: found integer `0`, expected a number from 1 to 4294967295"),
        ("[[faults]]\ntimes = 0", &format!("s.toml:3:9: found integer `0`, {TIMES}")),
        ("[[faults]]\ntimes = \"always\"", &format!("s.toml:3:9: found string \"always\", {TIMES}")),
        ("[failslab]\nprobability = 101", "s.toml:3:15: found integer `101`, expected a number from 0 to 100"),
        ("[failslab]\ninterval = 0", "s.toml:3:12: found integer `0`, expected a number from 1 to 4294967295"),
        ("[failslab]\ntimes = -2", "s.toml:3:9: found integer `-2`, expected a number from -1 to 2147483647"),
    ]);
}

#[test]
fn a_listener_that_can_hear_nothing_is_refused() {
    check(&[
        ("[[listeners]]\nname = \"a\"", "s.toml:2:1: found no key `groups`, expected it to be given"),
        (
            "[[listeners]]\nname = \"a\"\ngroups = 0",
            "s.toml:4:10: found integer `0`, expected a number from 1 to 4294967295",
        ),
        (
            "[[listeners]]\nname = \"a\"\ngroups = 1\nrcvbuf = -1",
            "s.toml:5:10: found integer `-1`, expected a number from 0 to 2147483647",
        ),
        (
            "[[listeners]]\nname = \"a\"\ngroups = 1\npace = \"lazy\"",
            "s.toml:5:8: found unknown word `lazy`, expected one of `eager`, `drain-at-end`, `every`",
        ),
        (
            "[[listeners]]\nname = \"a\"\ngroups = 1\npace = { every = 0 }",
            "s.toml:5:18: found integer `0`, expected a number from 1 to 4294967295",
        ),
    ]);
}

#[test]
fn a_name_is_made_of_letters_and_given_once() {
    check(&[
        (
            "[[listeners]]\nname = \"a1\"\ngroups = 1",
            "s.toml:3:8: found string \"a1\", expected a name of lower-case letters",
        ),
        (
            "[[listeners]]\nname = \"\"\ngroups = 1",
            "s.toml:3:8: found string \"\", expected a name of lower-case letters",
        ),
        // The task called p comes after the text.
        (
            "[[listeners]]\nname = \"p\"\ngroups = 1",
            "s.toml:6:8: found \"p\", expected a name that no other listener or task has",
        ),
        ("[[tasks]]\nname = \"p\"", "s.toml:5:8: found \"p\", expected a name that no other listener or task has"),
    ]);
    assert_eq!(
        message("name = \"A b\""),
        "s.toml:1:8: found string \"A b\", expected a name of lower-case letters, digits and hyphens"
    );
}

#[test]
fn a_scenario_needs_a_name_and_tasks() {
    assert_eq!(message(""), "s.toml:1:1: found no key `name`, expected it to be given");
    assert_eq!(message("name = \"x\""), "s.toml:1:1: found no key `tasks`, expected it to be given");
    assert_eq!(message("name = \"x\"\ntasks = []"), "s.toml:2:9: found 0 tasks, expected 1 to 256");
}

#[test]
fn an_action_that_is_none_is_refused_at_its_string() {
    const ACTIONS: &str = "expected fork NAME, vfork NAME, clone NAME FLAGS (each with xN behind it \
        for N times), exec, exit CODE, wait, wait NAME, cont NAME or forge NAME";
    for bad in ["", "frok c", "fork", "clone c", "exit", "wait c c", "cont", "exec now"] {
        check_actions(&[(bad, &format!("found \"{bad}\", {ACTIONS}"))]);
    }
    check_actions(&[
        ("fork c 3", "found \"3\", expected x1 to x65536"),
        ("fork c x0", "found \"x0\", expected x1 to x65536"),
        ("fork c x65537", "found \"x65537\", expected x1 to x65536"),
        ("vfork c x2 x3", "found \"x2 x3\", expected x1 to x65536"),
        ("exit 256", "found \"256\", expected an exit code from 0 to 255"),
        ("exit -1", "found \"-1\", expected an exit code from 0 to 255"),
        (
            "clone c CLONE_VM|CLONE_FROB",
            "found flag \"CLONE_FROB\", expected one of SIGCHLD, CLONE_VM, CLONE_FS, CLONE_FILES, \
             CLONE_SIGHAND, CLONE_PTRACE, CLONE_VFORK, CLONE_PARENT, CLONE_THREAD, CLONE_NEWNS, \
             CLONE_SYSVSEM, CLONE_SETTLS, CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID, \
             CLONE_DETACHED, CLONE_UNTRACED, CLONE_CHILD_SETTID, CLONE_STOPPED",
        ),
    ]);
}

#[test]
fn an_action_may_only_speak_of_tasks_that_are_there() {
    for action in ["fork d", "vfork d x2", "clone d CLONE_VM", "wait d", "cont d"] {
        check_actions(&[(action, "found \"d\", expected one of p, c")]);
    }
}

#[test]
fn nothing_may_follow_an_exit() {
    let text = "name=\"x\"\n[[tasks]]\nname=\"p\"\ndoes = [\"exec\",\n  \"exit 0\", \"exec\"]";
    assert_eq!(message(text), "s.toml:5:3: found an exit with actions behind it, expected exit to be the last action");
}

#[test]
fn a_program_that_forks_itself_is_refused_at_the_fork_that_closes_the_circle() {
    check_actions(&[("fork p", "found p forks p again, expected programs that end")]);
    let task = |name: &str, does: &str| format!("[[tasks]]\nname = \"{name}\"\ndoes = [\"{does}\"]\n");
    let circle = [task("p", "fork a"), task("a", "fork b"), task("b", "vfork a")].concat();
    assert_eq!(
        message(&format!("name = \"x\"\n{circle}")),
        "s.toml:10:9: found p forks a forks b forks a again, expected programs that end"
    );
}

#[test]
fn more_tasks_than_a_small_experiment_has_are_refused() {
    check_actions(&[("fork c x65536", "found 65537 tasks in all, expected 65536 or fewer")]);
    // Forty programs that fork the next one twice would be a million million tasks; adding them up must not take as long.
    let letter = |i: u8| char::from(b'a' + i % 26).to_string().repeat(1 + usize::from(i) / 26);
    let mut text = "name = \"x\"\n".to_owned();
    for i in 0..40 {
        let (name, next) = (letter(i), letter(i + 1));
        text += &format!("[[tasks]]\nname = \"{name}\"\ndoes = [\"fork {next} x2\"]\n");
    }
    text += &format!("[[tasks]]\nname = \"{}\"\n", letter(40));
    let found = "found 131071 tasks in all, expected 65536 or fewer";
    assert!(message(&text).ends_with(found), "{}", message(&text));
    // Each of these is small enough, but both start at boot.
    let two =
        "[[tasks]]\nname = \"p\"\ndoes = [\"fork c x40000\"]\n[[tasks]]\nname = \"q\"\ndoes = [\"fork c x40000\"]\n";
    assert_eq!(
        message(&format!("name = \"x\"\n{two}[[tasks]]\nname = \"c\"\n")),
        "s.toml:2:1: found 80002 tasks in all, expected 65536 or fewer"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_without_a_line() {
    let read = |path: &Path| ScenarioFile::read(path, &KNOWN).expect_err("no scenario").to_string();
    assert_eq!(read(Path::new("no/such.toml")), "no/such.toml: found no such file, expected a scenario (TOML)");
    assert_eq!(read(Path::new("/")), "/: found a directory, expected a scenario (TOML)");
    let file = tempfile::NamedTempFile::new().expect("a file for the test");
    std::fs::write(file.path(), b"# one\nname = \"\xe9\"").expect("it is ours");
    let name = file.path().display();
    assert_eq!(read(file.path()), format!("{name}:2:9: found byte 0xe9, expected UTF-8 text"));
    std::fs::write(file.path(), vec![b'#'; (1 << 20) + 1]).expect("it is ours");
    assert_eq!(read(file.path()), format!("{name}: found more than 1048576 bytes, expected a scenario (TOML)"));
}
