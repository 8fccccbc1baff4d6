//! What the commands share: a finished run as an evaluator and predictor, and its description.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tallow_augment::{Normalization, Pipeline};
use tallow_data::{Dataset, Loader, LoaderConfig, Sampler, Splits};
use tallow_metrics::Evaluation;
use tallow_models::Built;
use tallow_train::{Features, Predictions, Resolved, RunConfig, RunDir, build_pipeline};

/// A run that has weights: its model, classes and preprocessing.
pub struct Finished {
    pub run: RunDir,
    pub config: RunConfig,
    pub classes: Vec<String>,
    pub built: Built,
    pub pipeline: Arc<Pipeline>,
}

impl Finished {
    /// Opens a run directory with its best weights.
    pub fn open(path: &Path) -> Result<Self> {
        let run = RunDir::open(path)?;
        let (config, classes) = (run.config(&[])?, run.classes()?);
        let augment = &config.augment;
        let (Some(ops), Some(mean), Some(std)) = (&augment.eval, &augment.mean, &augment.std) else {
            anyhow::bail!("{}: config.toml lacks augment.eval, mean or std; was it edited?", path.display());
        };
        let normalization = Normalization { mean: mean.clone(), std: std.clone() };
        let (h, w) = config.model.config.input_size;
        let size = tallow_augment::Size { height: h, width: w };
        let pipeline = build_pipeline(ops, config.model.config.in_chans, &normalization, size)?;
        let built = run.model()?;
        Ok(Finished { run, config, classes, built, pipeline: Arc::new(pipeline) })
    }

    /// Opens the run's dataset, or another one with the same classes.
    pub fn splits(&self, spec: Option<&str>) -> Result<Splits> {
        let options = self.config.open_options(Some(self.classes.clone()));
        Ok(tallow_data::open(spec.unwrap_or(&self.config.data.spec), &options)?)
    }

    /// The model's logits of every sample.
    pub fn predictions(&self, dataset: Arc<dyn Dataset>) -> Result<Predictions> {
        let loader = self.loader(dataset)?;
        Ok(tallow_train::predict(self.built.model.as_ref(), &loader, &self.config.augment.tta)?)
    }

    /// What the model's backbone makes of every sample that can be read.
    pub fn features(&self, dataset: Arc<dyn Dataset>) -> Result<Features> {
        Ok(tallow_train::embed(&self.built, &self.loader(dataset)?)?)
    }

    /// The samples in order, preprocessed as the run preprocesses.
    fn loader(&self, dataset: Arc<dyn Dataset>) -> Result<Loader> {
        let config = LoaderConfig {
            batch_size: self.config.train.eval_batch_size,
            sampler: Sampler::Sequential,
            workers: self.config.data.workers,
            on_corrupt: self.config.data.on_corrupt,
            ..LoaderConfig::default()
        };
        Ok(Loader::new(dataset, self.pipeline.clone(), config)?)
    }

    /// Measures a split and writes metrics.json and predictions.csv into the run directory.
    pub fn evaluate(&self, split: &str, dataset: Arc<dyn Dataset>) -> Result<Evaluation> {
        #[derive(Serialize)]
        struct Metrics<'a> {
            split: &'a str,
            skipped: &'a [String],
            #[serde(flatten)]
            evaluation: &'a Evaluation,
        }
        let predictions = self.predictions(dataset)?;
        let evaluation = predictions.evaluate(&self.classes)?;
        let skipped = &predictions.skipped;
        self.run.write_json("metrics.json", &Metrics { split, skipped, evaluation: &evaluation })?;
        self.run.write("predictions.csv", &self.csv(&predictions)?)?;
        for id in skipped {
            eprintln!("skipped, cannot be read: {id}");
        }
        Ok(evaluation)
    }

    /// `id,label,predicted,p_<class>…`, probabilities with six digits.
    fn csv(&self, predictions: &Predictions) -> Result<Vec<u8>> {
        let k = predictions.classes;
        let probabilities = predictions.probabilities()?;
        let mut csv = csv::Writer::from_writer(Vec::new());
        let header = ["id", "label", "predicted"].map(str::to_owned).into_iter();
        csv.write_record(header.chain(self.classes.iter().map(|class| format!("p_{class}"))))?;
        for (row, id) in predictions.ids.iter().enumerate() {
            let names = [id.clone()].into_iter().chain(predictions.names(row, &self.classes));
            csv.write_record(names.chain(probabilities[row * k..][..k].iter().map(|p| format!("{p:.6}"))))?;
        }
        csv.into_inner().context("predictions.csv")
    }

    /// Writes model.safetensors and config.json in timm's layout into the run directory.
    pub fn export(&self, splits: &Splits, steps: u64) -> Result<()> {
        let mut info = tallow_export::CheckpointInfo::new(&self.built.info, splits.train.class_names().to_vec());
        info.preprocessing.mean.clone_from(&self.pipeline_normalization().mean);
        info.preprocessing.std.clone_from(&self.pipeline_normalization().std);
        info.num_batches_tracked = i64::try_from(steps)?;
        Ok(tallow_export::save(self.run.path(), &self.built.store, &info)?)
    }

    fn pipeline_normalization(&self) -> Normalization {
        let augment = &self.config.augment;
        Normalization { mean: augment.mean.clone().unwrap_or_default(), std: augment.std.clone().unwrap_or_default() }
    }
}

/// The lines that say what is about to be trained.
pub fn headline(resolved: &Resolved, splits: &Splits, built: &Built, run: &RunDir) -> String {
    let config = &resolved.config;
    let count = |split: &Option<Arc<dyn Dataset>>, name| match split {
        Some(dataset) => format!(", {} {name}", dataset.len()),
        None => String::new(),
    };
    let (h, w, c) = resolved.train.output_shape();
    let mut text = format!(
        "data   {}: {} training images{}{} in {} classes, {c}×{h}×{w}\nmodel  {}: {:.2} M parameters\nrun    {}",
        config.data.spec,
        splits.train.len(),
        count(&splits.validation, "validation"),
        count(&splits.test, "test"),
        splits.train.class_names().len(),
        config.model.name,
        built.store.parameter_count() as f64 / 1e6,
        run.path().display(),
    );
    if splits.ignored_files > 0 {
        text += &format!("\nnote   {} files are not images and were ignored", splits.ignored_files);
    }
    text
}

/// The split of this name; without a name, the test split, else the validation split.
pub fn choose(splits: &Splits, name: Option<&str>) -> Result<(&'static str, Arc<dyn Dataset>)> {
    let test = splits.test.clone().map(|dataset| ("test", dataset));
    let validation = splits.validation.clone().map(|dataset| ("validation", dataset));
    let found = match name {
        None => test.or(validation),
        Some("test") => test,
        Some("validation") => validation,
        Some("train") => Some(("train", splits.train.clone())),
        Some(other) => anyhow::bail!("--split {other}: expected train, validation or test"),
    };
    found.with_context(|| match name {
        Some(name) => format!("the dataset has no {name} split; --split train is always there"),
        None => {
            "the dataset has neither a test nor a validation split; --split train evaluates what was trained on".into()
        }
    })
}

/// A run directory as an argument.
#[derive(clap::Args)]
pub struct RunArg {
    /// A run directory that `cargo xtask train` made
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
}
