//! Whoever looks at a run, and however its answers reach the machine, it is the same run.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use forklab_sim::choice::{Draws, Needs, Recorder};
use forklab_sim::explore::random::Random;
use forklab_sim::explore::{Strategy as _, run_once};
use forklab_sim::lock::{Completion, Lock, Mode, WaitQueue};
use forklab_sim::{Chooser, Config, Lent, Machine, Question};
use proptest::prelude::*;

/// What a lane does next.
#[derive(Clone, Copy, Debug)]
enum Op {
    Take(usize, usize),
    /// Stands before a lock, if others are let in, and then no longer wants it.
    TryOnce(usize, usize),
    /// The lock that it took last, or the one before it, and so on.
    Release(usize),
    /// Ends without giving back what it holds.
    Forget,
    Point,
    UserPoint,
    Yield,
    Ask,
    Complete,
    Wait,
    Wake,
    Die,
}

const MODES: [(&str, &Mode); 7] = [
    ("spin", Mode::SPIN),
    ("irq", Mode::SPIN_IRQ),
    ("rw", Mode::READ),
    ("rw", Mode::WRITE),
    ("rw", Mode::WRITE_IRQ),
    ("sem", Mode::DOWN_READ),
    ("sem", Mode::DOWN_WRITE),
];

fn op() -> impl Strategy<Value = Op> {
    // Mostly one of two spinlocks, so that lanes meet.
    let lock = || (prop_oneof![2 => Just(0), 1 => 0..MODES.len()], 0..2_usize);
    prop_oneof![
        6 => lock().prop_map(|(mode, which)| Op::Take(mode, which)),
        1 => lock().prop_map(|(mode, which)| Op::TryOnce(mode, which)),
        5 => (0..2_usize).prop_map(Op::Release),
        1 => Just(Op::Forget),
        4 => Just(Op::Point),
        1 => Just(Op::UserPoint),
        2 => Just(Op::Yield),
        1 => Just(Op::Ask),
        1 => Just(Op::Complete),
        1 => Just(Op::Wait),
        1 => Just(Op::Wake),
        1 => Just(Op::Die),
    ]
}

#[derive(Clone, Debug)]
struct Program {
    cpus: u32,
    preempt: bool,
    /// All locks have one name.
    nameless: bool,
    /// Stops when so many things were done, and goes on.
    stops: usize,
    lanes: Vec<Vec<Op>>,
}

fn program() -> impl Strategy<Value = Program> {
    let lanes = prop::collection::vec(prop::collection::vec(op(), 0..8), 1..5);
    (1..4_u32, any::<bool>(), any::<bool>(), 0..8_usize, lanes)
        .prop_map(|(cpus, preempt, nameless, stops, lanes)| Program { cpus, preempt, nameless, stops, lanes })
}

/// Everything that can be said of a run: what each lane did in which step on which CPU, and what was found.
type Account = (Vec<String>, Vec<String>, String);

#[derive(Default)]
struct Shared {
    done: Completion,
    queue: WaitQueue,
    locks: Vec<Vec<Lock>>,
    log: RefCell<Vec<String>>,
}

impl Shared {
    /// Of the kind that the mode is of: the first mode of that name has it.
    fn lock(&self, mode: usize, which: usize) -> &Lock {
        let kind = MODES.iter().position(|(name, _)| *name == MODES[mode].0).expect("a mode of that name");
        &self.locks[kind][which]
    }
}

impl Program {
    fn run(&self, chooser: impl Chooser + 'static, prepare: impl FnOnce(&Machine)) -> Account {
        let config = Config { cpus: self.cpus, preempt: self.preempt, ..Config::default() };
        let m = Machine::new(config, chooser);
        prepare(&m);
        let new = |name| Lock::new(if self.nameless { "lock" } else { name });
        let locks = MODES.iter().map(|(name, _)| vec![new(name), new(name)]).collect();
        let shared = Rc::new(Shared { locks, ..Shared::default() });
        for (name, ops) in ["a", "b", "c", "d"].into_iter().zip(&self.lanes) {
            m.spawn(name, live(m.clone(), shared.clone(), ops.clone()));
        }
        m.settle_until(|| shared.log.borrow().len() >= self.stops);
        let ended = m.run();
        let found = m.violations().iter().map(|violation| format!("{violation:?}")).collect();
        let account = (shared.log.take(), found, format!("{ended:?} {} {}", m.step(), m.placement_matters()));
        m.retire();
        account
    }
}

async fn live(m: Rc<Machine>, shared: Rc<Shared>, ops: Vec<Op>) {
    let m = &*m;
    let (mut held, mut given_up) = (Vec::new(), Vec::new());
    for op in ops {
        match op {
            Op::Take(mode, which) => held.push(shared.lock(mode, which).take(m, MODES[mode].1).await),
            Op::TryOnce(mode, which) => {
                let mut take = Some(shared.lock(mode, which).take(m, MODES[mode].1));
                poll_fn(|context| match take.take().map(|mut take| (Pin::new(&mut take).poll(context), take)) {
                    Some((Poll::Pending, kept)) => {
                        given_up.push(kept);
                        Poll::Pending
                    }
                    Some((Poll::Ready(taken), _)) => {
                        drop(taken);
                        Poll::Ready(())
                    }
                    // Behind the run every lane is asked once more.
                    None if m.lane_name().is_empty() => Poll::Pending,
                    None => Poll::Ready(()),
                })
                .await;
                given_up.clear();
            }
            Op::Release(nth) if nth < held.len() => drop(held.remove(held.len() - 1 - nth)),
            Op::Release(_) => {}
            Op::Forget => return held.into_iter().for_each(std::mem::forget),
            Op::Point => m.point().await,
            Op::UserPoint => m.user_point().await,
            Op::Yield => m.yield_now().await,
            Op::Ask => drop(m.choose(Question::Branch("colour"), 3)),
            Op::Complete => shared.done.complete(m),
            Op::Wait => shared.done.wait_for_completion(m).await,
            Op::Wake => shared.queue.wake_up(m),
            Op::Die => drop(m.oops("live").await),
        }
        shared.log.borrow_mut().push(format!("{} {op:?} {} {}", m.lane_name(), m.step(), m.cpu()));
    }
}

/// Hears of everything; else the same as the one that it has.
struct Listening(Lent);

impl Chooser for Listening {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        if n < 2 { 0 } else { self.0.choose(question, n) }
    }

    fn needs(&self) -> Needs {
        Needs::Touches
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_run_is_the_same_whoever_looks_and_however_it_is_answered(program in program(), seed in 0..100_u64) {
        let mut strategy = Random::new(seed, 3..4);
        strategy.next();
        let again = || strategy.again().expect("random runs can be given again");
        let lent = program.run(strategy.clone(), |_| ());
        let asked = program.run(Recorder::new(again()), |_| ());
        prop_assert_eq!(&lent, &asked, "asked for each answer");
        let hashed = program.run(again(), |m| m.trace.start_hash());
        prop_assert_eq!(&lent, &hashed, "with a trace");
        let explored = program.run(Listening(again()), |_| ());
        prop_assert_eq!(&lent, &explored, "with an explorer that listens");
    }
}

/// One run on two machines, one after the other: the second goes on where the first one stopped.
#[test]
fn draws_that_were_lent_come_back() {
    let two = |chooser: Lent| {
        let draw = |m: &Machine| (0..50).map(|_| m.choose(Question::Branch("colour"), 7)).collect::<Vec<_>>();
        let new = || Machine::new(Config::default(), chooser.clone());
        let mut drawn = draw(&new());
        let second = new();
        drawn.extend(draw(&second));
        second.begin(chooser.clone());
        drawn.extend(draw(&second));
        second.retire();
        drawn.extend(draw(&new()));
        drawn
    };
    let mut strategy = Random::new(1, 0..1);
    strategy.next();
    let recorder = Recorder::new(strategy.clone());
    let choices = recorder.choices();
    let asked = two(recorder.lent());
    assert_eq!(asked, choices.borrow().answers, "each of them is noted");
    assert_eq!(two(strategy.lent()), asked);
}

#[test]
fn sixty_four_bits_are_good_for_as_many_questions_as_have_two_to_the_32_answers() {
    for (n, questions) in [(2, 32), (3, 20), (16, 8), (1 << 31, 1)] {
        let (mut draws, mut asked) = (Draws::new(0), 0);
        for i in 0..100 {
            draws.answer(Question::Branch("colour"), n, || {
                asked += 1;
                u64::MAX
            });
            assert_eq!(asked, i / questions, "{n} answers, question {i}");
        }
    }
}

/// What is searched by draws is found again by answers.
#[test]
fn a_finding_of_a_random_search_is_told_by_its_answers() {
    let trial = |chooser: Lent| {
        let m = Machine::new(Config { cpus: 2, ..Config::default() }, chooser);
        if (0..40).filter(|_| m.choose(Question::Branch("colour"), 4) == 3).count() > 14 {
            m.warn_on("test.c", "colours");
        }
        m.run();
        let found = m.violations().clone();
        forklab_sim::explore::Ran { found, steps: m.step(), placement: m.placement_matters() }
    };
    let verdict = forklab_sim::explore::search(&trial, Random::new(9, 0..1000), u64::MAX, |_| ());
    let finding = verdict.finding().expect("one of a thousand has so many").clone();
    let again = run_once(&trial, forklab_sim::choice::Follow::new(finding.choices.answers.clone()));
    assert_eq!(again.choices, finding.choices);
    assert_eq!(again.found, finding.found);
}
