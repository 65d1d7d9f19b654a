//! The numbers of section 2 of the semantics, where this layer has them.

use serde::Deserialize;
use serde_json::{Value, json};
use sim::Gfp;
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

/// Numbers of tasks and pids, and sizes that nothing here depends on.
fn not_modelled() -> Value {
    json!({
        "offsetof(sk_buff, truesize)": 192,
        "sizeof(skb_frag_t)": 16,
        "MAX_SKB_FRAGS": 18,
        "PAGE_SIZE": 4096,
        "THREAD_SIZE": 8192,
        "HOTPLUG_PATH_LEN": 256,
        "sizeof(kobject)": 80,
        "PID_MAX_DEFAULT": 32768,
        "PID_MAX_LIMIT": 4_194_304,
        "sizeof(task_struct)": 1712,
        "PF_FORKNOEXEC": 64,
        "PF_SUPERPRIV": 256,
        "TASK_RUNNING": 0,
        "TASK_STOPPED": 4,
        "PIDTYPE_PID": 0,
        "PIDTYPE_TGID": 1,
        "PIDTYPE_PGID": 2,
        "PIDTYPE_SID": 3,
        "PIDTYPE_MAX": 4,
        "SIGNAL_GROUP_EXIT": 8,
        "RLIMIT_NPROC": 6,
        "CAP_SYS_ADMIN": 21,
        "CAP_SYS_RESOURCE": 24,
        "CAP_NET_ADMIN": 12,
        "TIF_SIGPENDING": 2,
        "TIF_SYSCALL_TRACE": 0,
        "RESERVED_PIDS": 300,
        "BITS_PER_PAGE": 32768,
    })
}
