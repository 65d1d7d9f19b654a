//! One case's machine: what stands before the measured part, and calls whose lane may die.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use fork_model::pid::PIDMAP_PAGE;
use serde_json::Value;
use sim::mm::{FaultRule, Times};
use sim::trace::Recording;
use sim::{Calm, Errno, Event, Gfp, Machine, Rule, What};
use uevent::Core;
use uevent::af_netlink::netlink_proto_init;
use uevent::kobject::{KobjId, kobject_init, kobject_set_name};
use uevent::kobject_uevent::kobject_uevent_init;
use uevent::vsprintf::Arg;

use super::record;

/// A machine on which the netlink protocol has been registered, as at the start of every case.
pub struct Bench {
    /// The machine.
    pub m: Rc<Machine>,
    /// The core under test.
    pub core: Rc<Core>,
    recording: Recording,
    /// Allocations before the measured part: the vectors number from there.
    before: Cell<u64>,
    /// What a free of something from before calls its site.
    pub before_site: Cell<&'static str>,
    /// The vectors' number of a socket, by the model's.
    pub socks: RefCell<BTreeMap<u32, i64>>,
    /// How far past its end each live allocation of the measured part was written, by site.
    pub overflows: RefCell<BTreeMap<&'static str, u64>>,
}

impl Bench {
    /// With 64-byte cache lines.
    pub fn new() -> Bench {
        Bench::with(sim::Config::default(), uevent::Config::default())
    }

    /// A bench of any configuration.
    pub fn with(machine: sim::Config, config: uevent::Config) -> Bench {
        let m = Machine::new(machine, Calm);
        Bench::around(Rc::new(Core::new(m, config).expect("a configuration that links")))
    }

    /// A bench around a core that has seen no initcall, on the core's own machine.
    pub fn around(core: Rc<Core>) -> Bench {
        let m = core.m.clone();
        let recording = m.trace.record();
        let bench = Bench {
            m,
            core,
            recording,
            before: Cell::new(0),
            before_site: Cell::new("before"),
            socks: RefCell::default(),
            overflows: RefCell::default(),
        };
        bench.must(async |core: &Core| netlink_proto_init(core).await);
        bench.measure();
        bench
    }

    /// Runs kernel code in a lane of its own; `None` if the lane died.
    pub fn run<R: 'static>(&self, work: impl AsyncFnOnce(&Core) -> R + 'static) -> Option<R> {
        let result = Rc::new(Cell::new(None));
        self.m.spawn("t", {
            let (core, result) = (self.core.clone(), result.clone());
            async move { result.set(Some(work(&core).await)) }
        });
        self.m.run();
        result.take()
    }

    /// Runs kernel code that cannot die: what a case has before its measured part.
    pub fn must<R: 'static>(&self, work: impl AsyncFnOnce(&Core) -> R + 'static) -> R {
        self.run(work).expect("nothing kills the preparation of a case")
    }

    /// The measured part starts here.
    pub fn measure(&self) {
        let counters = self.m.mem.counters();
        self.before.set(counters.allocs + counters.failed);
        drop(self.recording.take());
    }

    /// The vectors' number of an allocation: from 1, or -1 for one from before the measured part.
    pub fn seq(&self, seq: u64) -> i64 {
        i64::try_from(seq)
            .ok()
            .and_then(|seq| seq.checked_sub_unsigned(self.before.get()))
            .filter(|n| *n > 0)
            .unwrap_or(-1)
    }

    /// What happened since the last look.
    pub fn events(&self) -> Vec<Event> {
        self.recording.take()
    }

    /// The same as trace entries.
    pub fn trace(&self) -> Vec<Value> {
        record::entries(self, &self.events())
    }

    /// Sites that fail from now on, each once: `site`, or `site#k` for its k-th allocation.
    pub fn fail(&self, sites: &[String]) {
        self.m.mem.faults(|faults| {
            faults.clear();
            for site in sites {
                let (site, nth) = site.split_once('#').unwrap_or((site, "1"));
                let known = uevent::site::ALL.iter().chain([&PIDMAP_PAGE]).any(|known| known.0 == site);
                assert!(known, "{site} is no allocation site of this path");
                let nth = nth.parse().expect("site#k");
                faults.add(FaultRule { site: Some(site.into()), nth, times: Times::Count(1) });
            }
        });
    }

    /// `BUG`, `OOPS` or null: how the last lane died.
    pub fn crash(&self) -> Value {
        match self.m.violations().iter().rev().find(|v| matches!(v.rule, Rule::Bug | Rule::Oops)) {
            Some(violation) if violation.rule == Rule::Bug => "BUG".into(),
            Some(_) => "OOPS".into(),
            None => Value::Null,
        }
    }

    /// A kobject, named with `%s` and initialised; `None` leaves the name NULL.
    pub fn kobject(&self, name: Option<Vec<u8>>, parent: Option<KobjId>) -> KobjId {
        let kobj = self.core.new_kobject();
        self.core.kobj(kobj, |k| k.parent = parent);
        kobject_init(&self.core, kobj);
        if let Some(name) = name {
            let named =
                self.must(async move |core: &Core| kobject_set_name(core, kobj, b"%s", || vec![Arg::Str(&name)]).await);
            named.expect("no fault was asked for");
        }
        kobj
    }

    /// Creates the kernel socket, slot 0, if the case has one.
    pub fn uevent_init(&self, wanted: bool) {
        if wanted {
            let made = self.must(async |core: &Core| kobject_uevent_init(core).await);
            made.expect("no fault was asked for");
            let number = self.core.uevent_sock().map(|sk| self.core.sock(sk, |s| s.number));
            self.socks.borrow_mut().insert(number.expect("it was just made"), 0);
        }
    }

    /// What the measured part allocated and did not free: `{seq, site, size}`, and `overflow_by` where it overflowed.
    pub fn live(&self) -> Vec<Value> {
        record::live(self)
    }
}

/// A return code as the vectors have it: number and name.
pub fn rc_json(rc: i64) -> Value {
    serde_json::json!({"rc": rc, "errno": errno_name(rc)})
}

/// The name that the vectors give to a negative return code.
pub fn errno_name(rc: i64) -> Option<&'static str> {
    match u16::try_from(-rc).ok().filter(|number| *number > 0) {
        Some(95) => Some("ENOTSUP"), // Another name of EOPNOTSUPP.
        Some(number) => Some(Errno::from_number(number).name().unwrap_or("?")),
        None => None,
    }
}

/// Flags of an input; the name must be that of the number.
pub fn gfp(number: u32, name: Option<&str>) -> Gfp {
    assert!(name.is_none_or(|name| name == Gfp(number).to_string()), "gfp {number} is not {name:?}");
    Gfp(number)
}

/// The messages that were broadcast.
pub fn messages(events: &[Event]) -> Vec<Value> {
    let message = |event: &Event| match &event.what {
        What::Enter { func: "netlink_broadcast", args } => Some(record::value(record::arg(args, "data"))),
        _ => None,
    };
    events.iter().filter_map(message).collect()
}
