//! What lanes are made of: futures, each in room that is used again by the next one of its kind.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Lane, Lanes};

/// A future of any kind, or the room that one has left. `None`: its lane runs, or there never was one.
pub(crate) type Room = Option<Pin<Box<dyn Work>>>;

/// The future of a lane and its room.
pub(crate) trait Work {
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()>;

    /// Takes a future in, an `Option` of it, if it is of the kind of the one that was here.
    fn move_in(self: Pin<&mut Self>, next: &mut dyn Any) -> bool;

    /// Drops the future.
    fn clear(self: Pin<&mut Self>);
}

impl<F: Future<Output = ()> + 'static> Work for Option<F> {
    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.as_pin_mut().expect("somebody lives here").poll(context)
    }

    fn move_in(mut self: Pin<&mut Self>, next: &mut dyn Any) -> bool {
        let Some(next) = next.downcast_mut::<Option<F>>() else { return false };
        self.set(next.take());
        true
    }

    fn clear(mut self: Pin<&mut Self>) {
        self.set(None);
    }
}

impl Lanes {
    /// A lane of this number begins. A search starts the same lanes in each run: only the first run allocates for them.
    #[inline]
    pub(super) fn move_in(&mut self, lane: Lane, work: &mut Option<impl Future<Output = ()> + 'static>) {
        if self.rooms.len() <= lane.index() {
            self.rooms.push(None);
        }
        let room = &mut self.rooms[lane.index()];
        if !room.as_mut().is_some_and(|room| room.as_mut().move_in(work)) {
            *room = Some(Box::pin(work.take()));
        }
    }

    /// The future of a lane, to be polled: meanwhile it may start others.
    #[inline(always)]
    pub(super) fn take_work(&mut self, lane: Lane) -> Pin<Box<dyn Work>> {
        self.rooms[lane.index()].take().expect("one poll at a time")
    }

    #[inline(always)]
    pub(super) fn put_work(&mut self, lane: Lane, work: Pin<Box<dyn Work>>) {
        self.rooms[lane.index()] = Some(work);
    }
}
