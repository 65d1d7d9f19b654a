//! One design against properties: what is to be searched, how far it is, and what came of it.

use std::collections::BTreeMap;

use fork_model::Design;
use serde::{Deserialize, Serialize};
use sim::explore::parallel::{How, Shard, Sweep};
use sim::explore::shrink::Size;
use sim::explore::why::{Why, why};
use sim::explore::{Finding, GivenUp, Verdict};

use crate::input::InputError;
use crate::lab::run::{Loaded, Watch, run};
use crate::lab::spec::{Source, Spec};
use crate::property::{CaseTrial, Found, Property};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The design.
    pub design: Design,
    /// The user's scenario; `None`: each property in its own cases.
    pub source: Option<Source>,
    /// Which properties.
    pub properties: Vec<&'static Property>,
    /// How to search.
    pub how: How,
    /// Allocations that may fail in a run; `None`: as each case says, none in a scenario of the user's.
    pub faults: Option<u32>,
}

/// One search: a property in a scenario.
struct Job {
    property: &'static Property,
    scenario: String,
    trial: CaseTrial,
}

impl Question {
    fn jobs(&self) -> Result<Vec<Job>, InputError> {
        let mut jobs = Vec::new();
        for property in self.properties.iter().filter(|property| (property.silent)(&self.design).is_none()) {
            if let Some(source) = &self.source {
                let trial = CaseTrial::in_scenario(property, source.clone(), self.faults.unwrap_or(0), self.design)?;
                let spec = Spec::new(source.clone()).to_string();
                let scenario = spec.split(' ').nth(1).unwrap_or_default().to_owned();
                jobs.push(Job { property, scenario, trial });
                continue;
            }
            for case in property.cases {
                let case = crate::property::Case { faults: self.faults.unwrap_or(case.faults), ..*case };
                let trial = CaseTrial::new(property, case, self.design);
                jobs.push(Job { property, scenario: case.scenario.to_owned(), trial });
            }
        }
        Ok(jobs)
    }
}

/// What the searches are about, as text.
fn subject(jobs: &[Job]) -> Vec<String> {
    jobs.iter().map(|job| job.trial.subject()).collect()
}

/// The version of the files that hold a [`State`].
pub const VERSION: &str = "forklab check 2";

/// How far a check is: written to a file, it can be gone on with, or merged with other shards of the same check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What kind of file this is.
    pub forklab: String,
    /// The design, as text.
    pub design: String,
    /// The scenario, as a replay line names it; none: each property in its own.
    pub scenario: Option<String>,
    /// What the searches are about, as text: an edited scenario, or another version of forklab, is another search.
    pub subject: Vec<String>,
    /// The properties, by id.
    pub properties: Vec<String>,
    /// How it searches.
    pub how: How,
    /// Allocations that may fail, if that was said.
    pub faults: Option<u32>,
    /// Which shard wrote it, such as `2/8`; the whole is `1/1`.
    pub shard: String,
    /// The searches, in the order of the question.
    pub sweeps: Vec<Sweep>,
}

impl State {
    /// What was asked when this was written.
    ///
    /// # Errors
    /// What is wrong, if another version wrote it, or somebody who is not forklab.
    pub fn question(&self) -> Result<Question, (String, String)> {
        let wrong = |found: &str, expected: &str| (found.to_owned(), expected.to_owned());
        if self.forklab != VERSION {
            return Err(wrong(&format!("{:?}", self.forklab), VERSION));
        }
        let design = self.design.parse().map_err(|_| wrong(&self.design, "a design"))?;
        let source = match &self.scenario {
            None => None,
            Some(word) => {
                let spec: Spec = format!("v1 {word}").parse().map_err(|_| wrong(word, "a scenario"))?;
                Some(spec.source)
            }
        };
        let property = |id: &String| Property::from_id(id).ok_or_else(|| wrong(id, "the id of a property"));
        let properties = self.properties.iter().map(property).collect::<Result<_, _>>()?;
        Ok(Question { design, source, properties, how: self.how, faults: self.faults })
    }

    /// That this can be how far these searches are.
    fn is_of(&self, jobs: &[Job], called: &str) -> Result<(), InputError> {
        let sound = self.sweeps.len() <= jobs.len() && self.sweeps.iter().all(Sweep::is_sound);
        if self.subject == subject(jobs) && sound {
            return Ok(());
        }
        let expected = "one of the same scenario, unchanged, and of this version";
        Err(InputError::new(called, "the state of another search", expected))
    }

    /// Takes in what another shard has done.
    ///
    /// # Errors
    /// If it is not a shard of the same check: what was found and what was expected.
    pub fn merge(&mut self, other: &State) -> Result<(), (String, String)> {
        let same = self.forklab == other.forklab
            && (&self.design, &self.scenario, &self.properties, self.faults)
                == (&other.design, &other.scenario, &other.properties, other.faults)
            && self.subject == other.subject
            && self.sweeps.len() == other.sweeps.len();
        let foreign = || ("a part of another check".to_owned(), format!("a shard of the check of {}", self.design));
        if !same {
            return Err(foreign());
        }
        for (mine, theirs) in self.sweeps.iter_mut().zip(&other.sweeps) {
            mine.merge(theirs)
                .map_err(|_| ("a part of another check".to_owned(), "a shard of the same search".to_owned()))?;
        }
        Ok(())
    }
}

/// Hears of a check as it goes on.
pub trait Progress: Sync {
    /// A search begins: the n-th of so many.
    fn begins(&self, _nth: usize, _of: usize, _property: &Property, _scenario: &str) {}
    /// So many runs of it are done.
    fn runs(&self, _runs: u64) {}
    /// So many of its parts are done.
    fn parts(&self, _done: usize, _of: usize) {}
    /// Some part was done: the time to write it down.
    fn checkpoint(&self, _state: &State) {}
}

/// Nobody listens.
impl Progress for () {}

/// Runs a check, or what a shard has of it, going on from `before` if there is something to go on from.
///
/// # Errors
/// [`InputError`] of the scenario.
pub fn check(
    question: &Question,
    shard: Shard,
    before: Option<State>,
    progress: &dyn Progress,
) -> Result<State, InputError> {
    let jobs = question.jobs()?;
    let scenario = question.source.as_ref().and(jobs.first()).map(|job| job.scenario.clone());
    if let Some(before) = &before {
        before.is_of(&jobs, "<checkpoint>")?;
    }
    let mut state = before.unwrap_or_else(|| State {
        forklab: VERSION.to_owned(),
        design: question.design.to_string(),
        scenario,
        subject: subject(&jobs),
        properties: question.properties.iter().map(|property| property.id.to_owned()).collect(),
        how: question.how,
        faults: question.faults,
        shard: shard.to_string(),
        sweeps: Vec::new(),
    });
    for (nth, job) in jobs.iter().enumerate() {
        progress.begins(nth + 1, jobs.len(), job.property, &job.scenario);
        if state.sweeps.len() == nth {
            state.sweeps.push(Sweep::plan(&job.trial, question.how));
        }
        let rest = State { sweeps: state.sweeps[..nth].to_vec(), ..state.clone() };
        let mut sweep = state.sweeps[nth].clone();
        sweep.run(&job.trial, shard, &|runs| progress.runs(runs), &|sweep| {
            let (of, done) = sweep.progress();
            progress.parts(done, of);
            let sweeps = rest.sweeps.iter().chain([sweep]).cloned().collect();
            progress.checkpoint(&State { sweeps, ..rest.clone() });
        });
        state.sweeps[nth] = sweep;
    }
    progress.checkpoint(&state);
    Ok(state)
}

/// What a check says.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// The design.
    pub design: String,
    /// How it was searched.
    pub how: How,
    /// Allocations that may fail in a run, if that was said; else as each case has it.
    pub faults: Option<u32>,
    /// How many properties are violated.
    pub violated: usize,
    /// Each property, in the order of the question.
    pub properties: Vec<PropertyAnswer>,
}

impl Answer {
    /// What was found, each under its property.
    pub fn counterexamples(&self) -> impl Iterator<Item = (&PropertyAnswer, &Counterexample)> {
        self.properties.iter().flat_map(|property| {
            property.cases.iter().filter_map(move |case| Some((property, case.counterexample.as_ref()?)))
        })
    }
}

/// What a check says of a property.
#[derive(Clone, Debug, Serialize)]
pub struct PropertyAnswer {
    /// Its id.
    pub id: &'static str,
    /// What goes wrong, in a few words.
    pub title: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// The worst of its cases.
    pub found: Found,
    /// Why it has nothing to say to this design, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<&'static str>,
    /// Complete runs, of all cases.
    pub executions: u64,
    /// Where it was looked for.
    pub cases: Vec<CaseAnswer>,
}

/// What was found in one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct CaseAnswer {
    /// The scenario.
    pub scenario: String,
    /// What came of it.
    pub found: Found,
    /// Complete runs.
    pub executions: u64,
    /// Runs of a complete search that only repeated another one.
    pub repeated: u64,
    /// Runs that were cut off at the bound on steps: the proof is about shorter ones.
    pub cut_off: u64,
    /// The smallest run that breaks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterexample: Option<Counterexample>,
}

/// A run that breaks a property, made as small as could be.
#[derive(Clone, Debug, Serialize)]
pub struct Counterexample {
    /// What broke.
    pub text: String,
    /// "2 tasks, 8 steps, 1 context switch".
    pub size: String,
    /// In which step.
    pub step: u64,
    /// Paste it after `forklab replay`.
    pub replay: String,
    /// Of that replay.
    pub trace_hash: String,
    /// From this step on nearly every continuation breaks it.
    pub lost_in: Option<u64>,
    /// The nearest run that does not: it differs in one decision, about this step.
    pub nearest: Option<NearestAnswer>,
}

/// A run that keeps the property and differs in one decision.
#[derive(Clone, Debug, Serialize)]
pub struct NearestAnswer {
    /// In this step.
    pub step: u64,
    /// Paste it after `forklab replay`.
    pub replay: String,
}

impl State {
    /// What the whole says; `None` as long as shards are missing. Runs each counterexample again, makes it small, and
    /// asks why.
    ///
    /// # Errors
    /// [`InputError`] of the scenario.
    pub fn answer(&self, question: &Question) -> Result<Option<Answer>, InputError> {
        let jobs = question.jobs()?;
        if jobs.len() != self.sweeps.len() {
            return Ok(None);
        }
        self.is_of(&jobs, "<state>")?;
        let mut cases: BTreeMap<&str, Vec<CaseAnswer>> = BTreeMap::new();
        for (job, sweep) in jobs.into_iter().zip(&self.sweeps) {
            let Some(verdict) = sweep.verdict(&job.trial) else { return Ok(None) };
            let id = job.property.id;
            cases.entry(id).or_default().push(case_answer(job, &verdict)?);
        }
        let properties: Vec<_> = question
            .properties
            .iter()
            .map(|property| {
                let cases = cases.remove(property.id).unwrap_or_default();
                PropertyAnswer {
                    id: property.id,
                    title: property.title,
                    rule: property.rule,
                    found: cases.iter().map(|case| case.found).max().unwrap_or(Found::Silent),
                    silent: (property.silent)(&question.design),
                    executions: cases.iter().map(|case| case.executions).sum(),
                    cases,
                }
            })
            .collect();
        let violated = properties.iter().filter(|property| property.found == Found::Violated).count();
        Ok(Some(Answer { design: self.design.clone(), how: self.how, faults: self.faults, violated, properties }))
    }
}

fn case_answer(job: Job, verdict: &Verdict) -> Result<CaseAnswer, InputError> {
    let given_up = match verdict {
        Verdict::Proved { given_up, .. } => *given_up,
        _ => GivenUp::default(),
    };
    let counterexample = match verdict.finding() {
        Some(finding) => Some(counterexample(job.trial, finding)?),
        None => None,
    };
    Ok(CaseAnswer {
        scenario: job.scenario,
        found: verdict.into(),
        executions: verdict.executions(),
        repeated: given_up.repeated,
        cut_off: given_up.cut,
        counterexample,
    })
}

/// The smallest run that finds the same, run again by its line, and why it came to that.
///
/// # Errors
/// [`InputError`] if its line cannot be run: a bug, since it was just made.
pub fn counterexample(trial: CaseTrial, finding: &Finding) -> Result<Counterexample, InputError> {
    if finding.found.is_empty() {
        let found = "the answers of a run that finds nothing";
        return Err(InputError::new("<state>", found, "those of a run that breaks the property"));
    }
    let (trial, small) = trial.shrink(finding);
    let size: Size = small.size();
    let Why { lost_in, nearest, .. } = why(&trial, &small);
    let report = run(&Loaded::new(trial.spec(&small), |_| ())?, Watch::default())?;
    let nearest =
        nearest.map(|nearest| NearestAnswer { step: nearest.step, replay: trial.spec(&nearest.run).to_string() });
    Ok(Counterexample {
        text: small.found[0].to_string(),
        size: size.to_string(),
        step: small.step(),
        replay: report.replay,
        trace_hash: report.trace_hash,
        lost_in,
        nearest,
    })
}
