//! G25: a failed `kobject_add()` puts the parent twice.

use std::rc::Rc;

use fork_model::System;
use sim::{Errno, Law};
use uevent::Fix;
use uevent::kobject::{KobjId, KobjType, kobject_put, kobject_register, kobject_unregister};

use super::super::experiment::Experiment;
use super::stage::{alone, judged_on_the_way, kernel, obey, object, pick};

const LAW: Law =
    Law { id: "G25", sentence: "a parent has a reference for its owner and one for each child that was added to it" };

/// On an error the parent's reference is given back, but the parent pointer stays.
///
/// When the owner of the child puts it, as it must, cleanup follows the pointer and puts the parent once more: its count
/// reaches 0 under its owner, and it loses its name. The same with a kset, whose object is the implied parent. Later
/// kernels clear the pointer.
///
/// Tried: a parent or a kset; three steps, in each of which a child is registered, well or with the directory or an
/// attribute failing, or the last child is let go.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a failed kobject_add() takes a reference of the parent that is not its own",
    says: "When sysfs refuses a new object, kobject_add() gives the parent's reference back and leaves the pointer to it. The \
           last put of the object gives the reference back again: the parent dies while its owner still uses it.",
    source: "lib/kobject.c: kobject_add()",
    mended_by: "the error path clears the parent pointer, as it does in later kernels",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::FailedAdd),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

/// A child, and whether it was added.
#[derive(Clone, Copy)]
struct Child(KobjId, bool);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Register,
    DirFails,
    AttrFails,
    LetGo,
}

async fn story(sys: Rc<System>) {
    let parent = object(&sys, b"parent").await;
    let kset = pick(&sys.m, "under a parent, in a kset", &[false, true]).then(|| sys.core.new_kset(parent, None));
    let mut children: Vec<Child> = Vec::new();
    for name in [b"a", b"b", b"c"] {
        let steps = [Step::Register, Step::DirFails, Step::AttrFails, Step::LetGo];
        // The last of them is for those who have somebody to let go.
        let steps = if children.is_empty() { &steps[..3] } else { &steps };
        let step = pick(&sys.m, "register, the directory fails, an attribute fails, let the last child go", steps);
        if step == Step::LetGo {
            match children.pop().expect("there is one") {
                Child(kobj, true) => kobject_unregister(&sys.core, kobj).await,
                Child(kobj, false) => kobject_put(&sys.core, kobj),
            }
        } else {
            children.push(register(&sys, name, parent, kset, step).await);
        }
        let added = children.iter().filter(|child| child.1).count();
        // Each member of a kset, added or not, has a reference on it as its kset.
        let members = if kset.is_some() { children.len() } else { 0 };
        let (due, count) = (1 + added + members, sys.core.kobj(parent, |k| k.refcount));
        obey(&sys.m, LAW, usize::try_from(count) == Ok(due), || {
            let name = if sys.core.name(parent).is_none() { ", and its name is gone" } else { "" };
            format!("the parent's count is {count}; {due} hold it{name}")
        });
    }
}

async fn register(
    sys: &System,
    name: &[u8],
    parent: KobjId,
    kset: Option<uevent::kobject::KsetId>,
    step: Step,
) -> Child {
    let kobj = object(sys, name).await;
    sys.core.kobj(kobj, |k| {
        k.ktype = Some(Rc::new(KobjType { release: true, default_attrs: vec!["size"] }));
        match kset {
            Some(kset) => k.kset = Some(kset),
            None => k.parent = Some(parent),
        }
    });
    sys.core.sysfs.dir_answer.set((step == Step::DirFails).then_some(Err(Errno::NoMem)));
    sys.core.sysfs.file_answer.set((step == Step::AttrFails).then_some(Err(Errno::NoMem)));
    let added = kobject_register(&sys.core, Some(kobj)).await.is_ok();
    Child(kobj, added)
}
