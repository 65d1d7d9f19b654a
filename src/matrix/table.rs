//! The matrix for people, and as csv.

use std::collections::BTreeSet;
use std::fmt::Write;

use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::{Design, Hook};

use super::front::Score;
use super::group::{Group, groups};
use super::{Matrix, Row};
use crate::lab::report::plural;
use crate::property::Found;

/// Lines of cells after which the columns are named again.
const SCREEN: usize = 40;

/// One character a cell.
#[must_use]
pub fn letter(found: Found) -> char {
    match found {
        Found::Silent => '-',
        Found::Proved => '.',
        Found::NotFound => '?',
        Found::Violated => 'X',
    }
}

/// Designs that have a name in history.
#[must_use]
pub fn famous() -> [(&'static str, Design); 3] {
    let mainline = Design {
        hook: Hook::Locked,
        gate: Gate::Counter,
        sequence: Sequence::PerCpu,
        format: Format::ConnectorStruct,
        delivery: Delivery::Broadcast,
    };
    [
        ("posted 2005-02", Design::default()),
        ("mainline 2005-11", mainline),
        ("2.6.15-rc3", Design { hook: Hook::BeforeWake, ..mainline }),
    ]
}

/// A hook, and its designs in groups of equal behaviour.
pub struct OfHook {
    /// The hook.
    pub hook: &'static str,
    /// How many designs.
    pub designs: usize,
    /// The groups.
    pub groups: Vec<Group>,
}

impl Matrix {
    /// All designs, by hook and then by equal behaviour.
    #[must_use]
    pub fn by_hook(&self) -> Vec<OfHook> {
        let designs: Vec<Design> = self.rows.iter().map(Row::design).collect();
        let of = |hook: &Hook| {
            let mine = designs.iter().enumerate().filter(|(_, design)| design.hook == *hook);
            let mine: Vec<_> = mine.map(|(i, design)| (i, *design, self.rows[i].found().collect::<Vec<_>>())).collect();
            let mut groups = groups(&mine);
            let cells = |group: &Group| self.rows[group.members[0]].found().collect::<Vec<_>>();
            let violated = |cells: &[Found]| cells.iter().filter(|found| **found == Found::Violated).count();
            // The best first, and what behaves alike side by side.
            groups.sort_by_cached_key(|group| {
                let cells = cells(group);
                (violated(&cells), cells)
            });
            OfHook { hook: hook.name(), designs: mine.len(), groups }
        };
        Hook::ALL.iter().map(of).filter(|of| of.designs > 0).collect()
    }

    /// The rows that are on the front.
    #[must_use]
    pub fn front_rows(&self) -> BTreeSet<usize> {
        let front: BTreeSet<_> = self.front.iter().flatten().map(|on| on.design.as_str()).collect();
        (0..self.rows.len()).filter(|i| front.contains(self.rows[*i].design.as_str())).collect()
    }

    /// The rows of the designs that have a name.
    #[must_use]
    pub fn famous_rows(&self) -> Vec<(&'static str, usize)> {
        let row = |design: Design| self.rows.iter().position(|row| row.design == design.to_string());
        famous().into_iter().filter_map(|(name, design)| Some((name, row(design)?))).collect()
    }

    /// The table for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("a String takes everything");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let count = |found| self.rows.iter().flat_map(Row::found).filter(|cell| *cell == found).count();
        let columns = self.survey.properties.len();
        writeln!(out, " {}, {}", plural(self.rows.len() as u64, "design"), properties(columns))?;
        for (found, what) in [
            (Found::Violated, "violated"),
            (Found::NotFound, "not found within the bounds"),
            (Found::Proved, "proved: every run of its small scenarios was tried"),
            (Found::Silent, "nothing to say to this design"),
        ] {
            writeln!(out, "   {}  {:>6}  {what}", letter(found), count(found))?;
        }
        writeln!(out, "   *          some of these designs are on the Pareto front, below\n")?;
        for column in &self.survey.properties {
            writeln!(out, " {:<4}{:<10}{}", column.id, format!("{:?}", column.concern).to_lowercase(), column.title)?;
        }
        let (front, famous) = (self.front_rows(), self.famous_rows());
        for of in self.by_hook() {
            writeln!(out, "\n hook {}, {}", of.hook, plural(of.designs as u64, "design"))?;
            // As if the heads had just scrolled away.
            let mut lines = SCREEN;
            for group in &of.groups {
                if lines >= SCREEN {
                    self.heads(out)?;
                    lines = 0;
                }
                let cells: String = self.rows[group.members[0]].found().map(letter).collect();
                let mark = if group.members.iter().any(|member| front.contains(member)) { '*' } else { ' ' };
                let indent = 9 + columns;
                let names: String = famous
                    .iter()
                    .filter(|(_, row)| group.members.contains(row))
                    .map(|(name, _)| format!(" ({name})"))
                    .collect();
                let label = wrapped(&format!("{}{names}", group.label()), 79usize.saturating_sub(indent).max(30));
                lines += label.len();
                let label = label.join(&format!("\n{}", " ".repeat(indent)));
                writeln!(out, " {mark}{:>4}  {cells} {label}", group.members.len())?;
            }
        }
        self.blame(out)?;
        self.fronts(out)
    }

    /// The columns' ids, upright: tens above units.
    fn heads(&self, out: &mut String) -> std::fmt::Result {
        let ids: Vec<&str> = self.survey.properties.iter().map(|column| column.id.as_str()).collect();
        let height = ids.iter().map(|id| id.len()).max().unwrap_or(0);
        for line in 0..height {
            let letter = |id: &&str| {
                let digits = &id[1..];
                match line {
                    0 => 'P',
                    _ => format!("{digits:>width$}", width = height - 1).chars().nth(line - 1).unwrap_or(' '),
                }
            };
            let line: String = ids.iter().map(letter).collect();
            writeln!(out, "        {line}")?;
        }
        Ok(())
    }

    fn blame(&self, out: &mut String) -> std::fmt::Result {
        let Some(axes) = &self.axes else { return Ok(()) };
        writeln!(out, "\n what each value breaks; caused: another value of this axis alone would mend it")?;
        writeln!(out, "   {:<28}{:>8}{:>12}{:>9}{:>14}", "", "designs", "violations", "caused", "caused/design")?;
        for axis in ["hook", "gate", "sequence", "format", "delivery"] {
            let Some(values) = axes.get(axis).filter(|values| values.len() > 1) else { continue };
            for name in Design::choices(axis).unwrap_or_default() {
                let Some(blame) = values.get(name) else { continue };
                let each = tenths(blame.caused, blame.designs);
                let (designs, violations, caused) = (blame.designs, blame.violations, blame.caused);
                let what = format!("{axis} {name}");
                writeln!(out, "   {what:<28}{designs:>8}{violations:>12}{caused:>9}{each:>14}")?;
            }
        }
        Ok(())
    }

    fn fronts(&self, out: &mut String) -> std::fmt::Result {
        let Some(front) = &self.front else { return Ok(()) };
        writeln!(out, "\n the Pareto front: no design is worse by none of these and better by one")?;
        writeln!(out, "   {:>6}{:>6}{:>7}{:>7}{:>8}{:>8}", "safety", "loss", "order", "truth", "nobody", "one")?;
        let mut last = None;
        for on in front {
            if last != Some(on.score) {
                let Score { safety, loss, order, truth, cost_nobody, cost_one } = on.score;
                writeln!(out, "   {safety:>6}{loss:>6}{order:>7}{truth:>7}{cost_nobody:>8}{cost_one:>8}")?;
                last = Some(on.score);
            }
            writeln!(out, "     {}", on.design)?;
        }
        let note = " safety: properties violated; loss, order, truth: not kept, violated or without a subject;\n \
                    nobody, one: bytes asked for and one for each allocation, of a fork with so many\n \
                    listeners, workers and helpers included.";
        writeln!(out, "\n{note}")
    }

    /// The matrix as csv: a design a line.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = String::from("hook,gate,sequence,format,delivery,front");
        for listeners in super::cost::LISTENERS {
            let _ = write!(out, ",allocations_{listeners},bytes_{listeners},steps_{listeners},locks_{listeners}");
        }
        self.survey.properties.iter().for_each(|column| out += &format!(",{}", column.id));
        out.push('\n');
        let front = self.front_rows();
        for (i, row) in self.rows.iter().enumerate() {
            out += &row.design().names().map(|(_, name)| name).join(",");
            out += if front.contains(&i) { ",yes" } else { ",no" };
            for cost in &row.cost {
                let all = cost.in_all;
                let _ = write!(out, ",{},{},{},{}", all.allocations, all.bytes, all.steps, cost.locks);
            }
            for found in row.found() {
                out += match found {
                    Found::Silent => ",silent",
                    Found::Proved => ",proved",
                    Found::NotFound => ",not-found",
                    Found::Violated => ",violated",
                };
            }
            out.push('\n');
        }
        out
    }
}

/// `1 property`, `28 properties`.
pub(crate) fn properties(count: usize) -> String {
    format!("{count} {}", if count == 1 { "property" } else { "properties" })
}

/// A quotient with one decimal, without a float.
fn tenths(part: u64, of: u64) -> String {
    let tenths = (part * 20 / of.max(1)).div_ceil(2);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A text in lines of at most so many characters, broken at blanks.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("never empty");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
