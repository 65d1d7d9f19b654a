//! How events get their numbers.

use std::cell::{Cell, RefCell};

use sim::lock::{Lock, Mode};

use crate::System;
use crate::design::{Seq, Sequence};

/// The counters: `cn_fork_seq` and its lock, `proc_event_counts` of each CPU.
#[derive(Debug)]
pub struct Counters {
    next: Cell<u32>,
    lock: Lock,
    per_cpu: RefCell<Vec<u32>>,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters { next: Cell::new(0), lock: Lock::new("cn_fork_lock"), per_cpu: RefCell::default() }
    }
}

/// The next number, as the design draws it.
///
/// - `unlocked`: read, then written; somebody may get in between and read the same.
/// - `locked`: the same under a spinlock.
/// - `per-cpu`: of this CPU. Preemption is off from the read to the write, so that no point lies between them; models
///   `get_seq()` of `drivers/connector/cn_proc.c`.
pub(crate) async fn next(sys: &System) -> Option<Seq> {
    let counters = &sys.notify.sequence;
    match sys.config.design.sequence {
        Sequence::None => None,
        Sequence::Unlocked => {
            let number = counters.next.get();
            sys.m.point().await;
            counters.next.set(number.wrapping_add(1));
            Some(Seq { number, cpu: None })
        }
        Sequence::Locked => {
            let held = counters.lock.take(&sys.m, Mode::SPIN).await;
            let number = counters.next.get();
            // The other CPUs go on meanwhile, and whoever forks there stands before the lock (P13).
            sys.m.point().await;
            counters.next.set(number.wrapping_add(1));
            drop(held);
            Some(Seq { number, cpu: None })
        }
        Sequence::PerCpu => {
            let cpu = sys.m.cpu();
            let counts = &mut *counters.per_cpu.borrow_mut();
            if counts.len() <= cpu as usize {
                counts.resize(cpu as usize + 1, 0);
            }
            let number = counts[cpu as usize];
            counts[cpu as usize] = number.wrapping_add(1);
            Some(Seq { number, cpu: Some(cpu) })
        }
    }
}
