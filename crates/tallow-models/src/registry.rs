//! The table of architectures: name → preset → model.
//!
//! A new family is one file in `cnn/`, `vit/` or `hybrid/` with its `mod` line, one variant of
//! [`Arch`] with its arm in [`Arch::build`], and its `PRESETS` in [`list`]. The compiler points at
//! whatever is forgotten.

use std::sync::LazyLock;

use candle_core::Device;
use tallow_base::nearest::nearest_several;
use tallow_nn::{Builder, ParamStore};

use crate::cnn::mobile::MobileNet;
use crate::cnn::{
    convnext, densenet, efficientnet, efficientnet_lite, efficientnetv2, ghostnet, googlenet, inception_v3,
    inception_v4, mobile, mobilenetv1, mobilenetv2, mobilenetv3, mobilenetv4, preact_resnet, regnet, repvgg, resnet,
    resnet9, small_cnn, squeezenet, vgg, wide_resnet,
};
use crate::config::{Key, ModelConfig};
use crate::error::{Error, Result};
use crate::hybrid::{coatnet, efficientformer, levit, maxvit, mobilevit, poolformer, vit_hybrid};
use crate::model::{Built, Model, ModelInfo};
use crate::vit::{cait, cct, convit, deit, mlp_mixer, swin, vision_transformer};

/// A named architecture and what its weights expect of images: timm's `pretrained_cfg`.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// timm's name where timm has the model.
    pub name: &'static str,
    /// The folder and file it comes from: `cnn/resnet`.
    pub family: &'static str,
    /// The family, and which of its members this is.
    pub arch: Arch,
    /// The optional config keys that it uses.
    pub keys: &'static [Key],
    /// Default height and width, in pixels.
    pub input_size: (usize, usize),
    /// The least height and width that leave a pixel after the last pooling.
    pub min_input_size: usize,
    /// Height and width must be multiples of this: the size of a patch or of a window. The config's
    /// `patch_size` takes its place.
    pub size_multiple: usize,
    /// Default number of channels.
    pub in_chans: usize,
    /// Default number of classes.
    pub num_classes: usize,
    /// Mean per channel, in units of pixel/255.
    pub mean: &'static [f32],
    /// Standard deviation per channel, in units of pixel/255.
    pub std: &'static [f32],
    /// Fraction of the resized image that the centre crop keeps.
    pub crop_pct: f32,
    /// `bilinear` or `bicubic`.
    pub interpolation: &'static str,
    /// How features are pooled before the classifier: `avg`, `max`, or `token` for the class token.
    pub global_pool: &'static str,
    /// The module of the first convolution.
    pub first_conv: &'static str,
    /// The module of the classifier.
    pub classifier: &'static str,
}

impl Preset {
    /// ImageNet at 224 pixels; a family's rows change what differs.
    pub(crate) const fn imagenet(name: &'static str, family: &'static str, arch: Arch) -> Preset {
        Preset {
            name,
            family,
            arch,
            keys: &[],
            input_size: (224, 224),
            min_input_size: 1,
            size_multiple: 1,
            in_chans: 3,
            num_classes: 1000,
            mean: &[0.485, 0.456, 0.406],
            std: &[0.229, 0.224, 0.225],
            crop_pct: 0.875,
            interpolation: "bilinear",
            global_pool: "avg",
            first_conv: "conv1",
            classifier: "fc",
        }
    }

    /// The configuration of the default size, channels and classes.
    pub fn config(&self) -> ModelConfig {
        ModelConfig {
            num_classes: self.num_classes,
            in_chans: self.in_chans,
            input_size: self.input_size,
            ..ModelConfig::default()
        }
    }

    /// Whether its weights are for images of one size (position embeddings, tables of biases): timm's `fixed_input_size`.
    pub fn fixed_input_size(&self) -> bool {
        const HYBRIDS: [&str; 5] =
            ["hybrid/coatnet", "hybrid/efficientformer", "hybrid/levit", "hybrid/maxvit", "hybrid/vit_hybrid"];
        self.family.starts_with("vit/") || HYBRIDS.contains(&self.family)
    }

    /// Channels that the classifier sees, under this configuration.
    pub fn num_features(&self, config: &ModelConfig) -> usize {
        self.arch.num_features(config)
    }

    pub(crate) fn bad_value(
        &self,
        key: &'static str,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::BadValue { key, model: self.name, expected: expected.into(), found: found.to_string() }
    }
}

/// A family, with what tells its members apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arch {
    /// ResNet, He et al. 2015.
    ResNet(resnet::Layout),
    /// Pre-activation ResNet, He et al. 2016.
    PreactResNet(preact_resnet::Layout),
    /// Wide ResNet, Zagoruyko & Komodakis 2016.
    WideResNet(wide_resnet::Layout),
    /// The nine-layer residual network of the DAWNBench entries.
    ResNet9,
    /// A LeNet-sized network.
    SmallCnn,
    /// VGG, Simonyan & Zisserman 2014.
    Vgg(vgg::Layout),
    /// GoogLeNet, Szegedy et al. 2014.
    GoogLeNet,
    /// Inception v3, Szegedy et al. 2015.
    InceptionV3,
    /// Inception v4, Szegedy et al. 2016.
    InceptionV4,
    /// DenseNet, Huang et al. 2016.
    DenseNet(densenet::Layout),
    /// SqueezeNet, Iandola et al. 2016.
    SqueezeNet,
    /// MobileNetV1, Howard et al. 2017.
    MobileNetV1(mobile::Layout),
    /// MobileNetV2, Sandler et al. 2018.
    MobileNetV2(mobile::Layout),
    /// MobileNetV3, Howard et al. 2019.
    MobileNetV3(mobile::Layout),
    /// MobileNetV4, Qin et al. 2024.
    MobileNetV4(mobile::Layout),
    /// EfficientNet, Tan & Le 2019.
    EfficientNet(mobile::Layout),
    /// EfficientNet-Lite, Liu 2020.
    EfficientNetLite(mobile::Layout),
    /// EfficientNetV2, Tan & Le 2021.
    EfficientNetV2(mobile::Layout),
    /// RegNet, Radosavovic et al. 2020.
    RegNet(regnet::Layout),
    /// GhostNet, Han et al. 2019.
    GhostNet,
    /// RepVGG, Ding et al. 2021.
    RepVgg(repvgg::Layout),
    /// ConvNeXt, Liu et al. 2022; V2, Woo et al. 2023.
    ConvNext(convnext::Layout),
    /// Vision Transformer, Dosovitskiy et al. 2020; DeiT, Touvron et al. 2020.
    Vit(vision_transformer::Layout),
    /// Compact Convolutional Transformer, Hassani et al. 2021.
    Cct(cct::Layout),
    /// Swin Transformer, Liu et al. 2021.
    Swin(swin::Layout),
    /// MLP-Mixer, Tolstikhin et al. 2021.
    MlpMixer(mlp_mixer::Layout),
    /// CaiT, Touvron et al. 2021.
    Cait(cait::Layout),
    /// ConViT, d'Ascoli et al. 2021.
    ConVit(convit::Layout),
    /// LeViT, Graham et al. 2021.
    Levit(levit::Layout),
    /// MobileViT, Mehta & Rastegari 2021, and its second version.
    MobileVit(mobilevit::Layout),
    /// CoAtNet, Dai et al. 2021.
    CoAtNet(coatnet::Layout),
    /// MaxViT, Tu et al. 2022.
    MaxVit(maxvit::Layout),
    /// EfficientFormer, Li et al. 2022.
    EfficientFormer(efficientformer::Layout),
    /// PoolFormer, Yu et al. 2021.
    PoolFormer(poolformer::Layout),
}

impl Arch {
    fn build(self, preset: &Preset, config: &ModelConfig, b: &Builder) -> Result<Box<dyn Model>> {
        Ok(match self {
            Arch::ResNet(layout) => Box::new(resnet::ResNet::new(layout, config, b)?),
            Arch::PreactResNet(layout) => Box::new(preact_resnet::PreactResNet::new(layout, config, b)?),
            Arch::WideResNet(layout) => {
                Box::new(wide_resnet::WideResNet::new(layout.with(preset, config)?, config, b)?)
            }
            Arch::ResNet9 => Box::new(resnet9::ResNet9::new(config, b)?),
            Arch::SmallCnn => Box::new(small_cnn::SmallCnn::new(config, b)?),
            Arch::Vgg(layout) => Box::new(vgg::Vgg::new(layout, config, b)?),
            Arch::GoogLeNet => Box::new(googlenet::GoogLeNet::new(config, b)?),
            Arch::InceptionV3 => Box::new(inception_v3::InceptionV3::new(config, b)?),
            Arch::InceptionV4 => Box::new(inception_v4::InceptionV4::new(config, b)?),
            Arch::DenseNet(layout) => Box::new(densenet::DenseNet::new(layout, config, b)?),
            Arch::SqueezeNet => Box::new(squeezenet::SqueezeNet::new(config, b)?),
            Arch::MobileNetV1(layout)
            | Arch::MobileNetV2(layout)
            | Arch::MobileNetV3(layout)
            | Arch::MobileNetV4(layout)
            | Arch::EfficientNet(layout)
            | Arch::EfficientNetLite(layout)
            | Arch::EfficientNetV2(layout) => Box::new(MobileNet::new(layout, config, b)?),
            Arch::RegNet(layout) => Box::new(regnet::RegNet::new(layout, config, b)?),
            Arch::GhostNet => Box::new(ghostnet::GhostNet::new(config, b)?),
            Arch::RepVgg(layout) => Box::new(repvgg::RepVgg::new(layout, config, b)?),
            Arch::ConvNext(layout) => Box::new(convnext::ConvNext::new(layout, config, b)?),
            Arch::Vit(layout) => Box::new(vision_transformer::Vit::new(layout.with(preset, config)?, config, b)?),
            Arch::Cct(layout) => Box::new(cct::Cct::new(layout.with(preset, config)?, config, b)?),
            Arch::Swin(layout) => Box::new(swin::Swin::new(layout, config, b)?),
            Arch::MlpMixer(layout) => Box::new(mlp_mixer::MlpMixer::new(layout, config, b)?),
            Arch::Cait(layout) => Box::new(cait::Cait::new(layout, config, b)?),
            Arch::ConVit(layout) => Box::new(convit::ConVit::new(layout, config, b)?),
            Arch::Levit(layout) => Box::new(levit::Levit::new(layout, config, b)?),
            Arch::MobileVit(layout) => Box::new(mobilevit::MobileVit::new(layout, config, b)?),
            Arch::CoAtNet(layout) => Box::new(coatnet::CoAtNet::new(layout, config, b)?),
            Arch::MaxVit(layout) => Box::new(maxvit::MaxVit::new(layout, config, b)?),
            Arch::EfficientFormer(layout) => Box::new(efficientformer::EfficientFormer::new(layout, config, b)?),
            Arch::PoolFormer(layout) => Box::new(poolformer::PoolFormer::new(layout, config, b)?),
        })
    }

    fn num_features(self, config: &ModelConfig) -> usize {
        match self {
            Arch::ResNet(layout) => layout.num_features(),
            Arch::PreactResNet(layout) => layout.num_features(),
            Arch::WideResNet(layout) => layout.num_features(config),
            Arch::ResNet9 => resnet9::num_features(config),
            Arch::SmallCnn => small_cnn::num_features(config),
            Arch::Vgg(layout) => layout.num_features(config),
            Arch::GoogLeNet => googlenet::NUM_FEATURES,
            Arch::InceptionV3 => inception_v3::NUM_FEATURES,
            Arch::InceptionV4 => inception_v4::NUM_FEATURES,
            Arch::DenseNet(layout) => layout.num_features(),
            Arch::SqueezeNet => squeezenet::NUM_FEATURES,
            Arch::MobileNetV1(layout)
            | Arch::MobileNetV2(layout)
            | Arch::MobileNetV3(layout)
            | Arch::MobileNetV4(layout)
            | Arch::EfficientNet(layout)
            | Arch::EfficientNetLite(layout)
            | Arch::EfficientNetV2(layout) => layout.num_features(config),
            Arch::RegNet(layout) => layout.num_features(),
            Arch::GhostNet => ghostnet::num_features(),
            Arch::RepVgg(layout) => layout.num_features(),
            Arch::ConvNext(layout) => layout.num_features(),
            Arch::Vit(layout) => layout.num_features(config),
            Arch::Cct(layout) => layout.num_features(config),
            Arch::Swin(layout) => layout.num_features(),
            Arch::MlpMixer(layout) => layout.num_features(config),
            Arch::Cait(layout) => layout.num_features(),
            Arch::ConVit(layout) => layout.num_features(),
            Arch::Levit(layout) => layout.num_features(),
            Arch::MobileVit(layout) => layout.num_features(),
            Arch::CoAtNet(layout) => layout.num_features(),
            Arch::MaxVit(layout) => layout.num_features(),
            Arch::EfficientFormer(layout) => layout.num_features(),
            Arch::PoolFormer(layout) => layout.num_features(),
        }
    }
}

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    [
        resnet::PRESETS,
        preact_resnet::PRESETS,
        wide_resnet::PRESETS,
        resnet9::PRESETS,
        small_cnn::PRESETS,
        vgg::PRESETS,
        googlenet::PRESETS,
        inception_v3::PRESETS,
        inception_v4::PRESETS,
        densenet::PRESETS,
        squeezenet::PRESETS,
        mobilenetv1::PRESETS,
        mobilenetv2::PRESETS,
        mobilenetv3::PRESETS,
        mobilenetv4::PRESETS,
        efficientnet::PRESETS,
        efficientnet_lite::PRESETS,
        efficientnetv2::PRESETS,
        regnet::PRESETS,
        ghostnet::PRESETS,
        repvgg::PRESETS,
        convnext::PRESETS,
        vision_transformer::PRESETS,
        deit::PRESETS,
        cct::PRESETS,
        swin::PRESETS,
        mlp_mixer::PRESETS,
        cait::PRESETS,
        convit::PRESETS,
        levit::PRESETS,
        mobilevit::PRESETS,
        coatnet::PRESETS,
        maxvit::PRESETS,
        efficientformer::PRESETS,
        poolformer::PRESETS,
        vit_hybrid::PRESETS,
    ]
    .concat()
});

/// Every preset, family by family.
pub fn list() -> &'static [Preset] {
    &PRESETS
}

/// The preset called `name`.
///
/// # Errors
/// [`Error::UnknownModel`] with the nearest names.
pub fn find(name: &str) -> Result<&'static Preset> {
    list().iter().find(|preset| preset.name == name).ok_or_else(|| Error::UnknownModel {
        name: name.to_string(),
        nearest: nearest_several(name, list().iter().map(|preset| preset.name), 3),
    })
}

/// Builds the architecture `name`. Initial values depend on `seed`, names and shapes alone.
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
pub fn build(name: &str, config: &ModelConfig, seed: u64, device: &Device) -> Result<Built> {
    assemble(name, config, |preset| ParamStore::build(seed, device, |b| preset.arch.build(preset, config, b)))
}

/// Builds the architecture `name` with every parameter zero: to count them, or to load weights into.
///
/// # Errors
/// As [`build`].
pub fn build_zeroed(name: &str, config: &ModelConfig, device: &Device) -> Result<Built> {
    assemble(name, config, |preset| ParamStore::build_zeroed(device, |b| preset.arch.build(preset, config, b)))
}

fn assemble(
    name: &str,
    config: &ModelConfig,
    build: impl FnOnce(&'static Preset) -> Result<(Box<dyn Model>, ParamStore)>,
) -> Result<Built> {
    let preset = find(name)?;
    config.check(preset)?;
    let (model, store) = build(preset)?;
    let info = ModelInfo { preset, config: config.clone(), num_features: preset.num_features(config) };
    Ok(Built { model, store, info })
}
