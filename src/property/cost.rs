//! Who pays, and how much?

use fork_model::facts::Outcome;

use crate::property::{Case, broken, property};

property! {
    /// With nobody listening, a fork pays for no allocation.
    P1 "all is set up and dropped when nobody listens", Cost;
    said: ["2005-02-11" "Andrew Morton" "20050211005446.081aa075.akpm@osdl.org"];
    rules: [];
    cases: [Case::of("nobody")];
    fn p1(run) {
        let nobody = run.observed.world.listeners.is_empty();
        let Some(told) = run.told().find(|told| nobody && told.allocs > 0) else { return Ok(()) };
        let answer = match told.outcome {
            Outcome::Sent(Err(errno)) => format!(", to be answered {errno}"),
            _ => String::new(),
        };
        let (child, allocs, bytes, steps) = (told.child_true, told.allocs, told.bytes, told.steps);
        broken(
            told.step,
            format!("nobody listens, and the fork of {child} paid for {allocs} allocations of {bytes} bytes in {steps} steps{answer}"),
        )
    }
}
