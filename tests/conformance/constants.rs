//! The numbers of section 2 of the semantics, from the crates where they have them.

use fork_model::fork::{TASK_STRUCT, THREAD_SIZE};
use fork_model::init::boot;
use fork_model::sched::{State, cap, pf};
use fork_model::{System, SystemConfig, pid};
use serde::Deserialize;
use serde_json::{Value, json};
use sim::{Calm, Event, Gfp, Machine, Site, What};
use uevent::Core;
use uevent::af_netlink::{MAX_LINKS, NETLINK_KOBJECT_UEVENT, SIZEOF_NETLINK_OPT, SIZEOF_SOCK, SOCK_MIN_RCVBUF};
use uevent::kobject::KOBJ_NAME_LEN;
use uevent::kobject_uevent::{BUFFER_SIZE, FORK_BUFFER_NB, FORK_BUFFER_SIZE, NUM_ENVP};
use uevent::skbuff::{SIZEOF_SKB_SHARED_INFO, alloc_skb};

use crate::harness::{self, Bench, extend};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {}

#[test]
fn every_recorded_constant_is_that_of_the_model() {
    harness::check("constants", |Input {}| {
        let mut json = event_layer();
        extend(&mut json, tasks());
        extend(&mut json, sizes_allocated());
        extend(&mut json, not_modelled());
        json
    });
}

fn event_layer() -> Value {
    let config = uevent::Config::default();
    json!({
        "sizeof(sk_buff)": config.sizeof_sk_buff,
        "sizeof(skb_shared_info)": SIZEOF_SKB_SHARED_INFO,
        "SMP_CACHE_BYTES": sim::Config::default().smp_cache_bytes,
        "sizeof(sock)": SIZEOF_SOCK,
        "sizeof_sock": SIZEOF_SOCK,
        "sizeof_netlink_opt": SIZEOF_NETLINK_OPT,
        "GFP_KERNEL": Gfp::KERNEL.0,
        "GFP_ATOMIC": Gfp::ATOMIC.0,
        "__GFP_WAIT": Gfp::WAIT.0,
        "__GFP_DMA": Gfp::DMA.0,
        "KOBJ_NAME_LEN": KOBJ_NAME_LEN,
        "NETLINK_KOBJECT_UEVENT": NETLINK_KOBJECT_UEVENT,
        "MAX_LINKS": MAX_LINKS,
        "SOCK_MIN_RCVBUF": SOCK_MIN_RCVBUF,
        "sysctl_rmem_default": config.rmem.0,
        "sysctl_rmem_max": config.rmem.1,
        "BUFFER_SIZE": BUFFER_SIZE,
        "NUM_ENVP": NUM_ENVP,
        "FORK_BUFFER_SIZE": FORK_BUFFER_SIZE,
        "FORK_BUFFER_NB": FORK_BUFFER_NB,
        "sk_buff sizes by configuration": {
            "none (x86_64 defconfig, used here)": head_size(232),
            "NETFILTER": head_size(256),
            "NETFILTER+NETFILTER_DEBUG": head_size(264),
            "NETFILTER+BRIDGE_NETFILTER": head_size(264),
            "NETFILTER+BRIDGE_NETFILTER+NET_SCHED": head_size(272),
            "NETFILTER+BRIDGE_NETFILTER+NET_SCHED+NET_CLS_ACT": head_size(280),
            "NETFILTER+NET_SCHED": head_size(264),
            "NET_SCHED": head_size(240),
            "HIPPI": head_size(240),
        },
    })
}

/// What a message without data is charged where an sk_buff has this size: the size.
fn head_size(sizeof_sk_buff: u32) -> u32 {
    let config = uevent::Config { sizeof_sk_buff, ..uevent::Config::default() };
    let bench = Bench::with(sim::Config::default(), config);
    let skb = bench.must(async |core: &Core| alloc_skb(core, 0, Gfp::KERNEL).await).expect("no fault was asked for");
    bench.core.skb(skb, |s| s.truesize)
}

fn tasks() -> Value {
    json!({
        "THREAD_SIZE": THREAD_SIZE,
        "PID_MAX_DEFAULT": pid::PID_MAX_DEFAULT,
        "PID_MAX_LIMIT": pid::PID_MAX_LIMIT,
        "RESERVED_PIDS": pid::RESERVED_PIDS,
        "BITS_PER_PAGE": pid::BITS_PER_PAGE,
        "PF_FORKNOEXEC": pf::FORKNOEXEC,
        "PF_SUPERPRIV": pf::SUPERPRIV,
        "TASK_RUNNING": State::Running as u8,
        "TASK_STOPPED": State::Stopped as u8,
        "CAP_SYS_ADMIN": cap::SYS_ADMIN.trailing_zeros(),
        "CAP_SYS_RESOURCE": cap::SYS_RESOURCE.trailing_zeros(),
        "CAP_NET_ADMIN": cap::NET_ADMIN.trailing_zeros(),
    })
}

/// Sizes that the model keeps to itself, as it allocates them in a boot.
fn sizes_allocated() -> Value {
    let sys = System::new(Machine::new(sim::Config::default(), Calm), SystemConfig::default()).expect("it links");
    let recording = sys.m.trace.record();
    sys.m.spawn("init", {
        let sys = sys.clone();
        async move {
            boot(&sys).await.expect("no fault was asked for");
        }
    });
    sys.m.run();
    let events = recording.take();
    let size = |wanted: Site| {
        let size = |event: &Event| match event.what {
            What::Alloc { site, size, .. } if site == wanted.0 => Some(size),
            _ => None,
        };
        events.iter().find_map(size).expect("a boot allocates it")
    };
    json!({"PAGE_SIZE": size(pid::PIDMAP_PAGE), "sizeof(task_struct)": size(TASK_STRUCT)})
}

/// What the model has no number of, so that these lines compare nothing but the file with the description.
fn not_modelled() -> Value {
    json!({
        // Nothing has a layout: a buffer is fields, without fragments, and an object is in no memory of its own.
        "offsetof(sk_buff, truesize)": 192,
        "sizeof(skb_frag_t)": 16,
        "MAX_SKB_FRAGS": 18,
        "sizeof(kobject)": 80,
        // The helper's path is as long as it is.
        "HOTPLUG_PATH_LEN": 256,
        // Kinds of pids are names, and no hash chains are indexed by them.
        "PIDTYPE_PID": 0,
        "PIDTYPE_TGID": 1,
        "PIDTYPE_PGID": 2,
        "PIDTYPE_SID": 3,
        "PIDTYPE_MAX": 4,
        // Fields of their own: Signal::group_exit, Signal::rlimit_nproc, Task::sigpending.
        "SIGNAL_GROUP_EXIT": 8,
        "RLIMIT_NPROC": 6,
        "TIF_SIGPENDING": 2,
        // A name in the trace.
        "TIF_SYSCALL_TRACE": 0,
    })
}
