//! A lesson in the terminal: the kernel function, the lanes, the panels, what the lesson says, and the keys.
//!
//! Everything is text in rows, so that it reads the same without colour; colour only adds.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::learner::{Learner, Mode, Posed};
use super::lesson::Lesson;
use super::panel::{self, cut, wrap};
use super::source;
use crate::render::lanes::Lanes;

/// What is asked of a terminal, in columns and rows.
pub const SMALLEST: (u16, u16) = (80, 24);

/// The keys, in two rows. [`app::input`](super::app::input) is what they mean.
pub const HELP: [&str; 2] = [
    "→ on  ← back  ↓ next stop  ↑ last stop  n question  Home End  g step  Tab panel",
    "1-4 predict  s show  w who runs next  f fail an allocation  u undo  q quit",
];
/// The keys while a step is typed.
pub const GOTO_HELP: &str = "0-9 the number  Backspace  Enter go there  Esc stay here  q quit";
/// The keys while a lane is picked.
pub const WHO_HELP: &str = "1-9 let that one run  Esc change nothing  q quit";
/// The keys of the list of lessons.
pub const MENU_HELP: &str = "↓ ↑ choose  Enter begin  1-8 begin that one  q quit";

/// How things look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Whether there are colours; false with `NO_COLOR`.
    pub color: bool,
}

impl Theme {
    fn colored(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    fn rule(self) -> Style {
        self.colored(Color::Cyan).add_modifier(Modifier::BOLD)
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const TITLE: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Columns and rows of the parts of a screen.
struct Parts {
    left: Rect,
    right: Rect,
    below: Rect,
}

fn parts(area: Rect) -> Parts {
    let text = if area.height >= 30 { 10 } else { 8 };
    let right = (area.width * 45 / 100).max(39);
    let body = Rect { y: area.y + 1, height: area.height - 3 - text, ..area };
    let below = Rect { y: body.y + body.height, height: text, ..area };
    let left = Rect { width: area.width - right - 1, ..body };
    Parts { left, right: Rect { x: area.x + area.width - right, width: right, ..body }, below }
}

/// Whether it fits; if not, says so.
fn fits(frame: &mut Frame<'_>) -> bool {
    let area = frame.area();
    let fits = area.width >= SMALLEST.0 && area.height >= SMALLEST.1;
    if !fits {
        let (width, height) = SMALLEST;
        let text =
            format!("A lesson needs {width} columns and {height} rows;\nhere are {} and {}.", area.width, area.height);
        frame.render_widget(Paragraph::new(text), area);
    }
    fits
}

fn row(area: Rect, y: u16) -> Rect {
    Rect { y: area.y + y, height: 1, ..area }
}

/// `── title ─────`
fn rule(title: &str, width: usize) -> String {
    let head = format!("── {} ", cut(title, width.saturating_sub(4)));
    format!("{head}{}", "─".repeat(width.saturating_sub(head.chars().count())))
}

/// Draws where the reader is.
pub fn draw(frame: &mut Frame<'_>, learner: &Learner, theme: Theme) {
    if !fits(frame) {
        return;
    }
    let area = frame.area();
    let width = usize::from(area.width);
    frame.render_widget(Line::styled(title(learner, width), TITLE), row(area, 0));
    let parts = parts(area);
    draw_left(frame, parts.left, learner, theme);
    draw_panels(frame, parts.right, learner, theme);
    draw_below(frame, parts.below, learner, theme);
    let help = match learner.mode {
        Mode::Walk => HELP,
        Mode::Goto(_) => [GOTO_HELP, ""],
        Mode::Who(_) => [WHO_HELP, ""],
    };
    for (at, keys) in help.iter().enumerate() {
        let y = area.height - 2 + u16::try_from(at).expect("two rows");
        frame.render_widget(Line::styled(cut(keys, width), theme.colored(Color::DarkGray)), row(area, y));
    }
}

fn title(learner: &Learner, width: usize) -> String {
    let events = learner.run().events.len();
    let place = format!("step {}, event {} of {events} ", learner.frame().step, learner.at());
    let name = format!(" {} {}", learner.lesson.number, learner.lesson.title);
    let name = cut(&name, width.saturating_sub(place.chars().count() + 1));
    let gap = width.saturating_sub(name.chars().count() + place.chars().count());
    format!("{name}{}{place}", " ".repeat(gap))
}

/// The file and the functions of the current lane, and the last event.
fn stack(learner: &Learner, width: usize) -> (String, Vec<String>) {
    let Some((event, lane)) = learner.event().zip(learner.frame().current()) else {
        return ("before the first event".into(), vec!["nobody is in the kernel".into()]);
    };
    let funcs = lane.stack.iter().rev().map(|(func, _)| *func);
    let file = source::function(event).into_iter().chain(funcs).find_map(source::file).unwrap_or("user space");
    let mut lines: Vec<_> = lane.stack.iter().map(|(_, call)| call.clone()).collect();
    if !matches!(event.what, sim::What::Enter { .. }) {
        lines.push(source::says(&event.what));
    }
    let last = lines.len().saturating_sub(1);
    let lines = lines.iter().enumerate().map(|(depth, line)| {
        let here = if depth == last { '>' } else { ' ' };
        cut(&format!("{here} {:1$}{line}", "", 2 * depth), width)
    });
    let lines = lines.collect();
    (format!("{file}, {} on CPU{}", lane.name, lane.cpu), lines)
}

fn draw_left(frame: &mut Frame<'_>, area: Rect, learner: &Learner, theme: Theme) {
    let width = usize::from(area.width);
    let (file, calls) = stack(learner, width);
    let mut lines = vec![Line::styled(rule(&file, width), theme.rule())];
    let calls_shown = usize::from(area.height / 3).max(4);
    let skip = calls.len().saturating_sub(calls_shown);
    let last = calls.len().saturating_sub(1);
    lines.extend(
        calls
            .into_iter()
            .enumerate()
            .skip(skip)
            .map(|(at, call)| if at == last { Line::styled(call, BOLD) } else { Line::raw(call) }),
    );
    lines.resize(1 + calls_shown, Line::raw(""));
    lines.push(Line::styled(rule("lanes", width), theme.rule()));
    let room = usize::from(area.height).saturating_sub(lines.len());
    lines.extend(lanes(learner, width, room));
    frame.render_widget(Paragraph::new(lines), area);
}

/// The head of the picture and its last rows.
fn lanes(learner: &Learner, width: usize, room: usize) -> Vec<Line<'static>> {
    let picture = Lanes { width, ..Lanes::default() }.draw(&learner.run().events[..learner.at()]);
    // The rules that were broken stand below the picture, and are no part of it.
    let mut rows: Vec<_> = picture.lines().take_while(|line| !line.starts_with(" rule ")).map(str::to_owned).collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    if rows.len() < 3 {
        return vec![Line::raw("no lane has done anything")];
    }
    let body = rows.split_off(2);
    let skip = body.len().saturating_sub(room.saturating_sub(2));
    let last = body.len() - 1;
    let mut lines: Vec<_> = rows.into_iter().map(Line::raw).collect();
    lines.extend(
        body.into_iter()
            .enumerate()
            .skip(skip)
            .map(|(at, text)| if at == last { Line::styled(text, BOLD) } else { Line::raw(text) }),
    );
    lines
}

/// The panels from the chosen one on, as far as there is room.
fn draw_panels(frame: &mut Frame<'_>, area: Rect, learner: &Learner, theme: Theme) {
    let width = usize::from(area.width);
    let mut panels = panel::panels(learner.frame(), width);
    let first = learner.panel % panels.len();
    panels.rotate_left(first);
    let mut lines = Vec::new();
    for panel in panels {
        lines.push(Line::styled(rule(panel.title, width), theme.rule()));
        lines.extend(panel.lines.into_iter().map(Line::raw));
    }
    let room = usize::from(area.height);
    if lines.len() > room {
        let more = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(Line::raw(format!("… {more} lines more: Tab")));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_below(frame: &mut Frame<'_>, area: Rect, learner: &Learner, theme: Theme) {
    let width = usize::from(area.width);
    let (head, lines) = below(learner, width, theme);
    let mut all = vec![Line::styled(rule(&head, width), theme.rule())];
    all.extend(lines);
    let room = usize::from(area.height);
    if !learner.note.is_empty() {
        all.truncate(room - 1);
        all.resize(room - 1, Line::raw(""));
        all.push(Line::styled(cut(&learner.note, width), theme.colored(Color::Yellow)));
    }
    frame.render_widget(Paragraph::new(all), area);
}

/// What the lesson says or asks here: a head, and lines.
fn below(learner: &Learner, width: usize, theme: Theme) -> (String, Vec<Line<'static>>) {
    let raw = |text: &str| wrap(text, width).into_iter().map(Line::raw).collect::<Vec<_>>();
    match &learner.mode {
        Mode::Goto(digits) => ("go to a step".into(), raw(&format!("step {digits}_"))),
        Mode::Who(choice) => ("who runs next?".into(), raw(&who(learner, *choice))),
        Mode::Walk => match (learner.change(), learner.question()) {
            (Some((what, true)), _) => {
                let text = format!(
                    "From here on this is your own run: {what}. The lesson goes on in its run; u takes you back to it.\n\
                     forklab replay '{}'",
                    learner.run().replay()
                );
                ("your run".into(), raw(&text))
            }
            (_, Some(posed)) => (question_head(posed), question(learner, posed, width, theme)),
            _ => ("the lesson".into(), raw(&spoken(learner))),
        },
    }
}

/// The text; at the start what the lesson is about, at the end the score.
fn spoken(learner: &Learner) -> String {
    if learner.at() == 0 {
        return format!("{}\n{}", learner.lesson.intro, learner.text());
    }
    if !learner.is_over() {
        return learner.text().into();
    }
    format!("{}\n{}", learner.text(), score(learner))
}

fn score(learner: &Learner) -> String {
    let (right, said, of) = learner.score();
    let right = if said == 0 { String::new() } else { format!(", {right} of them right") };
    format!("You predicted {said} of {of}{right}. Enter: the next lesson.")
}

fn who(learner: &Learner, choice: usize) -> String {
    let moment = &learner.run().choices[choice];
    let events = moment.at - learner.at();
    let when = if events == 0 { "Here".into() } else { format!("{events} events from here") };
    // A question between here and there may be just that.
    let between = learner.at()..=moment.at;
    let asked = learner.questions().iter().any(|posed| posed.said.is_none() && between.contains(&posed.frame));
    let lanes = moment.lanes.iter().enumerate().map(|(at, lane)| {
        let runs = if u32::try_from(at) == Ok(moment.picked) && !asked { " (does, in this run)" } else { "" };
        format!("{}) {lane}{runs}", at + 1)
    });
    let lanes = lanes.collect::<Vec<_>>().join(", ");
    format!("{when} one of several lanes goes on.\n{lanes}")
}

fn question_head(posed: &Posed) -> String {
    match posed.said {
        None => "what do you expect?".into(),
        Some(Some(said)) if said == posed.asked.right => "right".into(),
        Some(Some(_)) => "not so".into(),
        Some(None) => "the answer".into(),
    }
}

fn question(learner: &Learner, posed: &Posed, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let asked = &posed.asked;
    let mut lines = Vec::new();
    let plain = |lines: &mut Vec<Line<'static>>, text: &str| lines.extend(wrap(text, width).into_iter().map(Line::raw));
    if posed.said.is_none() {
        plain(&mut lines, learner.text());
    }
    lines.extend(wrap(asked.prompt, width).into_iter().map(|line| Line::styled(line, BOLD)));
    let choices = asked.choices.iter().enumerate().map(|(at, choice)| {
        let mark = |text: &str| format!("{}) {choice}{text}   ", at + 1);
        match posed.said {
            None => Span::raw(mark("")),
            Some(_) if at == asked.right => {
                Span::styled(mark(" ✓"), theme.colored(Color::Green).add_modifier(Modifier::BOLD))
            }
            Some(Some(said)) if said == at => Span::styled(mark(" ✗"), theme.colored(Color::Red)),
            Some(_) => Span::raw(mark("")),
        }
    });
    // Beside each other if there is room, else one below the other.
    let choices: Vec<_> = choices.collect();
    if choices.iter().map(Span::width).sum::<usize>() <= width {
        lines.push(Line::from_iter(choices));
    } else {
        lines.extend(choices.into_iter().map(Line::from));
    }
    if posed.said.is_some() {
        plain(&mut lines, asked.why);
        if learner.is_over() {
            plain(&mut lines, &score(learner));
        }
    }
    lines
}

/// Draws the list of lessons, of which one is chosen.
pub fn draw_menu(frame: &mut Frame<'_>, lessons: &[&Lesson], chosen: usize, theme: Theme) {
    if !fits(frame) {
        return;
    }
    let area = frame.area();
    let width = usize::from(area.width);
    let mut lines =
        vec![Line::styled(format!("{:width$}", " forklab learn: a process forks, and user space is told"), TITLE)];
    lines.push(Line::raw(""));
    for (at, lesson) in lessons.iter().enumerate() {
        let text = format!(" {} {}  {}", if at == chosen { '>' } else { ' ' }, lesson.number, lesson.title);
        lines.push(if at == chosen { Line::styled(text, BOLD) } else { Line::raw(text) });
    }
    lines.push(Line::raw(""));
    let intro = lessons.get(chosen).map_or("", |lesson| lesson.intro);
    lines.extend(wrap(intro, width - 2).into_iter().map(|line| Line::raw(format!(" {line}"))));
    frame.render_widget(Paragraph::new(lines), area);
    let keys = Line::styled(format!(" {MENU_HELP}"), theme.colored(Color::DarkGray));
    frame.render_widget(keys, row(area, area.height - 1));
}
