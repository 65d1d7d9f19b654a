//! Who listens: a socket or a queue of signals, a pace, what it says of itself, and what it has heard.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fork_model::design::{Delivery, Gate, Over, Said};
use fork_model::notify::WISHES;
use fork_model::notify::gate::GROUP;
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

use crate::lab::life::Life;
use crate::lab::world::{FORKS, World, alone};
use crate::scenario_file::{self, Control, Pace, Trusts, Word};

/// Whether a listener is to die, as an explorer calls it.
const DYING: Object = Object::named("a listener dies");

/// Bytes that a listener offers to a receive; no message of this kernel is longer.
const ROOM: usize = 4096;

/// A listener.
#[derive(Clone)]
pub struct Listener {
    /// Its name, and that of its lane.
    pub name: String,
    /// Its socket; `None` if none could be made, if it is closed, or if it gets signals.
    pub sock: Cell<Option<SockRef>>,
    /// Its queue, with delivery `signal`.
    pub signals: Option<Rc<Registered>>,
    /// When it reads.
    pub pace: Pace,
    /// Whether it has `CAP_NET_ADMIN`.
    pub net_admin: bool,
    /// Whom it believes.
    pub trusts: Trusts,
    /// Its network namespace.
    pub netns: u32,
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
    /// What it said and did, and since when that counts.
    pub life: Life,
}

/// What a listener has heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Messages received.
    pub received: u64,
    /// Receives that brought one or several of them.
    pub receives: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Messages that it dropped, as it does not trust who sent them.
    pub dropped: u64,
    /// How often it was told that something was lost (`-ENOBUFS`).
    pub overruns: u64,
    /// In which steps, while facts are recorded.
    pub told: Vec<u64>,
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
    /// Which receive of this listener it was, from 1: a batch of messages comes with one.
    pub receive: u64,
    /// What it said: who forked whom, its number, its CPU.
    pub said: Result<Said, WireError>,
    /// The sender's port id; 0 is the kernel.
    pub from: i32,
}

/// Messages that a listener keeps for people to look at.
const KEPT: usize = 8;

impl Heard {
    /// See [`World::copy_over`].
    fn copy_over(&self, used: &mut Heard) {
        let Heard { received, receives, bytes, dropped, overruns, told, tree, numbers, messages, log } = used;
        (*received, *receives, *bytes) = (self.received, self.receives, self.bytes);
        (*dropped, *overruns) = (self.dropped, self.overruns);
        told.clone_from(&self.told);
        tree.clone_from(&self.tree);
        numbers.clone_from(&self.numbers);
        messages.clone_from(&self.messages);
        log.clone_from(&self.log);
    }

    fn hear(&mut self, sys: &System, message: &[u8], from: i32) {
        self.receives += 1;
        self.bytes += message.len() as u64;
        if self.messages.len() < KEPT {
            self.messages.push(message.to_vec());
        }
        let design = sys.config.design;
        if design.delivery == Delivery::Batched {
            design.messages(message).into_iter().for_each(|message| self.note(sys, design.read(message), from));
        } else {
            self.note(sys, design.read(message), from);
        }
    }

    fn overrun(&mut self, sys: &System) {
        self.overruns += 1;
        if sys.facts.on() {
            self.told.push(sys.m.step());
        }
    }

    fn note(&mut self, sys: &System, said: Result<Said, WireError>, from: i32) {
        self.received += 1;
        match &said {
            Ok(said) => {
                self.tree.believe(said);
                said.seq.into_iter().for_each(|seq| self.numbers.hear(seq));
            }
            Err(_) => self.tree.unreadable += 1,
        }
        if sys.facts.on() {
            self.log.push(Entry { step: sys.m.step(), receive: self.receives, said, from });
        }
    }
}

impl Listener {
    /// See [`World::copy_over`].
    pub(super) fn copy_over(&self, used: &mut Listener) {
        let Listener { name, sock, signals, pace, net_admin, trusts, netns, controls, dying, dies, lost, heard, life } =
            used;
        name.clone_from(&self.name);
        sock.set(self.sock.get());
        signals.clone_from(&self.signals);
        (*pace, *net_admin, *trusts, *netns) = (self.pace, self.net_admin, self.trusts, self.netns);
        controls.clone_from(&self.controls);
        dying.set(self.dying.get());
        *dies = self.dies;
        lost.set(self.lost.get());
        self.heard.borrow().copy_over(heard.get_mut());
        life.clone_from(&self.life);
    }

    /// What was lost on the way to it.
    #[must_use]
    pub fn lost(&self, sys: &System) -> Lost {
        let of_signals = self.signals.as_ref().map_or(0, |signals| signals.lost.get());
        let lost = self.sock.get().map_or(self.lost.get(), |sock| sys.core.sock(sock, |sock| sock.lost));
        Lost { no_copy: lost.no_copy + of_signals, ..lost }
    }

    /// Whether it says or does something in the run by which it may stop hearing.
    #[must_use]
    pub fn may_stop(&self) -> bool {
        !self.controls.is_empty()
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
        // Whoever is bound to other groups only does not listen to forks.
        let is_there = signals.is_some() || (sock.is_some() && spec_.groups & GROUP != 0);
        let listener = Listener {
            name: spec_.name,
            sock: Cell::new(sock),
            signals,
            pace: spec_.pace,
            net_admin: spec_.net_admin,
            trusts: spec_.trusts,
            netns: spec_.netns,
            controls,
            dying: Cell::new(false),
            dies: DYING.nth(u32::try_from(number).expect("few listeners")),
            lost: Cell::default(),
            heard: RefCell::default(),
            life: Life::new(is_there, !gate_needs_a_word(&design)),
        };
        listener.life.begin();
        for control in before {
            match control.word {
                Word::Die => {
                    listener.life.note(0, Word::Die);
                    close(&s, &listener).await;
                }
                word => say(&s, &listener, word).await,
            }
        }
        listener.life.begin();
        listener
    })
}

async fn bind(sys: &System, number: usize, spec: &scenario_file::Listener) -> Option<SockRef> {
    let protocol = match sys.config.design.format.over() {
        Over::KobjectUevent => NETLINK_KOBJECT_UEVENT,
        Over::Connector => NETLINK_CONNECTOR,
    };
    let sock = netlink_create(&sys.core, protocol).await.ok()?;
    let caller = Caller { pid: 500 + i32::try_from(number).expect("few listeners"), net_admin: spec.net_admin };
    sys.core.set_netns(sock, spec.netns);
    netlink_bind(&sys.core, sock, caller, 0, spec.groups).await.ok()?;
    if let Some(rcvbuf) = spec.rcvbuf {
        sys.core.sock(sock, |sock| sock.rcvbuf = i32::try_from(rcvbuf).unwrap_or(i32::MAX));
    }
    Some(sock)
}

/// What a living listener says.
async fn say(sys: &System, listener: &Listener, word: Word) {
    let note = || {
        sys.m.touch(WISHES, Access::Write);
        listener.life.note(sys.m.step(), word);
    };
    if !Life::is_a_wish_for_more(word) {
        note();
    }
    speak(sys, listener, word).await;
    if Life::is_a_wish_for_more(word) {
        note();
    }
}

async fn speak(sys: &System, listener: &Listener, word: Word) {
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
    sys.m.touch(WISHES, Access::Write);
    listener.life.close(sys.m.step());
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
        let heard = &mut *listener.heard.borrow_mut();
        heard.receives += 1;
        heard.note(sys, Ok(Said::pids(info.parent, info.child)), 0);
        return true;
    }
    let Some(sock) = listener.sock.get() else { return false };
    let mut message = Vec::new();
    match netlink_recvmsg(&sys.core, sock, &mut message, ROOM, flags).await {
        Ok(got) if got.from_pid != 0 && listener.trusts == Trusts::Kernel => listener.heard.borrow_mut().dropped += 1,
        Ok(got) => listener.heard.borrow_mut().hear(sys, &message, got.from_pid),
        Err(sim::Errno::Again) => return false,
        Err(_) => listener.heard.borrow_mut().overrun(sys),
    }
    true
}
