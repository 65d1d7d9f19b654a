//! Where a reader is in a lesson, and what each key does: a state machine without a terminal.

use sim::trace::What;

use super::frame::Frame;
use super::lesson::Lesson;
use super::question::Asked;
use super::run::Run;
use crate::input::InputError;

/// What a reader can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// One event on.
    Next,
    /// One event back.
    Back,
    /// To the next stop: a text or a question.
    NextStop,
    /// To the stop before.
    LastStop,
    /// To the next question.
    NextQuestion,
    /// To the start.
    Start,
    /// To the end.
    End,
    /// Asks for a step to go to.
    Goto,
    /// Shows another panel first.
    Panel,
    /// Asks who is to run next.
    Who,
    /// The next allocation fails.
    Fail,
    /// Takes the last change of the run back.
    Undo,
    /// Shows the answer.
    Show,
    /// A digit: an answer, a lane, a part of a number.
    Digit(u8),
    /// The number is complete.
    Enter,
    /// Without the last digit.
    Backspace,
    /// Never mind.
    Cancel,
}

/// What the keys mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Going through the run.
    Walk,
    /// Typing the number of a step.
    Goto(String),
    /// Picking a lane at this choice of the run.
    Who(usize),
}

/// A question of the lesson's run, and what the reader said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posed {
    /// The frame before which it is asked.
    pub frame: usize,
    /// The question.
    pub asked: Asked,
    /// The reader's prediction: `Some(None)` if he only had it shown.
    pub said: Option<Option<usize>>,
}

/// A text of the lesson, and where it begins to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    frame: usize,
    text: &'static str,
    /// Which question stands there.
    question: Option<usize>,
}

/// A run that the reader changed.
struct Branch {
    run: Run,
    /// The last frame that it shares with the run before it.
    from: usize,
    what: String,
}

/// A reader in a lesson.
pub struct Learner {
    /// The lesson.
    pub lesson: &'static Lesson,
    run: Run,
    branches: Vec<Branch>,
    texts: Vec<Text>,
    questions: Vec<Posed>,
    at: usize,
    /// What the keys mean now.
    pub mode: Mode,
    /// Which panel comes first.
    pub panel: usize,
    /// A word about the last key, if there is one to say.
    pub note: String,
}

impl Learner {
    /// At the start of a lesson.
    ///
    /// # Errors
    /// Those of [`Run::of`]; none in practice.
    pub fn new(lesson: &'static Lesson) -> Result<Learner, InputError> {
        let run = lesson.run()?;
        let (mut texts, mut questions) = (Vec::new(), Vec::new());
        for (frame, stop) in lesson.stops(&run) {
            let asked = stop.question.as_ref().and_then(|question| question.ask(&run));
            let question = asked.map(|asked| {
                questions.push(Posed { frame, asked, said: None });
                questions.len() - 1
            });
            texts.push(Text { frame, text: stop.text, question });
        }
        Ok(Learner {
            lesson,
            run,
            branches: Vec::new(),
            texts,
            questions,
            at: 0,
            mode: Mode::Walk,
            panel: lesson.watch as usize,
            note: String::new(),
        })
    }

    /// The run that the reader looks at: the lesson's, or his own change of it.
    #[must_use]
    pub fn run(&self) -> &Run {
        self.branches.last().map_or(&self.run, |branch| &branch.run)
    }

    /// The number of the frame: so many events have happened.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// How things stand.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        &self.run().frames[self.at]
    }

    /// The last event that has happened.
    #[must_use]
    pub fn event(&self) -> Option<&sim::Event> {
        self.at.checked_sub(1).map(|at| &self.run().events[at])
    }

    /// All questions of the lesson.
    #[must_use]
    pub fn questions(&self) -> &[Posed] {
        &self.questions
    }

    /// What the reader changed last, and whether it has come to that in the run.
    #[must_use]
    pub fn change(&self) -> Option<(&str, bool)> {
        self.branches.last().map(|branch| (branch.what.as_str(), self.at >= branch.from))
    }

    /// The question at this frame.
    #[must_use]
    pub fn question(&self) -> Option<&Posed> {
        self.question_here().map(|at| &self.questions[at])
    }

    fn question_here(&self) -> Option<usize> {
        // Where the reader's own run begins, the lesson's question is about what no longer comes.
        let is_lesson = self.branches.is_empty() || self.at < self.shared();
        self.questions.iter().position(|posed| posed.frame == self.at).filter(|_| is_lesson)
    }

    /// The last frame that is still the lesson's.
    fn shared(&self) -> usize {
        self.branches.iter().map(|branch| branch.from).min().unwrap_or(self.last())
    }

    fn last(&self) -> usize {
        self.run().events.len()
    }

    /// Whether all has happened.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.at == self.last()
    }

    /// Whether there is nothing left to do: all has happened, and the question at the end, if there is one, is answered.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_over() && self.mode == Mode::Walk && !self.must_answer()
    }

    /// What the lesson says here: the text of the last stop. Of a question that is answered, the text stays.
    #[must_use]
    pub fn text(&self) -> &'static str {
        let here = self.at.min(self.shared());
        let text = self.texts.iter().rev().find(|text| text.frame <= here);
        text.map_or(self.lesson.intro, |text| text.text)
    }

    /// How many predictions were right, of how many that were made, of how many questions. What was shown was not predicted.
    #[must_use]
    pub fn score(&self) -> (usize, usize, usize) {
        let said: Vec<_> = self.questions.iter().filter_map(|posed| Some(posed.said?? == posed.asked.right)).collect();
        (said.iter().filter(|right| **right).count(), said.len(), self.questions.len())
    }

    /// The next moment from here at which somebody else could run: its number, if there is one.
    #[must_use]
    pub fn next_choice(&self) -> Option<usize> {
        self.run().choices.iter().position(|choice| choice.at >= self.at && choice.lanes.len() > 1)
    }

    /// Does what a key means.
    pub fn press(&mut self, key: Key) {
        self.note.clear();
        match self.mode.clone() {
            Mode::Walk => self.walk(key),
            Mode::Goto(digits) => self.type_step(digits, key),
            Mode::Who(choice) => self.pick(choice, key),
        }
    }

    fn walk(&mut self, key: Key) {
        match key {
            Key::Next if self.must_answer() => self.note = "a prediction first: a digit, or s to see the answer".into(),
            Key::Next if self.is_over() => self.note = "this was the last event".into(),
            Key::Next => self.at += 1,
            Key::Back => self.at = self.at.saturating_sub(1),
            Key::NextStop => self.seek(|text, at| text.frame > at),
            Key::LastStop => self.seek_back(),
            Key::NextQuestion => self.seek(|text, at| text.frame > at && text.question.is_some()),
            Key::Start => self.at = 0,
            Key::End => self.at = self.last(),
            Key::Goto => self.mode = Mode::Goto(String::new()),
            Key::Panel => self.panel += 1,
            Key::Who => self.ask_who(),
            Key::Fail => self.fail(),
            Key::Undo => self.undo(),
            Key::Show => self.say(None),
            Key::Digit(digit) => match usize::from(digit).checked_sub(1) {
                Some(choice) => self.say(Some(choice)),
                None => self.note = "answers begin with 1".into(),
            },
            Key::Enter => self.walk(Key::Next),
            Key::Backspace | Key::Cancel => {}
        }
    }

    /// A question that nobody has answered stands in the way of a single step, but of no jump.
    fn must_answer(&self) -> bool {
        self.question().is_some_and(|posed| posed.said.is_none())
    }

    fn seek(&mut self, wanted: impl Fn(&Text, usize) -> bool) {
        let shared = self.shared();
        let next = self.texts.iter().find(|text| wanted(text, self.at) && text.frame <= shared);
        match next {
            Some(text) => self.at = text.frame,
            None if !self.branches.is_empty() => {
                self.note = "no more here: the lesson's stops are in its own run (u takes the change back)".into();
            }
            None => self.note = "no more of these".into(),
        }
    }

    fn seek_back(&mut self) {
        let here = self.at.min(self.shared() + 1);
        let before = self.texts.iter().rev().map(|text| text.frame).find(|frame| *frame < here);
        self.at = before.unwrap_or(0);
    }

    /// The reader predicts, or has it shown. The first word counts.
    fn say(&mut self, choice: Option<usize>) {
        let Some(here) = self.question_here() else {
            self.note = "there is no question here; n goes to the next".into();
            return;
        };
        let posed = &mut self.questions[here];
        if choice.is_some_and(|choice| choice >= posed.asked.choices.len()) {
            self.note = format!("the answers are 1 to {}", posed.asked.choices.len());
        } else if posed.said.is_none() {
            posed.said = Some(choice);
        }
    }

    fn type_step(&mut self, mut digits: String, key: Key) {
        match key {
            Key::Digit(digit) if digits.len() < 6 => digits += &digit.to_string(),
            Key::Backspace => drop(digits.pop()),
            Key::Enter => {
                self.mode = Mode::Walk;
                return self.go_to(digits.parse().unwrap_or(0));
            }
            Key::Cancel => {
                self.mode = Mode::Walk;
                return;
            }
            _ => {}
        }
        self.mode = Mode::Goto(digits);
    }

    /// To the first event of a step, or of the next one in which there are any.
    pub fn go_to(&mut self, step: u64) {
        let at = self.run().events.iter().position(|event| event.step >= step);
        match at {
            Some(_) if step == 0 => self.at = 0,
            Some(at) => self.at = at + 1,
            None => {
                self.at = self.last();
                self.note = format!("the run ends in step {}", self.frame().step);
            }
        }
    }

    fn ask_who(&mut self) {
        match self.next_choice() {
            Some(choice) => self.mode = Mode::Who(choice),
            None => self.note = "from here on nobody else could run".into(),
        }
    }

    fn pick(&mut self, choice: usize, key: Key) {
        let Key::Digit(digit @ 1..) = key else {
            if matches!(key, Key::Cancel | Key::Who | Key::Enter) {
                self.mode = Mode::Walk;
            }
            return;
        };
        let (lane, moment) = (u32::from(digit) - 1, self.run().choices[choice].clone());
        let Some(name) = moment.lanes.get(lane as usize) else {
            self.note = format!("1 to {}, or Esc", moment.lanes.len());
            return;
        };
        self.mode = Mode::Walk;
        let what = format!("{name} runs next");
        if lane == moment.picked {
            self.at = moment.at;
            self.note = format!("{name} is who runs next here anyway");
            return;
        }
        let run = self.run().picking(choice, lane);
        self.branch(run, what);
    }

    fn fail(&mut self) {
        let from = self.at;
        let alloc =
            self.run().events[from..].iter().position(|event| matches!(event.what, What::Alloc { ok: true, .. }));
        let Some(event) = alloc.map(|after| from + after) else {
            self.note = "nothing is allocated from here on".into();
            return;
        };
        let What::Alloc { site, .. } = self.run().events[event].what else { return };
        if let Some(run) = self.run().failing(event) {
            self.branch(run, format!("{site} fails"));
        }
    }

    /// From here on the reader looks at this run; he stands before its first difference.
    fn branch(&mut self, run: Result<Run, InputError>, what: String) {
        match run {
            Ok(run) => {
                let from = self.run().common(&run);
                self.at = from;
                self.note = format!("{what}: what follows is yours; u takes it back");
                self.branches.push(Branch { run, from, what });
            }
            Err(error) => self.note = error.to_string(),
        }
    }

    fn undo(&mut self) {
        match self.branches.pop() {
            Some(branch) => {
                self.at = self.at.min(branch.from);
                self.note = format!("taken back: {}", branch.what);
            }
            None => self.note = "nothing was changed: w and f do".into(),
        }
    }
}
