//! The one source of choice: [`Machine::choose`](crate::Machine::choose) asks, a [`Chooser`] answers.
//!
//! One strategy is one type: [`Calm`], [`Seeded`], [`Replay`], and those of an [`explore`](crate::explore)r.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::lane::LaneName;
use crate::touch::{Access, Object};

mod draws;

pub use draws::Draws;
pub(crate) use draws::ONE_IN;

/// What is being decided.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// Which of these lanes steps next. Entry 0 goes on as the machine would by itself. Empty with [`Needs::Numbers`].
    Lane(&'a [LaneName]),
    /// Whether the allocation at this site fails: 0 no, 1 yes.
    Fault(&'static str),
    /// A branch of the model above, named by it.
    Branch(&'static str),
}

/// An answer to [`Question::Lane`]: nobody; this run need not go on.
pub const STOP: u32 = u32::MAX;

/// What a chooser wants to be told. Each costs more than the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Questions with at least two answers, and how many they have; lanes need no names.
    #[default]
    Numbers,
    /// Also the names of lanes, and who steps after a switch.
    Choices,
    /// Every step ([`Chooser::stepped`]).
    Steps,
    /// Also questions about lanes with one answer, and what each step touches ([`Chooser::touched`], [`Chooser::woke`]).
    Touches,
}

/// Answers every question of a run. The answers, in order, are the run.
pub trait Chooser {
    /// An answer below `n`; `n` is at least 2, a question with one answer is not asked.
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32;

    /// Told who steps: after each switch with [`Needs::Choices`], in each step with [`Needs::Steps`].
    fn stepped(&mut self, _lane: LaneName) {}

    /// What the machine is to tell this chooser beyond its questions.
    fn needs(&self) -> Needs {
        Needs::Choices
    }

    /// Told what the step that runs touches, with [`Needs::Touches`].
    fn touched(&mut self, _object: Object, _access: Access) {}

    /// Told whom the step that runs has started or woken, with [`Needs::Touches`]: what that lane does next comes after it.
    fn woke(&mut self, _lane: LaneName) {}

    /// Told that a lane cannot go on, and what it would do to which object if it could, with [`Needs::Touches`].
    fn blocked(&mut self, _lane: LaneName, _object: Object, _access: Access) {}

    /// Why the run no longer is the one that was asked for, if so: a replayed schedule named a lane that could not run.
    fn objection(&self) -> Option<String> {
        None
    }

    /// What the machine answers its own questions from until it gives them back, of a chooser that needs nothing.
    fn draws(&mut self) -> Option<Draws> {
        None
    }

    /// The machine gives back what is left of them.
    fn take_back(&mut self, _draws: Draws) {}

    /// 64 more random bits, since those that were lent are used up.
    fn bits(&mut self) -> u64 {
        0
    }

    /// As a machine has it. One that was lent already stays the same.
    fn lent(self) -> Lent
    where
        Self: Sized + 'static,
    {
        Lent(Rc::new(RefCell::new(self)))
    }
}

/// A chooser of any kind, lent to the machine that asks it. Whoever keeps it may lend it to one machine after the other.
#[derive(Clone)]
pub struct Lent(Rc<RefCell<dyn Chooser>>);

impl<C: Chooser + 'static> From<Rc<RefCell<C>>> for Lent {
    fn from(chooser: Rc<RefCell<C>>) -> Lent {
        Lent(chooser)
    }
}

impl Chooser for Lent {
    fn lent(self) -> Lent {
        self
    }

    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        self.0.borrow_mut().choose(question, n)
    }

    fn stepped(&mut self, lane: LaneName) {
        self.0.borrow_mut().stepped(lane);
    }

    fn needs(&self) -> Needs {
        self.0.borrow().needs()
    }

    fn touched(&mut self, object: Object, access: Access) {
        self.0.borrow_mut().touched(object, access);
    }

    fn woke(&mut self, lane: LaneName) {
        self.0.borrow_mut().woke(lane);
    }

    fn blocked(&mut self, lane: LaneName, object: Object, access: Access) {
        self.0.borrow_mut().blocked(lane, object, access);
    }

    fn objection(&self) -> Option<String> {
        self.0.borrow().objection()
    }

    fn draws(&mut self) -> Option<Draws> {
        self.0.borrow_mut().draws()
    }

    fn take_back(&mut self, draws: Draws) {
        self.0.borrow_mut().take_back(draws);
    }

    fn bits(&mut self) -> u64 {
        self.0.borrow_mut().bits()
    }
}

/// Always 0: the lane that runs goes on, no allocation fails, the others come when it blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calm;

impl Chooser for Calm {
    fn choose(&mut self, _question: Question<'_>, _n: u32) -> u32 {
        0
    }

    fn needs(&self) -> Needs {
        Needs::Numbers
    }
}

/// Uniform draws from ChaCha8, a named generator whose stream is the same on every machine.
#[derive(Clone, Debug)]
pub struct Seeded(ChaCha8Rng);

impl Seeded {
    /// The run with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Seeded {
        Seeded(ChaCha8Rng::seed_from_u64(seed))
    }
}

impl Chooser for Seeded {
    fn choose(&mut self, _question: Question<'_>, n: u32) -> u32 {
        self.0.random_range(0..n)
    }

    fn needs(&self) -> Needs {
        Needs::Numbers
    }
}

/// Gives these answers, one after the other, then the calm one: 0.
#[derive(Clone, Debug)]
pub struct Follow {
    answers: Vec<u32>,
    at: usize,
}

impl Follow {
    /// Follows these answers. One that is too large for its question is taken as the last answer that it has.
    #[must_use]
    pub fn new(answers: Vec<u32>) -> Follow {
        Follow { answers, at: 0 }
    }
}

impl Chooser for Follow {
    fn choose(&mut self, _question: Question<'_>, n: u32) -> u32 {
        let answer = self.answers.get(self.at).map_or(0, |answer| (*answer).min(n - 1));
        self.at += 1;
        answer
    }

    fn needs(&self) -> Needs {
        Needs::Numbers
    }
}

/// The answers of one run, as numbers and in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// To every question with at least two answers, in order.
    pub answers: Vec<u32>,
    /// How many answers each of these questions had.
    pub of: Vec<u32>,
    /// The step that each of them decided about, from 1.
    pub at: Vec<u64>,
    /// Who stepped how often.
    pub schedule: Schedule,
    /// Allocations that failed because the chooser said so: the site, and which of its allocations since the search began.
    pub faults: Vec<(&'static str, u64)>,
    /// Other branches: what was asked, and the answer.
    pub picks: Vec<(&'static str, u32)>,
}

/// Notes what another chooser decides.
pub struct Recorder<C> {
    chooser: C,
    choices: Rc<RefCell<Choices>>,
    /// Allocations seen, by site.
    allocations: Vec<(&'static str, u64)>,
}

impl<C: Chooser> Recorder<C> {
    /// Notes what this one decides.
    pub fn new(chooser: C) -> Recorder<C> {
        Recorder { chooser, choices: Rc::default(), allocations: Vec::new() }
    }

    /// Where the notes are, during the run and after it.
    #[must_use]
    pub fn choices(&self) -> Rc<RefCell<Choices>> {
        self.choices.clone()
    }
}

impl<C: Chooser> Chooser for Recorder<C> {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        let answer = self.chooser.choose(question, n);
        let choices = &mut *self.choices.borrow_mut();
        if n > 1 {
            choices.answers.push(answer);
            choices.of.push(n);
            let running = u64::from(!matches!(question, Question::Lane(_)));
            choices.at.push(choices.schedule.steps() + 1 - running);
        }
        match question {
            Question::Lane(_) => {}
            Question::Branch(name) => choices.picks.push((name, answer)),
            Question::Fault(site) => {
                let count = match self.allocations.iter_mut().find(|(known, _)| *known == site) {
                    Some((_, count)) => count,
                    None => {
                        self.allocations.push((site, 0));
                        &mut self.allocations.last_mut().expect("just pushed").1
                    }
                };
                *count += 1;
                if answer == 1 {
                    choices.faults.push((site, *count));
                }
            }
        }
        answer
    }

    fn stepped(&mut self, lane: LaneName) {
        self.choices.borrow_mut().schedule.push(lane);
        self.chooser.stepped(lane);
    }

    fn needs(&self) -> Needs {
        self.chooser.needs().max(Needs::Steps)
    }

    fn touched(&mut self, object: Object, access: Access) {
        self.chooser.touched(object, access);
    }

    fn woke(&mut self, lane: LaneName) {
        self.chooser.woke(lane);
    }

    fn blocked(&mut self, lane: LaneName, object: Object, access: Access) {
        self.chooser.blocked(lane, object, access);
    }

    fn objection(&self) -> Option<String> {
        self.chooser.objection()
    }
}

/// Who stepped how often, in order: `p4.c3.p1`. What a replay line carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(Vec<(LaneName, u64)>);

impl Schedule {
    /// One more step of this lane.
    pub fn push(&mut self, lane: LaneName) {
        match self.0.last_mut() {
            Some((last, count)) if *last == lane => *count += 1,
            _ => self.0.push((lane, 1)),
        }
    }

    /// How many times one lane follows another.
    #[must_use]
    pub fn switches(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// Its first steps, so many of them.
    #[must_use]
    pub fn up_to(&self, steps: u64) -> Schedule {
        let mut left = steps;
        let take = |(lane, count): &(LaneName, u64)| {
            let taken = left.min(*count);
            left -= taken;
            (taken > 0).then_some((*lane, taken))
        };
        Schedule(self.0.iter().map_while(take).collect())
    }

    /// How many steps in all.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The runs, in order: a lane and how often it stepped.
    #[must_use]
    pub fn runs(&self) -> &[(LaneName, u64)] {
        &self.0
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (lane, count)) in self.0.iter().enumerate() {
            write!(f, "{}{lane}{count}", if i == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

/// A schedule that cannot be read: which part, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("part {part} of the schedule: found {found:?}, expected a lane's name and a count, like p4")]
pub struct ScheduleError {
    /// 1 for the first part.
    pub part: usize,
    /// The part as written.
    pub found: String,
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Schedule, ScheduleError> {
        let run = |(i, part): (usize, &str)| {
            let digits = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
            let (name, count) = part.split_at(digits);
            match (LaneName::from_text(name), count.parse::<u64>()) {
                (Some(name), Ok(count)) if count > 0 && !name.is_empty() => Ok((name, count)),
                _ => Err(ScheduleError { part: i + 1, found: part.into() }),
            }
        };
        if text.is_empty() {
            return Ok(Schedule::default());
        }
        text.split('.').enumerate().map(run).collect::<Result<_, _>>().map(Schedule)
    }
}

/// The same run again: the lanes step as the schedule says, then calmly.
///
/// Only questions about lanes are answered from the schedule; faults stand beside it in a replay line.
#[derive(Clone, Debug)]
pub struct Replay {
    schedule: Schedule,
    /// Which run of the schedule, and how many of its steps are done.
    at: (usize, u64),
    step: u64,
    objection: Option<String>,
}

impl Replay {
    /// Follows this schedule.
    #[must_use]
    pub fn new(schedule: Schedule) -> Replay {
        Replay { schedule, at: (0, 0), step: 0, objection: None }
    }

    fn wanted(&self) -> Option<LaneName> {
        self.schedule.0.get(self.at.0).map(|(lane, _)| *lane)
    }
}

impl Chooser for Replay {
    fn choose(&mut self, question: Question<'_>, _n: u32) -> u32 {
        let (Question::Lane(lanes), Some(wanted)) = (question, self.wanted()) else { return 0 };
        match lanes.iter().position(|lane| *lane == wanted) {
            Some(i) => u32::try_from(i).expect("fewer lanes than 2^32"),
            None => {
                self.object(wanted, lanes);
                0
            }
        }
    }

    fn stepped(&mut self, lane: LaneName) {
        let wanted = self.wanted();
        if let Some(wanted) = wanted.filter(|wanted| *wanted != lane) {
            self.object(wanted, &[lane]);
        }
        self.step += 1;
        if wanted.is_none() {
            return;
        }
        self.at.1 += 1;
        if self.at.1 == self.schedule.0[self.at.0].1 {
            self.at = (self.at.0 + 1, 0);
        }
    }

    fn objection(&self) -> Option<String> {
        self.objection.clone()
    }
}

impl Replay {
    /// The first objection is the one that helps: what follows is another run anyway.
    fn object(&mut self, wanted: LaneName, could: &[LaneName]) {
        let could = could.iter().map(|lane| lane.as_str()).collect::<Vec<_>>().join(", ");
        let text = || format!("after step {}: found lane {wanted} next, expected one that can run: {could}", self.step);
        self.objection.get_or_insert_with(text);
    }
}
