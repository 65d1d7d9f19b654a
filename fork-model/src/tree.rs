//! The listener: it rebuilds the process tree from the messages, as ELSA would, and is compared with the true one.

use std::collections::BTreeMap;

use smallvec::SmallVec;
use uevent::wire::{Message, WireError};

use crate::design::Said;

/// Whom a message names as the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent {
    pid: i32,
    /// It says that the child is a thread of it; only a format with process ids can.
    is_thread: bool,
}

/// What one listener believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Believed {
    /// The parents of each child, one for each message about it, in order.
    parents: BTreeMap<i32, SmallVec<[Parent; 2]>>,
    /// Messages that could not be read as a fork.
    pub unreadable: u64,
}

impl Believed {
    /// Takes one message of the patch as it was received.
    ///
    /// # Errors
    /// [`WireError`] if it is no fork event; it is counted in [`Believed::unreadable`].
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(i32, i32), WireError> {
        let heard = Message::parse(bytes).and_then(|message| message.fork_pids());
        match heard {
            Ok((parent, child)) => self.believe(&Said::pids(parent, child)),
            Err(_) => self.unreadable += 1,
        }
        heard
    }

    /// Takes what a message of any design said.
    pub fn believe(&mut self, said: &Said) {
        let is_thread = said.is_thread();
        let parent = Parent { pid: said.ids.parent_tgid, is_thread };
        self.parents.entry(said.ids.child_pid).or_default().push(parent);
    }

    /// The parent of a child, as the last message about it said, if the listener has heard of it.
    #[must_use]
    pub fn parent(&self, child: i32) -> Option<i32> {
        Some(self.parents.get(&child)?.last()?.pid)
    }

    /// Compares with the truth: each fork and each message counts once.
    ///
    /// A pid that was used again has several forks, and perhaps fewer messages. A message is first matched with a fork
    /// that it tells truly; what is then left of both is wrong as far as it goes, and missing or phantom beyond.
    #[must_use]
    pub fn compare(&self, truth: &Truth) -> Verdict {
        let mut verdict = Verdict::default();
        for (child, forks) in &truth.forks {
            let mut heard = self.parents.get(child).cloned().unwrap_or_default();
            let mut untold = 0;
            for fork in forks {
                match heard.iter().position(|parent| parent.is_thread == fork.is_thread && parent.pid == fork.parent) {
                    Some(at) => {
                        heard.remove(at);
                        verdict.right += 1;
                    }
                    None => untold += 1,
                }
            }
            let wrong = untold.min(heard.len() as u64);
            verdict.wrong += wrong;
            verdict.missing += untold - wrong;
            verdict.phantom += heard.len() as u64 - wrong;
        }
        let of_nobody = self.parents.iter().filter(|(child, _)| !truth.forks.contains_key(child));
        verdict.phantom += of_nobody.map(|(_, heard)| heard.len() as u64).sum::<u64>();
        verdict
    }
}

/// A fork as it really was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The process that became the parent: a process id, never a thread's.
    pub parent: i32,
    /// The child is a thread of its parent's group, no process of its own.
    pub is_thread: bool,
}

/// Every fork of a run, by the child's pid, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    forks: BTreeMap<i32, SmallVec<[Fork; 2]>>,
}

impl Truth {
    /// One fork.
    pub fn fork(&mut self, child: i32, fork: Fork) {
        self.forks.entry(child).or_default().push(fork);
    }

    /// How many of them were threads.
    #[must_use]
    pub fn threads(&self) -> u64 {
        self.forks.values().flatten().filter(|fork| fork.is_thread).count() as u64
    }

    /// How many children there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.forks.values().map(SmallVec::len).sum()
    }

    /// Whether nobody forked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forks.is_empty()
    }
}

/// How a listener's tree compares with the true one, in processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The listener knows the process, and its parent.
    pub right: u64,
    /// It knows another parent, or takes a thread for a process. Bare pids cannot say that a child is a thread.
    pub wrong: u64,
    /// It has not heard of the child.
    pub missing: u64,
    /// It believes in a child that never was.
    pub phantom: u64,
}
