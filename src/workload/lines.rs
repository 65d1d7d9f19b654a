//! Lines of text from a file that may be gzip, with the memory of one line.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::A_RECORDING;
use crate::input::InputError;
use crate::lab::report::plural;

/// The longest line, in bytes. A record has at most 70; without an end, garbage would be read whole into memory.
const LONGEST_LINE: u64 = 4096;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The lines of one file, numbered from 1.
pub(super) struct Lines<'a> {
    file: &'a str,
    reader: Box<dyn BufRead + 'a>,
    number: u64,
    buffer: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(file: &'a str, mut reader: impl Read + 'a) -> Result<Self, InputError> {
        let mut magic = Vec::new();
        reader
            .by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut magic)
            .map_err(|error| InputError::io(file, &error, A_RECORDING))?;
        let zipped = magic == GZIP_MAGIC;
        let whole = BufReader::new(Cursor::new(magic).chain(reader));
        let reader: Box<dyn BufRead> =
            if zipped { Box::new(BufReader::new(MultiGzDecoder::new(whole))) } else { Box::new(whole) };
        Ok(Self { file, reader, number: 0, buffer: Vec::new() })
    }

    /// The next line without its end, and its number; none after the last.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &str)>, InputError> {
        self.buffer.clear();
        let length = self
            .reader
            .by_ref()
            .take(LONGEST_LINE + 1)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|error| self.unreadable(&error))?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        let text = str::from_utf8(&self.buffer)
            .map_err(|error| InputError::utf8(self.file, self.number, &self.buffer, &error))?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.len() as u64 > LONGEST_LINE {
            let found = format!("a line of more than {LONGEST_LINE} bytes");
            return Err(InputError::new(self.file, found, A_RECORDING).at(self.number, 1));
        }
        Ok(Some((self.number, line)))
    }

    /// Tells a damaged gzip file, which the user may have to fetch again, from a disk that does not answer.
    fn unreadable(&self, error: &io::Error) -> InputError {
        let found = match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!("gzip data that ends after {}", plural(self.number, "line"))
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                format!("damaged gzip data after {} ({error})", plural(self.number, "line"))
            }
            _ => return InputError::io(self.file, error, A_RECORDING),
        };
        InputError::new(self.file, found, "a complete gzip file")
    }
}
