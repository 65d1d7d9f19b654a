//! Values that have names: which there are is told in errors, and to shells that complete them.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};
use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::{Design, Hook};

use crate::property::{ALL, Property};

/// Reads a name as a value.
#[derive(Clone)]
pub(super) struct Named<T> {
    find: fn(&str) -> Option<T>,
    names: fn() -> Vec<&'static str>,
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Named<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let Named { find, names } = *self;
        let read = move |text: &str| find(text).ok_or_else(|| format!("expected {}", names().join(", ")));
        read.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.names)().into_iter().map(PossibleValue::new)))
    }
}

fn axis(axis: &str) -> Vec<&'static str> {
    Design::choices(axis).unwrap_or_default()
}

pub(super) fn hook() -> Named<Hook> {
    Named { find: Hook::from_name, names: || axis("hook") }
}

pub(super) fn gate() -> Named<Gate> {
    Named { find: Gate::from_name, names: || axis("gate") }
}

pub(super) fn sequence() -> Named<Sequence> {
    Named { find: Sequence::from_name, names: || axis("sequence") }
}

pub(super) fn format() -> Named<Format> {
    Named { find: Format::from_name, names: || axis("format") }
}

pub(super) fn delivery() -> Named<Delivery> {
    Named { find: Delivery::from_name, names: || axis("delivery") }
}

/// P1 to P28; a small p will do.
pub(super) fn property() -> Named<&'static Property> {
    let names = || ALL.iter().map(|property| property.id).collect();
    Named { find: |id| Property::from_id(&id.to_ascii_uppercase()), names }
}

/// Takes any text, to be looked for later; these names are what it may be completed to.
#[derive(Clone)]
pub(super) struct AnyOf(pub fn() -> Vec<&'static str>);

impl TypedValueParser for AnyOf {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        clap::builder::StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}
