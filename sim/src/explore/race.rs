//! Which steps of a run could have come in the other order.
//!
//! A step *happens before* another one if it is an earlier step of the same lane, woke or started that lane, touched an object
//! in a way that does not commute, or released a lock that the other one takes; and everything that follows from these. Two
//! steps that do not commute, with nothing between them that orders them otherwise, are a *race*: there is a run with the
//! other order.

use std::collections::BTreeMap;

use super::exhaustive::{LaneSet, Node, bit};
use crate::touch::{Access, Object};

/// For each lane, how many of its steps happened before (or are) this one.
type Clock = Vec<u32>;

fn join(clock: &mut Clock, other: &Clock) {
    if clock.len() < other.len() {
        clock.resize(other.len(), 0);
    }
    clock.iter_mut().zip(other).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
}

fn of(clock: &Clock, lane: u8) -> u32 {
    clock.get(usize::from(lane)).copied().unwrap_or(0)
}

/// The steps of the run so far, as far as they order others.
#[derive(Debug, Default)]
pub(super) struct Races {
    /// Of each step; the first entry is the root's.
    clocks: Vec<Clock>,
    /// Who touched an object, and how, in order.
    touched: BTreeMap<Object, Vec<(usize, Access)>>,
}

impl Races {
    /// Forgets the steps from `from` on.
    pub(super) fn retract(&mut self, nodes: &[Node], from: usize) {
        while self.clocks.len() > from.max(1) {
            let last = self.clocks.len() - 1;
            for (object, _) in &nodes[last].touches {
                let touched = self.touched.get_mut(object).expect("it was absorbed");
                touched.pop();
            }
            self.clocks.pop();
        }
    }

    /// Takes the next step in, and makes the nodes before it want what its races ask for.
    pub(super) fn absorb(&mut self, nodes: &mut [Node], step: usize) {
        if self.clocks.is_empty() {
            self.clocks.push(Clock::new());
        }
        debug_assert_eq!(self.clocks.len(), step, "steps come in order");
        let mut clock = self.before(nodes, step);
        let mut rivals = Vec::new();
        // `clock` grows by what the locks taken in this step bring; what comes after them in it is ordered by that.
        for (object, access) in &nodes[step].touches {
            let history = self.touched.entry(*object).or_default();
            let mut released = None;
            for (earlier, how) in history.iter().rev() {
                if *how == Access::Release {
                    released = released.or(Some(*earlier));
                    continue;
                }
                if !access.commutes(*how) {
                    let node = &nodes[*earlier];
                    if node.ran != nodes[step].ran && of(&clock, node.ran) < node.nth && !rivals.contains(earlier) {
                        rivals.push(*earlier);
                    }
                }
                if *how == Access::Write {
                    break;
                }
            }
            if let Some(released) = released.filter(|_| *access != Access::Release) {
                join(&mut clock, &self.clocks[released]);
            }
            history.push((step, *access));
        }
        let mut whole = clock;
        for earlier in &rivals {
            join(&mut whole, &self.clocks[*earlier]);
        }
        let lane = usize::from(nodes[step].ran);
        if whole.len() <= lane {
            whole.resize(lane + 1, 0);
        }
        whole[lane] = nodes[step].nth;
        self.clocks.push(whole);
        rivals.sort_unstable();
        let ordered = |a: usize, b: usize| of(&self.clocks[b], nodes[a].ran) >= nodes[a].nth;
        // One that another rival stands between is found once that one has been turned round; which only can be if the lane
        // could have run there.
        let turns = |b: usize| nodes[b].enabled_set() & bit(nodes[step].ran) != 0;
        let between = |a: usize| rivals.iter().any(|b| *b > a && turns(*b) && ordered(a, *b));
        let immediate: Vec<_> = rivals.iter().copied().filter(|a| !between(*a)).collect();
        for earlier in immediate {
            let initials = self.initials(nodes, earlier, step);
            nodes[earlier].want(&initials);
        }
    }

    /// What happened before a step by its lane's order and by who woke it, and nothing else.
    fn before(&self, nodes: &[Node], step: usize) -> Clock {
        let lane = nodes[step].ran;
        let mut clock = Clock::new();
        for earlier in (1..step).rev() {
            if nodes[earlier].woke.contains(&lane) {
                join(&mut clock, &self.clocks[earlier]);
            }
            if nodes[earlier].ran == lane {
                join(&mut clock, &self.clocks[earlier]);
                break;
            }
        }
        clock
    }

    /// Lanes that could go first, in place of `earlier`, in a run where `step` comes before it. The lane of `step` is in
    /// front if it is one of them.
    fn initials(&self, nodes: &[Node], earlier: usize, step: usize) -> Vec<u8> {
        let first = &nodes[earlier];
        let after = |i: usize| of(&self.clocks[i], first.ran) >= first.nth;
        let mut kept: Vec<usize> = (earlier + 1..step).filter(|i| !after(*i)).collect();
        kept.push(step);
        let (mut seen, mut initials): (LaneSet, Vec<u8>) = (0, Vec::new());
        for (at, i) in kept.iter().enumerate() {
            let lane = nodes[*i].ran;
            if seen & bit(lane) != 0 {
                continue;
            }
            seen |= bit(lane);
            let waits = kept[..at].iter().any(|j| of(&self.clocks[*i], nodes[*j].ran) >= nodes[*j].nth);
            if !waits {
                initials.push(lane);
            }
        }
        if let Some(at) = initials.iter().position(|lane| *lane == nodes[step].ran) {
            initials.swap(0, at);
        }
        initials
    }
}
