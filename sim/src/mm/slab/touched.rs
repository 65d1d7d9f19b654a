//! What an explorer is told of accesses to objects: which object, and which part of it.
//!
//! An object is called after the lane that allocated it and the how-manieth of that lane it was: the slot that it happens to
//! get depends on the order of steps that otherwise commute, and a slot is used again by somebody else.

use super::{Cache, Handle, Stale};
use crate::machine::Machine;
use crate::touch::{Access, Object};

/// Fields of an object that are reached together, under one lock or by one owner, as a number of the type's own, from 1.
/// Part 0 is [`Part::FIXED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(pub u32);

impl Part {
    /// Fields that never change once anybody else knows the object: looking at them meets nobody but who frees it.
    pub const FIXED: Part = Part(0);
}

/// "Some part changed": all changes of parts add to it, whoever looks at the whole object reads it.
const ANY: u32 = u32::MAX;

impl<T> Cache<T> {
    #[inline]
    pub(super) fn touch(&self, m: &Machine, handle: Handle<T>, access: Access) {
        if m.is_explored() {
            self.tell(m, handle, access);
        }
    }

    /// The object has been allocated by the lane that runs.
    #[inline]
    pub(super) fn name(&self, m: &Machine, handle: Handle<T>) {
        if m.is_explored() {
            self.keep_name(m, handle);
        }
    }

    #[cold]
    #[inline(never)]
    fn keep_name(&self, m: &Machine, handle: Handle<T>) {
        self.names.borrow_mut().insert(handle.generation, m.new_object(self.object, handle.index));
    }

    #[cold]
    #[inline(never)]
    fn object_of(&self, handle: Handle<T>) -> Object {
        let name = self.names.borrow().get(&handle.generation).copied();
        name.unwrap_or_else(|| self.object.nth(handle.index))
    }

    #[cold]
    #[inline(never)]
    fn tell(&self, m: &Machine, handle: Handle<T>, access: Access) {
        let object = self.object_of(handle);
        m.touch(object, access);
        if access == Access::Read {
            m.touch(object.part(ANY), access);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_part(&self, m: &Machine, handle: Handle<T>, part: Part, access: Access) {
        let object = self.object_of(handle);
        m.touch(object, Access::Read);
        if part != Part::FIXED {
            m.touch(object.part(part.0), access);
            if access != Access::Read {
                m.touch(object.part(ANY), Access::Add);
            }
        }
    }

    /// The step reaches one part of the object in whatever else it does with it: for the explorer alone, without a look.
    #[inline(always)]
    pub fn touch_part(&self, m: &Machine, handle: Handle<T>, part: Part, access: Access) {
        if m.is_explored() {
            self.tell_part(m, handle, part, access);
        }
    }

    /// Looks at the object, and changes it if it is as `f` wants it; `f` says whether it was. An explorer is told which.
    ///
    /// # Errors
    /// Those of [`Cache::with`].
    #[inline]
    pub fn change_if(
        &self,
        m: &Machine,
        handle: Handle<T>,
        who: &str,
        f: impl FnOnce(&mut T) -> bool,
    ) -> Result<bool, Stale> {
        self.touch(m, handle, Access::Read);
        let changed = self.get(m, handle, who, f)?;
        if changed {
            self.touch(m, handle, Access::Write);
        }
        Ok(changed)
    }

    /// [`Cache::with`] for one part of the object: meets others who reach the same part, or all of it.
    ///
    /// # Errors
    /// Those of [`Cache::with`].
    #[inline(always)]
    pub fn with_part<R>(
        &self,
        m: &Machine,
        handle: Handle<T>,
        part: Part,
        access: Access,
        who: &str,
        f: impl FnOnce(&mut T) -> R,
    ) -> Result<R, Stale> {
        if m.is_explored() {
            self.tell_part(m, handle, part, access);
        }
        self.get(m, handle, who, f)
    }

    /// [`Cache::read`] for one part of the object.
    ///
    /// # Errors
    /// Those of [`Cache::with`].
    #[inline(always)]
    pub fn read_part<R>(
        &self,
        m: &Machine,
        handle: Handle<T>,
        part: Part,
        who: &str,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, Stale> {
        self.with_part(m, handle, part, Access::Read, who, |object| f(object))
    }
}
