//! A design as far as somebody asked for it: by flags, or in a replay line.

use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::{Design, Hook};

use crate::input::quoted;

/// The axes of a design that were asked for; `None`: as the scenario says, or as posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Asked {
    /// Where the notification stands.
    pub hook: Option<Hook>,
    /// Who is asked first.
    pub gate: Option<Gate>,
    /// How events are numbered.
    pub sequence: Option<Sequence>,
    /// What is written.
    pub format: Option<Format>,
    /// How it is sent.
    pub delivery: Option<Delivery>,
}

impl From<Design> for Asked {
    /// All of it.
    fn from(design: Design) -> Asked {
        let Design { hook, gate, sequence, format, delivery } = design;
        Asked {
            hook: Some(hook),
            gate: Some(gate),
            sequence: Some(sequence),
            format: Some(format),
            delivery: Some(delivery),
        }
    }
}

impl From<Hook> for Asked {
    fn from(hook: Hook) -> Asked {
        Asked { hook: Some(hook), ..Asked::default() }
    }
}

impl Asked {
    /// This design, with what was asked for in its place.
    #[must_use]
    pub fn over(self, design: Design) -> Design {
        Design {
            hook: self.hook.unwrap_or(design.hook),
            gate: self.gate.unwrap_or(design.gate),
            sequence: self.sequence.unwrap_or(design.sequence),
            format: self.format.unwrap_or(design.format),
            delivery: self.delivery.unwrap_or(design.delivery),
        }
    }

    /// What a replay line says of a design: its hook, what was asked for, and what is not as posted.
    #[must_use]
    pub fn for_replay(self, design: Design) -> Asked {
        fn kept<T: PartialEq + Default>(asked: Option<T>, actual: T) -> Option<T> {
            (asked.is_some() || actual != T::default()).then_some(actual)
        }
        Asked {
            hook: Some(design.hook),
            gate: kept(self.gate, design.gate),
            sequence: kept(self.sequence, design.sequence),
            format: kept(self.format, design.format),
            delivery: kept(self.delivery, design.delivery),
        }
    }

    /// Asks for a value of an axis by its name.
    ///
    /// # Errors
    /// What was found and what was expected, if the axis has no such value.
    pub fn ask(&mut self, axis: &str, name: &str) -> Result<(), (String, String)> {
        let mut design = Design::default();
        if !design.set(axis, name) {
            let choices = Design::choices(axis).unwrap_or_default();
            return Err((quoted(name), format!("a {axis}: {}", choices.join(", "))));
        }
        match axis {
            "hook" => self.hook = Some(design.hook),
            "gate" => self.gate = Some(design.gate),
            "sequence" => self.sequence = Some(design.sequence),
            "format" => self.format = Some(design.format),
            _ => self.delivery = Some(design.delivery),
        }
        Ok(())
    }

    /// Every axis with the name of what was asked for.
    #[must_use]
    pub fn names(&self) -> [(&'static str, Option<&'static str>); 5] {
        [
            ("hook", self.hook.map(Hook::name)),
            ("gate", self.gate.map(Gate::name)),
            ("sequence", self.sequence.map(Sequence::name)),
            ("format", self.format.map(Format::name)),
            ("delivery", self.delivery.map(Delivery::name)),
        ]
    }
}
