//! Sysfs directories as names.
//!
//! Models what `lib/kobject.c` asks of `fs/sysfs/dir.c`: that a directory exists, and by which path.
//! DIFFERENCE: no inodes, no attribute contents; a created file is only traced.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use sim::Errno;

use crate::Core;
use crate::kobject::KobjId;

/// What exists under `/sys`, and what fails next.
#[derive(Debug, Default)]
pub struct Sysfs {
    dirs: RefCell<BTreeSet<Vec<u8>>>,
    /// What `sysfs_create_dir()` answers from now on, if it is to fail.
    pub dir_error: Cell<Option<Errno>>,
    /// What `sysfs_create_file()` answers from now on, if it is to fail.
    pub file_error: Cell<Option<Errno>>,
}

impl Sysfs {
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
/// Whatever [`Sysfs::dir_error`] asks for, and [`Errno::Exist`] if the path is taken.
pub fn sysfs_create_dir(core: &Core, kobj: KobjId) -> Result<(), Errno> {
    let path = core.path_text(kobj);
    let result = match core.sysfs.dir_error.get() {
        Some(error) => Err(error),
        None if core.sysfs.dirs.borrow_mut().insert(path) => Ok(()),
        None => Err(Errno::Exist),
    };
    traced(core, "sysfs_create_dir", kobj, result)
}

/// Models `sysfs_create_file()`.
///
/// # Errors
/// Whatever [`Sysfs::file_error`] asks for.
pub fn sysfs_create_file(core: &Core, kobj: KobjId, attr: &'static str) -> Result<(), Errno> {
    let result = core.sysfs.file_error.get().map_or(Ok(()), Err);
    let args = || vec![("kobj", core.name(kobj).unwrap_or_default().as_slice().into()), ("attr", attr.into())];
    core.m.call("sysfs_create_file", args, Some(sim::errno::Rc::rc(&result)));
    result
}

/// Models `sysfs_remove_dir()`: the directory and what is below it.
pub fn sysfs_remove_dir(core: &Core, kobj: KobjId) {
    let path = core.path_text(kobj);
    let below = [&path[..], b"/"].concat();
    core.sysfs.dirs.borrow_mut().retain(|dir| *dir != path && !dir.starts_with(&below));
    core.m.call("sysfs_remove_dir", || vec![("kobj", core.name(kobj).unwrap_or_default().as_slice().into())], None);
}

/// Models the directory's part of `sysfs_rename_dir()`: the old path is gone, the new one is there.
pub fn sysfs_rename_dir(core: &Core, old_path: &[u8], kobj: KobjId, new: &[u8]) {
    let mut dirs = core.sysfs.dirs.borrow_mut();
    if dirs.remove(old_path) {
        dirs.insert(core.path_text(kobj));
    }
    core.m.call("sysfs_rename_dir", || vec![("new", new.into())], None);
}
