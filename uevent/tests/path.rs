//! The path of a kobject against the path that joining its names gives.

use std::rc::Rc;

use forklab_uevent::kobject::{get_kobj_path_length, kobject_get_path, kobject_init, kobject_set_name};
use forklab_uevent::vsprintf::Arg;
use forklab_uevent::{Config, Core};
use proptest::prelude::*;
use sim::{Calm, Gfp, Machine, Rule};

/// The length and the path of the last of these objects, each the child of the one before; `None` if the lane died.
fn path_of(names: Vec<Option<Vec<u8>>>) -> (Rc<Core>, Option<(u32, Vec<u8>)>) {
    let m = Machine::new(sim::Config::default(), Calm);
    let core = Rc::new(Core::new(m.clone(), Config::default()).expect("it links"));
    let found = Rc::new(std::cell::Cell::new(None));
    m.spawn("t", {
        let (core, found) = (core.clone(), found.clone());
        async move {
            let mut leaf = None;
            for name in names {
                let kobj = core.new_kobject();
                core.kobj(kobj, |k| k.parent = leaf);
                kobject_init(&core, kobj);
                if let Some(name) = name {
                    kobject_set_name(&core, kobj, b"%s", || vec![Arg::Str(&name)]).await.expect("no fault");
                }
                leaf = Some(kobj);
            }
            let leaf = leaf.expect("at least one object");
            let length = get_kobj_path_length(&core, leaf).await;
            let path = kobject_get_path(&core, leaf, Gfp::KERNEL).await.expect("no fault");
            found.set(core.m.buf(path, "test", |buf| (length, buf.bytes().to_vec())).ok());
            core.m.kfree(path, "test");
        }
    });
    m.run();
    (core, found.take())
}

fn names() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(1..=255u8, 0..45), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_path_is_a_slash_and_a_name_for_each_object_from_the_root_and_a_nul(names in names()) {
        let joined = [names.iter().flat_map(|name| [b"/", &name[..]].concat()).collect(), vec![0]].concat();
        let (core, found) = path_of(names.iter().cloned().map(Some).collect());
        let (length, path) = found.expect("every object has a name");
        prop_assert_eq!(length as usize, joined.len());
        prop_assert_eq!(path, joined);
        prop_assert!(core.m.violations().is_empty());
        let long = names.iter().filter(|name| name.len() >= 20).count();
        prop_assert_eq!(core.live().len(), long, "only names of 20 bytes and more have memory of their own");
    }

    #[test]
    fn a_path_over_an_object_without_a_name_oopses_before_anything_is_allocated(
        names in names(),
        hole in any::<prop::sample::Index>(),
    ) {
        let short = names.iter().map(|name| Some(name[..name.len().min(19)].to_vec()));
        let mut names: Vec<_> = short.collect();
        let hole = hole.index(names.len());
        names[hole] = None;
        let (core, found) = path_of(names);
        prop_assert!(found.is_none());
        prop_assert_eq!(core.m.violations().iter().map(|v| v.rule).collect::<Vec<_>>(), [Rule::Oops]);
        prop_assert_eq!(core.m.mem.counters().allocs, 0);
    }
}
