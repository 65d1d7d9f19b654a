//! `forklab completions` and `forklab man`: what clap knows of the command line, for shells and for man(1).

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Failure, Found};
use crate::input::{InputError, quoted};

/// Arguments of `forklab completions`.
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell that reads the script
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `forklab man`.
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// One of the commands; without it, the page of forklab itself
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// `forklab completions`.
pub(super) fn completions(args: &CompletionsArgs, out: &mut impl Write) -> Result<Found, Failure> {
    // The generator does not hear of a closed pipe: it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "forklab", &mut script);
    out.write_all(&script)?;
    Ok(false)
}

/// `forklab man`.
pub(super) fn man(args: &ManArgs, out: &mut impl Write) -> Result<Found, Failure> {
    let mut cli = Cli::command();
    cli.build();
    let page = match &args.command {
        None => cli,
        Some(name) => match cli.find_subcommand(name) {
            // Built, it calls itself as git's do: the page of `forklab run` is forklab-run(1).
            Some(command) => command.clone(),
            None => {
                let names: Vec<_> = cli.get_subcommands().map(clap::Command::get_name).collect();
                let expected = format!("no command, or one of {}", names.join(", "));
                return Err(InputError::new("<command line>", quoted(name), expected).into());
            }
        },
    };
    // A command has no version of its own, but its page names the program's.
    Man::new(page).source(concat!("forklab ", env!("CARGO_PKG_VERSION"))).render(out)?;
    Ok(false)
}
