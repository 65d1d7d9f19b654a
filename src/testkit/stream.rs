//! A script and what its reader meets, one line a step.

use std::fmt;

use uevent::source::{Arrival, UeventSource, Wait};
use uevent::wire::Shown;
use uevent::wire::connector::ConnectorMessage;
use uevent::wire::proc_event::ProcEvent;

use super::script::{Format, Script};

/// What a reader meets who drains the socket whenever there is something: the picture of a script.
///
/// The left column has the steps, the right one what happened that no arrival tells (in parentheses), and what arrived.
///
/// ```
/// use forklab::testkit::Script;
///
/// let stream = Script::from_line("v1 fork:1>10 overrun exit:10")?.stream();
/// assert_eq!(stream.to_string(), "\
/// fork:1>10            fork 1 -> 10 (CPU 0, number 1)
/// overrun
/// exit:10              (lost: the buffer is full)
///                      LOST the receive buffer was full (ENOBUFS): an unknown number of messages is lost
/// ");
/// # Ok::<(), forklab::testkit::LineError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The text of each step, and what followed it.
    pub lines: Vec<(String, Vec<String>)>,
}

impl Stream {
    pub(super) fn of(script: &Script) -> Stream {
        let mut kernel = script.kernel();
        let mut lines: Vec<_> = script.steps.iter().map(|step| (step.to_string(), Vec::new())).collect();
        let mut arrived = Vec::new();
        loop {
            let shown = match kernel.receive(Wait::No).expect("a script has no errors") {
                Arrival::End => break,
                Arrival::Nothing => None,
                other => Some(show(script.format, &other)),
            };
            let at = kernel.taken().saturating_sub(1);
            arrived.extend(shown.map(|shown| (at, shown)));
        }
        let notes = kernel.notes().iter().map(|(at, note)| (*at, format!("({note})")));
        for (at, text) in notes.chain(arrived) {
            match lines.get_mut(at) {
                Some(line) => line.1.push(text),
                None => lines.push((String::new(), vec![text])),
            }
        }
        Stream { lines }
    }
}

/// An arrival as a line: `fork 1 -> 10 (CPU 0, number 7)`, `add@/devices/x\0…`, `LOST …`, `REFUSED …`.
#[must_use]
pub fn show(format: Format, arrival: &Arrival<'_>) -> String {
    match arrival {
        Arrival::Message(datagram) => bytes(format, datagram.bytes),
        Arrival::Refused(datagram, refusal) => format!("REFUSED {}, {refusal}", bytes(format, datagram.bytes)),
        Arrival::Lost(loss) => format!("LOST {loss}"),
        Arrival::Nothing => "nothing".into(),
        Arrival::End => "the end".into(),
    }
}

/// Characters of the left column, if no step is longer.
const STEP: usize = 20;
/// Bytes of a message that are shown: the rest is filling.
const SHOWN: usize = 160;

fn bytes(format: Format, bytes: &[u8]) -> String {
    let event = || {
        let message = ConnectorMessage::parse(bytes).ok()?;
        let event = ProcEvent::parse(&message).ok()?;
        Some(format!("{} (CPU {}, number {})", event.what, event.cpu, message.seq))
    };
    let event = if format == Format::Process { event() } else { None };
    event.unwrap_or_else(|| match bytes.len() {
        0 => "an empty message".into(),
        len if len > SHOWN => format!("{}… {len} bytes", Shown(&bytes[..SHOWN])),
        _ => Shown(bytes).to_string(),
    })
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.lines.iter().map(|(step, _)| step.chars().count()).max();
        let width = longest.unwrap_or(0).max(STEP);
        for (step, arrived) in &self.lines {
            let first = arrived.first().map_or("", String::as_str);
            writeln!(f, "{}", format!("{step:width$} {first}").trim_end())?;
            arrived.iter().skip(1).try_for_each(|more| writeln!(f, "{:width$} {more}", ""))?;
        }
        Ok(())
    }
}
