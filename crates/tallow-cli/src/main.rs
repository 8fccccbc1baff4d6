//! The program `tallow`.

use clap::Parser as _;

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
    tallow_cli::start("tallow", || Cli::parse().command.run())
}
