//! The report of a run for people.

use std::fmt::{self, Write};

use crate::lab::run::{ListenerReport, Report};

/// 11822 as `11,822`.
pub(crate) fn n(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 fork`, `11,822 forks`.
pub(crate) fn plural(count: u64, what: &str) -> String {
    format!("{} {what}{}", n(count), if count == 1 { "" } else { "s" })
}

impl fmt::Display for Report {
    /// Ends with the replay line, which can be pasted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        write(self, &mut text)?;
        f.write_str(&text)
    }
}

fn write(r: &Report, out: &mut String) -> fmt::Result {
    let threads = if r.threads > 0 { format!(" ({})", plural(r.threads, "thread")) } else { String::new() };
    let forks = plural(r.forks, "fork");
    writeln!(out, " tasks     {forks}{threads}, {}, {}", plural(r.execs, "exec"), plural(r.exits, "exit"))?;
    for (errno, count) in &r.fork_errors {
        writeln!(out, "           {} failed with {errno}", plural(*count, "fork"))?;
    }
    writeln!(
        out,
        " events    {} sent, {} delivered to somebody{}",
        n(r.events_sent),
        n(r.events.delivered),
        undelivered(r)
    )?;
    for (site, count) in &r.failed_allocations {
        writeln!(out, " failed    {site}: {}", plural(*count, "allocation"))?;
    }
    listeners(&r.listeners, out)?;
    costs(r, out)?;
    writeln!(out, " run       {}, hook {}, ended {}", plural(r.steps, "step"), r.hook, r.ended)?;
    if let Some(design) = &r.design {
        writeln!(out, " design    {design}")?;
    }
    followed(r, out)?;
    violations(&r.violations, out)?;
    writeln!(out, " trace     sha256 {}", r.trace_hash)?;
    writeln!(out, " replay    forklab replay '{}'", r.replay)
}

/// Where the events ended that nobody got.
fn undelivered(r: &Report) -> String {
    let e = r.events;
    let why = [
        (e.nobody, "-ESRCH: nobody, or everybody full"),
        (e.no_copy, "-ENOBUFS: no copy"),
        (e.no_memory, "-ENOMEM: never sent"),
        (e.no_socket, "-EIO: no socket"),
        (e.kept, "kept back by the gate"),
        (e.not_configured, "not sent: CONFIG_KOBJECT_UEVENT is off"),
    ];
    why.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("\n           {} {why}", n(*count))).collect()
}

fn listeners(listeners: &[ListenerReport], out: &mut String) -> fmt::Result {
    if listeners.is_empty() {
        return writeln!(out, " listener  none");
    }
    writeln!(
        out,
        " listener  {:<9}{:>9}{:>7}{:>6}  tree: right  wrong  missing  phantom",
        "", "received", "lost", "told"
    )?;
    for l in listeners {
        let t = l.tree;
        let (received, lost, told) = (n(l.received), n(l.lost), n(l.told));
        let (right, wrong, missing, phantom) = (n(t.right), n(t.wrong), n(t.missing), n(t.phantom));
        writeln!(
            out,
            "           {:<9}{received:>9}{lost:>7}{told:>6}{right:>13}{wrong:>7}{missing:>9}{phantom:>9}",
            l.name
        )?;
        let why = [
            (l.why.full, "its buffer was full"),
            (l.why.latched, "not drained since the loss"),
            (l.why.no_copy, "no copy"),
        ];
        let why: Vec<_> =
            why.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{} {why}", n(*count))).collect();
        if !why.is_empty() {
            writeln!(out, "           {:<9}lost: {}", "", why.join(", "))?;
        }
        let numbers = [(l.missing_numbers, "missing"), (l.double_numbers, "twice"), (l.late_numbers, "late")];
        let numbers: Vec<_> = numbers
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", n(*count)))
            .collect();
        if !numbers.is_empty() {
            writeln!(out, "           {:<9}numbers: {}", "", numbers.join(", "))?;
        }
        for message in l.messages.iter().take(2) {
            writeln!(out, "           {:<9}{message}", "")?;
        }
    }
    Ok(())
}

fn costs(r: &Report, out: &mut String) -> fmt::Result {
    for (i, c) in r.cost.iter().enumerate() {
        let head = if i == 0 { " cost" } else { "" };
        let who = plural(c.listeners as u64, "listener");
        writeln!(
            out,
            "{head:<11}{who}: {}, {}, {} an event",
            plural(c.allocations, "allocation"),
            plural(c.bytes, "byte"),
            plural(c.steps, "step")
        )?;
    }
    Ok(())
}

/// Silent about a recording that was followed to the letter.
fn followed(r: &Report, out: &mut String) -> fmt::Result {
    let Some(f) = r.followed else { return Ok(()) };
    let why = [
        (f.skipped, "skipped, as the fork of their task failed"),
        (f.left, "never had their turn"),
        (f.renumbered, "were forks whose pid was still taken: another one was given"),
    ];
    let why: Vec<_> = why.iter().filter(|(count, _)| *count > 0).collect();
    for (i, (count, why)) in why.iter().enumerate() {
        let head = if i == 0 { " recording" } else { "" };
        writeln!(out, "{head:<11}{} of {} {why}", n(*count), plural(f.acts, "act"))?;
    }
    Ok(())
}

pub(crate) fn violations(violations: &[sim::Violation], out: &mut String) -> fmt::Result {
    for v in violations {
        let at = if v.lane.is_empty() { String::new() } else { format!("lane {}, ", v.lane) };
        writeln!(out, " found     {at}step {}: {}", v.step, v.text.replace('\n', "\n           "))?;
        if let Some(cause) = &v.cause {
            writeln!(out, "           {cause}")?;
        }
        writeln!(out, " rule      {}", v.rule.sentence())?;
    }
    Ok(())
}
