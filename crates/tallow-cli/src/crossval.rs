//! `tallow crossval`: a run for every fold of the training split, and what they say together.

use std::path::PathBuf;

use anyhow::Result;
use tallow_train::crossval::{self, CrossValidationReport, Progress};
use tallow_train::{CrossValidation, FitOptions, Setting, load};

use crate::options::{Method, Source};
use crate::program;
use crate::run;
use crate::train::{STOP, catch_ctrl_c, free_name};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow crossval --set train.epochs=3
  tallow crossval --data photos/ --model resnet18 --folds 10 --repeats 3 --out runs/cv
  tallow crossval --data patients.csv --group patient --model resnet18
  tallow crossval --out runs/cv --resume
  tallow audit photos/ --oof runs/cv/oof.csv

Each fold is a run directory, OUT/fold-0, OUT/fold-1, …; what it holds out is evaluated after its last epoch alone, and
chooses nothing. What the intervals mean is in docs/crossval.md.")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    method: Method,
    /// Folds: each holds one part in so many of the training split out [default: 5, or those of --resume]
    #[arg(long, value_name = "K")]
    folds: Option<usize>,
    /// Divide once more into other folds, so many times in all [default: 1, or those of --resume]
    #[arg(long, value_name = "N")]
    repeats: Option<usize>,
    /// The column of a manifest or a table whose groups (patient, scene) are held out whole
    #[arg(long, value_name = "COLUMN")]
    group: Option<String>,
    /// The folder of the folds, made if absent [default: runs/crossval-MODEL-DATA, numbered]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the folds in --out, in the middle of one if need be
    #[arg(long, requires = "out")]
    resume: bool,
    /// Print the result alone
    #[arg(long, short)]
    quiet: bool,
}

pub fn run(args: Args) -> Result<()> {
    let mut settings = [args.source.settings(), args.method.settings()?].concat();
    settings.extend(args.group.iter().map(|column| Setting::string("--group", "data.group_column", column)));
    let begun = args.out.as_ref().filter(|_| args.resume);
    let (folds, repeats) = begun.map_or(Ok((5, 1)), |out| crossval::folds_of(out))?;
    let config = match begun {
        Some(out) if settings.is_empty() && args.method.recipe == "default" => crossval::config_of(out)?,
        _ => load(&args.method.recipe, &settings)?,
    };
    let out = args.out.unwrap_or_else(|| free_name("crossval-", &config));
    let (folds, repeats) = (args.folds.unwrap_or(folds), args.repeats.unwrap_or(repeats));
    let Args { resume, quiet, .. } = args;
    catch_ctrl_c()?;
    let report = cross_validate(&CrossValidation { config: &config, folds, repeats, out: &out, resume }, quiet)?;
    println!("\n{}", report.metrics);
    println!("\nall held-out samples together: {}", report.out_of_fold.totals());
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
