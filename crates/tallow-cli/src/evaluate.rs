//! `tallow evaluate`: a run or an ensemble measured on a split.

use anyhow::{Context as _, Result, bail};
use tallow_train::{Predictor, View};

use crate::run::{RunArg, choose, evaluate};

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
    /// Test-time augmentation in place of the run's: none, or kinds of views whose probabilities are averaged, such as
    /// hflip,shift: hflip, vflip, shift, five_crop, ten_crop, scales (docs/augment.md)
    #[arg(long, value_name = "none|VIEW,…")]
    tta: Option<String>,
}

pub fn run(args: Args) -> Result<()> {
    let mut predictor = Predictor::open(&args.run.run)?;
    if let Some(tta) = &args.tta {
        predictor.set_tta(&View::parse_list(tta).context("--tta")?)?;
    }
    let (name, dataset) = match args.split.as_deref() {
        Some("held_out") if args.data.is_some() => {
            bail!("--split held_out is of the run's own dataset: leave --data out")
        }
        Some("held_out") => ("held_out", predictor.held_out()?),
        split => choose(&predictor.splits(args.data.as_deref())?, split)?,
    };
    let measured = evaluate(&predictor, name, dataset)?;
    println!("{name}: {}", measured.evaluation);
    if let Some(probabilities) = &measured.probabilities {
        println!("{probabilities}\n");
    }
    if !measured.evaluation.confusion.is_empty() {
        println!("{}", measured.evaluation.confusion.table(None));
    }
    if let Some(members) = &measured.members {
        println!("{members}\n");
    }
    println!("{}: metrics.json, predictions.csv", predictor.run().path().display());
    Ok(())
}
