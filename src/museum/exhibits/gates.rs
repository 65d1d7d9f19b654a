//! Who is asked whether somebody listens.

use super::{Exhibit, Mended};
use crate::property::{self, Case};

pub(super) const P3A: Exhibit = Exhibit {
    id: "P3a",
    property: &property::gates::P3,
    remark: 0,
    title: "a flag that a dead listener left on",
    says: "On and off are messages. A listener that dies says neither, so every fork pays from then on, for nobody.",
    case: Case::of("gone"),
    design: "gate=on-off",
    mended: Mended::By("gate=has-listeners"),
};

pub(super) const P3B: Exhibit = Exhibit {
    id: "P3b",
    property: &property::gates::P3,
    remark: 0,
    title: "a counter that still counts the dead",
    says: "The count of listeners falls with IGNORE only, not when a socket closes. Linux counted like that for years: a second socket that never asked then hears what the dead one had asked for.",
    case: Case::of("gone"),
    design: "gate=counter",
    mended: Mended::By("gate=has-listeners"),
};

pub(super) const P4: Exhibit = Exhibit {
    id: "P4",
    property: &property::gates::P4,
    remark: 0,
    title: "one listener switches all off",
    says: "One flag for the whole machine: the listener that says off at its end says it for all that still listen. A count of them does not forget the others.",
    case: Case::of("says-off"),
    design: "gate=on-off",
    mended: Mended::By("gate=counter"),
};

pub(super) const P5: Exhibit = Exhibit {
    id: "P5",
    property: &property::gates::P5,
    remark: 0,
    title: "a counter without a floor",
    says: "IGNORE from somebody who never listened makes -1, and the next LISTEN makes 0: two messages, and a listener that hears nothing.",
    case: Case::of("ignore-first"),
    design: "gate=counter",
    mended: Mended::By("gate=has-listeners"),
};

pub(super) const P6: Exhibit = Exhibit {
    id: "P6",
    property: &property::gates::P6,
    remark: 0,
    title: "a count that is reset when nobody wanted one event",
    says: "Mainline of January 2024 took -ESRCH for the end of all listening. A filter also makes it: the only listener wanted no forks just then, and never hears again.",
    case: Case::of("filter"),
    design: "gate=counter-reset",
    mended: Mended::By("gate=counter"),
};
