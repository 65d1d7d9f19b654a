//! How things stand between two events: who is where, who holds which lock, what lives, what is on its way.
//!
//! All of it is read from the trace but the queues, which are looked at between two steps: a step belongs to one lane alone,
//! so that a queue which an event changes is as it will be after that step.

use sim::mm::Kind;
use sim::trace::{Args, Event, What};
use sim::{Gfp, LaneName, Value};

use super::run::Queue;
use crate::render::words;

/// One lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// Its name.
    pub name: LaneName,
    /// The CPU on which it last did something.
    pub cpu: u32,
    /// The functions that it is in, outermost first: the name, and the call as C writes it.
    pub stack: Vec<(&'static str, String)>,
    /// The locks that it holds, in the order in which it took them, and by which function.
    pub locks: Vec<(&'static str, &'static str)>,
    /// What it waits for.
    pub waits: Option<&'static str>,
    /// It is over.
    pub ended: bool,
}

impl LaneView {
    /// Whether interrupts are off.
    #[must_use]
    pub fn irqs_off(&self) -> bool {
        self.locks.iter().any(|(_, by)| by.contains("_irq"))
    }

    /// Whether it must not sleep: a semaphore lets its holder sleep, a spinlock does not.
    #[must_use]
    pub fn is_atomic(&self) -> bool {
        self.locks.iter().any(|(_, by)| !by.starts_with("down_"))
    }
}

/// One allocation that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its number.
    pub seq: u64,
    /// Where it was made.
    pub site: &'static str,
    /// From which allocator.
    pub kind: Kind,
    /// Bytes asked for.
    pub size: u32,
    /// With which flags.
    pub gfp: Gfp,
    /// By whom.
    pub lane: LaneName,
    /// When.
    pub step: u64,
}

/// The message that is being made, or was made last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// What `kobject_fork()` was told: the parent's pid and the child's. Its slots say these.
    pub pids: Option<(i32, i32)>,
    /// The table of slots is allocated, and filled.
    pub slots: bool,
    /// What `alloc_skb()` was asked for, in bytes.
    pub asked: Option<i64>,
    /// The bytes, once they are written.
    pub bytes: Vec<u8>,
    /// What a receiver is charged for it, untrimmed.
    pub truesize: i64,
    /// What `netlink_broadcast()` returned.
    pub rc: Option<i64>,
}

/// How things stand after an event; the first one, before all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The step.
    pub step: u64,
    /// Who did the last thing; empty before the first.
    pub lane: LaneName,
    /// Everybody who has done anything, in the order of the first deed.
    pub lanes: Vec<LaneView>,
    /// What the run has allocated and not freed.
    pub live: Vec<Live>,
    /// The message.
    pub wire: Wire,
    /// What each listener's socket holds.
    pub queues: Vec<Queue>,
}

impl Frame {
    /// The lane that did the last thing.
    #[must_use]
    pub fn current(&self) -> Option<&LaneView> {
        self.lanes.iter().find(|lane| lane.name == self.lane)
    }

    fn lane(&mut self, event: &Event) -> &mut LaneView {
        let known = self.lanes.iter().position(|lane| lane.name == event.lane);
        let at = known.unwrap_or_else(|| {
            let new = LaneView {
                name: event.lane,
                cpu: event.cpu,
                stack: Vec::new(),
                locks: Vec::new(),
                waits: None,
                ended: false,
            };
            self.lanes.push(new);
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    /// The same, after one more event; the queues stay.
    fn after(&self, event: &Event) -> Frame {
        let mut next = self.clone();
        next.step = event.step;
        if event.lane.is_empty() {
            return next;
        }
        next.lane = event.lane;
        let lane = next.lane(event);
        lane.cpu = event.cpu;
        lane.waits = None;
        match &event.what {
            What::Enter { func, args } => {
                lane.stack.push((func, words::call(func, args)));
                next.wire.enter(func, args);
            }
            What::Leave { func, rc } => {
                if let Some(at) = lane.stack.iter().rposition(|(open, _)| open == func) {
                    lane.stack.truncate(at);
                }
                next.wire.leave(func, *rc);
            }
            What::Call { func, args, .. } if words::is_lock(args) => lane.lock(func, args),
            What::Alloc { seq, site, kind, size, gfp, ok } => {
                let (lane, step) = (event.lane, event.step);
                next.wire.slots |= *ok && *site == uevent::site::FORK_ENVP.0;
                if *ok {
                    next.live.push(Live { seq: *seq, site, kind: *kind, size: *size, gfp: *gfp, lane, step });
                }
            }
            What::Free { seq, .. } => next.live.retain(|live| live.seq != *seq),
            What::Wait { on } => lane.waits = Some(on),
            What::End => (lane.ended, lane.stack) = (true, Vec::new()),
            _ => {}
        }
        next
    }
}

impl LaneView {
    fn lock(&mut self, func: &'static str, args: &Args) {
        let Some((_, Value::Name(lock))) = args.first() else { return };
        if words::unlocks(func) {
            if let Some(at) = self.locks.iter().rposition(|(held, _)| held == lock) {
                self.locks.remove(at);
            }
        } else {
            self.locks.push((lock, func));
        }
    }
}

impl Wire {
    fn enter(&mut self, func: &str, args: &Args) {
        let pid = |name| words::int(args, name).and_then(|n| i32::try_from(n).ok());
        match func {
            "kobject_fork" => *self = Wire { pids: pid("parent").zip(pid("child")), ..Wire::default() },
            "cn_netlink_send" => *self = Wire::default(),
            "alloc_skb" => self.asked = words::int(args, "size"),
            "netlink_broadcast" => {
                self.bytes = words::message(func, args).unwrap_or_default().to_vec();
                self.truesize = words::int(args, "truesize").unwrap_or(0);
            }
            _ => {}
        }
    }

    fn leave(&mut self, func: &str, rc: Option<i64>) {
        match func {
            "netlink_broadcast" => self.rc = rc,
            // The table is gone; the message, if it was sent, has a life of its own.
            "kobject_fork" => self.slots = false,
            _ => {}
        }
    }
}

/// Whether this event changes what the queue holds.
fn changes(event: &Event, queue: &Queue) -> bool {
    match &event.what {
        What::Call { func: "sk_data_ready" | "sk_error_report", args, .. } => {
            words::int(args, "sock") == Some(queue.sock.into())
        }
        What::Free { .. } | What::Wait { .. } => event.lane.as_str() == queue.listener,
        _ => false,
    }
}

/// The frames of a run: one before the first event, one after each. `queues` are those before each step, `last` those at the
/// end.
pub(super) fn frames(events: &[Event], queues: &[(u64, Vec<Queue>)], last: &[Queue]) -> Vec<Frame> {
    let before = |step: u64| {
        let at = queues.partition_point(|(of, _)| *of <= step);
        at.checked_sub(1).map_or(&[][..], |at| queues[at].1.as_slice())
    };
    let after = |step: u64| {
        let at = queues.partition_point(|(of, _)| *of <= step);
        queues.get(at).map_or(last, |(_, queues)| queues.as_slice())
    };
    let mut frames = Vec::with_capacity(events.len() + 1);
    let first = queues.first().map_or(last, |(_, queues)| queues.as_slice());
    frames.push(Frame { queues: first.to_vec(), ..Frame::default() });
    for event in events {
        let previous = frames.last().expect("there is a first");
        let mut next = previous.after(event);
        if event.step != previous.step {
            next.queues = before(event.step).to_vec();
        }
        for queue in after(event.step) {
            match next.queues.iter_mut().find(|known| known.sock == queue.sock) {
                Some(known) if changes(event, known) => *known = queue.clone(),
                _ => {}
            }
        }
        frames.push(next);
    }
    frames
}
