//! The patch's line in `do_fork()`, as a value.

macro_rules! hooks {
    ($($(#[$doc:meta])* $hook:ident $name:literal;)*) => {
        /// Where the notification stands, and what it reads there.
        ///
        /// To add one: its line in this file, and its arm in [`do_fork`](crate::fork::do_fork), which is an exhaustive match.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub enum Hook {
            $($(#[$doc])* $hook,)*
        }

        impl Hook {
            /// All hooks, in the order of history.
            pub const ALL: &[Hook] = &[$(Hook::$hook),*];

            /// The name that the command line and replay lines use.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Hook::$hook => $name,)* }
            }
        }
    };
}

hooks! {
    /// As posted on 11 February 2005: at the end of `do_fork()`, after the wake-up and the vfork wait, it reads `p->pid`.
    #[default]
    End "end";
    /// Its repair: in the same place, but it reports the number that `do_fork()` allocated.
    EndSavedPid "end-saved-pid";
}

impl Hook {
    /// The hook of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Hook> {
        Hook::ALL.iter().copied().find(|hook| hook.name() == name)
    }
}
