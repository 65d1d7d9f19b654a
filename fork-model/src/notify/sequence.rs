//! How events get their numbers.

use std::cell::RefCell;

use sim::lock::{Lock, Mode};
use sim::touch::{Access, Object, Shared};

use crate::System;
use crate::design::{Seq, Sequence};

/// `proc_event_counts` of a CPU.
const COUNTS: Object = Object::named("proc_event_counts");
/// Whether the lock of the counter is taken.
const TAKEN: Object = Object::named("cn_fork_lock is taken");

/// The counters: `cn_fork_seq` and its lock, `proc_event_counts` of each CPU.
#[derive(Clone)]
pub struct Counters {
    next: Shared<u32>,
    lock: Lock,
    per_cpu: RefCell<Vec<u32>>,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters { next: Shared::new("cn_fork_seq", 0), lock: Lock::new("cn_fork_lock"), per_cpu: RefCell::default() }
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
            let number = counters.next.get(&sys.m);
            sys.m.point().await;
            counters.next.set(&sys.m, number.wrapping_add(1));
            Some(Seq { number, cpu: None })
        }
        Sequence::Locked => {
            // Whether somebody finds the lock taken is what a law asks (P13), so to an explorer the order matters in which
            // one comes to it, another takes it and gives it back.
            sys.m.touch(TAKEN, Access::Read);
            let held = counters.lock.take(&sys.m, Mode::SPIN).await;
            sys.m.touch(TAKEN, Access::Write);
            let number = counters.next.get(&sys.m);
            // The other CPUs go on meanwhile, and whoever forks there stands before the lock.
            sys.m.point().await;
            counters.next.set(&sys.m, number.wrapping_add(1));
            sys.m.touch(TAKEN, Access::Write);
            drop(held);
            Some(Seq { number, cpu: None })
        }
        Sequence::PerCpu => {
            let cpu = sys.m.smp_processor_id();
            sys.m.touch(COUNTS.nth(cpu), Access::Write);
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
