//! The path in kernels of other configurations.

use std::rc::Rc;

use forklab_uevent::af_netlink::{
    Caller, NETLINK_KOBJECT_UEVENT, msg, netlink_bind, netlink_create, netlink_proto_init, netlink_recvmsg,
};
use forklab_uevent::kobject::{kobject_init, kobject_set_name};
use forklab_uevent::kobject_uevent::{
    HotplugOps, KobjectAction, kobject_fork, kobject_hotplug, kobject_uevent, kobject_uevent_init,
};
use forklab_uevent::{Config, ConfigError, Core};
use sim::{Calm, Errno, Machine};

/// What one listener and the allocator saw of a fork event, a mount event and a hotplug event.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    messages: Vec<String>,
    fork_allocations: u64,
    mount: Result<(), Errno>,
}

fn seen(config: Config) -> Seen {
    let core = Rc::new(Core::new(Machine::new(sim::Config::default(), Calm), config).expect("it links"));
    let out = Rc::new(std::cell::RefCell::new(None));
    let (c, slot) = (core.clone(), out.clone());
    core.m.spawn("t", async move {
        netlink_proto_init(&c).await;
        kobject_uevent_init(&c).await.expect("no failure was asked for");
        assert_eq!(c.uevent_sock().is_some(), c.config.kobject_uevent);
        let sock = netlink_create(&c, NETLINK_KOBJECT_UEVENT).await.expect("a socket");
        netlink_bind(&c, sock, Caller { pid: 500, net_admin: true }, 0, 1).await.expect("bound");
        let kobj = c.new_kobject();
        kobject_init(&c, kobj);
        kobject_set_name(&c, kobj, b"fork_kobj", Vec::new).await.expect("a short name");
        let before = c.m.mem.counters().allocs;
        kobject_fork(&c, kobj, 100, 101).await;
        let fork_allocations = c.m.mem.counters().allocs - before;
        let mount = kobject_uevent(&c, kobj, KobjectAction::Mount.number(), None).await;
        let kset = c.new_kset(c.new_kobject(), Some(HotplugOps::default()));
        c.kobj(kobj, |k| k.kset = Some(kset));
        kobject_hotplug(&c, kobj, KobjectAction::Add.number()).await;
        let mut messages = Vec::new();
        let mut bytes = Vec::new();
        while netlink_recvmsg(&c, sock, &mut bytes, 4096, msg::DONTWAIT).await.is_ok() {
            messages.push(sim::Value::shown(&std::mem::take(&mut bytes)));
        }
        *slot.borrow_mut() = Some(Seen { messages, fork_allocations, mount });
    });
    core.m.run();
    assert!(core.m.violations().is_empty(), "{:?}", core.m.violations());
    out.take().expect("it ran to its end")
}

const FORK: &str = r"fork@/fork_kobj\0100\0101\0";
const MOUNT: &str = r"mount@/fork_kobj\0";
const ADD: &str = r"add@/fork_kobj\0ACTION=add\0DEVPATH=/fork_kobj\0SUBSYSTEM=\0SEQNUM=1\0";

#[test]
fn with_both_options_all_three_events_arrive() {
    let all = seen(Config::default());
    assert_eq!(all, Seen { messages: vec![FORK.into(), MOUNT.into(), ADD.into()], fork_allocations: 5, mount: Ok(()) });
}

#[test]
fn without_hotplug_the_fork_event_arrives_and_no_hotplug_event_does() {
    let some = seen(Config { hotplug: false, ..Config::default() });
    assert_eq!(some, Seen { messages: vec![FORK.into(), MOUNT.into()], fork_allocations: 5, mount: Ok(()) });
}

#[test]
fn without_kobject_uevent_nothing_is_sent_and_a_fork_still_allocates_its_path_and_slots() {
    let none = seen(Config { kobject_uevent: false, ..Config::default() });
    assert_eq!(none, Seen { messages: vec![], fork_allocations: 2, mount: Ok(()) });
}

#[test]
fn without_both_the_patched_kernel_does_not_link() {
    let config = Config { hotplug: false, kobject_uevent: false, ..Config::default() };
    let refused = Core::new(Machine::new(sim::Config::default(), Calm), config).err();
    assert_eq!(refused, Some(ConfigError::DoesNotLink));
}

#[test]
fn a_fork_event_with_three_listeners_meets_exactly_the_sites_of_the_fault_table_in_that_order() {
    let core = Rc::new(Core::new(Machine::new(sim::Config::default(), Calm), Config::default()).expect("it links"));
    let c = core.clone();
    let recording = std::cell::OnceCell::new();
    let recording = Rc::new(recording);
    let slot = recording.clone();
    core.m.spawn("t", async move {
        netlink_proto_init(&c).await;
        kobject_uevent_init(&c).await.expect("a socket");
        for pid in 500..503 {
            let sock = netlink_create(&c, NETLINK_KOBJECT_UEVENT).await.expect("a socket");
            netlink_bind(&c, sock, Caller { pid, net_admin: true }, 0, 1).await.expect("bound");
        }
        let kobj = c.new_kobject();
        kobject_init(&c, kobj);
        kobject_set_name(&c, kobj, b"fork_kobj", Vec::new).await.expect("a short name");
        slot.set(c.m.trace.record()).expect("once");
        kobject_fork(&c, kobj, 100, 101).await;
    });
    core.m.run();
    let mut met: Vec<_> = recording
        .get()
        .expect("recorded")
        .events()
        .iter()
        .filter_map(|event| match event.what {
            sim::What::Alloc { site, .. } => Some(site),
            _ => None,
        })
        .collect();
    assert_eq!(met.len(), 7, "two clones: {met:?}");
    met.dedup();
    let listed: Vec<_> = forklab_uevent::site::FORK_EVENT.iter().map(|site| site.0).collect();
    assert_eq!(met, listed);
}
