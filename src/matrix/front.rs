//! By what designs are compared, which of them nobody beats, and what each value of an axis breaks.
//!
//! | criterion | what is counted, less is better |
//! |---|---|
//! | `cost_nobody` | bytes asked for, and one for each allocation, of a fork with nobody listening: in all, a worker and a helper included |
//! | `cost_one` | the same with one listener |
//! | `safety` | properties of [`Concern::Safety`] that are violated |
//! | `loss`, `order`, `truth` | properties of [`Concern::Loss`], [`Concern::Order`], [`Concern::Truth`] that are not kept: violated, or without a subject |
//!
//! A rule of safety that has no subject in a design cannot be broken there, and that is as good. But a design without
//! numbers, say, has nothing from which a listener could tell the order: it breaks no rule of order, and keeps none.
//!
//! A design *dominates* another one if it is worse by no criterion and better by one. Those that nobody dominates are the
//! front. What was not found counts as kept: the front stands on the searches of this survey.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Matrix;
use crate::property::{Concern, Found};

/// A design by the criteria.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Violated properties of safety.
    pub safety: u64,
    /// Properties of loss that are not kept.
    pub loss: u64,
    /// Properties of order that are not kept.
    pub order: u64,
    /// Properties of truth that are not kept.
    pub truth: u64,
    /// See the [module](self).
    pub cost_nobody: u64,
    /// See the [module](self).
    pub cost_one: u64,
}

impl Score {
    fn all(&self) -> [u64; 6] {
        [self.safety, self.loss, self.order, self.truth, self.cost_nobody, self.cost_one]
    }

    /// Whether it is worse by no criterion and better by one.
    #[must_use]
    pub fn dominates(&self, other: &Score) -> bool {
        self != other && self.all().iter().zip(other.all()).all(|(one, other)| *one <= other)
    }
}

/// A design that nobody dominates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnFront {
    /// The design.
    pub design: String,
    /// What it comes to.
    #[serde(flatten)]
    pub score: Score,
}

/// The front, the safest first.
pub type Front = Vec<OnFront>;

/// What a value of an axis breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blame {
    /// Designs that have it.
    pub designs: u64,
    /// Their violations.
    pub violations: u64,
    /// Those of them that another value of this axis alone would mend.
    pub caused: u64,
}

/// Axis, value, blame.
pub type Values = BTreeMap<String, BTreeMap<String, Blame>>;

/// The score of every row.
#[must_use]
pub fn scores(matrix: &Matrix) -> Vec<Score> {
    let concerns: Vec<_> = matrix.survey.properties.iter().map(|column| column.concern).collect();
    let score = |row: &super::Row| {
        let count = |concern, of: &[Found]| {
            row.found().zip(&concerns).filter(|(found, its)| **its == concern && of.contains(found)).count() as u64
        };
        let not_kept = |concern| count(concern, &[Found::Violated, Found::Silent]);
        let cost =
            |listeners| row.cost.iter().find(|cost| cost.listeners == listeners).map_or(0, super::cost::Cost::weight);
        Score {
            safety: count(Concern::Safety, &[Found::Violated]),
            loss: not_kept(Concern::Loss),
            order: not_kept(Concern::Order),
            truth: not_kept(Concern::Truth),
            cost_nobody: cost(0),
            cost_one: cost(1),
        }
    };
    matrix.rows.iter().map(score).collect()
}

/// The designs that nobody dominates.
#[must_use]
pub fn front(matrix: &Matrix) -> Front {
    let scores = scores(matrix);
    let distinct: BTreeSet<Score> = scores.iter().copied().collect();
    let best: BTreeSet<Score> =
        distinct.iter().filter(|score| !distinct.iter().any(|other| other.dominates(score))).copied().collect();
    let mut front: Front = matrix
        .rows
        .iter()
        .zip(&scores)
        .filter(|(_, score)| best.contains(score))
        .map(|(row, score)| OnFront { design: row.design.clone(), score: *score })
        .collect();
    // Stable: within a score the order of the rows stays.
    front.sort_by_key(|on| on.score);
    front
}

/// What every value of every axis breaks.
#[must_use]
pub fn values(matrix: &Matrix) -> Values {
    // For each axis: designs that differ on this axis alone, by what they share.
    let mut siblings: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
    let names: Vec<_> = matrix.rows.iter().map(|row| row.design().names()).collect();
    for (i, names) in names.iter().enumerate() {
        for axis in 0..names.len() {
            let others = names.iter().enumerate().filter(|(other, _)| *other != axis).map(|(_, (_, name))| *name);
            siblings.entry((axis, others.collect::<Vec<_>>().join(" "))).or_default().push(i);
        }
    }
    let mut values = Values::new();
    for ((axis, _), rows) in &siblings {
        for row in rows {
            let (axis, name) = names[*row][*axis];
            let blame = values.entry(axis.to_owned()).or_default().entry(name.to_owned()).or_default();
            blame.designs += 1;
            for (column, found) in matrix.rows[*row].found().enumerate() {
                if found == Found::Violated {
                    blame.violations += 1;
                    let mended = |other: &&usize| matrix.rows[**other].cells[column].found < Found::Violated;
                    blame.caused += u64::from(rows.iter().any(|other| mended(&other)));
                }
            }
        }
    }
    values
}
