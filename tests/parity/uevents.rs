//! The same for messages of the kernel itself: uevents of a device that this test asks for.

use std::fs;

use uevent::{Config, MemInfo};

use super::arm::{Arm, Ask, Got};
use super::kernel::{Kernel, apart};
use super::simulator::Simulator;
use super::tools::skip;

/// Whose uevents: `/dev/null`, which nobody minds to hear of.
const UEVENT: &str = "/sys/devices/virtual/mem/null/uevent";
/// By which they are known.
const UUID: &str = "b10c0de5-f04c-4a11-8ab5-2005021100ff";
/// Uevents of other devices, and numbers that get one digit longer, make a cell void; so often it is tried.
const TRIES: usize = 20;

/// Characters of arguments: messages from under 256 bytes to over 1,728.
const ARGS: [usize; 12] = [1, 20, 40, 45, 50, 60, 100, 300, 480, 520, 1000, 1500];
const ASKS: [Ask; 5] = [Ask::Rcvbuf(0), Ask::Rcvbuf(1248), Ask::Rcvbuf(4096), Ask::Force(20_000), Ask::Force(60_000)];

/// Asks the kernel for one uevent with so many characters of arguments. DIFFERENCE between kernels: since 4.13.
fn trigger(characters: usize) -> std::io::Result<()> {
    let mut text = format!("change {UUID}");
    let mut left = characters;
    for n in 0.. {
        let now = left.min(200);
        text += &format!(" K{n:02}={}", "a".repeat(now));
        left -= now;
        if left == 0 {
            break;
        }
    }
    fs::write(UEVENT, text)
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    rmem: Vec<u32>,
    overrun: MemInfo,
    /// Lengths of what was received, 0 for a loss.
    got: Vec<usize>,
}

fn finish(arm: &mut dyn Arm, ear: usize, rmem: Vec<u32>) -> Seen {
    let overrun = arm.meminfo(ear);
    let mut got = Vec::new();
    loop {
        match arm.receive(ear) {
            Got::Message { len, .. } => got.push(len),
            Got::Lost => got.push(0),
            Got::Nothing => break,
        }
    }
    arm.close(ear);
    Seen { rmem, overrun, got }
}

/// Messages until one is lost, and one more.
fn fill(arm: &mut dyn Arm, ear: usize, mut send: impl FnMut(&mut dyn Arm)) -> Vec<u32> {
    let mut rmem = Vec::new();
    while arm.meminfo(ear).drops == 0 {
        send(arm);
        rmem.push(arm.meminfo(ear).rmem_alloc);
    }
    send(arm);
    rmem
}

/// The kernel's answer, and how long its messages were; `None` if somebody else's came between.
fn measure(kernel: &mut Kernel, characters: usize, ask: Ask) -> Option<(usize, Seen)> {
    let ear = kernel.open(1, ask);
    let mut sent = 0;
    let rmem = fill(kernel, ear, |_| {
        sent += 1;
        trigger(characters).expect("it could be written before");
    });
    let seen = finish(kernel, ear, rmem);
    let (loss, messages) = seen.got.split_first()?;
    let len = *messages.first()?;
    let ours = *loss == 0 && messages.iter().all(|other| *other == len);
    let complete = messages.len() + seen.overrun.drops as usize == sent;
    (ours && complete).then_some((len, seen))
}

#[test]
fn the_kernel_s_own_uevents_are_charged_and_lost_alike() {
    let able = fs::metadata(UEVENT).is_ok() && trigger(1).is_ok();
    if !able && !skip("/sys/devices/virtual/mem/null/uevent cannot be written") {
        return;
    }
    apart(|| Kernel::of_uevents().map(|(kernel, config)| compare(kernel, &config)));
}

fn compare(mut kernel: Kernel, config: &Config) {
    let mut lengths = Vec::new();
    for (characters, ask) in ARGS.into_iter().flat_map(|args| ASKS.map(|ask| (args, ask))) {
        let measured = (0..TRIES).find_map(|_| measure(&mut kernel, characters, ask));
        let (len, measured) = measured.expect("a moment in which no other device speaks");
        let mut simulator = Simulator::of_uevents(config.clone());
        let ear = simulator.open(1, ask);
        let mut rmem = Vec::new();
        while simulator.meminfo(ear).drops == 0 {
            simulator.kernel_sends(len);
            rmem.push(simulator.meminfo(ear).rmem_alloc);
        }
        simulator.kernel_sends(len);
        let simulated = finish(&mut simulator, ear, rmem);
        assert_eq!(simulated, measured, "{len} bytes, {ask:?}; left: the simulator, right: the kernel");
        lengths.push(len);
    }
    assert!(lengths.iter().any(|len| *len <= 256) && lengths.iter().any(|len| *len > 1728), "{lengths:?}");
}
