//! The listener: it rebuilds the process tree from the messages, as ELSA would, and is compared with the true one.

use std::collections::BTreeMap;

use uevent::wire::{Message, WireError};

/// What one listener believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Believed {
    /// The parent of each child, as the last message about it said.
    parents: BTreeMap<i32, i32>,
    /// Messages that could not be read as a fork.
    pub unreadable: u64,
    /// Messages about a child that was already known.
    pub repeated: u64,
}

impl Believed {
    /// Takes one message as it was received.
    ///
    /// # Errors
    /// [`WireError`] if it is no fork event; it is counted in [`Believed::unreadable`].
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(i32, i32), WireError> {
        let heard = Message::parse(bytes).and_then(|message| message.fork_pids());
        match heard {
            Ok((parent, child)) => self.repeated += u64::from(self.parents.insert(child, parent).is_some()),
            Err(_) => self.unreadable += 1,
        }
        heard
    }

    /// The parent of a child, if the listener has heard of it.
    #[must_use]
    pub fn parent(&self, child: i32) -> Option<i32> {
        self.parents.get(&child).copied()
    }

    /// Compares with the truth.
    #[must_use]
    pub fn compare(&self, truth: &Truth) -> Verdict {
        let mut verdict = Verdict::default();
        for (child, fork) in &truth.forks {
            match self.parent(*child) {
                None => verdict.missing += 1,
                Some(parent) if !fork.is_thread && parent == fork.parent => verdict.right += 1,
                Some(_) => verdict.wrong += 1,
            }
        }
        let known = |child: &&i32| truth.forks.contains_key(child);
        verdict.phantom = (self.parents.len() - self.parents.keys().filter(known).count()) as u64;
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

/// Every fork of a run, by the child's pid. A pid that is used again replaces the earlier fork.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    forks: BTreeMap<i32, Fork>,
}

impl Truth {
    /// One fork.
    pub fn fork(&mut self, child: i32, fork: Fork) {
        self.forks.insert(child, fork);
    }

    /// How many of them were threads.
    #[must_use]
    pub fn threads(&self) -> u64 {
        self.forks.values().filter(|fork| fork.is_thread).count() as u64
    }

    /// How many children there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.forks.len()
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
    /// It knows another parent, or takes a thread for a process.
    pub wrong: u64,
    /// It has not heard of the child.
    pub missing: u64,
    /// It believes in a child that never was.
    pub phantom: u64,
}
