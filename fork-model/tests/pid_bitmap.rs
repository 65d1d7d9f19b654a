//! The pid bitmap against a set of numbers.
//!
//! The reference knows no page walk and no rounds: it looks for the smallest free number above the last one, else for the
//! smallest from 300 up. Where the kernel does otherwise, a predicate says so by name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use forklab_fork_model::pid::{
    BITS_PER_PAGE, PID_MAX_DEFAULT, PIDMAP_PAGE, Pids, RESERVED_PIDS, alloc_pidmap, free_pidmap, mark_used, pidmap_init,
};
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use sim::mm::{FaultRule, Times};
use sim::{Calm, Config, Machine};

/// What may be done to the bitmap.
#[derive(Clone, Debug)]
enum Op {
    /// How often; and the page that the first search needs cannot be had.
    Alloc {
        count: u32,
        page_fails: bool,
    },
    /// No check: also of a number that is free.
    Free(i32),
    SetLastPid(i32),
    SetPidMax(i32),
    /// From, and to, exclusive.
    MarkUsed(i32, i32),
    /// Everything is in use but for one number, and the last one given out is near it: where the corners are.
    OnlyFree {
        pid: i32,
        last_pid: i32,
    },
}

/// A set of small numbers, quick to copy: the test keeps a copy for each step.
#[derive(Clone)]
struct Set(Vec<bool>);

impl Set {
    fn contains(&self, pid: i32) -> bool {
        self.0[usize::try_from(pid).expect("not negative")]
    }

    /// Whether that changed anything.
    fn set(&mut self, pid: i32, to: bool) -> bool {
        std::mem::replace(&mut self.0[usize::try_from(pid).expect("not negative")], to) != to
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} numbers", self.0.iter().filter(|used| **used).count())
    }
}

/// The numbers in use.
#[derive(Clone, Debug)]
struct Numbers {
    used: Set,
    /// The counter of each page that exists: its free numbers, and one more for each number that was freed when free.
    nr_free: BTreeMap<i32, i32>,
    last_pid: i32,
    pid_max: i32,
    /// What the last operation must have returned.
    returned: Vec<Option<i32>>,
}

fn page(pid: i32) -> i32 {
    pid / BITS_PER_PAGE
}

impl Numbers {
    fn new() -> Numbers {
        let mut numbers = Numbers {
            used: Set(vec![false; 66_000]),
            nr_free: BTreeMap::from([(0, BITS_PER_PAGE)]),
            last_pid: 0,
            pid_max: PID_MAX_DEFAULT,
            returned: Vec::new(),
        };
        numbers.take(0);
        numbers
    }

    fn take(&mut self, pid: i32) {
        if self.used.set(pid, true) {
            *self.nr_free.entry(page(pid)).or_insert(BITS_PER_PAGE) -= 1;
        }
    }

    /// The last number itself is not looked at again (experiment G37), except where a page ends or starts with it.
    ///
    /// That the search also gives up at the wrap after 300 needs no rule of its own: it has seen all but the last one.
    fn looks_at_the_last_one(&self) -> bool {
        page(self.last_pid + 1) != page(self.last_pid) || (self.last_pid > 0 && self.last_pid % BITS_PER_PAGE == 0)
    }

    /// The number that a search finds, if memory does not run out.
    fn next(&self) -> Option<i32> {
        let smallest_free = |mut pids: std::ops::Range<i32>| pids.find(|pid| !self.used.contains(*pid));
        let above = smallest_free(self.last_pid + 1..self.pid_max);
        if above.is_some() {
            return above;
        }
        if self.last_pid + 1 >= self.pid_max {
            return smallest_free(RESERVED_PIDS..self.pid_max);
        }
        let end = self.last_pid + i32::from(self.looks_at_the_last_one());
        smallest_free(RESERVED_PIDS..end)
    }

    /// A search whose page may not be had: then it fails, though other pages may have free numbers (experiment G39).
    fn alloc(&mut self, page_fails: bool) -> Option<i32> {
        let pid = self.next()?;
        if page_fails && !self.nr_free.contains_key(&page(pid)) {
            return None;
        }
        self.take(pid);
        self.last_pid = pid;
        Some(pid)
    }
}

/// No number of this test is as high.
const ALL: i32 = 65_600;

/// Numbers around which something changes.
const EDGES: &[i32] = &[0, 1, 299, 300, 301, 302, 310, 32766, 32767, 32768, 32769, 40000, 65535, 65536, 65537, 65599];

fn pid() -> impl Strategy<Value = i32> {
    prop_oneof![3 => prop::sample::select(EDGES), 1 => 0..ALL]
}

impl ReferenceStateMachine for Numbers {
    type State = Numbers;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<Numbers> {
        Just(Numbers::new()).boxed()
    }

    fn transitions(numbers: &Numbers) -> BoxedStrategy<Op> {
        let near_last = numbers.last_pid.saturating_sub(2).max(0)..numbers.last_pid + 3;
        let pid_max = prop::sample::select(vec![301, 302, 303, 310, 32768, 32769, 32770, 40000, 65536, 65537, 65600]);
        prop_oneof![
            4 => (1..4u32, any::<bool>()).prop_map(|(count, page_fails)| Op::Alloc { count, page_fails }),
            3 => prop_oneof![pid(), near_last.clone()].prop_map(Op::Free),
            2 => prop_oneof![pid(), near_last].prop_map(Op::SetLastPid),
            1 => pid_max.prop_map(Op::SetPidMax),
            1 => Just(Op::MarkUsed(RESERVED_PIDS, ALL)),
            2 => (pid(), -1..3i32).prop_map(|(pid, before)| Op::OnlyFree { pid, last_pid: (pid - before).max(0) }),
            2 => (pid(), pid()).prop_map(|(from, to)| Op::MarkUsed(from.min(to), from.max(to))),
        ]
        .boxed()
    }

    fn preconditions(numbers: &Numbers, op: &Op) -> bool {
        // A page that was never allocated: see `a_free_on_an_absent_page_is_an_oops`.
        !matches!(op, Op::Free(pid) if !numbers.nr_free.contains_key(&page(*pid)))
    }

    fn apply(mut numbers: Numbers, op: &Op) -> Numbers {
        numbers.returned.clear();
        match *op {
            Op::Alloc { count, page_fails } => {
                for i in 0..count {
                    let pid = numbers.alloc(page_fails && i == 0);
                    numbers.returned.push(pid);
                }
            }
            Op::Free(pid) => {
                numbers.used.set(pid, false);
                *numbers.nr_free.get_mut(&page(pid)).expect("the page exists") += 1;
            }
            Op::SetLastPid(pid) => numbers.last_pid = pid,
            Op::SetPidMax(pid_max) => numbers.pid_max = pid_max,
            Op::MarkUsed(from, to) => (from..to).for_each(|pid| numbers.take(pid)),
            Op::OnlyFree { pid, last_pid } => {
                (0..ALL).for_each(|pid| numbers.take(pid));
                numbers.used.set(pid, false);
                *numbers.nr_free.get_mut(&page(pid)).expect("the page exists") += 1;
                numbers.last_pid = last_pid;
            }
        }
        numbers
    }
}

/// The modelled bitmap, on a machine of its own.
struct Bitmap {
    m: Rc<Machine>,
    pids: Rc<Pids>,
}

impl Bitmap {
    fn run<R: 'static>(&self, work: impl AsyncFnOnce(&Machine, &Pids) -> R + 'static) -> Option<R> {
        let result = Rc::new(RefCell::new(None));
        self.m.spawn("t", {
            let (m, pids, result) = (self.m.clone(), self.pids.clone(), result.clone());
            async move {
                let value = work(&m, &pids).await;
                result.replace(Some(value));
            }
        });
        self.m.run();
        result.take()
    }

    fn new() -> Bitmap {
        let bitmap = Bitmap { m: Machine::new(Config::default(), Calm), pids: Rc::default() };
        bitmap.run(pidmap_init_of);
        bitmap
    }

    fn mark_used(&self, range: std::ops::Range<i32>) {
        self.run(async move |m, pids| {
            for pid in range {
                mark_used(m, pids, pid).await;
            }
        });
    }

    fn alloc(&self, page_fails: bool) -> Option<i32> {
        self.m.mem.faults(|faults| {
            faults.clear();
            if page_fails {
                faults.add(FaultRule { site: Some(PIDMAP_PAGE.0.into()), nth: 1, times: Times::Count(1) });
            }
        });
        let pid = self.run(async |m, pids| alloc_pidmap(m, pids).await);
        self.m.mem.faults(|faults| faults.clear());
        pid.expect("a search does not die")
    }
}

async fn pidmap_init_of(m: &Machine, pids: &Pids) {
    pidmap_init(m, pids).await;
}

impl StateMachineTest for Bitmap {
    type SystemUnderTest = Bitmap;
    type Reference = Numbers;

    fn init_test(_: &Numbers) -> Bitmap {
        Bitmap::new()
    }

    fn apply(bitmap: Bitmap, numbers: &Numbers, op: Op) -> Bitmap {
        match op {
            Op::Alloc { count, page_fails } => {
                let returned: Vec<_> = (0..count).map(|i| bitmap.alloc(page_fails && i == 0)).collect();
                assert_eq!(returned, numbers.returned);
            }
            Op::Free(pid) => drop(bitmap.run(async move |m, pids| free_pidmap(m, pids, pid).await)),
            Op::SetLastPid(pid) => bitmap.pids.last_pid.set(pid),
            Op::SetPidMax(pid_max) => bitmap.pids.pid_max.set(pid_max),
            Op::MarkUsed(from, to) => bitmap.mark_used(from..to),
            Op::OnlyFree { pid, last_pid } => {
                bitmap.mark_used(0..ALL);
                bitmap.run(async move |m, pids| free_pidmap(m, pids, pid).await);
                bitmap.pids.last_pid.set(last_pid);
            }
        }
        bitmap
    }

    fn check_invariants(bitmap: &Bitmap, numbers: &Numbers) {
        assert_eq!(bitmap.pids.last_pid.get(), numbers.last_pid);
        let page = |(page, nr_free): (&i32, &i32)| (usize::try_from(*page).expect("not negative"), *nr_free);
        assert_eq!(bitmap.pids.nr_free(), numbers.nr_free.iter().map(page).collect::<Vec<_>>());
        for pid in EDGES {
            assert_eq!(bitmap.pids.is_used(&bitmap.m, *pid), numbers.used.contains(*pid), "{pid}");
        }
        assert!(bitmap.m.violations().is_empty());
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bitmap_finds_what_the_set_of_numbers_predicts(sequential 1..40 => Bitmap);
}

#[test]
fn a_free_on_an_absent_page_is_an_oops() {
    let bitmap = Bitmap::new();
    assert_eq!(bitmap.run(async |m, pids| free_pidmap(m, pids, 40_000).await), None);
    assert_eq!(bitmap.m.violations()[0].text, "Unable to handle kernel NULL pointer dereference in free_pidmap()");
}

#[test]
fn the_only_free_pid_is_not_found_if_it_was_the_last_one_given_out() {
    let bitmap = Bitmap::new();
    bitmap.run(async |m, pids| {
        for pid in (1..32768).filter(|pid| *pid != 5000) {
            mark_used(m, pids, pid).await;
        }
    });
    bitmap.pids.last_pid.set(5000);
    assert_eq!(bitmap.alloc(false), None, "it is free, and the kernel says that none is");
    bitmap.pids.last_pid.set(4999);
    assert_eq!(bitmap.alloc(false), Some(5000));
}
