//! Searching all runs of a small scenario, or many of a large one.
//!
//! A [`Trial`] is run again and again, each time from its start and under other answers. Who gives the answers is a
//! [`Strategy`], one a file; what it found is a [`Verdict`] that says what it means. The answers of a run, in order, are one
//! list of numbers ([`Choices`]): schedule, faults and all else that was asked.
//!
//! | module | strategy |
//! |---|---|
//! | [`exhaustive`] | every run within stated bounds; of runs that differ only in the order of steps that commute, one |
//! | [`random`] | uniform draws from a seed |
//! | [`pct`] | random priorities with few changes: finds rare schedules of few switches, with a known probability |
//! | [`choice::Follow`](crate::choice::Follow) | one list of answers: replay |
//!
//! and, on top of them:
//!
//! | module | does |
//! |---|---|
//! | [`parallel`] | the same on many cores, as shards, and in parts that can be resumed: with the same result for any number of them |
//! | [`shrink`] | a shorter list of answers that finds the same |
//! | [`why`] | the step from which on it was lost, and the nearest run that passes |

use std::cell::RefCell;
use std::rc::Rc;

use crate::choice::{Choices, Chooser, Draws, Follow, Lent, Needs, Question, Recorder, STOP};
use crate::lane::LaneName;
use crate::touch::{Access, Object};
use crate::violation::Violation;

pub mod exhaustive;
pub mod parallel;
pub mod pct;
mod race;
pub mod random;
pub mod shrink;
pub mod why;

/// What is explored: one run from its first step to its last. The same answers give the same run.
pub trait Trial: Sync {
    /// Runs it under this chooser.
    fn run(&self, chooser: Lent) -> Ran;
}

impl<F: Fn(Lent) -> Ran + Sync> Trial for F {
    fn run(&self, chooser: Lent) -> Ran {
        self(chooser)
    }
}

/// What came of one run.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// The broken rules that are looked for, in order. Empty: it passed. Of a run that was broken off ([`STOP`]) those up
    /// to there: nobody knows how it would have ended.
    pub found: Vec<Violation>,
    /// Steps of the run.
    pub steps: u64,
    /// [`Machine::placement_matters`](crate::Machine::placement_matters).
    pub placement: bool,
}

/// How runs are chosen, one after the other.
pub trait Strategy: Chooser {
    /// Prepares for another run, the first one included. False: there is none that is not done.
    fn next(&mut self) -> bool;

    /// Hears what came of the run that it chose.
    fn ran(&mut self, _ran: &Ran) -> Counted {
        Counted::Run
    }

    /// What gives the answers of the current run again, by itself. `None`: whoever wants them must note them. One that has
    /// [draws](Chooser::draws) for the machine must have it, as its answers cannot be noted.
    fn again(&self) -> Option<Lent> {
        None
    }

    /// Once [`Strategy::next`] has said no: whether that was everything, and how much of it was given up.
    fn complete(&self) -> Option<GivenUp> {
        None
    }
}

/// Runs of a complete search that were not run to their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// They only repeated another run in another order.
    pub repeated: u64,
    /// They were longer than the bound on steps. Not 0: the proof is about runs up to that length.
    pub cut: u64,
}

/// What a run counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A run of its own.
    Run,
    /// The beginning of a run that was seen already, in another order.
    Pruned,
    /// The search begins anew: it learnt something that it must know from the start.
    Restart,
}

/// What a search says. Each variant has the number of runs it stands on.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// No run within the bounds of the strategy finds anything.
    Proved {
        /// Complete runs.
        executions: u64,
        /// Others.
        given_up: GivenUp,
    },
    /// Nothing was found in so many runs; others may.
    NotFound {
        /// Complete runs.
        executions: u64,
    },
    /// Found, in the last of these runs.
    Violated {
        /// Complete runs, the one that found it included.
        executions: u64,
        /// What, and how to see it again.
        finding: Box<Finding>,
    },
}

impl Verdict {
    /// How many complete runs it stands on.
    #[must_use]
    pub fn executions(&self) -> u64 {
        match self {
            Verdict::Proved { executions, .. }
            | Verdict::NotFound { executions }
            | Verdict::Violated { executions, .. } => *executions,
        }
    }

    /// The finding, if there is one.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Verdict::Violated { finding, .. } => Some(finding),
            _ => None,
        }
    }
}

/// One run that found something.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its answers.
    pub choices: Choices,
    /// What it found.
    pub found: Vec<Violation>,
    /// Its steps.
    pub steps: u64,
}

/// A strategy, which outlives the runs it chooses, and the answers that it gave in the current one.
pub struct Asked<S> {
    /// The strategy.
    pub strategy: S,
    /// To questions with a choice; none if it lends draws to the machine: it can give them again.
    pub answers: Vec<u32>,
    /// Whether it broke the run off.
    stopped: bool,
}

impl<S: Strategy> Asked<S> {
    /// For any number of runs.
    #[must_use]
    pub fn new(strategy: S) -> Rc<RefCell<Asked<S>>> {
        Rc::new(RefCell::new(Asked { strategy, answers: Vec::new(), stopped: false }))
    }

    /// Prepares for another run: see [`Strategy::next`].
    pub fn begin(&mut self) -> bool {
        self.answers.clear();
        self.stopped = false;
        self.strategy.next()
    }

    /// Gives the answers of the current run again.
    #[must_use]
    pub fn again(&self) -> Lent {
        self.strategy.again().unwrap_or_else(|| Follow::new(self.answers.clone()).lent())
    }
}

impl<S: Chooser> Chooser for Asked<S> {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        let answer = self.strategy.choose(question, n);
        if answer == STOP {
            self.stopped = true;
        } else if n > 1 {
            self.answers.push(answer);
        }
        answer
    }

    fn stepped(&mut self, lane: LaneName) {
        self.strategy.stepped(lane);
    }

    fn needs(&self) -> Needs {
        self.strategy.needs()
    }

    fn touched(&mut self, object: Object, access: Access) {
        self.strategy.touched(object, access);
    }

    fn woke(&mut self, lane: LaneName) {
        self.strategy.woke(lane);
    }

    fn blocked(&mut self, lane: LaneName, object: Object, access: Access) {
        self.strategy.blocked(lane, object, access);
    }

    fn draws(&mut self) -> Option<Draws> {
        self.strategy.draws()
    }

    fn take_back(&mut self, draws: Draws) {
        self.strategy.take_back(draws);
    }

    fn bits(&mut self) -> u64 {
        self.strategy.bits()
    }
}

/// Runs a trial once, and notes its answers.
pub fn run_once(trial: &dyn Trial, chooser: impl Chooser + 'static) -> Finding {
    let recorder = Recorder::new(chooser);
    let choices = recorder.choices();
    let ran = trial.run(recorder.lent());
    Finding { choices: choices.take(), found: ran.found, steps: ran.steps }
}

/// Runs a trial under a strategy until something is found, there is no run left, or `most` runs are done.
///
/// `progress` hears of the number of complete runs now and then.
pub fn search<S: Strategy + 'static>(
    trial: &dyn Trial,
    strategy: S,
    most: u64,
    mut progress: impl FnMut(u64),
) -> Verdict {
    let asked = Asked::new(strategy);
    let mut executions = 0;
    loop {
        if executions >= most {
            return Verdict::NotFound { executions };
        }
        {
            let asked = &mut *asked.borrow_mut();
            if !asked.begin() {
                return match asked.strategy.complete() {
                    Some(given_up) => Verdict::Proved { executions, given_up },
                    None => Verdict::NotFound { executions },
                };
            }
        }
        let ran = trial.run(asked.clone().into());
        let counted = asked.borrow_mut().strategy.ran(&ran);
        match counted {
            Counted::Run => executions += 1,
            Counted::Pruned => continue,
            Counted::Restart => {
                executions = 0;
                continue;
            }
        }
        if !ran.found.is_empty() {
            let asked = asked.borrow();
            let finding = run_once(trial, asked.again());
            if asked.stopped {
                // It was cut off behind what it found, and is told to its end now.
                assert_eq!(finding.found.first(), ran.found.first(), "the same answers begin the same run");
            } else {
                assert_eq!(finding.found, ran.found, "the same answers give the same run");
            }
            return Verdict::Violated { executions, finding: Box::new(finding) };
        }
        if executions.is_multiple_of(64) {
            progress(executions);
        }
    }
}
