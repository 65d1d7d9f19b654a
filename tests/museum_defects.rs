//! The second wing of the museum, searched to the end: each defect is found in the genuine kernel, and not in the mended
//! one.
//!
//! Where the genuine kernel breaks no rule the mended one does the same, step by step, with five exceptions.
//!
//! The search is the simplest there is, so that it can be trusted: depth first over the list of answers, 0 first.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use forklab::museum::defects::ALL;
use forklab::museum::experiment::Experiment;
use sim::explore::exhaustive::{Bounds, Exhaustive};
use sim::explore::{Ran, Verdict, search as search_all};
use sim::{Chooser, Lent, Question};
use uevent::Fix;

/// No search of this wing takes more; a story that does asks too much.
const CAP: usize = 5_000;

/// One answer: the question, which answer, of how many.
#[derive(Clone, Debug)]
struct Answer {
    question: String,
    answer: u32,
    of: u32,
}

/// Follows a prefix, then answers 0; writes down all it was asked.
struct Walk {
    prefix: Vec<u32>,
    asked: Rc<RefCell<Vec<Answer>>>,
}

impl Chooser for Walk {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        let mut asked = self.asked.borrow_mut();
        let answer = self.prefix.get(asked.len()).copied().unwrap_or(0);
        let question = match question {
            Question::Lane(lanes) => format!("one of {} lanes", lanes.len()),
            Question::Fault(site) => format!("{site} fails"),
            Question::Branch(what) => what.into(),
        };
        asked.push(Answer { question, answer, of: n });
        answer
    }
}

/// What a search found.
#[derive(Debug, Default)]
struct Search {
    /// How often the story was told until its first violation.
    found_after: Option<usize>,
    /// The answers of that telling, and what the machine said.
    first: String,
    /// How many tellings broke a rule.
    found: usize,
    /// In how many of the others the mended kernel does, step by step, what the genuine one does.
    alike: usize,
    /// How many tellings there are.
    executions: usize,
}

fn search(experiment: &Experiment, mended: bool) -> Search {
    let mut search = Search::default();
    let mut prefix = Vec::new();
    loop {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let walk = Walk { prefix: prefix.clone(), asked: asked.clone() };
        let (sys, _) = experiment.once(mended, walk, |m| m.trace.start_hash());
        search.executions += 1;
        assert!(search.executions <= CAP, "{}: more than {CAP} executions", experiment.id);
        let mut asked = asked.take();
        if !sys.m.violations().is_empty() {
            search.found += 1;
            if search.found_after.is_none() {
                search.found_after = Some(search.executions);
                search.first = shown(&sys.m.violations(), &asked);
            }
        } else if !mended {
            let walk = Walk { prefix: asked.iter().map(|answer| answer.answer).collect(), asked: Rc::default() };
            let (other, _) = experiment.once(true, walk, |m| m.trace.start_hash());
            search.alike += usize::from(other.m.trace.hash() == sys.m.trace.hash());
        }
        // The next list of answers: the last that can be larger is, and what followed it is forgotten.
        while asked.last().is_some_and(|last| last.answer + 1 == last.of) {
            asked.pop();
        }
        let Some(last) = asked.last_mut() else { return search };
        last.answer += 1;
        prefix = asked.iter().map(|answer| answer.answer).collect();
    }
}

fn shown(violations: &[sim::Violation], asked: &[Answer]) -> String {
    let mut text = String::new();
    for answer in asked.iter().filter(|answer| answer.answer > 0) {
        writeln!(text, "  answer   {} of {}: {}", answer.answer, answer.of, answer.question).expect("a string");
    }
    for violation in violations {
        writeln!(text, "  rule     {}", violation.rule.sentence()).expect("a string");
        writeln!(text, "  found    {}", violation.to_string().replace('\n', "\n           ")).expect("a string");
    }
    text
}

/// Repairs that are seen where no rule is broken, and why. All others change nothing there.
const SEEN_ELSEWHERE: [(&str, &str); 5] = [
    ("G14", "an unknown action is refused before memory for the path can fail"),
    ("G15", "every message has another size"),
    ("G19", "the length after a variable that was refused"),
    ("G33", "a yield that nobody makes use of"),
    ("G35", "every message has another size"),
];

#[test]
fn every_defect_is_found_in_the_genuine_kernel_and_none_in_the_mended_one() {
    let mut table = String::new();
    for experiment in ALL {
        let (genuine, mended) = (search(experiment, false), search(experiment, true));
        assert!(genuine.found > 0, "{}: not found in {} executions", experiment.id, genuine.executions);
        assert_eq!(mended.found, 0, "{}: found in the mended kernel:\n{}", experiment.id, mended.first);
        assert!(genuine.found_after > Some(1), "{}: the calmest answers are to be harmless", experiment.id);
        let alike = genuine.alike == genuine.executions - genuine.found;
        let excused = SEEN_ELSEWHERE.iter().any(|(id, _)| *id == experiment.id);
        assert_eq!(alike, !excused, "{}: {} tellings run alike", experiment.id, genuine.alike);
        writeln!(
            table,
            "{} {}\n  genuine  after {} of {} executions; {} break a rule\n  mended   none in {}; {} of the other {} run alike\n{}",
            experiment.id,
            experiment.title,
            genuine.found_after.expect("found"),
            genuine.executions,
            genuine.found,
            mended.executions,
            genuine.alike,
            genuine.executions - genuine.found,
            genuine.first,
        )
        .expect("a string");
    }
    insta::assert_snapshot!("all", table);
}

#[test]
fn the_explorer_finds_the_same_and_proves_the_same_in_as_many_executions() {
    for experiment in ALL {
        let explored = |mended| {
            let trial = |chooser: Lent| {
                let (sys, _) = experiment.once(mended, chooser, |_| ());
                let found = sys.m.violations().clone();
                Ran { found, steps: sys.m.step(), placement: sys.m.placement_matters() }
            };
            search_all(&trial, Exhaustive::new(Bounds::default()), u64::MAX, |_| ())
        };
        let walked = search(experiment, false).found_after.expect("found");
        let Verdict::Violated { executions, .. } = explored(false) else { panic!("{}: not found", experiment.id) };
        assert_eq!(executions, walked as u64, "{}", experiment.id);
        let Verdict::Proved { executions, .. } = explored(true) else { panic!("{}: not proved", experiment.id) };
        assert_eq!(executions, search(experiment, true).executions as u64, "{}", experiment.id);
    }
}

#[test]
fn the_wing_has_all_the_items_that_were_asked_for_and_says_something_about_each() {
    let wanted = [10, 14, 15, 16, 17, 18, 19, 23, 25, 26, 27, 30, 31, 35, 37, 38, 40];
    let item = |experiment: &Experiment| experiment.id[1..].parse::<u32>().expect("Gn");
    let items: Vec<_> = ALL.iter().map(item).collect();
    assert!(items.is_sorted_by(|a, b| a < b), "{items:?}");
    assert!(wanted.iter().all(|item| items.contains(item)), "{items:?}");
    for e in ALL {
        for text in [e.title, e.says, e.mended_by] {
            assert!(text.len() > 20 && !text.contains("  "), "{}: {text:?}", e.id);
        }
        assert!(e.title.len() <= 90, "{}: a title is a line", e.id);
    }
}

#[test]
fn every_repair_is_switched_on_by_an_experiment_and_none_by_default() {
    for fix in Fix::ALL {
        let used = ALL.iter().filter(|e| (e.kernel)(true).core.fixes.has(*fix)).count();
        assert!(used > 0, "{fix:?} mends no experiment");
    }
    for e in ALL {
        assert_eq!((e.kernel)(false), fork_model::SystemConfig::default(), "{}: the genuine kernel", e.id);
    }
}
