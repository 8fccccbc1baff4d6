//! `tallow completions`: a script that completes commands and options in a shell.

use std::io::{Write, stdout};

use anyhow::{Context as _, Result};
use clap::Subcommand as _;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Install the script where the shell looks for it:
  bash  tallow completions bash > ~/.local/share/bash-completion/completions/tallow
  zsh   tallow completions zsh > ~/.zfunc/_tallow        # with fpath+=~/.zfunc before compinit in ~/.zshrc
  fish  tallow completions fish > ~/.config/fish/completions/tallow.fish";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell that runs the script
    shell: Shell,
}

pub fn run(args: Args) -> Result<()> {
    stdout().write_all(&script(args.shell)).context("cannot print the script")
}

/// The script for the program `tallow`.
fn script(shell: Shell) -> Vec<u8> {
    let mut command = crate::Command::augment_subcommands(clap::Command::new("tallow"));
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "tallow", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_completes_commands_and_options() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).expect("UTF-8");
            for part in ["evaluate", "lr-find", "resume"] {
                assert!(script.contains(part), "{shell}: no {part}");
            }
        }
    }
}
