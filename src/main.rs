//! The command line; see [`forklab::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    forklab::cli::main()
}
