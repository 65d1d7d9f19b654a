//! `forklab learn`.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use serde::Serialize;

use super::{Failure, Found, names, write_json};
use crate::input::{InputError, quoted};
use crate::learn::app::{App, input};
use crate::learn::lesson::Lesson;
use crate::learn::screen::Theme;
use crate::learn::{lessons, print};

/// Arguments of `forklab learn`.
#[derive(Args, Debug)]
pub(super) struct LearnArgs {
    /// The number or the name of a lesson; left out: choose one
    #[arg(value_name = "LESSON", value_parser = names::AnyOf(lesson_names), hide_possible_values = true)]
    lesson: Option<String>,
    /// The lesson as plain text, with its answers at the end
    #[arg(long, value_name = "LESSON", value_parser = names::AnyOf(lesson_names), hide_possible_values = true, conflicts_with_all = ["lesson", "list"])]
    print: Option<String>,
    /// All lessons
    #[arg(long, conflicts_with = "lesson")]
    list: bool,
    /// All lessons as JSON
    #[arg(long, conflicts_with_all = ["lesson", "print"])]
    json: bool,
}

fn lesson_names() -> Vec<&'static str> {
    lessons::ALL.iter().map(|lesson| lesson.name).collect()
}

/// A lesson in the list.
#[derive(Serialize)]
struct Listed {
    number: usize,
    name: &'static str,
    title: &'static str,
    intro: &'static str,
    /// What `forklab replay` gives again.
    replay: &'static str,
    questions: usize,
}

impl Listed {
    fn new(lesson: &Lesson) -> Listed {
        let &Lesson { number, name, title, intro, line: replay, stops, watch: _ } = lesson;
        let questions = stops.iter().filter(|stop| stop.question.is_some()).count();
        Listed { number, name, title, intro, replay, questions }
    }
}

fn find(word: &str) -> Result<&'static Lesson, InputError> {
    lessons::find(word).ok_or_else(|| {
        let names: Vec<_> = lessons::ALL.iter().map(|lesson| lesson.name).collect();
        let expected = format!("a lesson: 1 to {}, or {}", names.len(), names.join(", "));
        InputError::new("<lesson>", quoted(word), expected)
    })
}

/// `forklab learn`.
pub(super) fn learn(args: &LearnArgs, out: &mut impl Write) -> Result<Found, Failure> {
    if args.list || args.json {
        list(args.json, out)?;
    } else if let Some(word) = &args.print {
        write!(out, "{}", print::print(find(word)?)?)?;
    } else {
        let app = match &args.lesson {
            Some(word) => App::lesson(find(word)?)?,
            None => App::menu(),
        };
        // On the screen such a line is broken; here it can be pasted.
        if let Some(line) = in_terminal(app)? {
            writeln!(out, "forklab replay '{line}'")?;
        }
    }
    Ok(false)
}

fn list(json: bool, out: &mut impl Write) -> io::Result<()> {
    let listed = lessons::ALL.map(Listed::new);
    if json {
        return write_json(&listed.as_slice(), out);
    }
    for Listed { number, name, title, questions, .. } in listed {
        writeln!(out, " {number}  {name:<10} {title} ({questions} questions)")?;
    }
    Ok(())
}

/// Gives the terminal back, whatever happens.
struct Terminal(ratatui::DefaultTerminal);

impl Terminal {
    fn open() -> io::Result<Terminal> {
        // Also gives it back before a panic is told.
        ratatui::try_init().map(Terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Until the reader leaves; then the line of his own run, if he was in one.
fn in_terminal(mut app: App) -> Result<Option<String>, Failure> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        let expected = "one, or --print LESSON for the lesson as plain text";
        return Err(InputError::new("<learn>", "no terminal", expected).into());
    }
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let theme = Theme { color: !no_color };
    let mut terminal = Terminal::open()?;
    loop {
        terminal.0.draw(|frame| app.draw(frame, theme))?;
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        if let Some(input) = input(&key)
            && !app.press(input)?
        {
            return Ok(app.own_run());
        }
    }
}
