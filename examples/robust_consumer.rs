//! A process tree from process events that keeps every law of `forklab::testkit`.
//!
//! `cargo run --example robust_consumer -- 'v1 process fork:1>10 overrun exit:10'` shows what it makes of a script.
//!
//! Four ideas carry it:
//! - What is believed is a function of what was heard, not of the order in which it was: of each pid, the latest birth
//!   and the latest death, by the time that the kernel wrote into the message.
//! - A parent is who had the pid *then*: one that was born later, or is dead, is nobody's parent, and process 1 is.
//! - After a loss it reads all that is queued, then `/proc`: until the queue is empty the kernel's latch loses all that
//!   follows. What was read from `/proc` has a time, too: messages that are older and come late are in it already.
//! - Numbers are looked at even where the message says nothing new: a gap is a loss like `ENOBUFS`.

use std::collections::BTreeMap;

use forklab::testkit::{
    Arrival, Consumer, Ids, Order, ProcEvent, Script, Sender, Truth, UeventSource, View, Wait, What, parse_event,
    per_cpu,
};

/// How long a death is remembered: no message comes so much later than one that was sent after it.
const LATE_NS: u64 = 10_000_000_000;

#[derive(Clone, Copy)]
struct Birth {
    parent: i32,
    at_ns: u64,
}

/// What is believed, and what must be known to believe the right thing.
#[derive(Default)]
pub struct Robust {
    births: BTreeMap<i32, Birth>,
    deaths: BTreeMap<i32, u64>,
    order: Order,
    /// What is older was in `/proc` when it was read.
    known_ns: u64,
    lost: bool,
    /// There is nothing more to read.
    drained: bool,
}

impl Robust {
    fn hear(&mut self, event: &ProcEvent) {
        let at_ns = event.timestamp_ns;
        match event.what {
            _ if at_ns <= self.known_ns => {}
            What::Fork(ids) if ids.child_pid == ids.child_tgid => {
                let birth = Birth { parent: ids.parent_tgid, at_ns };
                let latest = self.births.entry(ids.child_pid).or_insert(birth);
                *latest = if latest.at_ns < at_ns { birth } else { *latest };
            }
            What::Exit { ids: Ids { pid, tgid }, .. } if pid == tgid => {
                let latest = self.deaths.entry(pid).or_default();
                *latest = at_ns.max(*latest);
                self.forget(at_ns);
            }
            _ => {}
        }
    }

    /// Nobody asks for those who died long ago.
    fn forget(&mut self, now_ns: u64) {
        if self.deaths.len() > self.births.len() + 1_000 {
            let (births, deaths) = (&mut self.births, &self.deaths);
            births.retain(|pid, birth| deaths.get(pid).is_none_or(|&died| died < birth.at_ns));
            self.deaths.retain(|_, died| *died + LATE_NS > now_ns);
        }
    }

    fn living(&self, pid: i32) -> Option<Birth> {
        let birth = *self.births.get(&pid)?;
        self.deaths.get(&pid).is_none_or(|&died| died < birth.at_ns).then_some(birth)
    }

    fn parent(&self, child: Birth) -> i32 {
        let then = self.living(child.parent).is_some_and(|parent| parent.at_ns <= child.at_ns);
        // Process 1 gets the children of whoever exits; process 1 itself has the parent 0.
        if then || child.parent == 0 { child.parent } else { 1 }
    }
}

impl Consumer for Robust {
    fn handle(&mut self, arrival: Arrival<'_>) {
        self.drained = arrival == Arrival::Nothing;
        match arrival {
            Arrival::Message(datagram) if datagram.sender == Sender::KERNEL => {
                let number = per_cpu(datagram.bytes);
                let gap = number.and_then(|(stream, number)| self.order.saw(stream, number));
                self.lost |= gap.is_some();
                if let Some(event) = parse_event(datagram.bytes) {
                    self.hear(&event);
                }
            }
            Arrival::Lost(_) => self.lost = true,
            Arrival::Message(_) | Arrival::Refused(..) | Arrival::Nothing | Arrival::End => {}
        }
    }

    fn needs_resync(&self) -> bool {
        self.lost && self.drained
    }

    fn resync(&mut self, truth: &Truth) {
        let births = truth.processes.iter().map(|(&pid, p)| (pid, Birth { parent: p.parent, at_ns: p.born_ns }));
        self.births = births.collect();
        self.deaths.clear();
        self.known_ns = truth.now_ns;
        self.lost = false;
    }

    fn view(&self) -> View {
        let living = self.births.keys().filter_map(|&pid| Some((pid, self.living(pid)?)));
        View::of_processes(living.map(|(pid, birth)| (pid, self.parent(birth))))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let line = std::env::args().nth(1).unwrap_or("v1 process fork:1>10 fork:10>11 overrun exit:10".into());
    let script = Script::from_line(&line)?;
    let (mut kernel, mut consumer) = (script.kernel(), Robust::default());
    consumer.resync(kernel.truth());
    loop {
        match kernel.receive(Wait::No)? {
            Arrival::End => break,
            arrival => consumer.handle(arrival),
        }
        if consumer.needs_resync() {
            consumer.resync(kernel.truth());
            kernel.resynced();
        }
    }
    println!("{}\nThe view:\n{}\nThe truth:\n{}", script.stream(), consumer.view(), kernel.truth());
    Ok(())
}
