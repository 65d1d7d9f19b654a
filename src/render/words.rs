//! Events in the kernel's words: what all text pictures share.

use std::fmt::Write as _;

use sim::mm::Kind;
use sim::trace::Args;
use sim::{Errno, Gfp, Value};

/// A call as C writes it: `kobject_fork(fork_kobj, 100, 101)`.
///
/// Some functions are traced with their first argument in their name: `complete(vfork)`.
/// A reference to a task that goes is shown by who gives it back, and by how many are left.
pub(crate) fn call(func: &str, args: &Args) -> String {
    if let ("put_task_struct", [(_, Value::Name(by)), (_, Value::Int(usage))]) = (func, args.as_slice()) {
        return format!("{by}(), usage {usage}");
    }
    let shown: Vec<_> = args.iter().filter(|(name, _)| is_shown(func, name)).map(|arg| argument(func, arg)).collect();
    match func.strip_suffix(')') {
        Some(_) if shown.is_empty() => func.into(),
        Some(func) => format!("{func}, {})", shown.join(", ")),
        None => format!("{func}({})", shown.join(", ")),
    }
}

/// A call without its arguments: `kobject_fork()`.
pub(crate) fn bare(func: &str) -> String {
    if func.ends_with(')') { func.into() } else { format!("{func}()") }
}

/// Arguments that pictures leave out: a message has a row of its own, its sizes are a matter for the layout.
fn is_shown(func: &str, arg: &str) -> bool {
    match func {
        "netlink_broadcast" => matches!(arg, "group" | "gfp"),
        "call_usermodehelper" => arg == "path",
        _ => true,
    }
}

fn argument(func: &str, (name, value): &(&'static str, Value)) -> String {
    match value {
        Value::Int(n) => number(func, name, *n),
        Value::Name(name) => (*name).into(),
        Value::Bytes(bytes) => format!("\"{}\"", Value::shown(bytes)),
        Value::List(list) => {
            format!("[{}]", list.iter().map(|bytes| Value::shown(bytes)).collect::<Vec<_>>().join(", "))
        }
    }
}

fn number(func: &str, name: &str, n: i64) -> String {
    match (name, u32::try_from(n)) {
        ("sock" | "group", _) => format!("{name} {n}"),
        ("sk_err", _) => rc("", -n).trim_start_matches('-').into(),
        ("gfp", Ok(bits)) => Gfp(bits).to_string(),
        ("clone_flags", Ok(bits)) => clone_flags(bits),
        ("flags", Ok(bits)) if matches!(func, "do_fork" | "copy_process" | "wake_up_new_task") => clone_flags(bits),
        _ => n.to_string(),
    }
}

/// `include/linux/sched.h` (Linux 2.6.11), without the `CLONE_` that all of them begin with.
const CLONE_FLAGS: [(u32, &str); 17] = [
    (0x100, "VM"),
    (0x200, "FS"),
    (0x400, "FILES"),
    (0x800, "SIGHAND"),
    (0x2000, "PTRACE"),
    (0x4000, "VFORK"),
    (0x8000, "PARENT"),
    (0x1_0000, "THREAD"),
    (0x2_0000, "NEWNS"),
    (0x4_0000, "SYSVSEM"),
    (0x8_0000, "SETTLS"),
    (0x10_0000, "PARENT_SETTID"),
    (0x20_0000, "CHILD_CLEARTID"),
    (0x40_0000, "DETACHED"),
    (0x80_0000, "UNTRACED"),
    (0x100_0000, "CHILD_SETTID"),
    (0x200_0000, "STOPPED"),
];

/// `VM|VFORK|SIGCHLD`: the flags, then the exit signal, then in hex whatever has no name.
fn clone_flags(bits: u32) -> String {
    const CSIGNAL: u32 = 0xff;
    let mut rest = bits & !CSIGNAL;
    let mut names = Vec::new();
    for (bit, name) in CLONE_FLAGS {
        if rest & bit != 0 {
            names.push(name.to_owned());
            rest &= !bit;
        }
    }
    match bits & CSIGNAL {
        0 => {}
        17 => names.push("SIGCHLD".into()),
        signal => names.push(format!("signal {signal}")),
    }
    if rest != 0 || names.is_empty() {
        names.push(format!("{rest:#x}"));
    }
    names.join("|")
}

/// What a function returned: `-ENOMEM` where the number is an error, else the number.
///
/// The pid allocator says -1 and means no error number; that is why the function is asked for.
pub(crate) fn rc(func: &str, rc: i64) -> String {
    let error = u16::try_from(-rc).ok().map(Errno::from_number).filter(|errno| errno.name().is_some());
    match error {
        Some(errno) if !matches!(func, "alloc_pidmap" | "op_filter") => errno.to_string(),
        _ => rc.to_string(),
    }
}

/// The function of an allocator.
pub(crate) fn allocator(kind: Kind) -> &'static str {
    match kind {
        Kind::Kmalloc => "kmalloc",
        Kind::CacheAlloc => "kmem_cache_alloc",
        Kind::PageAlloc => "get_zeroed_page",
    }
}

/// The function that gives back what [`allocator`] gave.
pub(crate) fn deallocator(kind: Kind) -> &'static str {
    match kind {
        Kind::Kmalloc => "kfree",
        Kind::CacheAlloc => "kmem_cache_free",
        Kind::PageAlloc => "free_page",
    }
}

/// The allocator of a site, for what was allocated before anybody looked.
pub(crate) fn allocator_of(site: Option<&str>) -> Kind {
    match site {
        Some("alloc_task_struct" | "alloc_skb.head" | "skb_clone.head" | "sk_alloc.sock") => Kind::CacheAlloc,
        Some("alloc_thread_info" | "alloc_pidmap.page") => Kind::PageAlloc,
        _ => Kind::Kmalloc,
    }
}

/// Where a lane waits, without the path of the C file: `netlink_recvmsg()`, `tasklist_lock`.
pub(crate) fn place(on: &str) -> &str {
    on.rsplit_once(':').map_or(on, |(_, place)| place)
}

/// A line of the kernel's log in one line of printable ASCII, its level in words.
pub(crate) fn printk(text: &str) -> String {
    const LEVELS: [&str; 8] = ["EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG"];
    let level = text.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let level = level.and_then(|(level, line)| Some((*LEVELS.get(level.parse::<usize>().ok()?)?, line)));
    let (level, line) = level.map_or((String::new(), text), |(level, line)| (format!("KERN_{level} "), line));
    let mut shown = level;
    write!(shown, "\"{}\"", Value::shown(line.trim_end().as_bytes())).expect("a String takes everything");
    shown
}

/// Whether a traced call is an operation on a lock.
pub(crate) fn is_lock(args: &Args) -> bool {
    args.first().is_some_and(|(name, _)| *name == "lock")
}

/// Whether such a call gives the lock back: `spin_unlock()`, `up_read()`.
pub(crate) fn unlocks(func: &str) -> bool {
    func.contains("unlock") || func.starts_with("up_")
}

/// Calls that only count, copy, clear or check, and say nothing but that it went well.
///
/// Those without arguments and result are the many small steps of a fork and an exit. Not so giving up the CPU, and
/// whatever names its object, as `complete(vfork)` does; `alloc_pidmap() = 101` has something to say.
pub(super) fn is_trivial(func: &str, args: &Args, rc: Option<i64>) -> bool {
    const PREFIXES: [&str; 6] = ["atomic_", "clear_tsk_", "set_tsk_", "try_module_get", "mmput", "put_user"];
    let silent = args.is_empty() && matches!(rc, None | Some(0));
    PREFIXES.iter().any(|prefix| func.starts_with(prefix)) || (silent && func != "yield" && !func.ends_with(')'))
}

/// A number among the arguments.
pub(crate) fn int(args: &Args, wanted: &str) -> Option<i64> {
    args.iter().find_map(|(name, value)| match value {
        Value::Int(n) if *name == wanted => Some(*n),
        _ => None,
    })
}

/// The bytes of the message, if this is a broadcast.
pub(crate) fn message<'a>(func: &str, args: &'a Args) -> Option<&'a [u8]> {
    args.iter().find_map(|(name, value)| match value {
        Value::Bytes(bytes) if func == "netlink_broadcast" && *name == "data" => Some(bytes.as_slice()),
        _ => None,
    })
}
