//! What a task does: one action is one string of the file.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::input::quoted;

/// One action of a task, written as one string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `fork NAME`, `vfork NAME` or `clone NAME FLAG|FLAG`, each with `xN` behind it for N times.
    ///
    /// As in the kernel, all three are `do_fork()` with other flags. Impossible combinations are legal here: the
    /// kernel answers them with `-EINVAL`.
    Fork {
        /// What the child runs.
        program: String,
        /// `CLONE_*`, with the exit signal in the lowest byte.
        flags: u64,
        /// How often, 1 to 65536.
        times: u32,
    },
    /// `exec`
    Exec,
    /// `exit CODE`, 0 to 255; nothing may follow.
    Exit(u8),
    /// `wait` for any child, or `wait NAME` for one that runs this program.
    Wait(Option<String>),
    /// `cont NAME`: SIGCONT to a child that was made with `CLONE_STOPPED`.
    Cont(String),
    /// `forge NAME`: it sends this listener a message that looks like the kernel's, of a fork that never was.
    Forge(String),
}

/// The flags of Linux 2.6.11 (`include/linux/sched.h`) that user space may pass, and the one exit signal that matters.
const CLONE_FLAGS: [(&str, u64); 18] = [
    ("SIGCHLD", 17),
    ("CLONE_VM", 0x100),
    ("CLONE_FS", 0x200),
    ("CLONE_FILES", 0x400),
    ("CLONE_SIGHAND", 0x800),
    ("CLONE_PTRACE", 0x2000),
    ("CLONE_VFORK", 0x4000),
    ("CLONE_PARENT", 0x8000),
    ("CLONE_THREAD", 0x1_0000),
    ("CLONE_NEWNS", 0x2_0000),
    ("CLONE_SYSVSEM", 0x4_0000),
    ("CLONE_SETTLS", 0x8_0000),
    ("CLONE_PARENT_SETTID", 0x10_0000),
    ("CLONE_CHILD_CLEARTID", 0x20_0000),
    ("CLONE_DETACHED", 0x40_0000),
    ("CLONE_UNTRACED", 0x80_0000),
    ("CLONE_CHILD_SETTID", 0x100_0000),
    ("CLONE_STOPPED", 0x200_0000),
];

// Not serde's `try_from`: an error from within the visitor is placed at this string, a later one at the whole array.
impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ActionText;
        impl Visitor<'_> for ActionText {
            type Value = Action;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Action, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(ActionText)
    }
}

impl FromStr for Action {
    /// What was found and what was expected, in one sentence.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["fork", name, ref times @ ..] => forking(name, flag_bits("SIGCHLD")?, times),
            ["vfork", name, ref times @ ..] => forking(name, flag_bits("CLONE_VFORK|CLONE_VM|SIGCHLD")?, times),
            ["clone", name, flags, ref times @ ..] => forking(name, flag_bits(flags)?, times),
            ["exec"] => Ok(Self::Exec),
            ["exit", code] => match code.parse() {
                Ok(code) => Ok(Self::Exit(code)),
                Err(_) => Err(format!("{}, expected an exit code from 0 to 255", quoted(code))),
            },
            ["wait"] => Ok(Self::Wait(None)),
            ["wait", name] => Ok(Self::Wait(Some(name.to_owned()))),
            ["cont", name] => Ok(Self::Cont(name.to_owned())),
            ["forge", name] => Ok(Self::Forge(name.to_owned())),
            _ => Err(format!(
                "{}, expected fork NAME, vfork NAME, clone NAME FLAGS (each with xN behind it for N times), exec, \
                 exit CODE, wait, wait NAME, cont NAME or forge NAME",
                quoted(text)
            )),
        }
    }
}

fn forking(program: &str, flags: u64, times: &[&str]) -> Result<Action, String> {
    let times = match *times {
        [] => Some(1),
        [times] => times.strip_prefix('x').and_then(|n| n.parse().ok()).filter(|n| (1..=65_536).contains(n)),
        _ => None,
    }
    .ok_or_else(|| format!("{}, expected x1 to x65536", quoted(&times.join(" "))))?;
    Ok(Action::Fork { program: program.to_owned(), flags, times })
}

fn flag_bits(flags: &str) -> Result<u64, String> {
    flags.split('|').try_fold(0, |bits, name| {
        let flag = CLONE_FLAGS.iter().find(|(known, _)| *known == name);
        flag.map(|(_, bit)| bits | bit).ok_or_else(|| {
            let names: Vec<&str> = CLONE_FLAGS.iter().map(|(known, _)| *known).collect();
            format!("flag {}, expected one of {}", quoted(name), names.join(", "))
        })
    })
}
