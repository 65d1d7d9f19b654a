//! The two consumers of `examples/`: the naive one breaks each law but one, for the reason that its page gives; the robust
//! one keeps all.

#[allow(dead_code)] // its main() is run elsewhere
#[path = "../examples/naive_consumer.rs"]
mod naive_consumer;
#[allow(dead_code)] // as above
#[path = "../examples/robust_consumer.rs"]
mod robust_consumer;

use std::path::Path;

use forklab::testkit::{Format, Script, laws, strategy};
use naive_consumer::Naive;
use proptest::strategy::Strategy as _;
use robust_consumer::Robust;

#[test]
fn the_naive_consumer_breaks_each_law_but_calm_and_the_shortest_script_says_why() {
    let mut shown = String::new();
    for law in laws::all(Format::Process) {
        match law.check(Naive::default) {
            Ok(count) => shown += &format!("{:12} holds in {count} scripts\n", law.name),
            Err(broken) => {
                shown += &format!("{:12} {}\n{:12} {}\n", law.name, broken.script, "", broken.wrong[0]);
            }
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn the_page_of_the_naive_consumer_names_every_law() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/naive_consumer.rs"));
    let page = page.expect("the example");
    for law in laws::all(Format::Process) {
        assert!(page.contains(&format!("`{}`", law.name)), "{}", law.name);
    }
}

#[test]
fn the_robust_consumer_keeps_every_law() {
    let count = laws::check_all(Robust::default).unwrap();
    assert_eq!(count, 36_808);
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    assert!(readme.contains("36,808 scripts"));
}

proptest::proptest! {
    #[test]
    fn the_robust_consumer_stands_any_script(script in strategy::script(Format::Process)) {
        laws::check_script(&script, Robust::default)?;
    }

    #[test]
    fn the_robust_consumer_keeps_every_law_in_longer_scripts(
        (law, script) in proptest::sample::select(laws::all(Format::Process))
            .prop_flat_map(|law| (proptest::strategy::Just(law.clone()), law.strategy()))
    ) {
        law.run(&script, &Robust::default)?;
    }
}

#[test]
fn a_broken_law_is_a_page_whose_last_line_brings_it_back() {
    let broken = laws::overrun(Format::Process).check(Naive::default).unwrap_err();
    insta::assert_snapshot!(broken.to_string());
    for broken in laws::all(Format::Process).iter().filter_map(|law| law.check(Naive::default).err()) {
        let pasted = Script::from_line(&broken.script.to_string()).unwrap();
        let again = laws::check_script(&pasted, Naive::default).unwrap_err();
        assert_eq!(again.wrong, broken.wrong);
    }
}

#[test]
fn the_examples_are_short() {
    for example in ["naive_consumer", "robust_consumer"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join(format!("examples/{example}.rs"))).expect("the example");
        assert!(text.lines().count() < 150, "{example}: {} lines", text.lines().count());
    }
}
