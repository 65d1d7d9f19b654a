//! `alloc_skb()` and what is done to a buffer afterwards.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sim::errno::Rc as _;
use uevent::Core;
use uevent::af_netlink::netlink_trim;
use uevent::skbuff::{Skb, alloc_skb, kfree_skb, pskb_expand_head, skb_clone, skb_get, skb_put, skb_reserve};

use crate::harness::bench::{gfp, rc_json};
use crate::harness::{self, Bench, extend};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Input {
    AllocSkb { size: u32, gfp: u32, gfp_name: Option<String>, smp_cache_bytes: u32 },
    Sequence { smp_cache_bytes: u32, steps: Vec<Step> },
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    AllocSkb { slot: u32, size: u32, gfp: u32, gfp_name: Option<String> },
    SkbPut { slot: u32, len: u32 },
    SkbReserve { slot: u32, len: u32 },
    SkbClone { from: u32, to: u32, gfp: u32, gfp_name: Option<String> },
    SkbGet { slot: u32 },
    KfreeSkb { slot: u32 },
    NetlinkTrim { slot: u32, gfp: u32, gfp_name: Option<String> },
    PskbExpandHead { slot: u32, nhead: i32, ntail: i32, gfp: u32, gfp_name: Option<String> },
    Fail { site: String },
    State { slot: u32 },
}

#[test]
fn every_recorded_socket_buffer_has_its_state() {
    harness::check("skb", |input| match input {
        Input::AllocSkb { size, gfp, gfp_name, smp_cache_bytes } => {
            let mut slots = Slots::new(smp_cache_bytes);
            let step = slots.step(Step::AllocSkb { slot: 0, size, gfp, gfp_name });
            json!({"skb": step["skb"], "trace": step["trace"]})
        }
        Input::Sequence { smp_cache_bytes, steps } => {
            let mut slots = Slots::new(smp_cache_bytes);
            let mut done = Vec::new();
            for step in steps {
                done.push(slots.step(step));
                if done.last().is_some_and(|step| step.get("crash").is_some()) {
                    break;
                }
            }
            json!({"steps": done, "still_allocated": slots.bench.live()})
        }
    });
}

/// The buffers of one case, by slot.
struct Slots {
    bench: Bench,
    skbs: BTreeMap<u32, Skb>,
}

impl Slots {
    fn new(smp_cache_bytes: u32) -> Slots {
        let machine = sim::Config { smp_cache_bytes, ..sim::Config::default() };
        Slots { bench: Bench::with(machine, uevent::Config::default()), skbs: BTreeMap::new() }
    }

    fn step(&mut self, step: Step) -> Value {
        let named = gfp;
        match step {
            Step::AllocSkb { slot, size, gfp, gfp_name } => {
                let gfp = named(gfp, gfp_name.as_deref());
                let skb = self.bench.must(async move |core: &Core| alloc_skb(core, size, gfp).await);
                self.skbs.remove(&slot);
                self.skbs.extend(skb.ok().map(|skb| (slot, skb)));
                self.done("alloc_skb", Some(slot), json!({}))
            }
            Step::SkbPut { slot, len } => {
                let skb = self.skbs[&slot];
                let bytes = vec![0; len as usize];
                match self.bench.run(async move |core: &Core| skb_put(core, skb, &[&bytes]).await) {
                    Some(()) => self.done("skb_put", Some(slot), json!({})),
                    None => self.crashed("skb_put"),
                }
            }
            Step::SkbReserve { slot, len } => {
                skb_reserve(&self.bench.core, self.skbs[&slot], len);
                self.done("skb_reserve", Some(slot), json!({}))
            }
            Step::SkbClone { from, to, gfp, gfp_name } => {
                let (skb, gfp) = (self.skbs[&from], named(gfp, gfp_name.as_deref()));
                let copy = self.bench.must(async move |core: &Core| skb_clone(core, skb, gfp).await);
                self.skbs.remove(&to);
                self.skbs.extend(copy.ok().map(|copy| (to, copy)));
                self.done("skb_clone", Some(to), json!({}))
            }
            Step::SkbGet { slot } => {
                skb_get(&self.bench.core, self.skbs[&slot]);
                self.done("skb_get", Some(slot), json!({}))
            }
            Step::KfreeSkb { slot } => {
                kfree_skb(&self.bench.core, self.skbs[&slot]);
                self.done("kfree_skb", None, json!({}))
            }
            Step::NetlinkTrim { slot, gfp, gfp_name } => {
                let (skb, gfp) = (self.skbs[&slot], named(gfp, gfp_name.as_deref()));
                let trimmed = self.bench.must(async move |core: &Core| netlink_trim(core, skb, gfp).await);
                self.skbs.insert(slot, trimmed);
                self.done("netlink_trim", Some(slot), json!({"same_skb": trimmed == skb}))
            }
            Step::PskbExpandHead { slot, nhead, ntail, gfp, gfp_name } => {
                let (skb, gfp) = (self.skbs[&slot], named(gfp, gfp_name.as_deref()));
                let expand = async move |core: &Core| pskb_expand_head(core, skb, nhead, ntail, gfp).await;
                match self.bench.run(expand) {
                    Some(result) => self.done("pskb_expand_head", Some(slot), rc_json(result.rc())),
                    None => self.crashed("pskb_expand_head"),
                }
            }
            Step::Fail { site } => {
                self.bench.fail(&[site]);
                self.done("fail", None, json!({}))
            }
            Step::State { slot } => self.done("state", Some(slot), json!({})),
        }
    }

    /// A step that came to its end; `shown` is the buffer whose state it ends with.
    fn done(&self, op: &str, shown: Option<u32>, more: Value) -> Value {
        let mut json = json!({"op": op, "trace": self.bench.trace()});
        extend(&mut json, more);
        if let Some(slot) = shown {
            extend(&mut json, json!({"skb": self.state(slot)}));
        }
        json
    }

    fn crashed(&self, op: &str) -> Value {
        json!({"op": op, "trace": self.bench.trace(), "crash": self.bench.crash(), "skb": {}})
    }

    fn state(&self, slot: u32) -> Value {
        let Some(skb) = self.skbs.get(&slot).copied() else { return Value::Null };
        let dataref = self.bench.core.dataref(skb);
        self.bench.core.skb(skb, |s| {
            json!({
                "len": s.len,
                "truesize": s.truesize,
                "users": s.users,
                "cloned": u32::from(s.cloned),
                // The description does not say whether the head room counts as used.
                "used": {"one of": [s.len, s.data + s.len]},
                "tail_room": s.tail_room(),
                "data_area": s.end,
                "head_room": s.data,
                "dataref": dataref,
            })
        })
    }
}
