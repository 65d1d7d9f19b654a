//! How many messages a listener survives: over lengths and buffers, the same number on both arms.

use uevent::MemInfo;

use super::arm::{Arm, Ask, GROUP, Got, Sent, To};
use super::both::{in_2005, may_force, on_both};

/// Around each edge of a size class, with and without wireless LAN in the kernel (256, 320), and some between.
const LENGTHS: [usize; 40] = [
    1, 2, 24, 26, 60, 64, 65, 76, 128, 192, 255, 256, 257, 320, 321, 512, 640, 703, 704, 705, 1023, 1024, 1025, 1400,
    1727, 1728, 1729, 2048, 3000, 3775, 3776, 3777, 4096, 5000, 7871, 7872, 7873, 8000, 16064, 16065,
];

/// Below, at and above the floor; at and beside a whole number of messages; defaults; large ones.
const ASKS: [Ask; 26] = [
    Ask::Default,
    Ask::Rcvbuf(0),
    Ask::Rcvbuf(1),
    Ask::Rcvbuf(128),
    Ask::Rcvbuf(256),
    Ask::Rcvbuf(1151),
    Ask::Rcvbuf(1152),
    Ask::Rcvbuf(1153),
    Ask::Rcvbuf(1247),
    Ask::Rcvbuf(1248),
    Ask::Rcvbuf(1249),
    Ask::Rcvbuf(2304),
    Ask::Rcvbuf(4096),
    Ask::Rcvbuf(4223),
    Ask::Rcvbuf(4224),
    Ask::Rcvbuf(8320),
    Ask::Rcvbuf(10_000),
    Ask::Rcvbuf(65_536),
    Ask::Rcvbuf(106_496),
    Ask::Rcvbuf(212_992),
    Ask::Rcvbuf(1 << 20),
    Ask::Force(0),
    Ask::Force(1),
    Ask::Force(1152),
    Ask::Force(5120),
    Ask::Force(425_984),
];

/// Enough to fill 2 MiB with the smallest charge.
const MOST: usize = 2600;

/// What a listener lives through that does not read until it has lost something.
#[derive(Debug, PartialEq, Eq)]
struct Life {
    rcvbuf: u32,
    /// `sk_rmem_alloc` after each message, up to the first that was lost.
    rmem: Vec<u32>,
    /// After three more messages.
    overrun: MemInfo,
    /// What it reads then.
    got: Vec<Got>,
    /// After it has drained its queue, and one message more.
    drained: MemInfo,
    last: Vec<Got>,
}

impl Life {
    /// Messages that it survives: that were queued before the first was lost.
    fn survives(&self) -> usize {
        self.rmem.len() - 1
    }
}

fn drain(arm: &mut dyn Arm, ear: usize) -> Vec<Got> {
    let mut got = vec![arm.receive(ear)];
    while *got.last().expect("one at least") != Got::Nothing {
        got.push(arm.receive(ear));
    }
    got
}

fn life(arm: &mut dyn Arm, len: usize, ask: Ask) -> Life {
    let ear = arm.open(GROUP, ask);
    let rcvbuf = arm.meminfo(ear).rcvbuf;
    let mut rmem = Vec::new();
    for n in 0..MOST {
        assert_eq!(arm.send(To::Groups(GROUP), len, n as u8), Sent::Accepted);
        let info = arm.meminfo(ear);
        rmem.push(info.rmem_alloc);
        if info.drops > 0 {
            break;
        }
    }
    assert!(rmem.len() < MOST, "{len} bytes, {ask:?}: nothing was lost");
    for len in [1, 1, len] {
        arm.send(To::Groups(GROUP), len, 0xee);
    }
    let overrun = arm.meminfo(ear);
    let got = drain(arm, ear);
    arm.send(To::Groups(GROUP), len, 0xff);
    let drained = arm.meminfo(ear);
    let last = drain(arm, ear);
    arm.close(ear);
    Life { rcvbuf, rmem, overrun, got, drained, last }
}

fn cells() -> impl Iterator<Item = (usize, Ask)> {
    LENGTHS.into_iter().flat_map(|len| ASKS.into_iter().map(move |ask| (len, ask)))
}

#[test]
#[cfg(all(feature = "netlink", target_os = "linux"))]
fn a_listener_survives_the_same_number_of_messages_in_the_simulator_and_in_the_kernel() {
    if !may_force() {
        return;
    }
    super::kernel::apart(|| super::kernel::Kernel::new().map(|(kernel, config)| compare(kernel, &config)));
}

#[cfg(all(feature = "netlink", target_os = "linux"))]
fn compare(mut kernel: super::kernel::Kernel, config: &uevent::Config) {
    use super::simulator::Simulator;
    let (mut compared, mut messages) = (0, 0);
    for (len, ask) in cells() {
        let simulated = life(&mut Simulator::new(config.clone()), len, ask);
        let measured = life(&mut kernel, len, ask);
        let numbers = (simulated.survives(), measured.survives());
        assert!(numbers.0 == numbers.1, "{len} bytes, {ask:?}: {numbers:?} survived, simulator and kernel");
        assert_eq!(simulated, measured, "{len} bytes, {ask:?}; left: the simulator, right: the kernel");
        compared += 1;
        messages += measured.rmem.len();
    }
    eprintln!("{compared} pairs of length and buffer, {messages} messages");
}

#[test]
fn an_era_s_own_arithmetic_says_how_many_messages_a_listener_survives() {
    // The default buffer, by hand: 212992 / 832 = 256 exactly; 2.6.11 has charged 256 and admits one over the limit.
    let survives = |len| move |arm: &mut dyn Arm| life(arm, len, Ask::Default).survives();
    assert_eq!([1, 24, 257, 705].map(|len| on_both(survives(len))), [256, 256, 166, 92]);
    assert_eq!([1, 24, 257, 705].map(|len| in_2005(survives(len))), [423, 423, 227, 125]);
}

#[test]
fn an_empty_queue_takes_a_message_of_any_size() {
    let one = |arm: &mut dyn Arm| life(arm, 8000, Ask::Rcvbuf(0)).survives();
    assert_eq!(on_both(one), 1);
    assert_eq!(in_2005(one), 1);
}

#[test]
fn what_setsockopt_makes_of_a_number() {
    fn made<const N: usize>(asks: [Ask; N]) -> impl Fn(&mut dyn Arm) -> [u32; N] {
        move |arm| {
            let ear = arm.open(GROUP, Ask::Default);
            asks.map(|ask| {
                arm.ask(ear, ask);
                arm.meminfo(ear).rcvbuf
            })
        }
    }
    let plain = [0, 1, 1152, 1153, 100_000].map(Ask::Rcvbuf);
    assert_eq!(on_both(made(plain)), [2304, 2304, 2304, 2306, 200_000]);
    assert_eq!(in_2005(made(plain)), [256, 256, 2304, 2306, 200_000]);
    // What is over rmem_max depends on it: the same on both, whatever it is.
    on_both(made([-1, i32::MIN, i32::MAX, 4 << 20, 5 << 20].map(Ask::Rcvbuf)));
    let force = [-1, 0, 1153, i32::MAX].map(Ask::Force);
    if may_force() {
        assert_eq!(on_both(made(force)), [2304, 2304, 2306, 0x7fff_fffe]);
    }
}
