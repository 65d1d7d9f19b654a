//! `forklab museum`.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;

use super::bar::bar;
use super::files::Files;
use super::run::{labels, recorded};
use super::{Failure, Found, names, write_json};
use crate::input::InputError;
use crate::lab::report::{n, plural};
use crate::lab::run::Watch;
use crate::museum::piece::{self, Effort, LIMITS, Piece, Shown, Smallest};
use crate::museum::story::{Line, tell};
use crate::render::lanes::Lanes;
use crate::render::where_it_broke;

/// Characters of the table's lines, at the most.
const WIDE: usize = 100;
/// Of a page about one exhibit.
const PAGE: usize = 80;
/// Rows of a picture, at the most: its end is what matters.
const ROWS: usize = 30;
/// Rows of the run that passes.
const FEWER_ROWS: usize = 12;

/// Arguments of `forklab museum`.
#[derive(Args, Debug)]
pub(super) struct MuseumArgs {
    /// One exhibit, such as P18a or G16, or all of a property, such as P18; without it, a table of all
    #[arg(value_name = "ID", value_parser = names::AnyOf(|| piece::all().iter().map(Piece::id).collect()), hide_possible_values = true)]
    id: Option<String>,
    #[command(flatten)]
    files: Files,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// `forklab museum`.
pub(super) fn museum(args: &MuseumArgs, out: &mut impl Write) -> Result<Found, Failure> {
    let pieces = match &args.id {
        Some(id) => piece::named(id)?,
        None => piece::all(),
    };
    if args.files.any() {
        write_files(&args.files, &pieces)?;
    }
    if let (Some(_), false) = (&args.id, args.json) {
        let mut missing = false;
        for (i, piece) in pieces.iter().enumerate() {
            if i > 0 {
                writeln!(out)?;
            }
            missing |= !page(piece, out)?;
        }
        return Ok(missing);
    }
    let bar = bar(pieces.len() as u64, "{wide_bar} {pos}/{len} exhibits, {msg} done  {eta}");
    bar.enable_steady_tick(Duration::from_millis(200));
    let shown = piece::show(&pieces, &|piece| {
        bar.set_message(piece.id());
        bar.inc(1);
    });
    bar.finish_and_clear();
    if args.json {
        write_json(&shown, out)?;
    } else {
        let wide = io::stdout().is_terminal().then_some(WIDE);
        table(&pieces, &shown, wide, out)?;
    }
    // What could not be shown is what a museum has to be told of.
    Ok(shown.iter().any(|shown| !shown.shown))
}

/// One exhibit as files, beside the nearest run that passes.
fn write_files(files: &Files, pieces: &[Piece]) -> Result<(), Failure> {
    let [piece] = pieces else {
        let found = format!("--perfetto or --html with {} exhibits", pieces.len());
        let expected = format!("one of them, such as {}", pieces[0].id());
        return Err(InputError::new("<command line>", found, expected).into());
    };
    let (_, Some(smallest)) = piece.find() else { return files.nothing_found() };
    let nearest = smallest.why().nearest;
    let nearest = nearest.as_ref().map(|(step, _, line)| (*step, line.as_str()));
    files.write_found(&format!("{} {}", piece.id(), piece.title()), &smallest.line(), nearest)
}

/// Two lines for each exhibit, by wing. They are cut where they would be wider than `wide`; without it nothing is.
fn table(pieces: &[Piece], shown: &[Shown], wide: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    let wing = |piece: &Piece| matches!(piece, Piece::Said(_));
    // A date is a day where there is little room, and what the searches took has the rest.
    let (title, date) = match wide {
        Some(wide) => (wide - 44, 10),
        None => {
            let longest = |text: fn(&Shown) -> &str| shown.iter().map(|one| text(one).chars().count()).max();
            (longest(|one| one.title).unwrap_or(0), longest(|one| &one.date).unwrap_or(0))
        }
    };
    let cut = |text: &str, width: usize| if wide.is_some() { cut(text, width) } else { text.to_owned() };
    let mut before = None;
    for (piece, shown) in pieces.iter().zip(shown) {
        if before != Some(wing(piece)) {
            before = Some(wing(piece));
            let (head, said) = match piece {
                Piece::Said(_) => (" First wing: what was said of the notification from 2005 on", "said"),
                Piece::Seen(_) => {
                    ("\n Second wing: what stands beside it in 2.6.11, seen by running the genuine functions", "")
                }
            };
            writeln!(out, "{head}\n {:<5} {:<title$} {said:<date$} all · random · pct", "", "")?;
        }
        let said = if wing(piece) { cut(&shown.date, date) } else { String::new() };
        let (what, effort) = (cut(shown.title, title), effort(shown.search));
        writeln!(out, " {:<5} {what:<title$} {said:<date$} {effort}", shown.id)?;
        writeln!(out, "       {}", cut(&format!("{} · {}", smallest(shown), mend(shown)), WIDE - 7))?;
    }
    writeln!(out, "\n all · random · pct: runs until found, by a complete search, at random, by random priorities")?;
    writeln!(out, " A closer look: forklab museum {} · all of a property: forklab museum P18", shown[0].id)?;
    writeln!(out, " For programs: forklab museum --json · a run again: forklab replay LINE")
}

fn smallest(shown: &Shown) -> String {
    match (&shown.size, shown.shown) {
        (Some(size), true) => size.clone(),
        (Some(size), false) => format!("NOT REPLAYED: {size}"),
        (None, _) => "NOT FOUND".into(),
    }
}

fn mend(shown: &Shown) -> String {
    match (&shown.mended_by, shown.mended_executions, shown.why_not) {
        (Some(by), Some(executions), _) => {
            format!("mended, proved in {}: {by}", plural(executions, "run"))
        }
        (Some(by), None, _) => format!("mended, not proved: {by}"),
        (None, _, reason) => format!("not mended: {}", reason.unwrap_or_default()),
    }
}

fn effort(effort: Effort) -> String {
    let one = |runs: Option<u64>| runs.map_or("–".to_owned(), n);
    format!("{} · {} · {}", one(effort.exhaustive), one(effort.random), one(effort.pct))
}

/// The beginning of a text that is too long.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// A word and a text beside it, in as many lines as it takes.
fn item(head: &str, text: &str, out: &mut impl Write) -> io::Result<()> {
    let mut line = format!(" {head:<8}");
    let indent = line.chars().count();
    for paragraph in text.lines() {
        for word in paragraph.split(' ') {
            let fits = line.chars().count() + 1 + word.chars().count() <= PAGE;
            if !fits && line.chars().count() > indent {
                writeln!(out, "{line}")?;
                line = " ".repeat(indent);
            }
            if line.chars().count() > indent {
                line.push(' ');
            }
            line.push_str(word);
        }
        writeln!(out, "{line}")?;
        line = " ".repeat(indent);
    }
    Ok(())
}

/// One exhibit on about a screen. False: it could not be shown.
fn page(piece: &Piece, out: &mut impl Write) -> io::Result<bool> {
    let (search, smallest) = piece.find();
    let shown = piece.label(search, smallest.as_ref());
    item(shown.id, shown.title, out)?;
    let (head, said) = match piece {
        Piece::Said(_) => ("said", [shown.date.as_str(), shown.who, shown.source]),
        Piece::Seen(_) => ("seen", [shown.date.as_str(), shown.source, shown.who]),
    };
    item(head, &said.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "), out)?;
    item("", shown.says, out)?;
    item("rule", &shown.rule, out)?;
    match &smallest {
        Some(smallest) => finding(piece, smallest, &shown, out)?,
        None => item("found", "nothing", out)?,
    }
    let mended = match (&shown.mended_by, shown.mended_executions, &shown.mended_in) {
        (Some(by), Some(executions), Some(place)) => {
            let executions = plural(executions, "execution");
            format!("{by}; proved over {executions}, all there are in {place}")
        }
        (Some(by), ..) => format!("{by}; not proved"),
        _ => format!("not here: {}", shown.why_not.unwrap_or_default()),
    };
    item("mended", &mended, out)?;
    let one = |name: &str, runs: Option<u64>, limit: u64| match runs {
        Some(runs) => format!("{name} {}", n(runs)),
        None => format!("{name} not found in {}", n(limit)),
    };
    let searches = [
        one("exhaustive", search.exhaustive, LIMITS.exhaustive),
        one("random", search.random, LIMITS.random),
        one("pct", search.pct, LIMITS.pct),
    ];
    item("search", &format!("executions until found: {}", searches.join(", ")), out)?;
    if let Some(replay) = &shown.replay {
        let not = if shown.shown { "" } else { " (NOT THE SAME RUN)" };
        writeln!(out, " replay  forklab replay '{replay}'{not}")?;
    }
    Ok(shown.shown)
}

fn finding(piece: &Piece, smallest: &Smallest, shown: &Shown, out: &mut impl Write) -> io::Result<()> {
    let step = smallest.finding.step();
    writeln!(out, "\n{}", picture(&smallest.line(), 0..=step, ROWS))?;
    item("found", shown.found.as_deref().unwrap_or_default(), out)?;
    item("size", shown.size.as_deref().unwrap_or_default(), out)?;
    if let Ok(Line::Story(story)) = smallest.line().parse()
        && let Ok(telling) = tell(&story, Watch::default())
    {
        let asked: Vec<_> = telling.asked.iter().filter(|asked| asked.answer != 0).collect();
        for (i, asked) in asked.iter().enumerate() {
            item(if i == 0 { "asked" } else { "" }, &format!("{}: {}", asked.question, asked.says), out)?;
        }
    }
    let why = smallest.why();
    match why.lost_in {
        Some(0 | 1) if why.nearest.is_none() => item("why", "every run fails", out)?,
        Some(0 | 1) => item("why", "nearly every run fails, from its first step on", out)?,
        Some(step) => item("why", &format!("from step {step} on nearly every continuation fails"), out)?,
        None => {}
    }
    if let Some((at, difference, line)) = why.nearest {
        item("passes", &format!("if in step {at} one decision is another: {difference}"), out)?;
        if matches!(piece, Piece::Said(_)) {
            writeln!(out, "\n{}", picture(&line, at..=u64::MAX, FEWER_ROWS))?;
        }
        writeln!(out, "         forklab replay '{line}'")?;
    }
    Ok(())
}

/// The lanes of a run in these steps. Of a long picture its end, or the beginning if all steps to the end are asked for.
fn picture(line: &str, steps: std::ops::RangeInclusive<u64>, rows: usize) -> String {
    let events = match recorded(line) {
        Ok(events) => events,
        Err(error) => return format!(" {error}\n"),
    };
    let labels = labels(&events);
    let mut events = where_it_broke(&events);
    events.retain(|event| steps.contains(&event.step));
    let drawn = Lanes { color: true, labels, width: PAGE, ..Lanes::default() }.draw(&events);
    // The rules stand on the page already; a long one runs on in lines that begin with blanks.
    let mut in_rule = false;
    let of_picture = |line: &&str| {
        in_rule = line.starts_with(" rule ") || (in_rule && line.starts_with("         "));
        !in_rule
    };
    let lines: Vec<_> = drawn.lines().filter(of_picture).collect();
    let (head, body) = lines.split_at(lines.len().min(2));
    let body = match body.iter().rposition(|line| !line.trim().is_empty()) {
        Some(last) => &body[..=last],
        None => &[],
    };
    let mut text: Vec<&str> = head.to_vec();
    if body.len() <= rows {
        text.extend(body);
    } else if *steps.end() == u64::MAX {
        text.extend(&body[..rows]);
        text.push("    …");
    } else {
        text.push("    …");
        text.extend(&body[body.len() - rows..]);
    }
    text.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_terminal_the_table_is_cut_to_its_width_and_elsewhere_it_is_whole() {
        let pieces = piece::all();
        let shown = piece::show(&pieces, &|_| ());
        let lines = |wide| {
            let mut text = Vec::new();
            table(&pieces, &shown, wide, &mut text).expect("into memory");
            String::from_utf8(text).expect("UTF-8").lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (cut, whole) = (lines(Some(WIDE)), lines(None));
        assert_eq!(cut.len(), whole.len());
        assert!(cut.iter().all(|line| line.chars().count() <= WIDE), "{cut:?}");
        assert!(cut.iter().any(|line| line.contains('…')), "nothing had to be cut");
        assert!(!whole.iter().any(|line| line.contains('…')), "{whole:?}");
    }
}
