//! Consumers that keep the laws of the formats that the examples do not read, and some that break laws.

use std::collections::BTreeMap;

use forklab::testkit::{Arrival, Consumer, Format, Message, NumberStream, Order, Truth, View};

/// What a reader knows of its stream: whether it is behind, and what is news.
#[derive(Default)]
struct Reader {
    order: Order,
    /// What has this number or a lower one was read from the truth.
    known: u64,
    lost: bool,
    /// Nothing is queued: what is read now is newer than what was lost.
    drained: bool,
}

impl Reader {
    /// The bytes of a message, if it is one.
    fn meet<'a>(&mut self, arrival: Arrival<'a>) -> Option<&'a [u8]> {
        self.drained = arrival == Arrival::Nothing;
        self.lost |= matches!(arrival, Arrival::Lost(_));
        if let Arrival::Message(datagram) = arrival { Some(datagram.bytes) } else { None }
    }

    fn number(&mut self, message: &Message<'_>) -> Option<u64> {
        let number = message.seqnum().ok()??;
        self.lost |= self.order.saw(NumberStream::Seqnum, number).is_some();
        Some(number)
    }

    fn is_news(&self, number: u64, latest: u64) -> bool {
        number > self.known && number > latest
    }

    fn is_behind(&self) -> bool {
        self.lost && self.drained
    }

    fn resynced(&mut self, truth: &Truth) {
        (self.known, self.lost) = (truth.seqnum, false);
    }
}

/// Devices by uevents: of each path the latest message, by its number.
#[derive(Default)]
pub struct Devices {
    /// By path: the number of the latest message about it, and whether it is there.
    paths: BTreeMap<Vec<u8>, (u64, bool)>,
    reader: Reader,
}

impl Devices {
    fn hear(&mut self, bytes: &[u8]) -> Option<()> {
        let message = Message::parse(bytes).ok().filter(Message::is_terminated)?;
        let number = self.reader.number(&message)?;
        let path = message.get("DEVPATH")?;
        match message.action() {
            b"add" => self.set(path, number, true),
            b"remove" => self.set(path, number, false),
            b"move" => {
                self.set(message.get("DEVPATH_OLD")?, number, false);
                self.set(path, number, true);
            }
            _ => {}
        }
        Some(())
    }

    fn set(&mut self, path: &[u8], number: u64, there: bool) {
        let latest = self.paths.entry(path.to_vec()).or_default();
        if self.reader.is_news(number, latest.0) {
            *latest = (number, there);
        }
    }
}

impl Consumer for Devices {
    fn format(&self) -> Format {
        Format::Uevents
    }

    fn handle(&mut self, arrival: Arrival<'_>) {
        let _understood = self.reader.meet(arrival).and_then(|bytes| self.hear(bytes));
    }

    fn needs_resync(&self) -> bool {
        self.reader.is_behind()
    }

    fn resync(&mut self, truth: &Truth) {
        self.paths = truth.devices.iter().map(|path| (path.clone().into_bytes(), (truth.seqnum, true))).collect();
        self.reader.resynced(truth);
    }

    fn view(&self) -> View {
        View::of_devices(self.paths.iter().filter(|(_, (_, there))| *there).map(|(path, _)| path))
    }
}

/// Forks by the patch's messages, bare or with keys.
pub struct Forks {
    format: Format,
    /// By pid: its parent, and the number of the message that said so.
    parents: BTreeMap<i32, (i32, u64)>,
    reader: Reader,
}

impl Forks {
    pub fn of(format: Format) -> Forks {
        Forks { format, parents: BTreeMap::new(), reader: Reader::default() }
    }

    fn hear(&mut self, bytes: &[u8]) -> Option<()> {
        let message = Message::parse(bytes).ok()?;
        if self.format == Format::Bare {
            let (parent, child) = message.fork_pids().ok()?;
            self.parents.insert(child, (parent, 0));
            return Some(());
        }
        let number = self.reader.number(&message)?;
        let pid = |key| str::from_utf8(message.get(key)?).ok()?.parse().ok();
        let (parent, child) = (pid("PPID")?, pid("PID")?);
        let latest = self.parents.entry(child).or_default();
        if self.reader.is_news(number, latest.1) {
            *latest = (parent, number);
        }
        Some(())
    }
}

impl Consumer for Forks {
    fn format(&self) -> Format {
        self.format
    }

    fn handle(&mut self, arrival: Arrival<'_>) {
        let _understood = self.reader.meet(arrival).and_then(|bytes| self.hear(bytes));
    }

    fn needs_resync(&self) -> bool {
        self.reader.is_behind()
    }

    fn resync(&mut self, truth: &Truth) {
        self.parents = truth.parents().into_iter().map(|(pid, parent)| (pid, (parent, truth.seqnum))).collect();
        self.reader.resynced(truth);
    }

    fn view(&self) -> View {
        View::of_processes(self.parents.iter().map(|(&pid, &(parent, _))| (pid, parent)))
    }
}

/// How a [`Breaker`] breaks laws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// It hears nothing.
    Deaf,
    /// It resynchronises whenever there is something, and is right.
    Eager,
    /// It panics when there is something.
    Afraid,
}

/// A consumer that breaks laws.
pub struct Breaker {
    way: Way,
    format: Format,
    asks: bool,
    view: View,
}

impl Breaker {
    pub fn new(way: Way, format: Format) -> Breaker {
        Breaker { way, format, asks: false, view: View::default() }
    }
}

impl Consumer for Breaker {
    fn format(&self) -> Format {
        self.format
    }

    fn handle(&mut self, arrival: Arrival<'_>) {
        let something = !matches!(arrival, Arrival::Nothing | Arrival::Refused(..));
        assert!(!something || self.way != Way::Afraid, "afraid");
        self.asks = something && self.way == Way::Eager;
    }

    fn needs_resync(&self) -> bool {
        self.asks
    }

    fn resync(&mut self, truth: &Truth) {
        (self.view, self.asks) = (truth.view(), false);
    }

    fn view(&self) -> View {
        self.view.clone()
    }
}
