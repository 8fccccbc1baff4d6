//! From a config to a model that is ready to train: the one way in for every program that trains.
//!
//! [`setup`] opens the data, completes the config from pretrained weights and from the data, builds the model and loads the
//! weights. What follows is a method of [`Setup`]: training, a sweep over learning rates, one over batch sizes.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use tallow_data::Splits;
use tallow_export::{LoadOptions, PretrainedReport};
use tallow_infer::{TrainedRun, find_pretrained};
use tallow_models::BuiltModel;
use tallow_optim::{Loss, LossContext, Optimizer};
use tallow_run::RunDir;

use crate::batch_size::{BatchCost, measure_batch_sizes};
use crate::lr_find::{LrRange, LrSweep, lr_find};
use crate::pretrained::complete;
use crate::resume::changes;
use crate::{
    AfterEpoch, Change, FitReport, Network, Resolved, Result, RunConfig, Split, Training, augmented_grid, class_counts,
    eval_loader, fit, resolve, train_loader,
};

/// Everything that a training run starts from.
pub struct Setup {
    /// The data.
    pub splits: Splits,
    /// The complete config and the pipelines built from it.
    pub resolved: Resolved,
    /// The model, with its pretrained weights if the config names some.
    pub built: BuiltModel,
    /// The report of loading the pretrained weights.
    pub pretrained: Option<PretrainedReport>,
    /// The settings that differ from those of the run that continues.
    pub changes: Vec<Change>,
}

/// Opens the data of `config`, completes the config, builds the model and loads its pretrained weights. `resume` is the
/// directory of a run that continues: its classes keep their order, and once it has a checkpoint, the weights come from
/// there and pretrained ones are not loaded. Nothing is written.
///
/// # Errors
/// Data or weights that cannot be found or read; weights of another architecture; a config that does not fit the data; a
/// setting that a run cannot change on resuming ([`Error::CannotChange`](crate::Error::CannotChange)).
pub fn setup(config: RunConfig, resume: Option<&RunDir>) -> Result<Setup> {
    changes_of(&config, resume)?; // before the data are opened, which may take long
    let classes = resume.map(RunDir::classes).transpose()?;
    let splits = tallow_data::open(&config.data.spec, &config.open_options(classes))?;
    setup_on(config, splits, resume)
}

/// [`setup`] on data that are already open.
///
/// # Errors
/// As [`setup`].
pub fn setup_on(mut config: RunConfig, splits: Splits, resume: Option<&RunDir>) -> Result<Setup> {
    let changes = changes_of(&config, resume)?;
    let has_checkpoint = resume.is_some_and(RunDir::has_checkpoint);
    let spec = config.transfer.pretrained.clone().filter(|_| !has_checkpoint);
    let weights = spec.map(|spec| find_pretrained(&spec)).transpose()?;
    if let Some(weights) = &weights {
        complete(&mut config, weights, &splits)?;
    }
    let resolved = resolve(config, &splits)?;
    let built = build(&resolved.config)?;
    let transfer = &resolved.config.transfer;
    let options = LoadOptions { by_order: transfer.weights_by_order, allow_mismatch: transfer.allow_mismatch };
    let pretrained = weights.map(|weights| weights.load(&built, options)).transpose()?;
    Ok(Setup { splits, resolved, built, pretrained, changes })
}

/// The settings that differ from those of the run that continues, if one does.
fn changes_of(config: &RunConfig, resume: Option<&RunDir>) -> Result<Vec<Change>> {
    match resume {
        Some(dir) => changes(dir.path(), &RunConfig::of_run(dir, &[])?, config),
        None => Ok(Vec::new()),
    }
}

/// The model of a complete config, with initial weights.
fn build(config: &RunConfig) -> Result<BuiltModel> {
    Ok(tallow_models::build(&config.model.name, &config.model.config, config.train.seed, &Device::Cpu)?)
}

/// Options of a training run that are not part of its config.
pub struct FitOptions<'a> {
    /// Set it to end the run after the current step, with a checkpoint to resume from.
    pub stop: &'a AtomicBool,
    /// Whether nothing is shown on the screen.
    pub quiet: bool,
    /// Whether `augmented.png` and TensorBoard show training images as the network sees them.
    pub picture: bool,
    /// Called after each epoch: see [`Training::after_epoch`].
    pub after_epoch: Option<AfterEpoch<'a>>,
}

impl Default for FitOptions<'_> {
    /// Quiet, to the end.
    fn default() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self { stop: &NEVER, quiet: true, picture: true, after_epoch: None }
    }
}

impl Setup {
    /// The complete config.
    pub fn config(&self) -> &RunConfig {
        &self.resolved.config
    }

    /// The model as the loop sees it.
    pub fn network(&self) -> Network<'_> {
        Network::from(&self.built)
    }

    /// The loss of the config.
    ///
    /// # Errors
    /// Class weights that do not fit the data.
    pub fn loss(&self) -> Result<Box<dyn Loss>> {
        let class_counts = class_counts(self.splits.train.as_ref());
        Ok(self.config().loss.build(&LossContext { class_counts })?)
    }

    /// The optimiser of the config, for this model.
    pub fn optimizer(&self) -> Box<dyn Optimizer> {
        let network = self.network();
        self.config().optim.build(network.store, network.classifier)
    }

    /// Makes the directory of a new run and writes its config.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written.
    pub fn create_dir(&self, path: impl Into<PathBuf>) -> Result<RunDir> {
        Ok(RunDir::create(path, &self.config().to_toml()?, self.splits.train.class_names())?)
    }

    /// Trains the model, or continues the run in `dir`. After each epoch it evaluates the validation split, which chooses the
    /// best epoch; without one the test split, which is only reported.
    ///
    /// # Errors
    /// The errors of [`fit`](fn@fit).
    pub fn fit(&self, dir: &RunDir, options: FitOptions<'_>) -> Result<FitReport> {
        let train = train_loader(&self.resolved, &self.splits)?;
        let picture = options.picture.then(|| augmented_grid(&train, &self.resolved.train)).transpose()?;
        let (name, eval_chooses) =
            if self.splits.validation.is_some() { ("validation", true) } else { ("test", false) };
        let eval = self.splits.validation.clone().or(self.splits.test.clone());
        let eval = eval.map(|dataset| eval_loader(&self.resolved, dataset)).transpose()?;
        fit(Training {
            config: self.config(),
            dir,
            network: self.network(),
            loss: self.loss()?.as_ref(),
            optimizer: self.optimizer().as_mut(),
            train: Split { name: "train", loader: &train },
            eval: eval.as_ref().map(|loader| Split { name, loader }),
            eval_chooses,
            changes: &self.changes,
            picture,
            stop: options.stop,
            quiet: options.quiet,
            after_epoch: options.after_epoch.map(|after_epoch| -> AfterEpoch<'_> { after_epoch }),
        })
    }

    /// Trains with climbing learning rates: see [`lr_find`](fn@lr_find). The model is of no use afterwards.
    ///
    /// # Errors
    /// The errors of [`lr_find`](fn@lr_find).
    pub fn find_lr(&self, range: &LrRange) -> Result<LrSweep> {
        let loader = train_loader(&self.resolved, &self.splits)?;
        let (loss, mut optimizer) = (self.loss()?, self.optimizer());
        lr_find(range, self.network(), loss.as_ref(), optimizer.as_mut(), &loader, self.config())
    }

    /// Measures batch sizes on a model of its own: see [`measure_batch_sizes`].
    ///
    /// # Errors
    /// The errors of [`measure_batch_sizes`].
    pub fn measure_batch_sizes(&self, most_bytes: u64) -> Result<Vec<BatchCost>> {
        let built = build(self.config())?;
        let network = Network::from(&built);
        let loader = train_loader(&self.resolved, &self.splits)?;
        let (loss, mut optimizer) = (self.loss()?, self.config().optim.build(network.store, network.classifier));
        measure_batch_sizes(self.config(), network, loss.as_ref(), optimizer.as_mut(), &loader, most_bytes)
    }

    /// The run in `dir` with this model, without reading it back; and the data.
    ///
    /// # Errors
    /// The errors of [`TrainedRun::new`].
    pub fn into_trained_run(self, dir: RunDir) -> Result<(TrainedRun, Splits)> {
        let classes = self.splits.train.class_names().to_vec();
        Ok((TrainedRun::new(dir, self.resolved.config.sections(), classes, self.built)?, self.splits))
    }
}
