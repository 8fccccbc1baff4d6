//! Pretrained weights found by a specification: a file, a folder, a repository of the Hugging Face Hub, or timm's weights by name.

use std::path::{Path, PathBuf};

use candle_core::Device;
use tallow_augment::Preprocessing;
use tallow_hub::Hub;
use tallow_models::{BuiltModel, ModelConfig};

use crate::error::{Error, Result};
use crate::read::StateDict;
use crate::timm::{
    CONFIG_FILE, CheckpointInfo, LoadOptions, PretrainedReport, WEIGHTS_FILE, load_pretrained, preset_preprocessing,
    read_config,
};

/// Weights that were found, with the `config.json` beside them. The weights themselves are not read yet.
#[derive(Debug, Clone)]
pub struct Pretrained {
    /// The weights file.
    pub weights: PathBuf,
    /// The content of `config.json` beside the weights, if there is one.
    pub info: Option<CheckpointInfo>,
}

impl Pretrained {
    /// Finds the weights that `spec` names: `hf:OWNER/REPO[@REVISION]`, timm's `MODEL.TAG`, a weights file, or a folder with
    /// one.
    ///
    /// # Errors
    /// No such file, folder or repository; a `config.json` that cannot be read.
    pub fn find(spec: &str) -> Result<Self> {
        let repository = spec.strip_prefix("hf:").or(spec.strip_prefix("hf-hub:")).map(str::to_owned);
        let (weights, config) = match repository.or_else(|| timm_repository(spec)) {
            Some(repository) => {
                let fetched = Hub::from_env().model(&repository)?;
                (fetched.weights, fetched.config)
            }
            None => {
                let weights = local(Path::new(spec))?;
                let config = weights.with_file_name(CONFIG_FILE);
                (weights, Some(config).filter(|config| config.is_file()))
            }
        };
        let folder = config.as_ref().and_then(|config| config.parent());
        let info = folder.map(read_config).transpose()?;
        Ok(Pretrained { weights, info })
    }

    /// Checks that the weights are not known to be of another architecture than `model`.
    ///
    /// # Errors
    /// [`Error::OtherModel`].
    pub fn check(&self, model: &str) -> Result<()> {
        match &self.info {
            Some(info) if info.architecture != model => Err(Error::OtherModel {
                path: self.weights.clone(),
                found: info.architecture.clone(),
                expected: model.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The preprocessing that the weights expect of images with `channels` channels: that of `config.json`, else the
    /// architecture's default.
    ///
    /// # Errors
    /// An unknown architecture.
    pub fn preprocessing(&self, model: &str, channels: usize) -> Result<Preprocessing> {
        let Some(info) = &self.info else {
            let preset = tallow_models::find(model).map_err(|source| self.model_error(source))?;
            return Ok(preset_preprocessing(preset, channels, preset.input_size));
        };
        let expected = info.preprocessing.clone();
        Ok(Preprocessing { normalization: expected.normalization.for_channels(channels), ..expected })
    }

    /// Builds the model of the weights, with initial values. `classes` is the number of classes where there is no `config.json`.
    ///
    /// # Errors
    /// An unknown architecture, or a configuration that it does not take.
    pub fn build(&self, model: &str, classes: Option<usize>) -> Result<BuiltModel> {
        let build = || {
            let preset = tallow_models::find(model)?;
            let config = match &self.info {
                Some(info) => info.model.clone(),
                None => ModelConfig { num_classes: classes.unwrap_or(preset.num_classes), ..preset.config() },
            };
            tallow_models::build(model, &config, 0, &Device::Cpu)
        };
        build().map_err(|source| self.model_error(source))
    }

    /// Reads the weights and loads them into a model.
    ///
    /// # Errors
    /// The errors of [`StateDict::read`] and [`load_pretrained`].
    pub fn load(&self, built: &BuiltModel, options: LoadOptions) -> Result<PretrainedReport> {
        load_pretrained(&StateDict::read(&self.weights)?, built, options)
    }

    fn model_error(&self, source: tallow_models::Error) -> Error {
        Error::Model { path: self.weights.clone(), source }
    }
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
        let names = [WEIGHTS_FILE, "pytorch_model.bin"];
        let found = names.iter().map(|name| path.join(name)).find(|file| file.is_file());
        return found.ok_or_else(|| Error::NoWeightsFile { path: path.to_owned(), expected: names.join(" or ") });
    }
    if !path.is_file() {
        return Err(Error::NotFound { path: path.to_owned() });
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_of_timm_are_told_from_files() {
        assert_eq!(timm_repository("resnet18.a1_in1k").as_deref(), Some("timm/resnet18.a1_in1k"));
        for file in ["resnet18.pth", "resnet18.safetensors", "runs/r18", "resnet18", "weights.a1_in1k"] {
            assert_eq!(timm_repository(file), None, "{file}");
        }
    }

    #[test]
    fn weights_that_are_not_there_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let spec = |name: &str| folder.path().join(name).display().to_string();
        assert!(matches!(Pretrained::find(&spec("nowhere")), Err(Error::NotFound { .. })));
        assert!(matches!(Pretrained::find(&spec("")), Err(Error::NoWeightsFile { .. })));
    }
}
