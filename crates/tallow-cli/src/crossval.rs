//! `tallow crossval`: a run for every fold of the training split, and what they say together.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tallow_data::{FoldOptions, OpenOptions, Splits, cross_validation_folds, folds_and_repeats, folds_csv};
use tallow_metrics::{AcrossFolds, Evaluation};
use tallow_train::run_dir::write_atomic;
use tallow_train::{
    Finished, Measured, OutOfFold, Predictor, RunConfig, RunDir, Setting, config, load, predictions_csv,
};

use crate::options::{Method, Source};
use crate::program;
use crate::run;
use crate::train::{catch_ctrl_c, free_name, prepare, train};

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

/// What is cross-validated, and where.
pub struct Job {
    /// The configuration of every fold.
    pub config: RunConfig,
    pub folds: usize,
    pub repeats: usize,
    /// The folder.
    pub out: PathBuf,
    /// Whether there are folds in it to go on with.
    pub resume: bool,
    pub quiet: bool,
}

pub fn run(args: Args) -> Result<()> {
    let mut settings = [args.source.settings(), args.method.settings()?].concat();
    settings.extend(args.group.iter().map(|column| Setting::string("--group", "data.group_column", column)));
    let begun = args.out.as_ref().filter(|_| args.resume);
    let (folds, repeats) = begun.map_or(Ok((5, 1)), |out| kept_folds(out))?;
    let config = match begun {
        Some(out) if settings.is_empty() && args.method.recipe == "default" => config::read(&out.join(CONFIG), &[])?,
        _ => load(&args.method.recipe, &settings)?,
    };
    let out = args.out.unwrap_or_else(|| free_name("crossval-", &config));
    let (folds, repeats) = (args.folds.unwrap_or(folds), args.repeats.unwrap_or(repeats));
    let Args { resume, quiet, .. } = args;
    catch_ctrl_c()?;
    let report = cross_validate(&Job { config, folds, repeats, out: out.clone(), resume, quiet })?;
    println!("\n{}", report.metrics);
    println!("\nall held-out samples together: {}", report.out_of_fold.totals());
    let out = out.display();
    println!("{out}: crossval.json, oof.csv, folds.csv, fold-0 …");
    if report.out_of_fold.multi_label.is_none() {
        println!("next: {tallow} audit {} --oof {out}/oof.csv", report.data, tallow = program::name());
    }
    Ok(())
}

const CONFIG: &str = "config.toml";
/// Who is held out where.
pub const FOLDS: &str = "folds.csv";
const REPORT: &str = "report.json";
/// What the folds say of the samples that they hold out.
pub const OUT_OF_FOLD: &str = "oof.csv";

/// What `crossval.json` holds.
#[derive(Serialize)]
pub struct Report {
    data: String,
    model: String,
    folds: usize,
    repeats: usize,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_column: Option<String>,
    /// Seconds of training, all folds together.
    train_s: f64,
    #[serde(flatten)]
    pub metrics: AcrossFolds,
    out_of_fold: Evaluation,
    /// Samples that no fold could read.
    missing: Vec<String>,
}

/// Trains what is missing of the folds, and writes `oof.csv` and `crossval.json`.
pub fn cross_validate(job: &Job) -> Result<Report> {
    let Job { config, folds: count, repeats, out, quiet, .. } = job;
    if config.data.fold.is_some() {
        bail!("data.fold is for `train`: crossval sets it for every fold");
    }
    if config.data.stream {
        bail!("data.stream is for `train`: folds need samples with an index; leave it out");
    }
    let options = config.open_options(None);
    let whole = OpenOptions { validation_fraction: 0.0, ..options.clone() };
    let whole = Splits { test: None, ..tallow_data::open(&config.data.spec, &whole)? };
    let dataset = whole.train.clone();
    let (classes, seed) = (dataset.class_names(), config.train.seed);
    let folds = cross_validation_folds(dataset.as_ref(), *count, *repeats, &options)?;
    let membership = folds_csv(dataset.as_ref(), &folds, *count)?;
    if job.resume {
        check(out, config, &membership)?;
    } else if out.is_dir() && out.read_dir()?.next().is_some() {
        bail!("{}: this folder is not empty; add --resume to go on with it, or choose another --out", out.display());
    }

    let mut out_of_fold = OutOfFold::new(dataset.len(), classes.len());
    let (mut evaluations, mut train_s, mut trained) = (Vec::new(), 0.0, 0);
    for (index, held_out) in folds.iter().enumerate() {
        let fold = Some(FoldOptions { count: *count, index });
        let (splits, held_out_samples) = tallow_data::split(whole.clone(), &OpenOptions { fold, ..options.clone() })?;
        let path = out.join(format!("fold-{index}"));
        let run = match RunDir::open(&path) {
            Ok(run) if run.path().join(REPORT).is_file() => run,
            opened => {
                if !quiet {
                    println!("\nfold {} of {}: {} samples held out", index + 1, folds.len(), held_out.len());
                }
                let begun = opened.as_ref().is_ok_and(|run| run.last().is_file());
                let mut config = opened.as_ref().map_or(Ok(config.clone()), |run| run.config(&[]))?;
                config.data.fold = fold;
                let prepared = prepare(config, &splits, begun, *quiet || index > 0)?;
                if index == 0 {
                    // Whatever is wrong with the config has shown by now.
                    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
                    write_atomic(&out.join(CONFIG), toml::to_string_pretty(&job.config)?.as_bytes())?;
                    write_atomic(&out.join(FOLDS), &membership)?;
                }
                let run = match opened {
                    Ok(run) => run,
                    Err(_) => begin(&path, &prepared.resolved.config, classes)?,
                };
                let report = train(&prepared, &run, &splits, *quiet)?;
                if report.interrupted {
                    let (fold, out) = (index + 1, out.display());
                    bail!(
                        "stopped by Ctrl-C in fold {fold}; continue with: {} crossval --resume --out {out}",
                        program::name()
                    );
                }
                run
            }
        };
        let held_out_samples = held_out_samples.context("a fold holds samples out")?;
        let fold = Predictor::from(Finished::open(&path)?);
        let Measured { predictions, evaluation, probabilities, .. } =
            run::evaluate(&fold, "held_out", held_out_samples)?;
        if !quiet {
            println!("fold {} of {}: held out {}", index + 1, folds.len(), evaluation.totals());
        }
        out_of_fold.add(dataset.as_ref(), held_out, &predictions)?;
        evaluations.push((evaluation, probabilities));
        train_s += run.read_json::<Trained>(REPORT)?.train_s;
        trained += splits.train.len();
    }

    let mean = out_of_fold.mean();
    let report = Report {
        data: config.data.spec.clone(),
        model: config.model.name.clone(),
        folds: *count,
        repeats: *repeats,
        seed,
        group_column: config.data.group_column.clone(),
        train_s,
        metrics: AcrossFolds::of(&evaluations, trained)?,
        out_of_fold: mean.evaluate(dataset.as_ref())?,
        missing: mean.missing.iter().map(|index| dataset.id(*index)).collect(),
    };
    let ids: Vec<String> = mean.indices.iter().map(|index| dataset.id(*index)).collect();
    let csv = predictions_csv(&ids, &mean.names(dataset.as_ref())?, &mean.probabilities, classes)?;
    write_atomic(&out.join(OUT_OF_FOLD), &csv)?;
    write_atomic(&out.join("crossval.json"), format!("{}\n", serde_json::to_string_pretty(&report)?).as_bytes())?;
    Ok(report)
}

/// What is taken from a fold's report.
#[derive(Deserialize)]
struct Trained {
    train_s: f64,
}

/// How many folds and repeats there are in a folder.
fn kept_folds(out: &Path) -> Result<(usize, usize)> {
    let path = out.join(FOLDS);
    let kept = std::fs::read(&path).with_context(|| format!("{}: no folds to go on with", out.display()))?;
    folds_and_repeats(&kept).with_context(|| format!("{}: this is no table of folds", path.display()))
}

/// Whether the folds in a folder are those of this configuration and this dataset.
fn check(out: &Path, config: &RunConfig, membership: &[u8]) -> Result<()> {
    let path = out.join(FOLDS);
    let kept = std::fs::read(&path).with_context(|| format!("{}: no folds to go on with", out.display()))?;
    if kept != membership {
        bail!(
            "{}: other folds: give the --data, --folds, --repeats and --group that they were made with",
            path.display()
        );
    }
    let path = out.join(CONFIG);
    if config::read(&path, &[])? != *config {
        bail!(
            "{}: the folds were begun with another configuration: give the same options, or none, or another --out",
            path.display()
        );
    }
    Ok(())
}

/// Makes a fold's run directory; what a kill left of one is removed.
fn begin(path: &Path, config: &RunConfig, classes: &[String]) -> Result<RunDir> {
    if path.is_dir() {
        std::fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(RunDir::create(path, config, classes)?)
}
