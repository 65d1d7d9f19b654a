//! What may happen: one step of a script, and its text.

use std::fmt;

/// Somebody makes somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Birth {
    /// The parent's pid; for a thread, its process.
    pub parent: i32,
    /// The pid of the new process or thread.
    pub child: i32,
    /// The CPU on which it happens.
    pub cpu: u32,
}

/// Somebody does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// A process or a thread.
    pub pid: i32,
    /// The CPU on which it happens.
    pub cpu: u32,
}

/// Something happens to a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// `DEVPATH`. For the text form: no white space and no `>`.
    pub path: String,
    /// The CPU on which it happens.
    pub cpu: u32,
}

/// One step of a script.
///
/// Some steps are *events*: they happen, and the kernel sends what the script's format has for them. What cannot happen
/// (a dead process forks, a pid is taken) does not, so that a script from which steps are taken away is still a script.
/// The others are *about the next message*, *noise* or *the reader*; several may stand before one event.
///
/// | text | what |
/// |---|---|
/// | `fork:1>10@0` | process 1 makes process 10, on CPU 0; `@0` may be left out |
/// | `thread:10>11` | process 10 makes a thread of itself, 11 |
/// | `vfork:1>10` | `fork`, then the child's `exec`; the message about the fork comes behind that of the exec, which is from the next CPU |
/// | `early-exit:1>10` | the child is made, and exits; the message about the exit comes first, from the next CPU |
/// | `reuse:1>10` | process 10 exits, and process 1 makes another 10; the message about the exit comes last, from the next CPU |
/// | `exec:10`, `exit:10` | it runs another program; it is gone, its threads first |
/// | `add:/devices/x`, `remove:…`, `change:…` | a device |
/// | `move:/devices/x>/devices/y` | it gets another path |
/// | `overrun` | the next message finds the receive buffer full: `ENOBUFS` |
/// | `congested:3` | the reader sleeps through the next 3 events, and all their messages are lost: one `ENOBUFS` |
/// | `lose:2` | the next 2 messages are lost, and nobody says so |
/// | `dup:1` | the next message comes again, when 1 other has come |
/// | `late:1` | the next message comes when 1 other has come, from another CPU: a CPU's own messages keep their order |
/// | `cut:20` | the next message is cut to 20 bytes |
/// | `big:4096` | the next message is 4,096 bytes long: more keys, or fields of a kernel to come |
/// | `non-utf8` | the next message carries bytes that are no text, or one that does comes before it |
/// | `spoof` | the next event does not happen: a stranger says that it did |
/// | `garbage:0` | a malformed message of the kernel's, by its number in [`garbage`](super::garbage) |
/// | `burst:5` | the reader sleeps through the next 5 events |
/// | `during:1` | the next event happens while the consumer looks at `/proc`, and is not in what it sees; else as `burst` |
/// | `silence:4` | four times there is nothing to read |
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A process is made.
    Fork(Birth),
    /// A thread is made.
    Thread(Birth),
    /// A process is made, whose message comes behind that of its exec.
    Vfork(Birth),
    /// A process is made and exits, and the message about the exit comes first.
    EarlyExit(Birth),
    /// A pid gets another process, and the message about the end of the first comes last.
    Reuse(Birth),
    /// A process runs another program.
    Exec(Task),
    /// A process or a thread ends.
    Exit(Task),
    /// A device appears.
    Add(Device),
    /// A device goes.
    Remove(Device),
    /// A device changes.
    Change(Device),
    /// A device gets another path.
    Move(Device, String),
    /// The next message finds the receive buffer full.
    Overrun,
    /// So many events are lost to a full buffer and its latch.
    Congested(u16),
    /// So many messages are lost, and nobody says so.
    Lose(u16),
    /// The next message comes again, after so many others.
    Dup(u16),
    /// The next message comes after so many others.
    Late(u16),
    /// The next message is cut to so many bytes.
    Cut(u16),
    /// The next message is so many bytes long.
    Big(u16),
    /// The next message has bytes that are no text.
    NonUtf8,
    /// The next event is a stranger's lie.
    Spoof,
    /// A malformed message of the kernel's.
    Garbage(u16),
    /// The reader sleeps through so many events.
    Burst(u16),
    /// So many events happen while the consumer resynchronises, behind what it sees.
    During(u16),
    /// So many times there is nothing to read.
    Silence(u16),
}

impl Step {
    /// The word with which its text begins.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Step::Fork(_) => "fork",
            Step::Thread(_) => "thread",
            Step::Vfork(_) => "vfork",
            Step::EarlyExit(_) => "early-exit",
            Step::Reuse(_) => "reuse",
            Step::Exec(_) => "exec",
            Step::Exit(_) => "exit",
            Step::Add(_) => "add",
            Step::Remove(_) => "remove",
            Step::Change(_) => "change",
            Step::Move(..) => "move",
            Step::Overrun => "overrun",
            Step::Congested(_) => "congested",
            Step::Lose(_) => "lose",
            Step::Dup(_) => "dup",
            Step::Late(_) => "late",
            Step::Cut(_) => "cut",
            Step::Big(_) => "big",
            Step::NonUtf8 => "non-utf8",
            Step::Spoof => "spoof",
            Step::Garbage(_) => "garbage",
            Step::Burst(_) => "burst",
            Step::During(_) => "during",
            Step::Silence(_) => "silence",
        }
    }

    /// Every name, in the order of the table.
    pub const NAMES: [&str; 24] = [
        "fork",
        "thread",
        "vfork",
        "early-exit",
        "reuse",
        "exec",
        "exit",
        "add",
        "remove",
        "change",
        "move",
        "overrun",
        "congested",
        "lose",
        "dup",
        "late",
        "cut",
        "big",
        "non-utf8",
        "spoof",
        "garbage",
        "burst",
        "during",
        "silence",
    ];

    /// Whether it is an event: something that happens in the world, not to a message or a reader.
    #[must_use]
    pub fn is_event(&self) -> bool {
        matches!(
            self,
            Step::Fork(_)
                | Step::Thread(_)
                | Step::Vfork(_)
                | Step::EarlyExit(_)
                | Step::Reuse(_)
                | Step::Exec(_)
                | Step::Exit(_)
                | Step::Add(_)
                | Step::Remove(_)
                | Step::Change(_)
                | Step::Move(..)
        )
    }
}

/// `@1`; nothing for CPU 0, unless a path has an `@` of its own.
struct Cpu<'a>(u32, &'a str);

impl fmt::Display for Cpu<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 == 0 && !self.1.contains('@') {
            true => Ok(()),
            false => write!(f, "@{}", self.0),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Step::Fork(birth)
            | Step::Thread(birth)
            | Step::Vfork(birth)
            | Step::EarlyExit(birth)
            | Step::Reuse(birth) => {
                write!(f, "{name}:{}>{}{}", birth.parent, birth.child, Cpu(birth.cpu, ""))
            }
            Step::Exec(task) | Step::Exit(task) => write!(f, "{name}:{}{}", task.pid, Cpu(task.cpu, "")),
            Step::Add(device) | Step::Remove(device) | Step::Change(device) => {
                write!(f, "{name}:{}{}", device.path, Cpu(device.cpu, &device.path))
            }
            Step::Move(device, to) => {
                let paths = format!("{}>{to}", device.path);
                write!(f, "{name}:{paths}{}", Cpu(device.cpu, &paths))
            }
            Step::Overrun | Step::NonUtf8 | Step::Spoof => f.write_str(name),
            Step::Congested(n)
            | Step::Lose(n)
            | Step::Dup(n)
            | Step::Late(n)
            | Step::Cut(n)
            | Step::Big(n)
            | Step::Garbage(n)
            | Step::Burst(n)
            | Step::During(n)
            | Step::Silence(n) => write!(f, "{name}:{n}"),
        }
    }
}
