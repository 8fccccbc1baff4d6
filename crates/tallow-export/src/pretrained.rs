//! Pretrained weights found by a specification: a file, a folder, a repository of the Hugging Face Hub, or timm's weights by name.

use std::path::{Path, PathBuf};

use candle_core::Device;
use tallow_augment::Preprocessing;
use tallow_hub::Hub;
use tallow_models::{BuiltModel, ModelConfig, ModelInfo, Preset};

use crate::error::{Error, Result};
use crate::read::{INDEX_SUFFIX, StateDict, index_beside};
use crate::timm::adapt::other_channels;
use crate::timm::{
    CONFIG_FILE, CheckpointInfo, LoadOptions, Matched, PretrainedReport, WEIGHTS_FILE, load_pretrained, matched,
    preset_preprocessing, read_config,
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

    /// Checks that the weights are not known to be of another architecture than `model`, a name or an alias.
    ///
    /// # Errors
    /// [`Error::OtherModel`].
    pub fn check(&self, model: &str) -> Result<()> {
        let canonical = tallow_models::find(model).map_or(model, |preset| preset.name);
        match &self.info {
            Some(info) if info.architecture != canonical => Err(Error::OtherModel {
                path: self.weights.clone(),
                found: info.architecture.clone(),
                expected: canonical.to_owned(),
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
        let preset = tallow_models::find(model).map_err(|source| self.model_error(source))?;
        Ok(self.preprocessing_for(preset, channels, preset.input_size))
    }

    fn preprocessing_for(&self, preset: &Preset, channels: usize, size: (usize, usize)) -> Preprocessing {
        match &self.info {
            Some(info) => {
                let expected = info.preprocessing.clone();
                Preprocessing { normalization: expected.normalization.for_channels(channels), ..expected }
            }
            None => preset_preprocessing(preset, channels, size),
        }
    }

    /// Builds the model of the weights and loads them, for inference. Their own shapes decide the number of classes and of
    /// channels, and without a `config.json` the input size of a model with a position embedding: nothing is adapted to the
    /// architecture's defaults.
    ///
    /// # Errors
    /// Those of [`StateDict::read`] and [`load_pretrained`]; weights for another number of classes than asked for, or without
    /// a part of the model; an unknown architecture.
    pub fn open(&self, model: &str, options: InferenceOptions) -> Result<PretrainedModel> {
        self.check(model)?;
        let preset = tallow_models::find(model).map_err(|source| self.model_error(source))?;
        let file = StateDict::read(&self.weights)?;
        let build = |config: &ModelConfig| {
            tallow_models::build_zeroed(model, config, &Device::Cpu).map_err(|source| self.model_error(source))
        };
        let mut config = self.info.as_ref().map_or_else(|| preset.config(), |info| info.model.clone());
        let first = build(&config)?;
        let sizes = FileSizes::of(&file, &first, options.by_order)?;
        config.in_chans = sizes.in_chans.unwrap_or(config.in_chans);
        config.num_classes = sizes.num_classes.or(options.num_classes).unwrap_or(config.num_classes);
        if let (Some(expected), Some(found)) = (options.num_classes, sizes.num_classes)
            && expected != found
        {
            return Err(Error::OtherClasses { path: self.weights.clone(), expected, found });
        }
        if let Some(size) = options.input_size.or(sizes.input_size.filter(|_| self.info.is_none())) {
            config.input_size = size;
        }
        let built = if config == first.info.config { first } else { build(&config)? };
        let load = LoadOptions { by_order: options.by_order, keep_channels: true, allow_mismatch: false };
        let report = load_pretrained(&file, &built, load)?;
        if !report.is_complete() {
            let names = [report.fresh, report.missing, report.mismatched].concat();
            return Err(Error::Incomplete { path: self.weights.clone(), names });
        }
        let known = self.info.as_ref().map_or(&[][..], |info| &info.label_names);
        if !known.is_empty() && known.len() != config.num_classes {
            let (expected, found) = (known.len(), config.num_classes);
            return Err(Error::OtherClasses { path: self.weights.clone(), expected, found });
        }
        let preprocessing = self.preprocessing_for(preset, config.in_chans, config.input_size);
        Ok(PretrainedModel { built, report, preprocessing })
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

/// Options of [`Pretrained::open`].
#[derive(Debug, Clone, Copy, Default)]
pub struct InferenceOptions {
    /// The number of classes that the weights must have, if it is known.
    pub num_classes: Option<usize>,
    /// Whether tensors are matched by their order in the file instead of their names.
    pub by_order: bool,
    /// Height and width of the images, in pixels; by default those of `config.json` or of the weights.
    pub input_size: Option<(usize, usize)>,
}

/// A model with its weights: the result of [`Pretrained::open`].
#[derive(Debug)]
pub struct PretrainedModel {
    /// The model.
    pub built: BuiltModel,
    /// How the weights were loaded.
    pub report: PretrainedReport,
    /// The preprocessing that the weights expect.
    pub preprocessing: Preprocessing,
}

/// What the shapes in a file tell about its model.
#[derive(Debug, Default)]
struct FileSizes {
    num_classes: Option<usize>,
    in_chans: Option<usize>,
    input_size: Option<(usize, usize)>,
}

impl FileSizes {
    /// The sizes of a file, matched with a model of the same architecture.
    fn of(file: &StateDict, built: &BuiltModel, by_order: bool) -> Result<FileSizes> {
        let state = built.store.state_dict();
        let Matched { fitted, pairs, .. } = matched(file, built, &state, by_order)?;
        let ModelInfo { preset, config, .. } = &built.info;
        let mut sizes = FileSizes::default();
        for ((name, own), index) in state.iter().zip(pairs) {
            let (Some(index), own) = (index, own.dims()) else { continue };
            let found = fitted.file.entries[index].shape();
            if *name == format!("{}.weight", preset.first_conv) && other_channels(found, own) {
                sizes.in_chans = Some(found[1]);
            }
            if *name == format!("{}.weight", preset.classifier) && found.len() == own.len() && found[1..] == own[1..] {
                sizes.num_classes = Some(found[0]);
            }
            if preset.fixed_input_size && name == "pos_embed" && found.len() == 3 && own.len() == 3 {
                sizes.input_size = square(found[1], own[1], config.patch_size.unwrap_or(preset.size_multiple), config);
            }
        }
        Ok(sizes)
    }
}

/// The size of square images with `found` rows of position embeddings, where the model has `own` rows for its own size.
fn square(found: usize, own: usize, patch: usize, config: &ModelConfig) -> Option<(usize, usize)> {
    let (h, w) = config.input_size;
    let patches = (h / patch.max(1)) * (w / patch.max(1));
    let tokens = own.checked_sub(patches).filter(|tokens| *tokens <= 2)?;
    let found = found.checked_sub(tokens)?;
    let side = found.isqrt();
    (side > 0 && side * side == found && found != patches).then(|| (side * patch, side * patch))
}

/// The repository of timm's weights, such as `resnet18.a1_in1k`: the name of an architecture and a tag, or a name that stood
/// for both before, such as `tv_resnet50`; unless a file has this name.
fn timm_repository(spec: &str) -> Option<String> {
    let former = tallow_models::alias(spec).and_then(|alias| Some((alias.preset, alias.tag?)));
    let Some((model, tag)) = spec.split_once('.') else {
        let (preset, tag) = former?;
        return (!Path::new(spec).exists()).then(|| format!("timm/{preset}.{tag}"));
    };
    let file = ["safetensors", "pth", "pt", "bin"].contains(&tag);
    let known = tallow_models::find(model).is_ok() && !file && !tag.contains(['.', '/']);
    (known && !Path::new(spec).exists()).then(|| format!("timm/{spec}"))
}

/// A weights file, or the one in a folder; of a shard, the index of all.
fn local(path: &Path) -> Result<PathBuf> {
    if path.is_dir() {
        let files = [WEIGHTS_FILE, "pytorch_model.bin"];
        let names = files.into_iter().flat_map(|name| [name.to_owned(), format!("{name}{INDEX_SUFFIX}")]);
        let found = names.map(|name| path.join(name)).find(|file| file.is_file());
        return found.ok_or_else(|| {
            let expected = format!("{} or {INDEX_SUFFIX} of their shards", files.join(" or "));
            Error::NoWeightsFile { path: path.to_owned(), expected }
        });
    }
    if !path.is_file() {
        return Err(Error::NotFound { path: path.to_owned() });
    }
    Ok(index_beside(path)?.unwrap_or_else(|| path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_of_timm_are_told_from_files() {
        assert_eq!(timm_repository("resnet18.a1_in1k").as_deref(), Some("timm/resnet18.a1_in1k"));
        assert_eq!(timm_repository("tv_resnet50").as_deref(), Some("timm/resnet50.tv_in1k"));
        for file in ["vit_b_16", "resnet18.pth", "resnet18.safetensors", "runs/r18", "resnet18", "weights.a1_in1k"] {
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
