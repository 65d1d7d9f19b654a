//! The matrix as a picture: what each value of each axis breaks, designs of history, then all designs by hook and behaviour.
//!
//! What was found is told three times, by lightness, by colour and by shape, so that it can be read in grey and by whoever
//! sees colours otherwise. Fonts are generic; nothing is loaded from anywhere.

use std::collections::BTreeSet;
use std::fmt::Write;

use fork_model::{Design, Hook};

use crate::lab::report::plural;
use crate::matrix::front::Score;
use crate::matrix::group::{AXES, Group, groups};
use crate::matrix::table::properties;
use crate::matrix::{Matrix, Row};
use crate::property::{Concern, Found};

const WIDTH: u32 = 1600;
const MARGIN: u32 = 24;
/// Where cells begin; labels stand left of it.
const CELLS: u32 = 640;
const CELL: u32 = 24;
const ROW: u32 = 14;
/// Where the columns of the axes begin.
const SAID: [u32; 4] = [32, 200, 330, 470];
/// Between concerns.
const GAP: u32 = 8;
/// A concern's name has room, however few columns it has.
const CONCERN: u32 = 66;
/// The slanted titles.
const TITLES: u32 = 290;
/// Letters of one of them.
const TITLE: usize = 56;
/// Where the first row of the head ends.
const HEAD: u32 = 120;
/// Scores of the front that are written out.
const SHOWN: usize = 12;

const STYLE: &str = "\
text{font-family:sans-serif;font-size:11.5px;fill:#1a1a1a}.h{font-size:24px;font-weight:bold}.s{font-size:13px;fill:#444}\
.k{font-size:15px;font-weight:bold}.c{font-size:12px;font-weight:bold;text-anchor:middle}.n{fill:#555;text-anchor:end}\
.m{font-weight:bold}.t{font-family:monospace;font-size:12px}.f{font-weight:bold;fill:#00527a}.b{fill:#a3260f}.a{font-style:italic;fill:#777}";

/// The shapes of the cells, each around its own upper left corner.
const SHAPES: &str = "\
<g id=\"v\"><rect width=\"23\" height=\"13\" fill=\"#a3260f\"/><path d=\"M8 3l7 7m0-7l-7 7\" stroke=\"#fff\" stroke-width=\"2.2\"/></g>\
<g id=\"n\"><rect width=\"23\" height=\"13\" fill=\"#e8b04a\"/><path d=\"M9 4.6a2.5 2.2 0 1 1 4 1.7q-1.5.9-1.5 1.7\" fill=\"none\" \
stroke=\"#1a1a1a\" stroke-width=\"1.5\"/><circle cx=\"11.5\" cy=\"10.6\" r=\"1\" fill=\"#1a1a1a\"/></g>\
<g id=\"p\"><rect width=\"23\" height=\"13\" fill=\"#cfe6f5\"/><circle cx=\"11.5\" cy=\"6.5\" r=\"1.8\" fill=\"#1f5f8b\"/></g>\
<g id=\"s\"><rect x=\".5\" y=\".5\" width=\"22\" height=\"12\" fill=\"#fff\" stroke=\"#ddd\"/><path d=\"M9.5 6.5h4\" stroke=\"#aaa\"/></g>\
<rect id=\"b\" width=\"23\" height=\"13\" fill=\"#cfe6f5\"/>\
<path id=\"star\" d=\"M0-7l2 5 5.3.3-4.1 3.4 1.4 5.2L0 4l-4.6 2.9 1.4-5.2-4.1-3.4L-2-2z\" fill=\"#00527a\"/>\
<path id=\"arrow\" d=\"M0 0l8-5v10z\" fill=\"#1a1a1a\"/>";

fn shape(found: Found) -> &'static str {
    match found {
        Found::Violated => "v",
        Found::NotFound => "n",
        Found::Proved => "p",
        Found::Silent => "s",
    }
}

/// Text that XML takes.
fn xml(text: &str) -> String {
    let plain = |c: &char| !c.is_control();
    text.chars().filter(plain).collect::<String>().replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// A column and where it stands.
struct Column {
    number: usize,
    x: u32,
}

/// The columns from left to right, and the concerns with the middle of each.
fn columns(matrix: &Matrix) -> (Vec<Column>, Vec<(Concern, u32, u32)>) {
    let properties = &matrix.survey.properties;
    let concerns: BTreeSet<Concern> = properties.iter().map(|column| column.concern).collect();
    let (mut columns, mut heads, mut x) = (Vec::new(), Vec::new(), CELLS);
    for concern in concerns {
        let start = x;
        for (number, _) in properties.iter().enumerate().filter(|(_, column)| column.concern == concern) {
            columns.push(Column { number, x });
            x += CELL;
        }
        x = x.max(start + CONCERN);
        heads.push((concern, start, x - 2));
        x += GAP;
    }
    (columns, heads)
}

/// Draws a matrix as SVG.
#[must_use]
pub fn heat_map(matrix: &Matrix) -> String {
    let mut body = String::new();
    let height = draw(matrix, &mut body).expect("a String takes everything");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\n\
         <title>forklab matrix: designs of the fork notification against its properties</title>\n\
         <style>{STYLE}</style>\n<defs>{SHAPES}</defs>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

fn draw(matrix: &Matrix, out: &mut String) -> Result<u32, std::fmt::Error> {
    let (columns, concerns) = columns(matrix);
    head(matrix, out)?;
    titles(matrix, &columns, &concerns, out)?;
    let page = Page { matrix, columns, front: matrix.front_rows(), famous: matrix.famous_rows() };
    let y = page.values(HEAD + TITLES + 34, out)?;
    let y = page.famous(y, out)?;
    let y = page.designs(y, out)?;
    foot(matrix, y + 30, out)
}

/// What the parts of the picture share.
struct Page<'a> {
    matrix: &'a Matrix,
    columns: Vec<Column>,
    front: BTreeSet<usize>,
    famous: Vec<(&'static str, usize)>,
}

impl Page<'_> {
    /// A head with a line above it. Returns where its rows begin.
    fn section(y: u32, title: &str, out: &mut String) -> Result<u32, std::fmt::Error> {
        writeln!(out, "<path d=\"M{MARGIN} {}H{}\" stroke=\"#888\"/>", y + 6, WIDTH - MARGIN)?;
        writeln!(out, "<text class=\"k\" x=\"{MARGIN}\" y=\"{}\">{title}</text>", y + 26)?;
        Ok(y + 34)
    }

    /// Where marks stand.
    fn right(&self) -> u32 {
        self.columns.last().map_or(CELLS, |column| column.x).max(CELLS + CONCERN) + CELL + 12
    }

    /// The share of designs that break each property, by value of each axis: what a value is good for, at a glance.
    fn values(&self, y: u32, out: &mut String) -> Result<u32, std::fmt::Error> {
        let mut y = Page::section(y, "each value of each axis: how many of its designs break a property", out)?;
        let names: Vec<_> = self.matrix.rows.iter().map(|row| row.design().names()).collect();
        for (axis, (name, _)) in Design::default().names().into_iter().enumerate() {
            let mut first = true;
            for value in Design::choices(name).unwrap_or_default() {
                let rows: Vec<_> = (0..names.len()).filter(|row| names[*row][axis].1 == value).collect();
                if rows.is_empty() {
                    continue;
                }
                let head = if first { name } else { "" };
                first = false;
                writeln!(out, "<g class=\"value\"><text class=\"m\" x=\"{}\" y=\"{}\">{head}</text>", SAID[0], y + 11)?;
                writeln!(out, "<text x=\"{}\" y=\"{}\">{value}</text>", SAID[1], y + 11)?;
                writeln!(out, "<text class=\"n\" x=\"{}\" y=\"{}\">{}</text>", CELLS - 12, y + 11, rows.len())?;
                for column in &self.columns {
                    let found = rows.iter().map(|row| self.found(*row, column));
                    let speaking: Vec<_> = found.filter(|found| *found != Found::Silent).collect();
                    let violated = speaking.iter().filter(|found| **found == Found::Violated).count();
                    match speaking.len() {
                        0 => write!(out, "<use href=\"#s\" x=\"{}\" y=\"{y}\"/>", column.x)?,
                        of => bar(column.x, y, violated, of, out)?,
                    }
                }
                writeln!(out, "</g>")?;
                y += ROW;
            }
            y += 4;
        }
        Ok(y)
    }

    /// The designs that have a name, and one of each score of the front.
    fn famous(&self, y: u32, out: &mut String) -> Result<u32, std::fmt::Error> {
        let mut y = Page::section(y, "designs of history, and the first of each score of the Pareto front", out)?;
        let mut scores = Vec::new();
        let fronts = self.matrix.front.iter().flatten().filter(|on| {
            let new = !scores.contains(&on.score);
            scores.push(on.score);
            new
        });
        let row = |design: &str| self.matrix.rows.iter().position(|row| row.design == design);
        let rows = self.famous.iter().map(|(_, row)| *row);
        for i in rows.chain(fronts.take(SHOWN).filter_map(|on| row(&on.design))) {
            let row = &self.matrix.rows[i];
            writeln!(
                out,
                "<g class=\"named\"><text x=\"{}\" y=\"{}\">{}</text>",
                SAID[0],
                y + 11,
                xml(&short(&row.design))
            )?;
            self.row(i, &[i], y, out)?;
            writeln!(out, "</g>")?;
            y += ROW;
        }
        Ok(y + 4)
    }

    /// All designs, by hook and then by equal behaviour. Gates have their rows above: here a cell says what is found under
    /// all of them, or under how many a property breaks.
    fn designs(&self, mut y: u32, out: &mut String) -> Result<u32, std::fmt::Error> {
        for hook in Hook::ALL {
            let designs: Vec<Design> = self.matrix.rows.iter().map(Row::design).collect();
            let mine: Vec<usize> = (0..designs.len()).filter(|i| designs[*i].hook == *hook).collect();
            if mine.is_empty() {
                continue;
            }
            let key = |i: usize| {
                let like = |other: &&usize| Design { gate: designs[i].gate, ..designs[**other] } == designs[i];
                let gates: Vec<usize> = mine.iter().filter(like).copied().collect();
                let found = |column: &Column| mixed(gates.iter().map(|i| self.found(*i, column)));
                self.columns.iter().map(found).collect::<Vec<Mixed>>()
            };
            let keyed: Vec<_> = mine.iter().map(|i| (*i, designs[*i], key(*i))).collect();
            let cells = |group: &Group| key(group.members[0]);
            let mut rows = groups(&keyed);
            rows.sort_by_cached_key(|group| {
                let cells = cells(group);
                (cells.iter().filter(|cell| cell.breaks()).count(), cells)
            });
            y = Page::section(y, &format!("hook {}, with any gate", hook.name()), out)? + ROW;
            for (axis, x) in AXES.iter().zip(SAID).skip(1) {
                writeln!(out, "<text class=\"a\" x=\"{x}\" y=\"{}\">{axis}</text>", y - 4)?;
            }
            for group in &rows {
                writeln!(out, "<g class=\"row\"><title>hook {}, {}</title>", hook.name(), xml(&group.label()))?;
                for (said, x) in group.said.iter().zip(SAID).skip(1) {
                    let said = said.as_deref().unwrap_or("any");
                    write!(out, "<text x=\"{x}\" y=\"{}\">{}</text>", y + 11, xml(&said.replace("connector-", "cn-")))?;
                }
                write!(out, "<text class=\"n\" x=\"{}\" y=\"{}\">{}</text>", CELLS - 12, y + 11, group.members.len())?;
                for (cell, column) in cells(group).iter().zip(&self.columns) {
                    match cell {
                        Mixed::All(found) => {
                            write!(out, "<use href=\"#{}\" x=\"{}\" y=\"{y}\"/>", shape(*found), column.x)?;
                        }
                        Mixed::Some { violated, of } => bar(column.x, y, *violated, *of, out)?,
                    }
                }
                marks(&group.members, &self.front, &self.famous, (self.right(), y + 7), out)?;
                writeln!(out, "</g>")?;
                y += ROW;
            }
        }
        Ok(y)
    }

    fn found(&self, row: usize, column: &Column) -> Found {
        self.matrix.rows[row].cells[column.number].found
    }

    /// The cells of a row, and what stands right of it.
    fn row(&self, row: usize, members: &[usize], y: u32, out: &mut String) -> std::fmt::Result {
        for column in &self.columns {
            let shape = shape(self.matrix.rows[row].cells[column.number].found);
            write!(out, "<use href=\"#{shape}\" x=\"{}\" y=\"{y}\"/>", column.x)?;
        }
        marks(members, &self.front, &self.famous, (self.right(), y + 7), out)
    }
}

/// What is found under several gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mixed {
    /// Under all that the property speaks of; of several that do not break it, the worst.
    All(Found),
    /// It breaks under some of them.
    Some { violated: usize, of: usize },
}

impl Mixed {
    fn breaks(self) -> bool {
        self > Mixed::All(Found::NotFound)
    }
}

fn mixed(found: impl Iterator<Item = Found>) -> Mixed {
    let speaking: Vec<_> = found.filter(|found| *found != Found::Silent).collect();
    let violated = speaking.iter().filter(|found| **found == Found::Violated).count();
    match speaking.len() {
        of if violated > 0 && violated < of => Mixed::Some { violated, of },
        _ => Mixed::All(speaking.into_iter().max().unwrap_or(Found::Silent)),
    }
}

/// A box that is filled from the left as far as designs break the property.
fn bar(x: u32, y: u32, violated: usize, of: usize, out: &mut String) -> std::fmt::Result {
    // One of many is seen, too, and all but one is not all.
    let width = match violated {
        0 => 0,
        all if all == of => 23,
        some => (some * 23 / of).clamp(2, 21),
    };
    write!(out, "<use href=\"#b\" x=\"{x}\" y=\"{y}\"/>")?;
    if width > 0 {
        write!(out, "<path class=\"b\" d=\"M{x} {y}h{width}v13h-{width}z\"/>")?;
    }
    Ok(())
}

/// A design in fewer letters.
fn short(design: &str) -> String {
    let words = design.split(' ').map(|word| word.split_once('=').map_or(word, |(_, value)| value));
    words.collect::<Vec<_>>().join(", ")
}

/// Title and legend.
fn head(matrix: &Matrix, out: &mut String) -> std::fmt::Result {
    let designs = plural(matrix.rows.len() as u64, "design");
    let properties = properties(matrix.survey.properties.len());
    let effort = matrix.survey.effort;
    writeln!(
        out,
        "<text class=\"h\" x=\"{MARGIN}\" y=\"40\">A process forks, and user space is told: {designs} against {properties}</text>"
    )?;
    writeln!(
        out,
        "<text class=\"s\" x=\"{MARGIN}\" y=\"62\">Linux 2.6.11, simulated. Each cell: all small scenarios of a property, \
         every schedule up to {} or {} of each, then {} random ones. Designs that behave alike are one row.</text>",
        plural(effort.runs, "run"),
        plural(effort.steps, "step"),
        effort.random
    )?;
    let mut x = MARGIN;
    let legend = [
        (Found::Violated, "violated: a run that breaks it was found", 262),
        (Found::NotFound, "not found in so many runs", 190),
        (Found::Proved, "proved: every run was tried", 198),
        (Found::Silent, "says nothing of this design", 200),
    ];
    for (found, text, width) in legend {
        writeln!(
            out,
            "<use href=\"#{}\" x=\"{x}\" y=\"80\"/><text x=\"{}\" y=\"92\">{text}</text>",
            shape(found),
            x + 28
        )?;
        x += width + 28;
    }
    writeln!(
        out,
        "<use href=\"#star\" x=\"{}\" y=\"88\"/><text class=\"f\" x=\"{}\" y=\"92\">on the Pareto front</text>",
        x + 8,
        x + 22
    )?;
    x += 172;
    writeln!(
        out,
        "<use href=\"#arrow\" x=\"{x}\" y=\"88\"/><text class=\"m\" x=\"{}\" y=\"92\">a design of history</text>",
        x + 14
    )?;
    x += 160;
    writeln!(
        out,
        "<use href=\"#b\" x=\"{x}\" y=\"80\"/><rect x=\"{x}\" y=\"80\" width=\"8\" height=\"13\" fill=\"#a3260f\"/>"
    )?;
    writeln!(out, "<text x=\"{}\" y=\"92\">share of designs that break it</text>", x + 28)
}

/// Concerns, and the slanted titles of the properties above them.
fn titles(matrix: &Matrix, columns: &[Column], concerns: &[(Concern, u32, u32)], out: &mut String) -> std::fmt::Result {
    let y = HEAD + TITLES;
    for column in columns {
        let property = &matrix.survey.properties[column.number];
        let x = column.x + 14;
        let whole = format!("{} {}", property.id, property.title);
        let text = match whole.char_indices().nth(TITLE) {
            Some((end, _)) => xml(&format!("{}…", whole[..end].trim_end())),
            None => xml(&whole),
        };
        writeln!(
            out,
            "<text transform=\"translate({x} {y}) rotate(-52)\"><title>{}</title>{text}</text>",
            xml(&whole)
        )?;
    }
    for (concern, from, to) in concerns {
        let name = format!("{concern:?}").to_lowercase();
        let (middle, y) = (u32::midpoint(*from, *to), y + 10);
        writeln!(out, "<path d=\"M{from} {y}H{to}\" stroke=\"#1a1a1a\" stroke-width=\"2\"/>")?;
        writeln!(out, "<text class=\"c\" x=\"{middle}\" y=\"{}\">{name}</text>", y + 16)?;
    }
    writeln!(out, "<text class=\"n\" x=\"{}\" y=\"{}\">designs</text>", CELLS - 12, y + 26)
}

/// What stands right of a row.
fn marks(
    members: &[usize],
    front: &BTreeSet<usize>,
    famous: &[(&'static str, usize)],
    (mut x, y): (u32, u32),
    out: &mut String,
) -> std::fmt::Result {
    let on_front = members.iter().filter(|member| front.contains(member)).count();
    if on_front > 0 {
        let text = if members.len() == 1 { String::new() } else { format!("{on_front} of {}", members.len()) };
        write!(out, "<use href=\"#star\" x=\"{}\" y=\"{y}\"/>", x + 8)?;
        write!(out, "<text class=\"f\" x=\"{}\" y=\"{}\">{text}</text>", x + 20, y + 4)?;
        x += 30 + 7 * u32::try_from(text.len()).expect("short");
    }
    let names: Vec<_> = famous.iter().filter(|(_, row)| members.contains(row)).map(|(name, _)| *name).collect();
    if !names.is_empty() {
        write!(out, "<use href=\"#arrow\" x=\"{x}\" y=\"{y}\"/>")?;
        write!(out, "<text class=\"m\" x=\"{}\" y=\"{}\">{}</text>", x + 14, y + 4, xml(&names.join(", ")))?;
    }
    Ok(())
}

/// The front in numbers. Returns the height of the picture.
fn foot(matrix: &Matrix, mut y: u32, out: &mut String) -> Result<u32, std::fmt::Error> {
    let front = matrix.front.as_deref().unwrap_or_default();
    let mut scores: Vec<_> = front.iter().map(|on| on.score).collect();
    scores.dedup();
    writeln!(
        out,
        "<text class=\"k\" x=\"{MARGIN}\" y=\"{y}\">Pareto front: {}, {}</text>",
        plural(front.len() as u64, "design"),
        plural(scores.len() as u64, "different score")
    )?;
    writeln!(
        out,
        "<text class=\"s\" x=\"{MARGIN}\" y=\"{}\">No design is worse by none of these and better by one. Safety: properties violated. Loss, order, truth: not \
         kept, violated or without a subject. Cost: bytes asked for, and one for each allocation, of one fork with nobody and with one listening.</text>",
        y + 20
    )?;
    y += 44;
    writeln!(
        out,
        "<text class=\"t\" xml:space=\"preserve\" x=\"{MARGIN}\" y=\"{y}\">safety  loss  order  truth  cost: nobody     one   design, the first of those with this score</text>"
    )?;
    for score in scores.iter().take(SHOWN) {
        y += ROW + 2;
        let Score { safety, loss, order, truth, cost_nobody, cost_one } = *score;
        let same: Vec<_> = front.iter().filter(|on| on.score == *score).collect();
        let more = if same.len() > 1 { format!("  and {} more", same.len() - 1) } else { String::new() };
        let line = format!(
            "{safety:>6}{loss:>6}{order:>7}{truth:>7}{cost_nobody:>14}{cost_one:>8}   {}{more}",
            same[0].design
        );
        writeln!(out, "<text class=\"t\" xml:space=\"preserve\" x=\"{MARGIN}\" y=\"{y}\">{}</text>", xml(&line))?;
    }
    if scores.len() > SHOWN {
        y += ROW;
        writeln!(
            out,
            "<text class=\"s\" x=\"{MARGIN}\" y=\"{y}\">and {} more: forklab matrix</text>",
            scores.len() - SHOWN
        )?;
    }
    Ok(y + 30)
}
