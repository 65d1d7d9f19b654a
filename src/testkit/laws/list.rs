//! The laws themselves.

use super::Law;
use crate::testkit::bytes::garbage;
use crate::testkit::script::{Format, Script};
use crate::testkit::step::Step;

/// A function whose page is the rule, and whose law says the same.
macro_rules! laws {
    ($($(#[doc = $rule:literal])+ fn $name:ident($format:ident) $body:block)+) => {
        $(
            $(#[doc = $rule])+
            #[must_use]
            pub fn $name($format: Format) -> Law {
                let law: Law = $body;
                // The first line is the sentence; what follows says more.
                Law { name: stringify!($name), rule: [$($rule),+][0].trim(), ..law }
            }
        )+
    };
}

/// What happens in the laws that are about something else.
fn world(format: Format) -> &'static str {
    match format {
        Format::Uevents => "add:/devices/a | remove:/devices/a | add:/devices/b",
        _ => "fork:1>10 | fork:10>11 | exit:10",
    }
}

/// That, and these.
fn with(format: Format, atoms: &str) -> Law {
    Law::new(format, &format!("{} | {atoms}", world(format)))
}

laws! {
    /// A stream that nothing disturbs is followed exactly, and needs no resynchronisation.
    fn calm(format) {
        let more = if format == Format::Uevents { "change:/devices/a" } else { "exec:10 | exit:11" };
        Law { calm: true, ..with(format, &format!("{more} | burst:2")) }
    }

    /// Silence is not an end.
    fn silence(format) {
        Law { calm: true, ..with(format, "silence:5") }
    }

    /// After an overrun the view is right again within one resynchronisation.
    ///
    /// Whatever was queued before the loss is read after it was told, and after a resynchronisation that came too soon.
    fn overrun(format) {
        with(format, "overrun | congested:2 | burst:3")
    }

    /// When the receive buffer is really full, all that follows is lost until it is drained, and the view is right then.
    fn full_buffer(format) {
        Law { rcvbuf: 400, ..with(format, "burst:4 | burst:6") }
    }

    /// Whoever looks at `/proc` or `/sys` before it has read all that was queued looks too soon.
    ///
    /// Until the queue is drained the latch of the overrun is set: what happens meanwhile is lost, too, and nobody says so.
    fn latched(format) {
        let meanwhile = match format {
            Format::Uevents => {
                "burst:2 add:/devices/a overrun add:/devices/b | during:1 add:/devices/c | during:1 remove:/devices/a"
            }
            _ => "burst:2 fork:1>10 overrun fork:1>11 | during:1 fork:1>12 | during:1 exit:10",
        };
        with(format, meanwhile)
    }

    /// A message that was cut is a loss.
    fn truncated(format) {
        with(format, "cut:20 | cut:0")
    }

    /// No message from a stranger changes anything.
    ///
    /// Its number is forged, too: whoever counts it takes all that follows for late.
    fn stranger(format) {
        let lies = match format {
            Format::Uevents => "spoof add:/devices/b | spoof remove:/devices/a | spoof add:/devices/ghost",
            _ => "spoof fork:1>11 | spoof exit:10 | spoof fork:1>66",
        };
        with(format, lies)
    }

    /// A malformed message changes nothing, and nobody panics.
    fn malformed(format) {
        let all: Vec<_> = (0..garbage(format).len()).map(|n| format!("garbage:{n}")).collect();
        with(format, &all.join(" | "))
    }

    /// A message that comes twice changes nothing the second time.
    ///
    /// The patch's bare messages have nothing to tell an old one from a new one: with them, it comes again at once.
    fn duplicate(format) {
        with(format, if format == Format::Bare { "dup:0" } else { "dup:0 | dup:1 | dup:2" })
    }

    /// Bytes that are no text lose nothing.
    ///
    /// Names of partitions, of programs and of devices come from outside, and the kernel does not look at them.
    fn non_utf8(format) {
        Law { calm: true, ..with(format, "non-utf8") }
    }

    /// A message that is longer than usual is read like any other.
    ///
    /// A kernel to come has more keys, or more fields behind the known ones; one with more bytes than the reader offers
    /// room for is cut, and that is a loss.
    fn big(format) {
        with(format, "big:240 | big:4096 | big:9000")
    }

    /// A gap in the numbers is noticed with the next message.
    ///
    /// Nobody says that a message was lost, but each has a number: of its CPU, or of the machine.
    fn gap(format) {
        let beacons = |n: usize| beacons(format, n);
        let lose = if format == Format::Uevents { "lose:1 | lose:2" } else { "lose:1 | lose:2 | fork:1>12@1 | exit:12@1" };
        Law { before: beacons(1), after: beacons(2), ..with(format, lose) }
    }

    /// Messages of different CPUs may come in another order than they were sent; the view is right when all have come.
    fn reordered(format) {
        match format {
            Format::Uevents => Law::new(format, "add:/devices/a@0 | remove:/devices/a@1 | add:/devices/b@1 | late:1 | late:2"),
            _ => Law::new(format, "fork:1>10@0 | fork:10>11@1 | exit:10@1 | exit:11@0 | late:1 | late:2"),
        }
    }

    /// A pid that is used again is the new process: its own parent, none of the old one's children.
    ///
    /// The old one's exit is told last: it ends nobody who lives.
    fn reused_pid(format) {
        with(format, "reuse:1>10 | fork:1>12 | reuse:12>10 | exit:11")
    }

    /// A vfork whose message comes behind the child's exec is a fork like any other.
    fn late_vfork(format) {
        with(format, "vfork:1>10 | vfork:10>11 | exit:11")
    }

    /// An exit that is told before its fork leaves nobody behind.
    fn early_exit(format) {
        with(format, "early-exit:1>10 | early-exit:10>11 | early-exit:1>11")
    }

    /// A thread is no process: it adds nobody, and takes nobody away when it ends.
    fn thread(format) {
        with(format, "thread:1>20 | thread:10>21 | exit:20 | exit:21")
    }

    /// A device that moves is where it went, and no longer where it was.
    fn moved(format) {
        with(format, "move:/devices/a>/devices/b | move:/devices/b>/devices/a | change:/devices/b")
    }

    /// All of it at once: whatever happens, the view is right when all was read and no loss is unknown.
    ///
    /// These scripts are drawn, from a seed that never changes; what is found is made short.
    fn storm(format) {
        let laws: Vec<_> = all_but_storm(format).into_iter().flat_map(|law| law.atoms).collect();
        Law { random: Some(STORM), atoms: laws, rcvbuf: 1_200, ..Law::new(format, "") }
    }
}

/// Atoms of a storm.
const STORM: usize = 14;

/// Events that change nothing that is looked at, one or more for each CPU: their numbers are what they are for.
fn beacons(format: Format, nth: usize) -> Vec<Step> {
    let line = match format {
        Format::Process => "v1 exec:1@0 exec:1@1".to_owned(),
        Format::Uevents => "v1 change:/devices/virtual".to_owned(),
        Format::Bare | Format::Keyed => format!("v1 fork:1>90{nth}"),
    };
    Script::from_line(&line).expect("steps").steps
}

fn all_but_storm(format: Format) -> Vec<Law> {
    let mut laws = vec![
        calm(format),
        silence(format),
        malformed(format),
        stranger(format),
        non_utf8(format),
        truncated(format),
        overrun(format),
        full_buffer(format),
        latched(format),
        duplicate(format),
    ];
    if format != Format::Bare {
        laws.extend([big(format), gap(format), reordered(format)]);
    }
    match format {
        Format::Process => laws.extend([reused_pid(format), late_vfork(format), early_exit(format), thread(format)]),
        Format::Bare | Format::Keyed => laws.extend([reused_pid(format), late_vfork(format)]),
        Format::Uevents => laws.push(moved(format)),
    }
    laws
}

/// The laws that a consumer of this format can keep.
///
/// The patch's messages say nothing of exits and threads; a bare one has no number, so that a gap, an old copy and another
/// order cannot be seen in it: nobody could keep those laws.
#[must_use]
pub fn all(format: Format) -> Vec<Law> {
    let mut laws = all_but_storm(format);
    laws.push(storm(format));
    laws
}
