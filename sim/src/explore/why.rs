//! Why a run went wrong: the step from which on it was lost, and the nearest run that passes.

use rand_chacha::ChaCha8Rng;

use super::random::{draw, generator};
use super::{Finding, Trial, run_once};
use crate::choice::{Chooser, Follow, Question};

/// Continuations that are tried behind each beginning.
const CONTINUATIONS: u64 = 32;
/// As many of them must fail to call it lost: nearly all.
const NEARLY_ALL: u64 = 29;

/// What re-running beginnings of a failing run told.
#[derive(Clone, Debug)]
pub struct Why {
    /// From this step on nearly every continuation fails. `None`: not even the whole run, continued at random, does.
    pub lost_in: Option<u64>,
    /// For each decision of the run: the step in which it was taken, and how many of [`Why::of`] continuations behind it fail.
    pub failing: Vec<(u64, u64)>,
    /// Continuations tried behind each decision.
    pub of: u64,
    /// A run that passes and differs in one decision; of several, the one that differs last.
    pub nearest: Option<Nearest>,
}

/// A run that passes, and what it decides differently.
#[derive(Clone, Debug)]
pub struct Nearest {
    /// The step in which it decides differently.
    pub step: u64,
    /// The run.
    pub run: Finding,
}

/// A beginning as prescribed, then random.
struct Then {
    beginning: Follow,
    left: usize,
    rng: ChaCha8Rng,
}

impl Chooser for Then {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        if self.left > 0 {
            self.left -= 1;
            return self.beginning.choose(question, n);
        }
        draw(&mut self.rng, question, n)
    }
}

/// Looks for the reasons of a finding. Costs some 32 runs for each decision; the draws come from a fixed seed.
#[must_use]
pub fn why(trial: &dyn Trial, finding: &Finding) -> Why {
    let rule = finding.rule();
    let choices = &finding.choices;
    let decided = |at: usize| choices.answers[..at].to_vec();
    let count = decisions(finding);
    let fails = |kept: usize, run: u64| {
        let stream = kept as u64 * CONTINUATIONS + run;
        let then = Then { beginning: Follow::new(decided(kept)), left: kept, rng: generator(0, stream) };
        run_once(trial, then).found.iter().any(|violation| Some(violation.rule) == rule)
    };
    let failing: Vec<(u64, u64)> = (0..=count)
        .map(|kept| {
            let step = if kept == 0 { 0 } else { choices.at[kept - 1] };
            (step, (0..CONTINUATIONS).filter(|run| fails(kept, *run)).count() as u64)
        })
        .collect();
    let lost = failing.iter().rposition(|(_, failed)| *failed < NEARLY_ALL).map_or(0, |last| last + 1);
    let lost_in = failing.get(lost).map(|(step, _)| (*step).max(1));
    Why { lost_in, failing, of: CONTINUATIONS, nearest: nearest(trial, finding) }
}

/// Decisions behind the finding do not matter any more.
fn decisions(finding: &Finding) -> usize {
    let choices = &finding.choices;
    choices.at.iter().take_while(|step| **step <= finding.step()).count().min(choices.answers.len())
}

/// The nearest run that passes, alone: see [`Why::nearest`].
#[must_use]
pub fn nearest(trial: &dyn Trial, finding: &Finding) -> Option<Nearest> {
    let choices = &finding.choices;
    for at in (0..decisions(finding)).rev() {
        // The nearest answer first: of a size that is too large, the largest that is not.
        let mut others: Vec<u32> = (0..choices.of[at]).filter(|answer| *answer != choices.answers[at]).collect();
        others.sort_by_key(|answer| answer.abs_diff(choices.answers[at]));
        for instead in others {
            let mut answers = choices.answers[..at].to_vec();
            answers.push(instead);
            let calm = answers.clone();
            answers.extend(&choices.answers[at + 1..]);
            for answers in [answers, calm] {
                let run = run_once(trial, Follow::new(answers));
                if run.found.is_empty() {
                    return Some(Nearest { step: choices.at[at], run });
                }
            }
        }
    }
    None
}
