//! A run as a file: for ui.perfetto.dev, or as a page for a browser.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args;
use sim::Violation;
use sim::trace::{Event, Sink};

use super::Failure;
use super::run::recorded;
use crate::input::InputError;
use crate::lab::nearest::nearest;
use crate::render::html::{MOST, Page, Shown, TooLong};
use crate::render::perfetto::{Perfetto, perfetto};

/// Files that a run can be written to, beside what is printed.
#[derive(Args, Debug)]
pub(super) struct Files {
    /// Write the run for ui.perfetto.dev: its calls by CPU and by task, memory and queues
    #[arg(long, value_name = "FILE")]
    pub perfetto: Option<PathBuf>,
    /// Write the run as one page for a browser, to be stepped through; of a run that fails, beside the nearest that passes
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

type File_ = BufWriter<File>;

impl Files {
    /// Whether there is something to write.
    pub(super) fn any(&self) -> bool {
        self.perfetto.is_some() || self.html.is_some()
    }

    /// Begins the file for ui.perfetto.dev, if it was asked for.
    pub(super) fn open_perfetto(&self) -> Result<Option<(Perfetto<File_>, &Path)>, InputError> {
        let Some(path) = self.perfetto.as_deref() else { return Ok(None) };
        let begun = File::create(path).and_then(|file| Perfetto::new(BufWriter::new(file)));
        let begun = begun.map_err(|error| InputError::unwritable(path, &error))?;
        Ok(Some((begun, path)))
    }

    /// The page of a run that is over. If it broke a rule, it stands beside the nearest that does not.
    pub(super) fn write_run(&self, line: &str, events: Vec<Event>, broke: Option<&Violation>) -> Result<(), Failure> {
        let Some(path) = &self.html else { return Ok(()) };
        let Some(broke) = broke else {
            let title = line.split(' ').take(2).last().unwrap_or_default().to_owned();
            let runs = vec![Shown { label: "run", replay: line.into(), events }];
            return Ok(write_page(path, &Page { title, runs, differs: None })?);
        };
        let nearest = nearest(&line.parse()?);
        let title = broke.text.clone();
        write_two(path, title, (line, events), nearest.as_ref().map(|(step, line)| (*step, line.as_str())))
    }

    /// A run that was found, and the nearest one that passes.
    pub(super) fn write_found(&self, title: &str, line: &str, nearest: Option<(u64, &str)>) -> Result<(), Failure> {
        if !self.any() {
            return Ok(());
        }
        let events = recorded(line)?;
        if let Some(path) = &self.perfetto {
            let written = File::create(path).and_then(|file| perfetto(&events, BufWriter::new(file)));
            written.map_err(|error| InputError::unwritable(path, &error))?;
        }
        match &self.html {
            Some(path) => write_two(path, title.to_owned(), (line, events), nearest),
            None => Ok(()),
        }
    }

    /// Says so, if there was something to write.
    pub(super) fn nothing_found(&self) -> Result<(), Failure> {
        for path in self.perfetto.iter().chain(&self.html) {
            writeln!(anstream::stderr(), "forklab: nothing was found, so that {} was not written", path.display())?;
        }
        Ok(())
    }
}

fn write_two(
    path: &Path,
    title: String,
    (line, events): (&str, Vec<Event>),
    nearest: Option<(u64, &str)>,
) -> Result<(), Failure> {
    let mut runs = vec![Shown { label: "fails", replay: line.into(), events }];
    if let Some((_, line)) = nearest {
        runs.push(Shown { label: "passes", replay: line.into(), events: recorded(line)? });
    }
    Ok(write_page(path, &Page { title, runs, differs: nearest.map(|(step, _)| step) })?)
}

fn write_page(path: &Path, page: &Page) -> Result<(), InputError> {
    let text = page.draw().map_err(too_long)?;
    fs::write(path, text).map_err(|error| InputError::unwritable(path, &error))
}

fn too_long(TooLong(events): TooLong) -> InputError {
    let expected = format!("at most {MOST} for --html; --perfetto FILE takes any number");
    InputError::new("<command line>", format!("a run of {events} events"), expected)
}

/// The events of a run, as long as a page can show them.
#[derive(Clone, Default)]
pub(super) struct Few(Rc<RefCell<(Vec<Event>, usize)>>);

impl Few {
    /// # Errors
    /// There were too many.
    pub(super) fn check(&self) -> Result<(), InputError> {
        let events = self.0.borrow().1;
        if events > MOST { Err(too_long(TooLong(events))) } else { Ok(()) }
    }

    /// Takes them.
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.borrow_mut().0)
    }
}

impl Sink for Few {
    fn event(&mut self, event: &Event) {
        let (events, seen) = &mut *self.0.borrow_mut();
        *seen += 1;
        if *seen <= MOST {
            events.push(event.clone());
        }
    }
}
