//! A shorter list of answers that finds the same.
//!
//! The calm answer to every question is 0: whoever runs goes on, nothing fails, the first branch is taken. So a list is made
//! shorter from its end, and simpler by zeros; what is kept must break the same rule.

use std::collections::BTreeSet;
use std::fmt;

use super::exhaustive::{Bounds, Exhaustive};
use super::{Finding, Trial, run_once, search};
use crate::choice::Follow;
use crate::violation::Rule;

/// How large a finding is, the most important first: a smaller one is easier to understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Allocations that fail.
    pub faults: usize,
    /// How often one lane follows another, up to the finding.
    pub switches: usize,
    /// Lanes that step, up to the finding.
    pub tasks: usize,
    /// Steps up to the finding.
    pub steps: u64,
    /// The sum of the answers to other branches: the size of the input.
    pub picks: u64,
    /// Answers that are not 0.
    pub decisions: usize,
}

impl fmt::Display for Size {
    /// "2 tasks, 8 steps, 1 context switch".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |n: u64| if n == 1 { "" } else { "s" };
        write!(f, "{} task{}, {} step{}, ", self.tasks, s(self.tasks as u64), self.steps, s(self.steps))?;
        write!(f, "{} context switch{}", self.switches, if self.switches == 1 { "" } else { "es" })?;
        match self.faults {
            0 => Ok(()),
            n => write!(f, ", {n} failed allocation{}", s(n as u64)),
        }
    }
}

impl Finding {
    /// The rule that broke first.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        self.found.first().map(|violation| violation.rule)
    }

    /// The step of the finding; of one that was judged at the end, the last step.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.found.first().map_or(self.steps, |violation| violation.step.min(self.steps))
    }

    /// How large it is.
    #[must_use]
    pub fn size(&self) -> Size {
        let schedule = self.choices.schedule.up_to(self.step());
        let lanes: BTreeSet<_> = schedule.runs().iter().map(|(lane, _)| *lane).collect();
        Size {
            faults: self.choices.faults.len(),
            switches: schedule.switches(),
            tasks: lanes.len(),
            steps: schedule.steps(),
            picks: self.choices.picks.iter().map(|(_, answer)| u64::from(*answer)).sum(),
            decisions: self.choices.answers.iter().filter(|answer| **answer != 0).count(),
        }
    }
}

/// Shrinks while anything helps. `most` bounds the runs that may be spent.
#[must_use]
pub fn shrink(trial: &dyn Trial, finding: &Finding, most: u64) -> Finding {
    let mut shrinker = Shrinker { trial, best: finding.clone(), left: most };
    shrinker.fewer_switches();
    while shrinker.left > 0 && (shrinker.cut() | shrinker.calm() | shrinker.lower()) {}
    shrinker.best
}

struct Shrinker<'a> {
    trial: &'a dyn Trial,
    best: Finding,
    left: u64,
}

impl Shrinker<'_> {
    /// Takes these answers if they find the same and are smaller.
    fn try_answers(&mut self, answers: Vec<u32>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let tried = run_once(self.trial, Follow::new(answers));
        self.take(tried)
    }

    fn take(&mut self, mut tried: Finding) -> bool {
        let smaller = tried.rule() == self.best.rule() && tried.size() < self.best.size();
        if smaller {
            // What follows the last decision is calm anyway.
            let used = tried.choices.answers.iter().rposition(|answer| *answer != 0).map_or(0, |last| last + 1);
            tried.choices.answers.truncate(used);
            self.best = tried;
        }
        smaller
    }

    /// With a bound on preemptions a complete search is short: the smallest bound under which it finds the same.
    fn fewer_switches(&mut self) {
        for preemptions in 0..3 {
            if preemptions as usize >= self.best.size().switches || self.left == 0 {
                return;
            }
            let bounds = Bounds { preemptions: Some(preemptions), ..Bounds::default() };
            let rule = self.best.rule();
            let only = |chooser: crate::choice::Lent| {
                let mut ran = self.trial.run(chooser);
                ran.found.retain(|violation| Some(violation.rule) == rule);
                ran
            };
            let spend = self.left / 4;
            let verdict = search(&only, Exhaustive::new(bounds), spend, |_| ());
            self.left -= verdict.executions().min(self.left);
            if let Some(found) = verdict.finding()
                && self.take(found.clone())
            {
                return;
            }
        }
    }

    /// The end of the list, by halves.
    fn cut(&mut self) -> bool {
        let (mut any, mut part) = (false, self.best.choices.answers.len() / 2);
        while part > 0 {
            let keep = self.best.choices.answers.len().saturating_sub(part);
            if self.try_answers(self.best.choices.answers[..keep].to_vec()) {
                any = true;
            } else {
                part /= 2;
            }
        }
        any
    }

    /// Single decisions, the last first.
    fn calm(&mut self) -> bool {
        let (mut any, mut at) = (false, self.best.choices.answers.len());
        while at > 0 {
            at = (at - 1).min(self.best.choices.answers.len());
            if self.best.choices.answers.get(at).is_some_and(|answer| *answer != 0) {
                let mut answers = self.best.choices.answers.clone();
                answers[at] = 0;
                any |= self.try_answers(answers.clone());
                answers.remove(at);
                any |= self.try_answers(answers);
            }
        }
        any
    }

    /// Large answers, by halves and then by one.
    fn lower(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.best.choices.answers.len() {
            for step in [2, 1] {
                while let Some(answer) = self.best.choices.answers.get(at).copied().filter(|answer| *answer > 1) {
                    let mut answers = self.best.choices.answers.clone();
                    answers[at] = if step == 2 { answer / 2 } else { answer - 1 };
                    if !self.try_answers(answers) {
                        break;
                    }
                    any = true;
                }
            }
        }
        any
    }
}
