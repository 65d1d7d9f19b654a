//! The matrix as a picture: rows are designs, by hook and then by equal behaviour, columns are properties by concern.
//!
//! What was found is told three times, by lightness, by colour and by shape, so that it can be read in grey and by whoever
//! sees colours otherwise. Fonts are generic; nothing is loaded from anywhere.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::matrix::Matrix;
use crate::matrix::table::wrapped;
use crate::property::{Concern, Found};

const WIDTH: u32 = 1600;
const MARGIN: u32 = 24;
/// Where cells begin; labels stand left of it.
const CELLS: u32 = 640;
const CELL: u32 = 24;
const ROW: u32 = 18;
/// Between concerns.
const GAP: u32 = 8;
/// A concern's name has room, however few columns it has.
const CONCERN: u32 = 66;
/// Letters of a row's label in one line.
const LABEL: usize = 88;
/// The slanted titles.
const TITLES: u32 = 260;
/// Where the first row of the head ends.
const HEAD: u32 = 120;
/// Scores of the front that are written out.
const SHOWN: usize = 12;

const STYLE: &str = "\
text{font-family:sans-serif;font-size:12px;fill:#1a1a1a}.h{font-size:24px;font-weight:bold}.s{font-size:13px;fill:#444}\
.k{font-size:15px;font-weight:bold}.c{font-size:12px;font-weight:bold;text-anchor:middle}.n{fill:#555;text-anchor:end}\
.m{font-weight:bold}.t{font-family:monospace;font-size:12px}.f{font-weight:bold;fill:#00527a}";

/// The shapes of the cells, each around its own upper left corner.
const SHAPES: &str = "\
<g id=\"v\"><rect width=\"22\" height=\"16\" fill=\"#a3260f\"/><path d=\"M7 4l8 8m0-8l-8 8\" stroke=\"#fff\" stroke-width=\"2.2\"/></g>\
<g id=\"n\"><rect width=\"22\" height=\"16\" fill=\"#e8b04a\"/><path d=\"M8.2 6a2.8 2.6 0 1 1 4.4 2q-1.6 1-1.6 2.2\" fill=\"none\" \
stroke=\"#1a1a1a\" stroke-width=\"1.7\"/><circle cx=\"11\" cy=\"13\" r=\"1.2\" fill=\"#1a1a1a\"/></g>\
<g id=\"p\"><rect width=\"22\" height=\"16\" fill=\"#cfe6f5\"/><circle cx=\"11\" cy=\"8\" r=\"2\" fill=\"#1f5f8b\"/></g>\
<g id=\"s\"><rect x=\".5\" y=\".5\" width=\"21\" height=\"15\" fill=\"#fff\" stroke=\"#ddd\"/><path d=\"M9 8h4\" stroke=\"#aaa\"/></g>\
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
    let mut y = HEAD + TITLES + 34;
    let (front, famous) = (matrix.front_rows(), matrix.famous_rows());
    for of in matrix.by_hook() {
        y += 12;
        writeln!(out, "<text class=\"k\" x=\"{MARGIN}\" y=\"{}\">hook {}</text>", y + 12, of.hook)?;
        writeln!(out, "<path d=\"M{MARGIN} {}H{}\" stroke=\"#888\"/>", y - 6, WIDTH - MARGIN)?;
        y += 22;
        for group in &of.groups {
            let members = &group.members;
            let lines = wrapped(&group.label, LABEL);
            writeln!(out, "<g class=\"row\"><title>hook {}, {}</title>", of.hook, xml(&group.label))?;
            for (i, line) in (0..).zip(&lines) {
                let y = y + 13 + i * ROW;
                writeln!(out, "<text x=\"{}\" y=\"{y}\">{}</text>", MARGIN + 8, xml(line))?;
            }
            writeln!(out, "<text class=\"n\" x=\"{}\" y=\"{}\">{}</text>", CELLS - 12, y + 13, members.len())?;
            let row = &matrix.rows[members[0]];
            for column in &columns {
                let shape = shape(row.cells[column.number].found);
                write!(out, "<use href=\"#{shape}\" x=\"{}\" y=\"{y}\"/>", column.x)?;
            }
            let right = columns.last().map_or(CELLS, |column| column.x).max(CELLS + CONCERN) + CELL + 12;
            marks(members, &front, &famous, (right, y + 8), out)?;
            writeln!(out, "</g>")?;
            y += ROW * u32::try_from(lines.len()).expect("a few lines");
        }
    }
    foot(matrix, y + 30, out)
}

/// Title and legend.
fn head(matrix: &Matrix, out: &mut String) -> std::fmt::Result {
    let (designs, properties) = (matrix.rows.len(), matrix.survey.properties.len());
    let effort = matrix.survey.effort;
    writeln!(out, "<text class=\"h\" x=\"{MARGIN}\" y=\"40\">A process forks, and user space is told: {designs} designs against {properties} properties</text>")?;
    writeln!(
        out,
        "<text class=\"s\" x=\"{MARGIN}\" y=\"62\">Linux 2.6.11, simulated. Each cell: all small scenarios of a property, \
         every schedule up to {} runs or {} steps of each, then {} random ones. Rows of equal behaviour are one row; the number is how many designs it stands for.</text>",
        effort.runs, effort.steps, effort.random
    )?;
    let mut x = MARGIN;
    let legend = [
        (Found::Violated, "violated: a run that breaks it was found", 262),
        (Found::NotFound, "not found in so many runs", 190),
        (Found::Proved, "proved: every run was tried", 198),
        (Found::Silent, "says nothing of this design", 200),
    ];
    for (found, text, width) in legend {
        writeln!(out, "<use href=\"#{}\" x=\"{x}\" y=\"80\"/><text x=\"{}\" y=\"92\">{text}</text>", shape(found), x + 28)?;
        x += width + 28;
    }
    writeln!(out, "<use href=\"#star\" x=\"{}\" y=\"88\"/><text class=\"f\" x=\"{}\" y=\"92\">on the Pareto front</text>", x + 8, x + 22)?;
    x += 170;
    writeln!(out, "<use href=\"#arrow\" x=\"{x}\" y=\"88\"/><text class=\"m\" x=\"{}\" y=\"92\">a design of history</text>", x + 14)
}

/// Concerns, and the slanted titles of the properties above them.
fn titles(
    matrix: &Matrix,
    columns: &[Column],
    concerns: &[(Concern, u32, u32)],
    out: &mut String,
) -> std::fmt::Result {
    let y = HEAD + TITLES;
    for column in columns {
        let property = &matrix.survey.properties[column.number];
        let x = column.x + 14;
        let text = xml(&format!("{} {}", property.id, property.title));
        writeln!(out, "<text transform=\"translate({x} {y}) rotate(-52)\">{text}</text>")?;
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
    writeln!(out, "<text class=\"k\" x=\"{MARGIN}\" y=\"{y}\">Pareto front: {} designs, {} different scores</text>", front.len(), scores.len())?;
    writeln!(
        out,
        "<text class=\"s\" x=\"{MARGIN}\" y=\"{}\">No design is worse by none of these and better by one. Safety, loss, order: properties violated. \
         Cost: bytes asked for, and one for each allocation, of one fork with nobody and with one listening.</text>",
        y + 20
    )?;
    y += 44;
    writeln!(out, "<text class=\"t\" xml:space=\"preserve\" x=\"{MARGIN}\" y=\"{y}\">safety  loss  order  cost: nobody     one   design, the first of those with this score</text>")?;
    for score in scores.iter().take(SHOWN) {
        y += ROW;
        let same: Vec<_> = front.iter().filter(|on| on.score == *score).collect();
        let more = if same.len() > 1 { format!("  and {} more", same.len() - 1) } else { String::new() };
        let line = format!(
            "{:>6}{:>6}{:>7}{:>14}{:>8}   {}{more}",
            score.safety, score.loss, score.order, score.cost_nobody, score.cost_one, same[0].design
        );
        writeln!(out, "<text class=\"t\" xml:space=\"preserve\" x=\"{MARGIN}\" y=\"{y}\">{}</text>", xml(&line))?;
    }
    if scores.len() > SHOWN {
        y += ROW;
        writeln!(out, "<text class=\"s\" x=\"{MARGIN}\" y=\"{y}\">and {} more: forklab matrix</text>", scores.len() - SHOWN)?;
    }
    Ok(y + 30)
}
