//! `kobject_set_name()`.

use std::cell::Cell;

use serde::Deserialize;
use serde_json::{Value, json};
use sim::errno::Rc as _;
use uevent::Core;
use uevent::kobject::{KName, kobject_set_name};
use uevent::vsprintf::Arg;

use crate::harness::bench::rc_json;
use crate::harness::{self, Bench, Bytes, bytes_json, extend};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    previous: Option<Bytes>,
    format: String,
    args: Vec<Param>,
    alloc_fails: bool,
    arg_grows_by_during_alloc: Option<i64>,
}

/// An argument of a format.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum Param {
    /// A pointer to a string; null is NULL.
    Text(Option<Bytes>),
    /// An integer.
    Int(i64),
}

impl Param {
    /// As `vsnprintf()` wants it.
    pub fn arg(&self) -> Arg<'_> {
        match self {
            Param::Text(Some(text)) => Arg::Str(&text.0),
            Param::Text(None) => Arg::Null,
            Param::Int(number) => Arg::Int(*number),
        }
    }

    fn grow(&mut self, by: i64) {
        if let Param::Text(Some(Bytes(text))) = self {
            let len = text.len().saturating_add_signed(by.try_into().expect("small"));
            text.resize(len, b'+');
        }
    }
}

#[test]
fn every_recorded_name_is_set() {
    harness::check("set_name", run);
}

fn run(input: Input) -> Value {
    let bench = Bench::new();
    bench.before_site.set("previous name");
    let kobj = bench.kobject(input.previous.clone().map(|name| name.0), None);
    if input.alloc_fails {
        bench.fail(&["kobject_set_name.name".into()]);
    }
    bench.measure();
    let result = bench.must(async move |core: &Core| {
        // Between the two formattings the strings may have changed.
        let mut second = input.args.clone();
        second.iter_mut().for_each(|arg| arg.grow(input.arg_grows_by_during_alloc.unwrap_or(0)));
        let passes = Cell::new(0);
        let args = || {
            let args = if passes.replace(passes.get() + 1) == 0 { &input.args } else { &second };
            args.iter().map(Param::arg).collect()
        };
        kobject_set_name(core, kobj, input.format.as_bytes(), args).await
    });
    let mut json = json!({
        "k_name": bytes_json(bench.core.name(kobj).as_deref()),
        "k_name_is_static_array": bench.core.kobj(kobj, |k| k.k_name == KName::Array),
        "name_array": bytes_json(bench.core.kobj(kobj, |k| k.name.to_vec()).as_slice()),
        "trace": bench.trace(),
        "live_after": live_after(&bench),
    });
    extend(&mut json, rc_json(result.rc()));
    json
}

/// The names that are still allocated; the previous one has number 0.
fn live_after(bench: &Bench) -> Vec<Value> {
    let names = bench.core.live().into_iter().filter(|entry| entry.site == "kobject_set_name.name");
    names.map(|entry| json!({"seq": bench.seq(entry.seq).max(0), "site": entry.site, "size": entry.size})).collect()
}
