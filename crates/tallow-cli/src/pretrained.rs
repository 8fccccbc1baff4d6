//! Trained weights as a command's argument: a file, a folder, or a repository on the Hugging Face Hub.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tallow_augment::PipelineConfig;
use tallow_data::Splits;
use tallow_export::{CheckpointInfo, Hub, LoadOptions, Preprocessing, PretrainedReport, StateDict, load_pretrained};
use tallow_models::{Built, ModelConfig};
use tallow_train::RunConfig;

/// Images up to this side are trained on as they are; `tallow_train::resolve` has the same limit.
const SMALL: u32 = 64;

/// Weights, and what is known about them.
pub struct Pretrained {
    weights: PathBuf,
    /// What `config.json` beside them says.
    pub info: Option<CheckpointInfo>,
}

impl Pretrained {
    /// Finds what `spec` names: `hf:OWNER/REPO[@REVISION]`, timm's `MODEL.TAG`, a weights file, or a folder with one. A
    /// `config.json` beside the weights is read.
    pub fn find(spec: &str) -> Result<Self> {
        let repository = spec.strip_prefix("hf:").or(spec.strip_prefix("hf-hub:")).map(str::to_owned);
        let (weights, config) = match repository.or_else(|| timm_repository(spec)) {
            Some(repository) => {
                let fetched = Hub::from_env().model(&repository)?;
                (fetched.weights, fetched.config)
            }
            None => {
                let weights = local(Path::new(spec))?;
                let config = weights.with_file_name(tallow_export::CONFIG_FILE);
                (weights, Some(config).filter(|config| config.is_file()))
            }
        };
        let folder = config.as_ref().and_then(|config| config.parent());
        let info = folder.map(tallow_export::read_config).transpose()?;
        Ok(Pretrained { weights, info })
    }

    /// What the weights expect of images of `channels` channels: as `config.json` says, else as the architecture's own
    /// weights do.
    pub fn preprocessing(&self, model: &str, channels: usize) -> Result<(Preprocessing, (usize, usize))> {
        if let Some(info) = &self.info {
            let mut preprocessing = info.preprocessing.clone();
            for values in [&mut preprocessing.mean, &mut preprocessing.std] {
                *values = per_channel(values, channels);
            }
            return Ok((preprocessing, info.model.input_size));
        }
        let preset = tallow_models::find(model)?;
        let preprocessing = Preprocessing {
            interpolation: preset.interpolation.to_owned(),
            crop_pct: preset.crop_pct,
            mean: per_channel(preset.mean, channels),
            std: per_channel(preset.std, channels),
            ..Preprocessing::default()
        };
        Ok((preprocessing, preset.input_size))
    }

    /// Completes a run's config with what the weights expect of images, where it says nothing itself: mean and standard
    /// deviation, and for images of more than 64 pixels a side the size and the interpolation.
    pub fn complete(&self, config: &mut RunConfig, splits: &Splits) -> Result<()> {
        if let Some(info) = &self.info
            && info.architecture != config.model.name
        {
            let (found, asked) = (&info.architecture, &config.model.name);
            bail!("{}: these are weights of {found}, not of {asked}: add --model {found}", self.weights.display());
        }
        let (expected, (h, w)) = self.preprocessing(&config.model.name, splits.train.channels())?;
        let augment = &mut config.augment;
        if augment.mean.is_none() && augment.std.is_none() {
            augment.mean = Some(expected.mean.clone());
            augment.std = Some(expected.std.clone());
        }
        let Ok(first) = splits.first_image(config.data.on_corrupt) else {
            return Ok(()); // whoever trains on it says what is wrong
        };
        if first.width().max(first.height()) > SMALL {
            let interpolation = &expected.interpolation;
            if augment.train.is_none() && !augment.train_as_eval {
                augment.train = Some(pipeline(json!([
                    { "op": "RandomResizedCrop", "size": [h, w], "interpolation": interpolation },
                    { "op": "RandomHorizontalFlip" },
                ]))?);
            }
            if augment.eval.is_none() {
                augment.eval = Some(eval_pipeline(&expected, (h, w))?);
            }
        }
        Ok(())
    }

    /// Gives a model the weights.
    pub fn load(&self, built: &Built, options: LoadOptions) -> Result<PretrainedReport> {
        Ok(load_pretrained(&StateDict::read(&self.weights)?, built, options)?)
    }

    /// The model that the weights are for, as it was trained.
    pub fn build(&self, model: &str, classes: Option<usize>) -> Result<Built> {
        let preset = tallow_models::find(model)?;
        let config = match &self.info {
            Some(info) => info.model.clone(),
            None => ModelConfig { num_classes: classes.unwrap_or(preset.num_classes), ..preset.config() },
        };
        Ok(tallow_models::build(model, &config, 0, &candle_core::Device::Cpu)?)
    }
}

/// The names of so many classes, one a line of a file.
pub fn labels(path: &Path, count: usize) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    if names.len() != count {
        bail!("{}: {} names, the model has {count} classes", path.display(), names.len());
    }
    Ok(names)
}

/// The pipeline of evaluation: scaled to size / crop_pct by the short side, cropped at the centre.
pub fn eval_pipeline(expected: &Preprocessing, (h, w): (usize, usize)) -> Result<PipelineConfig> {
    let short = (h.min(w) as f32 / expected.crop_pct).floor() as usize;
    pipeline(json!([
        { "op": "Resize", "size": short, "interpolation": expected.interpolation },
        { "op": "CenterCrop", "size": [h, w] },
    ]))
}

fn pipeline(ops: serde_json::Value) -> Result<PipelineConfig> {
    serde_json::from_value(ops).context("the interpolation of the pretrained weights")
}

fn per_channel(values: &[f32], channels: usize) -> Vec<f32> {
    match values.len() {
        n if n == channels => values.to_vec(),
        n => vec![values.iter().sum::<f32>() / n.max(1) as f32; channels],
    }
}

/// The repository of timm's weights `resnet18.a1_in1k`: an architecture's name and a tag, where no file is called so.
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
        return found.with_context(|| format!("{}: there is no {} in it", path.display(), names.join(" or ")));
    }
    if !path.is_file() {
        bail!(
            "{}: there is no such file or folder; a repository on the Hub is written hf:OWNER/REPO, timm's weights \
             resnet18.a1_in1k",
            path.display()
        );
    }
    Ok(path.to_owned())
}
