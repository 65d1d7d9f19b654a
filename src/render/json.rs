//! The JSON trace: one event a line. What `sha256sum` of it prints is the trace hash.

use std::io::{self, Write};

use sim::trace::{Event, write_json};

/// Writes the events as JSON, one a line, each line ended by a newline.
///
/// # Errors
/// Those of `out`.
pub fn json(events: &[Event], out: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    for event in events {
        line.clear();
        write_json(event, &mut line);
        out.write_all(&line)?;
    }
    Ok(())
}
