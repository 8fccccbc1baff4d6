//! `tallow ensemble`: several runs, or several snapshots of one, that answer together.

use std::path::PathBuf;

use anyhow::Result;
use tallow_train::ensemble::{Method, Plan, build};
use tallow_train::{Finished, Predictor};

use crate::program;
use crate::run::{choose, evaluate, export};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow ensemble runs/a runs/b runs/c --method average --out runs/abc
  tallow ensemble runs/cv-resnet runs/cv-vit --method stack --out runs/stack
  tallow ensemble runs/cycles --snapshots --method average --out runs/snapshots
  tallow evaluate runs/abc --tta hflip,shift
  tallow predict runs/abc shoe.png

Methods: vote, average; weighted (lowest log loss), selection (greedy, with replacement), stack (logistic regression),
all three fitted on the validation split that the members share, on out-of-fold predictions, or on --data;
soup, greedy (one model from averaged weights). docs/ensemble.md says when to take which.")]
pub struct Args {
    /// Run directories, or folders that `tallow crossval` made
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// How they are combined
    #[arg(long, value_name = "METHOD", value_parser = parse_method)]
    method: Method,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Take the snapshots that each run kept (train.snapshots) in its place
    #[arg(long)]
    snapshots: bool,
    /// Fit on other data, with the same classes, that no member was trained on
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    /// The split to fit on: train, validation or test [default: validation; of --data, what it has]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// The inverse penalty of --method stack, as scikit-learn's C [default: cross-validated]
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
        export(&Finished::open(&args.out)?, 0)?;
    }
    let predictor = Predictor::open(&args.out)?;
    let path = args.out.display();
    match choose(&predictor.splits(None)?, None) {
        Ok((split, dataset)) if made.fitted_split.as_deref() != Some(split) => {
            let measured = evaluate(&predictor, split, dataset)?;
            println!("\n{split}: {}", measured.evaluation);
            if let Some(members) = &measured.members {
                println!("{members}\n");
            }
        }
        _ => println!("\nno split is left to measure it on: evaluate it with --data"),
    }
    println!("next: {tallow} evaluate {path}    {tallow} predict {path} IMAGE…", tallow = program::name());
    Ok(())
}
