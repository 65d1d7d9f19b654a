//! Allocations that fail on purpose, in the kernel's own vocabulary.
//!
//! Three ways, which add up: the n-th allocation (of a site, or of all) once or from then on; failslab's random
//! failures; and, when [`Faults::explore`] is on, a question to the chooser at every allocation.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Gfp;
use crate::machine::Machine;
use crate::touch::{Access, Object};

/// How often a rule strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// This many times, then never again.
    Count(u64),
    /// From then on, always.
    Forever,
}

/// "Fail the n-th allocation of this site."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// The site's name; `None` counts the allocations of all sites together.
    pub site: Option<String>,
    /// The first allocation that fails, from 1.
    pub nth: u64,
    /// How many fail, from there on.
    pub times: Times,
}

/// Models `CONFIG_FAILSLAB` and `lib/fault-inject.c:should_fail()` (Linux 2.6.20: the patch's time had none of it).
///
/// DIFFERENCE: its draws come from a seed of its own, not from the chooser, so that a scenario with failslab replays under
/// any schedule. An explorer uses [`Faults::explore`] instead, which asks.
#[derive(Clone, Debug)]
pub struct Failslab {
    /// Per cent of the allocations that are considered.
    pub probability: u32,
    /// Considers every `interval`-th allocation only.
    pub interval: u64,
    /// How many failures at the most; `None` (the kernel's -1) for no limit.
    pub times: Option<u64>,
    /// Bytes that are granted before anything fails.
    pub space: u64,
    /// Spares allocations that may sleep (`__GFP_WAIT`).
    pub ignore_gfp_wait: bool,
    count: u64,
    /// Boxed: a machine that has none is smaller for it.
    rng: Box<ChaCha8Rng>,
}

impl Failslab {
    /// The kernel's defaults (`interval=1 times=1 space=0 ignore-gfp-wait=1`) with this probability, drawn from `seed`.
    #[must_use]
    pub fn new(probability: u32, seed: u64) -> Failslab {
        let rng = Box::new(ChaCha8Rng::seed_from_u64(seed));
        Failslab { probability, interval: 1, times: Some(1), space: 0, ignore_gfp_wait: true, count: 0, rng }
    }

    fn should_fail(&mut self, size: u32, gfp: Gfp) -> bool {
        if (self.ignore_gfp_wait && gfp.may_wait()) || self.times == Some(0) {
            return false;
        }
        if self.space > size.into() {
            self.space -= u64::from(size);
            return false;
        }
        self.count += 1;
        if self.interval > 1 && !self.count.is_multiple_of(self.interval) {
            return false;
        }
        if self.probability <= self.rng.random_range(0..100) {
            return false;
        }
        self.times = self.times.map(|left| left - 1);
        true
    }
}

/// Everything that may make an allocation fail.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<(FaultRule, u64)>,
    /// Random failures.
    pub failslab: Option<Failslab>,
    /// Ask the chooser at every allocation, until this many have failed.
    ///
    /// The budget is no object that allocations meet in: which allocations of a run failed is the same in whatever order
    /// its steps that commute are taken, so that the budget lasts in all of these orders or in none, and an explorer tries
    /// both answers wherever it does.
    pub explore: u32,
    /// Memory is full: nothing is allocated any more once so many objects live.
    pub most_live: Option<u64>,
    hits: Vec<(&'static str, u64)>,
    first: Vec<Failed>,
}

/// One allocation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// In which step.
    pub step: u64,
    /// Where.
    pub site: &'static str,
    /// Whether it was allowed to wait for memory.
    pub gfp: Gfp,
}

/// Failures that are kept one by one.
const FIRST: usize = 64;

impl Faults {
    /// One more rule. Counting starts now.
    pub fn add(&mut self, rule: FaultRule) {
        self.rules.push((rule, 0));
    }

    /// Forgets all rules and stops failslab.
    pub fn clear(&mut self) {
        let (hits, first) = (std::mem::take(&mut self.hits), std::mem::take(&mut self.first));
        *self = Faults { hits, first, ..Faults::default() };
    }

    /// The first allocations that failed, in order: as many as a small scenario has.
    #[must_use]
    pub fn first(&self) -> &[Failed] {
        &self.first
    }

    /// Whether anything was ever asked for.
    pub(crate) fn has_any(&self) -> bool {
        self.is_active() || !self.hits.is_empty() || !self.first.is_empty()
    }

    /// Notes one that failed.
    pub(crate) fn note(&mut self, failed: Failed) {
        if self.first.len() < FIRST {
            self.first.push(failed);
        }
    }

    /// Sites that failed, and how many of their allocations did.
    #[must_use]
    pub fn hits(&self) -> &[(&'static str, u64)] {
        &self.hits
    }

    /// Rules and failslab count allocations: who allocates first matters then, among all or among those of a site.
    pub(crate) fn touch(&self, m: &Machine, site: &'static str) {
        for (rule, _) in &self.rules {
            match rule.site.as_deref() {
                None => m.touch(Object::named("allocations"), Access::Write),
                Some(name) if name == site => m.touch(Object::named(site), Access::Write),
                Some(_) => {}
            }
        }
        if self.failslab.is_some() {
            m.touch(Object::named("failslab"), Access::Write);
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        !self.rules.is_empty() || self.failslab.is_some() || self.explore > 0 || self.most_live.is_some()
    }

    /// Whether this allocation fails. Every rule counts it, also when another one has struck.
    pub(crate) fn should_fail(
        &mut self,
        (site, size, gfp): (&'static str, u32, Gfp),
        live: u64,
        ask: impl FnOnce() -> bool,
    ) -> bool {
        let mut fails = self.most_live.is_some_and(|most| live >= most);
        for (rule, seen) in &mut self.rules {
            if rule.site.as_deref().is_none_or(|name| name == site) {
                *seen += 1;
                fails |= *seen >= rule.nth
                    && match rule.times {
                        Times::Count(times) => *seen - rule.nth < times,
                        Times::Forever => true,
                    };
            }
        }
        fails |= self.failslab.as_mut().is_some_and(|failslab| failslab.should_fail(size, gfp));
        if !fails && self.explore > 0 && ask() {
            self.explore -= 1;
            fails = true;
        }
        if fails {
            match self.hits.iter_mut().find(|(name, _)| *name == site) {
                Some((_, count)) => *count += 1,
                None => self.hits.push((site, 1)),
            }
        }
        fails
    }
}
