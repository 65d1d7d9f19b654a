//! A search in parts: on many cores, on many machines, today and tomorrow. The parts, and so the result, do not depend on how
//! many of them run at once.
//!
//! A complete search is split at its first questions: each part is the runs that begin with certain answers. What is proved
//! is the same; the number of runs is larger than that of a search in one piece, since two beginnings may differ in the order
//! of steps that commute, and then both parts run what follows. A random one is
//! split into ranges of run numbers. A [`Sweep`] is the list of parts and what came of those that are done: written to a file
//! it is a checkpoint; run on every n-th part it is a shard, and shards are merged.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::exhaustive::{Bounds, Exhaustive};
use super::pct::Pct;
use super::random::Random;
use super::{Finding, GivenUp, Trial, Verdict, run_once, search};
use crate::choice::{Calm, Chooser, Follow, Question, STOP};

/// A complete search of at most so many runs is not worth a split: parts are searched for themselves, and together run some
/// kinds of runs more than once.
const SMALL: u64 = 20_000;
/// Parts of a larger one, at least, if it has as many.
const PARTS: usize = 64;
/// Runs of a part of a random search.
const RANGE: u64 = 250;

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "strategy")]
pub enum How {
    /// Every run within bounds.
    Exhaustive {
        /// See [`Bounds::preemptions`].
        preemptions: Option<u32>,
        /// See [`Bounds::steps`].
        steps: Option<u32>,
        /// Runs at the most, of each part.
        most: Option<u64>,
    },
    /// Uniform random runs.
    Random {
        /// The seed.
        seed: u64,
        /// How many.
        runs: u64,
    },
    /// Random priorities.
    Pct {
        /// The seed.
        seed: u64,
        /// How many.
        runs: u64,
        /// Ordered points that a bug may need.
        depth: u32,
    },
}

impl Default for How {
    fn default() -> How {
        How::Exhaustive { preemptions: None, steps: None, most: None }
    }
}

/// One part of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    /// All runs that begin with these answers.
    Under(Vec<u32>),
    /// Runs of these numbers.
    Range(u64, u64),
}

/// What came of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartResult {
    /// Complete runs.
    pub executions: u64,
    /// Runs that only repeated another one.
    pub repeated: u64,
    /// Runs that were cut off.
    pub cut: u64,
    /// Whether it was done to its end, and no run was cut off.
    pub complete: bool,
    /// The answers of the run that found something.
    pub found: Option<Vec<u32>>,
}

/// Every n-th part, from the i-th on: `i/n`, both from 1 for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Shard {
    /// The only one.
    pub const ALL: Shard = Shard { index: 0, of: 1 };

    /// Whether the `part`-th part is its business.
    #[must_use]
    pub fn has(self, part: usize) -> bool {
        part % self.of == self.index
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

/// No shard: what was found, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}, expected I/N with I from 1 to N, such as 2/8")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Shard, ShardError> {
        let parts = || {
            let (index, of) = text.split_once('/')?;
            let (index, of) = (index.parse::<usize>().ok()?, of.parse().ok()?);
            (1..=of).contains(&index).then(|| Shard { index: index - 1, of })
        };
        parts().ok_or_else(|| ShardError(text.to_owned()))
    }
}

/// A search in parts, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// How it searches.
    pub how: How,
    /// Steps of a calm run, for strategies that need an estimate.
    steps: u64,
    parts: Vec<Part>,
    /// What came of the parts that are done.
    done: BTreeMap<usize, PartResult>,
}

/// Two sweeps that are not shards of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found shards of different searches, expected shards of one")]
pub struct OtherSweep;

impl Sweep {
    /// Plans a search. A small complete one is done right away.
    #[must_use]
    pub fn plan(trial: &dyn Trial, how: How) -> Sweep {
        let steps = trial.run(Calm.lent()).steps;
        let mut sweep = Sweep { how, steps, parts: vec![Part::Under(Vec::new())], done: BTreeMap::new() };
        match how {
            How::Random { runs, .. } | How::Pct { runs, .. } => {
                let ranges = (0..runs).step_by(usize::try_from(RANGE).expect("250"));
                sweep.parts = ranges.map(|start| Part::Range(start, runs.min(start + RANGE))).collect();
            }
            How::Exhaustive { most, .. } => {
                let result = sweep.run_part(trial, 0, most.unwrap_or(SMALL).min(SMALL), &|_| ());
                if result.complete || result.found.is_some() || most.is_some_and(|most| most <= SMALL) {
                    sweep.done.insert(0, result);
                } else {
                    sweep.parts = split(trial);
                }
            }
        }
        sweep
    }

    /// Whether it can be what a search wrote: parts of the kind that its strategy has, and results of parts that are there.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let of_its_kind = |part: &Part| match (part, self.how) {
            (Part::Under(_), How::Exhaustive { .. }) => true,
            (Part::Range(from, to), How::Random { .. } | How::Pct { .. }) => from < to,
            _ => false,
        };
        self.parts.iter().all(of_its_kind) && self.done.keys().all(|part| *part < self.parts.len())
    }

    /// How many parts there are, and how many of them are done.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.parts.len(), self.done.len())
    }

    /// Runs the parts of a shard that are not done, on all cores of rayon's current pool.
    ///
    /// `progress` hears of runs as they are done, `checkpoint` gets the sweep after every part.
    pub fn run(
        &mut self,
        trial: &dyn Trial,
        shard: Shard,
        progress: &(dyn Fn(u64) + Sync),
        checkpoint: &(dyn Fn(&Sweep) + Sync),
    ) {
        let todo: Vec<usize> =
            (0..self.parts.len()).filter(|part| shard.has(*part) && !self.done.contains_key(part)).collect();
        let found = self.done.iter().find(|(_, result)| result.found.is_some()).map_or(usize::MAX, |(part, _)| *part);
        // Parts behind one that found something need not be run: the first of them is the result.
        let first = AtomicUsize::new(found);
        let runs = AtomicU64::new(0);
        let shared = Mutex::new(self.clone());
        todo.into_par_iter().for_each(|part| {
            if part > first.load(Ordering::Relaxed) {
                return;
            }
            let most = match self.how {
                How::Exhaustive { most, .. } => most.unwrap_or(u64::MAX),
                _ => u64::MAX,
            };
            let result = self.run_part(trial, part, most, &|more| {
                progress(runs.fetch_add(more, Ordering::Relaxed) + more);
            });
            if result.found.is_some() {
                first.fetch_min(part, Ordering::Relaxed);
            }
            let mut shared = shared.lock();
            shared.done.insert(part, result);
            checkpoint(&shared);
        });
        *self = shared.into_inner();
        // Whatever happened to run behind the first finding is forgotten, so that any number of cores leaves the same.
        let first = first.into_inner();
        self.done.retain(|part, _| *part <= first);
    }

    fn run_part(&self, trial: &dyn Trial, part: usize, most: u64, progress: &dyn Fn(u64)) -> PartResult {
        let mut before = 0;
        let mut tell = |runs: u64| {
            progress(runs - before);
            before = runs;
        };
        let verdict = match (&self.parts[part], self.how) {
            (Part::Under(prefix), How::Exhaustive { preemptions, steps, .. }) => {
                search(trial, Exhaustive::under(Bounds { preemptions, steps }, prefix.clone()), most, &mut tell)
            }
            (Part::Range(start, end), How::Random { seed, .. }) => {
                search(trial, Random::new(seed, *start..*end), most, &mut tell)
            }
            (Part::Range(start, end), How::Pct { seed, depth, .. }) => {
                search(trial, Pct::new(seed, *start..*end, depth, self.steps), most, &mut tell)
            }
            _ => unreachable!("a plan has parts of its own kind"),
        };
        let executions = verdict.executions();
        tell(executions);
        let none = PartResult { executions, repeated: 0, cut: 0, complete: false, found: None };
        match verdict {
            Verdict::Proved { given_up: GivenUp { repeated, cut }, .. } => {
                PartResult { repeated, cut, complete: cut == 0, ..none }
            }
            // All numbers of a range were run: that is as complete as a range gets.
            Verdict::NotFound { .. } => PartResult { complete: matches!(self.parts[part], Part::Range(..)), ..none },
            Verdict::Violated { finding, .. } => PartResult { found: Some(finding.choices.answers), ..none },
        }
    }

    /// Adds what another shard of the same search has done.
    ///
    /// # Errors
    /// [`OtherSweep`] if it is no shard of this search.
    pub fn merge(&mut self, other: &Sweep) -> Result<(), OtherSweep> {
        if (&self.how, self.steps, &self.parts) != (&other.how, other.steps, &other.parts) {
            return Err(OtherSweep);
        }
        self.done.extend(other.done.clone());
        let first = self.done.iter().find(|(_, result)| result.found.is_some()).map(|(part, _)| *part);
        if let Some(first) = first {
            self.done.retain(|part, _| *part <= first);
        }
        Ok(())
    }

    /// What the whole says; `None` as long as parts are missing that could change it.
    #[must_use]
    pub fn verdict(&self, trial: &dyn Trial) -> Option<Verdict> {
        let mut executions = 0;
        let mut given_up = GivenUp::default();
        let mut complete = true;
        for part in 0..self.parts.len() {
            let result = self.done.get(&part)?;
            executions += result.executions;
            given_up.repeated += result.repeated;
            given_up.cut += result.cut;
            complete &= result.complete;
            if let Some(answers) = &result.found {
                let finding: Finding = run_once(trial, Follow::new(answers.clone()));
                return Some(Verdict::Violated { executions, finding: Box::new(finding) });
            }
        }
        Some(match self.how {
            How::Exhaustive { .. } if complete => Verdict::Proved { executions, given_up },
            _ => Verdict::NotFound { executions },
        })
    }
}

/// Plans and runs a search on all cores, and says what came of it.
pub fn explore(trial: &dyn Trial, how: How, progress: &(dyn Fn(u64) + Sync)) -> Verdict {
    let mut sweep = Sweep::plan(trial, how);
    sweep.run(trial, Shard::ALL, progress, &|_| ());
    sweep.verdict(trial).expect("all parts were run")
}

/// Follows answers, and stops at the first question behind them.
struct Frontier {
    answers: VecDeque<u32>,
    /// How many answers that question has.
    next: std::rc::Rc<std::cell::Cell<u32>>,
}

impl Chooser for Frontier {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        if let Some(answer) = self.answers.pop_front() {
            return answer;
        }
        if self.next.get() == 0 {
            self.next.set(n);
        }
        // Only at a point can a run be stopped; what else is asked before that is answered, and forgotten.
        if matches!(question, Question::Lane(_)) { STOP } else { 0 }
    }
}

/// The beginnings of all runs, at least [`PARTS`] of them if there are as many, in the order of their answers.
fn split(trial: &dyn Trial) -> Vec<Part> {
    let mut open = VecDeque::from([Vec::new()]);
    let mut whole = Vec::new();
    while open.len() + whole.len() < PARTS {
        let Some(beginning) = open.pop_front() else { break };
        let next = std::rc::Rc::new(std::cell::Cell::new(0));
        trial.run(Frontier { answers: beginning.clone().into(), next: next.clone() }.lent());
        if next.get() == 0 {
            whole.push(beginning);
            continue;
        }
        open.extend((0..next.get()).map(|answer| [beginning.as_slice(), &[answer]].concat()));
    }
    whole.extend(open);
    whole.sort();
    whole.into_iter().map(Part::Under).collect()
}
