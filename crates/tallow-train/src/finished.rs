//! A run that has weights, opened to be used: its model with its classes and its own way of seeing images.

use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use tallow_augment::{Pipeline, Preprocessing};
use tallow_data::{Dataset, Loader, LoaderConfig, Sampler, Splits};
use tallow_models::Built;

use crate::batch::images;
use crate::checkpoint::{self, Position, load_weights};
use crate::{Error, Features, Predictions, Result, RunConfig, RunDir, TestTime, View, embed, predict};

/// A run that has weights: its model, classes and preprocessing.
pub struct Finished {
    /// Its folder.
    pub run: RunDir,
    /// Its complete config.
    pub config: RunConfig,
    /// The class names in the order of the logits.
    pub classes: Vec<String>,
    /// The model.
    pub built: Built,
    /// What evaluation does to an image.
    pub preprocessing: Preprocessing,
    /// The pipeline of [`preprocessing`](Self::preprocessing).
    pub pipeline: Arc<Pipeline>,
    views: TestTime,
}

impl Finished {
    /// Opens a run directory with its best weights.
    ///
    /// # Errors
    /// No run, or one without a checkpoint; a config that was edited into something else.
    pub fn open(path: &Path) -> Result<Self> {
        let run = RunDir::open(path)?;
        let weights = run.weights()?;
        Self::with_weights(run, &weights)
    }

    /// Opens a run with the weights of one of its checkpoints.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_weights(run: RunDir, weights: &Path) -> Result<Self> {
        let (config, classes) = (run.config(&[])?, run.classes()?);
        let Some(preprocessing) = config.preprocessing()? else {
            return Err(Error::Broken {
                path: run.path().join("config.toml"),
                reason: "it lacks augment.eval, mean or std; was it edited?".to_owned(),
            });
        };
        let pipeline = Arc::new(preprocessing.pipeline()?);
        let model = &config.model;
        let built = tallow_models::build(&model.name, &model.config, config.train.seed, &candle_core::Device::Cpu)?;
        load_weights(weights, &built.store)?;
        let views = TestTime::new(&config)?;
        Ok(Finished { run, config, classes, built, preprocessing, pipeline, views })
    }

    /// Takes other views of each image than the run's own `augment.tta`.
    ///
    /// # Errors
    /// Those of [`TestTime::new`].
    pub fn set_tta(&mut self, tta: &[View]) -> Result<()> {
        self.config.augment.tta = tta.to_vec();
        self.views = TestTime::new(&self.config)?;
        Ok(())
    }

    /// How it looks at each image.
    pub(crate) fn views(&self) -> &TestTime {
        &self.views
    }

    /// Opens the run's dataset, or another one with the same classes.
    ///
    /// # Errors
    /// Those of [`tallow_data::open`].
    pub fn splits(&self, spec: Option<&str>) -> Result<Splits> {
        let mut options = self.config.open_options(Some(self.classes.clone()));
        if spec.is_some() {
            // How the run's own data are divided and read is no matter there.
            (options.fold, options.stream, options.samples_per_epoch) = (None, false, None);
        }
        Ok(tallow_data::open(spec.unwrap_or(&self.config.data.spec), &options)?)
    }

    /// The samples that a fold of a cross-validation was not trained on.
    ///
    /// # Errors
    /// A run that is no such fold; those of [`tallow_data::open`].
    pub fn held_out(&self) -> Result<Arc<dyn Dataset>> {
        let options = self.config.open_options(Some(self.classes.clone()));
        tallow_data::open_held_out(&self.config.data.spec, &options)?.ok_or_else(|| {
            let run = self.run.path().display();
            Error::Mismatch(format!("{run}: holds no fold out: it is no run of cargo xtask crossval"))
        })
    }

    /// The model's logits of every sample.
    ///
    /// # Errors
    /// Those of [`predict`]; samples of several labels where the model was trained on one.
    pub fn predictions(&self, dataset: Arc<dyn Dataset>) -> Result<Predictions> {
        if dataset.is_multi_label() && !self.config.data.multi_label {
            let run = self.run.path().display();
            return Err(Error::Mismatch(format!(
                "{run}: it was trained on one label a sample and cannot be measured on several: give data with one"
            )));
        }
        predict(self.built.model.as_ref(), &self.loader(dataset)?, &self.views)
    }

    /// What the model's backbone makes of every sample that can be read.
    ///
    /// # Errors
    /// Those of [`embed`](fn@embed).
    pub fn features(&self, dataset: Arc<dyn Dataset>) -> Result<Features> {
        embed(&self.built, &self.loader(dataset)?)
    }

    /// Every sample that can be read as the model sees it, `[n, c, h, w]` a batch.
    ///
    /// # Errors
    /// No samples; in the iterator an image that cannot be read.
    pub fn batches(&self, dataset: Arc<dyn Dataset>) -> Result<impl Iterator<Item = Result<Tensor>>> {
        Ok(self.loader(dataset)?.epoch(0, 0).map(|batch| {
            let batch = batch?;
            images(batch.pixels, batch.shape)
        }))
    }

    /// Makes a run directory of what it takes to use this run: config, classes, and the weights it was opened with.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written.
    pub fn copy_to(&self, path: &Path) -> Result<RunDir> {
        let copy = RunDir::create(path, &self.config, &self.classes)?;
        if let Ok(environment) = std::fs::read(self.run.path().join("environment.json")) {
            copy.write("environment.json", &environment)?;
        }
        checkpoint::save(&copy.best(), &self.config.model.name, &Position::default(), &self.built.store, None, None)?;
        Ok(copy)
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
}
