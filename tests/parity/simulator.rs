//! The simulated arm: the modelled `sendmsg()`, broadcast and receive, one at a time.

use std::cell::Cell;
use std::rc::Rc;

use sim::trace::Recording;
use sim::{Calm, Errno, Gfp, Machine, Value, What};
use uevent::af_netlink::{
    Caller, Destination, SockRef, msg, netlink_bind, netlink_broadcast, netlink_create, netlink_proto_init,
    netlink_recvmsg, netlink_release, netlink_sendmsg, so_rcvbuf,
};
use uevent::era::so_rcvbufforce;
use uevent::kobject_uevent::kobject_uevent_init;
use uevent::skbuff::{alloc_skb, skb_put};
use uevent::{Config, Core, MemInfo};

use super::arm::{Arm, Ask, Got, Sent, To};

/// `NETLINK_USERSOCK`.
const USERSOCK: usize = 2;
/// `NETLINK_KOBJECT_UEVENT`.
const UEVENT: usize = 15;
/// Longer than any message here.
const ROOM: usize = 1 << 20;

pub struct Simulator {
    m: Rc<Machine>,
    core: Rc<Core>,
    protocol: usize,
    sender: SockRef,
    /// Each with its number in a trace.
    ears: Vec<(SockRef, u32)>,
    trace: Recording,
}

fn caller(pid: usize) -> Caller {
    Caller { pid: 500 + i32::try_from(pid).expect("few sockets"), net_admin: true }
}

fn run<R: 'static>(m: &Machine, core: &Rc<Core>, work: impl AsyncFnOnce(&Core) -> R + 'static) -> R {
    let result = Rc::new(Cell::new(None));
    m.spawn("t", {
        let (core, result) = (core.clone(), result.clone());
        async move { result.set(Some(work(&core).await)) }
    });
    m.run();
    result.take().expect("nothing here kills a lane")
}

impl Simulator {
    /// `NETLINK_USERSOCK` of a kernel that is configured so.
    pub fn new(config: Config) -> Simulator {
        Simulator::of(config, USERSOCK)
    }

    /// The same for `NETLINK_KOBJECT_UEVENT`, on which the kernel itself sends.
    pub fn of_uevents(config: Config) -> Simulator {
        Simulator::of(config, UEVENT)
    }

    fn of(config: Config, protocol: usize) -> Simulator {
        let m = Machine::new(sim::Config::default(), Calm);
        let core = Rc::new(Core::new(m.clone(), config).expect("it links"));
        let sender = run(&m, &core, async move |core| {
            netlink_proto_init(core).await;
            kobject_uevent_init(core).await.expect("no fault");
            netlink_create(core, protocol).await.expect("no fault")
        });
        let trace = m.trace.record();
        Simulator { m, core, protocol, sender, ears: Vec::new(), trace }
    }

    fn run<R: 'static>(&self, work: impl AsyncFnOnce(&Core) -> R + 'static) -> R {
        run(&self.m, &self.core, work)
    }

    /// The kernel sends a message that it allocated at exactly its length, as it does since uevents have a bound.
    pub fn kernel_sends(&mut self, len: usize) {
        let sender = self.core.uevent_sock().expect("it was made at the start");
        let _ = self.run(async move |core| {
            let skb = alloc_skb(core, u32::try_from(len).expect("small"), Gfp::KERNEL).await.expect("no fault");
            skb_put(core, skb, &[&vec![b'x'; len]]).await;
            netlink_broadcast(core, sender, skb, 0, 1, Gfp::KERNEL).await
        });
    }
}

impl Arm for Simulator {
    fn open(&mut self, groups: u32, ask: Ask) -> usize {
        let (protocol, ear) = (self.protocol, self.ears.len());
        let sk = self.run(async move |core| {
            let sk = netlink_create(core, protocol).await.expect("no fault");
            netlink_bind(core, sk, caller(ear), 0, groups).await.expect("its port id is free");
            sk
        });
        self.ears.push((sk, self.core.sock(sk, |s| s.number)));
        self.ask(ear, ask);
        ear
    }

    fn ask(&mut self, ear: usize, ask: Ask) {
        match ask {
            Ask::Default => {}
            Ask::Rcvbuf(bytes) => so_rcvbuf(&self.core, self.ears[ear].0, bytes),
            Ask::Force(bytes) => so_rcvbufforce(&self.core, self.ears[ear].0, bytes).expect("this era has it"),
        }
    }

    fn close(&mut self, ear: usize) {
        let sk = self.ears[ear].0;
        self.run(async move |core| netlink_release(core, sk).await);
    }

    fn send(&mut self, to: To, len: usize, fill: u8) -> Sent {
        let to = match to {
            To::Groups(groups) => Destination::Groups(groups),
            To::Ear(ear) => Destination::Port(self.core.port_id(self.ears[ear].0)),
        };
        let sender = self.sender;
        let sent = self.run(async move |core| {
            netlink_sendmsg(core, sender, Caller { pid: 4242, net_admin: true }, to, &vec![fill; len]).await
        });
        match sent {
            Ok(()) | Err(Errno::Srch) => Sent::Accepted,
            Err(Errno::Again) => Sent::Full,
            Err(errno) if errno == Errno::from_number(61) => Sent::Empty,
            Err(errno) => panic!("send: {errno}"),
        }
    }

    fn receive(&mut self, ear: usize) -> Got {
        let sk = self.ears[ear].0;
        let got = self.run(async move |core| {
            let mut bytes = Vec::new();
            let got = netlink_recvmsg(core, sk, &mut bytes, ROOM, msg::DONTWAIT).await;
            got.map(|got| (got.from_groups, bytes))
        });
        match got {
            Ok((groups, bytes)) => Got::Message { len: bytes.len(), first: bytes.first().copied(), groups },
            Err(Errno::NoBufs) => Got::Lost,
            Err(Errno::Again) => Got::Nothing,
            Err(errno) => panic!("receive: {errno}"),
        }
    }

    fn meminfo(&mut self, ear: usize) -> MemInfo {
        self.core.meminfo(self.ears[ear].0)
    }

    fn told(&mut self) -> Vec<usize> {
        let told = self.trace.take().into_iter().filter_map(|event| match event.what {
            What::Call { func: "sk_data_ready", args, .. } => args.iter().find_map(|(name, value)| match value {
                Value::Int(number) if *name == "sock" => self.ears.iter().position(|(_, n)| i64::from(*n) == *number),
                _ => None,
            }),
            _ => None,
        });
        told.collect()
    }
}
