//! `cargo xtask evaluate`: a run measured on a split.

use anyhow::Result;

use crate::run::{Finished, RunArg, choose};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    /// Another dataset with the same classes [default: the one the run was trained on]
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    /// train, validation or test [default: test, else validation]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
}

pub fn run(args: Args) -> Result<()> {
    let finished = Finished::open(&args.run.run)?;
    let splits = finished.splits(args.data.as_deref())?;
    let (name, dataset) = choose(&splits, args.split.as_deref())?;
    let evaluation = finished.evaluate(name, dataset)?;
    println!("{name}: {evaluation}");
    println!("{}", evaluation.confusion.table(None));
    println!("{}: metrics.json, predictions.csv", finished.run.path().display());
    Ok(())
}
