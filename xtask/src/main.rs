//! `cargo xtask`: train, evaluate and use image classifiers. One file a command; no maths here.

use clap::{Parser, Subcommand};

mod advice;
mod allocator;
mod audit;
mod augment;
mod batch_size;
mod bench;
mod classifier;
mod crossval;
mod data;
mod ensemble;
mod evaluate;
mod export;
mod lr_find;
mod models;
mod options;
mod predict;
mod prune;
mod run;
mod serve;
mod tidy;
mod train;
mod tune;

/// Tallow: train, evaluate and ship image classifiers, without Python.
///
/// Start with `cargo xtask train`: it needs no data and no download.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model; without arguments, a small one on bundled images in about a minute
    Train(train::Args),
    /// Cross-validate: every training sample is predicted by a model that was not trained on it
    Crossval(crossval::Args),
    /// Find a learning rate: a sweep from far too low to far too high, its curve and what it suggests
    LrFind(lr_find::Args),
    /// Measure a run or an ensemble on a split: a table, metrics.json and predictions.csv
    Evaluate(evaluate::Args),
    /// Classify images with a run or an ensemble, or tensors with any weights
    Predict(predict::Args),
    /// Answer over HTTP what a run or an ensemble says of pictures, with a page to try it
    Serve(serve::Args),
    /// Combine runs: voting, averages, weights, stacking, model soups
    Ensemble(ensemble::Args),
    /// Write a run's or any other weights as timm reads them, or as an ONNX file
    Export(export::Args),
    /// Set a run's weakest filters to zero, for a smaller model
    Prune(prune::Args),
    /// List the architectures with their parameters and multiply-accumulates
    Models(models::Args),
    /// Search for the best hyper-parameters: random, grid, TPE, with ASHA or Hyperband
    Tune(tune::Args),
    /// Describe a dataset: counts, sizes, class balance, mean and deviation
    Data(data::Args),
    /// Find what is wrong with a dataset: damaged, doubled, odd and wrongly labelled samples
    Audit(audit::Args),
    /// Draw what an augmentation does to samples of a dataset
    Augment(augment::Args),
    /// Measure the speed of kernels, training steps, inference and the loader on this machine
    Bench(bench::Args),
    /// Check the rules of this repository that the compiler does not know
    Tidy,
}

fn main() -> std::process::ExitCode {
    sigpipe::reset();
    allocator::keep_freed_pages();
    let command = Cli::parse().command;
    // Of a thread of rayon's own pool each kernel asks for the other threads' help; any other thread would hand the kernel over,
    // sleep and be woken, thousands of times a second.
    match on_rayons_thread(|| execute(command)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let advice = advice::advice(&error).map(|advice| format!("; {advice}")).unwrap_or_default();
            eprintln!("error: {}{advice}", chain(&error));
            std::process::ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    match command {
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
        Command::Bench(args) => bench::run(args),
        Command::Tidy => tidy::run(),
    }
}

fn on_rayons_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // The stack of a program's first thread.
    const STACK: usize = 8 << 20;
    // Fails only where the pool is there already, and that serves as well.
    let _ = rayon::ThreadPoolBuilder::new().stack_size(STACK).build_global();
    rayon::scope(|_| work())
}

/// An error with its causes, in one line. A cause that its parent already quotes is not said twice.
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
    use clap::CommandFactory as _;

    /// Clap looks at a command's arguments when it is called, and then panics.
    #[test]
    fn the_arguments_of_every_command_make_sense() {
        super::Cli::command().debug_assert();
    }
}
