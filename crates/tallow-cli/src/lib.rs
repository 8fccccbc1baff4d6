//! The command line of Tallow: arguments and printing. One file a command; the libraries do the work.
//!
//! The binary `tallow` and the repository's `cargo xtask` both run [`Command`].

mod advice;
mod allocator;
mod audit;
mod augment;
pub mod batch_size;
mod classifier;
mod columns;
mod completions;
mod crossval;
mod data;
mod ensemble;
mod evaluate;
mod export;
mod flags;
mod interrupt;
mod lr_find;
mod models;
mod options;
mod output;
mod predict;
pub mod program;
mod prune;
mod run;
mod serve;
mod train;
mod tune;

use std::process::ExitCode;

use allocator::Freed;
pub use flags::matches;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The commands, in the order of the help.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Train a model; without arguments, a small one on bundled images in about a minute
    Train(train::Args),
    /// Cross-validate: every training sample is predicted by a model that was not trained on it
    Crossval(crossval::Args),
    /// Find a learning rate: a sweep from far too low to far too high, its curve and a suggestion
    LrFind(lr_find::Args),
    /// Measure a run or an ensemble on a split: a table, metrics.json and predictions.csv
    Evaluate(evaluate::Args),
    /// Classify images with a run, an ensemble, or any weights
    Predict(predict::Args),
    /// Serve predictions of a run or an ensemble over HTTP, with a page to try it
    Serve(serve::Args),
    /// Combine runs: voting, averages, weights, stacking, model soups
    Ensemble(ensemble::Args),
    /// Write weights in timm's layout, or as an ONNX file
    Export(export::Args),
    /// Set a run's weakest filters to zero, for a smaller model
    Prune(prune::Args),
    /// List the architectures with their parameters and multiply-accumulates
    Models(models::Args),
    /// Search for the best hyper-parameters: random, grid, TPE, with ASHA or Hyperband
    Tune(tune::Args),
    /// Describe a dataset: counts, sizes, class balance, mean and standard deviation
    Data(data::Args),
    /// Find damaged, duplicate, odd and wrongly labelled images in a dataset
    Audit(audit::Args),
    /// Draw augmented images of a dataset
    Augment(augment::Args),
    /// Print a script that completes commands and options in a shell
    Completions(completions::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// The command's error, with what it was about.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Command::Train(args) => train::run(args),
            Command::Crossval(args) => crossval::run(args),
            Command::LrFind(args) => lr_find::run(args),
            Command::Evaluate(args) => evaluate::run(args),
            Command::Predict(args) => predict::run(args),
            Command::Serve(args) => serve::run(args),
            Command::Ensemble(args) => ensemble::run(args),
            Command::Export(args) => export::run(args),
            Command::Prune(args) => prune::run(args),
            Command::Models(args) => models::run(args),
            Command::Tune(args) => tune::run(args),
            Command::Data(args) => data::run(args),
            Command::Audit(args) => audit::run(args),
            Command::Augment(args) => augment::run(args),
            Command::Completions(args) => completions::run(args),
        }
    }
}

/// Runs a program's `main`: `name` is how the user starts it, `parse_and_run` parses the arguments and runs the command.
/// An error is printed in one line and gives exit code 1; a signal that ended the command gives 130 or 143.
pub fn start(name: &'static str, parse_and_run: impl FnOnce() -> anyhow::Result<()> + Send) -> ExitCode {
    // A pipe that its reader closes (`| head`) ends the program quietly.
    sigpipe::reset();
    // The first argument is the command: the programs have no options before it.
    let serves = std::env::args_os().nth(1).is_some_and(|command| command == "serve");
    allocator::set(if serves { Freed::GivenBack } else { Freed::Kept });
    program::set_name(name);
    match on_a_rayon_thread(parse_and_run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let advice = advice::advice(&error).map(|advice| format!("; {advice}")).unwrap_or_default();
            if interrupt::stopped_by_signal(&error) {
                eprintln!("{}{advice}", chain(&error));
                return ExitCode::from(interrupt::exit_code());
            }
            eprintln!("error: {}{advice}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Runs `work` on a thread of rayon's pool. A kernel started from another thread is handed over to the pool while its caller
/// sleeps and is woken again, thousands of times a second.
fn on_a_rayon_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // The stack size of a program's first thread.
    const STACK_BYTES: usize = 8 << 20;
    // It fails only where the pool exists already, which serves as well.
    let _ = rayon::ThreadPoolBuilder::new().stack_size(STACK_BYTES).build_global();
    rayon::scope(|_| work())
}

/// An error with its causes, in one line. A cause that its parent already quotes is left out.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Subcommand as _;

    /// Clap checks a command's arguments only when the command is used, and then panics.
    #[test]
    fn the_arguments_of_every_command_are_valid() {
        super::Command::augment_subcommands(clap::Command::new("tallow")).debug_assert();
    }
}
