//! A layout as text, at most 80 columns.

use std::fmt::{self, Display, Formatter};

use sim::Value;

use super::{Allocation, Area, BufferRow, Layout, SkbRow, SlotRow};

/// Characters of a line.
const WIDTH: usize = 80;
/// Characters of a scale bar.
const BAR: usize = 74;
/// Bytes in a row of hex.
const ROW: usize = 16;

impl Display for Layout {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", cut(&format!("{}: {}", self.by, self.title), WIDTH))?;
        writeln!(f, "\n envp: {} slots, {}", self.slot_count, self.table)?;
        for slot in &self.slots {
            draw_slot(f, slot)?;
        }
        let unused = self.slot_count - self.slots.len();
        if unused > 0 {
            writeln!(f, "   … {unused} more, all NULL")?;
        }
        for buffer in &self.buffers {
            draw_buffer(f, buffer)?;
        }
        draw_message(f, &self.skb)?;
        draw_skb(f, &self.skb)?;
        if !self.violations.is_empty() {
            writeln!(f)?;
        }
        self.violations.iter().try_for_each(|violation| draw_found(f, &violation.text))
    }
}

impl Allocation {
    /// What it really takes.
    fn bytes(self) -> u32 {
        self.size_class.unwrap_or(self.size)
    }
}

impl Display for Allocation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "kmalloc({})", self.size)?;
        match self.size_class {
            Some(class) => write!(f, " from size class {class}"),
            None => f.write_str(", for which there is no size class"),
        }
    }
}

fn draw_slot(f: &mut Formatter<'_>, slot: &SlotRow) -> fmt::Result {
    let string = if slot.string.is_empty() { String::new() } else { format!("\"{}\"", slot.string) };
    let line = format!("   [{:>2}] {:<14} {:<32} {}", slot.index, slot.points_to, cut(&string, 32), slot.note);
    writeln!(f, "{}", line.trim_end())
}

fn draw_buffer(f: &mut Formatter<'_>, buffer: &BufferRow) -> fmt::Result {
    let used: usize = buffer.pieces.iter().map(|piece| piece.bytes.len()).sum();
    let end = buffer.pieces.iter().map(|piece| piece.offset + piece.reserved).max().unwrap_or(0);
    let BufferRow { name, capacity, place, overflow, .. } = buffer;
    write!(f, "\n char {name}[{capacity}], {place}: {used} bytes written")?;
    let slack = buffer.pieces.iter().map(|piece| piece.reserved - piece.bytes.len()).sum::<usize>();
    // What was kept free behind the end is not the buffer's.
    let free = slack.min(capacity.saturating_sub(used));
    if *overflow > 0 {
        writeln!(f, ", {overflow} past its capacity")?;
    } else {
        let free = if free > 0 { format!(", {free} kept free") } else { String::new() };
        writeln!(f, "{free}, {} left", capacity.saturating_sub(end))?;
    }
    let end = end.min(capacity + overflow);
    let mut bytes = vec![None; end];
    for piece in &buffer.pieces {
        for (i, byte) in piece.bytes.0.iter().enumerate() {
            bytes[piece.offset + i] = Some(*byte);
        }
    }
    let (inside, past) = bytes.split_at(end.min(*capacity));
    hex(f, 0, inside)?;
    if !past.is_empty() {
        writeln!(f, "   {capacity:04x}  … the buffer ends here, and this was written all the same:")?;
        hex(f, *capacity, past)?;
    }
    if end < *capacity {
        writeln!(f, "   {end:04x}  … to {capacity:04x}: not written")?;
    }
    Ok(())
}

fn draw_message(f: &mut Formatter<'_>, skb: &SkbRow) -> fmt::Result {
    let SkbRow { len, header_len, .. } = skb;
    writeln!(f, "\n the message: {len} bytes, header {header_len}, environment {}", len - header_len)?;
    let mut at = 0;
    for string in skb.bytes.0.split_inclusive(|byte| *byte == 0) {
        let length = string.len();
        writeln!(f, "   {at:04x}  {length:>4}  {}", cut(&Value::shown(string), WIDTH - 15))?;
        at += length;
    }
    writeln!(f)?;
    hex(f, 0, &skb.bytes.0.iter().copied().map(Some).collect::<Vec<_>>())
}

fn draw_skb(f: &mut Formatter<'_>, skb: &SkbRow) -> fmt::Result {
    let SkbRow { alloc_size, head_size, .. } = skb;
    writeln!(f, "\n alloc_skb({alloc_size}): struct sk_buff {head_size}, and its data")?;
    let whole = skb.sent.kmalloc.bytes();
    draw_area(f, skb, &skb.sent, whole)?;
    match &skb.trimmed {
        Some(area) => {
            let less = skb.sent.truesize - area.truesize;
            writeln!(f, "\n netlink_trim(): the message moves, the charge falls by {less} (same scale)")?;
            draw_area(f, skb, area, whole)
        }
        None => writeln!(f, "\n netlink_trim(): kept, twice the tail room is less than the charge"),
    }
}

/// The bar to proportion, each part under its letter, and the sums.
///
/// `whole` is the memory that a bar of full length stands for.
fn draw_area(f: &mut Formatter<'_>, skb: &SkbRow, area: &Area, whole: u32) -> fmt::Result {
    let len = u32::try_from(skb.len).expect("messages are small");
    let slack = area.kmalloc.bytes() - area.kmalloc.size;
    let parts = [
        ('M', "message", len),
        ('.', "tail room", area.tail_room),
        ('S', "skb_shared_info", skb.shared_info),
        ('-', "not asked for", slack),
    ];
    let sizes: Vec<_> = parts.iter().map(|(_, _, size)| *size).collect();
    let bar: String =
        parts.iter().zip(scale(&sizes, whole)).flat_map(|((letter, ..), n)| std::iter::repeat_n(*letter, n)).collect();
    writeln!(f, "   {}", area.kmalloc)?;
    writeln!(f, "   |{bar}|")?;
    let mut at = 0;
    for (letter, name, size) in parts {
        writeln!(f, "   {letter} {at:>5} .. {:<5} {size:>5}  {name}", at + size)?;
        at += size;
    }
    let Area { data_area, truesize, .. } = area;
    let extra = truesize - skb.head_size;
    writeln!(
        f,
        "   data area {data_area}; a receiver is charged truesize {truesize}: sk_buff {} + {extra}",
        skb.head_size
    )
}

/// Shares the bar: whatever has a size has a character, the largest part takes what rounding leaves.
fn scale(sizes: &[u32], whole: u32) -> Vec<usize> {
    let length = |size: u32| size as usize * BAR / (whole as usize).max(1);
    let bar = length(sizes.iter().sum());
    let share = |size: &u32| length(*size).max(usize::from(*size > 0));
    let mut shares: Vec<_> = sizes.iter().map(share).collect();
    let largest = (0..sizes.len()).max_by_key(|i| sizes[*i]).unwrap_or(0);
    let others: usize = shares.iter().enumerate().filter(|(i, _)| *i != largest).map(|(_, share)| share).sum();
    if let Some(share) = shares.get_mut(largest) {
        *share = bar.saturating_sub(others);
    }
    shares
}

/// A rule that was broken, as a report says it, in lines that fit.
fn draw_found(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let mut line = String::from(" found    ");
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            line = " ".repeat(10);
        }
        line.push(' ');
        line.push_str(word);
    }
    writeln!(f, "{line}")
}

/// Rows of offset, hex and ASCII from offset `start` on; a byte that nobody wrote is `--`.
fn hex(f: &mut Formatter<'_>, start: usize, bytes: &[Option<u8>]) -> fmt::Result {
    for (row, bytes) in bytes.chunks(ROW).enumerate() {
        let offset = start + row * ROW;
        let mut digits = String::new();
        let mut ascii = String::new();
        for (i, byte) in bytes.iter().enumerate() {
            digits += if i == ROW / 2 { "  " } else { " " };
            digits += &byte.map_or("--".into(), |byte| format!("{byte:02x}"));
            ascii.push(match byte {
                Some(byte @ b' '..=b'~') => char::from(*byte),
                Some(_) => '.',
                None => '-',
            });
        }
        writeln!(f, "   {offset:04x} {digits:<49}  |{ascii}|")?;
    }
    Ok(())
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}
