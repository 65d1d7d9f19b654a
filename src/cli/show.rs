//! `forklab` (the tour), `forklab faults`, `forklab layout`.

use std::io::Write;

use clap::Args;
use fork_model::Design;

use super::run::DesignArgs;
use super::{Failure, Found, write_json};
use uevent::kobject_uevent::KobjectAction;

use crate::input::{InputError, quoted};
use crate::lab::{faults as lab_faults, tour as lab_tour};
use crate::render::lanes::Lanes;
use crate::render::layout::{Consumers, LayoutError, MachineConstants, layout_fork, layout_hotplug};

/// Arguments of `forklab faults`.
#[derive(Args, Debug)]
pub(super) struct FaultsArgs {
    #[command(flatten)]
    design: DesignArgs,
    /// The table as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `forklab layout`.
#[derive(Args, Debug)]
pub(super) struct LayoutArgs {
    /// The pid of the parent in the fork event
    #[arg(long, value_name = "PID", default_value_t = 100, value_parser = pid, allow_negative_numbers = true)]
    parent: i32,
    /// The pid of the child
    #[arg(long, value_name = "PID", default_value_t = 101, value_parser = pid, allow_negative_numbers = true)]
    child: i32,
    /// The event of kobject_hotplug() instead, for an object of this path, such as /block/sda
    #[arg(long, value_name = "DEVPATH", conflicts_with_all = ["parent", "child"])]
    hotplug: Option<String>,
    /// Its subsystem
    #[arg(long, value_name = "NAME", default_value = "block", requires = "hotplug")]
    subsystem: String,
    /// Bytes of a cache line: 32, 64 or 128
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = cache_line)]
    smp_cache_bytes: u32,
    /// Instead: what real programs of today make of each format, as a test recorded it
    #[arg(long, conflicts_with_all = ["parent", "child", "hotplug", "smp_cache_bytes"])]
    consumers: bool,
    /// The layout as JSON
    #[arg(long)]
    json: bool,
}

/// Any number of the kernel's type: the poison of freed memory is a pid that was sent, too.
fn pid(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("expected a number from {} to {}", i32::MIN, i32::MAX))
}

fn cache_line(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|line| [32, 64, 128].contains(line)).ok_or_else(|| "expected 32, 64 or 128".to_owned())
}

/// `forklab faults`.
pub(super) fn faults(args: &FaultsArgs, out: &mut impl Write) -> Result<Found, Failure> {
    let design = args.design.asked().over(Design::default());
    design.check().map_err(|impossible| {
        InputError::new("<command line>", design.to_string(), format!("a design that can be built: {impossible}"))
    })?;
    let rows = lab_faults::table(design);
    if args.json {
        write_json(&rows, out)?;
    } else {
        write!(out, "{}", lab_faults::text(&rows))?;
    }
    Ok(rows.iter().any(|row| row.leaks > 0 || row.double_frees > 0))
}

/// `forklab layout`.
pub(super) fn layout(args: &LayoutArgs, out: &mut impl Write) -> Result<Found, Failure> {
    if args.consumers {
        return consumers(args.json, out);
    }
    let mut machine = MachineConstants::default();
    machine.machine.smp_cache_bytes = args.smp_cache_bytes;
    let layout = match &args.hotplug {
        None => layout_fork(args.parent, args.child, &machine),
        Some(path) => layout_hotplug(KobjectAction::Add, path, &args.subsystem, 1, &[], &machine),
    };
    let layout = layout.map_err(no_layout)?;
    if args.json {
        write_json(&layout, out)?;
    } else {
        write!(out, "{layout}")?;
    }
    Ok(!layout.violations.is_empty())
}

/// `forklab layout --consumers`.
fn consumers(json: bool, out: &mut impl Write) -> Result<Found, Failure> {
    let recorded = Consumers::recorded();
    if json {
        write_json(&recorded, out)?;
    } else {
        write!(out, "{recorded}")?;
    }
    Ok(false)
}

fn no_layout(error: LayoutError) -> InputError {
    let wrong = |found: &str, expected: &str| InputError::new("<command line>", found, expected);
    match error {
        LayoutError::Path(path) => {
            wrong(&format!("--hotplug {}", quoted(&path)), "a slash before each name, such as /block/sda")
        }
        LayoutError::NotSent => {
            wrong("an event that is not sent", "an environment of at most 32 slots and 1,024 bytes")
        }
        // The kernel's words, not the user's: all of them.
        LayoutError::Broken(why) => InputError { found: why, ..wrong("", "an event that this kernel can send") },
        LayoutError::Config(error) => wrong(&error.to_string(), "a kernel that can be built"),
    }
}

/// `forklab` without a command.
pub(super) fn tour(json: bool, out: &mut impl Write) -> Result<Found, Failure> {
    let tour = lab_tour::tour()?;
    if json {
        write_json(&tour.found.report, out)?;
        return Ok(false);
    }
    let labels = super::run::labels(&tour.found.events);
    let draw = |events: &[sim::Event]| Lanes { color: true, labels: labels.clone(), ..Lanes::default() }.draw(events);
    write!(out, "{}", lab_tour::text(&tour, draw))?;
    Ok(false)
}
