//! A fork event with keys: what `kobject_fork()` would have been, had it been written like `kobject_hotplug()`.

use sim::mm::Buf;
use sim::{Errno, Gfp, Handle};

use super::{BUFFER_SIZE, KobjectAction, NUM_ENVP, POINTER, send_uevent};
use crate::kobject::{KobjId, kobject_get_path};
use crate::wire::connector::ForkIds;
use crate::wire::fork_keys;
use crate::{Core, site};

/// Slots before the first key: `HOME=` and `PATH=`, for the helper only.
const FIRST_KEY: usize = 2;

/// A fork event with keys, all its memory allocated, not yet sent.
///
/// As in `kobject_hotplug()` (Linux 2.6.11): 32 slots ([`site::HOTPLUG_ENVP`]), 1,024 bytes ([`site::HOTPLUG_BUFFER`]) and
/// the path ([`site::PATH`]), in this order; `ACTION`, `DEVPATH`, `SUBSYSTEM`, then `PPID`, `PID`, and `SEQNUM` (and `CPU`) if
/// the design numbers its events.
#[derive(Debug)]
#[must_use = "its memory is given back by free()"]
pub struct ForkKeys {
    envp: Handle<Buf>,
    buffer: Handle<Buf>,
    path: Handle<Buf>,
    /// Offsets of the strings in the buffer.
    starts: Vec<usize>,
    action: KobjectAction,
}

impl ForkKeys {
    /// Allocates and writes the environment. The ids are those of [`ForkIds`] that the patch sends: two pids.
    ///
    /// # Errors
    /// [`Errno::NoMem`]: what was allocated is given back.
    pub async fn build(
        core: &Core,
        kobj: KobjId,
        ids: &ForkIds,
        seq: Option<(u32, Option<u32>)>,
    ) -> Result<ForkKeys, Errno> {
        ForkKeys::build_as(core, kobj, KobjectAction::Fork, ids, seq).await
    }

    /// The same with another action than `fork`.
    ///
    /// # Errors
    /// Those of [`ForkKeys::build`].
    pub async fn build_as(
        core: &Core,
        kobj: KobjId,
        action: KobjectAction,
        ids: &ForkIds,
        seq: Option<(u32, Option<u32>)>,
    ) -> Result<ForkKeys, Errno> {
        let slots = u32::try_from(NUM_ENVP).expect("32") * POINTER;
        let envp = core.m.kmalloc(site::HOTPLUG_ENVP, slots, Gfp::KERNEL).await.ok_or(Errno::NoMem)?;
        let Some(buffer) = core.m.kmalloc(site::HOTPLUG_BUFFER, BUFFER_SIZE, Gfp::KERNEL).await else {
            core.m.kfree(envp, "kobject_hotplug");
            return Err(Errno::NoMem);
        };
        let path = match kobject_get_path(core, kobj, Gfp::KERNEL).await {
            Ok(path) => path,
            Err(error) => {
                core.m.kfree(buffer, "kobject_hotplug");
                core.m.kfree(envp, "kobject_hotplug");
                return Err(error);
            }
        };
        let mut keys = ForkKeys { envp, buffer, path, starts: Vec::new(), action };
        keys.write(core, ids, seq);
        Ok(keys)
    }

    fn write(&mut self, core: &Core, ids: &ForkIds, seq: Option<(u32, Option<u32>)>) {
        let devpath = core.string(self.path);
        let mut at = 0;
        for (key, value) in fork_keys(self.action.string(), &devpath, ids, seq) {
            let string = [key.as_bytes(), b"=", &value, b"\0"].concat();
            core.m.write_at(self.buffer, at, &string, "kobject_hotplug: sprintf()");
            self.starts.push(at);
            at += string.len();
        }
    }

    /// Broadcasts it over the uevent socket.
    ///
    /// # Errors
    /// Those of [`send_uevent`]. DIFFERENCE: `kobject_hotplug()` drops the result; here the lab counts it.
    pub async fn send(&self, core: &Core) -> Result<(), Errno> {
        let strings = self.strings(core);
        let slots: Vec<_> = strings.iter().map(|string| Some(string.as_slice())).collect();
        let path = core.string(self.path);
        send_uevent(core, self.action.string(), &path, Some(&slots), Gfp::KERNEL).await
    }

    /// The environment of a helper: `HOME=`, `PATH=`, the keys.
    #[must_use]
    pub fn strings(&self, core: &Core) -> Vec<Vec<u8>> {
        let key = |at: &usize| core.m.buf(self.buffer, "strlen()", |buf| buf.c_str(*at).to_vec()).unwrap_or_default();
        let mut strings = vec![b"HOME=/".to_vec(), b"PATH=/sbin:/bin:/usr/sbin:/usr/bin".to_vec()];
        debug_assert_eq!(strings.len(), FIRST_KEY, "send_uevent() skips as many");
        strings.extend(self.starts.iter().map(key));
        strings
    }

    /// Gives the memory back, in the order of `kobject_hotplug()`.
    pub fn free(self, core: &Core) {
        for memory in [self.path, self.buffer, self.envp] {
            core.m.kfree(memory, "kobject_hotplug");
        }
    }
}
