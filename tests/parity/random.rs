//! Any sequence of what listeners and a sender can do: every answer, and every charge after it, on both arms.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use uevent::Config;

use super::arm::{Arm, Ask, GROUP, Got, Sent, To};
use super::kernel::{Kernel, apart, may_force};
use super::simulator::Simulator;

/// An ear is named by any number: that of the open ones, counted round.
#[derive(Clone, Debug)]
enum Step {
    Open(u32, Ask),
    Ask(usize, Ask),
    Close(usize),
    Send(u32, usize),
    SendTo(usize, usize),
    Receive(usize, usize),
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        1 => Just(Ask::Default),
        6 => (0..6000).prop_map(Ask::Rcvbuf),
        1 => (0..40_000).prop_map(Ask::Rcvbuf),
        2 => (-10..6000).prop_map(Ask::Force),
    ]
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1..300usize, 2 => 1..1800usize, 1 => 0..9000usize]
}

fn groups() -> impl Strategy<Value = u32> {
    (1..8u32).prop_map(|three| three * GROUP)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (groups(), ask()).prop_map(|(groups, ask)| Step::Open(groups, ask)),
        1 => (0..9usize, ask()).prop_map(|(ear, ask)| Step::Ask(ear, ask)),
        1 => (0..9usize).prop_map(Step::Close),
        12 => (groups(), len()).prop_map(|(groups, len)| Step::Send(groups, len)),
        3 => (0..9usize, len()).prop_map(|(ear, len)| Step::SendTo(ear, len)),
        6 => (0..9usize, 1..6usize).prop_map(|(ear, times)| Step::Receive(ear, times)),
    ]
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Sent(Sent),
    Got(Vec<Got>),
}

/// Open ears by their number in an arm, which may have had others before.
fn act(arm: &mut dyn Arm, open: &mut Vec<usize>, step: &Step, fill: u8) -> Answer {
    let of = |open: &Vec<usize>, ear: usize| open.get(ear % open.len().max(1)).copied();
    match *step {
        Step::Open(groups, ask) => open.push(arm.open(groups, ask)),
        Step::Ask(ear, ask) => of(open, ear).into_iter().for_each(|ear| arm.ask(ear, ask)),
        Step::Close(ear) => {
            if let Some(ear) = of(open, ear) {
                arm.close(ear);
                open.retain(|other| *other != ear);
            }
        }
        Step::Send(groups, len) => return Answer::Sent(arm.send(To::Groups(groups), len, fill)),
        Step::SendTo(ear, len) => {
            if let Some(ear) = of(open, ear) {
                return Answer::Sent(arm.send(To::Ear(ear), len, fill));
            }
        }
        Step::Receive(ear, times) => {
            if let Some(ear) = of(open, ear) {
                return Answer::Got((0..times).map(|_| arm.receive(ear)).collect());
            }
        }
    }
    Answer::Done
}

#[test]
fn no_sequence_of_steps_tells_the_simulator_from_the_kernel() {
    if !may_force() {
        return;
    }
    apart(|| Kernel::new().map(|(kernel, config)| compare(kernel, &config)));
}

fn compare(kernel: Kernel, config: &Config) {
    let kernel = RefCell::new(kernel);
    let steps = proptest::collection::vec(step(), 1..80);
    let cases = Cases { cases: 400, failure_persistence: None, ..Cases::default() };
    TestRunner::new(cases)
        .run(&steps, |steps| {
            let (mut simulator, mut kernel) = (Simulator::new(config.clone()), kernel.borrow_mut());
            let (mut simulated, mut real) = (Vec::new(), Vec::new());
            let mut differ = None;
            for (n, step) in steps.iter().enumerate() {
                let left = act(&mut simulator, &mut simulated, step, n as u8);
                let right = act(&mut *kernel, &mut real, step, n as u8);
                let left_mem: Vec<_> = simulated.iter().map(|ear| simulator.meminfo(*ear)).collect();
                let right_mem: Vec<_> = real.iter().map(|ear| kernel.meminfo(*ear)).collect();
                if (&left, &left_mem) != (&right, &right_mem) {
                    differ = Some(format!("step {n}, {step:?}\n{left:?} {left_mem:?}\n{right:?} {right_mem:?}"));
                    break;
                }
            }
            real.iter().for_each(|ear| kernel.close(*ear));
            differ.map_or(Ok(()), |differ| Err(TestCaseError::fail(differ)))
        })
        .unwrap_or_else(|error| panic!("simulator and kernel differ: {error}"));
}
