//! `cargo xtask evaluate`: a run measured on a split.

use anyhow::{Result, bail};
use tallow_train::View;

use crate::run::{Finished, RunArg, choose};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    /// Another dataset with the same classes [default: the one the run was trained on]
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    /// train, validation or test, or held_out of a fold of a cross-validation [default: test, else validation]
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
    let (name, dataset) = match args.split.as_deref() {
        Some("held_out") if args.data.is_some() => {
            bail!("--split held_out is of the run's own dataset: leave --data out")
        }
        Some("held_out") => ("held_out", finished.held_out()?),
        split => choose(&finished.splits(args.data.as_deref())?, split)?,
    };
    let evaluation = finished.evaluate(name, dataset)?;
    println!("{name}: {evaluation}");
    println!("{}", evaluation.confusion.table(None));
    println!("{}: metrics.json, predictions.csv", finished.run.path().display());
    Ok(())
}
