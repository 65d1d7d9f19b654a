//! An exhibit of either wing as it is shown: searched, made small, replayed, mended, all of it just now.

use fork_model::Design;
use rayon::prelude::*;
use serde::Serialize;
use sim::explore::exhaustive::{Bounds, Exhaustive};
use sim::explore::parallel::{How, explore};
use sim::explore::pct::Pct;
use sim::explore::random::Random;
use sim::explore::shrink::shrink;
use sim::explore::why::{Why, why};
use sim::explore::{Finding, Trial, Verdict, search};
use sim::{Calm, Chooser};
use sim::{LaneName, Violation};

use super::defects;
use super::exhibits::{self, Exhibit, Mended};
use super::experiment::Experiment;
use super::story::{Line, StoryTrial, tell};
use crate::input::InputError;
use crate::lab::run::{Loaded, Watch, run};
use crate::property::CaseTrial;

/// Runs of a search at the most.
pub const LIMITS: Limits = Limits { exhaustive: 20_000, random: 2_000, pct: 2_000 };
/// Ordered points that a bug may need, for [`Pct`].
const DEPTH: u32 = 3;
/// Runs that making an experiment's finding small may take.
const SHRINKING: u64 = 4_000;
/// Runs of a proof at the most, in each part of it. What takes more is proved in a smaller scenario, and said to be.
const PROOF: u64 = 20_000;
const SMALL_PROOF: u64 = 50_000;

/// One exhibit, of the first wing or of the second.
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    /// What a mail, a commit or we said of a design.
    Said(&'static Exhibit),
    /// What the genuine functions do.
    Seen(&'static Experiment),
}

/// How many runs a search may take, by strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Every run, those that commute once.
    pub exhaustive: u64,
    /// Uniform random ones.
    pub random: u64,
    /// Random priorities.
    pub pct: u64,
}

/// How many runs it took until the exhibit was found, by strategy; `None`: it was not found in [`LIMITS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// See [`Limits`].
    pub exhaustive: Option<u64>,
    /// See [`Limits`].
    pub random: Option<u64>,
    /// See [`Limits`].
    pub pct: Option<u64>,
}

/// The words of a rule of the machine as a sentence, as those of a property are.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let stop = if words.ends_with('.') { "" } else { "." };
    format!("{}{}{stop}", first.collect::<String>(), letters.as_str())
}

/// What is known of an exhibit. Its JSON is an entry of `forklab museum --json`.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// `P18a`, `G16`.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// When it was said, or of which kernel it was seen.
    pub date: String,
    /// Who said it.
    pub who: &'static str,
    /// Message-Id, CVE or commit; or the file and the function of the kernel.
    pub source: &'static str,
    /// What happens, in a sentence or two.
    pub says: &'static str,
    /// The rule that it breaks, in a sentence.
    pub rule: String,
    /// Whether it was found, and found again by its replay line with the same trace.
    pub shown: bool,
    /// The line.
    pub replay: Option<String>,
    /// What was found.
    pub found: Option<String>,
    /// How large the smallest finding is, in words.
    pub size: Option<String>,
    /// Lanes that step, up to the finding.
    pub tasks: Option<usize>,
    /// Steps up to the finding.
    pub steps: Option<u64>,
    /// How often one lane follows another.
    pub switches: Option<usize>,
    /// Allocations that fail.
    pub faults: Option<usize>,
    /// SHA-256 of the trace of the smallest finding.
    pub trace_hash: Option<String>,
    /// Runs until it was found, by strategy.
    pub search: Effort,
    /// How many runs each might take.
    pub search_limits: Limits,
    /// What mends it.
    pub mended_by: Option<String>,
    /// Whether no run of what is mended finds anything: all of them were tried.
    pub mended_proved: bool,
    /// How many those are.
    pub mended_executions: Option<u64>,
    /// Where that was proved: the scenario and what is left out of it, or the experiment.
    pub mended_in: Option<String>,
    /// Why nothing mends it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<&'static str>,
}

/// All exhibits, wing by wing, in the order of their numbers.
#[must_use]
pub fn all() -> Vec<Piece> {
    exhibits::ALL.iter().map(Piece::Said).chain(defects::ALL.iter().map(Piece::Seen)).collect()
}

/// The exhibit of an id, or all of a property: `P18` for `P18a`, `P18b` …
///
/// # Errors
/// [`InputError`] with all ids.
pub fn named(id: &str) -> Result<Vec<Piece>, InputError> {
    let all = all();
    let same = |name: &str| name.eq_ignore_ascii_case(id);
    let of_property = |piece: &Piece| matches!(piece, Piece::Said(exhibit) if same(exhibit.property.id));
    let mut pieces: Vec<_> = all.iter().copied().filter(|piece| same(piece.id())).collect();
    if pieces.is_empty() {
        pieces = all.iter().copied().filter(of_property).collect();
    }
    if pieces.is_empty() {
        let ids: Vec<_> = all.iter().map(Piece::id).collect();
        let expected = format!("an exhibit: {}", ids.join(", "));
        return Err(InputError::new("<exhibit>", crate::input::quoted(id), expected));
    }
    Ok(pieces)
}

/// Shows them, on all cores, in this order. `done` hears of each when it is.
#[must_use]
pub fn show(pieces: &[Piece], done: &(dyn Fn(&Piece) + Sync)) -> Vec<Shown> {
    let one = |piece: &Piece| {
        let shown = piece.show();
        done(piece);
        shown
    };
    pieces.par_iter().map(one).collect()
}

/// The smallest finding, and the trial that it is of.
pub struct Smallest {
    trial: Box<dyn Found>,
    /// The finding.
    pub finding: Finding,
}

/// A trial of either wing, for what is done with a finding.
trait Found: Trial {
    /// The replay line.
    fn line(&self, finding: &Finding) -> String;
    /// The hash of its trace, as it was found.
    fn hash(&self, finding: &Finding) -> String;
    /// The same scenario under another design, if it is one.
    fn with_design(&self, _design: Design) -> Option<CaseTrial> {
        None
    }
}

impl Found for CaseTrial {
    fn line(&self, finding: &Finding) -> String {
        self.spec(finding).to_string()
    }

    fn hash(&self, finding: &Finding) -> String {
        self.trace_hash(finding)
    }

    fn with_design(&self, design: Design) -> Option<CaseTrial> {
        Some(self.under(design))
    }
}

impl Found for StoryTrial {
    fn line(&self, finding: &Finding) -> String {
        self.story(&finding.choices).to_string()
    }

    fn hash(&self, finding: &Finding) -> String {
        StoryTrial::hash(self, &finding.choices)
    }
}

/// Why a run failed, for people.
pub struct Reason {
    /// From this step on nearly every continuation fails.
    pub lost_in: Option<u64>,
    /// The nearest run that passes: in which step it decides otherwise, what, and its replay line.
    pub nearest: Option<(u64, String, String)>,
}

impl Smallest {
    /// The replay line.
    #[must_use]
    pub fn line(&self) -> String {
        self.trial.line(&self.finding)
    }

    /// Asks why.
    #[must_use]
    pub fn why(&self) -> Reason {
        let Why { lost_in, nearest, .. } = why(self.trial.as_ref(), &self.finding);
        let nearest = nearest.map(|nearest| {
            let line = self.trial.line(&nearest.run);
            (nearest.step, self.difference(&nearest.run), line)
        });
        Reason { lost_in, nearest }
    }

    /// What another run decides otherwise, in words.
    fn difference(&self, other: &Finding) -> String {
        let (ours, theirs) = (&self.finding.choices, &other.choices);
        let told = |line: String| match line.parse() {
            Ok(Line::Story(story)) => tell(&story, Watch::default()).ok(),
            _ => None,
        };
        if let (Some(ours), Some(theirs)) = (told(self.line()), told(self.trial.line(other)))
            && let Some((our, their)) = ours.asked.iter().zip(&theirs.asked).find(|(our, their)| our != their)
        {
            return format!("{}: {}, not {}", our.question, their.says, our.says);
        }
        let fails = |fault: &&(&str, u64), there: &[(&'static str, u64)]| !there.contains(fault);
        if let Some((site, nth)) = ours.faults.iter().find(|fault| fails(fault, &theirs.faults)) {
            return format!("allocation {nth} of {site} does not fail");
        }
        if let Some((site, nth)) = theirs.faults.iter().find(|fault| fails(fault, &ours.faults)) {
            return format!("allocation {nth} of {site} fails");
        }
        let padded = |answers: &[u32], at: usize| answers.get(at).copied().unwrap_or(0);
        let longest = ours.answers.len().max(theirs.answers.len());
        let at = (0..longest).find(|at| padded(&ours.answers, *at) != padded(&theirs.answers, *at)).unwrap_or(0);
        let step = ours.at.get(at).or(theirs.at.get(at)).copied().unwrap_or(1);
        let lane = |finding: &Finding| lane_at(finding, step).map_or("nobody".to_owned(), |lane| lane.to_string());
        format!("{} steps, not {}", lane(other), lane(&self.finding))
    }
}

/// Who takes a step of a run.
fn lane_at(finding: &Finding, step: u64) -> Option<LaneName> {
    finding.choices.schedule.up_to(step).runs().last().map(|(lane, _)| *lane)
}

impl Piece {
    /// `P18a`, `G16`.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Piece::Said(exhibit) => exhibit.id,
            Piece::Seen(experiment) => experiment.id,
        }
    }

    /// What is wrong, in a few words.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Piece::Said(exhibit) => exhibit.title,
            Piece::Seen(experiment) => experiment.title,
        }
    }

    fn trial(&self) -> Box<dyn Trial> {
        match self {
            Piece::Said(exhibit) => Box::new(CaseTrial::new(exhibit.property, exhibit.case, exhibit.design())),
            Piece::Seen(experiment) => Box::new(StoryTrial { experiment, mended: false }),
        }
    }

    /// Looks for it by every strategy, and makes the smallest of what they found smaller.
    #[must_use]
    pub fn find(&self) -> (Effort, Option<Smallest>) {
        let trial = self.trial();
        let trial = trial.as_ref();
        let steps = trial.run(Calm.lent()).steps;
        let verdicts = [
            search(trial, Exhaustive::new(Bounds::default()), LIMITS.exhaustive, |_| ()),
            search(trial, Random::new(0, 0..LIMITS.random), LIMITS.random, |_| ()),
            search(trial, Pct::new(0, 0..LIMITS.pct, DEPTH, steps), LIMITS.pct, |_| ()),
        ];
        let runs = |verdict: &Verdict| verdict.finding().map(|_| verdict.executions());
        let effort = Effort { exhaustive: runs(&verdicts[0]), random: runs(&verdicts[1]), pct: runs(&verdicts[2]) };
        let best = verdicts.iter().filter_map(Verdict::finding).min_by_key(|finding| finding.size());
        let smallest = best.map(|best| match self {
            Piece::Said(exhibit) => {
                let trial = CaseTrial::new(exhibit.property, exhibit.case, exhibit.design());
                let (trial, finding) = trial.shrink(best);
                Smallest { trial: Box::new(trial), finding }
            }
            Piece::Seen(experiment) => {
                let trial = StoryTrial { experiment, mended: false };
                Smallest { finding: shrink(&trial, best, SHRINKING), trial: Box::new(trial) }
            }
        });
        (effort, smallest)
    }

    /// Searches, makes small, replays, mends.
    #[must_use]
    pub fn show(&self) -> Shown {
        let (search, smallest) = self.find();
        self.label(search, smallest.as_ref())
    }

    /// The same for what [`Piece::find`] has found.
    #[must_use]
    pub fn label(&self, search: Effort, smallest: Option<&Smallest>) -> Shown {
        let Mend { by: mended_by, proof, why_not } = self.mend(smallest);
        let (mended_executions, mended_in) = proof.unzip();
        let finding = smallest.map(|smallest| &smallest.finding);
        let size = finding.map(Finding::size);
        let broken = finding.and_then(|finding| finding.found.first());
        let says = match self {
            Piece::Said(exhibit) => exhibit.says,
            Piece::Seen(experiment) => experiment.says,
        };
        let (date, who, source) = match self {
            Piece::Said(exhibit) => match exhibit.property.remarks.get(exhibit.remark) {
                Some(remark) => (remark.date.to_owned(), remark.who, remark.source),
                None => (String::new(), "", ""),
            },
            Piece::Seen(experiment) => {
                ("Linux 2.6.11".to_owned(), "this project, by running the genuine function", experiment.source)
            }
        };
        let rule = match self {
            Piece::Said(exhibit) => exhibit.property.rule.to_owned(),
            Piece::Seen(_) => broken.map_or(String::new(), |broken| sentence(broken.rule.sentence())),
        };
        let replay = smallest.map(Smallest::line);
        let trace_hash = smallest.map(|smallest| smallest.trial.hash(&smallest.finding));
        let again = replay.as_deref().and_then(again);
        let shown = match (&again, &trace_hash, broken) {
            (Some((hash, violations)), Some(found), Some(broken)) => hash == found && violations.contains(broken),
            _ => false,
        };
        Shown {
            id: self.id(),
            title: self.title(),
            date,
            who,
            source,
            says,
            rule,
            shown,
            replay,
            found: broken.map(ToString::to_string),
            size: size.map(|size| size.to_string()),
            tasks: size.map(|size| size.tasks),
            steps: size.map(|size| size.steps),
            switches: size.map(|size| size.switches),
            faults: size.map(|size| size.faults),
            trace_hash,
            search,
            search_limits: LIMITS,
            mended_by,
            mended_proved: mended_executions.is_some(),
            mended_executions,
            mended_in,
            why_not,
        }
    }

    /// What mends it, and the proof of that.
    fn mend(&self, smallest: Option<&Smallest>) -> Mend {
        match self {
            Piece::Seen(experiment) => {
                let trial = StoryTrial { experiment, mended: true };
                let proof = proved(&trial, PROOF).map(|executions| (executions, experiment.id.to_owned()));
                Mend { by: Some(experiment.mended_by.to_owned()), proof, why_not: None }
            }
            Piece::Said(Exhibit { property, case, mended, .. }) => {
                let (by, case, design) = match mended {
                    Mended::By(design) => (*design, *case, *design),
                    Mended::Otherwise(words, case, design) => (*words, *case, *design),
                    Mended::Not(reason) => return Mend { why_not: Some(reason), ..Mend::default() },
                };
                let design: Design = design.parse().expect("an exhibit's mend is tested");
                let whole = CaseTrial::new(property, case, design);
                let proof = proved(&whole, PROOF).map(|executions| (executions, case.scenario.to_owned()));
                let proof = proof.or_else(|| {
                    // In what is left of the scenario where the finding is smallest.
                    let small = smallest.and_then(|smallest| smallest.trial.with_design(design))?;
                    Some((proved(&small, SMALL_PROOF)?, small.place()))
                });
                Mend { by: Some(by.to_owned()), proof, why_not: None }
            }
        }
    }
}

/// What mends an exhibit.
#[derive(Default)]
struct Mend {
    by: Option<String>,
    /// Over how many executions that was proved just now, and where.
    proof: Option<(u64, String)>,
    why_not: Option<&'static str>,
}

/// Over how many executions a complete search found nothing.
fn proved(trial: &dyn Trial, most: u64) -> Option<u64> {
    match explore(trial, How::Exhaustive { preemptions: None, steps: None, most: Some(most) }, &|_| ()) {
        Verdict::Proved { executions, given_up } if given_up.cut == 0 => Some(executions),
        _ => None,
    }
}

/// What a replay line gives: the hash of its trace, and what it found. `None`: it cannot be run.
fn again(line: &str) -> Option<(String, Vec<Violation>)> {
    match line.parse().ok()? {
        Line::Story(story) => {
            let telling = tell(&story, Watch::default()).ok()?;
            Some((telling.trace_hash, telling.violations))
        }
        Line::Run(spec) => {
            let report = run(&Loaded::new(*spec, |_| ()).ok()?, Watch::default()).ok()?;
            Some((report.trace_hash, report.violations))
        }
    }
}
