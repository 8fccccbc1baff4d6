//! `tallow audit`: finds problems in a dataset.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tallow_audit::clean::{self, Policy};
use tallow_audit::embedding::{self, Embeddings};
use tallow_audit::labels::{self, Filter, Probabilities, RankBy};
use tallow_audit::{AuditConfig, Findings, IssueKind, Samples, Split, checks, duplicates, report, scan};
use tallow_data::{ClassOrder, OpenOptions};
use tallow_infer::TrainedRun;
use tallow_train::{CrossValidation, Setting, crossval};

use crate::crossval::cross_validate;
use crate::interrupt::in_order;
use crate::options::Method;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow audit photos
  tallow audit fashion-mnist --cross-validate 5 --model small_cnn --set train.epochs=5
  tallow audit fashion-mnist --oof runs/cv/oof.csv --out audit
  tallow audit photos --run runs/r9 --apply --drop leakage,exact_duplicate,blurry
  tallow audit photos --reviewed reviewed.csv --apply      # without the issues ticked off on the page
  tallow train --data runs/audit/manifest.csv")]
pub struct Args {
    /// A dataset's name, a folder with a sub-folder for each class, or a CSV manifest
    #[arg(value_name = "DATA")]
    data: String,
    /// A run on this dataset. Its features reveal outliers and near duplicates; its predictions reveal wrong labels in the
    /// splits that it was not trained on
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    /// Out-of-fold predictions (`id,label,p_CLASS…`) from which wrong labels are found
    #[arg(long, value_name = "FILE")]
    oof: Option<PathBuf>,
    /// Make out-of-fold predictions: train K folds in OUT/crossval, or resume them; damaged images are skipped
    #[arg(long, value_name = "K", conflicts_with = "oof")]
    cross_validate: Option<usize>,
    /// The folder for issues.csv, index.html and, with --apply, the cleaned manifest
    #[arg(long, value_name = "DIR", default_value = "runs/audit")]
    out: PathBuf,
    /// The folder with the files of a named dataset
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Sort classes by code point (10 before 2), as torchvision does
    #[arg(long)]
    lexical: bool,
    /// Report samples that score below SCORE, such as dark=0.4, whatever the dataset; 0 disables a check; may be repeated
    #[arg(long, value_name = "KIND=SCORE")]
    threshold: Vec<String>,
    /// How wrong labels are selected
    #[arg(long, value_name = "FILTER", default_value = "prune_by_noise_rate", value_parser = parse_filter)]
    filter: Filter,
    /// How wrong labels are ranked
    #[arg(long, value_name = "METHOD", default_value = "self_confidence", value_parser = parse_rank)]
    rank_by: RankBy,
    /// Images in each section of the page
    #[arg(long, value_name = "N", default_value_t = 60)]
    pictures: usize,
    /// Leave out the issues that were ticked off on the page and saved as reviewed.csv
    #[arg(long, value_name = "FILE")]
    reviewed: Option<PathBuf>,
    /// Write a cleaned manifest for `train --data`; the dataset itself is not changed
    #[arg(long)]
    apply: bool,
    /// Drop training samples with these kinds of issues, or none
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', default_value = "leakage,exact_duplicate,wrong_label")]
    drop: Vec<String>,
    /// Correct wrong labels to the suggested class instead of dropping the samples
    #[arg(long, requires = "apply")]
    relabel: bool,
    /// Denoise noisy images with a 3 × 3 median filter
    #[arg(long, requires = "apply")]
    denoise: bool,
    #[command(flatten, next_help_heading = "Training of --cross-validate")]
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
    let finished = args.run.as_deref().map(TrainedRun::open).transpose()?;
    let classes = finished.as_ref().map(|run| run.classes().to_vec());
    let options = OpenOptions { data_dir: args.data_dir.clone(), class_order, classes, ..OpenOptions::default() };
    let splits = tallow_data::open(&args.data, &options)?;
    if splits.train.is_multi_label() && (args.cross_validate.is_some() || args.oof.is_some()) {
        bail!("{}: --cross-validate and --oof find wrong labels only where each sample has one label", args.data);
    }
    let samples = Samples::new(&splits);
    let oof = match args.cross_validate {
        Some(folds) => Some(out_of_fold(&args, folds)?),
        None if args.method.is_empty()? => args.oof.clone(),
        None => {
            bail!("training options such as --model, --recipe and --set need --cross-validate")
        }
    };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;

    let started = Instant::now();
    let bar = progress(samples.len(), "images");
    let scanned = scan(&samples, |_| bar.inc(1));
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    println!("scanned {} images in {seconds:.1} s", samples.len());

    let mut findings = checks::find(&samples, &scanned, &config);
    findings.add(duplicates::find(&samples, &scanned, &config).into());
    if let Some(finished) = &finished {
        findings.add(with_run(finished, &samples, &config, oof.is_none())?);
    }
    if let Some(oof) = &oof {
        let (probabilities, rows) = Probabilities::read(oof, &samples)?;
        println!("{}: {} samples with probabilities", oof.display(), rows.len());
        let source = format!("Predictions of {}", oof.display());
        findings.add(labels::find(&samples, &probabilities, &rows, &source, config.filter, config.rank_by));
    }
    if let Some(reviewed) = &args.reviewed {
        let left_out = findings.leave_out(&report::reviewed::read(reviewed, &samples)?);
        println!("{}: {left_out} issues left out", reviewed.display());
    }

    println!("\n{}\n", report::Summary::new(&samples, &findings.issues));
    for note in &findings.notes {
        println!("{}: {}", note.kind.name(), note.text);
    }
    report::write_csv(&args.out.join("issues.csv"), &samples, &findings.issues)?;
    report::html::write_page(&args.out.join("index.html"), &args.data, &samples, &findings, args.pictures)?;
    println!("{}: issues.csv, index.html", args.out.display());
    if args.apply {
        let actions = clean::plan(&samples, &findings.issues, &policy);
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
    args.method.refuse_auto()?;
    let config = args.method.load(&settings, |why| println!("{why}"))?;
    let out = args.out.join("crossval");
    let resume = out.join(crossval::FOLDS).is_file();
    let _signals = in_order()?;
    let job = CrossValidation { config: &config, folds, repeats: 1, out: &out, resume };
    let report = cross_validate(&job, false)?;
    println!("\n{}\n", report.metrics);
    Ok(out.join(crossval::OUT_OF_FOLD))
}

fn config(args: &Args) -> Result<AuditConfig> {
    let mut config = AuditConfig { filter: args.filter, rank_by: args.rank_by, ..AuditConfig::default() };
    for setting in &args.threshold {
        let (kind, score) = setting
            .split_once('=')
            .with_context(|| format!("--threshold {setting}: expected KIND=SCORE, such as dark=0.4"))?;
        let score = score.parse().with_context(|| format!("--threshold {setting}: `{score}` is not a number"))?;
        config.thresholds.insert(IssueKind::parse(kind)?, score);
    }
    config.check()?;
    Ok(config)
}

fn policy(args: &Args) -> Result<Policy> {
    let drop: BTreeSet<IssueKind> = match args.drop.as_slice() {
        [none] if none == "none" => BTreeSet::new(),
        kinds => kinds.iter().map(|kind| Ok(IssueKind::parse(kind)?)).collect::<Result<_>>()?,
    };
    Ok(Policy { drop, relabel: args.relabel, denoise: args.denoise })
}

/// Issues that a run's features show in every split, and its predictions in the splits that it was not trained on.
fn with_run(finished: &TrainedRun, samples: &Samples, config: &AuditConfig, warn: bool) -> Result<Findings> {
    let mut findings = Findings::default();
    for (split, dataset) in samples.parts() {
        let first = samples.first(*split);
        let features = finished.features(dataset.clone())?;
        let rows: Vec<usize> = features.indices.iter().map(|index| first + index).collect();
        println!("{}: {} features of {} samples", split.name(), features.dim, rows.len());
        let embeddings = Embeddings::new(features.dim, features.values)?;
        findings.add(embedding::find(samples, &embeddings, &rows, config).into());
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
        let source = format!("Predictions of {} on the {} split", finished.dir.path().display(), split.name());
        findings.add(labels::find(samples, &probabilities, &rows, &source, config.filter, config.rank_by));
    }
    if warn {
        println!(
            "train: a model has fitted the labels that it was trained on; find wrong ones there with --cross-validate"
        );
    }
    Ok(findings)
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
