//! `tallow evaluate`: evaluates a run or an ensemble on a split.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use tallow_infer::{Measurement, Predictor, View};

use crate::run::{RunArg, choose, evaluate, file_names};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow evaluate runs/r9
  tallow evaluate runs/r9 --split train --tta hflip,shift     # metrics-train-hflip+shift.json
  tallow evaluate runs/r9 --data elsewhere/ --out elsewhere-r9

Each combination of data, split and views has its own files in the run directory. metrics.json and predictions.csv are those of
the split that training ends with, in the run's own data and views.")]
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
    /// The folder for metrics.json and predictions.csv [default: the run directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    let mut predictor = Predictor::open(&args.run.run)?;
    let (own_data, own_views) = predictor.data_and_views()?;
    let data = args.data.as_deref().filter(|data| *data != own_data).map(str::to_owned);
    let views = args.tta.as_ref().map(|tta| View::parse_list(tta).context("--tta")).transpose()?;
    let views = views.filter(|views| views != own_views);
    if let Some(views) = &views {
        predictor.set_tta(views)?;
    }
    let (name, is_main, dataset) = match args.split.as_deref() {
        Some("held_out") if args.data.is_some() => {
            bail!("--split held_out belongs to the run's own dataset: omit --data")
        }
        Some("held_out") => ("held_out", true, predictor.held_out()?),
        split => {
            let mut splits = predictor.splits(data.as_deref())?;
            if splits.stream.is_some() && args.data.is_some() {
                // Named by --data, the shards that the run streams are opened with an index.
                splits = predictor.splits(args.data.as_deref())?;
            }
            splits.notes.iter().for_each(|note| eprintln!("note: {note}"));
            let (name, dataset) = choose(&splits, split)?;
            (name, name == predictor.main_split(&splits), dataset)
        }
    };
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    }
    let (data, views, out) = (data.as_deref(), views.as_deref(), args.out.as_deref());
    let measured = evaluate(&predictor, &Measurement { split: name, is_main, data, views, out }, dataset)?;
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
    let folder = args.out.map_or_else(|| predictor.name(), |out| out.display().to_string());
    println!("{folder}: {}", file_names(&measured));
    Ok(())
}
