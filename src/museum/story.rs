//! An experiment told again: the line of text that says how, and the report of the telling.
//!
//! ```text
//! v1 G16 answers=10
//! v1 G25 answers=0.1.3 mended=true
//! ```
//! The first word is the version, the second an experiment of the [second wing](super::defects). `answers=` has the answers to
//! all questions with at least two answers, in order: `0x12.3` is twelve times 0, then 3; what follows is answered by 0.
//! `mended=true` tells it of the mended kernel.

use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use serde::Serialize;
use sim::choice::{Choices, Follow, Needs, Recorder};
use sim::{Calm, Chooser, Ended, LaneName, Lent, Question, Seeded, Violation};

use super::defects;
use super::experiment::Experiment;
use crate::input::{InputError, quoted};
use crate::lab::report::plural;
use crate::lab::run::{Events, Watch};
use crate::lab::spec::{LINE, Spec, parse_in, words};

mod text;

/// More answers than any experiment asks for.
const MOST_ANSWERS: usize = 100_000;
/// As many equal answers in a row are written once.
const ROW: usize = 3;

/// Answers to the questions of a run. Zeros at the end say nothing, and are not kept.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Answers(Vec<u32>);

impl Answers {
    /// These answers.
    #[must_use]
    pub fn new(mut answers: Vec<u32>) -> Answers {
        let used = answers.iter().rposition(|answer| *answer != 0).map_or(0, |last| last + 1);
        answers.truncate(used);
        Answers(answers)
    }

    /// In order.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dot = "";
        for row in self.0.chunk_by(|one, other| one == other) {
            if row.len() >= ROW {
                write!(f, "{dot}{}x{}", row[0], row.len())?;
                dot = ".";
                continue;
            }
            for answer in row {
                write!(f, "{dot}{answer}")?;
                dot = ".";
            }
        }
        Ok(())
    }
}

impl FromStr for Answers {
    type Err = (String, String);

    /// # Errors
    /// What was found, and what was expected.
    fn from_str(text: &str) -> Result<Answers, (String, String)> {
        let mut answers = Vec::new();
        for part in text.split('.') {
            let (answer, count) = part.split_once('x').unwrap_or((part, "1"));
            let bad = || (quoted(part), "answers between dots, such as 3, or 0x12 for twelve times 0".to_owned());
            let answer = answer.parse().map_err(|_| bad())?;
            let count = count.parse::<usize>().ok().filter(|count| *count > 0).ok_or_else(bad)?;
            if count > MOST_ANSWERS - answers.len() {
                return Err((quoted(part), format!("at most {MOST_ANSWERS} answers in all")));
            }
            answers.resize(answers.len() + count, answer);
        }
        Ok(Answers::new(answers))
    }
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// As written.
    As(Answers),
    /// Drawn from a seed.
    Seed(u64),
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Which experiment.
    pub experiment: &'static Experiment,
    /// The answers.
    pub told: Told,
    /// Whether of the mended kernel.
    pub mended: bool,
}

/// Whether this word means an experiment, known or not: a G and digits.
#[must_use]
pub fn is_id(word: &str) -> bool {
    word.strip_prefix('G').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Story {
    /// The experiment of this id, told as calmly as can be.
    ///
    /// # Errors
    /// What was found, and what was expected.
    pub fn of(id: &str) -> Result<Story, (String, String)> {
        let experiment = defects::ALL.iter().find(|experiment| experiment.id == id).ok_or_else(|| {
            let ids: Vec<_> = defects::ALL.iter().map(|experiment| experiment.id).collect();
            (quoted(id), format!("an experiment: {}", ids.join(", ")))
        })?;
        Ok(Story { experiment, told: Told::As(Answers::default()), mended: false })
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1 {}", self.experiment.id)?;
        match &self.told {
            Told::As(answers) if answers.0.is_empty() => {}
            Told::As(answers) => write!(f, " answers={answers}")?,
            Told::Seed(seed) => write!(f, " seed={seed}")?,
        }
        f.write_str(if self.mended { " mended=true" } else { "" })
    }
}

impl FromStr for Story {
    type Err = InputError;

    /// # Errors
    /// [`InputError`] with the column of the first word that is wrong.
    fn from_str(line: &str) -> Result<Story, InputError> {
        let words = words(line);
        let wrong = |column: usize, (found, expected): (String, String)| {
            InputError::new(LINE, found, expected).at(1, column as u64)
        };
        let [(first, version), (second, id), rest @ ..] = words.as_slice() else {
            let end = line.chars().count() + 1;
            return Err(wrong(end, ("the end of the line".into(), "v1 and an experiment, such as v1 G16".into())));
        };
        if *version != "v1" {
            return Err(wrong(*first, (quoted(version), "v1, the version of replay lines".into())));
        }
        let mut story = Story::of(id).map_err(|bad| wrong(*second, bad))?;
        let mut seen = Vec::new();
        for (column, word) in rest {
            let (key, value) =
                word.split_once('=').ok_or_else(|| wrong(*column, (quoted(word), "KEY=VALUE".into())))?;
            if seen.contains(&key) {
                return Err(wrong(*column, (quoted(key), "each key once".into())));
            }
            if ["answers", "seed"].contains(&key) && ["answers", "seed"].iter().any(|other| seen.contains(other)) {
                return Err(wrong(*column, (quoted(key), "answers or seed, not both".into())));
            }
            seen.push(key);
            let value_at = *column + key.len() + 1;
            match key {
                "answers" => story.told = Told::As(value.parse().map_err(|bad| wrong(value_at, bad))?),
                "seed" => {
                    story.told = Told::Seed(parse_in(value, 0, u64::MAX).map_err(|bad| wrong(value_at, bad))?);
                }
                "mended" => {
                    let bad = |_| wrong(value_at, (quoted(value), "true or false".into()));
                    story.mended = value.parse().map_err(bad)?;
                }
                _ => {
                    let expected = "answers, seed or mended: an experiment has its own machine and kernel";
                    return Err(wrong(*column, (quoted(key), expected.into())));
                }
            }
        }
        Ok(story)
    }
}

/// A replay line of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A run of a scenario or a recording.
    Run(Box<Spec>),
    /// An experiment.
    Story(Story),
}

impl FromStr for Line {
    type Err = InputError;

    /// # Errors
    /// Those of the kind that its second word says it is.
    fn from_str(line: &str) -> Result<Line, InputError> {
        match words(line).get(1) {
            Some((_, id)) if is_id(id) => line.parse().map(Line::Story),
            _ => line.parse().map(|spec| Line::Run(Box::new(spec))),
        }
    }
}

/// One question of a telling, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AskedOf {
    /// What was asked.
    pub question: String,
    /// The answer, as a replay line has it.
    pub answer: u32,
    /// How many answers it had.
    pub of: u32,
    /// The answer in words.
    pub says: String,
}

/// What came of a telling. Its JSON is the `--json` of `forklab run G16`.
#[derive(Clone, Debug, Serialize)]
pub struct Telling {
    /// Paste it after `forklab replay`: the same telling again.
    pub replay: String,
    /// The experiment.
    pub id: &'static str,
    /// What goes wrong in it.
    pub title: &'static str,
    /// Whether this was the mended kernel.
    pub mended: bool,
    /// Every question with at least two answers, in order.
    pub asked: Vec<AskedOf>,
    /// Forks that succeeded.
    pub forks: u64,
    /// How far fork events came.
    pub events: Events,
    /// Allocations that failed, by site.
    pub failed_allocations: Vec<(&'static str, u64)>,
    /// Rules that were broken, in order.
    pub violations: Vec<Violation>,
    /// Steps.
    pub steps: u64,
    /// `quiet`, or `deadlock`.
    pub ended: &'static str,
    /// SHA-256 of the JSON trace.
    pub trace_hash: String,
}

/// Notes every question beside what another chooser decides.
struct Noting<C> {
    chooser: C,
    asked: Rc<std::cell::RefCell<Vec<AskedOf>>>,
}

impl<C: Chooser> Chooser for Noting<C> {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        let answer = self.chooser.choose(question, n);
        let (question, says) = match question {
            Question::Lane(lanes) => {
                let names: Vec<_> = lanes.iter().map(|lane| lane.as_str()).collect();
                let says = names.get(answer as usize).map_or_else(|| answer.to_string(), |name| (*name).to_owned());
                (format!("who steps next: {}", names.join(", ")), says)
            }
            Question::Fault(site) => (format!("whether {site} fails"), ["no", "yes"][answer as usize].to_owned()),
            Question::Branch(what) => (what.to_owned(), in_words(what, answer, n)),
        };
        self.asked.borrow_mut().push(AskedOf { question, answer, of: n, says });
        answer
    }

    fn stepped(&mut self, lane: LaneName) {
        self.chooser.stepped(lane);
    }

    fn needs(&self) -> Needs {
        self.chooser.needs().max(Needs::Choices)
    }
}

/// An answer in words, if the question lists them: `fork, vfork`, `messages: 1 to 9`, `length, from 970`.
fn in_words(what: &str, answer: u32, n: u32) -> String {
    let list = what.split_once(": ").map_or(what, |(_, list)| list);
    let words: Vec<_> = list.split(", ").collect();
    if let Some(from) = what.rsplit_once(", from ").and_then(|(_, from)| from.parse::<u32>().ok()) {
        return (from + answer).to_string();
    }
    let range =
        list.split_once(" to ").and_then(|(from, to)| Some((from.parse::<u32>().ok()?, to.parse::<u32>().ok()?)));
    match range {
        Some((from, to)) if to.checked_sub(from) == Some(n - 1) => (from + answer).to_string(),
        _ if words.len() == n as usize => words[answer as usize].to_owned(),
        _ => format!("answer {answer} of 0 to {}", n - 1),
    }
}

/// Tells it, and reports.
///
/// # Errors
/// [`InputError`] for an answer that its question does not have, or to a question that was not asked.
pub fn tell(story: &Story, watch: Watch) -> Result<Telling, InputError> {
    let asked = Rc::default();
    let noting = |chooser: Lent| Noting { chooser, asked: Rc::clone(&asked) };
    let chooser = noting(match &story.told {
        Told::As(answers) if answers.0.is_empty() => Calm.lent(),
        Told::As(answers) => Follow::new(answers.0.clone()).lent(),
        Told::Seed(seed) => Seeded::new(*seed).lent(),
    });
    let (sys, ended) = story.experiment.once(story.mended, chooser, |m| {
        m.trace.start_hash();
        watch.sinks.into_iter().for_each(|sink| m.trace.attach_boxed(sink));
    });
    let asked = asked.take();
    if let Told::As(answers) = &story.told {
        check(answers, &asked)?;
    }
    let said = Answers::new(asked.iter().map(|asked| asked.answer).collect());
    let outcomes = *sys.core.fork_outcomes.borrow();
    let violations = sys.m.violations().clone();
    Ok(Telling {
        replay: Story { told: Told::As(said), ..story.clone() }.to_string(),
        id: story.experiment.id,
        title: story.experiment.title,
        mended: story.mended,
        asked,
        forks: sys.total_forks.get(),
        events: outcomes.into(),
        failed_allocations: sys.m.mem.faults(|faults| faults.hits().to_vec()),
        violations,
        steps: sys.m.step(),
        ended: if ended == Ended::Deadlock { "deadlock" } else { "quiet" },
        trace_hash: sys.m.trace.hash().expect("started before the telling"),
    })
}

/// Answers that were not given as they were written.
fn check(answers: &Answers, asked: &[AskedOf]) -> Result<(), InputError> {
    let wrong = |found: String, expected: String| InputError::new("<answers>", found, expected);
    for (at, answer) in answers.0.iter().enumerate() {
        let Some(question) = asked.get(at) else {
            let expected = format!("at most {}: no more was asked", plural(asked.len() as u64, "answer"));
            return Err(wrong(format!("{answer} as answer {}", at + 1), expected));
        };
        if *answer >= question.of {
            let expected = format!("0 to {} ({})", question.of - 1, question.question);
            return Err(wrong(format!("{answer} as answer {}", at + 1), expected));
        }
    }
    Ok(())
}

/// An experiment as something that is explored.
#[derive(Clone, Copy)]
pub struct StoryTrial {
    /// Which.
    pub experiment: &'static Experiment,
    /// Of which kernel.
    pub mended: bool,
}

impl StoryTrial {
    /// The replay line of a finding.
    #[must_use]
    pub fn story(&self, choices: &Choices) -> Story {
        let told = Told::As(Answers::new(choices.answers.clone()));
        Story { experiment: self.experiment, told, mended: self.mended }
    }

    /// Runs it as the answers say; the hash of the trace.
    #[must_use]
    pub fn hash(&self, choices: &Choices) -> String {
        // Through a recorder, as the search has it: that it looks must change nothing.
        let chooser = Recorder::new(Follow::new(choices.answers.clone()));
        let (sys, _) = self.experiment.once(self.mended, chooser, |m| m.trace.start_hash());
        sys.m.trace.hash().expect("started before the run")
    }
}

impl sim::explore::Trial for StoryTrial {
    fn run(&self, chooser: Lent) -> sim::explore::Ran {
        let (sys, ended) = self.experiment.once(self.mended, chooser, |_| ());
        // Of a run that was given up nobody knows how it would have ended.
        let found = if ended == Ended::Stopped { Vec::new() } else { sys.m.violations().clone() };
        let ran = sim::explore::Ran { found, steps: sys.m.step(), placement: sys.m.placement_matters() };
        let m = sys.m.clone();
        drop(sys);
        m.retire();
        ran
    }
}
