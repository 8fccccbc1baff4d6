//! The description of a checkpoint: architecture, classes, preprocessing.

use tallow_augment::{CropMode, Interpolation, Normalization, Preprocessing, Size};
use tallow_models::{ModelConfig, ModelInfo, Preset};

/// The description of a checkpoint, as `config.json` and the metadata of an ONNX file hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointInfo {
    /// The architecture's name: `resnet18`.
    pub architecture: String,
    /// The options that the model is built with.
    pub model: ModelConfig,
    /// The number of features that the classifier takes.
    pub num_features: usize,
    /// The pooling before the classifier: `avg` or `max`.
    pub global_pool: String,
    /// The module of the first convolution.
    pub first_conv: String,
    /// The module of the classifier.
    pub classifier: String,
    /// The classes' names in the order of the logits; empty if they are not known.
    pub label_names: Vec<String>,
    /// What evaluation does to an image before the model sees it.
    pub preprocessing: Preprocessing,
    /// Training batches seen: the value of every `num_batches_tracked`.
    pub num_batches_tracked: i64,
}

impl CheckpointInfo {
    /// The description of a model, with its preset's preprocessing ([`preset_preprocessing`]).
    pub fn new(info: &ModelInfo, label_names: Vec<String>) -> Self {
        let preset = &info.preset;
        CheckpointInfo {
            architecture: preset.name.to_string(),
            model: info.config.clone(),
            num_features: info.num_features,
            global_pool: preset.global_pool.to_string(),
            first_conv: preset.first_conv.to_string(),
            classifier: preset.classifier.to_string(),
            label_names,
            preprocessing: preset_preprocessing(preset, info.config.in_chans, info.config.input_size),
            num_batches_tracked: 0,
        }
    }
}

/// The preprocessing that timm's default weights of an architecture expect, for images of `channels` channels at the size
/// `(height, width)`. Statistics for another number of channels are their mean over the channels, as in timm.
pub fn preset_preprocessing(preset: &Preset, channels: usize, (height, width): (usize, usize)) -> Preprocessing {
    let normalization = Normalization { mean: preset.mean.to_vec(), std: preset.std.to_vec() };
    Preprocessing {
        size: Size { height, width },
        interpolation: Interpolation::from_name(preset.interpolation).unwrap_or_default(),
        crop_pct: decimal(preset.crop_pct),
        crop_mode: CropMode::Center,
        normalization: normalization.for_channels(channels),
        ops: None,
    }
}

/// The f64 of the shortest decimal that stands for this f32: 0.485, not 0.48500001430511475.
pub(super) fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of interpolations in presets are those of `tallow_augment`, and each preset's pipeline can be built.
    #[test]
    fn every_preset_has_a_pipeline() {
        for preset in tallow_models::list() {
            assert!(Interpolation::from_name(preset.interpolation).is_some(), "{}", preset.name);
            let preprocessing = preset_preprocessing(preset, preset.in_chans, preset.input_size);
            let (h, w, c) = preprocessing.pipeline().expect(preset.name).output_shape();
            assert_eq!((c, h, w), (preset.in_chans, preset.input_size.0, preset.input_size.1), "{}", preset.name);
        }
    }
}
