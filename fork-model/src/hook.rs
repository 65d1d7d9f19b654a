//! The patch's line in `do_fork()`, as a value.

/// Where the notification stands, and what it reads there.
///
/// To add one: a variant here, its name, and its arm in [`do_fork`](crate::fork::do_fork); both are exhaustive matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Hook {
    /// As posted on 11 February 2005: at the end of `do_fork()`, after the wake-up and the vfork wait, it reads `p->pid`.
    #[default]
    End,
    /// Its repair: in the same place, but it reports the number that `do_fork()` allocated.
    EndSavedPid,
}

impl Hook {
    /// All hooks, in the order of history.
    pub const ALL: [Hook; 2] = [Hook::End, Hook::EndSavedPid];

    /// The name that the command line and replay lines use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Hook::End => "end",
            Hook::EndSavedPid => "end-saved-pid",
        }
    }

    /// The hook of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Hook> {
        Hook::ALL.into_iter().find(|hook| hook.name() == name)
    }
}
