//! From events to rows: what is worth showing, how deep it is nested, what it says.

use std::collections::{BTreeMap, BTreeSet};

use sim::mm::Kind as Allocator;
use sim::trace::{Args, Event, What};
use sim::{LaneName, Rule, Value, Violation};

use super::Detail;
use crate::render::words;

/// What kind of row, for colours and for how it may spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A call, or its return.
    Call,
    /// A call or an allocation that failed.
    Failed,
    /// The bytes of a message.
    Message,
    /// Memory and locks.
    Noise,
    /// Waiting, waking, moving, ending.
    Sched,
    /// So many more of the same.
    Fold,
    /// A line under `^^^^`; the first has the carets.
    Note,
}

/// One row of one lane.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) step: u64,
    /// Which lane of [`Story::lanes`]; `None` outside of every lane.
    pub(super) lane: Option<usize>,
    pub(super) depth: usize,
    pub(super) text: String,
    pub(super) kind: Kind,
    func: &'static str,
}

/// A lane, and the CPU on which it first ran.
pub(super) struct LaneInfo {
    pub(super) name: LaneName,
    pub(super) cpu: u32,
}

/// All that a picture shows.
pub(super) struct Story {
    pub(super) lanes: Vec<LaneInfo>,
    pub(super) rows: Vec<Row>,
    pub(super) rules: Vec<Rule>,
}

/// Turns the events into rows.
pub(super) fn story(events: &[Event], detail: Detail) -> Story {
    let mut teller = Teller::new(events, detail);
    for event in events {
        teller.event(event);
    }
    let rows = fold(teller.story.rows, detail);
    Story { rows, ..teller.story }
}

/// What a lane is in the middle of.
#[derive(Default)]
struct Open {
    /// Functions entered and not left, outermost first: the name, the text of its row, and which row that is.
    frames: Vec<(&'static str, String, usize)>,
    cpu: u32,
}

struct Teller {
    detail: Detail,
    /// Steps that a broken rule names as its cause: nothing in them is noise.
    causes: BTreeSet<u64>,
    /// The allocator of each allocation, by its number.
    allocators: BTreeMap<u64, Allocator>,
    open: BTreeMap<Option<usize>, Open>,
    story: Story,
}

impl Teller {
    fn new(events: &[Event], detail: Detail) -> Teller {
        let causes = events.iter().filter_map(|event| match &event.what {
            What::Violation(violation) => violation.cause.as_deref(),
            _ => None,
        });
        Teller {
            detail,
            causes: causes.flat_map(steps_in).collect(),
            allocators: BTreeMap::new(),
            open: BTreeMap::new(),
            story: Story { lanes: Vec::new(), rows: Vec::new(), rules: Vec::new() },
        }
    }

    fn event(&mut self, event: &Event) {
        match &event.what {
            What::Enter { func, args } => self.enter(event, func, args),
            What::Leave { func, rc } => self.leave(event, func, *rc),
            What::Call { func, args, rc } => self.call(event, func, args, *rc),
            What::Alloc { seq, site, kind, size, gfp, ok } => {
                self.allocators.insert(*seq, *kind);
                let text = format!("{}({site}, {size}, {gfp})", words::allocator(*kind));
                let (text, kind) = if *ok { (text, Kind::Noise) } else { (text + " = NULL", Kind::Failed) };
                self.noise(event, text, kind, words::allocator(Allocator::Kmalloc));
            }
            What::Free { seq, site, by } => self.free(event, *seq, *site, by),
            What::Wait { on } => self.row(event, format!("waits for {}", words::place(on)), Kind::Sched, ""),
            What::Wake { lane } => self.row(event, format!("wakes {lane}"), Kind::Sched, ""),
            What::End if self.detail == Detail::All => self.row(event, "ends".into(), Kind::Sched, ""),
            What::End => {}
            What::Printk { text } => {
                self.row(event, format!("printk({})", words::printk(text)), Kind::Call, "printk");
            }
            What::Bug { file, func } => self.row(event, format!("BUG() in {file}:{func}()"), Kind::Failed, "BUG"),
            What::Oops { func } => self.row(event, format!("oops in {func}()"), Kind::Failed, "oops"),
            What::WarnOn { file, func } => {
                self.row(event, format!("WARN_ON() in {file}:{func}()"), Kind::Failed, "WARN_ON");
            }
            What::Violation(violation) => self.violation(event, violation),
        }
    }

    /// The lane's number; a lane gets one when it is first shown.
    fn lane(&mut self, event: &Event) -> Option<usize> {
        if event.lane.is_empty() {
            return None;
        }
        let lanes = &mut self.story.lanes;
        let known = lanes.iter().position(|lane| lane.name == event.lane);
        Some(known.unwrap_or_else(|| {
            lanes.push(LaneInfo { name: event.lane, cpu: event.cpu });
            self.open.entry(Some(lanes.len() - 1)).or_default().cpu = event.cpu;
            lanes.len() - 1
        }))
    }

    fn row(&mut self, event: &Event, text: String, kind: Kind, func: &'static str) {
        let lane = self.lane(event);
        let open = self.open.entry(lane).or_default();
        let depth = open.frames.len();
        let new = |text, kind, func| Row { step: event.step, lane, depth, text, kind, func };
        if lane.is_some() && open.cpu != event.cpu {
            open.cpu = event.cpu;
            self.story.rows.push(new(format!("moves to CPU{}", event.cpu), Kind::Sched, ""));
        }
        self.story.rows.push(new(text, kind, func));
    }

    /// A row that [`Detail::Calls`] leaves out, unless it failed or a broken rule names its step.
    fn noise(&mut self, event: &Event, text: String, kind: Kind, func: &'static str) {
        if self.detail == Detail::All || kind == Kind::Failed || self.causes.contains(&event.step) {
            self.row(event, text, kind, func);
        }
    }

    fn enter(&mut self, event: &Event, func: &'static str, args: &Args) {
        let text = words::call(func, args);
        self.row(event, text.clone(), Kind::Call, func);
        let (lane, row) = (self.lane(event), self.story.rows.len() - 1);
        self.open.entry(lane).or_default().frames.push((func, text, row));
        if let Some(message) = words::message(func, args) {
            self.row(event, Value::shown(message), Kind::Message, "");
        }
    }

    fn leave(&mut self, event: &Event, func: &'static str, rc: Option<i64>) {
        let lane = self.lane(event);
        let frames = &mut self.open.entry(lane).or_default().frames;
        let entered = frames.iter().rposition(|(name, ..)| *name == func).map(|at| {
            let row = frames[at].2;
            frames.truncate(at);
            row
        });
        let Some(rc) = rc else { return };
        let (shown, kind) = result(func, rc);
        match entered {
            Some(row) if row + 1 == self.story.rows.len() => {
                self.story.rows[row].text += &format!(" = {shown}");
                self.story.rows[row].kind = kind;
            }
            _ => self.row(event, format!("{func} returns {shown}"), kind, ""),
        }
    }

    fn call(&mut self, event: &Event, func: &'static str, args: &Args, rc: Option<i64>) {
        let mut text = words::call(func, args);
        let mut kind = Kind::Call;
        if let Some(rc) = rc {
            let (shown, verdict) = result(func, rc);
            text += &format!(" = {shown}");
            kind = verdict;
        }
        if words::is_lock(args) {
            self.noise(event, text, Kind::Noise, func);
        } else if self.detail == Detail::All || kind == Kind::Failed || !words::is_trivial(func, args, rc) {
            self.row(event, text, kind, func);
        }
    }

    fn free(&mut self, event: &Event, seq: u64, site: Option<&str>, by: &str) {
        let kind = self.allocators.get(&seq).copied().unwrap_or_else(|| words::allocator_of(site));
        let func = words::deallocator(kind);
        let lane = self.lane(event);
        let inside = self.open.get(&lane).and_then(|open| open.frames.last()).is_some_and(|(name, ..)| *name == by);
        let mut text = format!("{func}({})", site.unwrap_or("NULL"));
        if !inside && self.detail == Detail::All {
            text += &format!(" by {by}()");
        }
        self.noise(event, text, Kind::Noise, func);
    }

    /// `^^^^` under the last thing that the lane did, with what is wrong and why beside and below it.
    fn violation(&mut self, event: &Event, violation: &Violation) {
        if !self.story.rules.contains(&violation.rule) {
            self.story.rules.push(violation.rule);
        }
        // What is left at the end is nobody's last deed. A deadlock is told after the run, when another lane ran last.
        let name = if violation.rule == Rule::Leak { LaneName::default() } else { violation.lane };
        let mut event = Event { lane: name, ..event.clone() };
        let lane = self.lane(&event);
        if let (true, Some(open)) = (violation.rule == Rule::Deadlock, self.open.get(&lane)) {
            event.cpu = open.cpu;
        }
        let call = self.open.get(&lane).and_then(|open| open.frames.last()).map(|(_, text, _)| text.clone());
        if let (Some(call), true) = (call, self.story.rows.last().is_none_or(|row| row.lane != lane)) {
            self.row(&event, format!("… {call}"), Kind::Call, "");
        }
        let (depth, marked) = match self.story.rows.last() {
            Some(row) if lane.is_some() && row.lane == lane => {
                (row.depth, row.text.find('(').unwrap_or(row.text.len()))
            }
            _ => (0, 0),
        };
        let carets = if lane.is_some() { "^".repeat(marked.clamp(4, 8)) + " " } else { String::new() };
        let indent = " ".repeat(carets.len());
        for (i, line) in violation.to_string().lines().enumerate() {
            let text = format!("{}{}", if i == 0 { &carets } else { &indent }, Value::shown(line.as_bytes()));
            self.story.rows.push(Row { step: event.step, lane, depth, text, kind: Kind::Note, func: "" });
        }
    }
}

fn result(func: &str, rc: i64) -> (String, Kind) {
    (words::rc(func, rc), if rc < 0 { Kind::Failed } else { Kind::Call })
}

/// The numbers after "in step" in a sentence.
fn steps_in(cause: &str) -> impl Iterator<Item = u64> + '_ {
    cause.split("in step ").skip(1).filter_map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    })
}

/// Shortens runs of the same: of equal rows from three on, of one function in [`Detail::Calls`] from four on.
fn fold(rows: Vec<Row>, detail: Detail) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::new();
    let mut rest = &rows[..];
    while let Some(first) = rest.first() {
        let alike =
            |row: &&Row| (row.lane, row.depth, row.func, row.kind) == (first.lane, first.depth, first.func, first.kind);
        let foldable = !first.func.is_empty() && matches!(first.kind, Kind::Call | Kind::Noise);
        let equal = run(rest, |row| alike(&row) && row.text == first.text);
        let similar = run(rest, |row| alike(&row));
        let n = match (equal, similar) {
            (3.., _) if foldable => equal,
            (_, 4..) if foldable && detail == Detail::Calls => similar,
            _ => 1,
        };
        out.push(first.clone());
        if n > 1 {
            let text = format!("… {} more", n - 1);
            out.push(Row { step: rest[n - 1].step, text, kind: Kind::Fold, ..first.clone() });
        }
        rest = &rest[n..];
    }
    out
}

/// How many rows at the start hold to `alike`, without the last one if something is nested in it.
fn run(rows: &[Row], alike: impl Fn(&Row) -> bool) -> usize {
    let n = rows.iter().take_while(|row| alike(row)).count().max(1);
    let parent = rows.get(n).is_some_and(|next| next.lane == rows[n - 1].lane && next.depth > rows[n - 1].depth);
    if parent && n > 1 { n - 1 } else { n }
}
