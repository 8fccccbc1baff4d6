//! `tallow prune`: a run's weakest filters set to zero.

use std::path::PathBuf;

use anyhow::{Result, bail};
use tallow_train::{Ensemble, Finished};

use crate::program;
use crate::run::{RunArg, choose, export, first_line};

#[derive(clap::Args)]
#[command(after_help = "Example:
  tallow prune runs/r9 --ratio 0.5 --out runs/half
  tallow train --model resnet9 --recipe fast --pretrained runs/half --set train.keep_zeros=true --out runs/tuned
  tallow export runs/tuned --out shoes.onnx                        # without the filters that are zero")]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    /// The share of the filters to set to zero, in each convolution whose filters nothing but other layers sees
    #[arg(long, value_name = "0 to 1")]
    ratio: f64,
    /// The directory of the pruned run
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    if Ensemble::is_at(&args.run.run) {
        bail!("{}: an ensemble is several models: prune its members", args.run.run.display());
    }
    let finished = Finished::open(&args.run.run)?;
    let splits = finished.splits(None)?;
    let split = choose(&splits, None).ok();
    let measure = || split.as_ref().map(|(name, dataset)| first_line(&finished, name, dataset.clone())).transpose();
    let before = measure()?;
    let pruned = tallow_export::prune(&finished.built, args.ratio)?;
    let after = measure()?;
    let copy = finished.copy_to(&args.out)?;
    export(&Finished::open(copy.path())?, 0)?;
    println!("{} of the {} filters of {} convolutions are zero now", pruned.zero, pruned.filters, pruned.layers);
    if let (Some(before), Some(after)) = (before, after) {
        println!("before: {before}\nafter:  {after}");
    }
    let out = args.out.display();
    println!("{out}: config.toml, model.safetensors + config.json");
    println!(
        "next: {tallow} train --pretrained {out} --set train.keep_zeros=true …    {tallow} export {out} --out MODEL.onnx",
        tallow = program::name()
    );
    Ok(())
}
