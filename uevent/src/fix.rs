//! Repairs of the genuine defects, each as a value that can be switched on: the second wing of the museum asks for them.
//!
//! The default is none of them: the kernel as it was, on which every recorded case is replayed. The modelled functions
//! ask [`Fixes::has`] at the place of the defect, one test of a number, and name the experiment there.
//!
//! To add one: its line here, and the place that asks for it. A test fails if no experiment switches it on.

macro_rules! fixes {
    ($($(#[$doc:meta])* $fix:ident;)*) => {
        /// One repair, of one place. `Gn` is the experiment that finds nothing any more once it is on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fix {
            $($(#[$doc])* $fix,)*
        }

        impl Fix {
            /// All of them.
            pub const ALL: &[Fix] = &[$(Fix::$fix),*];
        }
    };
}

fixes! {
    /// G8: `CLONE_VFORK` with `CLONE_STOPPED` is refused.
    StoppedVfork;
    /// G10: an object without a release function is static: its last reference cannot be put.
    StaticObject;
    /// G12: a broadcast notes its group in the message.
    SenderGroup;
    /// G14, G22: the action is looked up before anything is taken or asked.
    ActionFirst;
    /// G15, G35: a message is allocated as large as what it will hold.
    FitMessage;
    /// G16, G17: `ACTION`, `DEVPATH`, `SUBSYSTEM` and `SEQNUM` are written with a bound, and less than no room is no room.
    BoundHotplug;
    /// G18: `SUBSYSTEM` is read through the name pointer.
    WholeSubsystem;
    /// G19: a variable that does not fit changes nothing.
    FailedVariable;
    /// G23: the array is written only if the name stays in it.
    FailedRename;
    /// G25: a failed `kobject_add()` forgets the parent whose reference it gave back.
    FailedAdd;
    /// G26: a failed `netlink_create()` leaves no pointer to the sock that it freed.
    FailedSocket;
    /// G27: a listener is passed over only while its buffer is full.
    NoLatch;
    /// G29: a message is admitted only if its own charge fits, too.
    ChargeFirst;
    /// G30: the sender is told when a listener lost its message.
    ToldLoss;
    /// G31: a copy that cannot be made is lost for one listener, not for all that follow.
    OwnCopy;
    /// G33: a sender does not yield for a listener.
    NoYield;
    /// G34: a trimmed message is charged for its whole area.
    ChargeArea;
    /// G36: `alloc_skb()` refuses a size that does not survive the rounding.
    CheckedSize;
    /// G37: the last round of `alloc_pidmap()` looks at the whole page.
    EveryPid;
    /// G38: a fork that fails puts `last_pid` back.
    FailedFork;
    /// G39: without memory for a page of the bitmap the search goes on in the next.
    NextPage;
    /// G40: `free_pidmap()` counts a pid only if its bit was set.
    CheckedFree;
    /// G43: the processes of a user are compared with the limit as what they are, a signed number.
    SignedLimit;
}

// A bit each.
const _: () = assert!(Fix::ALL.len() <= 32);

/// The repairs that a kernel has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixes(u32);

impl Fixes {
    /// The genuine kernel of 2.6.11.
    pub const NONE: Fixes = Fixes(0);

    /// And this one.
    #[must_use]
    pub const fn with(self, fix: Fix) -> Fixes {
        Fixes(self.0 | 1 << fix as u32)
    }

    /// Whether this one is there.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, fix: Fix) -> bool {
        self.0 & (1 << fix as u32) != 0
    }
}
