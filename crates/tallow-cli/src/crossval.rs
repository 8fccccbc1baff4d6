//! `tallow crossval`: trains a run per fold of the training split and summarises the held-out predictions.

use std::path::PathBuf;

use anyhow::Result;
use tallow_train::crossval::{self, CrossValidationReport, Progress};
use tallow_train::{CrossValidation, FitOptions, Setting};

use crate::interrupt::{STOP, in_order};
use crate::options::{Method, Source};
use crate::program;
use crate::run;
use crate::train::free_name;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow crossval --epochs 3
  tallow crossval --data photos/ --model resnet18 --folds 10 --repeats 3 --out runs/cv
  tallow crossval --data patients.csv --group patient --model resnet18
  tallow crossval --resume runs/cv
  tallow audit photos/ --oof runs/cv/oof.csv

Each fold is a run directory: OUT/fold-0, OUT/fold-1, … Its held-out samples are evaluated once, after the last epoch, and
select nothing. docs/crossval.md explains the intervals.")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    method: Method,
    /// The number of folds [default: 5; with --resume, as before]
    #[arg(long, value_name = "K")]
    folds: Option<usize>,
    /// Repeat the cross-validation with other folds, N times in all [default: 1; with --resume, as before]
    #[arg(long, value_name = "N")]
    repeats: Option<usize>,
    /// A column with a group (patient, scene) per sample; a group is never divided between folds
    #[arg(long, value_name = "COLUMN")]
    group: Option<String>,
    /// The folder for the folds [default: runs/crossval-MODEL-DATA, numbered]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Resume a cross-validation: this one, or that in --out
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,
    /// Print only the result
    #[arg(long, short)]
    quiet: bool,
}

pub fn run(args: Args) -> Result<()> {
    let mut settings = [args.source.settings(), args.method.settings()?].concat();
    settings.extend(args.group.iter().map(|column| Setting::string("--group", "data.group_column", column)));
    args.method.refuse_auto()?;
    let begun = run::resumed(args.resume.as_ref(), args.out.as_ref())?.cloned();
    let resume = begun.is_some();
    let (folds, repeats) = begun.as_ref().map_or(Ok((5, 1)), |out| crossval::folds_of(out))?;
    let config = match &begun {
        Some(out) if settings.is_empty() && args.method.recipe.is_none() => crossval::config_of(out)?,
        _ => args.method.load(&settings, |why| {
            if !args.quiet {
                println!("{why}");
            }
        })?,
    };
    let out = begun.or(args.out).unwrap_or_else(|| free_name("crossval-", &config));
    let (folds, repeats) = (args.folds.unwrap_or(folds), args.repeats.unwrap_or(repeats));
    let quiet = args.quiet;
    let _signals = in_order()?;
    let report = cross_validate(&CrossValidation { config: &config, folds, repeats, out: &out, resume }, quiet)?;
    println!("\n{}", report.metrics);
    println!("\nall held-out samples: {}", report.out_of_fold.totals());
    let out = out.display();
    println!("{out}: crossval.json, oof.csv, folds.csv, fold-0 …");
    if report.out_of_fold.multi_label.is_none() {
        println!("next: {tallow} audit {} --oof {out}/oof.csv", report.data, tallow = program::name());
    }
    Ok(())
}

/// Cross-validates, and shows the progress unless `quiet`.
pub fn cross_validate(job: &CrossValidation<'_>, quiet: bool) -> Result<CrossValidationReport> {
    let options = || FitOptions { stop: &STOP, quiet, ..FitOptions::default() };
    let progress = |progress: Progress<'_>| match progress {
        Progress::Begins { fold, folds, held_out, setup, dir } if !quiet => {
            println!("\nfold {} of {folds}: {held_out} samples held out", fold + 1);
            if let Some(report) = setup.pretrained.as_ref().filter(|_| fold == 0) {
                println!("{report}");
            }
            println!("{}", run::headline(setup, dir));
        }
        Progress::Begins { .. } => {}
        Progress::Evaluated { fold, folds, measured } => {
            run::list_skipped(measured);
            if !quiet {
                println!("fold {} of {folds}: held out {}", fold + 1, measured.evaluation.totals());
            }
        }
    };
    Ok(crossval::cross_validate(job, options, progress)?)
}
