//! A small training run on bundled images, for the tests to vary.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use tallow_data::{Dataset, OpenOptions, Splits, Subset};
use tallow_models::BuiltModel;
use tallow_optim::loss::{Loss, LossContext, Targets};
use tallow_run::RunDir;
use tallow_train::*;

/// The first `count` bundled training images.
pub fn images(count: usize) -> Arc<dyn Dataset> {
    let splits = tallow_data::open("fashion-mnist-6k", &OpenOptions::default()).expect("the bundled images");
    Arc::new(Subset::new(splits.train, (0..count).collect()).expect("a subset"))
}

/// A config of defaults, a narrow resnet9 and `settings`.
pub fn config(settings: &[&str]) -> RunConfig {
    let common = ["model.width=4", "augment.mean=[0.2860]", "augment.std=[0.3530]", "train.batch_size=16"];
    let settings: Vec<Setting> = common.iter().chain(settings).map(|text| Setting::parse(text).expect(text)).collect();
    load("default", &settings).expect("the config")
}

pub struct Run<'a> {
    pub config: RunConfig,
    pub train: Arc<dyn Dataset>,
    pub validation: Option<Arc<dyn Dataset>>,
    pub folder: &'a Path,
    pub stop: &'a AtomicBool,
    /// Changes the model before it is trained.
    pub prepare: &'a dyn Fn(BuiltModel) -> BuiltModel,
}

impl Run<'_> {
    /// Trains with the config's own loss, wrapped by `wrap`; starts or resumes the run in `folder`.
    pub fn fit(self, wrap: impl Fn(Box<dyn Loss>) -> Box<dyn Loss>) -> Result<(FitReport, BuiltModel)> {
        let splits = Splits { validation: self.validation.clone(), ..Splits::of(self.train.clone()) };
        let resolved = resolve(self.config, &splits)?;
        let config = &resolved.config;
        let built = tallow_models::build(&config.model.name, &config.model.config, config.train.seed, &Device::Cpu)?;
        let built = (self.prepare)(built);
        let run = match RunDir::open(self.folder) {
            Ok(run) => run,
            Err(_) => RunDir::create(self.folder, &config.to_toml()?, self.train.class_names())?,
        };
        let train = train_loader(&resolved, &splits)?;
        let context = LossContext { class_counts: class_counts(splits.train.as_ref()) };
        let chooses = self.validation.is_some();
        let eval = self.validation.map(|dataset| eval_loader(&resolved, dataset)).transpose()?;
        let report = fit(Training {
            config,
            dir: &run,
            network: Network::from(&built),
            loss: wrap(config.loss.build(&context)?).as_ref(),
            optimizer: config.optim.build(&built.store, Some(built.info.preset.classifier)).as_mut(),
            train: Split { name: "train", loader: &train },
            eval: eval.as_ref().map(|loader| Split { name: "validation", loader }),
            eval_chooses: chooses,
            changes: &[],
            picture: None,
            stop: self.stop,
            quiet: true,
            after_epoch: None,
        })?;
        Ok((report, built))
    }
}

/// A run without frills.
pub fn run<'a>(config: RunConfig, train: Arc<dyn Dataset>, folder: &'a Path, stop: &'a AtomicBool) -> Run<'a> {
    Run { config, train, validation: None, folder, stop, prepare: &|built| built }
}

/// Never stops.
pub static GO: AtomicBool = AtomicBool::new(false);

/// Counts the calls of a loss, and does something at one of them.
pub struct Counting<'a> {
    pub inner: Box<dyn Loss>,
    pub calls: RefCell<Vec<f32>>,
    pub at: usize,
    pub then: Then<'a>,
}

pub enum Then<'a> {
    /// Asks the run to stop, as Ctrl-C does.
    Stop(&'a AtomicBool),
    /// Fails, as a kill at this moment would: nothing more is saved.
    Die,
    /// Gives a NaN.
    Nan,
}

impl Loss for Counting<'_> {
    fn start_epoch(&self, epoch: u64) {
        self.inner.start_epoch(epoch);
    }

    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> tallow_optim::Result<Tensor> {
        let loss = self.inner.loss(logits, targets)?;
        self.calls.borrow_mut().push(loss.to_scalar()?);
        if self.calls.borrow().len() != self.at {
            return Ok(loss);
        }
        match self.then {
            Then::Stop(stop) => stop.store(true, Ordering::Relaxed),
            Then::Die => return Err(candle_core::Error::Msg("killed".to_owned()).into()),
            Then::Nan => return Ok((loss * f64::NAN)?),
        }
        Ok(loss)
    }
}

/// All tensors of a checkpoint: weights, average, optimiser state.
pub fn tensors(run: &Path) -> BTreeMap<String, Vec<f32>> {
    let path = run.join("checkpoints/last.safetensors");
    let all: HashMap<String, Tensor> = candle_core::safetensors::load(path, &Device::Cpu).expect("a checkpoint");
    let values = |tensor: Tensor| {
        let tensor = tensor.to_dtype(candle_core::DType::F32).expect("numbers");
        tensor.flatten_all().and_then(|t| t.to_vec1()).expect("values")
    };
    all.into_iter().map(|(name, tensor)| (name, values(tensor))).collect()
}
