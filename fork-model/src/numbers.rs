//! What a listener learns from the numbers of the events it heard.

use std::collections::{BTreeMap, BTreeSet};

use crate::design::Seq;

/// Missing numbers that are kept one by one, to tell a late one from a double one.
const MOST_KEPT: usize = 4096;

/// The numbers that a listener has heard, each CPU's apart if they are counted apart.
///
/// What was lost before the first number that it heard it cannot know, nor what was lost behind the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    of: BTreeMap<Option<u32>, Count>,
    /// Numbers that came twice.
    pub doubles: u64,
    /// Numbers that came after a higher one.
    pub late: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count {
    lowest: u32,
    highest: u32,
    missing: BTreeSet<u32>,
    /// Missing ones beyond [`MOST_KEPT`].
    more: u64,
}

impl Numbers {
    /// One more number.
    pub fn hear(&mut self, seq: Seq) {
        let Some(count) = self.of.get_mut(&seq.cpu) else {
            self.of.insert(seq.cpu, Count { lowest: seq.number, highest: seq.number, ..Count::default() });
            return;
        };
        if seq.number > count.highest {
            let gap = count.highest + 1..seq.number;
            let room = MOST_KEPT.saturating_sub(count.missing.len());
            count.more += u64::from(gap.end - gap.start).saturating_sub(room as u64);
            count.missing.extend(gap.take(room));
            count.highest = seq.number;
        } else if seq.number < count.lowest || count.missing.remove(&seq.number) {
            count.lowest = count.lowest.min(seq.number);
            self.late += 1;
        } else {
            self.doubles += 1;
        }
    }

    /// Numbers that the listener knows it has not heard.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.of.values().map(|count| count.missing.len() as u64 + count.more).sum()
    }

    /// Whether the listener can tell that something went wrong.
    #[must_use]
    pub fn knows_it_lost_something(&self) -> bool {
        self.missing() > 0
    }
}
