//! Sysfs directories as names.
//!
//! Models what `lib/kobject.c` asks of `fs/sysfs/dir.c`: that a directory exists, and by which path.
//! DIFFERENCE: no inodes, no attribute contents; a created file is only traced.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use sim::Errno;
use sim::touch::{Access, Object};

use crate::Core;
use crate::kobject::{KobjId, kobject_set_name};
use crate::vsprintf::Arg;

/// All directories, as an explorer calls them.
const SYSFS: Object = Object::named("sysfs");

/// What exists under `/sys`, and what fails next.
#[derive(Debug, Default)]
pub struct Sysfs {
    dirs: RefCell<BTreeSet<Vec<u8>>>,
    /// What `sysfs_create_dir()` answers from now on; `None`: whether the path was free.
    pub dir_answer: Cell<Option<Result<(), Errno>>>,
    /// What `sysfs_create_file()` answers from now on; `None`: success.
    pub file_answer: Cell<Option<Result<(), Errno>>>,
}

impl Sysfs {
    /// See [`Core::copy_over`].
    pub(crate) fn copy_over(&self, used: &mut Sysfs) {
        let Sysfs { dirs, dir_answer, file_answer } = used;
        // Few runs make any, and to look is cheaper than to copy.
        if *dirs != self.dirs {
            dirs.clone_from(&self.dirs);
        }
        dir_answer.set(self.dir_answer.get());
        file_answer.set(self.file_answer.get());
    }

    /// Whether a directory of this path (from the root of sysfs, such as `/block/sda`) exists.
    #[must_use]
    pub fn has(&self, path: &[u8]) -> bool {
        self.dirs.borrow().contains(path)
    }

    /// All directories, in byte order.
    #[must_use]
    pub fn dirs(&self) -> Vec<Vec<u8>> {
        self.dirs.borrow().iter().cloned().collect()
    }
}

fn traced(core: &Core, func: &'static str, kobj: KobjId, result: Result<(), Errno>) -> Result<(), Errno> {
    core.m.call(
        func,
        || vec![("kobj", core.name(kobj).unwrap_or_default().as_slice().into())],
        Some(sim::errno::Rc::rc(&result)),
    );
    result
}

/// Models `sysfs_create_dir()`.
///
/// # Errors
/// [`Errno::Exist`] if the path is taken; else what [`Sysfs::dir_answer`] asks for.
pub fn sysfs_create_dir(core: &Core, kobj: KobjId) -> Result<(), Errno> {
    let path = core.path_text(kobj);
    core.m.touch(SYSFS, Access::Write);
    let result = match core.sysfs.dir_answer.get() {
        Some(Err(error)) => Err(error),
        answer if core.sysfs.dirs.borrow_mut().insert(path) || answer.is_some() => Ok(()),
        _ => Err(Errno::Exist),
    };
    traced(core, "sysfs_create_dir", kobj, result)
}

/// Models `sysfs_create_file()`.
///
/// # Errors
/// Whatever [`Sysfs::file_answer`] asks for.
pub fn sysfs_create_file(core: &Core, kobj: KobjId, attr: &'static str) -> Result<(), Errno> {
    let result = core.sysfs.file_answer.get().unwrap_or(Ok(()));
    let args = || vec![("kobj", core.name(kobj).unwrap_or_default().as_slice().into()), ("attr", attr.into())];
    core.m.call("sysfs_create_file", args, Some(sim::errno::Rc::rc(&result)));
    result
}

/// Models `sysfs_remove_dir()`: the directory and what is below it.
pub fn sysfs_remove_dir(core: &Core, kobj: KobjId) {
    let path = core.path_text(kobj);
    core.m.touch(SYSFS, Access::Write);
    let below = [&path[..], b"/"].concat();
    core.sysfs.dirs.borrow_mut().retain(|dir| *dir != path && !dir.starts_with(&below));
    core.m.call("sysfs_remove_dir", || vec![("kobj", core.name(kobj).unwrap_or_default().as_slice().into())], None);
}

/// Renames the object, and then its directory. Models `sysfs_rename_dir()`.
///
/// # Errors
/// Those of [`kobject_set_name`]; the directory stays where it was.
pub async fn sysfs_rename_dir(core: &Core, kobj: KobjId, new_name: &[u8]) -> Result<(), Errno> {
    core.m.call("sysfs_rename_dir", || vec![("new", new_name.into())], None);
    let old_path = core.path_text(kobj);
    kobject_set_name(core, kobj, b"%s", || vec![Arg::Str(new_name)]).await?;
    let new_path = core.path_text(kobj);
    core.m.touch(SYSFS, Access::Write);
    let mut dirs = core.sysfs.dirs.borrow_mut();
    if dirs.remove(&old_path) {
        dirs.insert(new_path);
    }
    Ok(())
}
