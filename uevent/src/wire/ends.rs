//! Every `=` and NUL of a message: the two bytes at which its parts end.

/// Iterates over the positions of `=` and NUL, eight bytes at a time.
///
/// Why not `memchr2_iter`, which gives the same positions: it begins anew at each hit, and here one byte in ten is a hit.
/// With the hits of a word kept in a mask, reading a message takes about as long as `memchr2_iter` takes to walk over
/// it and do nothing: see `memchr2_scan` in `benches/wire.rs`.
#[derive(Clone, Debug)]
pub(super) struct Ends<'a> {
    rest: &'a [u8],
    /// How many bytes were taken from the front of the message, the padding of the last word included.
    taken: usize,
    /// The high bit of each byte that is a hit and was not given out yet, in the word taken last.
    hits: u64,
}

impl<'a> Ends<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, taken: 0, hits: 0 }
    }

    fn take_word(&mut self) -> Option<u64> {
        let word = if let Some((word, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            *word
        } else if self.rest.is_empty() {
            return None;
        } else {
            // Padding must be no hit.
            let mut word = [b'.'; 8];
            word[..self.rest.len()].copy_from_slice(self.rest);
            self.rest = &[];
            word
        };
        self.taken += word.len();
        // The first byte is the lowest, on every host.
        Some(u64::from_le_bytes(word))
    }
}

impl Iterator for Ends<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.hits == 0 {
            let word = self.take_word()?;
            self.hits = zero_bytes(word) | zero_bytes(word ^ u64::from_ne_bytes([b'='; 8]));
        }
        let byte = self.hits.trailing_zeros() as usize / 8;
        // Clears the lowest bit that is set.
        self.hits &= self.hits - 1;
        Some(self.taken - 8 + byte)
    }
}

/// Sets the high bit of each byte that is zero, and no other bit.
fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    // Adding 0x7f sets the high bit unless the low seven bits are zero, and never carries into the next byte.
    !(((word & LOW) + LOW) | word | LOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_memchr_finds(bytes in proptest::collection::vec(
            prop_oneof![Just(0), Just(b'='), Just(0x80), Just(0xbd), Just(1), any::<u8>()],
            0..50,
        )) {
            let ours: Vec<_> = Ends::new(&bytes).collect();
            let memchr: Vec<_> = memchr::memchr2_iter(b'=', 0, &bytes).collect();
            prop_assert_eq!(ours, memchr);
        }
    }
}
