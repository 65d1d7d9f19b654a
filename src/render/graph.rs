//! The text of ftrace's `function_graph` tracer, with steps where it has durations.
//!
//! Close enough that tools and eyes trained on the real one read it: a leaf ends with `;`, a function that calls others
//! with `{` and `}`, what it returned stands in a comment (`funcgraph-retval`), a CPU that changes to another task says
//! so between two rulers. What is no function call is a comment, as `trace_printk()` would have it.
//!
//! DIFFERENCE: ftrace never closes a function that did not return; here it is closed at the end of its lane's text, with
//! `did not return` in the comment, so that the braces balance.

use std::collections::BTreeMap;

use sim::mm::Kind as Allocator;
use sim::trace::{Event, What};
use sim::{LaneName, Value};

use super::words;

/// Draws the events. Each line ends with a newline.
#[must_use]
pub fn graph(events: &[Event]) -> String {
    let width = events.iter().map(|event| event.lane.as_str().len()).max().unwrap_or(0).max(12);
    let pad = " ".repeat(width - 4);
    let head = format!(
        "# tracer: function_graph\n#\n# CPU  STEP      TASK{pad}   FUNCTION CALLS\n# |     |         |  {pad}   |   |   |   |\n"
    );
    let mut graph =
        Graph { out: head, width, tasks: BTreeMap::new(), open: BTreeMap::new(), allocators: BTreeMap::new() };
    let mut skip = vec![false; events.len()];
    for (i, event) in events.iter().enumerate() {
        if skip[i] {
            continue;
        }
        match leaf(&events[i..], event) {
            Some((distance, rc)) => {
                skip[i + distance] = true;
                graph.leaf(event, rc);
            }
            None => graph.event(event),
        }
    }
    graph.close_all();
    graph.out
}

/// How far away the return is that makes this entry a leaf: the next event of the CPU, by the same lane.
fn leaf(from: &[Event], event: &Event) -> Option<(usize, Option<i64>)> {
    let What::Enter { func, .. } = event.what else { return None };
    let distance = 1 + from.iter().skip(1).position(|next| next.cpu == event.cpu || next.lane == event.lane)?;
    match &from[distance] {
        Event { lane, what: What::Leave { func: left, rc }, .. } if *lane == event.lane && *left == func => {
            Some((distance, *rc))
        }
        _ => None,
    }
}

/// Where a lane is: the functions that it has entered, and the CPU and step of its last line.
#[derive(Default)]
struct Stack {
    funcs: Vec<&'static str>,
    cpu: u32,
    step: u64,
}

struct Graph {
    out: String,
    width: usize,
    /// The lane that last ran on each CPU.
    tasks: BTreeMap<u32, LaneName>,
    open: BTreeMap<LaneName, Stack>,
    allocators: BTreeMap<u64, Allocator>,
}

impl Graph {
    fn event(&mut self, event: &Event) {
        match &event.what {
            What::Enter { func, .. } => {
                self.line(event, &format!("{} {{", words::bare(func)));
                self.open.entry(event.lane).or_default().funcs.push(func);
            }
            What::Leave { func, rc } => self.leave(event, func, *rc),
            What::Call { func, args, rc } => {
                let lock = match args.first() {
                    Some((_, Value::Name(lock))) if words::is_lock(args) => *lock,
                    _ => "",
                };
                let note = [lock.to_owned(), returned(func, *rc)];
                self.line(event, &format!("{};{}", words::bare(func), comment(&note)));
            }
            What::Alloc { seq, site, kind, size, gfp, ok } => {
                self.allocators.insert(*seq, *kind);
                let null = if *ok { "" } else { " = NULL" };
                self.line(event, &format!("{}(); /* {site}, {size}, {gfp}{null} */", words::allocator(*kind)));
            }
            What::Free { seq, site, .. } => {
                let kind = self.allocators.get(seq).copied().unwrap_or_else(|| words::allocator_of(*site));
                let func = words::deallocator(kind);
                self.line(event, &format!("{func}(); /* {} */", site.unwrap_or("NULL")));
            }
            What::End => self.close(event.lane),
            _ => self.line(event, &format!("/* {} */", remark(&event.what).replace("*/", "* /"))),
        }
    }

    fn leaf(&mut self, event: &Event, rc: Option<i64>) {
        if let What::Enter { func, .. } = event.what {
            self.line(event, &format!("{};{}", words::bare(func), comment(&[returned(func, rc)])));
        }
    }

    /// Whatever was entered after this function and not left ends here, too: its text must nest.
    fn leave(&mut self, event: &Event, func: &'static str, rc: Option<i64>) {
        let funcs = &mut self.open.entry(event.lane).or_default().funcs;
        if let Some(at) = funcs.iter().rposition(|open| *open == func) {
            while self.open[&event.lane].funcs.len() > at + 1 {
                self.not_returned(event.lane);
            }
            self.open.entry(event.lane).or_default().funcs.pop();
        }
        let value = rc.map_or(String::new(), |rc| format!(" = {}", words::rc(func, rc)));
        self.line(event, &format!("}} /* {func}{value} */"));
    }

    fn not_returned(&mut self, lane: LaneName) {
        let stack = self.open.entry(lane).or_default();
        let (step, cpu) = (stack.step, stack.cpu);
        if let Some(func) = stack.funcs.pop() {
            let depth = stack.funcs.len();
            self.write(cpu, step, lane, depth, &format!("}} /* {func} did not return */"));
        }
    }

    fn close(&mut self, lane: LaneName) {
        while self.open.get(&lane).is_some_and(|stack| !stack.funcs.is_empty()) {
            self.not_returned(lane);
        }
    }

    fn close_all(&mut self) {
        let lanes: Vec<_> = self.open.keys().copied().collect();
        lanes.into_iter().for_each(|lane| self.close(lane));
    }

    fn line(&mut self, event: &Event, text: &str) {
        let stack = self.open.entry(event.lane).or_default();
        (stack.cpu, stack.step) = (event.cpu, event.step);
        let depth = stack.funcs.len();
        self.write(event.cpu, event.step, event.lane, depth, text);
    }

    fn write(&mut self, cpu: u32, step: u64, lane: LaneName, depth: usize, text: &str) {
        const RULER: &str = " ------------------------------------------\n";
        let width = self.width;
        let before = self.tasks.insert(cpu, lane).filter(|before| *before != lane);
        if let Some(before) = before {
            self.out += &format!("{RULER} {cpu})    {}  =>  {}\n{RULER}\n", task(before), task(lane));
        }
        let indent = 2 * depth;
        self.out += &format!(" {cpu}) {step:>5}    |  {:<width$}|  {:indent$}{text}\n", task(lane), "");
    }
}

/// Work before the first step belongs to the task that boots.
fn task(lane: LaneName) -> String {
    if lane.is_empty() { "<boot>".into() } else { lane.as_str().into() }
}

fn returned(func: &str, rc: Option<i64>) -> String {
    // What returns a pointer is traced with 0 for "not NULL", which would read as its opposite.
    let rc = rc.filter(|rc| *rc != 0 || !matches!(func, "alloc_task_struct" | "alloc_thread_info"));
    rc.map_or(String::new(), |rc| format!("= {}", words::rc(func, rc)))
}

/// ` /* a, b */` of the parts that are not empty.
fn comment(parts: &[String]) -> String {
    let parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect();
    if parts.is_empty() { String::new() } else { format!(" /* {} */", parts.join(" ")) }
}

/// What is neither a call nor memory, in a line.
fn remark(what: &What) -> String {
    match what {
        What::Wait { on } => format!("waits for {}", words::place(on)),
        What::Wake { lane } => format!("wakes {lane}"),
        What::Printk { text } => format!("printk: {}", words::printk(text)),
        What::Bug { file, func } => format!("BUG() in {file}:{func}()"),
        What::Oops { func } => format!("oops in {func}()"),
        What::WarnOn { file, func } => format!("WARN_ON() in {file}:{func}()"),
        What::Violation(violation) => format!("VIOLATION: {}", violation.to_string().replace('\n', "; ")),
        What::Enter { .. }
        | What::Leave { .. }
        | What::Call { .. }
        | What::Alloc { .. }
        | What::Free { .. }
        | What::End => String::new(),
    }
}
