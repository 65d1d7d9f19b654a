//! What the user got wrong: where, what stood there, and what was expected instead.
//!
//! One type serves recordings, scenario files, replay lines and flags, so that every such message reads alike and ends
//! in the same exit code.

use std::io;
use std::path::Path;
use std::str::Utf8Error;

use serde::Serialize;
use toml::de::{DeTable, DeValue};

/// More of the user's text than this is not quoted: binary garbage and a megabyte on one line stay readable.
const LONGEST_QUOTE: usize = 100;

/// What is expected of a file that is to be created.
pub const WRITABLE: &str = "a file that can be written";

/// One mistake in what the user gave.
///
/// Prints as `tests/data/x.csv:12:7: found "frok", expected one of fork, exec, exit`; without line and column when the
/// mistake is the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}: found {found}, expected {expected}", self.place())]
pub struct InputError {
    /// The file as the user named it, or a name in angle brackets such as `<replay line>`.
    pub file: String,
    /// Line, counted from 1; none when the file as a whole is wrong.
    pub line: Option<u64>,
    /// Character within the line, counted from 1.
    pub column: Option<u64>,
    /// What is there, in words or in quotes; never longer than a line of text, and free of control characters.
    pub found: String,
    /// What may be there.
    pub expected: String,
}

impl InputError {
    /// A mistake of the file as a whole; [`at`](Self::at) and [`at_offset`](Self::at_offset) say where in it.
    pub fn new(file: impl Into<String>, found: impl AsRef<str>, expected: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
            found: printable(found.as_ref()),
            expected: expected.into(),
        }
    }

    /// The same mistake, at this line and column, both counted from 1.
    #[must_use]
    pub fn at(mut self, line: u64, column: u64) -> Self {
        (self.line, self.column) = (Some(line), Some(column));
        self
    }

    /// The same mistake, at this byte offset of `text`; an offset beyond its end is its end.
    #[must_use]
    pub fn at_offset(self, text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line = before.split('\n').count() as u64;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        self.at(line, column as u64 + 1)
    }

    /// A file that cannot be opened, read or written, in plain words.
    pub fn io(file: impl Into<String>, error: &io::Error, expected: impl Into<String>) -> Self {
        let found = match error.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            io::ErrorKind::IsADirectory => "a directory".to_owned(),
            io::ErrorKind::PermissionDenied => "no permission".to_owned(),
            _ => format!("an input/output error ({error})"),
        };
        Self::new(file, found, expected)
    }

    /// A file that cannot be created or written.
    pub fn unwritable(path: &Path, error: &io::Error) -> Self {
        let file = path.display().to_string();
        match error.kind() {
            io::ErrorKind::NotFound => Self::new(file, "no such directory", WRITABLE),
            _ => Self::io(file, error, WRITABLE),
        }
    }

    /// Bytes that are not UTF-8 text; `bytes` begin at line `first_line`, column 1.
    pub fn utf8(file: impl Into<String>, first_line: u64, bytes: &[u8], error: &Utf8Error) -> Self {
        let (good, bad) = bytes.split_at(error.valid_up_to());
        let found = format!("byte {:#04x}", bad.first().copied().unwrap_or(0));
        let good = String::from_utf8_lossy(good);
        let mut wrong = Self::new(file, found, "UTF-8 text").at_offset(&good, good.len());
        wrong.line = wrong.line.map(|line| line + first_line - 1);
        wrong
    }

    /// The text of a file.
    ///
    /// # Errors
    /// Those of [`io`](Self::io) and of [`utf8`](Self::utf8).
    pub fn read(path: &Path, expected: &str) -> Result<String, Self> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| Self::io(&file, &error, expected))?;
        String::from_utf8(bytes).map_err(|error| Self::utf8(&file, 1, error.as_bytes(), &error.utf8_error()))
    }

    /// A mistake that serde found in the JSON in `text`: it is empty, cut off, or something else.
    pub fn json(file: impl Into<String>, text: &str, error: &serde_json::Error, expected: impl Into<String>) -> Self {
        let found = if text.trim().is_empty() {
            "an empty file".to_owned()
        } else if error.is_eof() {
            "the end of the file, in the middle of a value".to_owned()
        } else {
            let said = error.to_string();
            let said = said.split_once(" at line ").map_or(said.as_str(), |(said, _)| said);
            if error.is_syntax() { format!("no JSON ({said})") } else { said.to_owned() }
        };
        Self::new(file, found, expected).at(error.line().max(1) as u64, error.column().max(1) as u64)
    }

    /// A mistake that the TOML parser or serde found in `text`.
    ///
    /// Their sentence `..., expected ...` makes our two halves; `default` is expected where it says nothing of that.
    pub fn toml(file: impl Into<String>, text: &str, error: &toml::de::Error, default: &str) -> Self {
        let message = error.message();
        let (found, expected) = match message.split_once(", expected ") {
            Some(halves) => halves,
            None if message.starts_with("missing field ") => (message, "it to be given"),
            None => message.strip_prefix("wanted ").map_or((message, default), |wanted| ("another value", wanted)),
        };
        let offset = error.span().map_or(0, |span| span.start);
        Self::new(file, plain(found), plain(expected)).at_offset(text, offset)
    }

    /// The same mistake, at a value of the TOML in `text`: `place` is its keys and indices, such as `tasks.0.name`.
    ///
    /// A place that is not there, because a default stands for it, is the beginning of the text.
    #[must_use]
    pub fn at_toml(self, text: &str, place: &str) -> Self {
        // The text is parsed a second time for this, so that the plain data need not carry places.
        let root = DeTable::parse(text).ok().map(toml::Spanned::into_inner);
        let offset = root.and_then(|root| offset_of(&root, place));
        self.at_offset(text, offset.unwrap_or(0))
    }

    fn place(&self) -> String {
        let number = |n: Option<u64>| n.map_or(String::new(), |n| format!(":{n}"));
        format!("{}{}{}", self.file, number(self.line), number(self.column))
    }
}

/// The user's own word between quotes, for [`InputError::found`]: `"frok"`.
pub fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

/// Says in the words of TOML what serde says in the words of Rust.
fn plain(half: &str) -> String {
    const WORDS: [(&str, &str); 9] = [
        ("missing field", "no key"),
        ("unknown field", "unknown key"),
        ("unknown variant", "unknown word"),
        ("unit variant", "a word alone"),
        ("newtype variant", "a word with a value"),
        ("map", "a table"),
        ("a sequence", "an array"),
        ("a boolean", "true or false"),
        ("struct ", "a table: "),
    ];
    let half = half.trim_start_matches("invalid type: ");
    let half = half.trim_start_matches("invalid value: ");
    let word = WORDS.iter().find(|(rust, _)| half.starts_with(rust));
    word.map_or(half.to_owned(), |(rust, toml)| half.replacen(rust, toml, 1))
}

fn offset_of(root: &DeTable<'_>, place: &str) -> Option<usize> {
    let mut keys = place.split('.');
    let mut at = root.get(keys.next()?)?;
    for key in keys {
        at = match at.get_ref() {
            DeValue::Array(array) => array.get(key.parse::<usize>().ok()?),
            value => value.get(key),
        }?;
    }
    Some(at.span().start)
}

/// Escapes what would move the cursor of a terminal, and cuts what would fill it.
fn printable(text: &str) -> String {
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST_QUOTE {
            line.push('…');
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
