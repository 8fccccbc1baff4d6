//! The program `tallow`.

use clap::{CommandFactory as _, FromArgMatches as _};

/// Train, evaluate and ship image classifiers
///
/// Start with `tallow train`: it needs no data and no download.
#[derive(clap::Parser)]
#[command(name = "tallow", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: tallow_cli::Command,
}

fn main() -> std::process::ExitCode {
    tallow_cli::start("tallow", || Cli::from_arg_matches(&tallow_cli::matches(Cli::command()))?.command.run())
}
