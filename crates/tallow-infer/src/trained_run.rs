//! A trained run, opened from its directory: its model, its classes, its preprocessing and its dataset.

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use tallow_augment::{Normalization, Preprocessing, Size};
use tallow_data::{Dataset, Loader, LoaderConfig, Sampler, Splits};
use tallow_export::CheckpointInfo;
use tallow_models::BuiltModel;
use tallow_run::checkpoint::{self, MODEL, load_weights};
use tallow_run::{RunDir, RunSections, View, build_pipeline};

use crate::{Classifier, Error, Features, Predictions, Result, TestTime};

/// A run directory with its model, ready for inference.
pub struct TrainedRun {
    /// The run directory.
    pub dir: RunDir,
    /// The sections of its config that inference needs.
    pub config: RunSections,
    /// The preprocessing of evaluation.
    pub preprocessing: Preprocessing,
    /// The model with its classes and the pipeline of [`preprocessing`](Self::preprocessing).
    pub classifier: Classifier,
}

impl TrainedRun {
    /// Opens a run directory with its best weights.
    ///
    /// # Errors
    /// A folder that is not a run directory; a run without a checkpoint; a config that was edited.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = RunDir::open(path)?;
        let weights = dir.weights()?;
        Self::with_weights(dir, &weights)
    }

    /// Opens a run with the weights of one of its checkpoints.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_weights(dir: RunDir, weights: &Path) -> Result<Self> {
        let (config, classes) = (dir.sections()?, dir.classes()?);
        let model = &config.model;
        let built = tallow_models::build(&model.name, &model.config, config.train.seed, &Device::Cpu)?;
        load_weights(weights, &built.store)?;
        Self::new(dir, config, classes, built)
    }

    /// A run whose model is in memory, with its complete config.
    ///
    /// # Errors
    /// A config without evaluation pipeline or pixel statistics; a pipeline that cannot be built.
    pub fn new(dir: RunDir, config: RunSections, classes: Vec<String>, built: BuiltModel) -> Result<Self> {
        let Some(preprocessing) = config.preprocessing()? else {
            return Err(Error::IncompleteConfig { path: dir.config_path(), missing: "augment.eval, mean or std" });
        };
        let pipeline = preprocessing.pipeline()?;
        let classifier = Classifier {
            multi_label: config.data.multi_label,
            batch_size: config.train.eval_batch_size,
            views: TestTime::new(&config)?,
            ..Classifier::new(built, classes, Arc::new(pipeline))
        };
        Ok(Self { dir, config, preprocessing, classifier })
    }

    /// The class names in the order of the logits.
    pub fn classes(&self) -> &[String] {
        &self.classifier.classes
    }

    /// Replaces the views of each image, which are `augment.tta` of the run's config at first.
    ///
    /// # Errors
    /// The errors of [`TestTime::new`].
    pub fn set_tta(&mut self, tta: &[View]) -> Result<()> {
        self.config.augment.tta = tta.to_vec();
        self.classifier.views = TestTime::new(&self.config)?;
        Ok(())
    }

    /// Opens the run's dataset, or another one with the same classes.
    ///
    /// # Errors
    /// The errors of [`tallow_data::open`].
    pub fn splits(&self, spec: Option<&str>) -> Result<Splits> {
        let mut options = self.config.open_options(Some(self.classes().to_vec()));
        if spec.is_some() {
            // The division and the reading of the run's own data do not apply to other data.
            (options.fold, options.stream, options.samples_per_epoch) = (None, false, None);
        }
        Ok(tallow_data::open(spec.unwrap_or(&self.config.data.spec), &options)?)
    }

    /// The samples that a fold of a cross-validation holds out.
    ///
    /// # Errors
    /// [`Error::NotAFold`]; those of [`tallow_data::open`].
    pub fn held_out(&self) -> Result<Arc<dyn Dataset>> {
        let options = self.config.open_options(Some(self.classes().to_vec()));
        tallow_data::open_held_out(&self.config.data.spec, &options)?
            .ok_or_else(|| Error::NotAFold { path: self.dir.path().to_owned() })
    }

    /// The logits of every sample.
    ///
    /// # Errors
    /// The errors of [`predict`](crate::predict); [`Error::MultiLabelData`].
    pub fn predictions(&self, dataset: Arc<dyn Dataset>) -> Result<Predictions> {
        if dataset.is_multi_label() && !self.config.data.multi_label {
            return Err(Error::MultiLabelData { path: self.dir.path().to_owned() });
        }
        self.classifier.predictions(&self.loader(dataset)?)
    }

    /// The backbone's features of every sample that can be read.
    ///
    /// # Errors
    /// The errors of [`embed`](fn@crate::embed).
    pub fn features(&self, dataset: Arc<dyn Dataset>) -> Result<Features> {
        self.classifier.features(&self.loader(dataset)?)
    }

    /// Every sample that can be read as the model sees it, `[n, c, h, w]` per batch.
    ///
    /// # Errors
    /// No samples; in the iterator, an image that cannot be read.
    pub fn batches(&self, dataset: Arc<dyn Dataset>) -> Result<impl Iterator<Item = Result<Tensor>>> {
        Ok(Classifier::batches(self.loader(dataset)?))
    }

    /// Writes a run directory for inference: the config, the classes, and the weights in memory.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written.
    pub fn copy_to(&self, path: &Path) -> Result<RunDir> {
        let copy = self.begin_copy(path)?;
        copy.complete()?;
        Ok(copy)
    }

    /// [`copy_to`](Self::copy_to) for a caller that writes further files: the folder cannot be opened before
    /// [`RunDir::complete`].
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to).
    pub fn begin_copy(&self, path: &Path) -> Result<RunDir> {
        let copy = RunDir::begin(path, self.classes())?;
        copy.write_config(&self.dir.config_text()?)?;
        if let Ok(environment) = std::fs::read(self.dir.path().join("environment.json")) {
            copy.write("environment.json", &environment)?;
        }
        let weights = vec![(MODEL, self.classifier.built.store.state_dict())];
        checkpoint::save(&copy.best(), &self.config.model.name, &serde_json::json!({}), weights)?;
        Ok(copy)
    }

    /// The description of the model for an exported file.
    pub fn checkpoint_info(&self) -> CheckpointInfo {
        let mut info = CheckpointInfo::new(&self.classifier.built.info, self.classes().to_vec());
        info.preprocessing = self.preprocessing.clone();
        info
    }

    /// Writes `model.safetensors` and `config.json` in timm's layout into the run directory. `steps` are the optimiser steps
    /// that the model was trained for.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn export(&self, steps: u64) -> Result<()> {
        let mut info = self.checkpoint_info();
        info.num_batches_tracked = i64::try_from(steps).unwrap_or(i64::MAX);
        Ok(tallow_export::save(self.dir.path(), &self.classifier.built.store, &info)?)
    }

    /// The samples in order, behind the evaluation pipeline.
    fn loader(&self, dataset: Arc<dyn Dataset>) -> Result<Loader> {
        let config = LoaderConfig {
            batch_size: self.config.train.eval_batch_size,
            sampler: Sampler::Sequential,
            workers: self.config.data.workers,
            on_corrupt: self.config.data.on_corrupt,
            ..LoaderConfig::default()
        };
        Ok(Loader::new(dataset, self.classifier.pipeline.clone(), config)?)
    }

    /// The loader of training batches: augmented, in the order of `data.sampler`.
    ///
    /// # Errors
    /// A run without `augment.train`; no samples.
    pub(crate) fn train_loader(&self, splits: &Splits) -> Result<Loader> {
        let RunSections { data, augment, train, .. } = &self.config;
        let (Some(ops), Some(mean), Some(std)) = (&augment.train, &augment.mean, &augment.std) else {
            return Err(Error::IncompleteConfig {
                path: self.dir.config_path(),
                missing: "augment.train, mean or std",
            });
        };
        let first = splits.first_image(data.on_corrupt)?;
        let image = Size { height: first.height() as usize, width: first.width() as usize };
        let normalization = Normalization { mean: mean.clone(), std: std.clone() };
        let pipeline = Arc::new(build_pipeline(ops, splits.train.channels(), &normalization, image)?);
        let config = LoaderConfig {
            batch_size: train.batch_size,
            drop_last: train.drop_last,
            sampler: data.sampler.clone(),
            mix: augment.mix.clone(),
            prefetch: data.prefetch,
            workers: data.workers,
            seed: train.seed,
            on_corrupt: data.on_corrupt,
        };
        Ok(match &splits.stream {
            Some(stream) => Loader::streamed(stream.clone(), pipeline, config)?,
            None => Loader::new(splits.train.clone(), pipeline, config)?,
        })
    }
}
