//! Trained weights to start from or to use: a file, a folder, a repository of the Hugging Face Hub, or timm's weights by name.

use std::path::{Path, PathBuf};

use serde_json::json;
use tallow_augment::{PipelineConfig, Preprocessing, Size};
use tallow_data::Splits;
use tallow_export::{CheckpointInfo, LoadOptions, PretrainedReport, StateDict, load_pretrained, preset_preprocessing};
use tallow_hub::Hub;
use tallow_models::{Built, ModelConfig};
use tallow_run::RunDir;

use crate::{Error, Result, RunConfig};

/// Weights that were found, with the `config.json` beside them.
pub struct Pretrained {
    weights: PathBuf,
    /// The content of `config.json` beside the weights, if there is one.
    pub info: Option<CheckpointInfo>,
}

impl Pretrained {
    /// Finds the weights that `spec` names: `hf:OWNER/REPO[@REVISION]`, timm's `MODEL.TAG`, a weights file, or a folder with
    /// one. The weights themselves are not read yet.
    ///
    /// # Errors
    /// No such file, folder or repository; a `config.json` that cannot be read.
    pub fn find(spec: &str) -> Result<Self> {
        let repository = spec.strip_prefix("hf:").or(spec.strip_prefix("hf-hub:")).map(str::to_owned);
        let (weights, config) = match repository.or_else(|| timm_repository(spec)) {
            Some(repository) => {
                let fetched = Hub::from_env().fetch(&repository)?;
                (fetched.weights, fetched.config)
            }
            None => {
                let weights = local(Path::new(spec))?;
                let config = weights.with_file_name(tallow_export::CONFIG_FILE);
                (weights, Some(config).filter(|config| config.is_file()))
            }
        };
        let folder = config.as_ref().and_then(|config| config.parent());
        let mut info = folder.map(tallow_export::read_config).transpose()?;
        // The config.json of runs of earlier versions has the preprocessing of the architecture's own weights.
        if let (Some(info), Some(folder)) = (&mut info, folder)
            && let Ok(run) = RunDir::open(folder)
            && let Some(preprocessing) = run.sections()?.preprocessing()?
        {
            info.preprocessing = preprocessing;
        }
        Ok(Pretrained { weights, info })
    }

    /// The preprocessing that the weights expect of images with `channels` channels: that of `config.json`, else the
    /// architecture's default.
    ///
    /// # Errors
    /// An unknown architecture.
    pub fn preprocessing(&self, model: &str, channels: usize) -> Result<Preprocessing> {
        let Some(info) = &self.info else {
            let preset = tallow_models::find(model)?;
            return Ok(preset_preprocessing(preset, channels, preset.input_size));
        };
        let expected = info.preprocessing.clone();
        Ok(Preprocessing { normalization: expected.normalization.for_channels(channels), ..expected })
    }

    /// Fails if the weights are known to be of another architecture than `model`.
    ///
    /// # Errors
    /// [`Error::OtherArchitecture`].
    pub fn check(&self, model: &str) -> Result<()> {
        match &self.info {
            Some(info) if info.architecture != model => Err(Error::OtherArchitecture {
                path: self.weights.clone(),
                found: info.architecture.clone(),
                expected: model.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Completes a run's config with the preprocessing that the weights expect, where the config has none: mean and standard
    /// deviation, and for images of more than 64 pixels per side the size and the interpolation.
    ///
    /// # Errors
    /// Weights of another architecture.
    pub fn complete(&self, config: &mut RunConfig, splits: &Splits) -> Result<()> {
        self.check(&config.model.name)?;
        let expected = self.preprocessing(&config.model.name, splits.train.channels())?;
        let augment = &mut config.augment;
        if augment.mean.is_none() && augment.std.is_none() {
            augment.mean = Some(expected.normalization.mean.clone());
            augment.std = Some(expected.normalization.std.clone());
        }
        let Ok(first) = splits.first_image(config.data.on_corrupt) else {
            return Ok(()); // the loader reports it
        };
        let image = Size { height: first.height() as usize, width: first.width() as usize };
        if !Preprocessing::is_small(image) {
            let Preprocessing { size: Size { height, width }, interpolation, .. } = expected;
            if augment.train.is_none() && !augment.train_as_eval {
                augment.train = Some(pipeline(json!([
                    { "op": "RandomResizedCrop", "size": [height, width], "interpolation": interpolation },
                    { "op": "RandomHorizontalFlip" },
                ]))?);
            }
            if augment.eval.is_none() {
                augment.eval = Some(expected.ops());
            }
        }
        Ok(())
    }

    /// Reads the weights and gives them to a model.
    ///
    /// # Errors
    /// A file that cannot be read; weights that do not fit the model.
    pub fn load(&self, built: &Built, options: LoadOptions) -> Result<PretrainedReport> {
        Ok(load_pretrained(&StateDict::read(&self.weights)?, built, options)?)
    }

    /// Builds the model that the weights are for, with initial weights. `classes` is used where no `config.json` says how many
    /// there are.
    ///
    /// # Errors
    /// An unknown architecture.
    pub fn build(&self, model: &str, classes: Option<usize>) -> Result<Built> {
        let preset = tallow_models::find(model)?;
        let config = match &self.info {
            Some(info) => info.model.clone(),
            None => ModelConfig { num_classes: classes.unwrap_or(preset.num_classes), ..preset.config() },
        };
        Ok(tallow_models::build(model, &config, 0, &candle_core::Device::Cpu)?)
    }
}

fn pipeline(ops: serde_json::Value) -> Result<PipelineConfig> {
    serde_json::from_value(ops)
        .map_err(|error| Error::Mismatch(format!("preprocessing of the pretrained weights: {error}")))
}

/// The repository of timm's weights, such as `resnet18.a1_in1k`: the name of an architecture and a tag, unless a file has this
/// name.
fn timm_repository(spec: &str) -> Option<String> {
    let (model, tag) = spec.split_once('.')?;
    let file = ["safetensors", "pth", "pt", "bin"].contains(&tag);
    let known = tallow_models::find(model).is_ok() && !file && !tag.contains(['.', '/']);
    (known && !Path::new(spec).exists()).then(|| format!("timm/{spec}"))
}

/// A weights file, or the one in a folder.
fn local(path: &Path) -> Result<PathBuf> {
    if path.is_dir() {
        let names = [tallow_export::WEIGHTS_FILE, "pytorch_model.bin"];
        let found = names.iter().map(|name| path.join(name)).find(|file| file.is_file());
        return found.ok_or_else(|| Error::NoWeightsInFolder { path: path.to_owned(), expected: names.join(" or ") });
    }
    if !path.is_file() {
        return Err(Error::NoWeights { path: path.to_owned() });
    }
    Ok(path.to_owned())
}
