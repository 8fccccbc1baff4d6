//! ConvNeXt: a ResNet with the design of transformers: 7×7 depthwise convolutions, LayerNorm, wide MLPs.
//!
//! Liu et al. 2022, <https://arxiv.org/abs/2201.03545>. V2, Woo et al. 2023, <https://arxiv.org/abs/2301.00808>, has
//! global response normalisation inside the MLP instead of LayerScale. The sizes atto to nano are timm's.
//!
//! Reference: timm's `convnext_*` and `convnextv2_*`. Weight names are timm's: `stem.0`, `stem.1`,
//! `stages.1.downsample.0` (norm) and `.1`, `stages.0.blocks.0.gamma`, `.conv_dw`, `.norm`, `.mlp.fc1`, `.mlp.grn`,
//! `.mlp.fc2`, `head.norm`, `head.fc`. In the sizes up to nano `fc1` and `fc2` are 1×1 convolutions. Initial values
//! are timm's: normal of 0.02 truncated at 2, zero for biases, 1e-6 for `gamma`. Drop path grows linearly from block
//! to block.

use candle_core::Tensor;
use tallow_nn::layers::{Activation, Conv2d, Conv2dOptions, DropPath, LayerNorm, Linear, checkpoint};
use tallow_nn::op::Activation::Gelu;
use tallow_nn::op::{activate, add_activate, permute};
use tallow_nn::{Builder, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::grn::GlobalResponseNorm;
use crate::layers::head::ClassifierHead;
use crate::layers::layer_norm2d::LayerNorm2d;
use crate::layers::layer_scale::LayerScale;
use crate::layers::{TRUNCATED, average_map, drop_path_rate};
use crate::model::Model;
use crate::preset::Preset;

/// A variant of ConvNeXt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ConvNextVariant {
    /// Channels of the first stage; each stage has twice as many as the one before.
    width: usize,
    /// Blocks in each of the four stages.
    depths: [usize; 4],
    /// Whether the linear layers of the MLPs are 1×1 convolutions.
    conv_mlp: bool,
    /// Global response normalisation instead of LayerScale.
    v2: bool,
}

impl ConvNextVariant {
    const fn new(width: usize, depths: [usize; 4]) -> ConvNextVariant {
        ConvNextVariant { width, depths, conv_mlp: false, v2: false }
    }

    const fn conv(self) -> ConvNextVariant {
        ConvNextVariant { conv_mlp: true, ..self }
    }

    const fn v2(self) -> ConvNextVariant {
        ConvNextVariant { v2: true, ..self }
    }

    /// The number of channels of the features.
    fn num_features(self) -> usize {
        8 * self.width
    }
}

const ATTO: ConvNextVariant = ConvNextVariant::new(40, [2, 2, 6, 2]).conv();
const NANO: ConvNextVariant = ConvNextVariant::new(80, [2, 2, 8, 2]).conv();
const TINY: ConvNextVariant = ConvNextVariant::new(96, [3, 3, 9, 3]);

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate, Key::CheckpointActivations];

const VARIANTS: &[(Preset, ConvNextVariant)] = &[
    (preset("convnext_atto", 0.875), ATTO),
    (preset("convnext_femto", 0.875), ConvNextVariant { width: 48, ..ATTO }),
    (preset("convnext_pico", 0.875), ConvNextVariant { width: 64, ..ATTO }),
    (preset("convnext_nano", 0.95), NANO),
    (preset("convnext_tiny", 0.95), TINY),
    (preset("convnext_small", 0.95), ConvNextVariant::new(96, [3, 3, 27, 3])),
    (preset("convnext_base", 0.875), ConvNextVariant::new(128, [3, 3, 27, 3])),
    (preset("convnextv2_atto", 0.875), ATTO.v2()),
    (preset("convnextv2_nano", 0.875), NANO.v2()),
    (preset("convnextv2_tiny", 0.875), TINY.v2()),
];

/// The preprocessing of timm's default weights.
const fn preset(name: &'static str, crop_pct: f32) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: 32,
        crop_pct,
        interpolation: "bicubic",
        first_conv: "stem.0",
        classifier: "head.fc",
        ..Preset::imagenet(name, "cnn/convnext")
    }
}

const EPS: f32 = 1e-6;

pub(crate) static FAMILY: FamilyTable<ConvNextVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(ConvNext::new(variant, config, b)),
    num_features: |variant, _| variant.num_features(),
};

struct ConvNext {
    stem: Conv2d,
    stem_norm: LayerNorm2d,
    stages: Vec<Stage>,
    classifier: ClassifierHead,
}

impl ConvNext {
    fn new(variant: ConvNextVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let total = variant.depths.iter().sum();
        let stage = |index: usize| {
            let before: usize = variant.depths[..index].iter().sum();
            let drop_path = |i| drop_path_rate(config.drop_path_rate, before + i, total);
            Stage::new(variant, index, drop_path, config.checkpoint_activations, &b.pp("stages").pp(index))
        };
        let head = b.pp("head");
        Ok(ConvNext {
            stem: patches(config.in_chans, variant.width, 4, &b.pp("stem").pp(0))?,
            stem_norm: LayerNorm2d::new(variant.width, EPS, &b.pp("stem").pp(1))?,
            stages: (0..variant.depths.len()).map(stage).collect::<Result<_>>()?,
            classifier: ClassifierHead::with_norm(
                LayerNorm::new(variant.num_features(), EPS, &head.pp("norm"))?,
                Linear::new(variant.num_features(), config.num_classes, true, TRUNCATED, &head.pp("fc"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl Model for ConvNext {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem_norm.forward(&self.stem.forward(images)?)?;
        for stage in &self.stages {
            x = stage.forward(&x, mode)?;
        }
        Ok(x)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.classifier.forward(features, mode)
    }
}

struct Stage {
    /// A norm and a 2×2 convolution of stride 2; the first stage has none.
    downsample: Option<(LayerNorm2d, Conv2d)>,
    blocks: Vec<Block>,
    /// Whether the backward pass recomputes the activations inside blocks.
    checkpoint: bool,
}

impl Stage {
    fn new(
        variant: ConvNextVariant,
        index: usize,
        drop_path: impl Fn(usize) -> f32,
        checkpoint: bool,
        b: &Builder,
    ) -> Result<Self> {
        let channels = variant.width << index;
        let downsample = if index > 0 {
            let (b, inputs) = (b.pp("downsample"), channels / 2);
            Some((LayerNorm2d::new(inputs, EPS, &b.pp(0))?, patches(inputs, channels, 2, &b.pp(1))?))
        } else {
            None
        };
        let block = |i| Block::new(variant, channels, drop_path(i), &b.pp("blocks").pp(i));
        let blocks = (0..variant.depths[index]).map(block).collect::<Result<_>>()?;
        Ok(Stage { downsample, blocks, checkpoint })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = match &self.downsample {
            Some((norm, conv)) => conv.forward(&norm.forward(x)?)?,
            None => x.clone(),
        };
        self.blocks.iter().try_fold(x, |x, block| match self.checkpoint {
            true => checkpoint(block, &x, mode, Block::forward),
            false => block.forward(&x, mode),
        })
    }
}

#[derive(Clone)]
struct Block {
    gamma: Option<LayerScale>,
    conv_dw: Conv2d,
    norm: LayerNorm2d,
    fc1: PixelLinear,
    grn: Option<GlobalResponseNorm>,
    fc2: PixelLinear,
    drop_path: DropPath,
}

impl Block {
    fn new(variant: ConvNextVariant, channels: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        let depthwise = Conv2dOptions { padding: 3, groups: channels, ..biased() };
        let (mlp, hidden) = (b.pp("mlp"), 4 * channels);
        let linear = |inputs, outputs, name: &str| PixelLinear::new(variant.conv_mlp, inputs, outputs, &mlp.pp(name));
        let grn = || GlobalResponseNorm::new(hidden, &mlp.pp("grn"));
        Ok(Block {
            gamma: (!variant.v2).then(|| LayerScale::new(channels, 1e-6, b)).transpose()?,
            conv_dw: Conv2d::new(channels, channels, 7, depthwise, &b.pp("conv_dw"))?,
            norm: LayerNorm2d::new(channels, EPS, &b.pp("norm"))?,
            fc1: linear(channels, hidden, "fc1")?,
            grn: variant.v2.then(grn).transpose()?,
            fc2: linear(hidden, channels, "fc2")?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.norm.forward(&self.conv_dw.forward(x)?)?;
        let mut y = activate(&self.fc1.forward(&y)?, Gelu)?;
        if let Some(grn) = &self.grn {
            y = grn.forward(&y)?;
        }
        y = self.fc2.forward(&y)?;
        if let Some(gamma) = &self.gamma {
            y = gamma.forward_2d(&y)?;
        }
        add_activate(&self.drop_path.forward(&y, mode)?, x, Activation::Identity)
    }
}

/// A linear layer on each pixel, with a weight of either of timm's shapes.
#[derive(Clone)]
enum PixelLinear {
    Conv(Conv2d),
    Linear(Linear),
}

impl PixelLinear {
    fn new(conv: bool, inputs: usize, outputs: usize, b: &Builder) -> Result<Self> {
        Ok(if conv {
            PixelLinear::Conv(Conv2d::new(inputs, outputs, 1, biased(), b)?)
        } else {
            PixelLinear::Linear(Linear::new(inputs, outputs, true, TRUNCATED, b)?)
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            PixelLinear::Conv(conv) => conv.forward(x),
            PixelLinear::Linear(linear) => permute(&linear.forward(&permute(x, (0, 2, 3, 1))?)?, (0, 3, 1, 2)),
        }
    }
}

/// A convolution whose kernel and stride are `side`: each patch of `side`×`side` pixels becomes one pixel.
fn patches(inputs: usize, outputs: usize, side: usize, b: &Builder) -> Result<Conv2d> {
    Conv2d::new(inputs, outputs, side, Conv2dOptions { stride: side, ..biased() }, b)
}

fn biased() -> Conv2dOptions {
    Conv2dOptions { bias: true, init: TRUNCATED, ..Default::default() }
}
