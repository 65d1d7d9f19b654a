//! What the kernel writes of a fact, in each format, and what no kernel should.

use uevent::wire::connector::{CN_MSG, ForkIds, NLMSG_HDR};
use uevent::wire::proc_event::{Ids, ProcEvent, What, emit_proc_event};
use uevent::wire::{emit_bare, emit_keyed, fork_keys};

use super::fact::{Fact, Happens};
use super::script::Format;

/// What goes into a message besides the fact.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dress {
    pub number: u64,
    pub time_ns: u64,
    /// Make it so long.
    pub big: Option<u16>,
    pub non_utf8: bool,
}

/// Bytes that no UTF-8 text has.
const NO_TEXT: &[u8] = b"\xff\xfe";
/// `SUBSYSTEM=` of every scripted device.
const SUBSYSTEM: &[u8] = b"platform";
const EMITS: &str = "no part of a scripted message holds what ends it";

/// The message about a fact; none if this format has none.
pub(super) fn message(format: Format, fact: &Fact, dress: &Dress) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match (format, &fact.what) {
        (Format::Process, what) => {
            let what = process_event(what)?;
            emit_event(&mut out, fact.cpu, what, dress);
            lengthen(&mut out, dress.big);
        }
        (Format::Bare, &Happens::Fork { parent, child } | &Happens::Thread { process: parent, tid: child }) => {
            emit_bare(&mut out, "fork", "/fork_kobj", [parent.to_string(), child.to_string()]).expect(EMITS);
        }
        (Format::Keyed, &Happens::Fork { parent, child } | &Happens::Thread { process: parent, tid: child }) => {
            let ids = ForkIds { parent_pid: parent, parent_tgid: parent, child_pid: child, child_tgid: child };
            let keys = fork_keys(b"fork", b"/fork_kobj", &ids, None).map(|(key, value)| (key.to_owned(), value));
            keyed(&mut out, "fork", "/fork_kobj", keys.collect(), dress);
        }
        (Format::Uevents, Happens::Device { action, path, old }) => {
            let mut keys = vec![
                ("ACTION".to_owned(), action.as_bytes().to_vec()),
                ("DEVPATH".to_owned(), path.as_bytes().to_vec()),
                ("SUBSYSTEM".to_owned(), SUBSYSTEM.to_vec()),
            ];
            keys.extend(old.as_ref().map(|old| ("DEVPATH_OLD".to_owned(), old.as_bytes().to_vec())));
            keyed(&mut out, action, path, keys, dress);
        }
        _ => return None,
    }
    Some(out)
}

/// The message with bytes that are no text that comes before another one, in formats whose own message cannot have them.
pub(super) fn no_text_before(format: Format, fact: &Fact, dress: &Dress) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match format {
        Format::Process => {
            let pid = match fact.what {
                Happens::Fork { parent: pid, .. } | Happens::Thread { process: pid, .. } => pid,
                Happens::Exec { pid } | Happens::Exit { pid, .. } => pid,
                Happens::Device { .. } => return None,
            };
            let mut comm = [0; 16];
            comm[..NO_TEXT.len()].copy_from_slice(NO_TEXT);
            emit_event(&mut out, fact.cpu, What::Comm(Ids { pid, tgid: pid }, comm), dress);
        }
        Format::Bare if matches!(fact.what, Happens::Fork { .. } | Happens::Thread { .. }) => {
            emit_bare::<&[u8]>(&mut out, "change", [b"/", NO_TEXT].concat(), []).expect(EMITS);
        }
        _ => return None,
    }
    Some(out)
}

/// The signal that a parent gets when its child exits.
const SIGCHLD: i32 = 17;

fn process_event(what: &Happens) -> Option<What> {
    let process = |pid| Ids { pid, tgid: pid };
    Some(match *what {
        Happens::Fork { parent, child } => {
            What::Fork(ForkIds { parent_pid: parent, parent_tgid: parent, child_pid: child, child_tgid: child })
        }
        Happens::Thread { process, tid } => {
            What::Fork(ForkIds { parent_pid: process, parent_tgid: process, child_pid: tid, child_tgid: process })
        }
        Happens::Exec { pid } => What::Exec(process(pid)),
        Happens::Exit { pid, process: tgid } => {
            let signal = if pid == tgid { SIGCHLD } else { -1 };
            What::Exit { ids: Ids { pid, tgid }, code: 0, signal, parent: Ids::default() }
        }
        Happens::Device { .. } => return None,
    })
}

fn emit_event(out: &mut Vec<u8>, cpu: u32, what: What, dress: &Dress) {
    // 32 bits of the number: so wide is cn_msg.seq.
    emit_proc_event(out, dress.number as u32, 0, &ProcEvent { cpu, timestamp_ns: dress.time_ns, what });
}

/// A kernel to come has more fields behind the known ones: zeroes, and lengths that count them.
fn lengthen(message: &mut Vec<u8>, to: Option<u16>) {
    let Some(to) = to.map(|to| usize::from(to).next_multiple_of(4)).filter(|to| *to > message.len()) else { return };
    let to = to.min(usize::from(u16::MAX) & !3);
    message.resize(to, 0);
    message[..4].copy_from_slice(&(to as u32).to_le_bytes());
    let len = (to - NLMSG_HDR - CN_MSG) as u16;
    message[CN_LEN..CN_LEN + 2].copy_from_slice(&len.to_le_bytes());
}

/// Where `cn_msg.len` stands.
const CN_LEN: usize = NLMSG_HDR + 16;

fn keyed(out: &mut Vec<u8>, action: &str, path: &str, mut keys: Vec<(String, Vec<u8>)>, dress: &Dress) {
    if dress.non_utf8 {
        keys.push(("PARTNAME".to_owned(), NO_TEXT.to_vec()));
    }
    let number = ("SEQNUM".to_owned(), dress.number.to_string().into_bytes());
    let long = keys.iter().chain([&number]).map(|(key, value)| key.len() + value.len() + 2).sum::<usize>();
    let long = long + action.len() + path.len() + 2 + "MODALIAS=\0".len();
    if let Some(missing) = dress.big.and_then(|big| usize::from(big).checked_sub(long)) {
        keys.push(("MODALIAS".to_owned(), vec![b'm'; missing]));
    }
    keys.push(number);
    emit_keyed(out, action, path, keys).expect(EMITS);
}

/// Malformed messages of a format, what is wrong with each, and its bytes: what `garbage:0`, `garbage:1` … send.
///
/// Each of them says nothing, although some look as if they told of pid 77 or of `/devices/ghost`.
#[must_use]
pub fn garbage(format: Format) -> Vec<(&'static str, Vec<u8>)> {
    match format {
        Format::Process => garbage_of_the_connector(),
        Format::Uevents => garbage_of_devices(),
        Format::Bare => garbage_of_the_patch(),
        Format::Keyed => garbage_of_keys(),
    }
}

fn garbage_of_the_connector() -> Vec<(&'static str, Vec<u8>)> {
    // Of no CPU: its number is nobody's, or it would be a lie about what was lost.
    let whole = message(
        Format::Process,
        &Fact { cpu: u32::MAX, what: Happens::Fork { parent: 1, child: 77 } },
        &Dress { number: 77, time_ns: u64::MAX, ..Dress::default() },
    )
    .expect("a fork has a message");
    let cut = |to: usize| whole[..to].to_vec();
    let with = |at: usize, bytes: &[u8]| {
        let mut wrong = whole.clone();
        wrong[at..at + bytes.len()].copy_from_slice(bytes);
        wrong
    };
    vec![
        ("empty", cut(0)),
        ("ends inside of the netlink header", cut(10)),
        ("a netlink header and nothing else", cut(NLMSG_HDR)),
        ("ends inside of the event", cut(50)),
        ("the netlink header says more bytes than there are", with(0, &400_u32.to_le_bytes())),
        ("the connector's header says more bytes than there are", with(CN_LEN, &400_u16.to_le_bytes())),
        ("another user of the connector", with(NLMSG_HDR, &9_u32.to_le_bytes())),
        ("an event of a kind that nobody knows", with(NLMSG_HDR + CN_MSG, &0x10_u32.to_le_bytes())),
        ("a uevent", b"fork@/fork_kobj\x001\x0077\0".to_vec()),
    ]
}

fn named(list: &[(&'static str, &[u8])]) -> Vec<(&'static str, Vec<u8>)> {
    list.iter().map(|(what, bytes)| (*what, bytes.to_vec())).collect()
}

fn garbage_of_devices() -> Vec<(&'static str, Vec<u8>)> {
    named(&[
        ("empty", b""),
        ("no @", b"add\0ACTION=add\0DEVPATH=/devices/ghost\0SUBSYSTEM=platform\0SEQNUM"),
        ("no NUL", b"add@/devices/ghost"),
        ("ends inside of a value", b"add@/devices/ghost\0ACTION=add\0DEVPATH=/devices/gho"),
        ("no = in any string", b"add@/devices/ghost\0ACTION\0DEVPATH\0SUBSYSTEM\0SEQNUM\0"),
        (
            "a number that is none",
            b"add@/devices/ghost\0ACTION=add\0DEVPATH=/devices/ghost\0SUBSYSTEM=platform\0SEQNUM=0x7\0",
        ),
        ("a header of libudev that ends too soon", b"libudev\0\xfe\xed\xca\xfe\x28\0\0\0"),
        (
            "an action that nobody knows",
            b"explode@/devices/ghost\0ACTION=explode\0DEVPATH=/devices/ghost\0SUBSYSTEM=platform\0",
        ),
        (
            "a move that does not say from where",
            b"move@/devices/ghost\0ACTION=move\0DEVPATH=/devices/ghost\0SUBSYSTEM=platform\0SEQNUM=77\0",
        ),
        (
            "ends inside of the number",
            b"add@/devices/ghost\0ACTION=add\0DEVPATH=/devices/ghost\0SUBSYSTEM=platform\0SEQNUM=34",
        ),
    ])
}

fn garbage_of_the_patch() -> Vec<(&'static str, Vec<u8>)> {
    named(&[
        ("empty", b""),
        ("an action and nothing else", b"fork"),
        ("no NUL", b"fork@/fork_kobj"),
        ("no pid", b"fork@/fork_kobj\0"),
        ("one pid", b"fork@/fork_kobj\x0077\0"),
        ("a pid that is no number", b"fork@/fork_kobj\x001\x00seven\0"),
        ("ends inside of a pid", b"fork@/fork_kobj\x001\x0077"),
        ("a pid that no int can hold", b"fork@/fork_kobj\x001\x0099999999999\0"),
        ("another action", b"explode@/fork_kobj\x001\x0077\0"),
    ])
}

fn garbage_of_keys() -> Vec<(&'static str, Vec<u8>)> {
    named(&[
        ("empty", b""),
        ("no NUL", b"fork@/fork_kobj"),
        ("no PID", b"fork@/fork_kobj\0ACTION=fork\0DEVPATH=/fork_kobj\0PPID=1\0"),
        ("a pid that is no number", b"fork@/fork_kobj\0ACTION=fork\0DEVPATH=/fork_kobj\0PPID=1\0PID=seven\0"),
        ("ends inside of a pid", b"fork@/fork_kobj\0ACTION=fork\0DEVPATH=/fork_kobj\0PPID=1\0PID=77"),
    ])
}
