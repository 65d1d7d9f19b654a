//! `kobject_fork()` as somebody may have tidied it: without the two slots that say "Not used".

use sim::{Errno, Gfp};

use super::{KobjectAction, POINTER, send_uevent};
use crate::kobject::{KobjId, kobject_get_path};
use crate::{Core, site};

/// Tells of a fork with an environment of one string, the child's pid.
///
/// Models no kernel: it shows what the two unused slots of the patch are for. `send_uevent()` skips two strings, whatever
/// they are, as `kobject_hotplug()` has `HOME=` and `PATH=` there.
///
/// # Errors
/// Those of [`super::kobject_fork_told`].
///
/// # Violations
/// [`sim::Rule::OutOfBounds`]: the walk starts behind the NULL (P9).
pub async fn kobject_fork_one_slot(core: &Core, kobj: KobjId, child: i32) -> Result<(), Errno> {
    let path = kobject_get_path(core, kobj, Gfp::KERNEL).await?;
    let Some(envp) = core.m.kmalloc(site::FORK_ENVP, 2 * POINTER, Gfp::KERNEL).await else {
        core.m.kfree(path, "kobject_fork");
        return Err(Errno::NoMem);
    };
    let mut pid = itoa::Buffer::new();
    let slots = [Some(pid.format(child).as_bytes())];
    let text = core.string(path);
    let result = send_uevent(core, KobjectAction::Fork.string(), &text, Some(&slots), Gfp::KERNEL).await;
    core.m.kfree(envp, "kobject_fork");
    core.m.kfree(path, "kobject_fork");
    result
}
