//! Typed events of a run, recorded only when somebody looks; their JSON, and its hash.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::lane::LaneName;
use crate::machine::Machine;
use crate::mm::{Gfp, Kind};
use crate::rare;
use crate::violation::Violation;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The step in which it happened; 0 before the first.
    pub step: u64,
    /// The CPU.
    pub cpu: u32,
    /// The lane; empty outside of every lane.
    pub lane: LaneName,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// An argument of a traced call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number or a flag.
    Int(i64),
    /// A name that the model itself uses.
    Name(&'static str),
    /// Bytes as the kernel has them, of any content.
    Bytes(Vec<u8>),
    /// Several of them, in order.
    List(Vec<Vec<u8>>),
}

impl Value {
    /// Bytes as text: printable ASCII as it is, NUL as `\0`, backslash as `\\`, all else as `\xNN`.
    #[must_use]
    pub fn shown(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        for &byte in bytes {
            match byte {
                0 => text.push_str("\\0"),
                b'\\' => text.push_str("\\\\"),
                b' '..=b'~' => text.push(byte.into()),
                _ => write!(text, "\\x{byte:02x}").expect("a String takes everything"),
            }
        }
        text
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Int(n) => s.serialize_i64(*n),
            Value::Name(name) => s.serialize_str(name),
            Value::Bytes(bytes) => s.serialize_str(&Value::shown(bytes)),
            Value::List(list) => s.collect_seq(list.iter().map(|bytes| Value::shown(bytes))),
        }
    }
}

macro_rules! from_int {
    ($($t:ty)*) => { $(impl From<$t> for Value { fn from(n: $t) -> Value { Value::Int(n.into()) } })* };
}
from_int!(i32 u32 i64 bool u8);

impl From<usize> for Value {
    fn from(n: usize) -> Value {
        Value::Int(i64::try_from(n).expect("sizes of a simulated kernel fit in 63 bits"))
    }
}

impl From<&'static str> for Value {
    fn from(name: &'static str) -> Value {
        Value::Name(name)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value::Bytes(bytes.to_vec())
    }
}

/// Arguments of a call, in order, by the names that the kernel gives them.
pub type Args = Vec<(&'static str, Value)>;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A modelled function was entered.
    Enter {
        /// Its name in the kernel.
        func: &'static str,
        /// Its arguments.
        #[serde(serialize_with = "as_map")]
        args: Args,
    },
    /// It returned.
    Leave {
        /// Its name in the kernel.
        func: &'static str,
        /// What it returned, if not void.
        rc: Option<i64>,
    },
    /// A function that the model does not open was called and returned, or a lock operation, or a callback.
    Call {
        /// Its name in the kernel.
        func: &'static str,
        /// Its arguments.
        #[serde(serialize_with = "as_map")]
        args: Args,
        /// What it returned, if not void.
        rc: Option<i64>,
    },
    /// An allocation was tried.
    Alloc {
        /// Its number in this run, from 1; failed ones count.
        seq: u64,
        /// Where it stands in the code.
        site: &'static str,
        /// From which allocator.
        kind: Kind,
        /// Bytes asked for.
        size: u32,
        /// With which flags.
        gfp: Gfp,
        /// Whether it succeeded.
        ok: bool,
    },
    /// Something was freed. `seq` 0 and no site: a NULL pointer.
    Free {
        /// The number of the allocation.
        seq: u64,
        /// The site of the allocation.
        site: Option<&'static str>,
        /// The function that freed it.
        by: &'static str,
    },
    /// The lane waits.
    Wait {
        /// For this.
        on: &'static str,
    },
    /// The lane made another one runnable.
    Wake {
        /// The other one; in JSON `wakes`, as `lane` is the one that does this.
        #[serde(rename = "wakes")]
        lane: LaneName,
    },
    /// The lane ended.
    End,
    /// A line of the kernel's log.
    Printk {
        /// The line as formatted, with its level.
        text: String,
    },
    /// `BUG()`.
    Bug {
        /// The C file.
        file: &'static str,
        /// The function.
        func: &'static str,
    },
    /// A NULL pointer was followed.
    Oops {
        /// The function.
        func: &'static str,
    },
    /// `WARN_ON()`.
    WarnOn {
        /// The C file.
        file: &'static str,
        /// The function.
        func: &'static str,
    },
    /// A rule was broken. Its step and its lane may be others than those of the event, so JSON has it as an object.
    #[serde(serialize_with = "as_object")]
    Violation(Violation),
}

fn as_map<S: Serializer>(args: &Args, s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(args.iter().map(|(name, value)| (name, value)))
}

fn as_object<S: Serializer>(violation: &Violation, s: S) -> Result<S::Ok, S::Error> {
    s.collect_map([("violation", violation)])
}

/// A recording that outlives the run and can be read from another thread, also after a panic of the run.
///
/// That is why its lock is one that does not poison.
#[derive(Clone, Debug, Default)]
pub struct Recording(Arc<Mutex<Vec<Event>>>);

impl Recording {
    /// The events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }

    /// Takes the events so far out of the recording.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Gets every event of a run as it happens.
pub trait Sink {
    /// One event.
    fn event(&mut self, event: &Event);
}

impl Sink for Recording {
    fn event(&mut self, event: &Event) {
        self.0.lock().push(event.clone());
    }
}

/// SHA-256 of the JSON trace: one event a line, each line ended by a newline.
#[derive(Clone, Debug, Default)]
struct Hash {
    sha: Sha256,
    line: Vec<u8>,
}

impl Sink for Hash {
    fn event(&mut self, event: &Event) {
        self.line.clear();
        write_json(event, &mut self.line);
        self.sha.update(&self.line);
    }
}

/// One event as a line of the JSON trace.
pub fn write_json(event: &Event, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, event).expect("events have no map keys but strings, and memory takes everything");
    out.push(b'\n');
}

/// Who looks at a run. Nobody, by default: then an event costs the test of a flag, and is not even built.
#[derive(Default)]
pub struct Trace {
    on: Cell<bool>,
    /// Somebody looks, or an explorer wants to hear what is touched: so that hot code asks once.
    seen: Cell<bool>,
    explored: Cell<bool>,
    hash: RefCell<Option<Box<Hash>>>,
    sinks: RefCell<Vec<Box<dyn Sink>>>,
}

impl Trace {
    /// Records every event from now on.
    pub fn record(&self) -> Recording {
        let recording = Recording::default();
        self.attach(recording.clone());
        recording
    }

    /// Gives every event from now on to `sink`, too.
    pub fn attach(&self, sink: impl Sink + 'static) {
        self.attach_boxed(Box::new(sink));
    }

    /// The same, for a sink that is boxed already.
    pub fn attach_boxed(&self, sink: Box<dyn Sink>) {
        self.sinks.borrow_mut().push(sink);
        self.start();
    }

    /// Hashes every event from now on; see [`Trace::hash`].
    pub fn start_hash(&self) {
        *self.hash.borrow_mut() = Some(Box::default());
        self.start();
    }

    fn start(&self) {
        self.on.set(true);
        self.seen.set(true);
    }

    /// Nobody looks any more.
    pub(crate) fn forget(&self) {
        let Trace { on, seen, explored, hash, sinks } = self;
        explored.set(false);
        seen.set(false);
        if on.replace(false) {
            hash.take();
            sinks.borrow_mut().clear();
        }
    }

    /// An explorer wants to hear what is touched.
    pub(crate) fn explore(&self, explored: bool) {
        self.explored.set(explored);
        self.seen.set(explored || self.on.get());
    }

    /// Whether an explorer does.
    #[inline(always)]
    pub(crate) fn is_explored(&self) -> bool {
        rare(self.explored.get())
    }

    /// Whether there is anybody for whom [`Machine::touch`] or [`Trace::emit`] would do anything.
    #[inline(always)]
    pub(crate) fn is_seen(&self) -> bool {
        rare(self.seen.get())
    }

    /// The hash of the events since [`Trace::start_hash`]: SHA-256, in hex, of the JSON trace, newlines included.
    ///
    /// Equal on every machine, build profile and thread count; `sha256sum` of the JSON trace prints the same.
    #[must_use]
    pub fn hash(&self) -> Option<String> {
        let sha = self.hash.borrow().as_ref()?.sha.clone().finalize();
        Some(sha.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
    }

    /// Whether anybody looks.
    #[inline(always)]
    #[must_use]
    pub fn is_on(&self) -> bool {
        rare(self.on.get())
    }

    /// One event, built only if somebody looks.
    #[inline]
    pub fn emit(&self, m: &Machine, what: impl FnOnce() -> What) {
        if self.is_on() {
            self.deliver(m, what());
        }
    }

    #[cold]
    fn deliver(&self, m: &Machine, what: What) {
        if m.closing.get() {
            return;
        }
        let event = Event { step: m.step(), cpu: m.cpu(), lane: m.lane_name(), what };
        if let Some(hash) = &mut *self.hash.borrow_mut() {
            hash.event(&event);
        }
        self.sinks.borrow_mut().iter_mut().for_each(|sink| sink.event(&event));
    }
}

impl Machine {
    /// Traces the entry of a modelled function; its [`Machine::leave`] must follow on every way out.
    #[inline]
    pub fn enter(&self, func: &'static str, args: impl FnOnce() -> Args) {
        self.trace.emit(self, || What::Enter { func, args: args() });
    }

    /// Traces the return of a modelled function.
    #[inline]
    pub fn leave(&self, func: &'static str, rc: Option<i64>) {
        self.trace.emit(self, || What::Leave { func, rc });
    }

    /// Traces calls of functions that the model does not open and that return nothing, one after the other.
    #[inline]
    pub fn calls(&self, funcs: &[&'static str]) {
        if self.trace.is_on() {
            funcs.iter().for_each(|func| self.call(func, Vec::new, None));
        }
    }

    /// Traces a call that the model does not open.
    #[inline]
    pub fn call(&self, func: &'static str, args: impl FnOnce() -> Args, rc: Option<i64>) {
        self.trace.emit(self, || What::Call { func, args: args(), rc });
    }
}
