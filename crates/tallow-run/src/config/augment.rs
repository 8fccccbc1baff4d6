//! The `[augment]` section.

use serde::{Deserialize, Serialize};
use tallow_augment::PipelineConfig;
use tallow_augment::batch::MixConfig;

use super::View;

/// The `[augment]` section: the pipelines of training and evaluation, their pixel statistics, test-time views.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// The pipeline of training images; the default for the image size if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<PipelineConfig>,
    /// The pipeline of evaluated images, which must not be random; the default for the image size if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval: Option<PipelineConfig>,
    /// Whether training images go through the evaluation pipeline.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub train_as_eval: bool,
    /// Mixup and CutMix of training batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix: Option<MixConfig>,
    /// Progressive resizing: training images grow from epoch to epoch, for models that take any size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progressive: Option<ProgressiveConfig>,
    /// Test-time augmentation: further views of each image, over which the probabilities are averaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tta: Vec<View>,
    /// Mean of each channel in units of pixel / 255; measured on the training split if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of each channel in units of pixel / 255; measured if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
}

/// The `[augment.progressive]` section: training images grow in equal steps, each for an equal part of the epochs, to what
/// the pipeline makes. The last epoch has that size; so has every evaluation.
///
/// # Source
/// Howard 2018 (fastai's progressive resizing); Tan & Le 2021 (EfficientNetV2), whose steps are these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProgressiveConfig {
    /// The shorter side in the first epoch, in pixels.
    pub start: usize,
    /// The number of sizes, the first and the last included, 2 or more.
    #[serde(default = "four")]
    pub stages: u64,
}

fn four() -> u64 {
    4
}

impl ProgressiveConfig {
    /// Height and width of the images in an epoch of `epochs`, counted from 0, that end as `(height, width)`.
    pub fn size(&self, (height, width): (usize, usize), epoch: u64, epochs: u64) -> (usize, usize) {
        let stages = self.stages.min(epochs).max(1);
        let stage = (epoch * stages / epochs.max(1)).min(stages - 1);
        if stage == stages - 1 {
            return (height, width);
        }
        let short = height.min(width) as f64;
        let start = (self.start as f64).min(short);
        let side = start + (short - start) * stage as f64 / (stages - 1) as f64;
        let scaled = |side_at_end: usize| ((side_at_end as f64 * side / short).round() as usize).max(1);
        (scaled(height), scaled(width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_grow_in_equal_steps_for_equal_times_to_their_end() {
        let progressive = ProgressiveConfig { start: 16, stages: 4 };
        let sides = |epochs: u64| -> Vec<usize> {
            (0..epochs).map(|epoch| progressive.size((28, 28), epoch, epochs).0).collect()
        };
        assert_eq!(sides(8), [16, 16, 20, 20, 24, 24, 28, 28]);
        assert_eq!(sides(5), [16, 16, 20, 24, 28]);
        assert_eq!(sides(2), [16, 28]);
        assert_eq!(sides(1), [28]);
        assert_eq!(progressive.size((32, 64), 0, 8), (16, 32));
        // A start above the end is the end.
        assert_eq!(ProgressiveConfig { start: 99, stages: 2 }.size((28, 28), 0, 2), (28, 28));
    }
}
