//! A design of the notification, as a value: where it stands, who is asked first, how it is numbered, written and sent.
//!
//! | axis | question | values |
//! |---|---|---|
//! | [`Hook`] | where does it stand, and what does it read there? | `end` `end-saved-pid` `after-wake` `locked` `before-wake` |
//! | [`Gate`] | is anybody asked before the work is done? | `always` `socket` `on-off` `counter` `has-listeners` |
//! | [`Sequence`] | how are events numbered? | `none` `unlocked` `locked` `per-cpu` |
//! | [`Format`] | what are the bytes? | `bare` `keys` `connector-ascii` `connector-struct` |
//! | [`Delivery`] | how do they get to user space? | `broadcast` `deferred` `signal` `hotplug` |
//!
//! The default is the patch as posted on 11 February 2005 (Message-Id 1108109504.30559.43). A design of the user's own
//! has [`Hook::Own`] or [`Format::Own`]; `examples/own_design.rs` has both.
//!
//! ```
//! use forklab_fork_model::Design;
//!
//! let posted = Design::default();
//! assert_eq!(posted.to_string(), "hook=end gate=always sequence=none format=bare delivery=broadcast");
//! let numbered: Design = "sequence=unlocked".parse().unwrap();
//! assert_eq!(numbered.check().unwrap_err().to_string(), "sequence unlocked needs room in the message, and format bare has none");
//! ```

use std::fmt;
use std::str::FromStr;

macro_rules! axis {
    (
        $(#[$about:meta])* $Axis:ident $(own $Own:ident)?;
        $($(#[$doc:meta])* $value:ident $name:literal;)*
        $({ later $($(#[$later_doc:meta])* $later:ident $later_name:literal;)* })?
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Default)]
        pub enum $Axis {
            $($(#[$doc])* $value,)*
            $($($(#[$later_doc])* $later,)*)?
            $(
                /// The user's own. No name reaches it: it is given as a value.
                Own(&'static dyn $Own),
            )?
        }

        impl $Axis {
            /// All values of the axis that [`Design::all`](crate::Design::all) goes through, in the order of history.
            pub const ALL: &[$Axis] = &[$($Axis::$value),*];

            /// Values that were added beside those, for one exhibit each.
            pub const LATER: &[$Axis] = &[$($($Axis::$later),*)?];

            /// The name that the command line, scenario files and replay lines use.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($Axis::$value => $name,)*
                    $($($Axis::$later => $later_name,)*)?
                    $($Axis::Own(own) => $Own::name(own),)?
                }
            }

            /// The value of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<$Axis> {
                $Axis::ALL.iter().chain($Axis::LATER).copied().find(|value| value.name() == name)
            }

            /// The names of all values, those added later last.
            #[must_use]
            pub fn names() -> Vec<&'static str> {
                $Axis::ALL.iter().chain($Axis::LATER).map(|value| value.name()).collect()
            }
        }

        impl PartialEq for $Axis {
            fn eq(&self, other: &$Axis) -> bool {
                std::mem::discriminant(self) == std::mem::discriminant(other) && self.name() == other.name()
            }
        }
        impl Eq for $Axis {}

        impl std::fmt::Debug for $Axis {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use axis;

mod axes;
mod format;
pub(crate) mod read;
mod write;

pub use axes::{Delivery, Gate, Sequence};
pub use format::{Format, Over, OwnFormat};
pub use read::Said;
pub use write::FORK_KOBJ;

use crate::hook::Hook;

/// The number of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq {
    /// The number; the first is 0.
    pub number: u32,
    /// Whose count it is; `None`: one count for all CPUs.
    pub cpu: Option<u32>,
}

/// A design of the notification. See the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Design {
    /// Where it stands, and what it reads there.
    pub hook: Hook,
    /// Who is asked first.
    pub gate: Gate,
    /// How events are numbered.
    pub sequence: Sequence,
    /// What is written.
    pub format: Format,
    /// How it is sent.
    pub delivery: Delivery,
}

/// A combination that cannot be built, and why, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible(String);

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Impossible {}

impl Impossible {
    /// For whoever cannot build what the lab can.
    #[must_use]
    pub fn because(why: impl Into<String>) -> Impossible {
        Impossible(why.into())
    }
}

impl From<Hook> for Design {
    /// As posted, but for the hook.
    fn from(hook: Hook) -> Design {
        Design { hook, ..Design::default() }
    }
}

impl Design {
    /// Every combination of the five axes, possible or not: hooks vary slowest, deliveries fastest.
    pub fn all() -> impl Iterator<Item = Design> {
        let axes = move |hook: Hook| {
            Gate::ALL.iter().flat_map(move |&gate| {
                Sequence::ALL.iter().flat_map(move |&sequence| {
                    Format::ALL.iter().flat_map(move |&format| {
                        Delivery::ALL.iter().map(move |&delivery| Design { hook, gate, sequence, format, delivery })
                    })
                })
            })
        };
        Hook::ALL.iter().copied().flat_map(axes)
    }

    /// Every combination that can be built, in the same order.
    pub fn possible() -> impl Iterator<Item = Design> {
        Design::all().filter(|design| design.check().is_ok())
    }

    /// Whether it can be built.
    ///
    /// # Errors
    /// [`Impossible`] with the reason: a number without room for it; a signal or a helper with another format than the
    /// one it carries; a question to a socket that is not there.
    pub fn check(&self) -> Result<(), Impossible> {
        let Design { gate, sequence, format, delivery, .. } = *self;
        let no = |text: String| Err(Impossible(text));
        match delivery {
            Delivery::Signal if format != Format::Bare => {
                return no(format!(
                    "delivery signal carries two integers, so its format is bare, not {}",
                    format.name()
                ));
            }
            Delivery::Signal if matches!(gate, Gate::Socket | Gate::HasListeners) => {
                return no(format!("gate {} asks a netlink socket, and delivery signal has none", gate.name()));
            }
            Delivery::Hotplug if format != Format::Keys => {
                let name = format.name();
                return no(format!(
                    "delivery hotplug hands a helper its environment, so its format is keys, not {name}"
                ));
            }
            Delivery::Batched if format.over() != Over::Connector => {
                let name = format.name();
                return no(format!(
                    "delivery batched puts messages one behind the other, and those of format {name} do not say how long they are"
                ));
            }
            _ => {}
        }
        if sequence != Sequence::None && !format.has_room_for_a_number() {
            let (sequence, format) = (sequence.name(), format.name());
            return no(format!("sequence {sequence} needs room in the message, and format {format} has none"));
        }
        Ok(())
    }

    /// The names of its values, by axis, in the order in which they are written.
    #[must_use]
    pub fn names(&self) -> [(&'static str, &'static str); 5] {
        [
            ("hook", self.hook.name()),
            ("gate", self.gate.name()),
            ("sequence", self.sequence.name()),
            ("format", self.format.name()),
            ("delivery", self.delivery.name()),
        ]
    }

    /// The names that a value of an axis may have; `None` if there is no such axis.
    #[must_use]
    pub fn choices(axis: &str) -> Option<Vec<&'static str>> {
        Some(match axis {
            "hook" => Hook::names(),
            "gate" => Gate::names(),
            "sequence" => Sequence::names(),
            "format" => Format::names(),
            "delivery" => Delivery::names(),
            _ => return None,
        })
    }

    /// Sets one axis by names. False if there is no such axis or no such value; nothing changed then.
    #[must_use]
    pub fn set(&mut self, axis: &str, name: &str) -> bool {
        fn put<T>(slot: &mut T, value: Option<T>) -> bool {
            value.is_some_and(|value| {
                *slot = value;
                true
            })
        }
        match axis {
            "hook" => put(&mut self.hook, Hook::from_name(name)),
            "gate" => put(&mut self.gate, Gate::from_name(name)),
            "sequence" => put(&mut self.sequence, Sequence::from_name(name)),
            "format" => put(&mut self.format, Format::from_name(name)),
            "delivery" => put(&mut self.delivery, Delivery::from_name(name)),
            _ => false,
        }
    }

    /// Whether it is the patch as posted or its repair, so that `do_fork()` calls `kobject_fork()` by itself.
    pub(crate) fn is_posted_or_repaired(&self) -> bool {
        matches!(self.hook, Hook::End | Hook::EndSavedPid) && *self == Design { hook: self.hook, ..Design::default() }
    }
}

impl fmt::Display for Design {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (axis, name)) in self.names().into_iter().enumerate() {
            write!(f, "{}{axis}={name}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// A text that names no design: what was found and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesignError {
    /// The word that is wrong.
    pub found: String,
    /// What could stand there.
    pub expected: String,
}

impl fmt::Display for DesignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {:?}, expected {}", self.found, self.expected)
    }
}

impl std::error::Error for DesignError {}

impl FromStr for Design {
    type Err = DesignError;

    /// Reads `AXIS=VALUE` words in any order; an axis that is left out is as posted. Impossible ones are read, too.
    fn from_str(text: &str) -> Result<Design, DesignError> {
        let mut design = Design::default();
        for word in text.split_whitespace() {
            let wrong = |found: &str, expected: String| Err(DesignError { found: found.to_owned(), expected });
            let (axis, name) = word.split_once('=').unwrap_or((word, ""));
            let Some(choices) = Design::choices(axis) else {
                return wrong(word, "hook=, gate=, sequence=, format= or delivery=".to_owned());
            };
            if !design.set(axis, name) {
                return wrong(name, format!("a {axis}: {}", choices.join(", ")));
            }
        }
        Ok(design)
    }
}
