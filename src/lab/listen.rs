//! Who listens: a socket or a queue of signals, a pace, what it says of itself, and what it has heard.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fork_model::design::{Delivery, Gate, Over, Said};
use fork_model::notify::relay::{Registered, register};
use fork_model::numbers::Numbers;
use fork_model::tree::Believed;
use fork_model::{Design, System};
use sim::LaneName;
use sim::touch::{Access, Object};
use uevent::af_netlink::{
    Caller, Lost, NETLINK_KOBJECT_UEVENT, SockRef, datagram_poll, msg, netlink_bind, netlink_create, netlink_recvmsg,
    netlink_release, wake_reader,
};
use uevent::cn_proc::{McastOp, cn_proc_mcast_ctl};
use uevent::connector::NETLINK_CONNECTOR;
use uevent::kobject_uevent::FORK_OUTCOMES;
use uevent::wire::WireError;

use crate::lab::world::{FORKS, World, alone};
use crate::scenario_file::{self, Control, Pace, Word};

/// Whether a listener is to die, as an explorer calls it.
const DYING: Object = Object::named("a listener dies");

/// Bytes that a listener offers to a receive; no message of this kernel is longer.
const ROOM: usize = 4096;

/// A listener.
pub struct Listener {
    /// Its name, and that of its lane.
    pub name: String,
    /// Its socket; `None` if none could be made, if it is closed, or if it gets signals.
    pub sock: Cell<Option<SockRef>>,
    /// Its queue, with delivery `signal`.
    pub signals: Option<Rc<Registered>>,
    /// When it reads.
    pub pace: Pace,
    /// What it says of itself in the run, in order.
    controls: Vec<Control>,
    /// It is to close its socket at its next step.
    dying: Cell<bool>,
    /// What an explorer calls that.
    dies: Object,
    /// What its socket had lost when it closed.
    lost: Cell<Lost>,
    /// What it has heard.
    pub heard: RefCell<Heard>,
}

/// What a listener has heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Messages received.
    pub received: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// How often it was told that something was lost (`-ENOBUFS`).
    pub overruns: u64,
    /// The tree that it believes in.
    pub tree: Believed,
    /// The numbers of the events, of a design that numbers them.
    pub numbers: Numbers,
    /// The messages themselves, as long as there are few.
    pub messages: Vec<Vec<u8>>,
    /// Every message with its step, while facts are recorded ([`System::record_facts`]).
    pub log: Vec<Entry>,
}

/// One message as it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The step of the receive.
    pub step: u64,
    /// What it said: who forked whom, its number, its CPU.
    pub said: Result<Said, WireError>,
}

/// Messages that a listener keeps for people to look at.
const KEPT: usize = 8;

impl Heard {
    fn hear(&mut self, sys: &System, message: &[u8]) {
        self.bytes += message.len() as u64;
        if self.messages.len() < KEPT {
            self.messages.push(message.to_vec());
        }
        self.note(sys, sys.config.design.read(message));
    }

    fn note(&mut self, sys: &System, said: Result<Said, WireError>) {
        self.received += 1;
        match &said {
            Ok(said) => {
                self.tree.believe(said);
                said.seq.into_iter().for_each(|seq| self.numbers.hear(seq));
            }
            Err(_) => self.tree.unreadable += 1,
        }
        if sys.facts.on() {
            self.log.push(Entry { step: sys.m.step(), said });
        }
    }
}

impl Listener {
    /// What was lost on the way to it.
    #[must_use]
    pub fn lost(&self, sys: &System) -> Lost {
        let of_signals = self.signals.as_ref().map_or(0, |signals| signals.lost.get());
        let lost = self.sock.get().map_or(self.lost.get(), |sock| sys.core.sock(sock, |sock| sock.lost));
        Lost { no_copy: lost.no_copy + of_signals, ..lost }
    }

    /// Whether it closes its socket in the run.
    fn may_die(&self) -> bool {
        self.controls.iter().any(|control| control.word == Word::Die)
    }
}

/// Whether listeners have to say that they listen.
fn gate_needs_a_word(design: &Design) -> bool {
    matches!(design.gate, Gate::OnOff | Gate::Counter | Gate::CounterReset)
}

/// Opens a listener, and does what it does before the run.
pub(super) fn open(sys: &Rc<System>, number: usize, spec: &scenario_file::Listener) -> Listener {
    let (s, spec_) = (sys.clone(), spec.clone());
    let design = sys.config.design;
    let by_default =
        || if gate_needs_a_word(&design) { vec![Control { word: Word::Listen, after: None }] } else { vec![] };
    let (before, controls): (Vec<_>, Vec<_>) =
        spec.control.clone().unwrap_or_else(by_default).into_iter().partition(|control| control.after.is_none());
    alone(sys, async move {
        let mut signals = None;
        let mut sock = None;
        if design.delivery == Delivery::Signal {
            signals = Some(register(&s).await);
        } else {
            sock = bind(&s, number, &spec_).await;
        }
        let listener = Listener {
            name: spec_.name,
            sock: Cell::new(sock),
            signals,
            pace: spec_.pace,
            controls,
            dying: Cell::new(false),
            dies: DYING.nth(u32::try_from(number).expect("few listeners")),
            lost: Cell::default(),
            heard: RefCell::default(),
        };
        for control in before {
            match control.word {
                Word::Die => close(&s, &listener).await,
                word => say(&s, &listener, word).await,
            }
        }
        listener
    })
}

async fn bind(sys: &System, number: usize, spec: &scenario_file::Listener) -> Option<SockRef> {
    let protocol = match sys.config.design.format.over() {
        Over::KobjectUevent => NETLINK_KOBJECT_UEVENT,
        Over::Connector => NETLINK_CONNECTOR,
    };
    let sock = netlink_create(&sys.core, protocol).await.ok()?;
    let caller = Caller { pid: 500 + i32::try_from(number).expect("few listeners"), net_admin: true };
    netlink_bind(&sys.core, sock, caller, 0, spec.groups).await.ok()?;
    sys.core.sock(sock, |sock| sock.rcvbuf = i32::try_from(spec.rcvbuf).unwrap_or(i32::MAX));
    Some(sock)
}

/// What a living listener says.
async fn say(sys: &System, listener: &Listener, word: Word) {
    let filter = |on| {
        if let Some(sock) = listener.sock.get() {
            sys.core.filter_forks(sock, on);
        }
    };
    match word {
        Word::Listen => cn_proc_mcast_ctl(&sys.core, McastOp::Listen).await,
        Word::Ignore => cn_proc_mcast_ctl(&sys.core, McastOp::Ignore).await,
        Word::Filter => filter(true),
        Word::Unfilter => filter(false),
        Word::Die => {
            sys.m.touch(listener.dies, Access::Write);
            listener.dying.set(true);
        }
    }
}

/// The socket closes, or the process ends: nobody is told of it.
async fn close(sys: &System, listener: &Listener) {
    if let Some(sock) = listener.sock.take() {
        listener.lost.set(sys.core.sock(sock, |sock| sock.lost));
        netlink_release(&sys.core, sock).await;
    }
    if let Some(signals) = &listener.signals {
        signals.die(sys);
    }
}

/// Starts the lanes of all listeners: one that reads, unless it reads at the end only, and one that says what it says.
pub(super) fn start(world: &Rc<World>) {
    for (i, listener) in world.listeners.iter().enumerate() {
        if listener.pace != Pace::DrainAtEnd {
            world.sys.m.spawn(listener.name.as_str(), listen(world.clone(), i));
        }
        if !listener.controls.is_empty() {
            // A capital behind the name: no other lane is called like that, as no task has a listener's name.
            let name = LaneName::from_text(&format!("{}C", listener.name)).unwrap_or_default();
            world.sys.m.spawn(name, control(world.clone(), i));
        }
    }
}

/// Says what the listener says, each after its number of forks.
async fn control(world: Rc<World>, i: usize) {
    let (sys, listener) = (&world.sys, &world.listeners[i]);
    for control in &listener.controls {
        let forks = || {
            sys.m.touch(FORKS, Access::Read);
            world.forks.get() >= control.after.unwrap_or(0).into()
        };
        world.paced.wait_event(&sys.m, "a listener's controls", true, forks).await;
        say(sys, listener, control.word).await;
        if control.word != Word::Die {
            continue;
        }
        // Whoever reads closes, as nobody can close a socket under a reader; a listener without a reader closes here.
        match (listener.pace, listener.sock.get(), &listener.signals) {
            (Pace::DrainAtEnd, ..) => close(sys, listener).await,
            (Pace::Every(_), ..) => world.paced.wake_up(&sys.m),
            (Pace::Eager, Some(sock), _) => wake_reader(&sys.core, sock),
            (Pace::Eager, None, Some(signals)) => signals.wake(sys),
            (Pace::Eager, None, None) => {}
        }
        return;
    }
}

/// A listener's life: it reads at its pace, and waits patiently in between.
async fn listen(world: Rc<World>, i: usize) {
    let (sys, listener) = (&world.sys, &world.listeners[i]);
    let dying = || {
        sys.m.touch(listener.dies, Access::Read);
        listener.dying.get()
    };
    let mut seen = 0;
    loop {
        match listener.pace {
            Pace::Eager => {
                let flags = match (listener.sock.get(), &listener.signals) {
                    (Some(sock), _) if listener.may_die() => {
                        datagram_poll(&sys.core, sock, dying).await;
                        msg::DONTWAIT
                    }
                    (Some(_), _) => 0,
                    (None, Some(signals)) => {
                        signals.wait(sys, dying).await;
                        msg::DONTWAIT
                    }
                    (None, None) => return,
                };
                if dying() {
                    return close(sys, listener).await;
                }
                receive(&world, i, flags).await;
            }
            Pace::Every(events) => {
                let sent = || {
                    sys.m.touch(FORK_OUTCOMES, Access::Read);
                    sys.core.fork_outcomes.borrow().total()
                };
                let ready = || dying() || sent() >= seen + u64::from(events);
                world.paced.wait_event(&sys.m, "a listener's pace", true, ready).await;
                if dying() {
                    return close(sys, listener).await;
                }
                seen = sent();
                drain(&world, i).await;
            }
            Pace::DrainAtEnd => return,
        }
    }
}

/// Reads all that is there.
pub(super) async fn drain(world: &World, i: usize) {
    while receive(world, i, msg::DONTWAIT).await {}
}

/// One receive. False when there is nothing to receive, or nobody to do it.
async fn receive(world: &World, i: usize, flags: u32) -> bool {
    let (sys, listener) = (&world.sys, &world.listeners[i]);
    if let Some(signals) = &listener.signals {
        let Some(info) = signals.dequeue_signal(sys) else { return false };
        listener.heard.borrow_mut().note(sys, Ok(Said::pids(info.parent, info.child)));
        return true;
    }
    let Some(sock) = listener.sock.get() else { return false };
    let mut message = Vec::new();
    match netlink_recvmsg(&sys.core, sock, &mut message, ROOM, flags).await {
        Ok(_) => listener.heard.borrow_mut().hear(sys, &message),
        Err(sim::Errno::Again) => return false,
        Err(_) => listener.heard.borrow_mut().overruns += 1,
    }
    true
}
