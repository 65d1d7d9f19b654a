//! `do_fork()` and `fork_idle()`: whole forks, from the pid to the event.

mod calls;
mod case;
mod input;
mod stubs;

use crate::harness;

#[test]
fn every_recorded_fork_takes_the_same_steps_and_tells_the_same() {
    harness::check("do_fork", case::run);
}
