//! P7, P9, P10, P27: what is on the wire.

use super::{Exhibit, Mended};
use crate::property::{Case, words};

/// The path.
pub(super) const P7: Exhibit = Exhibit {
    id: "P7",
    property: &words::P7,
    remark: 0,
    title: "a path that was never registered with sysfs",
    says: "The message names /fork_kobj, the path of an object that is initialised and named, and never added: sysfs has no \
           such directory, and a program that goes there finds nothing.",
    case: Case::of("first-fork"),
    design: "",
    mended: Mended::By("format=connector-struct"),
};

/// Two strings too many.
pub(super) const P9A: Exhibit = Exhibit {
    id: "P9a",
    property: &words::P9,
    remark: 0,
    title: "the two slots that say \"Not used\" never reach the wire",
    says: "send_uevent() starts at slot 2, as kobject_hotplug() has HOME= and PATH= before it. The patch fills the two with a \
           text that nobody will ever read.",
    case: Case::of("first-fork"),
    design: "",
    mended: Mended::By("format=connector-struct"),
};

/// Two strings too few.
pub(super) const P9B: Exhibit = Exhibit {
    id: "P9b",
    property: &words::P9,
    remark: 0,
    title: "without the two slots the environment is read past its end",
    says: "Whoever takes the two unused slots for untidiness and hands over a single string has send_uevent() start behind \
           the NULL.",
    case: Case::of("first-fork"),
    design: "gate=has-listeners format=one-slot",
    mended: Mended::By("format=connector-struct"),
};

/// Too short.
pub(super) const P10A: Exhibit = Exhibit {
    id: "P10a",
    property: &words::P10,
    remark: 0,
    title: "a message of 24 bytes is too short for udev",
    says: "udev refuses what is shorter than 32 bytes. kobject-uevent misses ACTION=. nlink takes the message, and has lost \
           both pids.",
    case: Case::of("first-fork"),
    design: "",
    mended: Mended::By("sequence=locked format=keys-change"),
};

/// No keys.
pub(super) const P10B: Exhibit = Exhibit {
    id: "P10b",
    property: &words::P10,
    remark: 0,
    title: "a number alone is no key and no value",
    says: "With pids of seven digits the message is long enough for udev, which then finds a string without a \"=\".",
    case: Case::of("long-pids"),
    design: "",
    mended: Mended::By("sequence=locked format=keys-change"),
};

/// No such action.
pub(super) const P10C: Exhibit = Exhibit {
    id: "P10c",
    property: &words::P10,
    remark: 0,
    title: "with keys, too, no table of actions has \"fork\"",
    says: "The message as Greg Kroah-Hartman's review would have it: nlink finds both pids; udev and kobject-uevent look the \
           action up and refuse it. An action that they know, and a number, satisfy all three.",
    case: Case::of("first-fork"),
    design: "sequence=locked format=keys",
    mended: Mended::By("sequence=locked format=keys-change"),
};

/// A reference too many.
pub(super) const P27: Exhibit = Exhibit {
    id: "P27",
    property: &words::P27,
    remark: 0,
    title: "a reference that nobody puts: memory is gone after so many forks",
    says: "Kaigai's machine stood still at the 367th fork with an early fork connector. What it was is not told; seeded here \
           is one reference too many to each message: two objects an event stay for ever.",
    case: Case::of("two-listeners").with_faults(1),
    design: "format=connector-leak",
    mended: Mended::By("format=connector-ascii"),
};
