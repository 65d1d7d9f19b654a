//! Designs that behave alike, in few words.
//!
//! A group is a *box*: a set of values for each axis, whose possible combinations are all alike. So it has a short name that
//! says exactly which designs are meant: `gate not counter, format bare`.

use std::collections::BTreeSet;

use fork_model::Design;

/// A box of designs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their numbers, in order.
    pub members: Vec<usize>,
    /// For each of [`AXES`] what has to be said of it, such as `keys|bare` or `not none`; `None`: any value.
    pub said: [Option<String>; 4],
}

impl Group {
    /// Its name; the hook does not belong to it.
    #[must_use]
    pub fn label(&self) -> String {
        let said = AXES.iter().zip(&self.said).filter_map(|(axis, said)| Some(format!("{axis} {}", said.as_ref()?)));
        let said: Vec<_> = said.collect();
        if said.is_empty() { "any".to_owned() } else { said.join(", ") }
    }
}

/// The axes of a label. The hook stands above the groups.
pub const AXES: [&str; 4] = ["gate", "sequence", "format", "delivery"];

/// For each axis of [`AXES`] the values of a box.
type Sets = [BTreeSet<&'static str>; 4];

fn values(design: &Design) -> [&'static str; 4] {
    let [_, gate, sequence, format, delivery] = design.names();
    [gate.1, sequence.1, format.1, delivery.1]
}

fn is_in(sets: &Sets, design: &Design) -> bool {
    values(design).iter().zip(sets).all(|(value, set)| set.contains(value))
}

/// Parts designs of one hook, each with the key of its behaviour, into boxes of equal behaviour, in the order of their first
/// members.
#[must_use]
pub fn groups<K: PartialEq>(designs: &[(usize, Design, K)]) -> Vec<Group> {
    let mut left: Vec<bool> = vec![true; designs.len()];
    let mut groups = Vec::new();
    while let Some(first) = left.iter().position(|left| *left) {
        let fits = |sets: &Sets| {
            let mut inside = designs.iter().enumerate().filter(|(_, (_, design, _))| is_in(sets, design));
            inside.all(|(i, (_, _, key))| left[i] && *key == designs[first].2)
        };
        let sets = grow(designs, values(&designs[first].1), fits);
        let inside: Vec<_> = (0..designs.len()).filter(|i| is_in(&sets, &designs[*i].1)).collect();
        inside.iter().for_each(|i| left[*i] = false);
        let said = said(designs, &sets, &inside);
        groups.push(Group { members: inside.into_iter().map(|i| designs[i].0).collect(), said });
    }
    groups
}

/// The largest box around a design that a greedy search finds, over the orders in which axes may grow.
fn grow<K>(designs: &[(usize, Design, K)], seed: [&'static str; 4], fits: impl Fn(&Sets) -> bool) -> Sets {
    let axes: [Vec<&'static str>; 4] = AXES.map(|axis| Design::choices(axis).unwrap_or_default());
    let mut best: Option<(usize, Sets)> = None;
    // Enough orders that each axis is once the first to grow, and each once the last.
    for order in [[3, 2, 1, 0], [0, 1, 2, 3], [1, 2, 0, 3], [2, 1, 3, 0], [0, 3, 1, 2], [1, 3, 2, 0]] {
        let mut sets: Sets = seed.map(|value| BTreeSet::from([value]));
        for axis in order {
            for value in &axes[axis] {
                let mut larger = sets.clone();
                larger[axis].insert(value);
                if larger != sets && fits(&larger) {
                    sets = larger;
                }
            }
        }
        let size = designs.iter().filter(|(_, design, _)| is_in(&sets, design)).count();
        if best.as_ref().is_none_or(|(most, _)| size > *most) {
            best = Some((size, sets));
        }
    }
    best.expect("several orders were tried").1
}

/// What is said of a box: every axis that has to be named, so that exactly these designs are meant.
fn said<K>(designs: &[(usize, Design, K)], sets: &Sets, inside: &[usize]) -> [Option<String>; 4] {
    let size = |sets: &Sets| designs.iter().filter(|(_, design, _)| is_in(sets, design)).count();
    let all = |axis: usize| Design::choices(AXES[axis]).unwrap_or_default();
    // A box may have grown by values that no design in it has.
    let mut said = sets.clone();
    for (axis, set) in said.iter_mut().enumerate() {
        set.retain(|value| inside.iter().any(|i| values(&designs[*i].1)[axis] == *value));
    }
    // The number needs room, and so depends on the format; the format on the delivery.
    for axis in [1, 2, 0, 3] {
        let mut open = said.clone();
        open[axis] = all(axis).into_iter().collect();
        if size(&open) == inside.len() {
            said = open;
        }
    }
    std::array::from_fn(|axis| {
        let mut open = said.clone();
        open[axis] = all(axis).into_iter().collect();
        if open == said {
            return None;
        }
        let has = |value: &&str| inside.iter().any(|i| values(&designs[*i].1)[axis] == *value);
        let could =
            |value: &&str| designs.iter().any(|(_, design, _)| is_in(&open, design) && values(design)[axis] == *value);
        let (has, not): (Vec<_>, Vec<_>) = all(axis).into_iter().filter(could).partition(has);
        Some(match not[..] {
            [not] if has.len() > 1 => format!("not {not}"),
            _ => has.join("|"),
        })
    })
}
