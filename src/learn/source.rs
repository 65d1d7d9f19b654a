//! Which file of the kernel a function is in, and what an event says in a line.

use sim::trace::{Event, What};

use crate::render::words;

/// Files of Linux 2.6.11 (the last one of 2.6.15), and what the lessons show of them.
const FILES: [(&str, &[&str]); 11] = [
    (
        "kernel/fork.c",
        &["do_fork", "copy_process", "dup_task_struct", "prepare_to_copy", "free_task", "copy_mm", "copy_signal"],
    ),
    ("kernel/pid.c", &["alloc_pidmap", "attach_pid", "detach_pid", "free_pidmap"]),
    (
        "kernel/sched.c",
        &["wake_up_new_task", "finish_task_switch", "sched_fork", "yield", "complete", "wait_for_completion"],
    ),
    ("kernel/exit.c", &["do_exit", "release_task", "wait_task_zombie", "reparent_thread", "exit_notify"]),
    ("kernel/signal.c", &["do_notify_parent", "init_sigpending"]),
    ("fs/exec.c", &["do_execve"]),
    ("lib/kobject_uevent.c", &["kobject_fork", "send_uevent", "kobject_hotplug", "kobject_uevent"]),
    ("net/core/skbuff.c", &["alloc_skb", "skb_clone", "kfree_skb"]),
    ("net/netlink/af_netlink.c", &["netlink_broadcast", "netlink_recvmsg", "netlink_trim"]),
    ("net/core/sock.c", &["sk_data_ready", "sk_error_report"]),
    ("drivers/connector/", &["cn_netlink_send", "gate"]),
];

/// The file of a function, if a lesson says it.
#[must_use]
pub fn file(func: &str) -> Option<&'static str> {
    FILES.iter().find(|(_, funcs)| funcs.contains(&func)).map(|(file, _)| *file)
}

/// The function that an event is about.
#[must_use]
pub fn function(event: &Event) -> Option<&'static str> {
    match event.what {
        What::Enter { func, .. } | What::Leave { func, .. } | What::Call { func, .. } => Some(func),
        _ => None,
    }
}

/// What happened, in the kernel's words.
#[must_use]
pub fn says(what: &What) -> String {
    let returned = |func: &str, rc: &Option<i64>| rc.map(|rc| words::rc(func, rc));
    match what {
        What::Enter { func, args } => words::call(func, args),
        What::Leave { func, rc } => match returned(func, rc) {
            Some(rc) => format!("{} returns {rc}", words::bare(func)),
            None => format!("{} returns", words::bare(func)),
        },
        What::Call { func, args, rc } => match returned(func, rc) {
            Some(rc) => format!("{} = {rc}", words::call(func, args)),
            None => words::call(func, args),
        },
        What::Alloc { site, kind, size, gfp, ok, .. } => {
            let null = if *ok { "" } else { " = NULL" };
            format!("{}({site}, {size}, {gfp}){null}", words::allocator(*kind))
        }
        What::Free { site, .. } => {
            format!("{}({})", words::deallocator(words::allocator_of(*site)), site.unwrap_or("NULL"))
        }
        What::Wait { on } => format!("waits for {}", words::place(on)),
        What::Wake { lane } => format!("wakes {lane}"),
        What::End => "ends".into(),
        What::Printk { text } => format!("printk({})", words::printk(text)),
        What::Bug { file, func } => format!("BUG() in {file}:{func}()"),
        What::Oops { func } => format!("oops in {func}()"),
        What::WarnOn { file, func } => format!("WARN_ON() in {file}:{func}()"),
        What::Violation(violation) => violation.text.replace('\n', "; "),
    }
}
