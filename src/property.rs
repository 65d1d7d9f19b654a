//! Properties of a notification: rules that a design keeps or breaks, each with the remark that it was made of.
//!
//! A property is one function over a run that is over; its doc comment is the rule. Where it is looked for stands beside it:
//! small scenarios, of which every schedule is tried and, where it says so, every failing allocation. What breaks is a
//! [`Violation`]: of the law, or of one of the machine's own rules.
//!
//! | module | asks |
//! |---|---|
//! | [`safety`] | may the kernel do that there? |
//! | [`truth`] | is it so, and said in time? |
//! | [`numbers`] | what are the numbers good for? |
//! | [`words`] | what is on the wire, and who understands it? |
//! | [`trust`] | who may listen, and who may speak? |
//! | [`cost`] | who pays, and how much? |
//! | [`gates`] | who is asked whether somebody listens? |
//! | [`loss`] | what is lost, and who learns of it? |
//!
//! `forklab check` tries one design against all of them, `forklab matrix` all designs, `forklab museum` shows where each was
//! broken in history.

use fork_model::Design;
use fork_model::facts::{Fact, Paid};
use sim::{Ended, Law, Rule, Violation};

use crate::lab::observe::Observed;

mod account;
pub mod check;
pub mod cost;
pub mod gates;
mod look;
pub mod loss;
pub mod numbers;
pub mod parsers;
pub mod safety;
pub mod trial;
pub mod trust;
pub mod truth;
pub mod words;

pub use look::{Event, Forked};
pub use trial::{CaseTrial, Found, check_case};

/// All properties, in the order of their numbers.
pub const ALL: &[&Property] = &[
    &cost::P1,
    &cost::P2,
    &gates::P3,
    &gates::P4,
    &gates::P5,
    &gates::P6,
    &words::P7,
    &cost::P8,
    &words::P9,
    &words::P10,
    &numbers::P11,
    &numbers::P12,
    &cost::P13,
    &numbers::P14,
    &truth::P15,
    &safety::P16,
    &safety::P17,
    &safety::P18,
    &truth::P19,
    &truth::P20,
    &loss::P21,
    &loss::P22,
    &loss::P23,
    &cost::P24,
    &cost::P25,
    &cost::P26,
    &words::P27,
    &trust::P28,
];

/// What a property is about: the columns of the matrix are grouped by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concern {
    /// Memory that is not the reader's, contexts in which nothing may sleep, leaks.
    Safety,
    /// Events that do not arrive, told or untold.
    Loss,
    /// What comes before what.
    Order,
    /// Who pays, and how much.
    Cost,
    /// Whether what is said is so.
    Truth,
    /// Who may listen and speak, and who understands.
    Interface,
}

/// A remark on the kernel list, or where else a property comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Remark {
    /// `2005-02-11`, or what is known of it.
    pub date: &'static str,
    /// Who said it.
    pub who: &'static str,
    /// Message-Id, CVE or commit; empty if there is none.
    pub source: &'static str,
}

/// Where a property is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// A built-in scenario.
    pub scenario: &'static str,
    /// How many allocations of a run may fail, any of them.
    pub faults: u32,
}

impl Case {
    /// This scenario, in which no allocation fails.
    #[must_use]
    pub const fn of(scenario: &'static str) -> Case {
        Case { scenario, faults: 0 }
    }

    /// The same, in which so many allocations may fail.
    #[must_use]
    pub const fn with_faults(self, faults: u32) -> Case {
        Case { faults, ..self }
    }
}

/// What a law says of a run: kept, or broken.
pub type Judgement = Result<(), Broken>;

/// How a law was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// In which step; `None`: it takes the whole run to see it.
    pub step: Option<u64>,
    /// How, in a sentence.
    pub text: String,
}

/// Broken in this step.
///
/// # Errors
/// Always: it is the end of a law.
pub fn broken(step: u64, text: impl Into<String>) -> Judgement {
    Err(Broken { step: Some(step), text: text.into() })
}

/// Broken, as the whole run shows.
///
/// # Errors
/// Always: it is the end of a law.
pub fn broken_in_all(text: impl Into<String>) -> Judgement {
    Err(Broken { step: None, text: text.into() })
}

/// A property. Made by the macro `property!`.
pub struct Property {
    /// `P1` to `P28`.
    pub id: &'static str,
    /// In a few words, as what goes wrong.
    pub title: &'static str,
    /// The rule in a sentence: the doc comment of its function.
    pub rule: &'static str,
    /// Where it comes from, the first remark first.
    pub remarks: &'static [Remark],
    /// What it is about.
    pub concern: Concern,
    /// Rules of the machine whose violation breaks the property.
    pub rules: &'static [Rule],
    /// Where it is looked for.
    pub cases: &'static [Case],
    /// The function.
    pub law: fn(&Run<'_>) -> Judgement,
    /// Designs to which it has nothing to say, and why: `Some(reason)`.
    pub silent: fn(&Design) -> Option<&'static str>,
}

impl Property {
    /// The property of an id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<&'static Property> {
        ALL.iter().copied().find(|property| property.id == id)
    }

    /// It as a rule that a violation names.
    #[must_use]
    pub fn as_rule(&self) -> Rule {
        Rule::Law(Law { id: self.id, sentence: self.rule })
    }

    /// The machine's own findings that break it: also of a run that was broken off, of which no law can speak.
    pub fn objected_in(&self, run: &Run<'_>) -> Vec<Violation> {
        let machine = run.observed.world.sys.m.violations();
        machine.iter().filter(|violation| self.rules.contains(&violation.rule)).cloned().collect()
    }

    /// What of a run breaks it, the machine's own findings first. The law's is reported to the machine.
    pub fn broken_in(&self, run: &Run<'_>) -> Vec<Violation> {
        let mut found = self.objected_in(run);
        if let Err(Broken { step, text }) = (self.law)(run) {
            let m = &run.observed.world.sys.m;
            m.report_at(step.unwrap_or(run.observed.steps), self.as_rule(), text);
            found.extend(m.violations().last().cloned());
        }
        found
    }
}

impl PartialEq for Property {
    fn eq(&self, other: &Property) -> bool {
        self.id == other.id
    }
}
impl Eq for Property {}

impl std::fmt::Debug for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// A run that is over, as a law sees it.
pub struct Run<'a> {
    /// The design that ran.
    pub design: Design,
    /// All that is known of it.
    pub observed: &'a Observed,
}

/// What a notification in the forking task cost and came to: the fields of [`Fact::Told`].
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// In which step it returned.
    pub step: u64,
    /// The pid that `do_fork()` allocated, and what was reported.
    pub child_true: i32,
    /// See `child_true`.
    pub child_said: i32,
    /// The parent that was reported.
    pub parent_said: i32,
    /// What came of it.
    pub outcome: fork_model::facts::Outcome,
    /// What it cost the forking task.
    pub paid: Paid,
    /// In which step it began.
    pub begun: u64,
    /// The number that the event got.
    pub seq: Option<fork_model::design::Seq>,
}

impl Run<'_> {
    /// What really happened, by step.
    #[must_use]
    pub fn facts(&self) -> &[(u64, Fact)] {
        &self.observed.facts
    }

    /// Every notification, in the order in which they returned.
    pub fn told(&self) -> impl Iterator<Item = Told> {
        self.facts().iter().filter_map(|(step, fact)| match *fact {
            Fact::Told { child_true, parent_said, child_said, outcome, seq, begun, paid, .. } => {
                Some(Told { step: *step, child_true, child_said, parent_said, outcome, paid, begun, seq })
            }
            _ => None,
        })
    }

    /// Whether it came to its end: nobody waits for what cannot come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.observed.ended == Ended::Quiet
    }
}

/// States a property: its doc comment is the rule.
macro_rules! property {
    (
        $(#[doc = $doc:literal])+
        $id:ident $title:literal, $concern:ident;
        said: [$($date:literal $who:literal $source:literal),+ $(,)?];
        rules: [$($rule:ident),* $(,)?];
        cases: [$($case:expr),+ $(,)?];
        $(silent: $silent:expr;)?
        fn $name:ident($run:ident) $body:block
    ) => {
        $(#[doc = $doc])+
        pub fn $name($run: &$crate::property::Run<'_>) -> $crate::property::Judgement $body

        #[doc = concat!("[`", stringify!($name), "`]: ", $title, ".")]
        pub const $id: $crate::property::Property = $crate::property::Property {
            id: stringify!($id),
            title: $title,
            rule: concat!($($doc),+).trim_ascii(),
            remarks: &[$($crate::property::Remark { date: $date, who: $who, source: $source }),+],
            concern: $crate::property::Concern::$concern,
            rules: &[$(sim::Rule::$rule),*],
            cases: &[$($case),+],
            law: $name,
            silent: {
                #[allow(unused_mut, unused_assignments)]
                let mut silent: fn(&fork_model::Design) -> Option<&'static str> = |_| None;
                $(silent = $silent;)?
                silent
            },
        };
    };
}
pub(crate) use property;
