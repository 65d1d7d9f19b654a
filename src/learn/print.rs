//! A lesson as plain text, for paper and for screen readers: 80 columns, the answers at the end.

use std::fmt::Write as _;

use super::frame::Frame;
use super::learner::Learner;
use super::lesson::Lesson;
use super::panel::{self, wrap};
use super::question::Asked;
use super::source;
use crate::input::InputError;
use crate::render::lanes::lanes;

/// Characters of a line.
const WIDTH: usize = 80;
/// What stands left of what a stop shows.
const MARGIN: &str = "    ";

/// The whole lesson.
///
/// # Errors
/// Those of [`Lesson::run`]; none in practice.
pub fn print(lesson: &'static Lesson) -> Result<String, InputError> {
    let learner = Learner::new(lesson)?;
    let run = learner.run();
    let mut out = format!("Lesson {}: {}\n\n", lesson.number, lesson.title);
    paragraph(&mut out, lesson.intro, "");
    let (mut number, mut before) = (0, Vec::new());
    for (frame, stop) in lesson.stops(run) {
        place(&mut out, run, frame);
        paragraph(&mut out, stop.text, "");
        state(&mut out, &run.frames[frame], &mut before);
        if let Some(posed) = stop.question.is_some().then(|| learner.questions().get(number)).flatten() {
            number += 1;
            question(&mut out, number, &posed.asked);
        }
    }
    heading(&mut out, "The whole run");
    out += &lanes(&run.events);
    answers(&mut out, &learner);
    heading(&mut out, "Go on");
    line(&mut out, &format!("forklab learn {}", lesson.name));
    line(&mut out, &format!("forklab replay '{}'", run.replay()));
    Ok(out)
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{}", text.trim_end()).expect("a String takes everything");
}

fn heading(out: &mut String, text: &str) {
    line(out, &format!("\n{text}\n{}", "-".repeat(text.chars().count())));
}

fn paragraph(out: &mut String, text: &str, margin: &str) {
    wrap(text, WIDTH - margin.len()).iter().for_each(|text| line(out, &format!("{margin}{text}")));
}

/// Where a stop is.
fn place(out: &mut String, run: &super::run::Run, frame: usize) {
    let Some(event) = frame.checked_sub(1).map(|at| &run.events[at]) else {
        return heading(out, "Before the first event");
    };
    let file = source::function(event).and_then(source::file).map_or(String::new(), |file| format!("{file}: "));
    let says = panel::cut(&source::says(&event.what), 50);
    heading(out, &panel::cut(&format!("Step {}, CPU{}, {}: {file}{says}", event.step, event.cpu, event.lane), WIDTH));
}

/// What there is to see at a stop, without what has not changed since the last one.
fn state(out: &mut String, frame: &Frame, before: &mut Vec<Vec<String>>) {
    if frame.lanes.is_empty() {
        return;
    }
    line(out, "");
    let width = WIDTH - 2 * MARGIN.len();
    let mut show = |title: &str, lines: &[String]| {
        line(out, &format!("{MARGIN}{title}"));
        lines.iter().for_each(|text| line(out, &format!("{MARGIN}{MARGIN}{text}")));
    };
    show("where", &panel::stack(frame, width));
    let panels = panel::panels(frame, width);
    for (at, panel) in panels.iter().enumerate() {
        if before.get(at) != Some(&panel.lines) {
            show(panel.title, &panel.lines);
        }
    }
    *before = panels.into_iter().map(|panel| panel.lines).collect();
}

fn question(out: &mut String, number: usize, asked: &Asked) {
    line(out, "");
    paragraph(out, &format!("Question {number}. {}", asked.prompt), "");
    for (at, choice) in asked.choices.iter().enumerate() {
        line(out, &format!("{MARGIN}{}) {choice}", at + 1));
    }
}

fn answers(out: &mut String, learner: &Learner) {
    heading(out, "Answers");
    for (number, posed) in learner.questions().iter().enumerate() {
        let Asked { choices, right, why, .. } = &posed.asked;
        line(out, &format!("{}. {}) {}", number + 1, right + 1, choices[*right]));
        paragraph(out, why, MARGIN);
    }
}
