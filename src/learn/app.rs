//! The list of lessons and the lesson that is open: what `forklab learn` is, but for the terminal.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::learner::{Key, Learner};
use super::lesson::Lesson;
use super::lessons;
use super::screen::{self, Theme};
use crate::input::InputError;

/// What a key of the keyboard is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Something in the lesson.
    Key(Key),
    /// Out of the lesson, or out of the list.
    Quit,
    /// Out, wherever one is.
    Kill,
}

/// What a key of the keyboard means; `None`: nothing.
#[must_use]
pub fn input(event: &KeyEvent) -> Option<Input> {
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return (event.code == KeyCode::Char('c')).then_some(Input::Kill);
    }
    let key = match event.code {
        KeyCode::Right | KeyCode::Char(' ' | 'l') => Key::Next,
        KeyCode::Left | KeyCode::Char('h') => Key::Back,
        KeyCode::Down | KeyCode::Char('j') => Key::NextStop,
        KeyCode::Up | KeyCode::Char('k') => Key::LastStop,
        KeyCode::Char('n') => Key::NextQuestion,
        KeyCode::Home => Key::Start,
        KeyCode::End => Key::End,
        KeyCode::Char('g') => Key::Goto,
        KeyCode::Tab => Key::Panel,
        KeyCode::Char('w') => Key::Who,
        KeyCode::Char('f') => Key::Fail,
        KeyCode::Char('u') => Key::Undo,
        KeyCode::Char('s') => Key::Show,
        KeyCode::Enter => Key::Enter,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Esc => Key::Cancel,
        KeyCode::Char('q') => return Some(Input::Quit),
        KeyCode::Char(digit @ '0'..='9') => Key::Digit(u8::try_from(digit).ok()? - b'0'),
        _ => return None,
    };
    Some(Input::Key(key))
}

enum Page {
    Menu,
    Lesson(Box<Learner>),
}

/// What is open.
pub struct App {
    page: Page,
    /// Which lesson is chosen in the list.
    chosen: usize,
    /// Whether leaving a lesson leads to the list.
    has_menu: bool,
}

impl App {
    /// The list of lessons.
    #[must_use]
    pub fn menu() -> App {
        App { page: Page::Menu, chosen: 0, has_menu: true }
    }

    /// One lesson.
    ///
    /// # Errors
    /// Those of [`Learner::new`]; none in practice.
    pub fn lesson(lesson: &'static Lesson) -> Result<App, InputError> {
        let chosen = lesson.number - 1;
        Ok(App { page: Page::Lesson(Box::new(Learner::new(lesson)?)), chosen, has_menu: false })
    }

    /// The reader, if a lesson is open.
    #[must_use]
    pub fn learner(&self) -> Option<&Learner> {
        match &self.page {
            Page::Menu => None,
            Page::Lesson(learner) => Some(learner),
        }
    }

    /// The line that gives the reader's own run again, if he has made one and is in it.
    #[must_use]
    pub fn own_run(&self) -> Option<String> {
        let learner = self.learner()?;
        learner.change().map(|_| learner.run().replay())
    }

    fn open(&mut self, at: usize) -> Result<(), InputError> {
        if let Some(lesson) = lessons::ALL.get(at) {
            self.chosen = at;
            self.page = Page::Lesson(Box::new(Learner::new(lesson)?));
        }
        Ok(())
    }

    /// Does what a key means. False: the end.
    ///
    /// # Errors
    /// Those of [`Learner::new`]; none in practice.
    pub fn press(&mut self, input: Input) -> Result<bool, InputError> {
        match (input, &mut self.page) {
            (Input::Kill, _) | (Input::Quit, Page::Menu) => return Ok(false),
            (Input::Quit, Page::Lesson(_)) if !self.has_menu => return Ok(false),
            (Input::Quit, Page::Lesson(_)) => self.page = Page::Menu,
            (Input::Key(Key::Enter), Page::Lesson(learner)) if learner.is_done() => self.open(self.chosen + 1)?,
            (Input::Key(key), Page::Lesson(learner)) => learner.press(key),
            (Input::Key(key), Page::Menu) => self.choose(key)?,
        }
        Ok(true)
    }

    fn choose(&mut self, key: Key) -> Result<(), InputError> {
        let last = lessons::ALL.len() - 1;
        match key {
            Key::NextStop => self.chosen = (self.chosen + 1).min(last),
            Key::LastStop => self.chosen = self.chosen.saturating_sub(1),
            Key::Enter | Key::Next => self.open(self.chosen)?,
            Key::Digit(digit @ 1..) => self.open(usize::from(digit) - 1)?,
            _ => {}
        }
        Ok(())
    }

    /// Draws it.
    pub fn draw(&self, frame: &mut Frame<'_>, theme: Theme) {
        match &self.page {
            Page::Menu => screen::draw_menu(frame, &lessons::ALL, self.chosen, theme),
            Page::Lesson(learner) => screen::draw(frame, learner, theme),
        }
    }
}
