//! All designs against all properties.
//!
//! | module | holds |
//! |---|---|
//! | [`judge`](mod@judge) | one search of a scenario under a design, for all properties that look there |
//! | [`cost`] | what one fork pays for a design |
//! | [`front`] | the criteria by which designs are compared, who dominates whom, and what each value of an axis breaks |
//! | [`group`] | designs that behave alike, in few words |
//! | [`table`] | the matrix for people, and as csv |
//! | [`merge`] | shards into the whole |
//! | [`verdict`](mod@verdict) | the page that says what should have been answered |
//!
//! A [`Matrix`] is its JSON: a survey that was made in shards and merged is, byte for byte, the one made at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fork_model::Design;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sim::explore::parallel::Shard;

use crate::property::{Case, Concern, Found, Property};

pub mod cost;
pub mod front;
pub mod group;
pub mod judge;
pub mod merge;
pub mod table;
pub mod verdict;

use cost::Cost;
use front::{Front, Values};
use judge::{Effort, Judged, judge};

/// The version of the JSON.
pub const FORMAT: u32 = 1;

/// What is surveyed: equal in all shards of one survey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    /// How many designs.
    pub designs: usize,
    /// Axes that are fixed, and to what.
    pub fixed: BTreeMap<String, String>,
    /// How long is searched.
    pub effort: Effort,
    /// The columns.
    pub properties: Vec<Column>,
}

/// A property, and where it is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// `P1` to `P28`.
    pub id: String,
    /// In a few words, as what goes wrong.
    pub title: String,
    /// What it is about.
    pub concern: Concern,
    /// Scenario and number of allocations that may fail, such as `tour` or `tour+1`.
    pub cases: Vec<String>,
}

/// One property under one design.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The property.
    pub property: String,
    /// The worst of its cases.
    pub found: Found,
    /// Runs that it stands on, of all its cases.
    pub runs: u64,
    /// If it is violated: how.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub violated: Option<Broken>,
}

/// How a property is violated, in the first of its cases where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// The case.
    pub case: String,
    /// What was found, in a sentence.
    pub text: String,
    /// The line with which `forklab replay` shows it. As it was found, not shrunk.
    pub replay: String,
}

/// One design.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The design, all of its axes.
    pub design: String,
    /// With 0, 1 and 2 listeners.
    pub cost: Vec<Cost>,
    /// In the order of the columns.
    pub cells: Vec<Cell>,
}

impl Row {
    /// The design as a value.
    ///
    /// # Panics
    /// If it is none; what was read from a file was checked.
    #[must_use]
    pub fn design(&self) -> Design {
        self.design.parse().expect("checked")
    }

    /// What was found, column by column.
    pub fn found(&self) -> impl Iterator<Item = Found> {
        self.cells.iter().map(|cell| cell.found)
    }
}

/// A survey and what came of it, or a shard of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// What this is: `matrix`.
    pub forklab: String,
    /// The version of the program that made it.
    pub version: String,
    /// [`FORMAT`].
    pub format: u32,
    /// What is surveyed.
    pub survey: Survey,
    /// Which shard this is, as `2/8`; the whole has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<String>,
    /// One a design, in the order of [`Design::all`].
    pub rows: Vec<Row>,
    /// What each value of each axis breaks; of the whole only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub axes: Option<Values>,
    /// The designs that no other one dominates; of the whole only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub front: Option<Front>,
}

/// What to survey.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The designs, in the order of [`Design::all`].
    pub designs: Vec<Design>,
    /// Axes that are fixed.
    pub fixed: BTreeMap<String, String>,
    /// The columns.
    pub properties: Vec<&'static Property>,
    /// How long is searched.
    pub effort: Effort,
    /// Which of the designs.
    pub shard: Shard,
}

/// A case in a word: `tour`, or `tour+1` if one allocation may fail.
#[must_use]
pub fn case_name(case: Case) -> String {
    match case.faults {
        0 => case.scenario.to_owned(),
        faults => format!("{}+{faults}", case.scenario),
    }
}

/// One search: a scenario under a design, and the columns that look there.
struct Search {
    row: usize,
    case: Case,
    columns: Vec<usize>,
}

impl Plan {
    /// What is surveyed, as the JSON says it.
    #[must_use]
    pub fn survey(&self) -> Survey {
        let column = |property: &&'static Property| Column {
            id: property.id.to_owned(),
            title: property.title.to_owned(),
            concern: property.concern,
            cases: property.cases.iter().copied().map(case_name).collect(),
        };
        Survey {
            designs: self.designs.len(),
            fixed: self.fixed.clone(),
            effort: self.effort,
            properties: self.properties.iter().map(column).collect(),
        }
    }

    /// The searches of these designs, scenario by scenario.
    fn searches(&self, designs: &[Design]) -> Vec<Search> {
        let mut cases: Vec<Case> = Vec::new();
        for case in self.properties.iter().flat_map(|property| property.cases) {
            if !cases.contains(case) {
                cases.push(*case);
            }
        }
        let mut searches = Vec::new();
        for (row, design) in designs.iter().enumerate() {
            for case in &cases {
                let looks = |property: &Property| property.cases.contains(case) && (property.silent)(design).is_none();
                let columns: Vec<_> = (0..self.properties.len()).filter(|i| looks(self.properties[*i])).collect();
                if !columns.is_empty() {
                    searches.push(Search { row, case: *case, columns });
                }
            }
        }
        searches
    }

    /// Makes the survey, on all cores of rayon's current pool. `progress` hears how many searches are done, of how many.
    #[must_use]
    pub fn run(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Matrix {
        let mine: Vec<Design> =
            self.designs.iter().enumerate().filter(|(i, _)| self.shard.has(*i)).map(|(_, design)| *design).collect();
        let searches = self.searches(&mine);
        let (done, all) = (AtomicU64::new(0), searches.len() as u64);
        progress(0, all);
        let judged: Vec<Vec<Judged>> = searches
            .par_iter()
            .map(|search| {
                let properties: Vec<_> = search.columns.iter().map(|column| self.properties[*column]).collect();
                let judged = judge(search.case, mine[search.row], &properties, self.effort);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, all);
                judged
            })
            .collect();
        let mut rows: Vec<Row> = mine.par_iter().map(|design| self.empty_row(*design)).collect();
        for (search, judged) in searches.iter().zip(judged) {
            for (column, judged) in search.columns.iter().zip(judged) {
                let cell = &mut rows[search.row].cells[*column];
                add(cell, self.properties[*column], search.case, mine[search.row], judged);
            }
        }
        let mut matrix = Matrix {
            forklab: "matrix".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            format: FORMAT,
            survey: self.survey(),
            shard: (self.shard != Shard::ALL).then(|| self.shard.to_string()),
            rows,
            axes: None,
            front: None,
        };
        matrix.conclude();
        matrix
    }

    fn empty_row(&self, design: Design) -> Row {
        let cell = |property: &&'static Property| Cell {
            property: property.id.to_owned(),
            found: Found::Silent,
            runs: 0,
            violated: None,
        };
        Row {
            design: design.to_string(),
            cost: cost::measure(design),
            cells: self.properties.iter().map(cell).collect(),
        }
    }
}

/// What one case says, over what the others said.
fn add(cell: &mut Cell, property: &'static Property, case: Case, design: Design, judged: Judged) {
    cell.found = cell.found.max(judged.found);
    cell.runs += judged.runs;
    let Some((text, answers)) = judged.violated.filter(|_| cell.violated.is_none()) else { return };
    let (trial, finding) = judge::finding(property, case, design, &answers);
    cell.violated = Some(Broken { case: case_name(case), text, replay: trial.spec(&finding).to_string() });
}

impl Matrix {
    /// What can be said of the whole only.
    fn conclude(&mut self) {
        if self.shard.is_none() {
            self.axes = Some(front::values(self));
            self.front = Some(front::front(self));
        }
    }
}
