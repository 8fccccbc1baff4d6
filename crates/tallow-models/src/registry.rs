//! The table of architectures: name → preset → model.
//!
//! A new family is one file in `cnn/`, `vit/` or `hybrid/` with its `mod` line, and one line of [`FAMILIES`].

use std::borrow::Cow;
use std::sync::LazyLock;

use candle_core::Device;
use tallow_base::nearest::nearest_several;
use tallow_nn::ParamStore;

use crate::aliases::alias;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::family::Family;
use crate::model::{BuiltModel, Model, ModelInfo};
use crate::preset::Preset;
use crate::{cnn, hybrid, vit};

/// Every family, in the order of [`list`].
static FAMILIES: &[&dyn Family] = &[
    &cnn::resnet::FAMILY,
    &cnn::preact_resnet::FAMILY,
    &cnn::wide_resnet::FAMILY,
    &cnn::resnet9::FAMILY,
    &cnn::small_cnn::FAMILY,
    &cnn::vgg::FAMILY,
    &cnn::googlenet::FAMILY,
    &cnn::inception_v3::FAMILY,
    &cnn::inception_v4::FAMILY,
    &cnn::densenet::FAMILY,
    &cnn::squeezenet::FAMILY,
    &cnn::mobilenetv1::FAMILY,
    &cnn::mobilenetv2::FAMILY,
    &cnn::mobilenetv3::FAMILY,
    &cnn::mobilenetv4::FAMILY,
    &cnn::efficientnet::FAMILY,
    &cnn::efficientnet_lite::FAMILY,
    &cnn::efficientnetv2::FAMILY,
    &cnn::regnet::FAMILY,
    &cnn::ghostnet::FAMILY,
    &cnn::repvgg::FAMILY,
    &cnn::convnext::FAMILY,
    &vit::vision_transformer::FAMILY,
    &vit::deit::FAMILY,
    &vit::cct::FAMILY,
    &vit::swin::FAMILY,
    &vit::mlp_mixer::FAMILY,
    &vit::cait::FAMILY,
    &vit::convit::FAMILY,
    &hybrid::levit::FAMILY,
    &hybrid::mobilevit::FAMILY,
    &hybrid::coatnet::FAMILY,
    &hybrid::maxvit::FAMILY,
    &hybrid::efficientformer::FAMILY,
    &hybrid::poolformer::FAMILY,
    &hybrid::vit_hybrid::FAMILY,
];

static PRESETS: LazyLock<Vec<&'static Preset>> =
    LazyLock::new(|| FAMILIES.iter().flat_map(|family| family.presets()).collect());

/// Every preset, family by family.
pub fn list() -> &'static [&'static Preset] {
    &PRESETS
}

/// The preset called `name`, or whose [alias](crate::ALIASES) it is.
///
/// # Errors
/// [`Error::UnknownModel`] with the nearest names.
pub fn find(name: &str) -> Result<&'static Preset> {
    lookup(name).map(|(_, preset)| preset)
}

fn lookup(name: &str) -> Result<(&'static dyn Family, &'static Preset)> {
    let name = alias(name).map_or(name, |alias| alias.preset);
    let mut presets =
        FAMILIES.iter().flat_map(|family| family.presets().into_iter().map(move |preset| (*family, preset)));
    presets.find(|(_, preset)| preset.name == name).ok_or_else(|| Error::UnknownModel {
        name: name.to_string(),
        nearest: nearest_several(name, list().iter().map(|preset| preset.name), 3),
    })
}

/// The number of channels of the features of the architecture `name` under `config`.
///
/// # Errors
/// An unknown name.
pub fn num_features(name: &str, config: &ModelConfig) -> Result<usize> {
    let (family, preset) = lookup(name)?;
    family.num_features(preset, config)
}

/// Builds the architecture `name`, or whose alias it is. Initial values depend on `seed`, names and shapes alone.
///
/// ```
/// use tallow_models::{ModelConfig, build};
/// # fn main() -> tallow_models::Result<()> {
/// let config = ModelConfig { num_classes: 10, in_chans: 1, input_size: (28, 28), ..ModelConfig::default() };
/// let built = build("resnet9", &config, 0, &candle_core::Device::Cpu)?;
/// let images = candle_core::Tensor::zeros((2, 1, 28, 28), candle_core::DType::F32, &candle_core::Device::Cpu)
///     .map_err(tallow_nn::Error::from)?;
/// let logits = built.model.forward(&images, &tallow_nn::Mode::eval())?;
/// assert_eq!(logits.dims(), [2, 10]);
/// # Ok(()) }
/// ```
///
/// # Errors
/// An unknown name, a key that the architecture does not use, a value out of range.
pub fn build(name: &str, config: &ModelConfig, seed: u64, device: &Device) -> Result<BuiltModel> {
    assemble(name, config, |family, preset| ParamStore::build(seed, device, |b| family.build(preset, config, b)))
}

/// Builds the architecture `name` with every parameter zero, to count parameters or to load weights into.
///
/// # Errors
/// As [`build`].
pub fn build_zeroed(name: &str, config: &ModelConfig, device: &Device) -> Result<BuiltModel> {
    assemble(name, config, |family, preset| ParamStore::build_zeroed(device, |b| family.build(preset, config, b)))
}

fn assemble(
    name: &str,
    config: &ModelConfig,
    build: impl FnOnce(&dyn Family, &Preset) -> Result<(Box<dyn Model>, ParamStore)>,
) -> Result<BuiltModel> {
    let (family, preset) = lookup(name)?;
    config.check(preset)?;
    let (model, store) = build(family, preset).map_err(|error| match error {
        Error::Nn(source @ tallow_nn::Error::TooManyParameters { .. }) => {
            Error::TooLarge { keys: config.keys_set(), model: preset.name, source }
        }
        other => other,
    })?;
    let num_features = family.num_features(preset, config)?;
    Ok(BuiltModel {
        model,
        store,
        info: ModelInfo { preset: Cow::Borrowed(preset), config: config.clone(), num_features },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_of_a_family_carry_its_name() {
        let mut names = Vec::new();
        for family in FAMILIES {
            let presets = family.presets();
            names.push(presets[0].family);
            assert!(presets.iter().all(|preset| preset.family == presets[0].family), "{}", presets[0].family);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAMILIES.len(), "names of families are unique");
    }
}
