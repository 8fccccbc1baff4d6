//! `cargo xtask evaluate`: a run measured on a split.

use anyhow::Result;
use tallow_train::View;

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
    /// Test-time augmentation in place of the run's: none, or hflip (each image and its mirror image, averaged)
    #[arg(long, value_name = "none|hflip", value_parser = ["none", "hflip"], hide_possible_values = true)]
    tta: Option<String>,
}

pub fn run(args: Args) -> Result<()> {
    let mut finished = Finished::open(&args.run.run)?;
    match args.tta.as_deref() {
        Some("hflip") => finished.config.augment.tta = vec![View::HFlip],
        Some(_) => finished.config.augment.tta.clear(),
        None => {}
    }
    let splits = finished.splits(args.data.as_deref())?;
    let (name, dataset) = choose(&splits, args.split.as_deref())?;
    let evaluation = finished.evaluate(name, dataset)?;
    println!("{name}: {evaluation}");
    if !evaluation.confusion.is_empty() {
        println!("{}", evaluation.confusion.table(None));
    }
    println!("{}: metrics.json, predictions.csv", finished.run.path().display());
    Ok(())
}
