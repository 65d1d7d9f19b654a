//! The kernel that follows a script: it makes things happen, queues messages, and loses them as AF_NETLINK does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use uevent::source::{Arrival, Credentials, Datagram, Loss, Sender, Stream, Trust, UeventSource, Wait};

use super::bytes::{Dress, garbage, message, no_text_before};
use super::fact::{Fact, TICK_NS, facts};
use super::script::{Format, Script};
use super::step::Step;
use super::truth::Truth;

/// A kernel that follows a [`Script`]: [`UeventSource`] for the consumer, [`Truth`] for whoever resynchronises or judges.
///
/// It goes on while the consumer waits in [`receive`](UeventSource::receive): when nothing is queued it takes steps up
/// to the next event, or as many as a `burst` has. With [`Wait::No`] and [`Wait::AtMost`] the consumer first gets
/// [`Arrival::Nothing`] when it has read what was there, and again as often as `silence` says; with [`Wait::Block`] never.
///
/// # The receive buffer
/// It is that of the simulated kernel (`uevent::af_netlink`), in numbers: each message is charged with its bytes and
/// those of a `struct sk_buff`, after it was admitted; one that finds more charged than `rcvbuf` is lost, sets the latch
/// and makes the next receive say `ENOBUFS`, ahead of what is queued; while the latch is set everything is lost, and
/// nothing more is said, until the reader has drained the queue.
///
/// DIFFERENCE: kernels of today charge more for a small message (Linux 6.18: 832 bytes for 24, `docs/parity.md`).
#[derive(Clone, Debug)]
pub struct Kernel {
    script: Script,
    /// Steps that were taken.
    taken: usize,
    truth: Truth,
    trust: Trust,
    queue: VecDeque<Sent>,
    charged: u32,
    latch: bool,
    /// `sk_err`: the next receive says ENOBUFS.
    overrun: bool,
    next: Next,
    /// Messages that will come later.
    held: Vec<Held>,
    /// Events that the reader sleeps through.
    asleep: u16,
    silence: u16,
    /// The reader took something since it last found nothing.
    fresh: bool,
    numbers: BTreeMap<u32, u64>,
    sent: u64,
    unseen: Unseen,
    /// What the reader holds.
    current: Sent,
    notes: Vec<(usize, String)>,
}

/// What will be done to the next message.
#[derive(Clone, Copy, Debug, Default)]
struct Next {
    overrun: bool,
    lose: u16,
    dup: Option<u16>,
    late: Option<u16>,
    cut: Option<u16>,
    big: Option<u16>,
    non_utf8: bool,
    spoof: bool,
}

#[derive(Clone, Debug)]
struct Sent {
    bytes: Vec<u8>,
    sender: Sender,
    cut: Option<u16>,
    cpu: u32,
    /// Whose number it has; none for what is not to be believed.
    stream: Option<Stream>,
    /// The how manyth it is, in the order of what happened.
    serial: u64,
}

#[derive(Clone, Debug)]
struct Held {
    sent: Sent,
    others: u16,
    /// It is a second copy: nothing waits for it.
    copy: bool,
}

/// Losses that no reader can know of yet.
#[derive(Clone, Debug, Default)]
struct Unseen {
    heard: BTreeSet<Stream>,
    /// The last loss of each stream: a later number shows it.
    lost: BTreeMap<Stream, u64>,
    /// A loss that no number will ever show.
    forever: bool,
}

/// Bytes of `struct sk_buff`, with which a message is charged beside its own.
const SK_BUFF: u32 = 232;
/// The stranger of `spoof`.
const STRANGER: Sender = Sender { port: 4711, credentials: Some(Credentials { pid: 4711, uid: 1000 }) };
/// The number that the stranger writes: one that makes everything after it look late.
const FORGED: u64 = 0x7fff_0000;

impl Kernel {
    pub(super) fn new(script: &Script) -> Kernel {
        let nothing = Sent { bytes: Vec::new(), sender: Sender::KERNEL, cut: None, cpu: 0, stream: None, serial: 0 };
        Kernel {
            script: script.clone(),
            taken: 0,
            truth: Truth::default(),
            trust: Trust::Kernel,
            queue: VecDeque::new(),
            charged: 0,
            latch: false,
            overrun: false,
            next: Next::default(),
            held: Vec::new(),
            asleep: 0,
            silence: 0,
            fresh: false,
            numbers: BTreeMap::new(),
            sent: 0,
            unseen: Unseen::default(),
            current: nothing,
            notes: Vec::new(),
        }
    }

    /// The same kernel, behind a source that believes these senders; at first, the kernel alone.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Kernel {
        self.trust = trust;
        self
    }

    /// What there really is now.
    #[must_use]
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// How many steps of the script were taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The consumer has read [`Kernel::truth`]: what was lost before is no longer missing. What a `during` step has
    /// happen meanwhile happens now.
    pub fn resynced(&mut self) {
        self.unseen = Unseen::default();
        if let Some(Step::During(_)) = self.script.steps.get(self.taken) {
            self.turn();
        }
    }

    /// Whether the reader has read all that was there and could know all: nothing is late, no loss is still unknown.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let read = self.queue.is_empty() && !self.overrun;
        read && self.held.iter().all(|held| held.copy) && self.unseen.lost.is_empty() && !self.unseen.forever
    }

    /// What no arrival tells: steps that cannot happen, messages that were lost, what is wrong with a malformed one. With the
    /// number of the step, from 0.
    #[must_use]
    pub fn notes(&self) -> &[(usize, String)] {
        &self.notes
    }

    fn note(&mut self, what: impl Into<String>) {
        self.notes.push((self.taken.saturating_sub(1), what.into()));
    }

    /// Takes steps up to the next event that the reader is awake for; false at the end of the script.
    fn turn(&mut self) -> bool {
        while let Some(step) = self.script.steps.get(self.taken).cloned() {
            self.taken += 1;
            match step {
                Step::Overrun => self.next.overrun = true,
                Step::Lose(n) => self.next.lose = self.next.lose.saturating_add(n),
                Step::Dup(n) => self.next.dup = Some(n),
                Step::Late(n) => self.next.late = Some(n),
                Step::Cut(n) => self.next.cut = Some(n),
                Step::Big(n) => self.next.big = Some(n),
                Step::NonUtf8 => self.next.non_utf8 = true,
                Step::Spoof => self.next.spoof = true,
                Step::Burst(n) | Step::During(n) => self.asleep = self.asleep.max(n),
                Step::Congested(n) => {
                    self.asleep = self.asleep.max(n);
                    self.next.overrun = n > 0;
                }
                Step::Silence(n) if self.asleep == 0 => {
                    self.silence = n;
                    return true;
                }
                Step::Silence(_) => {}
                event => {
                    self.event(&event);
                    self.asleep = self.asleep.saturating_sub(1);
                    if self.asleep == 0 {
                        return true;
                    }
                }
            }
        }
        let more = !self.held.is_empty();
        std::mem::take(&mut self.held).into_iter().for_each(|held| self.admit(held.sent));
        more
    }

    /// Something happens, or a stranger says so, or the kernel talks nonsense.
    fn event(&mut self, step: &Step) {
        if let Step::Garbage(n) = step {
            let mut list = garbage(self.script.format);
            let (what, bytes) = list.swap_remove(usize::from(*n) % list.len());
            self.note(format!("malformed: {what}"));
            return self.admit(Sent { bytes, ..self.plain() });
        }
        let (facts, order) = facts(step, &self.truth);
        if std::mem::take(&mut self.next.spoof) {
            let lie = facts.first().and_then(|fact| message(self.script.format, fact, &self.lie()));
            return lie.into_iter().for_each(|bytes| self.admit(Sent { bytes, sender: STRANGER, ..self.plain() }));
        }
        let began_ns = self.truth.now_ns;
        if !self.truth.happen(&facts) {
            return self.note("cannot happen");
        }
        let times = (1..).map(|n| began_ns + n * TICK_NS);
        let told: Vec<_> = facts.iter().zip(times).map(|(fact, time_ns)| self.tell(fact, time_ns)).collect();
        order.into_iter().for_each(|i| told[i].iter().for_each(|sent| self.send(sent.clone())));
    }

    fn plain(&self) -> Sent {
        Sent { bytes: Vec::new(), sender: Sender::KERNEL, cut: None, cpu: 0, stream: None, serial: self.sent }
    }

    fn lie(&self) -> Dress {
        Dress { number: FORGED, time_ns: self.truth.now_ns + 1_000 * TICK_NS, ..Dress::default() }
    }

    /// The messages about a fact, with their numbers.
    fn tell(&mut self, fact: &Fact, time_ns: u64) -> Vec<Sent> {
        let (format, big, non_utf8) = (self.script.format, self.next.big, self.next.non_utf8);
        let mut told = Vec::new();
        let dress = |number| Dress { number, time_ns, big, non_utf8 };
        if non_utf8 && let Some(bytes) = no_text_before(format, fact, &dress(self.number(fact.cpu))) {
            told.push(self.numbered(fact.cpu, bytes));
        }
        if let Some(bytes) = message(format, fact, &dress(self.number(fact.cpu))) {
            told.push(self.numbered(fact.cpu, bytes));
            (self.next.big, self.next.non_utf8) = (None, false);
        }
        told
    }

    /// The number of the next message.
    fn number(&self, cpu: u32) -> u64 {
        match self.script.format {
            Format::Process => *self.numbers.get(&cpu).unwrap_or(&first_number(cpu)),
            Format::Uevents | Format::Keyed | Format::Bare => self.truth.seqnum + 1,
        }
    }

    fn numbered(&mut self, cpu: u32, bytes: Vec<u8>) -> Sent {
        let number = self.number(cpu);
        let stream = match self.script.format {
            Format::Process => {
                self.numbers.insert(cpu, number + 1);
                Some(Stream::Cpu(cpu))
            }
            Format::Uevents | Format::Keyed => {
                self.truth.seqnum = number;
                Some(Stream::Seqnum)
            }
            Format::Bare => None,
        };
        self.sent += 1;
        Sent { bytes, cpu, stream, ..self.plain() }
    }

    /// Sends a message with whatever is to be done to it.
    fn send(&mut self, mut sent: Sent) {
        sent.cut = self.next.cut.take();
        let (dup, late) = (self.next.dup.take(), self.next.late.take());
        if self.next.lose > 0 {
            self.next.lose -= 1;
            self.note("lost, and nobody says so");
            return self.unseen.lose(&sent);
        }
        let copy = dup.map(|others| Held { sent: Sent { cut: None, ..sent.clone() }, others, copy: true });
        match late {
            Some(others) if others > 0 => self.held.push(Held { sent, others, copy: false }),
            _ => self.pass(sent),
        }
        match copy {
            Some(now) if now.others == 0 => self.admit(now.sent),
            other => self.held.extend(other),
        }
    }

    /// A message passes those that are held. One CPU's messages keep their order.
    fn pass(&mut self, sent: Sent) {
        let (before, held) =
            std::mem::take(&mut self.held).into_iter().partition(|h| !h.copy && h.sent.cpu == sent.cpu);
        self.held = held;
        let before: Vec<Held> = before;
        before.into_iter().for_each(|held| self.admit(held.sent));
        self.admit(sent);
        self.held.iter_mut().for_each(|held| held.others -= 1);
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|held| held.others == 0);
        self.held = held;
        let due: Vec<Held> = due;
        due.into_iter().for_each(|held| self.admit(held.sent));
    }

    /// Puts a message into the receive buffer, or loses it. See `uevent::af_netlink`, `netlink_broadcast_deliver()`.
    fn admit(&mut self, sent: Sent) {
        let forced = std::mem::take(&mut self.next.overrun);
        let full = forced || self.charged > self.script.rcvbuf;
        if self.latch || full {
            self.note(if self.latch { "lost: the buffer was full before" } else { "lost: the buffer is full" });
            self.overrun |= !self.latch;
            self.latch = true;
            return;
        }
        self.charged += charge(&sent);
        self.queue.push_back(sent);
    }

    /// The reader took something. Models `netlink_rcv_wake()`.
    fn taken_from(&mut self) {
        self.fresh = true;
        if self.queue.is_empty() {
            self.latch = false;
        }
    }

    fn arrival(&self) -> Arrival<'_> {
        let sent = &self.current;
        let of = sent.bytes.len();
        let kept = of.min(usize::from(self.script.room)).min(sent.cut.map_or(of, usize::from));
        if kept < of {
            return Arrival::Lost(Loss::Truncated { kept, of });
        }
        let datagram = Datagram { bytes: &sent.bytes, sender: sent.sender, group: 1 };
        match self.trust.judge(sent.sender) {
            Ok(()) => Arrival::Message(datagram),
            Err(refusal) => Arrival::Refused(datagram, refusal),
        }
    }

    /// The bytes that a receive of its own would have got, the end cut off or not. For a real descriptor.
    pub(super) fn current(&self) -> (&[u8], Sender) {
        let sent = &self.current;
        let cut = sent.cut.map_or(sent.bytes.len(), usize::from).min(sent.bytes.len());
        (&sent.bytes[..cut], sent.sender)
    }
}

/// With how much a message is charged: `truesize` after `netlink_trim()`.
fn charge(sent: &Sent) -> u32 {
    SK_BUFF + sent.bytes.len() as u32
}

/// Every other CPU is about to wrap its 32 bits.
fn first_number(cpu: u32) -> u64 {
    if cpu % 2 == 1 { u64::from(u32::MAX) - 1 } else { u64::from(cpu) * 1_000 + 1 }
}

impl Unseen {
    fn lose(&mut self, sent: &Sent) {
        match sent.stream.filter(|stream| self.heard.contains(stream)) {
            Some(stream) => drop(self.lost.insert(stream, sent.serial)),
            None => self.forever = true,
        }
    }

    fn hear(&mut self, stream: Stream, serial: u64) {
        self.heard.insert(stream);
        if self.lost.get(&stream).is_some_and(|&lost| lost < serial) {
            self.lost.remove(&stream);
        }
    }
}

impl UeventSource for Kernel {
    fn receive(&mut self, wait: Wait) -> io::Result<Arrival<'_>> {
        loop {
            if std::mem::take(&mut self.overrun) {
                self.taken_from();
                return Ok(Arrival::Lost(Loss::Overrun));
            }
            if let Some(sent) = self.queue.pop_front() {
                self.charged -= charge(&sent);
                self.taken_from();
                self.current = sent;
                let (stream, serial) = (self.current.stream, self.current.serial);
                if let (Some(stream), Arrival::Message(_)) = (stream, self.arrival()) {
                    self.unseen.hear(stream, serial);
                }
                return Ok(self.arrival());
            }
            let waits = wait == Wait::Block;
            if std::mem::take(&mut self.fresh) && !waits {
                return Ok(Arrival::Nothing);
            }
            if self.silence > 0 {
                self.silence = if waits { 0 } else { self.silence - 1 };
                if !waits {
                    return Ok(Arrival::Nothing);
                }
            }
            if !self.turn() && self.queue.is_empty() && !self.overrun {
                return Ok(Arrival::End);
            }
        }
    }
}
