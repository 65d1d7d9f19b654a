//! `netlink_broadcast()` and the sockets at its other end.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sim::errno::Rc as _;
use sim::{Errno, Event};
use uevent::Core;
use uevent::af_netlink::{
    Caller, NETLINK_KOBJECT_UEVENT, SockRef, msg, netlink_bind, netlink_broadcast, netlink_create, netlink_overrun,
    netlink_recvmsg, netlink_release, netlink_set_err, so_rcvbuf,
};
use uevent::skbuff::{alloc_skb, kfree_skb, skb_get, skb_put};

use crate::harness::bench::{gfp, rc_json};
use crate::harness::listeners::{CALLER, set_rcvbuf};
use crate::harness::{self, Bench, extend, record};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    steps: Vec<Step>,
    /// A sentence about slot 0.
    #[serde(rename = "sender")]
    _sender: String,
    /// A sentence about the bytes of a message.
    #[serde(rename = "payload")]
    _payload: String,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    Socket {
        sock: i64,
        pid: i32,
        groups: u32,
        #[serde(default = "unset")]
        rcvbuf: i32,
        #[serde(default)]
        fail: Vec<String>,
    },
    Bind {
        sock: i64,
        pid: i32,
        groups: u32,
        #[serde(default)]
        fail: Vec<String>,
    },
    Broadcast(Broadcast),
    BroadcastRepeat(Broadcast),
    Recv {
        sock: i64,
        #[serde(default = "default_buflen")]
        buflen: usize,
        #[serde(default)]
        flags: u32,
    },
    Close {
        sock: i64,
    },
    SoRcvbuf {
        sock: i64,
        value: i32,
    },
    SetErr {
        pid: i32,
        group: u32,
        code: i32,
        #[serde(default)]
        from: i64,
    },
    Overrun {
        sock: i64,
    },
    CapNetAdmin {
        value: bool,
    },
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Broadcast {
    payload_len: u64,
    alloc_size: u32,
    #[serde(alias = "first_message")]
    message: u64,
    #[serde(default)]
    pid: i32,
    group: u32,
    gfp: u32,
    gfp_name: Option<String>,
    #[serde(default)]
    from: i64,
    #[serde(default)]
    extra_users: u32,
    #[serde(default)]
    fail: Vec<String>,
    /// How often, for a repeated one.
    #[serde(default = "once", alias = "times", alias = "repeat", alias = "n")]
    count: u64,
}

fn unset() -> i32 {
    -1
}

fn default_buflen() -> usize {
    4000
}

fn once() -> u64 {
    1
}

#[test]
fn every_recorded_broadcast_is_reproduced() {
    harness::check("netlink_broadcast", |input: Input| {
        let mut sockets = Sockets::new();
        let mut steps = Vec::new();
        for step in input.steps {
            steps.push(sockets.step(step));
            if sockets.bench.crash() != Value::Null {
                break;
            }
        }
        json!({"steps": steps, "still_allocated": sockets.bench.live()})
    });
}

/// A user socket, and the numbers of the messages in its queue.
struct Open {
    sk: SockRef,
    messages: Vec<u64>,
}

/// The sockets of one case, by slot; slot 0 is the kernel's.
struct Sockets {
    bench: Bench,
    kernel: SockRef,
    open: BTreeMap<i64, Open>,
    caller: Caller,
}

impl Sockets {
    fn new() -> Sockets {
        let bench = Bench::new();
        bench.uevent_init(true);
        bench.measure();
        let kernel = bench.core.uevent_sock().expect("it was just made");
        Sockets { bench, kernel, open: BTreeMap::new(), caller: CALLER }
    }

    fn sk(&self, slot: i64) -> SockRef {
        self.open.get(&slot).map_or(self.kernel, |open| open.sk)
    }

    fn step(&mut self, step: Step) -> Value {
        let mut json = match step {
            Step::Socket { sock, pid, groups, rcvbuf, fail } => self.socket(sock, (pid, groups), rcvbuf, &fail),
            Step::Bind { sock, pid, groups, fail } => {
                self.bench.fail(&fail);
                named("bind", self.bind(self.sk(sock), pid, groups).rc())
            }
            Step::Broadcast(b) => self.broadcast(&b),
            Step::BroadcastRepeat(b) => self.broadcast_repeat(&b),
            Step::Recv { sock, buflen, flags } => self.recv(sock, buflen, flags),
            Step::Close { sock } => {
                let sk = self.open.remove(&sock).expect("an open socket").sk;
                self.bench.must(async move |core: &Core| netlink_release(core, sk).await);
                named("close", 0)
            }
            Step::SoRcvbuf { sock, value } => {
                so_rcvbuf(&self.bench.core, self.sk(sock), value);
                let mut json = named("so_rcvbuf", 0);
                extend(&mut json, json!({"rcvbuf": self.bench.core.sock(self.sk(sock), |s| s.rcvbuf)}));
                json
            }
            Step::SetErr { pid, group, code, from } => {
                netlink_set_err(&self.bench.core, self.sk(from), pid, group, code);
                json!({"op": "set_err"})
            }
            Step::Overrun { sock } => {
                netlink_overrun(&self.bench.core, self.sk(sock));
                json!({"op": "overrun"})
            }
            Step::CapNetAdmin { value } => {
                self.caller.net_admin = value;
                json!({"op": "cap_net_admin"})
            }
        };
        self.bench.fail(&[]);
        extend(&mut json, json!({"sockets": self.states()}));
        if json.get("trace").is_none() && json.get("?trace").is_none() {
            extend(&mut json, json!({"trace": self.bench.trace()}));
        }
        json
    }

    fn socket(&mut self, slot: i64, (pid, groups): (i32, u32), rcvbuf: i32, fail: &[String]) -> Value {
        self.bench.fail(fail);
        let made = self.bench.must(async |core: &Core| netlink_create(core, NETLINK_KOBJECT_UEVENT).await);
        let sk = match made {
            Ok(sk) => sk,
            Err((error, _)) => return named("socket", error.rc()),
        };
        self.bench.socks.borrow_mut().insert(self.bench.core.sock(sk, |s| s.number), slot);
        set_rcvbuf(&self.bench, sk, rcvbuf);
        self.open.insert(slot, Open { sk, messages: Vec::new() });
        named("socket", self.bind(sk, pid, groups).rc())
    }

    fn bind(&self, sk: SockRef, pid: i32, groups: u32) -> Result<(), Errno> {
        let caller = self.caller;
        self.bench.must(async move |core: &Core| netlink_bind(core, sk, caller, pid, groups).await)
    }

    /// One broadcast and its events; the result is `Err` if its buffer could not be allocated.
    ///
    /// `None` if it panicked. The extra users of the buffer let go of it afterwards, which is not part of the record.
    fn send(&mut self, b: &Broadcast) -> (Option<Result<i64, Errno>>, Vec<Event>) {
        let (sender, gfp) = (self.sk(b.from), gfp(b.gfp, b.gfp_name.as_deref()));
        let payload: Vec<u8> = (0..b.payload_len).map(|i| (37 * b.message + i).to_le_bytes()[0]).collect();
        let (size, pid, group, extra_users) = (b.alloc_size, b.pid, b.group, b.extra_users);
        let before: Vec<_> = self.open.values().map(|open| self.queue_len(open.sk)).collect();
        let sent = self.bench.run(async move |core: &Core| {
            let skb = alloc_skb(core, size, gfp).await?;
            skb_put(core, skb, &[&payload]).await;
            for _ in 0..extra_users {
                skb_get(core, skb);
            }
            Ok((skb, netlink_broadcast(core, sender, skb, pid, group, gfp).await))
        });
        let events = self.bench.events();
        if let Some(Ok((skb, _))) = sent {
            (0..extra_users).for_each(|_| kfree_skb(&self.bench.core, skb));
            drop(self.bench.events());
        }
        let core = self.bench.core.clone();
        for (open, before) in self.open.values_mut().zip(before) {
            let after = core.sock(open.sk, |s| s.queue.len());
            open.messages.extend((before..after).map(|_| b.message));
        }
        (sent.map(|sent| sent.map(|(_, result)| result.rc())), events)
    }

    fn queue_len(&self, sk: SockRef) -> usize {
        self.bench.core.sock(sk, |s| s.queue.len())
    }

    fn broadcast(&mut self, b: &Broadcast) -> Value {
        let before: BTreeMap<_, _> = self.open.iter().map(|(slot, open)| (*slot, open.messages.len())).collect();
        self.bench.fail(&b.fail);
        let (sent, events) = self.send(b);
        let mut json = json!({
            "op": "broadcast",
            "yielded": !record::yielded_at(&events).is_empty(),
            "trace": without_calls(record::entries(&self.bench, &events)),
        });
        match sent {
            Some(Ok(rc)) => {
                extend(&mut json, rc_json(rc));
                let got = self.open.iter().filter(|(slot, open)| open.messages.len() > before[*slot]);
                let delivered: Vec<_> = got.map(|(slot, open)| self.delivered(*slot, open.sk)).collect();
                extend(&mut json, json!({"delivered": delivered}));
            }
            Some(Err(_)) => extend(&mut json, json!({"alloc_failed": true})),
            None => extend(&mut json, json!({"crash": self.bench.crash(), "?panic": record::panic_json(&events)})),
        }
        json
    }

    /// The last message in a queue.
    fn delivered(&self, slot: i64, sk: SockRef) -> Value {
        let core = &self.bench.core;
        let skb = core.sock(sk, |s| *s.queue.back().expect("it has just got one"));
        core.skb(skb, |s| {
            json!({
                "sock": slot,
                "len": s.len,
                "truesize": s.truesize,
                "is_clone_or_cloned": s.cloned,
                "data_area": s.end,
            })
        })
    }

    /// The same broadcast many times, with messages numbered on. No case of this kind has been seen: the names of what
    /// is recorded are those of `kobject_fork`'s flood.
    fn broadcast_repeat(&mut self, b: &Broadcast) -> Value {
        self.bench.fail(&b.fail);
        let mut all = Vec::new();
        let mut rcs = Vec::new();
        for i in 0..b.count {
            let (sent, events) = self.send(&Broadcast { message: b.message + i, ..b.clone() });
            all.extend(events);
            rcs.push(sent.expect("a repeated message fits").unwrap_or_else(Errno::rc));
        }
        let yielded_at = record::yielded_at(&all);
        json!({
            "op": "broadcast_repeat",
            "?rc_runs": record::runs(&rcs),
            "?broadcast_rc_runs": record::runs(&rcs),
            "?runs": record::runs(&rcs),
            "?first_lost_index": rcs.iter().position(|rc| *rc != 0),
            "?yielded": !yielded_at.is_empty(),
            "?yielded_at": yielded_at,
            "?trace": without_calls(record::entries(&self.bench, &all)),
        })
    }

    fn recv(&mut self, slot: i64, buflen: usize, flags: u32) -> Value {
        let sk = self.sk(slot);
        let (result, data) = self.bench.must(async move |core: &Core| {
            let mut data = Vec::new();
            (netlink_recvmsg(core, sk, &mut data, buflen, flags | msg::DONTWAIT).await, data)
        });
        let mut json = named("recv", result.map(|received| received.len).rc());
        let left = self.queue_len(sk);
        let queue = &mut self.open.get_mut(&slot).expect("an open socket").messages;
        if let Ok(received) = result {
            let message = queue[0];
            let sent = |i: usize| (37 * message + i as u64).to_le_bytes()[0];
            assert!(data.iter().enumerate().all(|(i, byte)| *byte == sent(i)), "the bytes are those of {message}");
            if received.len > 0 {
                extend(&mut json, json!({"message": message, "bytes": data.len()}));
            }
            queue.drain(..queue.len() - left);
        }
        extend(
            &mut json,
            json!({
                "msg_trunc": result.is_ok_and(|received| received.truncated),
                "from_pid": result.map_or(0, |received| received.from_pid),
                "from_groups": result.map_or(0, |received| received.from_groups),
            }),
        );
        json
    }

    /// Every open user socket.
    fn states(&self) -> Vec<Value> {
        let state = |(slot, open): (&i64, &Open)| {
            self.bench.core.sock(open.sk, |s| {
                json!({
                    "sock": slot,
                    "pid": s.pid,
                    "groups": s.groups,
                    "rcvbuf": s.rcvbuf,
                    "rmem_alloc": s.rmem_alloc.get(),
                    "queue_len": s.queue.len(),
                    "state_bit0": s.congested,
                    "sk_err": s.err,
                })
            })
        };
        self.open.iter().map(state).collect()
    }
}

/// These cases call the function itself, so that its own entry and return are not in their record.
fn without_calls(entries: Vec<Value>) -> Vec<Value> {
    entries.into_iter().filter(|e| e["op"] != "netlink_broadcast" && e["op"] != "netlink_broadcast_ret").collect()
}

fn named(op: &str, rc: i64) -> Value {
    let mut json = json!({"op": op});
    extend(&mut json, rc_json(rc));
    json
}
