//! `tallow audit`: what is wrong with a dataset.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tallow_audit::clean::{self, Policy};
use tallow_audit::embedding::{self, Embeddings};
use tallow_audit::labels::{self, Filter, Probabilities, RankBy};
use tallow_audit::{AuditConfig, Issue, Kind, Samples, Split, checks, duplicates, report, scan};
use tallow_data::{ClassOrder, OpenOptions};
use tallow_train::{Finished, Setting, load};

use crate::crossval::{self, Job, cross_validate};
use crate::options::Method;
use crate::train::catch_ctrl_c;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow audit photos
  tallow audit fashion-mnist --cross-validate 5 --model small_cnn --set train.epochs=5
  tallow audit fashion-mnist --oof runs/cv/oof.csv --out audit
  tallow audit photos --run runs/r9 --apply --drop leakage,exact_duplicate,blurry
  tallow train --data runs/audit/manifest.csv")]
pub struct Args {
    /// A dataset's name, a folder with a sub-folder for each class, or a CSV manifest
    #[arg(value_name = "DATA")]
    data: String,
    /// A run on this dataset: its features find outliers, near duplicates and order, its predictions wrong labels in the splits it was not trained on
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    /// Out-of-fold predictions (`id,label,p_CLASS…`): they find wrong labels
    #[arg(long, value_name = "FILE")]
    oof: Option<PathBuf>,
    /// Make them: train so many folds into OUT/crossval, or go on with those there; damaged images are left out
    #[arg(long, value_name = "K", conflicts_with = "oof")]
    cross_validate: Option<usize>,
    /// Where issues.csv, index.html and, with --apply, the manifest are written
    #[arg(long, value_name = "DIR", default_value = "runs/audit")]
    out: PathBuf,
    /// Where a named dataset's files are
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Order classes by code points, as torchvision does, instead of as people do
    #[arg(long)]
    lexical: bool,
    /// The score below which a sample is an issue: dark=0.4; 0 switches a kind off
    #[arg(long, value_name = "KIND=SCORE")]
    threshold: Vec<String>,
    /// How wrong labels are chosen
    #[arg(long, value_name = "FILTER", default_value = "prune_by_noise_rate", value_parser = parse_filter)]
    filter: Filter,
    /// How wrong labels are scored
    #[arg(long, value_name = "METHOD", default_value = "self_confidence", value_parser = parse_rank)]
    rank_by: RankBy,
    /// Pictures in each section of the page
    #[arg(long, value_name = "N", default_value_t = 60)]
    pictures: usize,
    /// Write a cleaned manifest, which `train --data` takes; the dataset itself is left alone
    #[arg(long)]
    apply: bool,
    /// Kinds of issues whose training samples are dropped, or none
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', default_value = "leakage,exact_duplicate,wrong_label")]
    drop: Vec<String>,
    /// Give samples with a wrong label the suggested one instead of dropping them
    #[arg(long, requires = "apply")]
    relabel: bool,
    /// Filter noisy pictures (3 × 3 median)
    #[arg(long, requires = "apply")]
    denoise: bool,
    #[command(flatten, next_help_heading = "How --cross-validate trains")]
    method: Method,
}

fn parse_filter(name: &str) -> Result<Filter, String> {
    parse(name, "prune_by_noise_rate, prune_by_class, both, confident_learning, predicted_neq_given")
}

fn parse_rank(name: &str) -> Result<RankBy, String> {
    parse(name, "self_confidence, normalized_margin, confidence_weighted_entropy")
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, known: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|_| format!("expected one of {known}"))
}

pub fn run(args: Args) -> Result<()> {
    let config = config(&args)?;
    let policy = policy(&args)?;
    let class_order = if args.lexical { ClassOrder::Lexical } else { ClassOrder::Natural };
    let finished = args.run.as_deref().map(Finished::open).transpose()?;
    let classes = finished.as_ref().map(|run| run.classes.clone());
    let options = OpenOptions { data_dir: args.data_dir.clone(), class_order, classes, ..OpenOptions::default() };
    let splits = tallow_data::open(&args.data, &options)?;
    if splits.train.is_multi_label() && (args.cross_validate.is_some() || args.oof.is_some()) {
        bail!("{}: wrong labels are found where a sample has one: leave --cross-validate and --oof out", args.data);
    }
    let samples = Samples::new(&splits);
    let oof = match args.cross_validate {
        Some(folds) => Some(out_of_fold(&args, folds)?),
        None if args.method.settings()?.is_empty() && args.method.recipe == "default" => args.oof.clone(),
        None => {
            bail!("--model, --recipe, --set and the like say how --cross-validate trains: add it, or leave them out")
        }
    };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;

    let started = Instant::now();
    let bar = progress(samples.len(), "images");
    let scanned = scan(&samples, |_| bar.inc(1));
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    println!("{} images looked at in {seconds:.1} s", samples.len());

    let mut issues = checks::find(&samples, &scanned, &config);
    issues.extend(duplicates::find(&samples, &scanned, &config));
    if let Some(finished) = &finished {
        issues.extend(with_run(finished, &samples, &config, oof.is_none())?);
    }
    if let Some(oof) = &oof {
        let (probabilities, rows) = Probabilities::read(oof, &samples)?;
        println!("{}: {} samples with probabilities", oof.display(), rows.len());
        issues.extend(labels::find(&samples, &probabilities, &rows, &config));
    }
    tallow_audit::sort(&mut issues);

    println!("\n{}\n", report::Summary::new(&samples, &issues));
    report::write_csv(&args.out.join("issues.csv"), &samples, &issues)?;
    report::html::write_page(&args.out.join("index.html"), &args.data, &samples, &issues, args.pictures)?;
    println!("{}: issues.csv, index.html", args.out.display());
    if args.apply {
        let actions = clean::plan(&samples, &issues, &policy);
        let applied = clean::apply(&samples, &actions, &root(&args.data), &args.out)?;
        println!(
            "{}: {} kept, {} dropped (dropped.csv), {} relabelled, {} denoised",
            applied.manifest.display(),
            applied.kept,
            applied.dropped,
            applied.relabelled,
            applied.denoised
        );
    }
    Ok(())
}

/// The out-of-fold predictions of a cross-validation on the audited training split.
fn out_of_fold(args: &Args, folds: usize) -> Result<PathBuf> {
    let mut settings = vec![Setting::string("DATA", "data.spec", &args.data)];
    settings
        .extend(args.data_dir.iter().map(|dir| Setting::string("--data-dir", "data.data_dir", &dir.to_string_lossy())));
    if args.lexical {
        settings.push(Setting::string("--lexical", "data.class_order", "lexical"));
    }
    settings.push(Setting::string("--cross-validate", "data.on_corrupt", "skip"));
    settings.extend(args.method.settings()?);
    let config = load(&args.method.recipe, &settings)?;
    let out = args.out.join("crossval");
    let resume = out.join(crossval::FOLDS).is_file();
    catch_ctrl_c()?;
    let report = cross_validate(&Job { config, folds, repeats: 1, out: out.clone(), resume, quiet: false })?;
    println!("\n{}\n", report.metrics);
    Ok(out.join(crossval::OUT_OF_FOLD))
}

fn config(args: &Args) -> Result<AuditConfig> {
    let mut config = AuditConfig { filter: args.filter, rank_by: args.rank_by, ..AuditConfig::default() };
    for setting in &args.threshold {
        let (kind, score) =
            setting.split_once('=').with_context(|| format!("--threshold {setting}: expected KIND=SCORE"))?;
        let score = score.parse().with_context(|| format!("--threshold {setting}: `{score}` is no number"))?;
        config.thresholds.insert(Kind::parse(kind)?, score);
    }
    config.check()?;
    Ok(config)
}

fn policy(args: &Args) -> Result<Policy> {
    let drop: BTreeSet<Kind> = match args.drop.as_slice() {
        [none] if none == "none" => BTreeSet::new(),
        kinds => kinds.iter().map(|kind| Ok(Kind::parse(kind)?)).collect::<Result<_>>()?,
    };
    Ok(Policy { drop, relabel: args.relabel, denoise: args.denoise })
}

/// What a run's features tell of every split, and its predictions of those that it was not trained on.
fn with_run(finished: &Finished, samples: &Samples, config: &AuditConfig, warn: bool) -> Result<Vec<Issue>> {
    let mut issues = Vec::new();
    for (split, dataset) in samples.parts() {
        let first = samples.first(*split);
        let features = finished.features(dataset.clone())?;
        let rows: Vec<usize> = features.indices.iter().map(|index| first + index).collect();
        println!("{}: {} features of {} samples", split.name(), features.dim, rows.len());
        issues.extend(embedding::find(samples, &Embeddings::new(features.dim, features.values)?, &rows, config));
        if *split == Split::Train {
            continue;
        }
        let predictions = finished.predictions(dataset.clone())?;
        let values = tallow_metrics::softmax(&predictions.logits, predictions.classes)?;
        let values = values.into_iter().map(f64::from).collect();
        let probabilities = Probabilities::new(predictions.classes, predictions.labels, values)?;
        if rows.len() != probabilities.len() {
            bail!("{}: {} features, {} predictions", split.name(), rows.len(), probabilities.len());
        }
        issues.extend(labels::find(samples, &probabilities, &rows, config));
    }
    if warn {
        println!("train: a model knows the labels that it was trained on; to find wrong ones, give --cross-validate");
    }
    Ok(issues)
}

/// The folder below which the samples' ids are paths.
fn root(data: &str) -> PathBuf {
    let path = Path::new(data);
    if path.is_dir() { path.into() } else { path.parent().unwrap_or(Path::new("")).into() }
}

fn progress(len: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}  {per_sec}  {eta} left");
    let bar = ProgressBar::new(len as u64).with_message(what);
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}
