//! One run of a lesson with everything that a reader may look at: its events, who might have run when, the queues.

use std::cell::RefCell;
use std::rc::Rc;

use sim::mm::{FaultRule, Times};
use sim::trace::{Event, Sink, What};
use sim::{Calm, Chooser, LaneName, Lent, Question, Replay, Schedule, Seeded, Violation};

use super::frame::{self, Frame};
use crate::input::InputError;
use crate::lab::program::Play;
use crate::lab::run::faults_of_file;
use crate::lab::spec::{Order, Spec};
use crate::lab::world::{Setup, World};

/// The lane in which a run is wound up; what it does is no part of a lesson.
const SETUP: &str = "setup";

/// A moment at which several lanes could have gone on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// How many events there were before it.
    pub at: usize,
    /// How many answers the run had been given before it.
    pub answers: usize,
    /// Who could go on; the first would have done so by itself.
    pub lanes: Vec<LaneName>,
    /// Which of them did.
    pub picked: u32,
}

/// What a listener's socket holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The listener.
    pub listener: String,
    /// Its socket's number, as traces have it.
    pub sock: u32,
    /// The messages, oldest first.
    pub messages: Vec<Vec<u8>>,
    /// `sk_rmem_alloc`, in bytes.
    pub charged: i32,
    /// `sk_rcvbuf`, in bytes.
    pub rcvbuf: i32,
    /// Something was lost and the queue has not been empty since.
    pub latched: bool,
    /// An error waits for the next receive.
    pub err: bool,
}

/// What a listener had heard when all was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its name.
    pub listener: String,
    /// Messages received.
    pub received: u64,
    /// Messages that did not reach it.
    pub lost: u64,
    /// How often it was told of a loss.
    pub told: u64,
}

/// How a run differs from what its replay line says: the answers that its beginning gets, and more that fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Change {
    /// In order; what follows them is answered calmly. `None`: as the line has it.
    answers: Option<Vec<u32>>,
    faults: Vec<FaultRule>,
}

/// A run that is over, to be looked at event by event.
pub struct Run {
    /// How it was asked for.
    spec: Spec,
    change: Change,
    answers: Vec<u32>,
    schedule: Schedule,
    /// What happened.
    pub events: Vec<Event>,
    /// How things stood before the first event, and after each.
    pub frames: Vec<Frame>,
    /// When somebody else could have run.
    pub choices: Vec<Choice>,
    /// What each listener had heard at the end.
    pub heard: Vec<Heard>,
    /// Rules that were broken.
    pub violations: Vec<Violation>,
    /// The kernel and the listeners before it.
    pub setup: Setup,
}

/// What is noted while a run goes on.
#[derive(Default)]
struct Notes {
    events: Vec<Event>,
    choices: Vec<Choice>,
    answers: Vec<u32>,
    schedule: Schedule,
    /// The queues before each step.
    queues: Vec<(u64, Vec<Queue>)>,
}

struct Events(Rc<RefCell<Notes>>);

impl Sink for Events {
    fn event(&mut self, event: &Event) {
        if event.lane.as_str() != SETUP {
            self.0.borrow_mut().events.push(event.clone());
        }
    }
}

/// Gives the answers that it was given, then asks another chooser; notes both.
struct Guide {
    given: Vec<u32>,
    then: Lent,
    notes: Rc<RefCell<Notes>>,
    world: Rc<World>,
}

impl Chooser for Guide {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        let notes = &mut *self.notes.borrow_mut();
        let given = self.given.get(notes.answers.len()).map(|answer| (*answer).min(n - 1));
        let answer = given.unwrap_or_else(|| self.then.choose(question, n));
        if let Question::Lane(lanes) = question {
            let (at, answers) = (notes.events.len(), notes.answers.len());
            notes.choices.push(Choice { at, answers, lanes: lanes.to_vec(), picked: answer });
        }
        notes.answers.push(answer);
        answer
    }

    fn stepped(&mut self, lane: LaneName) {
        // Between two steps nobody is in the middle of anything, so that sockets can be looked at.
        let queues = queues(&self.world);
        let notes = &mut *self.notes.borrow_mut();
        notes.schedule.push(lane);
        notes.queues.push((self.world.sys.m.step(), queues));
        self.then.stepped(lane);
    }

    fn needs(&self) -> sim::choice::Needs {
        sim::choice::Needs::Steps
    }

    fn objection(&self) -> Option<String> {
        self.then.objection()
    }
}

/// What each listener's socket holds now.
fn queues(world: &World) -> Vec<Queue> {
    let core = &world.sys.core;
    let queue = |listener: &crate::lab::listen::Listener| {
        let sock = listener.sock.get()?;
        let (skbs, mut queue) = core.sock(sock, |s| {
            let queue = Queue {
                listener: listener.name.clone(),
                sock: s.number,
                messages: Vec::new(),
                charged: s.rmem_alloc.get(),
                rcvbuf: s.rcvbuf,
                latched: s.congested,
                err: s.err != 0,
            };
            (s.queue.clone(), queue)
        });
        queue.messages = skbs.into_iter().map(|skb| core.message(skb, <[u8]>::to_vec)).collect();
        Some(queue)
    };
    world.listeners.iter().filter_map(queue).collect()
}

impl Run {
    /// Runs what a replay line says.
    ///
    /// # Errors
    /// [`InputError`] for a line that is none, or whose schedule cannot be followed.
    pub fn of(line: &str) -> Result<Run, InputError> {
        Run::with(line.parse()?, Change::default())
    }

    fn with(spec: Spec, change: Change) -> Result<Run, InputError> {
        let scenario = spec.scenario()?.ok_or_else(|| {
            InputError::new("<lesson>", "a recording", "a scenario: a recording has too many lanes to be looked at")
        })?;
        let setup = spec.setup(Some(&scenario));
        let no_room =
            |error: crate::lab::world::NoRoom| InputError::new("<lesson>", error.to_string(), "room for them");
        let world = Rc::new(World::new(&setup).map_err(no_room)?);
        let m = world.sys.m.clone();
        let notes = Rc::new(RefCell::new(Notes::default()));
        let then = match (&change.answers, &spec.order) {
            (Some(_), _) | (None, Order::Calm) => Calm.lent(),
            (None, Order::Seed(seed)) => Seeded::new(*seed).lent(),
            (None, Order::Schedule(schedule)) => Replay::new(schedule.clone()).lent(),
        };
        let given = change.answers.clone().unwrap_or_default();
        world.begin(Guide { given, then, notes: notes.clone(), world: world.clone() });
        m.trace.attach(Events(notes.clone()));
        m.mem.faults(|faults| {
            faults_of_file(faults, Some(&scenario));
            spec.faults.iter().chain(&change.faults).cloned().for_each(|rule| faults.add(rule));
        });
        Play::new(&world, scenario).start();
        m.run();
        let objection = m.objection();
        // The guide has the world, and the world the guide: it goes now.
        m.hand_over(Calm);
        if let Some(objection) = objection {
            return Err(InputError::new("<lesson>", objection, "a schedule that can be followed"));
        }
        let last = queues(&world);
        m.mem.faults(sim::mm::Faults::clear);
        world.drain();
        world.report_leaks();
        let Notes { events, choices, answers, schedule, queues } = notes.take();
        let frames = frame::frames(&events, &queues, &last);
        let heard = world.listeners.iter().map(|listener| heard(&world, listener)).collect();
        let violations = m.violations().clone();
        Ok(Run { spec, change, answers, schedule, events, frames, choices, heard, violations, setup })
    }

    /// The same run up to the choice, and there this lane goes on; calmly from there.
    ///
    /// # Errors
    /// Those of [`Run::of`]; none in practice.
    pub fn picking(&self, choice: usize, lane: u32) -> Result<Run, InputError> {
        let choice = &self.choices[choice];
        let mut answers = self.answers[..choice.answers].to_vec();
        answers.push(lane);
        let faults = self.struck_before(choice.at);
        Run::with(self.spec.clone(), Change { answers: Some(answers), faults })
    }

    /// The same run up to this event, an allocation, which fails; calmly from there. `None` if the event is none.
    ///
    /// # Errors
    /// Those of [`Run::of`]; none in practice.
    pub fn failing(&self, event: usize) -> Option<Result<Run, InputError>> {
        let What::Alloc { site, ok: true, .. } = self.events.get(event)?.what else { return None };
        let of_site = |event: &&Event| matches!(event.what, What::Alloc { site: other, .. } if other == site);
        let nth = self.events[..=event].iter().filter(of_site).count() as u64;
        let mut faults = self.struck_before(event);
        faults.push(FaultRule { site: Some(site.to_owned()), nth, times: Times::Count(1) });
        let before = self.choices.iter().take_while(|choice| choice.at <= event).last();
        let given = before.map_or(0, |choice| choice.answers + 1);
        let answers = Some(self.answers[..given].to_vec());
        Some(Run::with(self.spec.clone(), Change { answers, faults }))
    }

    /// Failures that the reader asked for, without those that strike later.
    fn struck_before(&self, event: usize) -> Vec<FaultRule> {
        let struck = |rule: &&FaultRule| {
            let of_site = |event: &&Event| match &event.what {
                What::Alloc { site, .. } => rule.site.as_deref() == Some(*site),
                _ => false,
            };
            self.events[..event].iter().filter(of_site).count() as u64 >= rule.nth
        };
        self.change.faults.iter().filter(struck).cloned().collect()
    }

    /// The line that gives this run again, after `forklab replay`.
    #[must_use]
    pub fn replay(&self) -> String {
        let mut spec = self.spec.clone();
        spec.faults.extend(self.change.faults.iter().cloned());
        if self.change.answers.is_some() {
            spec.order = Order::Schedule(self.schedule.clone());
        }
        spec.design = spec.design.for_replay(self.setup.system.design);
        spec.to_string()
    }

    /// How many events two runs have in common from the first on.
    #[must_use]
    pub fn common(&self, other: &Run) -> usize {
        self.events.iter().zip(&other.events).take_while(|(one, other)| one == other).count()
    }
}

fn heard(world: &World, listener: &crate::lab::listen::Listener) -> Heard {
    let heard = listener.heard.borrow();
    Heard {
        listener: listener.name.clone(),
        received: heard.received,
        lost: listener.lost(&world.sys).total(),
        told: heard.overruns,
    }
}
