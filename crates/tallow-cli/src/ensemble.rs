//! `tallow ensemble`: combines several runs, or several snapshots of one run.

use std::path::PathBuf;

use anyhow::Result;
use tallow_infer::ensemble::{Method, Plan, build};
use tallow_infer::{Measurement, Predictor, TrainedRun};

use crate::program;
use crate::run::{choose, evaluate, warn_of};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow ensemble runs/a runs/b runs/c --method average --out runs/abc
  tallow ensemble runs/cv-resnet runs/cv-vit --method stack --out runs/stack
  tallow ensemble runs/cycles --snapshots --method average --out runs/snapshots
  tallow evaluate runs/abc --tta hflip,shift
  tallow predict runs/abc shoe.png

Methods:
  vote, average                 need no data
  weighted, selection, stack    minimise the log loss, select greedily, or fit a logistic regression, on the members' shared
                                validation split, on out-of-fold predictions, or on --data
  soup, greedy                  average the weights into one model

docs/ensemble.md explains when to use which.")]
pub struct Args {
    /// Run directories, or folders that `tallow crossval` made
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// How to combine the members
    #[arg(long, value_name = "METHOD", value_parser = parse_method)]
    method: Method,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Use the snapshots of each run (train.snapshots) as members
    #[arg(long)]
    snapshots: bool,
    /// Fit on this dataset: the same classes, unseen by every member
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    /// The split to fit on: train, validation or test [default: validation, or the one that --data has]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// The inverse regularisation strength of --method stack, scikit-learn's C [default: cross-validated]
    #[arg(long, value_name = "C", value_parser = parse_c)]
    c: Option<f64>,
}

fn parse_method(name: &str) -> Result<Method, String> {
    let names = Method::ALL.map(|(name, _)| name).join(", ");
    let found = Method::ALL.iter().find(|(known, _)| *known == name).map(|(_, method)| *method);
    found.ok_or_else(|| format!("expected one of {names}"))
}

fn parse_c(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|c: &f64| *c > 0.0 && c.is_finite()).ok_or_else(|| "expected a number above 0".to_owned())
}

pub fn run(args: Args) -> Result<()> {
    let made = build(Plan {
        runs: &args.runs,
        snapshots: args.snapshots,
        method: args.method,
        data: args.data.as_deref(),
        split: args.split.as_deref(),
        c: args.c,
        out: &args.out,
    })?;
    println!("{made}");
    if args.method.is_soup() {
        warn_of(&TrainedRun::open(&args.out)?.preprocessing);
    }
    let predictor = Predictor::open(&args.out)?;
    let path = args.out.display();
    match choose(&predictor.splits(None)?, None) {
        Ok((split, dataset)) if made.fitted_split.as_deref() != Some(split) => {
            let measured = evaluate(&predictor, &Measurement::main(split), dataset)?;
            println!("\n{split}: {}", measured.evaluation);
            if let Some(members) = &measured.members {
                println!("{members}\n");
            }
        }
        _ => println!("\nno split is left for an evaluation: evaluate with --data"),
    }
    println!("next: {tallow} evaluate {path}    {tallow} predict {path} IMAGE…", tallow = program::name());
    Ok(())
}
