//! The receive queues of netlink against a model that only counts.
//!
//! The model knows nothing of buffers, copies and references: a message is its length and its charge, a socket four
//! numbers and a list. It says who gets what, what each socket then owes, and what sender and reader are told.

use std::cell::Cell;
use std::rc::Rc;

use forklab_uevent::af_netlink::{
    Caller, NETLINK_KOBJECT_UEVENT, SockRef, msg, netlink_bind, netlink_broadcast, netlink_create, netlink_proto_init,
    netlink_recvmsg, netlink_release,
};
use forklab_uevent::kobject_uevent::kobject_uevent_init;
use forklab_uevent::skbuff::{alloc_skb, skb_put};
use forklab_uevent::{Config, Core, site};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use sim::mm::{FaultRule, Times};
use sim::{Calm, Errno, Gfp, Machine};

/// What `alloc_skb()` is asked for: that of a fork event.
const ALLOC: u32 = 1040;
/// The charge of such a buffer when it is not trimmed.
const UNTRIMMED: u32 = 1320;
/// Bytes of its data area.
const AREA: u32 = 1088;

#[derive(Clone, Debug)]
enum Step {
    Open { groups: u32, rcvbuf: i32 },
    Close { sock: usize },
    Join { sock: usize, groups: u32 },
    Broadcast { group: u32, len: u32, expand_fails: bool, failing_clone: Option<u64> },
    Receive { sock: usize, room: usize, peek: bool },
}

/// What a step answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Answer {
    #[default]
    Nothing,
    Sent(Result<(), Errno>),
    Got(Result<(usize, bool), Errno>),
}

/// A socket of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counted {
    groups: u32,
    rcvbuf: i32,
    /// Length and charge of what waits.
    queue: Vec<(u32, u32)>,
    latch: bool,
    err: i32,
    lost: u64,
}

impl Counted {
    fn owed(&self) -> i32 {
        self.queue.iter().map(|(_, charge)| charge.cast_signed()).sum()
    }

    fn overrun(&mut self) {
        self.lost += 1;
        if !self.latch {
            self.latch = true;
            self.err = 105;
        }
    }
}

/// The model: sockets by slot (a closed one is `None`), and who listens, most recently joined first.
#[derive(Clone, Debug, Default)]
struct Model {
    socks: Vec<Option<Counted>>,
    listeners: Vec<usize>,
    answer: Answer,
}

impl Model {
    fn sock(&mut self, sock: usize) -> &mut Counted {
        self.socks[sock].as_mut().expect("an open socket")
    }

    fn open(&self) -> Vec<usize> {
        (0..self.socks.len()).filter(|sock| self.socks[*sock].is_some()).collect()
    }

    fn join(&mut self, sock: usize, groups: u32) {
        let before = std::mem::replace(&mut self.sock(sock).groups, groups);
        match (before, groups) {
            (0, 1..) => self.listeners.insert(0, sock),
            (1.., 0) => self.listeners.retain(|other| *other != sock),
            _ => {}
        }
    }

    fn broadcast(&mut self, group: u32, len: u32, expand_fails: bool, failing_clone: Option<u64>) -> Result<(), Errno> {
        let trims = 2 * (AREA - len) >= UNTRIMMED && !expand_fails;
        let charge = if trims { 232 + len } else { UNTRIMMED };
        let (mut delivered, mut clones, mut in_hand, mut failed) = (0u32, 0u64, false, false);
        for sock in self.listeners.clone() {
            let sock = self.sock(sock);
            if sock.groups & group == 0 {
                continue;
            }
            if !in_hand && !failed {
                // The first copy is the original.
                clones += u64::from(delivered > 0);
                failed = delivered > 0 && Some(clones) == failing_clone;
                in_hand = !failed;
            }
            if failed || sock.latch || sock.owed() > sock.rcvbuf {
                sock.overrun();
            } else {
                sock.queue.push((len, charge));
                delivered += 1;
                in_hand = false;
            }
        }
        match (delivered, failed) {
            (1.., _) => Ok(()),
            (0, true) => Err(Errno::NoBufs),
            (0, false) => Err(Errno::Srch),
        }
    }

    fn receive(&mut self, sock: usize, room: usize, peek: bool) -> Result<(usize, bool), Errno> {
        let sock = self.sock(sock);
        let got = match std::mem::take(&mut sock.err) {
            0 => sock.queue.first().map(|(len, _)| (room.min(*len as usize), room < *len as usize)).ok_or(Errno::Again),
            err => Err(Errno::from_number(u16::try_from(err).expect("105"))),
        };
        if got.is_ok() && !peek {
            sock.queue.remove(0);
        }
        sock.latch &= !sock.queue.is_empty();
        got
    }
}

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(state: &Model) -> BoxedStrategy<Step> {
        let rcvbuf = prop_oneof![0..2000i32, Just(0), Just(256), Just(124_928)];
        let open_one = (0..4u32, rcvbuf).prop_map(|(groups, rcvbuf)| Step::Open { groups, rcvbuf });
        let failing_clone = prop_oneof![3 => Just(None), 1 => (1..4u64).prop_map(Some)];
        let len = prop_oneof![20..40u32, 0..AREA, 425..432u32];
        let broadcast = (0..4u32, len, prop::bool::weighted(0.1), failing_clone).prop_map(
            |(group, len, expand_fails, failing_clone)| Step::Broadcast { group, len, expand_fails, failing_clone },
        );
        let open = state.open();
        if open.is_empty() {
            return prop_oneof![4 => open_one, 1 => broadcast].boxed();
        }
        let sock = || prop::sample::select(open.clone());
        let close = sock().prop_map(|sock| Step::Close { sock });
        let join = (sock(), 0..4u32).prop_map(|(sock, groups)| Step::Join { sock, groups });
        let room = prop_oneof![Just(4000usize), 0..50usize];
        let receive =
            (sock(), room, prop::bool::weighted(0.2)).prop_map(|(sock, room, peek)| Step::Receive { sock, room, peek });
        prop_oneof![2 => open_one, 1 => close, 1 => join, 8 => broadcast, 6 => receive].boxed()
    }

    fn preconditions(state: &Model, step: &Step) -> bool {
        match step {
            Step::Close { sock } | Step::Join { sock, .. } | Step::Receive { sock, .. } => state.open().contains(sock),
            Step::Open { .. } | Step::Broadcast { .. } => true,
        }
    }

    fn apply(mut state: Model, step: &Step) -> Model {
        state.answer = Answer::Nothing;
        match *step {
            Step::Open { groups, rcvbuf } => {
                state.socks.push(Some(Counted { rcvbuf, ..Counted::default() }));
                state.join(state.socks.len() - 1, groups);
            }
            Step::Close { sock } => {
                state.join(sock, 0);
                state.socks[sock] = None;
            }
            Step::Join { sock, groups } => state.join(sock, groups),
            Step::Broadcast { group, len, expand_fails, failing_clone } => {
                state.answer = Answer::Sent(state.broadcast(group, len, expand_fails, failing_clone));
            }
            Step::Receive { sock, room, peek } => state.answer = Answer::Got(state.receive(sock, room, peek)),
        }
        state
    }
}

/// The modelled kernel, and its sockets by slot.
struct Kernel {
    m: Rc<Machine>,
    core: Rc<Core>,
    socks: Vec<Option<SockRef>>,
    live_at_start: usize,
}

const CALLER: Caller = Caller { pid: 4242, net_admin: true };

impl Kernel {
    fn new() -> Kernel {
        let m = Machine::new(sim::Config::default(), Calm);
        let core = Rc::new(Core::new(m.clone(), Config::default()).expect("it links"));
        let mut kernel = Kernel { m, core, socks: Vec::new(), live_at_start: 0 };
        kernel.run(async |core| {
            netlink_proto_init(core).await;
            kobject_uevent_init(core).await.expect("no fault");
        });
        kernel.live_at_start = kernel.core.live().len();
        kernel
    }

    /// Runs kernel code in a lane of its own.
    fn run<R: 'static>(&self, work: impl AsyncFnOnce(&Core) -> R + 'static) -> R {
        let result = Rc::new(Cell::new(None));
        self.m.spawn("t", {
            let (core, result) = (self.core.clone(), result.clone());
            async move { result.set(Some(work(&core).await)) }
        });
        self.m.run();
        result.take().expect("nothing here kills a lane")
    }

    fn sk(&self, sock: usize) -> SockRef {
        self.socks[sock].expect("an open socket")
    }

    /// Binds to a port id of its own.
    fn bind(&self, sk: SockRef, slot: usize, groups: u32) {
        let pid = 500 + i32::try_from(slot).expect("few sockets");
        self.run(async move |core| netlink_bind(core, sk, CALLER, pid, groups).await).expect("the port id is free");
    }

    fn fail(&self, expand_fails: bool, failing_clone: Option<u64>) {
        self.m.mem.faults(|faults| {
            faults.clear();
            let rule = |site: sim::Site, nth| FaultRule { site: Some(site.0.into()), nth, times: Times::Count(1) };
            if expand_fails {
                faults.add(rule(site::EXPAND_DATA, 1));
            }
            if let Some(nth) = failing_clone {
                faults.add(rule(site::CLONE_HEAD, nth));
            }
        });
    }

    fn step(&mut self, step: &Step) -> Answer {
        match *step {
            Step::Open { groups, rcvbuf } => {
                let sk = self.run(async |core| netlink_create(core, NETLINK_KOBJECT_UEVENT).await).expect("no fault");
                self.core.sock(sk, |s| s.rcvbuf = rcvbuf);
                self.bind(sk, self.socks.len(), groups);
                self.socks.push(Some(sk));
            }
            Step::Close { sock } => {
                let sk = self.socks[sock].take().expect("an open socket");
                self.run(async move |core| netlink_release(core, sk).await);
            }
            Step::Join { sock, groups } => self.bind(self.sk(sock), sock, groups),
            Step::Broadcast { group, len, expand_fails, failing_clone } => {
                self.fail(expand_fails, failing_clone);
                let sender = self.core.uevent_sock().expect("it was made at the start");
                let result = self.run(async move |core| {
                    let skb = alloc_skb(core, ALLOC, Gfp::KERNEL).await.expect("no fault");
                    skb_put(core, skb, &[&vec![b'x'; len as usize]]).await;
                    netlink_broadcast(core, sender, skb, 0, group, Gfp::KERNEL).await
                });
                self.fail(false, None);
                return Answer::Sent(result);
            }
            Step::Receive { sock, room, peek } => {
                let (sk, flags) = (self.sk(sock), msg::DONTWAIT | if peek { msg::PEEK } else { 0 });
                let got = self.run(async move |core| {
                    let mut bytes = Vec::new();
                    netlink_recvmsg(core, sk, &mut bytes, room, flags).await.map(|r| (bytes.len(), r.truncated))
                });
                return Answer::Got(got);
            }
        }
        Answer::Nothing
    }

    /// A socket as the model counts it.
    fn counted(&self, sk: SockRef) -> (Counted, i32) {
        self.core.sock(sk, |s| {
            let queue = s.queue.iter().map(|skb| self.core.skb(*skb, |skb| (skb.len, skb.truesize))).collect();
            let (groups, rcvbuf, latch, err) = (s.groups, s.rcvbuf, s.congested, s.err);
            (Counted { groups, rcvbuf, queue, latch, err, lost: s.lost.total() }, s.rmem_alloc.get())
        })
    }
}

struct Queues;

impl StateMachineTest for Queues {
    type SystemUnderTest = Kernel;
    type Reference = Model;

    fn init_test(_: &Model) -> Kernel {
        Kernel::new()
    }

    fn apply(mut kernel: Kernel, model: &Model, step: Step) -> Kernel {
        assert_eq!(kernel.step(&step), model.answer, "the answer to {step:?}");
        kernel
    }

    fn check_invariants(kernel: &Kernel, model: &Model) {
        for (sk, counted) in kernel.socks.iter().zip(&model.socks) {
            assert_eq!(sk.is_some(), counted.is_some());
            if let (Some(sk), Some(counted)) = (sk, counted) {
                assert_eq!(kernel.counted(*sk), (counted.clone(), counted.owed()));
            }
        }
        assert!(kernel.m.violations().is_empty(), "{:?}", kernel.m.violations());
    }

    fn teardown(kernel: Kernel, _: Model) {
        for sk in kernel.socks.iter().flatten().copied() {
            kernel.run(async move |core| netlink_release(core, sk).await);
        }
        assert_eq!(kernel.core.live().len(), kernel.live_at_start, "what the listeners had is freed with them");
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_queue_holds_what_the_counting_model_says(sequential 1..60 => Queues);
}
