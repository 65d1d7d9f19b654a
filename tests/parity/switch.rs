//! The count of who listens, as the simulator has it: that of 2.6.15.

use forklab::lab::observe::observe;
use forklab::lab::spec::{Source, Spec, parse_scenario};
use sim::Calm;

/// What the last listener hears of forks, `control` being what each listener says.
fn heard(controls: &[&str], forks: usize) -> u64 {
    // Who waits lets the others run.
    let forks = vec![r#""fork c", "wait""#; forks].join(", ");
    let mut text = format!(
        "name = \"switch\"\n[design]\nhook = \"before-wake\"\ngate = \"counter\"\nformat = \"connector-struct\"\n\
         sequence = \"per-cpu\"\n[[tasks]]\nname = \"p\"\ndoes = [{forks}]\n\
         [[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n"
    );
    for (name, control) in ["a", "b", "z"].into_iter().zip(controls) {
        text += &format!("[[listeners]]\nname = \"{name}\"\ngroups = 1\ncontrol = [{control}]\n");
    }
    let scenario = parse_scenario("switch", &text).unwrap_or_else(|error| panic!("{error}"));
    let setup = Spec::new(Source::BuiltIn("switch".to_owned())).setup(Some(&scenario));
    let seen = observe(&setup, &scenario, &[], Calm).expect("there is room");
    let last = seen.world.listeners.last().expect("one at least");
    last.heard.borrow().received
}

/// A listener died after one fork; a bystander hears of later ones.
pub fn goes_on_after_a_death() -> bool {
    heard(&[r#""listen", "die after 1""#, ""], 3) == 3
}

/// The same, and a third says IGNORE after two.
pub fn goes_on_after_a_stranger_s_ignore() -> bool {
    heard(&[r#""listen", "die after 1""#, r#""ignore after 2""#, ""], 6) == 6
}

/// Somebody says IGNORE who never listened; then somebody listens.
pub fn hears_after_a_first_ignore() -> bool {
    heard(&[r#""ignore""#, r#""listen""#], 3) == 3
}

#[test]
fn the_simulated_count_outlives_a_listener_obeys_a_stranger_and_has_no_floor() {
    assert!(goes_on_after_a_death());
    assert!(!goes_on_after_a_stranger_s_ignore());
    assert!(!hears_after_a_first_ignore());
}
