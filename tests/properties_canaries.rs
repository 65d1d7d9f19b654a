//! A seeded fault for each property of `tests/properties_safety.rs`, which its law must catch: faults that no design of
//! history has, so that a law that looks for the known ones by name finds nothing here.

use fork_model::design::{Delivery, Format, OwnFormat, Said, Seq, Sequence};
use fork_model::hook::{Fork, OwnHook, Place};
use fork_model::{Design, Hook};
use forklab::property::{Case, Property, check_case};
use sim::explore::parallel::How;
use uevent::wire::connector::ForkIds;

/// A hook that stands anywhere and may lie about the parent, or look at the child.
struct Anywhere {
    place: Place,
    lies: bool,
    looks: bool,
}

impl OwnHook for Anywhere {
    fn name(&self) -> &'static str {
        "anywhere"
    }

    fn place(&self) -> Place {
        self.place
    }

    fn read(&self, fork: &Fork<'_>) -> ForkIds {
        if self.looks {
            fork.sys.task_or_gone(fork.p, "the canary looks at the child", |t| t.pid);
        }
        let ids = fork.of_current(fork.pid, fork.tgid());
        if self.lies { ForkIds { parent_pid: 2, parent_tgid: 2, ..ids } } else { ids }
    }
}

/// What is wrong with a format.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    /// It has no number, whatever it is asked for.
    Unnumbered,
    /// Its numbers run backwards.
    Backwards,
    /// A path of its own, and nothing that a parser knows.
    Elsewhere,
    /// It reads another child than was written.
    Misread,
}

/// `fork@/x`, three numbers of four bytes each.
struct Fault(Wrong);

impl OwnFormat for Fault {
    fn name(&self) -> &'static str {
        "fault"
    }

    fn has_room_for_a_number(&self) -> bool {
        true
    }

    fn write(&self, ids: &ForkIds, seq: Option<Seq>, out: &mut Vec<u8>) {
        out.extend(b"fork@/x\0");
        let number = seq.map_or(0, |seq| seq.number);
        let number = if self.0 == Wrong::Backwards { u32::MAX - number } else { number };
        out.extend([ids.parent_tgid, ids.child_pid].map(i32::to_le_bytes).as_flattened());
        out.extend(number.to_le_bytes());
    }

    fn read(&self, message: &[u8]) -> Option<Said> {
        let word = |at: usize| Some(u32::from_le_bytes(message.get(8 + at..12 + at)?.try_into().ok()?));
        let child = word(4)?.cast_signed() + i32::from(self.0 == Wrong::Misread);
        let seq = (self.0 != Wrong::Unnumbered).then_some(Seq { number: word(8)?, cpu: None });
        Some(Said { seq, ..Said::pids(word(0)?.cast_signed(), child) })
    }
}

fn hook(place: Place, lies: bool, looks: bool) -> Design {
    Hook::Own(Box::leak(Box::new(Anywhere { place, lies, looks }))).into()
}

fn format(wrong: Wrong, sequence: Sequence) -> Design {
    let format = Format::Own(Box::leak(Box::new(Fault(wrong))));
    Design { format, sequence, hook: Hook::BeforeWake, ..Design::default() }
}

/// What a property says to a design in its cases, the first finding of each.
fn caught(id: &str, design: Design) -> Vec<String> {
    let property = Property::from_id(id).expect("a property");
    let said = |case: &Case| {
        let (_, verdict) = check_case(property, *case, design, How::default(), &|_| ());
        verdict.finding().map(|finding| finding.found[0].text.clone())
    };
    property.cases.iter().filter_map(said).collect()
}

#[test]
fn each_law_catches_a_fault_that_it_has_never_seen() {
    let canaries = [
        ("P7", format(Wrong::Elsewhere, Sequence::None), "elsa is told of /x, and sysfs has no such directory"),
        ("P9", "gate=has-listeners format=one-slot".parse().expect("a design"), "reads slot 2 of an environment of 1"),
        ("P10", format(Wrong::Elsewhere, Sequence::None), "udev 252: Invalid message length (20)"),
        ("P11", format(Wrong::Unnumbered, Sequence::Locked), "and cannot tell"),
        ("P12", "hook=after-wake sequence=unlocked format=keys".parse().expect("a design"), "both have number"),
        ("P14", format(Wrong::Backwards, Sequence::Locked), "reaches elsa behind number"),
        ("P15", hook(Place::BeforeWake, true, false), "the parent of 101 is 1, and elsa is told that it is 2"),
        ("P16", hook(Place::Locked, false, false), "sleeping function called from invalid context"),
        ("P17", hook(Place::Locked, false, false), "sleeping function called from invalid context"),
        ("P18", hook(Place::End, false, true), "use after free: the canary looks at the child"),
        ("P19", hook(Place::End, false, false), "its fork is told only now"),
        ("P20", hook(Place::AfterWake, false, false), "its own fork is told only now"),
        ("P27", format(Wrong::Misread, Sequence::None), "elsa reads 100 and 102, which nobody sent"),
        ("P28", hook(Place::BeforeWake, false, false), "elsa believes the fork of 666"),
        (
            "P28",
            Design { delivery: Delivery::Signal, ..hook(Place::BeforeWake, false, false) },
            "without CAP_NET_ADMIN",
        ),
        ("P28", hook(Place::BeforeWake, false, false), ", in network namespace "),
    ];
    for (id, design, expected) in canaries {
        let said = caught(id, design);
        assert!(said.iter().any(|text| text.contains(expected)), "{id} {design}: {said:?}");
    }
}

#[test]
fn a_law_keeps_where_nothing_is_wrong() {
    // The same hook and format without a fault.
    let sound = hook(Place::BeforeWake, false, true);
    for id in ["P16", "P17", "P18", "P19", "P20"] {
        assert_eq!(caught(id, sound), Vec::<String>::new(), "{id}");
    }
    for id in ["P11", "P27"] {
        assert_eq!(caught(id, format(Wrong::Elsewhere, Sequence::Locked)), Vec::<String>::new(), "{id}");
    }
}
