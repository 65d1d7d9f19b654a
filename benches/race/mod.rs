//! One small race, the same for each explorer: a parent takes a pid under a lock, inserts a task under a lock, starts child and
//! reaper, sends a message under a lock and joins both; the child marks itself dead under the lock; the reaper twice looks
//! under the lock and removes the task if it is dead, yielding in between.

pub mod ours;
pub mod peers;
