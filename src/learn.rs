//! Lessons: a fork, step by step, with questions to predict what comes next.
//!
//! | module | holds |
//! |---|---|
//! | [`lesson`] | a lesson as data: a run, stops in it, texts, questions |
//! | [`lessons`] | the eight of them |
//! | [`question`] | a prediction, whose answer is computed |
//! | [`run`](mod@run) | a run with all that can be looked at, and what follows if another lane runs or an allocation fails |
//! | [`frame`] | how things stand after each event |
//! | [`learner`] | where a reader is, and what each key does |
//! | [`panel`] | locks, memory, message and queues in lines of text |
//! | `app` | the list of lessons and the one that is open, with the feature `cli` |
//! | `screen` | the picture in the terminal, with the feature `cli` |
//! | [`print`](mod@print) | a lesson on paper |
//! | [`source`] | which file of the kernel a function is in |
//!
//! Going back is free: a run is a list of frames, and a lesson looks at one of them. What a reader changes is another run with
//! the same beginning.
//!
//! ```
//! use forklab::learn::{learner::{Key, Learner}, lessons};
//!
//! let lesson = lessons::find("path").expect("the first one");
//! let mut learner = Learner::new(lesson)?;
//! learner.press(Key::NextQuestion);
//! let asked = learner.question().expect("one is asked here").asked.clone();
//! assert_eq!(asked.choices[asked.right], "kobject_fork()");
//! # Ok::<(), forklab::input::InputError>(())
//! ```

#[cfg(feature = "cli")]
pub mod app;
pub mod frame;
pub mod learner;
pub mod lesson;
pub mod lessons;
pub mod panel;
pub mod print;
mod probe;
pub mod question;
pub mod run;
#[cfg(feature = "cli")]
pub mod screen;
pub mod source;
