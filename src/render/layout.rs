//! The memory of one message, byte by byte: slots, buffers, the socket buffer before and after it was trimmed.
//!
//! Every number is measured: [`layout_fork`] and [`layout_hotplug`] run the modelled functions on a machine with one
//! listener, and read the sizes from the allocations and the broadcast in its trace, and the trimmed buffer from the
//! listener's queue. Three things stand in no trace and are taken from the model's constants instead: the two strings
//! that fill the slots that are never sent, the 32 bytes of each pid buffer, and the 312 bytes of `skb_shared_info`.
//!
//! What programs of today make of the bytes is a record of what they said: [`Consumers`].

mod consumers;
mod draw;
mod measure;
mod parts;

use serde::{Serialize, Serializer};
use sim::{Value, Violation};

pub use consumers::{Answer, Consumer, Consumers, Heard, Verdict};
pub use measure::{LayoutError, MachineConstants, layout_fork, layout_hotplug};

/// What the memory of one message looks like. `Display` draws it in at most 80 columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// What happened: `do_fork(): 100 made 101`.
    pub title: String,
    /// The function that made the environment.
    pub by: &'static str,
    /// The pointer table: how many bytes were allocated for it, and in which size class.
    pub table: Allocation,
    /// How many slots it has, the unused ones included.
    pub slot_count: usize,
    /// The slots up to the first that is NULL, and that one.
    pub slots: Vec<SlotRow>,
    /// The buffers that the slots point into.
    pub buffers: Vec<BufferRow>,
    /// The socket buffer, and the message in it.
    pub skb: SkbRow,
    /// The rules that the kernel broke over this message, and sent it all the same.
    pub violations: Vec<Violation>,
}

/// Memory from `kmalloc()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Allocation {
    /// Bytes asked for.
    pub size: u32,
    /// Bytes of the general cache that served it; `None` beyond the largest.
    pub size_class: Option<u32>,
}

/// One slot of the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotRow {
    /// Which one, from 0.
    pub index: usize,
    /// Whether its string is sent.
    pub sent: bool,
    /// Where it points: `ppid[32]`, `buffer + 0x0b`, `NULL`.
    pub points_to: String,
    /// The string, its NUL included; empty for NULL.
    pub string: Text,
    /// What becomes of it.
    pub note: &'static str,
}

/// A buffer that environment strings are written into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BufferRow {
    /// Its name in the C function.
    pub name: &'static str,
    /// `stack`, or the size class that it was allocated from.
    pub place: String,
    /// Bytes.
    pub capacity: usize,
    /// What was written, in order; between two pieces lie bytes that nobody wrote.
    pub pieces: Vec<Piece>,
    /// How many bytes past its capacity were written.
    pub overflow: usize,
}

/// Bytes written at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// From where.
    pub offset: usize,
    /// How many bytes were set aside for it.
    pub reserved: usize,
    /// What was written.
    pub bytes: Text,
}

/// The socket buffer of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkbRow {
    /// What `alloc_skb()` was asked for: header and room for the environment.
    pub alloc_size: u32,
    /// Bytes of `struct sk_buff`, a separate allocation.
    pub head_size: u32,
    /// Bytes of the message up to and with its first NUL.
    pub header_len: usize,
    /// Bytes of the message.
    pub len: usize,
    /// The message.
    pub bytes: Text,
    /// Bytes of `skb_shared_info` behind the data area.
    pub shared_info: u32,
    /// As it was sent.
    pub sent: Area,
    /// As it was queued, if `netlink_trim()` found it worth while.
    pub trimmed: Option<Area>,
}

/// One data area of a socket buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Area {
    /// Bytes between `skb->head` and `skb->end`.
    pub data_area: u32,
    /// Bytes of it behind the message.
    pub tail_room: u32,
    /// The memory that holds it and `skb_shared_info`.
    pub kmalloc: Allocation,
    /// What a receiver is charged.
    pub truesize: u32,
}

/// Bytes of any content, serialised as text with visible NULs: `fork@/fork_kobj\0`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Text(pub Vec<u8>);

impl Text {
    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&Value::shown(&self.0))
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
