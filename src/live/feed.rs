//! Process events with their losses counted exactly.
//!
//! `cn_msg.seq` counts every event of a CPU, so a gap is a loss, to the number. But a gap shows only when the *next* event
//! of that CPU comes: the last ones of a storm could be lost without a trace. So a [`Feed`] has a mark made on each CPU, at
//! its beginning and at its end: an event of its own, whose number says what came before it.
//!
//! The mark is a write of this thread's own name into `/proc/thread-self/comm`, which changes nothing and is told as a
//! `comm` event. The thread visits the CPUs that it may run on; on others it leaves no mark.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;
use uevent::netlink::{OpenError, ProcEvents};
use uevent::source::{Arrival, Loss, Sequenced, Stream, UeventSource, Wait, per_cpu};
use uevent::wire::connector::ConnectorMessage;
use uevent::wire::proc_event::{ProcEvent, What};

use super::hear::{Broken, NotHeard};

/// The receive buffer that is asked for unless the user says another: room for some 40,000 events.
pub const RCVBUF: usize = 16 << 20;
/// How long all marks may take to come. They are queued by the time they are written.
const MARKS: Duration = Duration::from_secs(1);
/// How often marks are made anew when the buffer was full meanwhile.
const ATTEMPTS: u32 = 5;
/// The calling thread.
const SELF: Pid = Pid::from_raw(0);

/// How many process events a buffer of so many bytes can hold: who reads that many has read what was queued before, and
/// in a storm there is always one more.
#[must_use]
pub fn most(rcvbuf: usize) -> usize {
    const LENGTH: usize = 76;
    1 + rcvbuf / LENGTH
}

/// What came of a [`Feed`] so far. Every event of the machine counts, whoever's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Events that were received.
    pub received: u64,
    /// Events that are missing, by their numbers.
    pub missing: u64,
    /// How often the kernel said that the receive buffer was full.
    pub overruns: u64,
    /// Datagrams that did not come from the kernel, or were no process events.
    pub refused: u64,
    /// Whether `missing` is known to be all: every CPU was marked at the beginning and at the end.
    pub certain: bool,
    /// The receive buffer, in bytes, as the kernel has it.
    pub rcvbuf: usize,
}

impl Tally {
    /// Whether anything was lost, as far as is known.
    #[must_use]
    pub fn has_losses(&self) -> bool {
        self.missing > 0 || self.overruns > 0
    }
}

/// What a [`Feed`] hears.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// An event, and the datagram it came in.
    Event(&'a ProcEvent, &'a [u8]),
    /// So many events are missing before the next one of this CPU.
    Lost(u32, u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Closing,
}

/// Process events, numbered, counted, and marked at both ends.
pub struct Feed {
    source: Sequenced<ProcEvents>,
    /// Received and missing, by CPU.
    counts: BTreeMap<u32, (u64, u64)>,
    overruns: u64,
    refused: u64,
    rcvbuf: usize,
    phase: Phase,
    marker: i32,
    /// CPUs whose mark has come, since the marks were made.
    marked: BTreeSet<u32>,
    certain: bool,
}

impl Feed {
    /// Listens with a receive buffer of `rcvbuf` bytes, and sets marks.
    ///
    /// # Errors
    /// Those of [`ProcEvents::open`]; [`OpenError::Io`] of a buffer that cannot be set.
    pub fn open(rcvbuf: usize) -> Result<Feed, OpenError> {
        let events = ProcEvents::open()?;
        let io = |what| move |error| OpenError::Io(what, error);
        let rcvbuf = events.socket().set_rcvbuf(rcvbuf).map_err(io("set the receive buffer"))?;
        let mut feed = Feed {
            source: Sequenced::new(events, per_cpu),
            counts: BTreeMap::new(),
            overruns: 0,
            refused: 0,
            rcvbuf,
            phase: Phase::Opening,
            marker: 0,
            marked: BTreeSet::new(),
            certain: true,
        };
        let marked = feed.mark(&mut |_| Ok(()));
        let nobody_hears = |(Broken::Source(NotHeard(error)) | Broken::Listener(error))| error;
        feed.certain = marked.map_err(nobody_hears).map_err(io("receive process events"))?;
        feed.overruns = 0;
        feed.phase = Phase::Open;
        Ok(feed)
    }

    /// What came of it so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let (received, missing) = self.counts.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let &Feed { overruns, refused, certain, rcvbuf, .. } = self;
        Tally { received, missing, overruns, refused, certain, rcvbuf }
    }

    /// Hands over what is there, at most `most` arrivals; how many there were.
    ///
    /// # Errors
    /// [`Broken`]: the socket, or `each`.
    pub fn drain(&mut self, most: usize, each: &mut dyn FnMut(Heard<'_>) -> io::Result<()>) -> Result<usize, Broken> {
        let mut count = 0;
        while count < most && self.next(Wait::No, each)? {
            count += 1;
        }
        Ok(count)
    }

    /// Makes a mark on each CPU and hands over what was queued before, so that no loss is unknown.
    ///
    /// Returns whether all marks came.
    ///
    /// # Errors
    /// [`Broken`]: the socket, or `each`.
    pub fn mark(&mut self, each: &mut dyn FnMut(Heard<'_>) -> io::Result<()>) -> Result<bool, Broken> {
        for _ in 0..ATTEMPTS {
            self.drain(most(self.rcvbuf), each)?;
            let overruns = self.overruns;
            self.marked.clear();
            let Some(expected) = self.make_marks() else { return Ok(false) };
            while !self.marked.is_superset(&expected) && self.next(Wait::AtMost(MARKS), each)? {}
            if self.marked.is_superset(&expected) {
                return Ok(true);
            }
            if self.overruns == overruns {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Ends it: the last losses are found, IGNORE is said.
    ///
    /// # Errors
    /// [`Broken`]: the socket, or `each`.
    pub fn close(mut self, each: &mut dyn FnMut(Heard<'_>) -> io::Result<()>) -> Result<Tally, Broken> {
        self.phase = Phase::Closing;
        self.marked.clear();
        let certain = self.mark(each)?;
        self.certain &= certain;
        let tally = self.tally();
        self.source.into_source().close().map_err(NotHeard)?;
        Ok(tally)
    }

    /// Writes this thread's own name on each CPU where it may run; which ones. None if that cannot be done.
    fn make_marks(&mut self) -> Option<BTreeSet<u32>> {
        let link = fs::read_link("/proc/thread-self").ok()?;
        self.marker = link.file_name()?.to_str()?.parse().ok()?;
        let name = fs::read("/proc/thread-self/comm").ok()?;
        let allowed = sched_getaffinity(SELF).ok()?;
        let cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
        let mut on = BTreeSet::new();
        for cpu in cpus {
            let mut only = CpuSet::new();
            if only.set(cpu).and_then(|()| sched_setaffinity(SELF, &only)).is_ok()
                && fs::write("/proc/thread-self/comm", &name).is_ok()
            {
                on.insert(u32::try_from(cpu).expect("at most 1,024"));
            }
        }
        sched_setaffinity(SELF, &allowed).ok()?;
        Some(on)
    }

    /// Hands over the next arrival; false if there is none.
    fn next(&mut self, wait: Wait, each: &mut dyn FnMut(Heard<'_>) -> io::Result<()>) -> Result<bool, Broken> {
        let arrival = match self.source.receive(wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            other => other.map_err(NotHeard)?,
        };
        match arrival {
            Arrival::Nothing | Arrival::End => return Ok(false),
            Arrival::Lost(Loss::Gap { stream: Stream::Cpu(cpu), expected, found }) => {
                if self.phase == Phase::Closing && self.marked.contains(&cpu) {
                    return Ok(true);
                }
                let missing = found - expected;
                self.counts.entry(cpu).or_default().1 += missing;
                each(Heard::Lost(cpu, missing)).map_err(Broken::Listener)?;
            }
            Arrival::Lost(_) => self.overruns += 1,
            Arrival::Refused(..) => self.refused += 1,
            Arrival::Message(datagram) => {
                let parsed = ConnectorMessage::parse(datagram.bytes).and_then(|message| ProcEvent::parse(&message));
                let Ok(event) = parsed else {
                    self.refused += 1;
                    return Ok(true);
                };
                // What comes behind the last mark of a CPU is no longer looked at.
                if self.phase == Phase::Closing && self.marked.contains(&event.cpu) {
                    return Ok(true);
                }
                self.counts.entry(event.cpu).or_default().0 += 1;
                match event.what {
                    What::Comm(ids, _) if ids.pid == self.marker => {
                        self.marked.insert(event.cpu);
                        if self.phase == Phase::Opening {
                            self.counts.insert(event.cpu, (0, 0));
                        }
                    }
                    _ => each(Heard::Event(&event, datagram.bytes)).map_err(Broken::Listener)?,
                }
            }
        }
        Ok(true)
    }
}

impl AsFd for Feed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.source().as_fd()
    }
}
