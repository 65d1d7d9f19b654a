//! Slots and buffers of the two kinds of event, from the strings that were sent.

use uevent::kobject_uevent::{FORK_BUFFER_NB, FORK_BUFFER_SIZE};

use super::{Allocation, BufferRow, Piece, SlotRow, Text};

/// Bytes of a pointer on x86_64.
const POINTER: u32 = 8;
const SKIPPED: &str = "skipped by send_uevent()";
const SENT: &str = "sent";
const ENDS: &str = "ends the environment";

/// How many pointers fit into the table.
pub(super) fn slot_count(table: Allocation) -> usize {
    (table.size / POINTER) as usize
}

fn slot(index: usize, points_to: String, string: &[u8], note: &'static str) -> SlotRow {
    let string = if note == ENDS { Text::default() } else { terminated(string) };
    SlotRow { index, sent: note == SENT, points_to, string, note }
}

/// The string as C has it.
fn terminated(string: &[u8]) -> Text {
    Text([string, b"\0"].concat())
}

fn buffer_row(name: &'static str, place: String, capacity: usize, pieces: Vec<Piece>) -> BufferRow {
    let end = pieces.iter().map(|piece| piece.offset + piece.bytes.len()).max().unwrap_or(0);
    BufferRow { name, place, capacity, pieces, overflow: end.saturating_sub(capacity) }
}

/// `char ppid[32], cpid[32]` on the stack, and five slots of which two are sent.
pub(super) fn fork(message: &[u8]) -> (Vec<SlotRow>, Vec<BufferRow>) {
    let pids: Vec<_> = message.split(|byte| *byte == 0).skip(1).filter(|string| !string.is_empty()).collect();
    let names = ["ppid", "cpid"];
    let buffer = |(name, pid): (&'static str, &&[u8])| {
        let bytes = terminated(pid);
        let pieces = vec![Piece { offset: 0, reserved: bytes.len(), bytes }];
        buffer_row(name, "stack".into(), FORK_BUFFER_SIZE, pieces)
    };
    let buffers = names.into_iter().zip(&pids).map(buffer).collect();
    let mut slots: Vec<_> = (0..2).map(|index| slot(index, "a constant".into(), b"Not used", SKIPPED)).collect();
    let pids = names.into_iter().zip(&pids).enumerate();
    slots.extend(pids.map(|(i, (name, pid))| slot(i + 2, format!("{name}[{FORK_BUFFER_SIZE}]"), pid, SENT)));
    slots.push(slot(FORK_BUFFER_NB - 1, "NULL".into(), b"", ENDS));
    (slots, buffers)
}

/// `buffer` of 1,024 bytes: three strings, a place for `SEQNUM` that is filled last, then the subsystem's variables.
///
/// `left` is what `kobject_hotplug()` told the subsystem of the room behind that place: less than 0 when the
/// place ends behind the buffer.
pub(super) fn hotplug(env: &[Vec<u8>], buffer: Allocation, left: i64) -> (Vec<SlotRow>, Vec<BufferRow>) {
    const CONSTANTS: usize = 2;
    const SEQNUM: usize = 5;
    let capacity = buffer.size as usize;
    let own = usize::try_from(i64::from(buffer.size) - left).expect("no more is left than there was");
    let (mut slots, mut pieces, mut offset) = (Vec::new(), Vec::new(), 0);
    for (index, string) in env.iter().enumerate() {
        if index < CONSTANTS {
            slots.push(slot(index, "a constant".into(), string, SKIPPED));
            continue;
        }
        let bytes = terminated(string);
        let reserved = if index == SEQNUM { own - offset } else { bytes.len() };
        slots.push(slot(index, format!("buffer + {offset:#05x}"), string, SENT));
        pieces.push(Piece { offset, reserved, bytes });
        offset += reserved;
    }
    slots.push(slot(env.len(), "NULL".into(), b"", ENDS));
    let place = buffer.size_class.map_or("no size class".into(), |class| format!("size class {class}"));
    (slots, vec![buffer_row("buffer", place, capacity, pieces)])
}
