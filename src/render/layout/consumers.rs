//! What programs of today make of each format: recorded, not remembered.
//!
//! `consumers.toml` holds, for each format and each consumer, what the consumer said when `tests/consumers` gave it the
//! datagram: in its own words, with its version and that of the kernel in between. That test asks all of them again, and
//! `UPDATE_CONSUMERS=1 cargo test --test consumers` writes down what they say now.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// Characters of a line.
const WIDTH: usize = 100;
/// The record.
const RECORDED: &str = include_str!("consumers.toml");

/// Formats and consumers, and what each of these made of each of those. `Display` draws it in at most 100 columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumers {
    /// The release of the kernel that carried the datagrams.
    pub kernel: String,
    /// Who was asked.
    pub consumers: Vec<Consumer>,
    /// What they were asked about.
    pub formats: Vec<Heard>,
}

/// A program, or a library of Rust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// Its name in the table.
    pub name: String,
    /// What it says of itself, or what `Cargo.lock` says.
    pub version: String,
    /// What was run or called.
    pub asked: String,
}

/// One format, and what was heard of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// Its name.
    pub format: String,
    /// Who sent it, and where to.
    pub sent: String,
    /// What listeners there receive, as [`Shown`](uevent::wire::Shown) shows it.
    pub datagram: String,
    /// The answers, one for each consumer, in their order.
    pub answers: Vec<Answer>,
}

/// What one consumer made of one format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The consumer.
    pub consumer: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Its words, line by line; what differs from run to run is `…`.
    pub words: Vec<String>,
}

/// What an answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It gives the pids of parent and child.
    Pids,
    /// It takes the message, and gives no pids, or not these.
    NoPids,
    /// It complains.
    Refused,
    /// It does not hear it.
    Nothing,
}

impl Consumers {
    /// What was recorded with this version of forklab.
    ///
    /// # Panics
    /// Never: the test `the_record_is_whole` reads it.
    #[must_use]
    pub fn recorded() -> Consumers {
        toml::from_str(RECORDED).expect("the record is written by its test")
    }
}

impl Verdict {
    /// A word or two, for the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pids => "pids",
            Verdict::NoPids => "no pids",
            Verdict::Refused => "refused",
            Verdict::Nothing => "nothing",
        }
    }
}

impl Display for Consumers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "What programs make of each format: process 100 made process 101. Linux {}", self.kernel)?;
        writeln!(f)?;
        self.table(f)?;
        writeln!(
            f,
            "\n pids: it gives both. no pids: it takes the message, without them. nothing: it does not hear it.\n"
        )?;
        for consumer in &self.consumers {
            line(f, 1, 16, &consumer.name, &format!("{}, {}", consumer.version, consumer.asked))?;
        }
        self.formats.iter().try_for_each(|heard| heard.draw(f))
    }
}

impl Consumers {
    /// Formats down, consumers across: verdicts only.
    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A name of two words stands in two lines.
        let heads: Vec<_> = self
            .consumers
            .iter()
            .map(|consumer| consumer.name.split_once(' ').unwrap_or(("", &consumer.name)))
            .collect();
        let width = |(one, two): &(&str, &str)| one.len().max(two.len()).max("no pids".len());
        let first = self.formats.iter().map(|heard| heard.format.len()).max().unwrap_or(0);
        let mut rows = vec![heads.iter().map(|head| head.0).collect(), heads.iter().map(|head| head.1).collect()];
        rows.extend(
            self.formats.iter().map(|heard| heard.answers.iter().map(|answer| answer.verdict.name()).collect()),
        );
        let names = ["", "format"].into_iter().chain(self.formats.iter().map(|heard| &heard.format[..]));
        for (name, row) in names.zip(rows) {
            let row: Vec<&str> = row;
            let cells = heads.iter().zip(&row).map(|(head, cell)| format!("  {cell:<0$}", width(head)));
            writeln!(f, "{}", format!(" {name:<first$}{}", cells.collect::<String>()).trim_end())?;
        }
        Ok(())
    }
}

impl Heard {
    fn draw(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n {}: sent {}", self.format, self.sent)?;
        line(f, 3, 0, "", &self.datagram)?;
        for answer in &self.answers {
            let words = answer.words.iter().map(|word| &word[..]).chain(answer.words.is_empty().then_some("nothing"));
            for (i, word) in words.enumerate() {
                line(f, 3, 16, if i == 0 { &answer.consumer } else { "" }, word)?;
            }
        }
        Ok(())
    }
}

/// A name, and words beside it in lines that fit.
fn line(f: &mut Formatter<'_>, indent: usize, name_width: usize, name: &str, words: &str) -> fmt::Result {
    let gap = if name_width == 0 { 0 } else { 2 };
    let mut name = name;
    let mut rest: Vec<_> = words.chars().collect();
    loop {
        let after = rest.split_off(fitting(&rest, WIDTH - indent - name_width - gap));
        let part: String = rest.iter().collect();
        let text = format!("{:indent$}{name:<name_width$}{:gap$}{part}", "", "");
        writeln!(f, "{}", text.trim_end())?;
        if after.is_empty() {
            return Ok(());
        }
        (name, rest) = ("", after);
    }
}

/// How much of a text goes into a line: up to a space, or as much as there is room for where none is in its second half.
fn fitting(text: &[char], room: usize) -> usize {
    if text.len() <= room {
        return text.len();
    }
    let space = text[..room].iter().rposition(|c| *c == ' ').map(|at| at + 1);
    space.filter(|at| *at > room / 2).unwrap_or(room)
}
