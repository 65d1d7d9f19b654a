//! The command as a user has it: its output, its errors, its exit code.

#![allow(dead_code, reason = "each test program uses its part")]

#[cfg(target_os = "linux")]
pub mod chromium;
#[cfg(target_os = "linux")]
pub mod tools;
#[cfg(target_os = "linux")]
pub mod tshark;

#[cfg(all(feature = "netlink", target_os = "linux"))]
pub mod live;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use forklab::lab::run::{Loaded, Report, Watch, run};
use forklab::lab::spec::{Order, Source, Spec};

/// Seeds that the promises about built-in scenarios are tried with.
pub const SEEDS: u64 = 200;

/// Built-in scenarios that run in a blink; `overrun` makes 600 tasks.
pub const SMALL: [&str; 4] = ["autoreap", "boot-early", "thread", "tour"];

/// The command, in the folder of the package.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forklab"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

/// What the command came to.
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn forklab(args: &[&str]) -> Done {
    let Output { status, stdout, stderr } = command(args).output().expect("the binary is there");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Done { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// A run in this process.
pub fn report(spec: &Spec) -> Report {
    let loaded = Loaded::new(spec.clone(), |_| ()).unwrap_or_else(|error| panic!("{spec}: {error}"));
    run(&loaded, Watch::default()).unwrap_or_else(|error| panic!("{spec}: {error}"))
}

pub fn built_in(name: &str) -> Spec {
    Spec::new(Source::BuiltIn(name.into()))
}

pub fn seeded(name: &str, seed: u64) -> Spec {
    Spec { order: Order::Seed(seed), ..built_in(name) }
}

pub fn workload(file: &str) -> Spec {
    Spec::new(Source::Workload(data(file)))
}

pub fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

/// A scenario from its text, in a file that lives as long as the folder.
pub fn scenario(folder: &Path, text: &str) -> Spec {
    let path = folder.join("scenario.toml");
    std::fs::write(&path, text).expect("a temporary folder can be written");
    Spec::new(Source::File(path))
}
