//! Laws for consumers: rules in a sentence, each held against every short script that could break it.
//!
//! A law is a function from a [`Format`] to a [`Law`]: steps that are put together in every order, up to the length at
//! which there would be more than [`BUDGET`] scripts. Shortest first, so that what is found is as short as it gets.
//! [`check_all`] tries all laws of the consumer's format; [`check_script`] tries one script, such as that of a replay line
//! or one that proptest made.
//!
//! # What is judged
//! The consumer is handed what arrives, one by one. Whenever it has read all that was there, its view must be
//! the truth, as far as messages of its format can tell it ([`Truth::differs`](super::Truth::differs)). It may ask for a resynchronisation and
//! gets it at once; what is still queued then is older than what it was told. Losses of which no reader can know
//! yet are not held against it, nor messages that are still on their way. A message from a stranger may change nothing,
//! whatever comes next. Where nothing is lost, nobody needs to resynchronise: a law says where that is, and the script's
//! line keeps it, as the word `calm`. So a line is judged as its law judged it.

mod broken;
mod consumer;
mod list;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use uevent::source::{Arrival, UeventSource, Wait};

pub use broken::Broken;
pub use consumer::Consumer;
pub use list::*;

use super::kernel::Kernel;
use super::script::{Format, RCVBUF, ROOM, Script, steps};
use super::step::Step;
use consumer::Guarded;

/// Scripts that a law has at most.
pub const BUDGET: usize = 5_000;
/// Random scripts of [`storm`].
pub const STORMS: usize = 2_000;

/// A rule, and the scripts that try to break it.
#[derive(Clone, Debug)]
pub struct Law {
    /// Its name: that of its function.
    pub name: &'static str,
    /// The rule, in a sentence.
    pub rule: &'static str,
    /// What messages look like.
    pub format: Format,
    /// Each of these may come next, any number of times.
    pub atoms: Vec<Vec<Step>>,
    /// Stands before them.
    pub before: Vec<Step>,
    /// Stands behind them.
    pub after: Vec<Step>,
    /// Bytes that the receive buffer holds.
    pub rcvbuf: u32,
    /// Nothing is lost: whoever resynchronises has not listened.
    pub calm: bool,
    /// Random scripts instead of all of them, and how many atoms each has.
    pub random: Option<usize>,
}

impl Law {
    /// A law of these atoms, `|` between them. Another one than those here is made the same way.
    ///
    /// # Panics
    /// An atom is no step of a script.
    #[must_use]
    pub fn new(format: Format, atoms: &str) -> Law {
        let parse = |text: &str| steps(text).unwrap_or_else(|error| panic!("the atom {text:?}: {error}"));
        let atoms = atoms.split('|').map(parse).collect();
        let (before, after) = (Vec::new(), Vec::new());
        let (name, rule) = ("", "");
        Law { name, rule, format, atoms, before, after, rcvbuf: RCVBUF, calm: false, random: None }
    }

    /// The script of these atoms.
    pub fn script<'a>(&'a self, atoms: impl IntoIterator<Item = &'a Vec<Step>>) -> Script {
        let middle = atoms.into_iter().flatten();
        let steps = self.before.iter().chain(middle).chain(&self.after).cloned();
        Script { rcvbuf: self.rcvbuf, calm: self.calm, ..Script::new(self.format, steps) }
    }

    /// How many atoms the longest script has.
    #[must_use]
    pub fn length(&self) -> usize {
        if self.atoms.is_empty() {
            return 0;
        }
        self.random.unwrap_or_else(|| (1..).find(|&n| self.up_to(n + 1) > BUDGET).unwrap_or(1))
    }

    /// How many scripts are tried.
    #[must_use]
    pub fn count(&self) -> usize {
        match self.length() {
            // What stands before and behind is a script, too.
            0 => 1,
            _ if self.random.is_some() => STORMS,
            length => self.up_to(length),
        }
    }

    fn up_to(&self, length: usize) -> usize {
        let of = |n| self.atoms.len().saturating_pow(n);
        (1..=length as u32).map(of).fold(0, usize::saturating_add)
    }

    /// Tries every script of this law; returns how many.
    ///
    /// # Errors
    /// The first that the consumer does not stand.
    pub fn check<C: Consumer>(&self, make: impl Fn() -> C) -> Result<usize, Broken> {
        if self.atoms.is_empty() {
            return self.run(&self.script([]), &make).map(|()| 1);
        }
        if let Some(atoms) = self.random {
            return self.check_random(atoms, &make);
        }
        let mut digits = vec![0; 1];
        while digits.len() <= self.length() {
            self.run(&self.script(digits.iter().map(|&digit| &self.atoms[digit])), &make)?;
            if !count_up(&mut digits, self.atoms.len()) {
                digits = vec![0; digits.len() + 1];
            }
        }
        Ok(self.count())
    }

    fn check_random<C: Consumer>(&self, length: usize, make: &impl Fn() -> C) -> Result<usize, Broken> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for _ in 0..STORMS {
            let atoms: Vec<_> = (0..length).filter_map(|_| self.atoms.choose(&mut rng)).collect();
            self.run(&self.script(atoms), make).map_err(|broken| self.shorten(broken, make))?;
        }
        Ok(STORMS)
    }

    /// Makes it shorter as long as the consumer still does not stand it.
    fn shorten<C: Consumer>(&self, mut broken: Broken, make: &impl Fn() -> C) -> Broken {
        while let Some(still) = shorter(&broken.script).into_iter().find_map(|script| self.run(&script, make).err()) {
            broken = still;
        }
        broken
    }

    /// One script: the judge.
    ///
    /// # Errors
    /// What the consumer got wrong, and where.
    pub fn run<C: Consumer>(&self, script: &Script, make: &impl Fn() -> C) -> Result<(), Broken> {
        // What is printed must be judged the same when it is pasted.
        let script = &Script { calm: self.calm || script.calm, ..script.clone() };
        let mut kernel = script.kernel();
        let mut judge = Judge { law: self, script, consumer: Guarded(make()), resyncs: 0 };
        judge.resync(&mut kernel)?;
        judge.resyncs = 0;
        loop {
            let arrival = kernel.receive(Wait::No).expect("a script has no errors");
            let (quiet, refused) = (arrival == Arrival::Nothing, matches!(arrival, Arrival::Refused(..)));
            let ended = arrival == Arrival::End;
            let before = if refused { Some(judge.consumer.view()) } else { None };
            let handled = if ended { Ok(()) } else { judge.consumer.handle(arrival) };
            handled.map_err(|panic| judge.broken(&kernel, vec![panic]))?;
            judge.stranger(&kernel, before)?;
            if judge.consumer.0.needs_resync() {
                judge.resync(&mut kernel)?;
            }
            if quiet || ended {
                judge.view(&kernel)?;
            }
            if ended {
                return judge.calm(&kernel);
            }
        }
    }
}

/// One consumer and one script.
struct Judge<'a, C> {
    law: &'a Law,
    script: &'a Script,
    consumer: Guarded<C>,
    resyncs: usize,
}

impl<C: Consumer> Judge<'_, C> {
    fn resync(&mut self, kernel: &mut Kernel) -> Result<(), Broken> {
        self.resyncs += 1;
        let done = self.consumer.resync(kernel.truth());
        done.map_err(|panic| self.broken(kernel, vec![panic]))?;
        kernel.resynced();
        Ok(())
    }

    fn view(&self, kernel: &Kernel) -> Result<(), Broken> {
        let settled = kernel.is_settled();
        let wrong =
            if settled { kernel.truth().differs(&self.consumer.view(), self.script.format) } else { Vec::new() };
        if wrong.is_empty() { Ok(()) } else { Err(self.broken(kernel, wrong)) }
    }

    fn stranger(&self, kernel: &Kernel, before: Option<super::View>) -> Result<(), Broken> {
        let changed = before.is_some_and(|before| before != self.consumer.view());
        let wrong = || vec!["a message from a stranger changed the view".to_owned()];
        if changed { Err(self.broken(kernel, wrong())) } else { Ok(()) }
    }

    fn calm(&self, kernel: &Kernel) -> Result<(), Broken> {
        let times = if self.resyncs == 1 { "once".to_owned() } else { format!("{} times", self.resyncs) };
        let wrong = || vec![format!("nothing was lost, and it asked to resynchronise {times}")];
        if self.script.calm && self.resyncs > 0 { Err(self.broken(kernel, wrong())) } else { Ok(()) }
    }

    fn broken(&self, kernel: &Kernel, wrong: Vec<String>) -> Broken {
        Broken {
            law: self.law.name,
            rule: self.law.rule,
            script: self.script.clone(),
            step: kernel.taken(),
            wrong,
            view: Box::new(self.consumer.view()),
            truth: Box::new(kernel.truth().clone()),
        }
    }
}

/// The script with the default sizes, and without each of its steps.
fn shorter(script: &Script) -> Vec<Script> {
    let sizes = Script { rcvbuf: RCVBUF, room: ROOM, ..script.clone() };
    let without = |at: usize| {
        let mut shorter = script.clone();
        shorter.steps.remove(at);
        shorter
    };
    Some(sizes).filter(|sizes| sizes != script).into_iter().chain((0..script.steps.len()).map(without)).collect()
}

/// The next number of so many digits; false when there is none.
fn count_up(digits: &mut [usize], base: usize) -> bool {
    for digit in digits.iter_mut().rev() {
        *digit += 1;
        if *digit < base {
            return true;
        }
        *digit = 0;
    }
    false
}

/// Tries every law of the consumer's format; returns how many scripts that were.
///
/// ```no_run
/// # use forklab::testkit::{Arrival, Consumer, Truth, View, laws};
/// # struct MyConsumer;
/// # impl MyConsumer { fn new() -> Self { Self } }
/// # impl Consumer for MyConsumer {
/// #     fn handle(&mut self, _: Arrival<'_>) {}
/// #     fn needs_resync(&self) -> bool { false }
/// #     fn resync(&mut self, _: &Truth) {}
/// #     fn view(&self) -> View { View::default() }
/// # }
/// laws::check_all(MyConsumer::new).unwrap();
/// ```
///
/// # Errors
/// The first law that is broken, with the shortest script, what it looks like and the line that brings it back.
pub fn check_all<C: Consumer>(make: impl Fn() -> C) -> Result<usize, Broken> {
    all(make().format()).iter().map(|law| law.check(&make)).sum()
}

/// Tries one script: that of a replay line, or of a test of one's own.
///
/// # Errors
/// What the consumer got wrong. The law is `script`, "the view is the truth whenever all was read"; in a `calm` line it may
/// not resynchronise, too.
pub fn check_script<C: Consumer>(script: &Script, make: impl Fn() -> C) -> Result<(), Broken> {
    let law =
        Law { name: "script", rule: "the view is the truth whenever all was read", ..Law::new(script.format, "") };
    law.run(script, &make)
}
