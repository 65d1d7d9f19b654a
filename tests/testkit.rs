//! Laws of the test kit itself: its lines, its bytes, its buffer, its laws.

mod testkit_consumers;

use std::collections::BTreeSet;

use forklab::lab::source::Simulated;
use forklab::testkit::{
    Arrival, Format, LineError, Loss, Message, RCVBUF, Script, Step, UeventSource, View, Wait, fd, garbage,
};
use forklab::testkit::{NumberStream, Order, Trust, laws, parse_event, per_cpu, show, strategy};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use testkit_consumers::{Breaker, Devices, Forks, Way};

fn any_script() -> impl Strategy<Value = Script> {
    proptest::sample::select(Format::ALL.to_vec()).prop_flat_map(strategy::script)
}

fn script(line: &str) -> Script {
    Script::from_line(line).expect("a script")
}

/// Everything that a reader meets, as text, with the bytes.
fn arrivals(script: &Script, wait: Wait) -> Vec<String> {
    let mut kernel = script.kernel();
    let mut all = Vec::new();
    loop {
        match kernel.receive(wait).expect("a script has no errors") {
            Arrival::End => return all,
            arrival => all.push(format!("{arrival:?}")),
        }
    }
}

proptest! {
    #[test]
    fn a_line_is_read_back_as_the_script_that_it_was_written_from(
        script in any_script(), rcvbuf in 0..1_000_000_u32, room: u16, calm: bool
    ) {
        let script = Script { rcvbuf, room, calm, ..script };
        prop_assert_eq!(Script::from_line(&script.to_string()), Ok(script));
    }

    #[test]
    fn whatever_is_no_line_is_refused_with_a_place_and_nobody_panics(line in "v1 [a-z0-9:>@/= é-]{0,30}") {
        if let Err(LineError { column, .. }) = Script::from_line(&line) {
            prop_assert!((1..=line.chars().count() + 1).contains(&column), "{column} in {line:?}");
        }
    }

    #[test]
    fn the_same_script_gives_the_same_bytes(script in any_script()) {
        prop_assert_eq!(arrivals(&script, Wait::No), arrivals(&script, Wait::No));
    }

    #[test]
    fn who_waits_meets_the_same_as_who_asks_but_nothing(script in any_script()) {
        let mut asked = arrivals(&script, Wait::No);
        asked.retain(|arrival| arrival != "Nothing");
        prop_assert_eq!(asked, arrivals(&script, Wait::Block));
    }

    #[test]
    fn a_part_of_a_script_is_a_script(script in any_script(), at: prop::sample::Index) {
        let mut part = script.clone();
        if !part.steps.is_empty() {
            part.steps.remove(at.index(part.steps.len()));
        }
        arrivals(&part, Wait::No);
        prop_assert!(part.stream().to_string().lines().count() >= part.steps.len());
    }

    #[test]
    fn the_consumers_of_the_other_formats_stand_any_script(
        devices in strategy::script(Format::Uevents),
        keyed in strategy::script(Format::Keyed),
        bare in strategy::script(Format::Bare),
    ) {
        laws::check_script(&devices, Devices::default)?;
        laws::check_script(&keyed, || Forks::of(Format::Keyed))?;
        laws::check_script(&bare, || Forks::of(Format::Bare))?;
    }
}

#[test]
fn the_laws_of_the_other_formats_can_be_kept() {
    let counts = [
        laws::check_all(Devices::default).unwrap(),
        laws::check_all(|| Forks::of(Format::Bare)).unwrap(),
        laws::check_all(|| Forks::of(Format::Keyed)).unwrap(),
    ];
    assert!(counts.iter().all(|count| *count > 10_000), "{counts:?}");
}

#[test]
fn whatever_law_is_broken_the_line_that_is_printed_breaks_again_in_check_script() {
    for format in Format::ALL {
        for law in laws::all(format) {
            for way in [Way::Deaf, Way::Eager, Way::Afraid] {
                let make = || Breaker::new(way, format);
                let Err(broken) = law.check(make) else {
                    assert!(way == Way::Eager && !law.calm, "{way:?} keeps the law {} of {}", law.name, format.name());
                    continue;
                };
                let page = broken.to_string();
                let (_, line) = page.split_once("Script::from_line(\"").expect("a line to paste");
                let pasted = script(line.strip_suffix("\")").expect("its end"));
                let again = laws::check_script(&pasted, make).expect_err(&page);
                assert_eq!((again.wrong, again.step), (broken.wrong, broken.step), "{page}");
            }
        }
    }
}

#[test]
fn who_resynchronises_needlessly_is_told_how_often() {
    let make = || Breaker::new(Way::Eager, Format::Process);
    let said = |line: &str| laws::check_script(&script(line), make).map_err(|broken| broken.wrong.join("; "));
    assert_eq!(said("v1 fork:1>10"), Ok(()), "it may, where it is not said that nothing is lost");
    assert_eq!(said("v1 calm fork:1>10"), Err("nothing was lost, and it asked to resynchronise once".into()));
    let twice = "nothing was lost, and it asked to resynchronise 2 times";
    assert_eq!(said("v1 calm fork:1>10 fork:1>11"), Err(twice.into()));
}

#[test]
fn a_drawn_script_loses_the_small_buffer_if_the_defect_does_not_need_it() {
    let make = || Breaker::new(Way::Deaf, Format::Process);
    let broken = laws::storm(Format::Process).check(make).unwrap_err();
    assert_eq!((broken.script.rcvbuf, broken.script.steps.len()), (RCVBUF, 1), "{broken}");
}

#[test]
fn a_law_of_ones_own_is_of_steps_and_says_what_else_it_found() {
    let law = laws::Law { atoms: vec![], ..laws::Law::new(Format::Process, "fork:1>10") };
    assert_eq!((law.count(), law.check(|| Forks::of(Format::Process)).unwrap()), (1, 1), "no atoms: one script");
    let wrong = std::panic::catch_unwind(|| laws::Law::new(Format::Process, "bare fork:1>10")).unwrap_err();
    let said = wrong.downcast_ref::<String>().expect("a text");
    assert!(said.starts_with("the atom \"bare fork:1>10\": column 1: found `bare`, expected a step: "), "{said}");
}

#[test]
fn mistakes_in_a_line_are_told_with_their_place_and_what_was_expected() {
    let said = |line: &str| Script::from_line(line).expect_err(line).to_string();
    let steps = Step::NAMES.join(", ");
    let expected = [
        ("", "column 1: found nothing, expected v1, the version of the text form".to_owned()),
        ("v2 fork:1>10", "column 1: found `v2`, expected v1, the version of the text form".to_owned()),
        ("v1 fork:1>10 frok:1>11", format!("column 14: found `frok`, expected a step: {steps}")),
        ("v1 fork", "column 8: found nothing, expected PARENT>CHILD".to_owned()),
        ("v1 fork:1", "column 9: found `1`, expected PARENT>CHILD".to_owned()),
        ("v1 fork:1>x@0", "column 11: found `x`, expected a pid".to_owned()),
        ("v1 fork:0>10", "column 9: found `0`, expected a pid from 1".to_owned()),
        (
            "v1 add:/i2c@4000",
            "column 13: found `4000`, expected a CPU from 0 to 63; write @0 behind a path that has an @".to_owned(),
        ),
        ("v1 add:x", "column 8: found `x`, expected a path that begins with / and has no >".to_owned()),
        ("v1 move:/a", "column 9: found `/a`, expected FROM>TO".to_owned()),
        ("v1 burst", "column 9: found nothing, expected a number up to 65535".to_owned()),
        ("v1 overrun:3", "column 12: found `3`, expected white space: this step stands alone".to_owned()),
        ("v1 bare rcvbuf=many", "column 16: found `many`, expected bytes".to_owned()),
    ];
    for (line, error) in expected {
        assert_eq!(said(line), error, "{line}");
    }
}

#[test]
fn every_step_is_drawn_by_the_strategy_of_a_format() {
    let mut runner = TestRunner::deterministic();
    let mut drawn = BTreeSet::new();
    for format in [Format::Process, Format::Uevents] {
        for _ in 0..2_000 {
            let step = strategy::step(format).new_tree(&mut runner).expect("a step").current();
            drawn.insert(step.name());
        }
    }
    assert_eq!(drawn, Step::NAMES.into());
}

/// `UPDATE_LAWS=1` writes the table.
#[test]
fn the_guide_has_a_row_for_every_law_with_the_number_of_its_scripts() {
    let mut rows: Vec<String> = Vec::new();
    for format in Format::ALL {
        for law in laws::all(format) {
            let count = if law.random.is_some() { format!("{} drawn", law.count()) } else { law.count().to_string() };
            let (atoms, length) = (law.atoms.len(), law.length());
            match rows.iter_mut().find(|row| row.starts_with(&format!("| `{}`", law.name))) {
                Some(row) => row.insert_str(row.len() - 2, &format!(", {}", format.name())),
                None => {
                    let rule = law.rule.trim_end_matches('.');
                    rows.push(format!(
                        "| `{}` | {rule} | {atoms} | {length} | {count} | {} |",
                        law.name,
                        format.name()
                    ));
                }
            }
        }
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/testkit.md");
    let page = std::fs::read_to_string(&file).expect("the guide");
    let (before, rest) = page.split_once("|---|---|---|---|---|---|\n").expect("the table of laws");
    let end = rest.find("\n\n").expect("its end");
    if std::env::var_os("UPDATE_LAWS").is_some() {
        let new = format!("{before}|---|---|---|---|---|---|\n{}{}", rows.join("\n"), &rest[end..]);
        std::fs::write(&file, new).expect("writes");
    } else {
        assert_eq!(rest[..end].lines().collect::<Vec<_>>(), rows);
    }
}

#[test]
fn every_step_is_in_the_atoms_of_a_law() {
    let laws = Format::ALL.into_iter().flat_map(laws::all);
    let used: BTreeSet<_> = laws.flat_map(|law| law.atoms.concat()).map(|step| step.name()).collect();
    assert_eq!(used, Step::NAMES.into());
}

/// Whether a message of this format says something, by this project's own codec.
fn says_something(format: Format, bytes: &[u8]) -> bool {
    use forklab::testkit::What;
    let message = Message::parse(bytes);
    match format {
        Format::Process => parse_event(bytes).is_some_and(|event| !matches!(event.what, What::Other(_))),
        Format::Uevents => message.is_ok_and(|message| {
            let known = [&b"add"[..], b"remove", b"change"].contains(&message.action());
            let numbered = matches!(message.seqnum(), Ok(Some(_)));
            message.check().is_ok() && numbered && (known || message.get("DEVPATH_OLD").is_some())
        }),
        Format::Bare => message.is_ok_and(|message| message.fork_pids().is_ok()),
        Format::Keyed => message.is_ok_and(|message| {
            let pid = message.get("PID").and_then(|pid| str::from_utf8(pid).ok()?.parse::<i32>().ok());
            message.check().is_ok() && pid.is_some()
        }),
    }
}

#[test]
fn what_is_meant_to_be_malformed_is_and_says_so() {
    for format in Format::ALL {
        for (what, bytes) in garbage(format) {
            assert!(!says_something(format, &bytes), "{}: {what}", format.name());
        }
    }
}

#[test]
fn every_event_of_every_format_is_a_message_that_passes_the_strict_codec() {
    let devices = "add:/devices/a move:/devices/a>/devices/i2c@4@0 change:/devices/i2c@4@0 remove:/devices/i2c@4@0";
    let processes = "fork:1>10 exec:10 thread:10>11 vfork:1>12@2 early-exit:10>13 reuse:1>10 exit:12";
    let dressed = "big:3000 fork:1>20 non-utf8 fork:1>21 big:3000 add:/devices/b non-utf8 add:/devices/c";
    let heard = Format::ALL.map(|format| {
        let script = script(&format!("v1 {} {devices} {processes} {dressed}", format.name()));
        let mut kernel = script.kernel();
        let mut heard = 0;
        while let Arrival::Message(datagram) = kernel.receive(Wait::Block).expect("no errors") {
            let bare_text = format == Format::Bare && datagram.bytes.starts_with(b"change@");
            assert!(bare_text || says_something(format, datagram.bytes), "{}", Message::parse(datagram.bytes).is_ok());
            heard += 1;
        }
        assert!(kernel.notes().is_empty(), "{:?}", kernel.notes());
        heard
    });
    assert_eq!(heard, [14, 6, 8, 7]);
}

#[test]
fn numbers_follow_each_other_on_every_cpu_even_where_they_wrap() {
    let mut kernel = script("v1 fork:1>10@0 fork:1>11@1 exec:10@1 exec:1@1 exit:11@1 exit:10@0 exec:1@3").kernel();
    let mut order = Order::default();
    let mut streams = BTreeSet::new();
    while let Arrival::Message(datagram) = kernel.receive(Wait::Block).expect("no errors") {
        let (stream, number) = per_cpu(datagram.bytes).expect("numbered");
        assert_eq!(order.saw(stream, number), None);
        streams.insert(stream);
    }
    assert_eq!(streams, [0, 1, 3].map(NumberStream::Cpu).into());
}

/// 600 forks while nobody reads: on the simulated kernel, and here.
#[test]
fn the_buffer_holds_as_many_messages_as_the_simulated_kernel_s() {
    let count = |source: &mut dyn UeventSource| {
        let (mut heard, mut lost) = (0, 0);
        loop {
            match source.receive(Wait::Block).expect("reads") {
                Arrival::Message(_) => heard += 1,
                Arrival::Lost(Loss::Overrun) => lost += 1,
                Arrival::End => return (heard, lost),
                other => panic!("{other:?}"),
            }
        }
    };
    let forks: Vec<_> = (0..600).map(|n| format!("fork:100>{}", 101 + n)).collect();
    let line = format!("v1 bare fork:1>100 burst:600 {}", forks.join(" "));
    let ours = count(&mut script(&line).kernel());
    let does = vec!["\"fork c\""; 600].join(", ");
    let scenario = format!(
        "name = \"overrun\"\n[[tasks]]\nname = \"p\"\ndoes = [{does}]\n[[tasks]]\nname = \"c\"\ndoes = [\"exit 0\"]\n\
         [[listeners]]\nname = \"consumer\"\ngroups = 1\n"
    );
    let theirs = count(&mut Simulated::new(&scenario, None).expect("a scenario"));
    // The first fork is read at once.
    assert_eq!((ours, theirs), ((490, 1), (489, 1)));
}

#[test]
fn a_latched_buffer_loses_what_would_fit_until_it_is_drained() {
    let stream = script("v1 bare rcvbuf=400 burst:4 fork:1>10 fork:1>11 fork:1>12 fork:1>13 fork:1>14").stream();
    insta::assert_snapshot!(stream, @r"
    burst:4
    fork:1>10
    fork:1>11
    fork:1>12            (lost: the buffer is full)
    fork:1>13            (lost: the buffer was full before)
                         LOST the receive buffer was full (ENOBUFS): an unknown number of messages is lost
                         fork@/fork_kobj\01\010\0
                         fork@/fork_kobj\01\011\0
    fork:1>14            fork@/fork_kobj\01\014\0
    ");
}

#[test]
fn a_reader_that_believes_everyone_gets_the_stranger_s_message_as_one() {
    let line = "v1 spoof fork:1>66";
    let refused = script(line).kernel().receive(Wait::Block).map(|arrival| show(Format::Process, &arrival));
    assert_eq!(
        refused.expect("reads"),
        "REFUSED fork 1 -> 66 (CPU 0, number 2147418112), sent by port 4711, pid 4711, uid 1000: not the kernel"
    );
    let mut kernel = script(line).kernel().trusting(Trust::Anyone);
    let Arrival::Message(datagram) = kernel.receive(Wait::Block).expect("reads") else { panic!("not shown") };
    assert_eq!(datagram.sender.port, 4711);
}

#[test]
fn streams_and_trees_are_pictures() {
    let script = script(
        "v1 fork:1>10 fork:10>11 thread:10>12 late:1 exec:11@1 dup:1 cut:20 fork:11>13 silence:2 fork:1>13 garbage:0 exit:10",
    );
    let mut kernel = script.kernel();
    while kernel.receive(Wait::Block).expect("reads") != Arrival::End {}
    insta::assert_snapshot!(format!("{}\n{}", script.stream(), kernel.truth()), @r"
    fork:1>10            fork 1 -> 10 (CPU 0, number 1)
    fork:10>11           fork 10 -> 11 (CPU 0, number 2)
    thread:10>12         fork 10 -> 12/10 (CPU 0, number 3)
    late:1
    exec:11@1
    dup:1
    cut:20
    fork:11>13           LOST a message of 76 bytes was cut to 20 (MSG_TRUNC)
                         exec 11 (CPU 1, number 4294967294)
    silence:2
    fork:1>13            (cannot happen)
    garbage:0            (malformed: empty)
                         an empty message
    exit:10              exit 12/10 status 0 (CPU 0, number 5)
                         fork 11 -> 13 (CPU 0, number 4)
                         exit 10 status 0 (CPU 0, number 6)

    1
      11
        13
    /devices/virtual
    ");
    let circle = View::of_processes([(1, 0), (10, 11), (11, 10)]);
    assert_eq!(circle.to_string(), "1\n10 in a circle, below 11\n11 in a circle, below 10\n");
    assert_eq!(kernel.truth().proc_stat(13).expect("lives").split(' ').nth(3), Some("11"));
}

#[test]
fn a_picture_says_what_is_wrong_with_each_malformed_message() {
    for format in Format::ALL {
        for (n, (what, _)) in garbage(format).into_iter().enumerate() {
            let stream = script(&format!("v1 {} garbage:{n}", format.name())).stream().to_string();
            let (first, _) = stream.split_once('\n').expect("two lines");
            assert_eq!(first, format!("{:20} (malformed: {what})", format!("garbage:{n}")));
        }
    }
}

#[test]
fn the_right_column_is_straight_however_long_a_step_is() {
    let line = "v1 uevents add:/devices/virtual/tty/one move:/devices/virtual/tty/one>/devices/virtual/tty/two silence";
    let stream = script(line).stream().to_string();
    let columns: Vec<_> =
        stream.lines().filter_map(|line| line.rfind(" add@").or_else(|| line.rfind(" move@"))).collect();
    assert_eq!(columns, ["move:/devices/virtual/tty/one>/devices/virtual/tty/two".len(); 2], "{stream}");
}

#[cfg(unix)]
#[test]
fn a_real_descriptor_keeps_the_borders_of_datagrams_and_counts_what_it_cannot_tell() {
    let forks: Vec<_> = (0..100).map(|n| format!("fork:1>{}", 100 + n)).collect();
    let script = script(&format!("v1 bare {} overrun fork:1>9 spoof fork:1>66", forks.join(" ")));
    let (mut kernel, socket) = fd::pair(&script).expect("a pair of sockets");
    socket.set_nonblocking(true).expect("a flag");
    let (mut heard, mut buffer) = (0, [0; 64]);
    loop {
        let sent = kernel.send().expect("sends");
        while let Ok(len) = socket.recv(&mut buffer) {
            assert_eq!(&buffer[..len], format!("fork@/fork_kobj\x001\0{}\0", 100 + heard).as_bytes());
            heard += 1;
        }
        if sent == fd::Sent::All {
            break;
        }
    }
    assert_eq!((heard, kernel.untold()), (100, fd::Untold { overruns: 1, strangers: 1 }));
    assert_eq!(kernel.truth().processes.len(), 102);
}

#[cfg(all(feature = "netlink", target_os = "linux"))]
#[test]
fn a_real_netlink_socket_overruns_in_a_burst_and_says_so() {
    let forks: Vec<_> = (0..400).map(|n| format!("fork:1>{}", 100 + n)).collect();
    let script = script(&format!("v1 bare rcvbuf=8192 burst:400 {}", forks.join(" ")));
    let (mut kernel, mut reader) = match fd::netlink_pair(&script, 1 << 20) {
        Ok(pair) => pair,
        Err(error) => return eprintln!("not tried: {error}"),
    };
    assert_eq!(kernel.send().expect("sends"), fd::Sent::All);
    assert_eq!(reader.receive(Wait::No).expect("reads"), Arrival::Lost(Loss::Overrun));
    let mut heard = 0;
    while let Arrival::Message(_) = reader.receive(Wait::No).expect("reads") {
        heard += 1;
    }
    assert!((1..400).contains(&heard), "{heard} of 400");
}

/// What the crate kobject-uevent, 0.2.0, makes of hostile messages: as seen, when this was written.
#[test]
fn what_kobject_uevent_makes_of_hostile_messages() {
    let lines = ["add:/devices/a", "non-utf8 add:/devices/b", "big:4096 add:/devices/c", "move:/devices/a>/devices/d"];
    let mut kernel = script(&format!("v1 uevents {}", lines.join(" "))).kernel();
    let mut shown = String::new();
    let parse = |bytes: &[u8]| match kobject_uevent::UEvent::from_netlink_packet(bytes) {
        Ok(event) => format!("{:?} {} number {}", event.action, event.devpath.display(), event.seq),
        Err(error) => format!("error: {error}"),
    };
    for line in lines {
        let Arrival::Message(datagram) = kernel.receive(Wait::Block).expect("reads") else { panic!("a message") };
        shown += &format!("{line:40} {}\n", parse(datagram.bytes));
    }
    for (what, bytes) in garbage(Format::Uevents) {
        shown += &format!("{what:40} {}\n", parse(&bytes));
    }
    let whole = b"add@/devices/a\0ACTION=add\0DEVPATH=/devices/a\0SUBSYSTEM=platform\0SEQNUM=3469\0";
    shown +=
        &format!("{:40} {}\n", "header and keys disagree", parse(&whole.map(|b| if b == b'@' { b'X' } else { b })));
    insta::assert_snapshot!(shown, @r"
    add:/devices/a                           Add /devices/a number 101
    non-utf8 add:/devices/b                  error: Packet not UTF-8
    big:4096 add:/devices/c                  Add /devices/c number 103
    move:/devices/a>/devices/d               Move /devices/d number 104
    empty                                    error: action not found
    no @                                     error: seq missing
    no NUL                                   error: action not found
    ends inside of a value                   error: subsystem not found
    no = in any string                       error: action not found
    a number that is none                    error: Unexpected SEQNUM: 0x7
    a header of libudev that ends too soon   error: Packet not UTF-8
    an action that nobody knows              error: Unexpected action: explode
    a move that does not say from where      Move /devices/ghost number 77
    ends inside of the number                Add /devices/ghost number 34
    header and keys disagree                 Add /devices/a number 3469
    ");
}
