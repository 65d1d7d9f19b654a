//! The first wing: what mails found wrong with the designs that history tried.

mod cost;
mod gates;
mod loss;

use fork_model::Design;

use crate::property::{self, Case, Property};

mod numbers;
mod safety;
mod trust;
mod truth;
mod words;

/// One exhibit: a design that breaks a property, and what mended it.
#[derive(Clone, Copy, Debug)]
pub struct Exhibit {
    /// The property's id, with a letter where there are several: `P18a`.
    pub id: &'static str,
    /// The property.
    pub property: &'static Property,
    /// Which of the property's remarks it shows, from 0.
    pub remark: usize,
    /// What is shown, in a few words.
    pub title: &'static str,
    /// What was said, and what happens here, in a sentence or two of our own.
    pub says: &'static str,
    /// Where it is shown.
    pub case: Case,
    /// The design that breaks it, as far as it differs from the one posted: `hook=locked`.
    pub design: &'static str,
    /// What mends it.
    pub mended: Mended,
}

/// What mends an exhibit.
#[derive(Clone, Copy, Debug)]
pub enum Mended {
    /// Another design, in the same case.
    By(&'static str),
    /// Something that is no design of the notification: other listeners, another configuration. In words, the case in which
    /// it is proved, and the design there.
    Otherwise(&'static str, Case, &'static str),
    /// Nothing that could be shown here, and why.
    Not(&'static str),
}

impl Exhibit {
    /// The design that breaks the property.
    ///
    /// # Panics
    /// If it cannot be read: a test reads them all.
    #[must_use]
    pub fn design(&self) -> Design {
        self.design.parse().expect("an exhibit's design is tested")
    }
}

/// All of them, by id.
pub const ALL: &[Exhibit] = &[
    Exhibit {
        id: "P1",
        property: &property::cost::P1,
        remark: 0,
        title: "all is set up and dropped when nobody listens",
        says: "A fork with nobody listening builds path, environment and message, and drops them: the broadcast answers -ESRCH.",
        case: Case::of("nobody"),
        design: "",
        mended: Mended::By("gate=has-listeners"),
    },
    cost::P2,
    gates::P3A,
    gates::P3B,
    gates::P4,
    gates::P5,
    gates::P6,
    words::P7,
    cost::P8A,
    cost::P8B,
    words::P9A,
    words::P9B,
    words::P10A,
    words::P10B,
    words::P10C,
    numbers::P11,
    numbers::P12,
    cost::P13,
    numbers::P14A,
    numbers::P14B,
    truth::P15A,
    truth::P15B,
    safety::P16A,
    safety::P16B,
    safety::P17,
    safety::P18A,
    safety::P18B,
    safety::P18C,
    safety::P18D,
    safety::P18E,
    truth::P19,
    truth::P20A,
    truth::P20B,
    loss::P21,
    loss::P22A,
    loss::P22B,
    loss::P23A,
    loss::P23B,
    cost::P24,
    cost::P25A,
    cost::P25B,
    cost::P25C,
    cost::P26,
    words::P27,
    trust::P28A,
    trust::P28B,
    trust::P28C,
];
