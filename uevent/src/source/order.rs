//! Numbers that should follow each other: what a gap in them tells.

use std::collections::BTreeMap;
use std::fmt;

use super::Loss;

/// Whose numbers: each stream counts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// `SEQNUM=` of uevents, one counter for the machine.
    Seqnum,
    /// `cn_msg.seq` of process events, one counter for each CPU, 32 bits wide.
    Cpu(u32),
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream::Seqnum => f.write_str("SEQNUM"),
            Stream::Cpu(cpu) => write!(f, "CPU {cpu}"),
        }
    }
}

/// The next number of each stream that was heard.
///
/// The first number of a stream tells nothing: what came before was before the listener. A number that was there
/// already is a repetition or comes late, and moves nothing.
///
/// # What a gap means
/// For process events, a loss: every listener gets every number, unless it asked for some kinds of event only. For
/// uevents, a loss or a message for another network namespace: both count.
///
/// ```
/// use forklab_uevent::source::{Loss, Order, Stream};
///
/// let mut order = Order::default();
/// assert_eq!(order.saw(Stream::Seqnum, 7), None);
/// assert_eq!(order.saw(Stream::Seqnum, 8), None);
/// let gap = order.saw(Stream::Seqnum, 11).expect("9 and 10 are missing");
/// assert_eq!(gap.count(), Some(2));
/// assert_eq!(order.saw(Stream::Seqnum, 9), None); // late
/// assert_eq!(order.saw(Stream::Seqnum, 12), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Order(BTreeMap<Stream, u64>);

impl Order {
    /// Takes the next number of a stream; returns the gap before it, if there is one.
    pub fn saw(&mut self, stream: Stream, number: u64) -> Option<Loss> {
        let Some(&expected) = self.0.get(&stream) else {
            self.0.insert(stream, next(stream, number));
            return None;
        };
        let missing = distance(stream, expected, number)?;
        self.0.insert(stream, next(stream, number));
        // `expected + missing`, so that the count is right when 32 bits have wrapped.
        (missing > 0).then_some(Loss::Gap { stream, expected, found: expected + missing })
    }

    /// Forgets every number: after a resynchronisation, what is missing is known.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

fn next(stream: Stream, number: u64) -> u64 {
    match stream {
        Stream::Seqnum => number.wrapping_add(1),
        Stream::Cpu(_) => u64::from((number as u32).wrapping_add(1)),
    }
}

/// How far `number` is ahead of `expected`; none if it is behind.
fn distance(stream: Stream, expected: u64, number: u64) -> Option<u64> {
    match stream {
        Stream::Seqnum => number.checked_sub(expected),
        // Half of the range ahead, half behind, as the kernel compares jiffies.
        Stream::Cpu(_) => {
            let ahead = (number as u32).wrapping_sub(expected as u32);
            (ahead.cast_signed() >= 0).then_some(u64::from(ahead))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_two_bits_of_a_cpu_wrap_without_a_gap() {
        let mut order = Order::default();
        assert_eq!(order.saw(Stream::Cpu(0), u64::from(u32::MAX)), None);
        assert_eq!(order.saw(Stream::Cpu(0), 0), None);
        assert_eq!(order.saw(Stream::Cpu(0), 3).and_then(Loss::count), Some(2));
    }

    #[test]
    fn a_gap_across_the_wrap_has_its_true_size() {
        let mut order = Order::default();
        assert_eq!(order.saw(Stream::Cpu(0), u64::from(u32::MAX) - 1), None);
        assert_eq!(order.saw(Stream::Cpu(0), 1).and_then(Loss::count), Some(2));
    }

    #[test]
    fn each_cpu_counts_by_itself() {
        let mut order = Order::default();
        assert_eq!(order.saw(Stream::Cpu(0), 5), None);
        assert_eq!(order.saw(Stream::Cpu(1), 900), None);
        assert_eq!(order.saw(Stream::Cpu(0), 6), None);
        assert_eq!(order.saw(Stream::Cpu(1), 902).and_then(Loss::count), Some(1));
    }

    #[test]
    fn what_repeats_or_comes_late_moves_nothing() {
        let mut order = Order::default();
        for number in [5, 6, 6, 5] {
            assert_eq!(order.saw(Stream::Seqnum, number), None);
        }
        assert_eq!(order.saw(Stream::Seqnum, 7), None);
    }
}
