//! Which shard this is: as the command line says it, or the engine of an array job in the environment.
//!
//! | engine | index | of how many |
//! |---|---|---|
//! | ours, for engines without variables of their own | `FORKLAB_SHARD` = `I/N`, from 1 | the same |
//! | Slurm array | `SLURM_ARRAY_TASK_ID`, from `SLURM_ARRAY_TASK_MIN` in steps of `SLURM_ARRAY_TASK_STEP` | `SLURM_ARRAY_TASK_COUNT`, or up to `SLURM_ARRAY_TASK_MAX` |
//! | AWS Batch | `AWS_BATCH_JOB_ARRAY_INDEX`, from 0 | `AWS_BATCH_JOB_ARRAY_SIZE` |
//! | PBS | `PBS_ARRAY_INDEX`, from 1 | `FORKLAB_SHARDS` |
//! | GitLab | `CI_NODE_INDEX`, from 1 | `CI_NODE_TOTAL` |
//! | CircleCI | `CIRCLE_NODE_INDEX`, from 0 | `CIRCLE_NODE_TOTAL` |
//! | Buildkite | `BUILDKITE_PARALLEL_JOB`, from 0 | `BUILDKITE_PARALLEL_JOB_COUNT` |
//! | Kubernetes indexed Job | `JOB_COMPLETION_INDEX`, from 0 | `FORKLAB_SHARDS`: Kubernetes does not tell |
//!
//! `FORKLAB_SHARD` wins over all others: whoever sets it means it. Of the others exactly one may speak.

use std::collections::BTreeMap;
use std::ffi::OsString;

use sim::explore::parallel::Shard;

use crate::input::{InputError, quoted};

/// Variables and their values.
type Environment = BTreeMap<String, String>;

/// Where an engine says how many shards there are.
enum Of {
    /// In this variable.
    Count(&'static str),
    /// As Slurm does it.
    Slurm,
}

struct Engine {
    name: &'static str,
    index: &'static str,
    /// The first index; Slurm says it itself.
    from: u64,
    of: Of,
}

/// Says how many, where the engine does not.
const SHARDS: &str = "FORKLAB_SHARDS";
const SHARD: &str = "FORKLAB_SHARD";
const FROM_0: u64 = 0;
const FROM_1: u64 = 1;

const ENGINES: [Engine; 7] = [
    Engine { name: "Slurm", index: "SLURM_ARRAY_TASK_ID", from: FROM_0, of: Of::Slurm },
    Engine {
        name: "AWS Batch",
        index: "AWS_BATCH_JOB_ARRAY_INDEX",
        from: FROM_0,
        of: Of::Count("AWS_BATCH_JOB_ARRAY_SIZE"),
    },
    Engine { name: "PBS", index: "PBS_ARRAY_INDEX", from: FROM_1, of: Of::Count(SHARDS) },
    Engine { name: "GitLab", index: "CI_NODE_INDEX", from: FROM_1, of: Of::Count("CI_NODE_TOTAL") },
    Engine { name: "CircleCI", index: "CIRCLE_NODE_INDEX", from: FROM_0, of: Of::Count("CIRCLE_NODE_TOTAL") },
    Engine {
        name: "Buildkite",
        index: "BUILDKITE_PARALLEL_JOB",
        from: FROM_0,
        of: Of::Count("BUILDKITE_PARALLEL_JOB_COUNT"),
    },
    Engine { name: "Kubernetes", index: "JOB_COMPLETION_INDEX", from: FROM_0, of: Of::Count(SHARDS) },
];

/// More shards than this is a mistake.
const MOST: u64 = 1_000_000;

/// The value of `--shard`: `I/N`, or `auto`; without it, the only one there is.
///
/// # Errors
/// [`InputError`] for any other text, and those of the environment.
pub(super) fn asked(text: Option<&str>) -> Result<Shard, InputError> {
    match text {
        None => Ok(Shard::ALL),
        Some("auto") => {
            let text =
                |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
            from_environment(&std::env::vars_os().filter_map(text).collect())
        }
        Some(text) => text.parse().map_err(|_| {
            let found = format!("--shard {}", quoted(text));
            InputError::new("<command line>", found, "auto, or I/N with I from 1 to N, such as 2/8")
        }),
    }
}

/// Which shard this is.
///
/// # Errors
/// [`InputError`] that names the variable: none is set, one is missing or wrong, or two engines speak at once.
fn from_environment(environment: &Environment) -> Result<Shard, InputError> {
    let wrong = |found: String, expected: &str| InputError::new("<environment>", found, expected);
    if let Some(text) = environment.get(SHARD) {
        let shown = || wrong(format!("{SHARD}={}", quoted(text)), "I/N with I from 1 to N, such as 2/8");
        return text.parse().map_err(|_| shown());
    }
    let speaking: Vec<&Engine> = ENGINES.iter().filter(|engine| environment.contains_key(engine.index)).collect();
    match speaking[..] {
        [] => {
            let all: Vec<_> = ENGINES.iter().map(|engine| engine.index).collect();
            Err(wrong(
                "no variable of an array job".into(),
                &format!("--shard I/N, or one of {SHARD}, {}", all.join(", ")),
            ))
        }
        [engine] => shard_of(engine, environment),
        [one, two, ..] => Err(wrong(
            format!("{} ({}) and {} ({})", one.index, one.name, two.index, two.name),
            &format!("one engine, or {SHARD}=I/N, which wins over both"),
        )),
    }
}

/// The number in a variable, within bounds.
fn number(environment: &Environment, name: &str, from: u64, to: u64) -> Result<u64, InputError> {
    let expected = format!("a number from {from} to {to}");
    let Some(text) = environment.get(name) else {
        return Err(InputError::new("<environment>", format!("no {name}"), expected));
    };
    let number = text.parse().ok().filter(|number| (from..=to).contains(number));
    number.ok_or_else(|| InputError::new("<environment>", format!("{name}={}", quoted(text)), expected))
}

fn shard_of(engine: &Engine, environment: &Environment) -> Result<Shard, InputError> {
    let (index, of) = match engine.of {
        Of::Count(name) => {
            let of = number(environment, name, 1, MOST)?;
            let index = number(environment, engine.index, engine.from, engine.from + of - 1)?;
            (index - engine.from, of)
        }
        Of::Slurm => slurm(environment)?,
    };
    let size = |number: u64| usize::try_from(number).expect("at most a million");
    Ok(Shard { index: size(index), of: size(of) })
}

/// `--array=1-8`, `0-7`, `10-80:10`; `%2` behind it does not matter.
fn slurm(environment: &Environment) -> Result<(u64, u64), InputError> {
    const ID: &str = "SLURM_ARRAY_TASK_ID";
    const FIRST: &str = "SLURM_ARRAY_TASK_MIN";
    const LAST: &str = "SLURM_ARRAY_TASK_MAX";
    const COUNT: &str = "SLURM_ARRAY_TASK_COUNT";
    const STEP: &str = "SLURM_ARRAY_TASK_STEP";
    let first = number(environment, FIRST, 0, u64::from(u32::MAX))?;
    let step = if environment.contains_key(STEP) { number(environment, STEP, 1, MOST)? } else { 1 };
    let of = if environment.contains_key(COUNT) {
        number(environment, COUNT, 1, MOST)?
    } else {
        let last = number(environment, LAST, first, first + (MOST - 1) * step)?;
        (last - first) / step + 1
    };
    let id = number(environment, ID, first, first + (of - 1) * step)?;
    if (id - first) % step != 0 {
        // A list such as 1,3,7 has no step: its tasks cannot be numbered from here.
        let expected = format!("{first} and steps of {step}: an array without gaps");
        return Err(InputError::new("<environment>", format!("{ID}={id}"), expected));
    }
    Ok(((id - first) / step, of))
}

#[cfg(test)]
mod tests;
