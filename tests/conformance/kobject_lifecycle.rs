//! The life of a kobject, as a small command script.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sim::Errno;
use sim::errno::Rc as _;
use uevent::Core;
use uevent::kobject::{
    KName, KobjId, KobjType, KsetId, kobject_add, kobject_del, kobject_get, kobject_init, kobject_put,
    kobject_register, kobject_rename, kobject_set_name, kobject_unregister, kset_find_obj,
};
use uevent::kobject_uevent::{kobject_fork, kobject_hotplug};
use uevent::vsprintf::Arg;

use crate::harness::bench::rc_json;
use crate::harness::{self, Bench, bytes_json, extend};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    steps: Vec<String>,
}

#[test]
fn every_recorded_life_of_a_kobject_is_reproduced() {
    harness::check("kobject_lifecycle", |input: Input| {
        let mut script = Script { bench: Bench::new(), kobjs: BTreeMap::new(), ksets: BTreeMap::new() };
        let mut steps = Vec::new();
        for step in &input.steps {
            steps.push(script.step(step));
            if script.bench.crash() != Value::Null {
                break;
            }
        }
        json!({"steps": steps, "leaked": script.bench.live()})
    });
}

/// What the commands have made, by slot.
struct Script {
    bench: Bench,
    kobjs: BTreeMap<i64, KobjId>,
    ksets: BTreeMap<i64, KsetId>,
}

/// The words of a command: `set_name 0 lit "fork_kobj"`.
struct Words<'a>(std::vec::IntoIter<&'a str>);

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Words<'a> {
        // Quoted parts stand at odd places; a name may hold blanks.
        let parts = text.split('"').enumerate();
        let words = parts.flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
        Words(words.collect::<Vec<_>>().into_iter())
    }

    fn word(&mut self) -> &'a str {
        self.0.next().expect("the command has another word")
    }

    fn number(&mut self) -> i64 {
        let word = self.word();
        word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
    }
}

impl Script {
    /// The object in a slot; -1 or NULL is a NULL pointer.
    fn kobj(&self, words: &mut Words<'_>) -> Option<KobjId> {
        match words.word() {
            "-1" | "NULL" | "null" => None,
            slot => Some(self.kobjs[&slot.parse::<i64>().expect("a slot")]),
        }
    }

    /// The slot of an object, -1 for NULL.
    fn slot(&self, kobj: Option<KobjId>) -> i64 {
        self.kobjs.iter().find(|(_, id)| Some(**id) == kobj).map_or(-1, |(slot, _)| *slot)
    }

    fn step(&mut self, text: &str) -> Value {
        let mut words = Words::of(text);
        let c = words.word();
        let outcome = self.setting(c, &mut words).or_else(|| self.call(c, &mut words));
        let outcome = outcome.unwrap_or_else(|| panic!("{text:?} is no command"));
        assert!(words.0.next().is_none(), "{text:?} has a word too many");
        let mut json = json!({"c": c});
        extend(&mut json, outcome);
        if self.bench.crash() != Value::Null {
            extend(&mut json, json!({"crash": self.bench.crash()}));
        }
        let events = self.events();
        let key = if events.is_empty() { "?events" } else { "events" };
        extend(&mut json, json!({key: events}));
        json
    }

    /// Commands that set the scene; `None` if it is none of them.
    fn setting(&mut self, c: &str, words: &mut Words<'_>) -> Option<Value> {
        let core = self.bench.core.clone();
        match c {
            "uevent_init" => {
                self.bench.uevent_init(true);
                self.bench.measure(); // The socket's memory is not part of the case.
                let mut json = rc_json(0);
                extend(&mut json, json!({"uevent_sock": core.uevent_sock().is_some()}));
                return Some(json);
            }
            "kobj_zero" => drop(self.kobjs.insert(words.number(), core.new_kobject())),
            "kset" => {
                let (slot, name) = (words.number(), words.word());
                let kobj = self.bench.kobject(Some(name.into()), None);
                self.kobjs.insert(slot, kobj);
                self.ksets.insert(slot, core.new_kset(kobj, None));
            }
            "kobj_kset" => {
                let (kobj, kset) = (self.kobj(words)?, self.ksets[&words.number()]);
                core.kobj(kobj, |k| k.kset = Some(kset));
            }
            "parent" => {
                let (kobj, parent) = (self.kobj(words)?, self.kobj(words));
                core.kobj(kobj, |k| k.parent = parent);
            }
            "ktype" => {
                let (kobj, ktype) = (self.kobj(words)?, ktype(words.word()));
                core.kobj(kobj, |k| k.ktype = Some(ktype.into()));
            }
            "kset_ktype" => {
                let (kset, ktype) = (self.ksets[&words.number()], ktype(words.word()));
                core.kset(kset, |k| k.ktype = Some(ktype.into()));
            }
            "sysfs_rc" | "sysfs_dir_rc" => core.sysfs.dir_answer.set(Some(answer(words.number()))),
            "sysfs_file_rc" | "sysfs_attr_rc" => core.sysfs.file_answer.set(Some(answer(words.number()))),
            "fail" => self.bench.fail(&[words.word().to_string()]),
            "kstate" => {
                let kobj = self.kobj(words)?;
                return Some(self.kstate(kobj));
            }
            _ => return None,
        }
        Some(json!({}))
    }

    /// Calls of the kernel; `None` if it is none of them.
    fn call(&mut self, c: &str, words: &mut Words<'_>) -> Option<Value> {
        let bench = &self.bench;
        let done = |done: Option<()>| done.map_or(json!({}), |()| json!({}));
        let result = |result: Option<Result<(), Errno>>| result.map_or(json!({}), |result| rc_json(result.rc()));
        Some(match c {
            "set_name" => {
                let kobj = self.kobj(words)?;
                self.set_name(kobj, words)
            }
            "kobject_init" => {
                kobject_init(&bench.core, self.kobj(words)?);
                json!({})
            }
            "kobject_get" => json!({"nonnull": kobject_get(&bench.core, self.kobj(words)).is_some()}),
            "kobject_put" => {
                kobject_put(&bench.core, self.kobj(words));
                json!({})
            }
            "kobject_add" => {
                let kobj = self.kobj(words);
                result(bench.run(async move |core: &Core| kobject_add(core, kobj).await))
            }
            "kobject_register" => {
                let kobj = self.kobj(words);
                result(bench.run(async move |core: &Core| kobject_register(core, kobj).await))
            }
            "kobject_del" => {
                let kobj = self.kobj(words)?;
                done(bench.run(async move |core: &Core| kobject_del(core, kobj).await))
            }
            "kobject_unregister" => {
                let kobj = self.kobj(words)?;
                done(bench.run(async move |core: &Core| kobject_unregister(core, kobj).await))
            }
            "kobject_rename" => {
                let (kobj, name) = (self.kobj(words), words.word().as_bytes().to_vec());
                result(bench.run(async move |core: &Core| kobject_rename(core, kobj, &name).await))
            }
            "kobject_fork" => {
                let (kobj, parent, child) = (self.kobj(words)?, words.number(), words.number());
                let pid = |pid: i64| i32::try_from(pid).expect("a pid");
                done(bench.run(async move |core: &Core| kobject_fork(core, kobj, pid(parent), pid(child)).await))
            }
            "kobject_hotplug" => {
                let (kobj, action) = (self.kobj(words)?, words.number());
                let action = i32::try_from(action).expect("an int");
                done(bench.run(async move |core: &Core| kobject_hotplug(core, kobj, action).await))
            }
            "kset_find_obj" | "kset_find" => {
                let (kset, name) = (self.ksets[&words.number()], words.word().as_bytes().to_vec());
                let found = bench.run(async move |core: &Core| kset_find_obj(core, kset, &name).await).flatten();
                let slot = self.slot(found);
                let either = json!({"one of": [slot, found.is_some()]});
                json!({"?found": either, "?slot": slot, "?nonnull": found.is_some(), "?kobj": either, "?rc": slot})
            }
            _ => return None,
        })
    }

    fn set_name(&self, kobj: KobjId, words: &mut Words<'_>) -> Value {
        let (kind, text) = (words.word(), words.word().as_bytes().to_vec());
        let (format, arg) = match kind {
            "lit" => (text, None),
            "s" => (b"%s".to_vec(), Some(text)),
            _ => panic!("{kind:?} is no kind of name"),
        };
        let args = async move |core: &Core| {
            kobject_set_name(core, kobj, &format, || arg.iter().map(|arg| Arg::Str(arg)).collect()).await
        };
        let mut json = rc_json(self.bench.must(args).rc());
        extend(&mut json, self.names(kobj));
        json
    }

    fn names(&self, kobj: KobjId) -> Value {
        json!({
            "k_name": bytes_json(self.bench.core.name(kobj).as_deref()),
            "name_array": bytes_json(self.bench.core.kobj(kobj, |k| k.name.to_vec()).as_slice()),
            "k_name_is_array": self.bench.core.kobj(kobj, |k| k.k_name == KName::Array),
        })
    }

    fn kstate(&self, kobj: KobjId) -> Value {
        let (refcount, parent, on_list) = self.bench.core.kobj(kobj, |k| (k.refcount, k.parent, k.on_list));
        let mut json = json!({"refcount": refcount, "parent": self.slot(parent), "on_list": on_list});
        extend(&mut json, self.names(kobj));
        json
    }

    /// The trace; an object that is released is called by its slot, and has no name any more.
    fn events(&self) -> Vec<Value> {
        let mut events = self.bench.trace();
        for event in events.iter_mut().filter(|event| event["op"] == "release") {
            let index = event["kobj"].take();
            let kobj = self.kobjs.values().find(|kobj| index == kobj.index()).copied();
            let name = self.bench.core.name(kobj.expect("the script made it"));
            *event = json!({"op": "release", "slot": self.slot(kobj), "name": bytes_json(name.as_deref())});
        }
        events
    }
}

/// `release`, `attrs`, or both: `release_attrs`.
fn ktype(text: &str) -> KobjType {
    let has = |part: &str| text.split('_').any(|p| p == part);
    assert!(text.split('_').all(|part| ["release", "attrs", "none"].contains(&part)), "{text:?} is no type");
    KobjType { release: has("release"), default_attrs: if has("attrs") { vec!["da0", "da1"] } else { Vec::new() } }
}

fn answer(rc: i64) -> Result<(), Errno> {
    if rc == 0 { Ok(()) } else { Err(Errno::from_number(u16::try_from(-rc).expect("an errno"))) }
}
