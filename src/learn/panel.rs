//! How things stand, in lines of text: what the screen and the printed lesson share.

use sim::Value;

use super::frame::Frame;
use super::source;
use crate::render::layout::{MachineConstants, layout_fork};

/// A panel: its title, and its lines.
pub struct Panel {
    /// What it shows.
    pub title: &'static str,
    /// At most as wide as was asked for.
    pub lines: Vec<String>,
}

/// All panels of a frame, for so many columns.
#[must_use]
pub fn panels(frame: &Frame, width: usize) -> Vec<Panel> {
    let panel = |title, lines: Vec<String>| Panel { title, lines: lines.iter().map(|line| cut(line, width)).collect() };
    vec![
        panel("locks and context", locks(frame)),
        panel("the message", message(frame, width)),
        panel("listeners' queues", queues(frame)),
        panel("live allocations", memory(frame)),
    ]
}

/// Where the current lane is: one line a function, with its file.
#[must_use]
pub fn stack(frame: &Frame, width: usize) -> Vec<String> {
    let Some(lane) = frame.current() else { return vec!["(before the first event)".into()] };
    let mut lines = Vec::new();
    for (depth, (func, call)) in lane.stack.iter().enumerate() {
        let file = source::file(func).unwrap_or("");
        lines.push(cut(&format!("{file:<25}{:indent$}{call}", "", indent = 2 * depth), width));
    }
    if lines.is_empty() {
        lines.push(format!("{} is in user space", lane.name));
    }
    lines
}

/// What each lane holds, and whether it may sleep.
#[must_use]
pub fn locks(frame: &Frame) -> Vec<String> {
    if frame.lanes.is_empty() {
        return vec!["nobody has run yet".into()];
    }
    let line = |lane: &super::frame::LaneView| {
        let here = if lane.name == frame.lane { '>' } else { ' ' };
        let state = match (lane.ended, lane.waits, lane.is_atomic()) {
            (true, ..) => "is over".into(),
            (_, Some(on), _) => format!("waits: {}", crate::render::words::place(on)),
            (_, _, true) if lane.irqs_off() => "must not sleep, irqs off".into(),
            (_, _, true) => "must not sleep".into(),
            _ => "may sleep".to_owned(),
        };
        format!("{here}CPU{} {:<6}{state}", lane.cpu, lane.name.as_str())
    };
    let mut lines = Vec::new();
    for lane in &frame.lanes {
        lines.push(line(lane));
        lines.extend(lane.locks.iter().map(|(lock, by)| format!("       {by}({lock})")));
    }
    lines
}

/// Slots of the environment, and the bytes.
#[must_use]
pub fn message(frame: &Frame, width: usize) -> Vec<String> {
    let wire = &frame.wire;
    let mut lines = Vec::new();
    if let (Some((parent, child)), true) = (wire.pids, wire.slots)
        && let Ok(layout) = layout_fork(parent, child, &MachineConstants::default())
    {
        lines.push(format!("envp, {} slots:", layout.slot_count));
        for slot in &layout.slots {
            let string = if slot.string.is_empty() { "NULL".into() } else { format!("\"{}\"", slot.string) };
            let sent = if slot.sent { " sent" } else { "" };
            lines.push(format!(" [{}] {string}{sent}", slot.index));
        }
    }
    if let Some(asked) = wire.asked {
        lines.push(format!("skb: alloc_skb({asked})"));
    }
    if !wire.bytes.is_empty() {
        lines.push(format!("{} bytes, truesize {} untrimmed", wire.bytes.len(), wire.truesize));
        lines.extend(hex(&wire.bytes, width));
    }
    if lines.is_empty() {
        lines.push("none yet".into());
    }
    lines
}

/// Rows of offset, hex and text: 16 bytes a row where there is room for them, else 8.
#[must_use]
pub fn hex(bytes: &[u8], width: usize) -> Vec<String> {
    let row = if width >= 72 { 16 } else { 8 };
    let line = |(at, bytes): (usize, &[u8])| {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
        let show = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
        let text: String = bytes.iter().map(show).collect();
        format!("{:04x} {digits:<pad$}|{text}|", at * row, pad = 3 * row)
    };
    bytes.chunks(row).enumerate().map(line).collect()
}

/// What each listener has in its queue.
#[must_use]
pub fn queues(frame: &Frame) -> Vec<String> {
    let mut lines = Vec::new();
    for queue in &frame.queues {
        let n = queue.messages.len();
        lines.push(format!("{}: {n} queued, {} of {} bytes", queue.listener, queue.charged, queue.rcvbuf));
        if queue.latched || queue.err {
            let latch = if queue.latched { "congested: refuses all" } else { "" };
            let err = if queue.err { "ENOBUFS waits" } else { "" };
            let comma = if queue.latched && queue.err { ", " } else { "" };
            lines.push(format!("  {latch}{comma}{err}"));
        }
        lines.extend(queue.messages.iter().take(3).map(|message| format!("  {}", Value::shown(message))));
        if n > 3 {
            lines.push(format!("  … {} more", n - 3));
        }
    }
    if lines.is_empty() {
        lines.push("nobody listens".into());
    }
    lines
}

/// What the run has allocated and not freed, newest first.
#[must_use]
pub fn memory(frame: &Frame) -> Vec<String> {
    if frame.live.is_empty() {
        return vec!["none of this run".into()];
    }
    let bytes: u64 = frame.live.iter().map(|live| u64::from(live.size)).sum();
    let mut lines = vec![format!("{} live, {bytes} bytes", frame.live.len())];
    lines.extend(frame.live.iter().rev().map(|live| format!("{:>5} {} ({})", live.size, live.site, live.lane)));
    lines
}

/// A text in lines of at most so many characters, broken between words.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        // A word that fits on no line is broken.
        let words = paragraph.split(' ').flat_map(|word| pieces(word, width));
        for word in words.filter(|word| !word.is_empty()) {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += &word;
        }
        lines.push(line);
    }
    lines
}

fn pieces(word: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars.chunks(width.max(1)).map(|piece| piece.iter().collect()).collect()
}

/// The beginning of a text, of so many characters.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
