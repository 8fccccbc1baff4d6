//! `tallow evaluate`: evaluates a run or an ensemble on a split.

use anyhow::{Context as _, Result, bail};
use tallow_infer::{Predictor, View};

use crate::run::{RunArg, choose, evaluate};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    /// Another dataset with the same classes [default: the run's dataset]
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    /// The split: train, validation or test; held_out for a fold of a cross-validation [default: test, else validation]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Test-time augmentation that replaces the run's: none, or views to average, such as hflip,shift; views: hflip, vflip,
    /// shift, five_crop, ten_crop, scales (docs/augment.md)
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
            bail!("--split held_out belongs to the run's own dataset: omit --data")
        }
        Some("held_out") => ("held_out", predictor.held_out()?),
        split => {
            let splits = predictor.splits(args.data.as_deref())?;
            splits.notes.iter().for_each(|note| eprintln!("note: {note}"));
            choose(&splits, split)?
        }
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
    println!("{}: metrics.json, predictions.csv", predictor.name());
    Ok(())
}
