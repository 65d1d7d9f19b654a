//! The trace as the page's script wants it: each event in the kernel's words, and what it changes.
//!
//! The script adds up the changes of the first so many events, whichever way the reader came there. What the trace tells only
//! later (the bytes that went into a buffer are told when it is sent) is put where it happened: right behind the allocation,
//! or where the sender begins, as nobody can come in between.

use std::collections::BTreeMap;

use serde::Serialize;
use sim::mm::size_class;
use sim::trace::{Args, Event, What};
use sim::{LaneName, Value};
use uevent::wire::Message;
use uevent::wire::connector::ConnectorMessage;

use super::Shown;
use crate::render::queues::{Move, Queues, int};
use crate::render::{where_it_broke, words};

/// One run.
#[derive(Serialize)]
pub(super) struct Run {
    label: &'static str,
    replay: String,
    lanes: Vec<Lane>,
    socks: Vec<Sock>,
    messages: Vec<Sent>,
    frames: Vec<Frame>,
}

#[derive(Serialize)]
struct Lane {
    name: String,
    pid: Option<i64>,
}

/// A socket, under its reader's name.
#[derive(Serialize)]
struct Sock {
    number: i64,
    name: String,
}

/// A message that was broadcast.
#[derive(Serialize)]
struct Sent {
    step: u64,
    text: String,
    bytes: String,
    /// Who forked whom, if it says so in any of the formats that are known.
    pids: Option<(i32, i32)>,
}

/// One event.
#[derive(Serialize)]
struct Frame {
    step: u64,
    cpu: u32,
    lane: Option<usize>,
    depth: usize,
    kind: &'static str,
    text: String,
    /// Says nothing but that all is well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    quiet: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
}

/// What an event changes.
#[derive(Clone, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Change {
    Alloc {
        seq: u64,
        site: &'static str,
        size: u32,
        class: Option<u32>,
        gfp: String,
    },
    Free {
        seq: u64,
        by: &'static str,
    },
    /// A block has these bytes from its start on, in hex; `area` is where the shared info of an skb begins.
    Write {
        seq: u64,
        bytes: String,
        area: Option<u32>,
    },
    Slots {
        seq: u64,
        slots: Vec<Slot>,
    },
    /// What a block is.
    Note {
        seq: u64,
        text: String,
    },
    Send {
        message: usize,
    },
    Queue {
        sock: i64,
        skb: u64,
        message: Option<usize>,
    },
    Leave {
        sock: i64,
        skb: u64,
    },
    Tell {
        sock: i64,
        err: String,
    },
    Lock {
        lock: &'static str,
    },
    Unlock {
        lock: &'static str,
    },
    Task {
        pid: i64,
        parent: i64,
    },
    /// As a report names it: its own lane, which may be another one than that of the event.
    Broken {
        lane: Option<usize>,
        text: String,
        rule: &'static str,
    },
}

/// One slot of an environment.
#[derive(Clone, Serialize)]
struct Slot {
    text: Option<String>,
    says: &'static str,
}

/// Bytes in hex.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}

/// Who forked whom.
fn pids(bytes: &[u8]) -> Option<(i32, i32)> {
    if let Ok(message) = Message::parse(bytes) {
        let number = |key| str::from_utf8(message.get(key)?).ok()?.parse().ok();
        return message.fork_pids().ok().or_else(|| Some((number("PPID")?, number("PID")?)));
    }
    let fork = ConnectorMessage::parse(bytes).ok()?.fork().ok()?;
    Some((fork.ids.parent_pid, fork.ids.child_pid))
}

/// Reads a run.
pub(super) fn run(shown: &Shown) -> Run {
    let mut reader = Reader::default();
    where_it_broke(&shown.events).iter().for_each(|event| reader.event(event));
    let Reader { lanes, socks, messages, frames, .. } = reader;
    let name = |number: i64, name: Option<String>| name.unwrap_or_else(|| format!("socket {number}"));
    let socks = socks.into_iter().map(|(number, reader)| Sock { number, name: name(number, reader) }).collect();
    Run { label: shown.label, replay: shown.replay.clone(), lanes, socks, messages, frames }
}

/// What of a lane's memory waits for its bytes: frames of allocations, by site.
#[derive(Default)]
struct Work {
    open: Vec<(&'static str, Args)>,
    /// The last block of each site, and the frame in which it was made.
    blocks: BTreeMap<&'static str, (u64, usize, u32)>,
    /// The message that it broadcasts.
    sends: Option<(usize, Vec<u8>, u32)>,
}

#[derive(Default)]
struct Reader {
    lanes: Vec<Lane>,
    numbers: BTreeMap<LaneName, usize>,
    socks: BTreeMap<i64, Option<String>>,
    messages: Vec<Sent>,
    frames: Vec<Frame>,
    work: BTreeMap<LaneName, Work>,
    queues: Queues,
    /// The message in each sk_buff.
    inside: BTreeMap<u64, usize>,
}

impl Reader {
    fn event(&mut self, event: &Event) {
        let lane = self.lane(event.lane);
        let depth = self.work.entry(event.lane).or_default().open.len();
        let (kind, text) = said(&event.what);
        let quiet = matches!(&event.what, What::Call { func, args, rc } if words::is_trivial(func, args, *rc));
        let (step, cpu) = (event.step, event.cpu);
        self.frames.push(Frame { step, cpu, lane, depth, kind, text, quiet, changes: Vec::new() });
        let changes = self.what(event);
        let moved = self.moves(event);
        let frame = self.frames.last_mut().expect("pushed above");
        frame.changes.extend(changes);
        frame.changes.extend(moved);
    }

    /// A lane's number. Work before the first step belongs to none.
    fn lane(&mut self, name: LaneName) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        Some(*self.numbers.entry(name).or_insert_with(|| {
            self.lanes.push(Lane { name: name.to_string(), pid: None });
            self.lanes.len() - 1
        }))
    }

    fn what(&mut self, event: &Event) -> Vec<Change> {
        let work = self.work.entry(event.lane).or_default();
        match &event.what {
            What::Enter { func, args } => {
                work.open.push((func, args.clone()));
                self.enter(event, func, args)
            }
            What::Leave { func, .. } => {
                if let Some(at) = work.open.iter().rposition(|(open, _)| open == func) {
                    work.open.truncate(at);
                    // A return stands under its call.
                    self.frames.last_mut().expect("this event's").depth = at;
                }
                if *func == "netlink_broadcast" {
                    work.sends = None;
                }
                Vec::new()
            }
            What::Call { func, args, .. } => self.call(event.lane, func, args),
            What::Alloc { seq, site, size, gfp, ok: true, .. } => {
                let frame = self.frames.len() - 1;
                work.blocks.insert(site, (*seq, frame, *size));
                let alloc =
                    Change::Alloc { seq: *seq, site, size: *size, class: size_class(*size), gfp: gfp.to_string() };
                [alloc].into_iter().chain(inside(work, *seq, site)).collect()
            }
            What::Free { seq, site: Some(_), by } => {
                work.blocks.retain(|_, (block, ..)| block != seq);
                vec![Change::Free { seq: *seq, by }]
            }
            What::End => {
                work.open.clear();
                Vec::new()
            }
            What::Violation(violation) => {
                let lane = self.lane(violation.lane);
                vec![Change::Broken { lane, text: violation.to_string(), rule: violation.rule.sentence() }]
            }
            _ => Vec::new(),
        }
    }

    fn enter(&mut self, event: &Event, func: &str, args: &Args) -> Vec<Change> {
        if func == "do_exit"
            && let Some(lane) = self.numbers.get(&event.lane)
        {
            self.lanes[*lane].pid = Some(int(args, "pid"));
        }
        if func == "send_uevent"
            && let Some((_, Value::Bytes(path))) = args.iter().find(|(name, _)| *name == "obj")
        {
            self.write(event.lane, "kobject_get_path.path", &[path, &b"\0"[..]].concat());
        }
        let Some(bytes) = words::message(func, args) else { return Vec::new() };
        let message = self.messages.len();
        let text = Value::shown(bytes);
        self.messages.push(Sent { step: event.step, text, bytes: hex(bytes), pids: pids(bytes) });
        self.environment(event.lane, bytes);
        let area = u32::try_from(int(args, "data_area")).unwrap_or(0);
        let work = self.work.entry(event.lane).or_default();
        work.sends = Some((message, bytes.to_vec(), area));
        let mut changes = vec![Change::Send { message }];
        if let Some((seq, ..)) = work.blocks.get("alloc_skb.data") {
            changes.push(Change::Write { seq: *seq, bytes: hex(bytes), area: Some(area) });
        }
        changes
    }

    /// Puts bytes where they were written: before anybody else could step. They may reach past the end of their block.
    fn write(&mut self, lane: LaneName, site: &str, bytes: &[u8]) {
        let Some(blocks) = self.work.get(&lane).map(|work| &work.blocks) else { return };
        let Some((seq, made, _)) = blocks.get(site) else { return };
        // The path is the last to be allocated, and all strings are written behind it.
        let path = blocks.get("kobject_get_path.path").map_or(0, |(_, frame, _)| *frame);
        let write = Change::Write { seq: *seq, bytes: hex(bytes), area: None };
        self.frames[path.max(*made)].changes.push(write);
    }

    /// The slots and the strings behind them, which the message tells; they were there when `send_uevent()` began.
    fn environment(&mut self, lane: LaneName, message: &[u8]) {
        let mut strings =
            message.split_inclusive(|byte| *byte == 0).map(|string| string.strip_suffix(b"\0").unwrap_or(string));
        strings.next();
        let strings: Vec<&[u8]> = strings.collect();
        let blocks = &self.work.entry(lane).or_default().blocks;
        let table = |site: &str| blocks.get(site).map(|(seq, _, size)| (*seq, *size));
        let fork = table("kobject_fork.envp");
        let Some((seq, size)) = fork.or(table("kobject_hotplug.envp")) else { return };
        let skipped = if fork.is_some() {
            ["Not used\\0", "Not used\\0"]
        } else {
            ["HOME=/\\0", "PATH=/sbin:/bin:/usr/sbin:/usr/bin\\0"]
        };
        let mut slots: Vec<_> =
            skipped.map(|text| Slot { text: Some(text.into()), says: "skipped by send_uevent()" }).into();
        slots.extend(strings.iter().map(|text| Slot { text: Some(Value::shown(text) + "\\0"), says: "sent" }));
        slots.push(Slot { text: None, says: "ends the environment" });
        if slots.len() > size as usize / 8 {
            return;
        }
        let begins = |frame: &Frame| frame.kind == "enter" && frame.text.starts_with("send_uevent(");
        let own = self.numbers.get(&lane).copied();
        let at = self.frames.iter().rposition(|frame| frame.lane == own && begins(frame));
        if let Some(at) = at {
            self.frames[at].changes.push(Change::Slots { seq, slots });
        }
        if fork.is_none() {
            self.write(lane, "kobject_hotplug.buffer", &buffer(&strings));
        }
    }

    fn call(&mut self, lane: LaneName, func: &str, args: &Args) -> Vec<Change> {
        if let (true, Some((_, Value::Name(lock)))) = (words::is_lock(args), args.first()) {
            return vec![if words::unlocks(func) { Change::Unlock { lock } } else { Change::Lock { lock } }];
        }
        if func == "SET_LINKS"
            && let Some(pid) = made(&self.work[&lane])
        {
            return vec![Change::Task { pid, parent: int(args, "parent_pid") }];
        }
        Vec::new()
    }

    fn moves(&mut self, event: &Event) -> Vec<Change> {
        let moves = self.queues.event(event);
        if let What::Wake { lane } = event.what {
            self.wakes(event.lane, lane);
        }
        let sends = self.work.get(&event.lane).and_then(|work| work.sends.as_ref()).map(|(message, ..)| *message);
        let mut changes = Vec::new();
        for moved in moves {
            let (sock, change) = match moved {
                Move::Queued { sock, skb } => {
                    if let Some(message) = sends {
                        self.inside.insert(skb, message);
                    }
                    (sock, Change::Queue { sock, skb, message: sends })
                }
                Move::Left { sock, skb } => (sock, Change::Leave { sock, skb }),
                Move::Told { sock, err } => (sock, Change::Tell { sock, err: words::rc("", -err) }),
            };
            self.socks.entry(sock).or_default();
            changes.push(change);
        }
        changes
    }

    /// Whoever is woken by a delivery is the socket's reader.
    fn wakes(&mut self, waker: LaneName, reader: LaneName) {
        let own = self.numbers.get(&waker).copied();
        let mut before = self.frames.iter().rev().skip(1);
        let delivery = before.find(|frame| frame.lane == own).and_then(|frame| frame.changes.last());
        if let Some(Change::Queue { sock, .. } | Change::Tell { sock, .. }) = delivery {
            self.socks.insert(*sock, Some(reader.to_string()));
        }
    }
}

/// What the strings of an environment make of the buffer of `kobject_hotplug()`: one behind the other.
///
/// The kernel leaves room for the largest `SEQNUM`, and goes on behind it with the subsystem's variables. The designs that fork
/// with keys (`PPID=`) do not.
fn buffer(strings: &[&[u8]]) -> Vec<u8> {
    const ROOM: usize = b"SEQNUM=18446744073709551616\0".len();
    let keys = strings.iter().any(|string| string.starts_with(b"PPID="));
    let mut buffer = Vec::new();
    for (i, string) in strings.iter().enumerate() {
        let end = buffer.len() + ROOM;
        buffer.extend([*string, b"\0"].concat());
        if !keys && string.starts_with(b"SEQNUM=") && i + 1 < strings.len() {
            buffer.resize(end, 0);
        }
    }
    buffer
}

/// The pid of the task that a lane is making.
fn made(work: &Work) -> Option<i64> {
    work.open.iter().rev().find(|(func, _)| *func == "copy_process").map(|(_, args)| int(args, "pid"))
}

/// What goes into a new block at once.
fn inside(work: &Work, seq: u64, site: &str) -> Option<Change> {
    match (site, &work.sends, made(work)) {
        // Behind the data stands what stood behind it before: `skb_shared_info`, whose size the era tells.
        ("pskb_expand_head.data", Some((_, bytes, before)), _) => {
            let size = |site| work.blocks.get(site).map(|(.., size)| size);
            let area = size("alloc_skb.data").zip(size(site)).map(|(old, new)| new - (old - before));
            Some(Change::Write { seq, bytes: hex(bytes), area })
        }
        ("alloc_task_struct" | "alloc_thread_info", _, Some(pid)) => {
            Some(Change::Note { seq, text: format!("of task {pid}") })
        }
        _ => None,
    }
}

/// An event in the kernel's words, and what kind it is.
fn said(what: &What) -> (&'static str, String) {
    let returns = |func, rc: &Option<i64>| rc.map_or(String::new(), |rc| format!(" = {}", words::rc(func, rc)));
    match what {
        What::Enter { func, args } => ("enter", words::call(func, args)),
        What::Leave { func, rc } => {
            let value = rc.map_or(String::new(), |rc| format!(" {}", words::rc(func, rc)));
            ("leave", format!("{func} returns{value}"))
        }
        What::Call { func, args, rc } => {
            let kind = if words::is_lock(args) { "lock" } else { "call" };
            (kind, words::call(func, args) + &returns(func, rc))
        }
        What::Alloc { site, kind, size, gfp, ok, .. } => {
            let text = format!("{}({site}, {size}, {gfp})", words::allocator(*kind));
            if *ok { ("alloc", text) } else { ("failed", text + " = NULL") }
        }
        What::Free { site, .. } => {
            ("free", format!("{}({})", words::deallocator(words::allocator_of(*site)), site.unwrap_or("NULL")))
        }
        What::Wait { on } => ("wait", format!("waits for {}", words::place(on))),
        What::Wake { lane } => ("wake", format!("wakes {lane}")),
        What::End => ("end", "ends".into()),
        What::Printk { text } => ("log", format!("printk({})", words::printk(text))),
        What::Bug { file, func } => ("failed", format!("BUG() in {file}:{func}()")),
        What::Oops { func } => ("failed", format!("oops in {func}()")),
        What::WarnOn { file, func } => ("failed", format!("WARN_ON() in {file}:{func}()")),
        What::Violation(violation) => ("broken", violation.to_string()),
    }
}
