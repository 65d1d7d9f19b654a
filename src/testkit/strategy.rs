//! Scripts for proptest: a failing test shrinks to the shortest hostile stream, and prints it as a line.
//!
//! ```no_run
//! # use forklab::testkit::{Arrival, Consumer, Truth, View};
//! # struct MyConsumer;
//! # impl MyConsumer { fn new() -> Self { Self } }
//! # impl Consumer for MyConsumer {
//! #     fn handle(&mut self, _: Arrival<'_>) {}
//! #     fn needs_resync(&self) -> bool { false }
//! #     fn resync(&mut self, _: &Truth) {}
//! #     fn view(&self) -> View { View::default() }
//! # }
//! use forklab::testkit::{Format, laws, strategy};
//!
//! proptest::proptest!(|(script in strategy::script(Format::Process))| {
//!     laws::check_script(&script, MyConsumer::new)?;
//! });
//! ```
//!
//! Steps are drawn that the format can tell apart: for [`Format::Bare`], which has no numbers, none that loses, repeats or
//! delays a message without notice. Steps that cannot happen do not, so that every part of a script is a script.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::laws::Law;
use super::script::{Format, Script};
use super::step::{Birth, Device, Step, Task};

/// Steps that a script has at most.
const LONGEST: usize = 24;

/// Any script of this format, up to 24 steps.
pub fn script(format: Format) -> impl Strategy<Value = Script> {
    vec(step(format), 0..=LONGEST).prop_map(move |steps| Script::new(format, steps))
}

impl Law {
    /// Longer scripts of this law than [`Law::check`] tries: up to 16 of its atoms.
    pub fn strategy(&self) -> impl Strategy<Value = Script> + use<> {
        let law = self.clone();
        vec(select(self.atoms.clone()), 1..=16).prop_map(move |atoms| law.script(&atoms))
    }
}

/// Any step that scripts of this format have.
pub fn step(format: Format) -> BoxedStrategy<Step> {
    let events = match format {
        Format::Uevents => device_event().boxed(),
        _ => process_event().boxed(),
    };
    let about = match format {
        Format::Bare => told().boxed(),
        _ => prop_oneof![2 => told(), 1 => untold()].boxed(),
    };
    prop_oneof![4 => events, 2 => about, 1 => reader()].boxed()
}

fn cpu() -> impl Strategy<Value = u32> {
    0..2_u32
}

/// A fork, a thread, a vfork told late, an exit told before its fork, a pid used again.
pub fn birth() -> impl Strategy<Value = Step> {
    let birth =
        (prop_oneof![Just(1), 10..15], 10..15, cpu()).prop_map(|(parent, child, cpu)| Birth { parent, child, cpu });
    (birth, 0..9).prop_map(|(birth, kind)| match kind {
        0..5 => Step::Fork(birth),
        5 => Step::Reuse(birth),
        6 => Step::EarlyExit(birth),
        7 => Step::Vfork(birth),
        _ => Step::Thread(birth),
    })
}

/// What processes do.
pub fn process_event() -> impl Strategy<Value = Step> {
    let task = || (10..15, cpu()).prop_map(|(pid, cpu)| Task { pid, cpu });
    prop_oneof![4 => birth(), 1 => task().prop_map(Step::Exec), 3 => task().prop_map(Step::Exit)]
}

/// What happens to devices.
pub fn device_event() -> impl Strategy<Value = Step> {
    let path = || select(vec!["/devices/a", "/devices/a/b", "/devices/i2c@40"]).prop_map(str::to_owned);
    let device = || (path(), cpu()).prop_map(|(path, cpu)| Device { path, cpu });
    prop_oneof![
        3 => device().prop_map(Step::Add),
        2 => device().prop_map(Step::Remove),
        1 => device().prop_map(Step::Change),
        1 => (device(), path()).prop_map(|(device, to)| Step::Move(device, to)),
    ]
}

/// What befalls a message, and the reader is told or can see it.
pub fn told() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Overrun),
        (1..5_u16).prop_map(Step::Congested),
        (0..80_u16).prop_map(Step::Cut),
        select(vec![240_u16, 4096, 9000]).prop_map(Step::Big),
        Just(Step::NonUtf8),
        Just(Step::Spoof),
        (0..10_u16).prop_map(Step::Garbage),
    ]
}

/// What befalls a message, and numbers alone can show it.
pub fn untold() -> impl Strategy<Value = Step> {
    prop_oneof![(1..4_u16).prop_map(Step::Lose), (0..4_u16).prop_map(Step::Dup), (1..4_u16).prop_map(Step::Late)]
}

/// What the reader does: it sleeps, it looks at `/proc` for a while, or there is nothing.
pub fn reader() -> impl Strategy<Value = Step> {
    prop_oneof![(1..6_u16).prop_map(Step::Burst), (1..3_u16).prop_map(Step::During), (1..6_u16).prop_map(Step::Silence),]
}
