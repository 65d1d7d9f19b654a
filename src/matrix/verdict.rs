//! What a maintainer of February 2005 should have answered: a page of Markdown whose every figure is computed.
//!
//! A sentence that depends on what was found is chosen by it. Where no sentence would be true, there is no page: the
//! recommended design has to keep every rule of safety, and has to cost nothing with nobody listening.

use std::fmt::Write;

use fork_model::design::{Delivery, Format, Gate, Sequence};
use fork_model::{Design, Hook};

use super::cost::{Cost, measure};
use super::judge::{Effort, finding, judge};
use super::table::wrapped;
use crate::lab::report::plural;
use crate::property::{Concern, Found, Property};

/// What is recommended.
pub const RECOMMENDED: Design = Design {
    hook: Hook::BeforeWake,
    gate: Gate::HasListeners,
    sequence: Sequence::PerCpu,
    format: Format::ConnectorStruct,
    delivery: Delivery::Broadcast,
};

/// How long is searched: the page has two designs, so more than in a survey of all.
const EFFORT: Effort = Effort { runs: 4_000, steps: 200_000, random: 200, seed: 1 };

/// The questions of the mail, and the properties that answer them.
const QUESTIONS: [(&str, &[&str]); 4] = [
    ("What are the limitations of this hook?", &["P15", "P17", "P18", "P19", "P20", "P21"]),
    ("Why not `kobject_uevent()`?", &["P7", "P8", "P9", "P10", "P22", "P23", "P24"]),
    ("Is a structure better than two pids?", &["P11", "P12", "P14", "P26", "P27"]),
    ("What does it cost with nobody listening?", &["P1", "P2", "P3", "P4", "P5", "P6"]),
];

/// What sentences of the text rest on: that a property is violated as posted, and that it is not as recommended.
const AS_POSTED: [&str; 4] = ["P1", "P7", "P18", "P20"];
const AS_RECOMMENDED: [&str; 5] = ["P1", "P11", "P13", "P18", "P20"];

/// Whether the text is true that no figure stands in.
fn holds() -> Result<(), String> {
    let violated = |id: &str, design| {
        let property = Property::from_id(id).ok_or_else(|| format!("there is no property {id}"))?;
        Ok::<bool, String>(fact(property, design).found == Found::Violated)
    };
    for id in AS_POSTED {
        if !violated(id, Design::default())? {
            return Err(format!("{id} is not broken as posted, and the text says so"));
        }
    }
    for id in AS_RECOMMENDED {
        if violated(id, RECOMMENDED)? {
            return Err(format!("{id} is broken by the recommended design, and the text says that it is kept"));
        }
    }
    let keys = Design { format: Format::Keys, ..Design::default() };
    if weight(keys, 1) <= weight(RECOMMENDED, 1) {
        return Err("a message of keys is no longer than a structure".to_owned());
    }
    Ok(())
}

/// A property under a design: what was found, on how many runs, and if violated, in the smallest run.
struct Fact {
    found: Found,
    runs: u64,
    broken: Option<(String, String, String)>,
}

fn fact(property: &'static Property, design: Design) -> Fact {
    let mut fact = Fact { found: Found::Silent, runs: 0, broken: None };
    if (property.silent)(&design).is_some() {
        return fact;
    }
    for case in property.cases {
        let Some(judged) = judge(*case, design, &[property], EFFORT).pop() else { continue };
        fact.found = fact.found.max(judged.found);
        fact.runs += judged.runs;
        if let (Some((_, answers)), None) = (judged.violated, &fact.broken) {
            let (trial, found) = finding(property, *case, design, &answers);
            let (trial, small) = trial.shrink(&found);
            let text = small.found.first().map(|first| first.text.replace('\n', "; ")).unwrap_or_default();
            fact.broken = Some((text, small.size().to_string(), trial.spec(&small).to_string()));
        }
    }
    fact
}

/// What was found, as the end of a sentence.
fn said(fact: &Fact) -> String {
    match fact.found {
        Found::Silent => "nothing to say".into(),
        Found::Proved if fact.runs == 1 => "kept in the only run".into(),
        Found::Proved => format!("kept in all {}", plural(fact.runs, "run")),
        Found::NotFound => format!("not found broken in {}, not all there are", plural(fact.runs, "run")),
        Found::Violated => "broken".into(),
    }
}

/// The page.
///
/// # Errors
/// A sentence with what no longer holds.
pub fn verdict() -> Result<String, String> {
    holds()?;
    let mut out = String::new();
    page(&mut out).map_err(|_| "the page could not be written".to_owned())??;
    Ok(out)
}

fn page(out: &mut String) -> Result<Result<(), String>, std::fmt::Error> {
    let posted = Design::default();
    paragraph(
        out,
        "# A verdict on the fork notification of 11 February 2005\n\nWhat a maintainer could have answered to the patch \
         (Message-Id `1108109504.30559.43`), had there been this simulator. `forklab verdict` makes this page: every \
         figure is computed, every sentence about a rule depends on what a search of its small scenarios said.",
    )?;
    let (mut kept, mut broken, mut new) = (0, 0, Vec::new());
    for (question, ids) in QUESTIONS {
        writeln!(out, "\n## {question}\n")?;
        paragraph(out, &opening(question))?;
        out.push('\n');
        let mut unbroken = Vec::new();
        for property in ids.iter().filter_map(|id| Property::from_id(id)) {
            let (of_posted, of_ours) = (fact(property, posted), fact(property, RECOMMENDED));
            if property.concern == Concern::Safety && of_ours.found == Found::Violated {
                let (text, _, replay) = of_ours.broken.unwrap_or_default();
                return Ok(Err(format!("the recommended design breaks {}: {text}; replay '{replay}'", property.id)));
            }
            broken += u32::from(of_posted.found == Found::Violated);
            kept += u32::from(of_posted.found == Found::Violated && of_ours.found == Found::Proved);
            if of_posted.found != Found::Violated && of_ours.found == Found::Violated {
                new.push(property.id);
            }
            if of_posted.broken.is_none() && of_ours.broken.is_none() {
                unbroken.push(format!(
                    "**{}** {} (as posted: {}; recommended: {})",
                    property.id,
                    property.title,
                    said(&of_posted),
                    said(&of_ours)
                ));
                continue;
            }
            item(out, property, &of_posted, &of_ours)?;
        }
        if !unbroken.is_empty() {
            bullet(out, &format!("Looked for, and broken by neither: {}.", unbroken.join("; ")))?;
        }
    }
    recommend(out, kept, broken, &new)
}

/// What is paid, in words.
fn paid(design: Design) -> String {
    let costs = measure(design);
    let one = |cost: &Cost| {
        let who = match cost.listeners {
            0 => "nobody".to_owned(),
            1 => "one".to_owned(),
            n => n.to_string(),
        };
        let Cost { in_all, locks, .. } = cost;
        format!(
            "{}, {}, {} and {} with {who} listening",
            plural(in_all.allocations, "allocation"),
            plural(in_all.bytes, "byte"),
            plural(in_all.steps, "step"),
            plural(*locks, "lock")
        )
    };
    costs.iter().take(2).map(one).collect::<Vec<_>>().join("; ")
}

/// Whether the first weighs less than the second.
fn compared(one: u64, other: u64) -> &'static str {
    match one.cmp(&other) {
        std::cmp::Ordering::Less => "less than",
        std::cmp::Ordering::Equal => "as much as",
        std::cmp::Ordering::Greater => "more than",
    }
}

fn weight(design: Design, listeners: usize) -> u64 {
    measure(design).get(listeners).map_or(0, Cost::weight)
}

/// What is said before the rules.
fn opening(question: &str) -> String {
    let posted = Design::default();
    let with = |format| Design { format, ..RECOMMENDED };
    if question.contains("hook") {
        "It stands at the end of `do_fork()`: the child has run by then, and may be gone. What a listener hears is late, and \
         what the hook reads need not be the child."
            .into()
    } else if question.contains("kobject_uevent") {
        let keys = Design { format: Format::Keys, ..posted };
        format!(
            "Andrew Morton asked it on 7 February (`20050207154623.33333cda.akpm@osdl.org`). Because a process is no object of \
             sysfs, and the message of one is long: as posted a fork pays {}. The complete message of keys pays {}. A \
             structure over the connector, asked first whether anybody listens, pays {}.",
            paid(posted),
            paid(keys),
            paid(RECOMMENDED)
        )
    } else if question.contains("structure") {
        let (structure, ascii) = (weight(with(Format::ConnectorStruct), 1), weight(with(Format::ConnectorAscii), 1));
        let bare = weight(Design { gate: Gate::HasListeners, ..posted }, 1);
        format!(
            "With one listener, in bytes asked for and one for each allocation: a structure weighs {structure}, which is {} \
             the {ascii} of text over the connector and {} the {bare} of the two pids as posted. It has room for a number \
             and a CPU, and the two pids have not.",
            compared(structure, ascii),
            compared(structure, bare)
        )
    } else {
        let gates = [Gate::Always, Gate::Socket, Gate::Counter, Gate::HasListeners];
        let gates = gates.map(|gate| format!("`{}` {}", gate.name(), weight(Design { gate, ..posted }, 0)));
        format!(
            "As posted: {}. All of it is dropped. Who is asked first decides; bytes and one for each allocation, with nobody \
             listening, by gate: {}.",
            paid(posted),
            gates.join(", ")
        )
    }
}

fn item(out: &mut String, property: &Property, posted: &Fact, ours: &Fact) -> std::fmt::Result {
    let remark = property.remarks.first().map_or(String::new(), |remark| match remark.source {
        "" => format!(" ({}, {})", remark.who, remark.date),
        source => format!(" ({}, `{source}`)", remark.date),
    });
    let size = posted.broken.as_ref().map_or(String::new(), |(_, size, _)| format!(" in {size}"));
    let text = format!(
        "**{}** {}{remark}. As posted: {}{size}. Recommended: {}.",
        property.id,
        property.rule.trim_end_matches('.'),
        said(posted),
        said(ours)
    );
    bullet(out, &text)?;
    for (whose, fact) in [("", posted), ("recommended: ", ours)] {
        if let Some((_, _, replay)) = &fact.broken {
            writeln!(out, "  {whose}`forklab replay '{replay}'`")?;
        }
    }
    Ok(())
}

fn bullet(out: &mut String, text: &str) -> std::fmt::Result {
    for (i, line) in wrapped(text, 116).into_iter().enumerate() {
        writeln!(out, "{}{line}", if i == 0 { "- " } else { "  " })?;
    }
    Ok(())
}

fn recommend(out: &mut String, mended: u32, broken: u32, new: &[&str]) -> Result<Result<(), String>, std::fmt::Error> {
    let nobody = weight(RECOMMENDED, 0);
    if nobody > 0 {
        return Ok(Err(format!("the recommended design costs {nobody} with nobody listening")));
    }
    writeln!(out, "\n## What to merge instead\n\n`{RECOMMENDED}`\n")?;
    let new = match new {
        [] => String::new(),
        ids => format!("It breaks what the patch does not: {}. ", ids.join(", ")),
    };
    let text = format!(
        "In `copy_process()` behind the unlock, before the child is set free: nobody can have freed it, and nothing it does \
         is told before its birth. Ask whether anybody listens, by looking at the listeners and not at a counter that they \
         keep. Number for each CPU, so that a loss is seen and no lock is shared. Send a structure over the connector. Of the \
         {broken} rules above that the patch breaks, this keeps {mended}. With nobody listening a fork pays nothing; with \
         one, a weight of {} instead of {}. {new}What it does not mend is said above, too.",
        weight(RECOMMENDED, 1),
        weight(Design::default(), 1)
    );
    paragraph(out, &text)?;
    Ok(Ok(()))
}

/// Paragraphs in lines of a page.
fn paragraph(out: &mut String, text: &str) -> std::fmt::Result {
    for part in text.split("\n\n") {
        if part.starts_with('#') {
            writeln!(out, "{part}\n")?;
        } else {
            wrapped(part, 118).iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
    }
    Ok(())
}
