//! One page for a browser, all in one file: the run step by step, forward and backward.
//!
//! It shows the lanes on a line of time, the call tree, memory (slots and buffers byte by byte), the messages, each listener's
//! queue and the tree it believes in; two runs side by side, if the one that passes is known. `docs/pictures.md` has its keys.
//!
//! The page asks nobody for anything: its script and its style stand in it and are named by their hashes in a policy that
//! forbids all else. What it shows is read from the trace (`frames`), embedded as JSON.

mod frames;

use serde::Serialize;
use sha2::{Digest, Sha256};
use sim::trace::Event;

/// Events of a run, at the most: a page with more would be slow, and nobody reads it to its end.
pub const MOST: usize = 5_000;

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// What a page shows.
#[derive(Clone, Debug)]
pub struct Page {
    /// In a few words: the scenario, or what was found.
    pub title: String,
    /// One run, or the one that fails and the nearest one that passes.
    pub runs: Vec<Shown>,
    /// The step about which they decide differently.
    pub differs: Option<u64>,
}

/// One run of a page.
#[derive(Clone, Debug)]
pub struct Shown {
    /// `this run`, `fails`, `passes`.
    pub label: &'static str,
    /// What stands after `forklab replay`.
    pub replay: String,
    /// Its trace.
    pub events: Vec<Event>,
}

/// A run has more than [`MOST`] events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run of {0} events, expected at most {MOST}")]
pub struct TooLong(pub usize);

/// What the page's script gets.
#[derive(Serialize)]
struct Data {
    version: u32,
    title: String,
    differs: Option<u64>,
    runs: Vec<frames::Run>,
}

impl Page {
    /// The file.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn draw(&self) -> Result<String, TooLong> {
        if let Some(long) = self.runs.iter().map(|run| run.events.len()).find(|events| *events > MOST) {
            return Err(TooLong(long));
        }
        let runs = self.runs.iter().map(frames::run).collect();
        let data = Data { version: 1, title: self.title.clone(), differs: self.differs, runs };
        let data = serde_json::to_string(&data).expect("no map has keys but strings");
        // Whatever a message says, it does not end the script that it stands in.
        let data = data.replace('<', "\\u003c");
        let parts = [
            ("{{title}}", text(&self.title)),
            ("{{style-hash}}", hash(STYLE)),
            ("{{script-hash}}", hash(SCRIPT)),
            ("{{style}}", STYLE.to_owned()),
            ("{{script}}", SCRIPT.to_owned()),
            // Last, so that nothing is looked for in it.
            ("{{data}}", data),
        ];
        Ok(parts.iter().fold(PAGE.to_owned(), |page, (name, part)| page.replacen(name, part, 1)))
    }
}

/// Text that HTML takes.
fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// `sha256-…`, as a content security policy names a script.
fn hash(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = String::from("sha256-");
    for three in Sha256::digest(text.as_bytes()).chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let six = (bits >> (18 - 6 * digit) & 63) as usize;
            base64.push(if digit <= three.len() { DIGITS[six].into() } else { '=' });
        }
    }
    base64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_openssl() {
        // printf abc | openssl dgst -sha256 -binary | base64
        assert_eq!(hash("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }
}
