//! `tallow prune`: sets a run's filters of the smallest norm to zero.

use std::path::PathBuf;

use anyhow::{Result, bail};
use tallow_infer::{Ensemble, TrainedRun};

use crate::program;
use crate::run::{RunArg, choose, first_line, warn_of};

#[derive(clap::Args)]
#[command(after_help = "Example:
  tallow prune runs/r9 --ratio 0.5 --out runs/half
  tallow train --recipe runs/half/config.toml --pretrained runs/half --set train.keep_zeros=true --out runs/tuned
  tallow export runs/tuned --out shoes.onnx                        # leaves the zero filters out")]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    /// The fraction of the filters to set to zero in each convolution that can be pruned
    #[arg(long, value_name = "0 to 1")]
    ratio: f64,
    /// The run directory to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    if Ensemble::is_at(&args.run.run) {
        bail!("{}: this is an ensemble: prune its members", args.run.run.display());
    }
    let finished = TrainedRun::open(&args.run.run)?;
    let splits = finished.splits(None)?;
    let split = choose(&splits, None).ok();
    let measure = || split.as_ref().map(|(name, dataset)| first_line(&finished, name, dataset.clone())).transpose();
    let before = measure()?;
    let pruned = tallow_export::prune(&finished.classifier.built, args.ratio)?;
    let after = measure()?;
    let copy = finished.begin_copy(&args.out)?;
    let pruned_run = TrainedRun { dir: copy, ..finished };
    warn_of(&pruned_run.preprocessing);
    pruned_run.export(0)?;
    pruned_run.dir.complete()?;
    println!("set {} of the {} filters of {} convolutions to zero", pruned.zero, pruned.filters, pruned.layers);
    if let (Some(before), Some(after)) = (before, after) {
        println!("before: {before}\nafter:  {after}");
    }
    let out = args.out.display();
    println!("{out}: config.toml, model.safetensors + config.json");
    println!(
        "next: {tallow} train --recipe {out}/config.toml --pretrained {out} --set train.keep_zeros=true    {tallow} export {out} \
         --out MODEL.onnx",
        tallow = program::name()
    );
    Ok(())
}
