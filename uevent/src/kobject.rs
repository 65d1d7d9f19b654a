//! Kobjects: names, paths, reference counts, sysfs. Models `lib/kobject.c` (Linux 2.6.11), in its order.
//!
//! DIFFERENCE: a kobject here never goes away: in the kernel it is part of another object, whose memory is its owner's
//! business. What happens to a dead one (experiment G10) can therefore be seen.

use std::rc::Rc;

use sim::lock::{Lock, Mode};
use sim::mm::{Buf, c_str};
use sim::touch::{Access, Object};
use sim::{Errno, Gfp, Handle};

use crate::kobject_uevent::{HotplugOps, KobjectAction, kobject_hotplug};
use crate::sysfs::{sysfs_create_dir, sysfs_create_file, sysfs_remove_dir, sysfs_rename_dir};
use crate::vsprintf::{Arg, vsnprintf};
use crate::{Core, Fix, site};

/// Bytes of the name array inside a kobject, its NUL included.
pub const KOBJ_NAME_LEN: usize = 20;

/// Kobjects and ksets, as an explorer calls them.
const KOBJECT: Object = Object::named("kobject");
const KSET: Object = Object::named("kset");

/// A pointer to a kobject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KobjId(u32);

/// A pointer to a kset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KsetId(u32);

impl KobjId {
    /// Which kobject of the core, from 0.
    #[must_use]
    pub fn index(self) -> u32 {
        self.0
    }
}

impl KsetId {
    /// Which kset of the core, from 0.
    #[must_use]
    pub fn index(self) -> u32 {
        self.0
    }
}

/// Where `k_name` points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KName {
    /// Nowhere: never named, or cleaned up.
    Null,
    /// To the array inside the kobject.
    Array,
    /// To memory of its own, for names of 20 bytes and more.
    Heap(Handle<Buf>),
}

/// Models `struct kobject`.
#[derive(Clone, Debug)]
pub struct Kobject {
    /// `k_name`.
    pub k_name: KName,
    /// `name`, the array.
    pub name: [u8; KOBJ_NAME_LEN],
    /// `kref.refcount`; below 0 after a put too many.
    pub refcount: i32,
    /// `parent`.
    pub parent: Option<KobjId>,
    /// `kset`.
    pub kset: Option<KsetId>,
    /// `ktype`.
    pub ktype: Option<Rc<KobjType>>,
    /// Whether it is in its kset's list.
    pub on_list: bool,
}

/// Models `struct kobj_type`.
#[derive(Clone, Debug, Default)]
pub struct KobjType {
    /// Whether it has a release function; its call is traced as `release`.
    pub release: bool,
    /// Names of the default attributes.
    pub default_attrs: Vec<&'static str>,
}

/// Models `struct subsystem`: a semaphore that guards the lists of its ksets.
#[derive(Debug)]
pub struct Subsystem {
    rwsem: Lock,
}

/// Models `struct kset`: a set of kobjects, itself one.
pub struct Kset {
    /// Its own kobject.
    pub kobj: KobjId,
    /// What it adds to events of its members.
    pub hotplug_ops: Option<Rc<HotplugOps>>,
    /// The type of its members, if they share one.
    pub ktype: Option<Rc<KobjType>>,
    subsys: Rc<Subsystem>,
    list: Vec<KobjId>,
}

/// Models what `lib/kref.c` does with one count.
fn kref_get(core: &Core, kobj: KobjId) {
    if core.kobj_look(kobj, |k| k.refcount) == 0 {
        core.m.warn_on("lib/kref.c", "kref_get");
    }
    core.kobj(kobj, |k| k.refcount += 1);
}

impl Core {
    /// A zeroed kobject, as static memory has it.
    pub fn new_kobject(&self) -> KobjId {
        let blank = Kobject {
            k_name: KName::Null,
            name: [0; KOBJ_NAME_LEN],
            refcount: 0,
            parent: None,
            kset: None,
            ktype: None,
            on_list: false,
        };
        let mut kobjects = self.kobjects.borrow_mut();
        kobjects.push(blank);
        KobjId(u32::try_from(kobjects.len() - 1).expect("fewer kobjects than 2^32"))
    }

    /// A kset in a subsystem of its own, around this kobject.
    pub fn new_kset(&self, kobj: KobjId, hotplug_ops: Option<HotplugOps>) -> KsetId {
        let subsys = Rc::new(Subsystem { rwsem: Lock::new("subsys.rwsem") });
        self.subsystems.borrow_mut().push(subsys.clone());
        let mut ksets = self.ksets.borrow_mut();
        ksets.push(Kset { kobj, hotplug_ops: hotplug_ops.map(Rc::new), ktype: None, subsys, list: Vec::new() });
        KsetId(u32::try_from(ksets.len() - 1).expect("fewer ksets than 2^32"))
    }

    /// Reads or changes a kobject.
    #[inline]
    pub fn kobj<R>(&self, kobj: KobjId, f: impl FnOnce(&mut Kobject) -> R) -> R {
        self.m.touch(KOBJECT.nth(kobj.0), Access::Write);
        f(&mut self.kobjects.borrow_mut()[kobj.0 as usize])
    }

    /// Looks at a kobject.
    #[inline]
    pub fn kobj_look<R>(&self, kobj: KobjId, f: impl FnOnce(&Kobject) -> R) -> R {
        self.m.touch(KOBJECT.nth(kobj.0), Access::Read);
        f(&self.kobjects.borrow()[kobj.0 as usize])
    }

    /// Looks at a kset.
    pub fn kset_look<R>(&self, kset: KsetId, f: impl FnOnce(&Kset) -> R) -> R {
        self.m.touch(KSET.nth(kset.0), Access::Read);
        f(&self.ksets.borrow()[kset.0 as usize])
    }

    /// Reads or changes a kset.
    pub fn kset<R>(&self, kset: KsetId, f: impl FnOnce(&mut Kset) -> R) -> R {
        self.m.touch(KSET.nth(kset.0), Access::Write);
        f(&mut self.ksets.borrow_mut()[kset.0 as usize])
    }

    /// The name that `k_name` points to, without its NUL; `None` for a NULL pointer.
    #[must_use]
    pub fn name(&self, kobj: KobjId) -> Option<Vec<u8>> {
        self.with_name(kobj, <[u8]>::to_vec)
    }

    #[inline]
    fn with_name<R>(&self, kobj: KobjId, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.m.touch(KOBJECT.nth(kobj.0), Access::Read);
        self.name_of(&self.kobjects.borrow()[kobj.0 as usize], f)
    }

    /// Does something with the names of the object and its ancestors, nearest first; `None` if one of them has no name.
    #[inline(always)]
    fn for_each_name(&self, kobj: KobjId, mut f: impl FnMut(&[u8])) -> Option<()> {
        let kobjects = self.kobjects.borrow();
        std::iter::successors(Some(kobj), |kobj| kobjects[kobj.0 as usize].parent).try_for_each(|kobj| {
            self.m.touch(KOBJECT.nth(kobj.0), Access::Read);
            self.name_of(&kobjects[kobj.0 as usize], &mut f)
        })
    }

    #[inline(always)]
    fn name_of<R>(&self, kobject: &Kobject, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        match kobject.k_name {
            KName::Null => None,
            KName::Array => Some(f(c_str(&kobject.name))),
            KName::Heap(buf) => self.m.buf_look(buf, "kobject_name()", |buf| f(buf.c_str(0))).ok(),
        }
    }

    /// The nearest kset of the object or its ancestors, and the kset's own object.
    pub(crate) fn nearest_kset(&self, kobj: KobjId) -> Option<(KsetId, KobjId)> {
        let kset = self.ancestry(kobj).find_map(|kobj| self.kobj_look(kobj, |k| k.kset))?;
        Some((kset, self.kset_look(kset, |kset| kset.kobj)))
    }

    /// The object and its ancestors, nearest first.
    fn ancestry(&self, kobj: KobjId) -> impl Iterator<Item = KobjId> {
        std::iter::successors(Some(kobj), |kobj| self.kobj_look(*kobj, |k| k.parent))
    }

    /// The path as text, an unnamed ancestor as an empty one. For sysfs and people; allocates nothing in the kernel.
    #[must_use]
    pub fn path_text(&self, kobj: KobjId) -> Vec<u8> {
        let names: Vec<_> = self.ancestry(kobj).map(|kobj| self.name(kobj).unwrap_or_default()).collect();
        names.iter().rev().flat_map(|name| [b"/", name.as_slice()].concat()).collect()
    }
}

/// Creates the directory and the default attributes. Models `create_dir()` and `populate_dir()`.
fn create_dir(core: &Core, kobj: KobjId) -> Result<(), Errno> {
    if core.name(kobj).is_none() {
        return Ok(());
    }
    sysfs_create_dir(core, kobj)?;
    let ktype = get_ktype(core, kobj);
    for attr in ktype.iter().flat_map(|ktype| &ktype.default_attrs) {
        if let Err(error) = sysfs_create_file(core, kobj, attr) {
            sysfs_remove_dir(core, kobj);
            return Err(error);
        }
    }
    Ok(())
}

/// The kset's type, else the object's own. Models `get_ktype()`.
fn get_ktype(core: &Core, kobj: KobjId) -> Option<Rc<KobjType>> {
    let (kset, own) = core.kobj_look(kobj, |k| (k.kset, k.ktype.clone()));
    kset.and_then(|kset| core.kset_look(kset, |kset| kset.ktype.clone())).or(own)
}

/// Bytes of the path, its NUL included; a slash and a name for the object and each ancestor.
///
/// Models `get_kobj_path_length()`.
///
/// # Violations
/// [`sim::Rule::Oops`] if any of them has no name: `strlen(NULL)`.
pub async fn get_kobj_path_length(core: &Core, kobj: KobjId) -> u32 {
    let Some(length) = path_length(core, kobj) else { match core.m.oops("get_kobj_path_length").await {} };
    length
}

/// What of it comes before its oops; `None`: one of them has no name.
#[inline(always)]
fn path_length(core: &Core, kobj: KobjId) -> Option<u32> {
    let mut length = 1;
    core.for_each_name(kobj, |name| length += name.len() + 1)?;
    Some(u32::try_from(length).expect("names are small"))
}

/// Writes the path from its end to its start. Models `fill_kobj_path()`.
#[inline(always)]
fn fill_kobj_path(core: &Core, kobj: KobjId, path: Handle<Buf>, length: u32) {
    let mut bytes = core.take_scratch();
    bytes.resize(length as usize, 0);
    let mut at = length as usize - 1;
    let written = core.for_each_name(kobj, |name| {
        at -= name.len() + 1;
        bytes[at] = b'/';
        bytes[at + 1..][..name.len()].copy_from_slice(name);
    });
    written.expect("get_kobj_path_length() has seen every name");
    core.m.write(path, &bytes, "fill_kobj_path");
    core.keep_scratch(bytes);
}

/// The path of a kobject, in memory that the caller frees.
///
/// Models `lib/kobject.c:kobject_get_path()` (Linux 2.6.11). Names are copied as they are, slashes and all.
///
/// # Errors
/// [`Errno::NoMem`] where the kernel returns NULL: [`site::PATH`] failed.
///
/// # Violations
/// [`sim::Rule::Oops`] if the object or an ancestor has no name, before anything is allocated.
pub async fn kobject_get_path(core: &Core, kobj: KobjId, gfp: Gfp) -> Result<Handle<Buf>, Errno> {
    let Some(length) = path_length(core, kobj) else { match core.m.oops("get_kobj_path_length").await {} };
    let path = sim::kmalloc!(core.m, site::PATH, length, gfp).ok_or(Errno::NoMem)?;
    fill_kobj_path(core, kobj, path, length);
    Ok(path)
}

/// Sets the count to 1 and takes a reference on the kset, if any. Models `kobject_init()`.
pub fn kobject_init(core: &Core, kobj: KobjId) {
    core.kobj(kobj, |k| {
        k.refcount = 1;
        k.on_list = false;
    });
    if let Some(kset) = core.kobj_look(kobj, |k| k.kset) {
        kref_get(core, core.kset_look(kset, |kset| kset.kobj));
    }
}

/// Leaves the kset's list, under the semaphore of its subsystem. Models the locked part of `unlink()`.
async fn unlink(core: &Core, kobj: KobjId) {
    if let Some(kset) = core.kobj_look(kobj, |k| k.kset) {
        let subsys = core.kset_look(kset, |kset| kset.subsys.clone());
        let held = subsys.rwsem.take(&core.m, Mode::DOWN_WRITE).await;
        core.kset(kset, |kset| kset.list.retain(|member| *member != kobj));
        core.kobj(kobj, |k| k.on_list = false);
        drop(held);
    }
    kobject_put(core, kobj);
}

/// Adds an object to its kset's list and to sysfs, and tells user space (`add`).
///
/// Models `lib/kobject.c:kobject_add()` (Linux 2.6.11).
///
/// # Errors
/// [`Errno::NoEnt`] for a NULL pointer; else what sysfs answers. Then the reference on the parent is given back, but
/// the parent pointer stays: the last put of the object gives it back again (experiment G25).
pub async fn kobject_add(core: &Core, kobj: Option<KobjId>) -> Result<(), Errno> {
    let kobj = kobject_get(core, kobj).ok_or(Errno::NoEnt)?;
    core.kobj(kobj, |k| {
        if k.k_name == KName::Null {
            k.k_name = KName::Array;
        }
    });
    let mut parent = kobject_get(core, core.kobj_look(kobj, |k| k.parent));
    if let Some(kset) = core.kobj_look(kobj, |k| k.kset) {
        let (subsys, kset_kobj) = core.kset_look(kset, |kset| (kset.subsys.clone(), kset.kobj));
        let held = subsys.rwsem.take(&core.m, Mode::DOWN_WRITE).await;
        if parent.is_none() {
            parent = kobject_get(core, Some(kset_kobj));
        }
        core.kset(kset, |kset| kset.list.push(kobj));
        core.kobj(kobj, |k| k.on_list = true);
        drop(held);
    }
    core.kobj(kobj, |k| k.parent = parent);
    if let Err(error) = create_dir(core, kobj) {
        unlink(core, kobj).await;
        kobject_put(core, parent);
        // The pointer stays, and cleanup follows it: experiment G25.
        if core.has(Fix::FailedAdd) {
            core.kobj(kobj, |k| k.parent = None);
        }
        return Err(error);
    }
    kobject_hotplug(core, kobj, KobjectAction::Add.number()).await;
    Ok(())
}

/// Initialises and adds an object; a failure is logged. Models `kobject_register()`.
///
/// # Errors
/// [`Errno::Inval`] for a NULL pointer; else those of [`kobject_add`].
pub async fn kobject_register(core: &Core, kobj: Option<KobjId>) -> Result<(), Errno> {
    let kobj = kobj.ok_or(Errno::Inval)?;
    kobject_init(core, kobj);
    let result = kobject_add(core, Some(kobj)).await;
    if let Err(error) = result {
        let name = || String::from_utf8_lossy(&core.name(kobj).unwrap_or_default()).into_owned();
        core.m.printk(|| format!("kobject_register failed for {} ({})\n", name(), error.rc()));
        core.m.call("dump_stack", Vec::new, None);
    }
    result
}

/// Names an object by a format. Models `lib/kobject.c:kobject_set_name()` (Linux 2.6.11).
///
/// The error-free path:
/// - formats into the 20-byte array, always, so that a long name leaves its first 19 bytes there;
/// - a name of 20 bytes or more gets memory of its own ([`site::NAME`]) and is formatted again into it;
/// - the old memory is freed, the pointer set.
///
/// `args` is asked once for each formatting: what it points to may change in between.
///
/// # Errors
/// - [`Errno::NoMem`]: [`site::NAME`] failed.
/// - [`Errno::Fault`]: the arguments grew between the two formattings.
///
/// On an error the pointer is unchanged. The array is not: an object whose name lives there is renamed (G23).
pub async fn kobject_set_name<'a>(
    core: &Core,
    kobj: KobjId,
    format: &[u8],
    args: impl Fn() -> Vec<Arg<'a>>,
) -> Result<(), Errno> {
    let mut array = [0; KOBJ_NAME_LEN];
    let need = vsnprintf(&mut array, 20, format, &args());
    // The array is overwritten before anybody knows whether the name stays in it: experiment G23.
    if need < KOBJ_NAME_LEN || !core.has(Fix::FailedRename) {
        let written = KOBJ_NAME_LEN.min(need + 1);
        core.kobj(kobj, |k| k.name[..written].copy_from_slice(&array[..written]));
    }
    let name = if need < KOBJ_NAME_LEN {
        KName::Array
    } else {
        let limit = need + 1;
        let size = u32::try_from(limit).expect("names are small");
        let heap = core.m.kmalloc(site::NAME, size, Gfp::KERNEL).await.ok_or(Errno::NoMem)?;
        let mut bytes = vec![0; limit];
        let need = vsnprintf(&mut bytes, size.cast_signed(), format, &args());
        core.m.write(heap, &bytes, "kobject_set_name");
        if need >= limit {
            core.m.kfree(heap, "kobject_set_name");
            return Err(Errno::Fault);
        }
        KName::Heap(heap)
    };
    if let KName::Heap(old) = core.kobj_look(kobj, |k| k.k_name) {
        core.m.kfree(old, "kobject_set_name");
    }
    core.kobj(kobj, |k| k.k_name = name);
    Ok(())
}

/// Renames an object and its directory. Models `kobject_rename()`.
///
/// # Errors
/// [`Errno::Inval`] for a NULL pointer; those of [`kobject_set_name`].
pub async fn kobject_rename(core: &Core, kobj: Option<KobjId>, new_name: &[u8]) -> Result<(), Errno> {
    let kobj = kobject_get(core, kobj).ok_or(Errno::Inval)?;
    let result = sysfs_rename_dir(core, kobj, new_name).await;
    kobject_put(core, kobj);
    result
}

/// Tells user space (`remove`), and takes an object out of sysfs and its kset. Models `kobject_del()`.
pub async fn kobject_del(core: &Core, kobj: KobjId) {
    kobject_hotplug(core, kobj, KobjectAction::Remove.number()).await;
    sysfs_remove_dir(core, kobj);
    unlink(core, kobj).await;
}

/// Models `kobject_unregister()`: both references of a registered object go.
pub async fn kobject_unregister(core: &Core, kobj: KobjId) {
    kobject_del(core, kobj).await;
    kobject_put(core, kobj);
}

/// Takes a reference; NULL passes through. Models `kobject_get()`.
///
/// # Violations
/// [`sim::Rule::Warning`] if the object is dead.
pub fn kobject_get(core: &Core, kobj: Option<KobjId>) -> Option<KobjId> {
    if let Some(kobj) = kobj {
        kref_get(core, kobj);
    }
    kobj
}

/// Frees what the object holds. Models `kobject_cleanup()`.
///
/// The parent and the kset are put last; the object stays in its kset's list if it was there.
fn kobject_cleanup(core: &Core, kobj: KobjId) {
    let ktype = get_ktype(core, kobj);
    let (kset, parent, name) = core.kobj_look(kobj, |k| (k.kset, k.parent, k.k_name));
    match name {
        KName::Array => {}
        KName::Heap(buf) => core.m.kfree(buf, "kobject_cleanup"),
        KName::Null => core.m.kfree_null("kobject_cleanup"),
    }
    core.kobj(kobj, |k| k.k_name = KName::Null);
    if ktype.is_some_and(|ktype| ktype.release) {
        core.m.call("release", || vec![("kobj", kobj.0.into())], None); // It sees no name any more.
    }
    kobject_put(core, kset.map(|kset| core.kset_look(kset, |kset| kset.kobj)));
    kobject_put(core, parent);
}

/// Drops a reference; on reaching exactly 0 the object is cleaned up. Models `kobject_put()`: nothing for NULL.
///
/// On the static `fork_kobj` one put too many clears the name, and the next fork event oopses (experiment G10).
pub fn kobject_put(core: &Core, kobj: impl Into<Option<KobjId>>) {
    let Some(kobj) = kobj.into() else { return };
    // Nobody can release a static object, but anybody can put it: experiment G10.
    if core.has(Fix::StaticObject)
        && core.kobj_look(kobj, |k| k.refcount) == 1
        && get_ktype(core, kobj).is_none_or(|ktype| !ktype.release)
    {
        return;
    }
    let left = core.kobj(kobj, |k| {
        k.refcount -= 1;
        k.refcount
    });
    if left == 0 {
        kobject_cleanup(core, kobj);
    }
}

/// Finds a member by name and takes a reference on it. Models `kset_find_obj()`.
pub async fn kset_find_obj(core: &Core, kset: KsetId, name: &[u8]) -> Option<KobjId> {
    let subsys = core.kset_look(kset, |kset| kset.subsys.clone());
    let held = subsys.rwsem.take(&core.m, Mode::DOWN_READ).await;
    let members = core.kset_look(kset, |kset| kset.list.clone());
    let found = members.into_iter().find(|member| core.with_name(*member, |n| n == name) == Some(true));
    let found = kobject_get(core, found);
    drop(held);
    found
}
