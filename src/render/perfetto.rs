//! The trace of a run for <https://ui.perfetto.dev> and `chrome://tracing`: Chrome's JSON trace format.
//!
//! | process | tracks |
//! |---|---|
//! | CPUs | one for each CPU: which task has it |
//! | tasks | one for each lane: its calls, nested; violations, and lines of the kernel's log, as instants |
//! | memory and queues | counters: live bytes and allocations; messages in each socket's queue |
//!
//! A step is a microsecond; the events of one step follow each other in nanoseconds, so that each can be seen. Slices nest: a
//! function that never returned ends where its lane ends. Counters begin with 0 when the run begins.
//!
//! [`Perfetto`] writes while the run goes on, and keeps of it only what is open.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

use sim::LaneName;
use sim::trace::{Args, Event, Sink, What};

use super::queues::{Move, Queues};
use super::words;

/// The processes under which tracks are grouped.
const PROCESSES: [(u32, &str); 3] = [(CPUS, "CPUs"), (TASKS, "tasks"), (COUNTERS, "memory and queues")];
const CPUS: u32 = 1;
const TASKS: u32 = 2;
const COUNTERS: u32 = 3;
/// Tracks have numbers of their own over all processes: CPUs from 1 on, tasks from here on.
const FIRST_TASK: u32 = 100;
/// Nanoseconds of a step.
const STEP: u64 = 1000;

/// The file of a run that is being written.
///
/// The run gets [`Perfetto::sink`]; who made it keeps this, and asks for the outcome with [`Perfetto::finish`].
pub struct Perfetto<W: Write>(Rc<RefCell<Writer<W>>>);

/// The half of a [`Perfetto`] that listens to a run.
pub struct PerfettoSink<W: Write>(Rc<RefCell<Writer<W>>>);

impl<W: Write> Perfetto<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W) -> io::Result<Perfetto<W>> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        let mut writer = Writer::new(out);
        for (pid, name) in PROCESSES {
            writer.begin("M", pid, None);
            writer.text("name", "process_name");
            writer.args(&[("name", name.into())]);
            writer.begin("M", pid, None);
            writer.text("name", "process_sort_index");
            writer.args(&[("sort_index", pid.into())]);
        }
        Ok(Perfetto(Rc::new(RefCell::new(writer))))
    }

    /// What [`Trace::attach`](sim::trace::Trace::attach) takes.
    #[must_use]
    pub fn sink(&self) -> PerfettoSink<W> {
        PerfettoSink(self.0.clone())
    }

    /// Ends the file: closes what is open, flushes, and gives back where it was written. Later events are not written.
    ///
    /// # Errors
    /// The first one since [`Perfetto::new`]; nothing was written after it.
    pub fn finish(self) -> io::Result<W> {
        let mut writer = self.0.borrow_mut();
        writer.close_all();
        writer.flush_line();
        let mut out = writer.out.take().expect("finish() takes the only Perfetto there is");
        if let Some(error) = writer.error.take() {
            return Err(error);
        }
        out.write_all(b"\n]}\n")?;
        out.flush()?;
        Ok(out)
    }
}

impl<W: Write> Sink for PerfettoSink<W> {
    fn event(&mut self, event: &Event) {
        self.0.borrow_mut().event(event);
    }
}

/// Writes the file of events that were recorded before; see [`Perfetto`].
///
/// # Errors
/// Those of `out`.
pub fn perfetto<W: Write>(events: &[Event], out: W) -> io::Result<W> {
    let perfetto = Perfetto::new(out)?;
    let mut sink = perfetto.sink();
    events.iter().for_each(|event| sink.event(event));
    perfetto.finish()
}

/// One task's track.
struct Task {
    tid: u32,
    open: Vec<&'static str>,
}

struct Writer<W: Write> {
    /// `None` once it is finished.
    out: Option<W>,
    error: Option<io::Error>,
    /// The object that is being written.
    line: Vec<u8>,
    first: bool,
    step: u64,
    /// Nanoseconds in it.
    nth: u64,
    tasks: BTreeMap<LaneName, Task>,
    /// Who has each CPU.
    cpus: BTreeMap<u32, Option<LaneName>>,
    queues: Queues,
    /// Messages in each socket's queue.
    waiting: BTreeMap<i64, u64>,
    /// Sizes of what was allocated since the run began.
    live: BTreeMap<u64, u32>,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    fn new(out: W) -> Writer<W> {
        Writer {
            out: Some(out),
            error: None,
            line: Vec::new(),
            first: true,
            step: 0,
            nth: 0,
            tasks: BTreeMap::new(),
            cpus: BTreeMap::new(),
            queues: Queues::default(),
            waiting: BTreeMap::new(),
            live: BTreeMap::new(),
            bytes: 0,
        }
    }

    fn event(&mut self, event: &Event) {
        if self.out.is_none() {
            return;
        }
        if event.step > self.step {
            (self.step, self.nth) = (event.step, 0);
        } else {
            self.nth += 1;
        }
        let tid = self.task(event.lane);
        self.runs(event.cpu, Some(event.lane));
        self.what(event, tid);
        for moved in self.queues.event(event) {
            self.moved(moved);
        }
        self.flush_line();
    }

    fn what(&mut self, event: &Event, tid: u32) {
        match &event.what {
            What::Enter { func, args } => {
                self.slice("B", tid, func, args, None);
                self.tasks.entry(event.lane).and_modify(|task| task.open.push(func));
            }
            What::Leave { func, rc } => self.leave(event.lane, func, *rc),
            What::Call { func, args, rc } => self.slice("X", tid, func, args, *rc),
            What::Alloc { seq, site, kind, size, ok, .. } => {
                let name = words::allocator(*kind);
                self.memory_slice(
                    tid,
                    name,
                    &[("site", (*site).into()), ("size", (*size).into()), ("ok", (*ok).into())],
                );
                if *ok {
                    self.live.insert(*seq, *size);
                    self.bytes += u64::from(*size);
                    self.memory();
                }
            }
            What::Free { seq, site, by } => {
                let name = words::deallocator(words::allocator_of(*site));
                self.memory_slice(tid, name, &[("site", site.unwrap_or("NULL").into()), ("by", (*by).into())]);
                // What was there before the run is no part of the counter.
                if let Some(size) = self.live.remove(seq) {
                    self.bytes -= u64::from(size);
                    self.memory();
                }
            }
            What::Wait { on } => {
                self.instant(tid, "t", &format!("waits for {}", words::place(on)), &[]);
                self.runs(event.cpu, None);
            }
            What::Wake { lane } => self.instant(tid, "t", &format!("wakes {lane}"), &[]),
            What::End => {
                self.close(event.lane);
                self.runs(event.cpu, None);
            }
            What::Printk { text } => self.instant(tid, "t", &format!("printk {}", words::printk(text)), &[]),
            What::Bug { file, func } => self.instant(tid, "t", &format!("BUG() in {file}:{func}()"), &[]),
            What::Oops { func } => self.instant(tid, "t", &format!("oops in {func}()"), &[]),
            What::WarnOn { file, func } => self.instant(tid, "t", &format!("WARN_ON() in {file}:{func}()"), &[]),
            What::Violation(violation) => {
                let text = violation.to_string().replace('\n', "; ");
                // Times of a track do not go back: what was judged afterwards stands at the end, and names its step.
                let args = [("step", violation.step.into()), ("rule", violation.rule.sentence().into())];
                self.instant(tid, "g", &format!("VIOLATION: {text}"), &args);
            }
        }
    }

    /// The number of a lane's track; its name is written when it first does something.
    fn task(&mut self, lane: LaneName) -> u32 {
        if let Some(task) = self.tasks.get(&lane) {
            return task.tid;
        }
        let tid = FIRST_TASK + u32::try_from(self.tasks.len()).expect("fewer lanes than numbers");
        self.tasks.insert(lane, Task { tid, open: Vec::new() });
        self.thread_name(TASKS, tid, if lane.is_empty() { "<boot>" } else { lane.as_str() });
        tid
    }

    fn thread_name(&mut self, pid: u32, tid: u32, name: &str) {
        self.begin("M", pid, Some(tid));
        self.text("name", "thread_name");
        self.args(&[("name", name.into())]);
    }

    /// Another lane has the CPU, or none.
    fn runs(&mut self, cpu: u32, lane: Option<LaneName>) {
        let tid = cpu + 1;
        if !self.cpus.contains_key(&cpu) {
            self.thread_name(CPUS, tid, &format!("CPU{cpu}"));
        }
        let before = self.cpus.insert(cpu, lane).flatten();
        if before == lane {
            return;
        }
        if before.is_some() {
            self.timed("E", CPUS, tid);
        }
        if let Some(lane) = lane {
            self.timed("B", CPUS, tid);
            self.text("name", if lane.is_empty() { "<boot>" } else { lane.as_str() });
        }
    }

    /// A function's entry, or a call that is not opened.
    fn slice(&mut self, ph: &str, tid: u32, func: &str, args: &Args, rc: Option<i64>) {
        self.timed(ph, TASKS, tid);
        if ph == "X" {
            self.duration();
        }
        self.text("name", func.trim_end_matches("()"));
        let rc = rc.map(|rc| words::rc(func, rc));
        if args.is_empty() && rc.is_none() {
            return;
        }
        self.line.extend(b",\"args\":{");
        let mut comma = "";
        for (name, value) in args {
            self.write(format_args!("{comma}\"{name}\":"));
            serde_json::to_writer(&mut self.line, value).expect("memory takes everything");
            comma = ",";
        }
        if let Some(rc) = rc {
            self.write(format_args!("{comma}\"returns\":\"{rc}\""));
        }
        self.line.push(b'}');
    }

    fn memory_slice(&mut self, tid: u32, name: &str, args: &[(&str, serde_json::Value)]) {
        self.timed("X", TASKS, tid);
        self.duration();
        self.text("name", name);
        self.args(args);
    }

    /// Whatever was entered after this function and not left ends here, too: slices must nest.
    fn leave(&mut self, lane: LaneName, func: &'static str, rc: Option<i64>) {
        let Some(task) = self.tasks.get_mut(&lane) else { return };
        let tid = task.tid;
        let Some(at) = task.open.iter().rposition(|open| *open == func) else { return };
        let ends = task.open.len() - at;
        task.open.truncate(at);
        for left in (0..ends).rev() {
            self.timed("E", TASKS, tid);
            if let (0, Some(rc)) = (left, rc) {
                self.args(&[("returns", words::rc(func, rc).into())]);
            }
        }
    }

    /// Ends what a lane has open.
    fn close(&mut self, lane: LaneName) {
        let Some(task) = self.tasks.get_mut(&lane) else { return };
        let (tid, open) = (task.tid, std::mem::take(&mut task.open));
        for _ in open {
            self.timed("E", TASKS, tid);
        }
    }

    fn close_all(&mut self) {
        self.nth += 1;
        let lanes: Vec<_> = self.tasks.keys().copied().collect();
        lanes.into_iter().for_each(|lane| self.close(lane));
        let cpus: Vec<_> = self.cpus.keys().copied().collect();
        cpus.into_iter().for_each(|cpu| self.runs(cpu, None));
    }

    fn memory(&mut self) {
        let (bytes, allocations) = (self.bytes, self.live.len());
        self.timed("C", COUNTERS, 0);
        self.text("name", "memory");
        self.write(format_args!(",\"args\":{{\"bytes\":{bytes}}}"));
        self.timed("C", COUNTERS, 0);
        self.text("name", "allocations");
        self.write(format_args!(",\"args\":{{\"live\":{allocations}}}"));
    }

    fn moved(&mut self, moved: Move) {
        let (sock, change): (_, fn(u64) -> u64) = match moved {
            Move::Queued { sock, .. } => (sock, |n| n + 1),
            Move::Left { sock, .. } => (sock, |n| n.saturating_sub(1)),
            Move::Told { .. } => return,
        };
        let waiting = self.waiting.entry(sock).or_default();
        *waiting = change(*waiting);
        let waiting = *waiting;
        self.timed("C", COUNTERS, 0);
        self.text("name", &format!("queue of socket {sock}"));
        self.write(format_args!(",\"args\":{{\"messages\":{waiting}}}"));
    }

    /// Something that takes no time; `scope` is `t` for its track or `g` for everything.
    fn instant(&mut self, tid: u32, scope: &str, name: &str, args: &[(&str, serde_json::Value)]) {
        self.timed("i", TASKS, tid);
        self.text("s", scope);
        self.text("name", name);
        if !args.is_empty() {
            self.args(args);
        }
    }

    /// Begins an object; the one before it ends.
    fn begin(&mut self, ph: &str, pid: u32, tid: Option<u32>) {
        if !self.line.is_empty() {
            self.line.push(b'}');
        }
        self.line.extend(if self.first { &b"\n"[..] } else { b",\n" });
        self.first = false;
        self.write(format_args!("{{\"ph\":\"{ph}\",\"pid\":{pid}"));
        if let Some(tid) = tid {
            self.write(format_args!(",\"tid\":{tid}"));
        }
    }

    /// Begins an object that has a time. Counters have no track: 0.
    fn timed(&mut self, ph: &str, pid: u32, tid: u32) {
        self.begin(ph, pid, (tid > 0).then_some(tid));
        let (step, nth) = (self.step, self.nth.min(STEP - 1));
        self.write(format_args!(",\"ts\":{step}.{nth:03}"));
    }

    /// Of what is over at once: until the next event, as far as there is room.
    fn duration(&mut self) {
        let nanosecond = u8::from(self.nth < STEP - 1);
        self.write(format_args!(",\"dur\":0.00{nanosecond}"));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.write(format_args!(",\"{key}\":"));
        serde_json::to_writer(&mut self.line, text).expect("memory takes everything");
    }

    fn args(&mut self, args: &[(&str, serde_json::Value)]) {
        for (i, (name, value)) in args.iter().enumerate() {
            self.write(format_args!("{}\"{name}\":{value}", if i == 0 { ",\"args\":{" } else { "," }));
        }
        self.line.push(b'}');
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.line.write_fmt(text).expect("memory takes everything");
    }

    /// Ends the last object, and hands all of them over.
    fn flush_line(&mut self) {
        if self.line.is_empty() {
            return;
        }
        self.line.push(b'}');
        if let (Some(out), None) = (&mut self.out, &self.error)
            && let Err(error) = out.write_all(&self.line)
        {
            self.error = Some(error);
        }
        self.line.clear();
    }
}
