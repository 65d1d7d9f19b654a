//! The default picture of a run: one column a lane, one row an event, nested by call depth.
//!
//! ```text
//!  step  CPU0  p                             CPU1  c
//!  ----  ---------------------------------   ---------------------------------
//!     1  do_fork(SIGCHLD)
//!     2    alloc_pidmap() = 101
//!     3                                      do_exit(0)
//!     8    … do_fork(SIGCHLD)
//!          ^^^^^^^ use after free: p->pid
//!                  freed by lane c in step 7 (free_task)
//!
//!  rule    a lane reads an object only while it holds a reference to it
//! ```
//!
//! - **Columns.** As many side by side as fit: three in 80 characters. A run with more lanes uses a column again, from a
//!   row that names the new lane on; the lane that must make room is the one that is silent for longest. So no picture
//!   is wider than it was asked to be, however many lanes there are.
//! - **Rows.** A call that returns before anything else is shown has its result beside it (`f() = 0`); otherwise the
//!   result stands where it was returned (`f returns 0`). The step is that of the event.
//! - **A broken rule** points with `^^^^` at the last thing its lane did. If others have run since, the call that the
//!   lane is in is repeated after `…`.
//! - **A long text** runs on over the columns to its right (a row is one lane's alone), and ends with `…` at the edge. A
//!   message has three lines; of a longer one the middle is left out, as messages differ at their ends.
//! - **Work outside of every lane** (before the first step) starts at the left edge and may use the whole width.

mod columns;
mod rows;

use std::collections::BTreeMap;

use sim::LaneName;
use sim::trace::Event;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Detail {
    /// Calls, messages, waiting, failures and broken rules. Left out: memory and locks that did what they should, and
    /// calls that say nothing but that all is well. The free that a broken rule blames is shown.
    #[default]
    Calls,
    /// Every event.
    All,
}

/// The picture's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Characters in the longest line; at least 40.
    pub width: usize,
    /// Whether to colour with ANSI escapes. Colour only adds: without them the text is the same.
    pub color: bool,
    /// How much is shown.
    pub detail: Detail,
    /// What stands above a lane's column instead of its name: `parent 100` for `p`.
    pub labels: BTreeMap<LaneName, String>,
}

impl Default for Lanes {
    /// 80 characters, no colour, [`Detail::Calls`], lanes under their own names.
    fn default() -> Lanes {
        Lanes { width: 80, color: false, detail: Detail::Calls, labels: BTreeMap::new() }
    }
}

impl Lanes {
    /// Draws the events. Each line ends with a newline; no line ends with a blank.
    ///
    /// If a rule was broken, the picture ends with one line ` rule    …` for each: a caller that knows how to replay the
    /// run appends ` replay  …`.
    #[must_use]
    pub fn draw(&self, events: &[Event]) -> String {
        let story = rows::story(events, self.detail);
        columns::draw(&story, self)
    }
}

/// Draws the events with the default options.
#[must_use]
pub fn lanes(events: &[Event]) -> String {
    Lanes::default().draw(events)
}
