//! The process tree as `/proc` has it: the truth that a listener is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// One process of `/proc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// `PPid`: the process of its real parent.
    pub parent: i32,
    /// Its name, at most 15 bytes.
    pub comm: String,
    /// It is a zombie: it has exited, and nobody has waited for it.
    pub zombie: bool,
    /// The ids of its threads, its own among them.
    pub threads: BTreeSet<i32>,
}

/// All processes, by pid. A process that ends while this reads is left out.
///
/// # Errors
/// `/proc` cannot be read.
pub fn snapshot() -> io::Result<BTreeMap<i32, Process>> {
    snapshot_of(Path::new("/proc"))
}

fn snapshot_of(proc_fs: &Path) -> io::Result<BTreeMap<i32, Process>> {
    let mut processes = BTreeMap::new();
    for pid in numbers(proc_fs)? {
        let directory = proc_fs.join(pid.to_string());
        let read = || io::Result::Ok((fs::read(directory.join("stat"))?, numbers(&directory.join("task"))?));
        match read() {
            Ok((stat, threads)) => {
                let stat = parse_stat(&stat).ok_or_else(|| malformed(&directory.join("stat")))?;
                processes.insert(pid, Process { threads, ..stat });
            }
            // It has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(processes)
}

/// What a read of a process that has just ended returns.
const ESRCH: i32 = 3;

fn malformed(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: not the stat of a process", path.display()))
}

/// The entries of a directory that are numbers.
fn numbers(directory: &Path) -> io::Result<BTreeSet<i32>> {
    let mut numbers = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(numbers)
}

/// `pid (comm) state ppid …`; a comm may hold blanks and parentheses.
fn parse_stat(stat: &[u8]) -> Option<Process> {
    let stat = String::from_utf8_lossy(stat);
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, comm) = head.split_once('(')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let zombie = matches!(state, "Z" | "X");
    Some(Process { parent, comm: comm.to_owned(), zombie, threads: BTreeSet::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let process = parse_stat(b"7 (a) S 1 (b \xff) Z 3 7 7 0 -1").expect("well-formed");
        assert_eq!((process.parent, process.comm.as_str(), process.zombie), (3, "a) S 1 (b \u{fffd}", true));
    }

    #[test]
    fn what_is_no_stat_is_none() {
        for stat in [&b""[..], b"7", b"7 (a)", b"7 (a) S", b"7 (a) S x"] {
            assert_eq!(parse_stat(stat), None);
        }
    }

    #[test]
    fn this_process_is_there_with_its_parent() {
        let all = snapshot().expect("/proc");
        let me = &all[&std::process::id().cast_signed()];
        assert_eq!(me.parent, std::os::unix::process::parent_id().cast_signed());
        assert!(me.threads.contains(&std::process::id().cast_signed()) && !me.zombie);
    }
}
