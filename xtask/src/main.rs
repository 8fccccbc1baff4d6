//! `cargo xtask`: Tallow's commands in a clone of the repository, and the repository's own chores.

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

mod bench;
mod faults;
mod tidy;

/// How the user starts it, by the alias in .cargo/config.toml.
const NAME: &str = "cargo xtask";

/// Train, evaluate and ship image classifiers
///
/// Start with `cargo xtask train`: it needs no data and no download.
#[derive(Parser)]
#[command(name = NAME, bin_name = NAME, version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    #[command(flatten)]
    Tallow(Box<tallow_cli::Command>),
    /// Measure the speed of kernels, training steps, inference and the loader on this machine
    Bench(bench::Args),
    /// Kill every command that writes at random moments, fill its disk, and see what is lost
    Faults(faults::Args),
    /// Check the rules of this repository that the compiler does not know
    Tidy,
}

fn main() -> std::process::ExitCode {
    tallow_cli::start(NAME, || {
        let matches = tallow_cli::matches(tallow_cli::program::rename(Cli::command(), NAME));
        match Cli::from_arg_matches(&matches)?.task {
            Task::Tallow(command) => command.run(),
            Task::Bench(args) => bench::run(args),
            Task::Faults(args) => faults::run(args),
            Task::Tidy => tidy::run(),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// Clap checks a command's arguments only when the command is used, and then panics.
    #[test]
    fn the_arguments_of_every_command_are_valid() {
        super::Cli::command().debug_assert();
    }
}
