//! PoolFormer: a transformer's blocks with average pooling instead of attention.
//!
//! Yu et al. 2021, <https://arxiv.org/abs/2111.11418>.
//!
//! Reference: timm's `poolformer_*` (in its metaformer). Weight names are timm's: `stem.conv`,
//! `stages.0.blocks.0.norm1`, `.layer_scale1.scale`, `.mlp.fc1`, `stages.1.downsample.conv`, `head.norm`, `head.fc`.
//! Initial values: truncated normal, zero for biases. Drop path grows linearly from block to block.

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions, DropPath, LayerNorm, Linear};
use tallow_nn::op::Activation::Gelu;
use tallow_nn::op::{self, PoolConfig, activate, avg_pool2d, permute};
use tallow_nn::{Builder, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::group_norm::GroupNorm;
use crate::layers::head::ClassifierHead;
use crate::layers::layer_scale::LayerScale;
use crate::layers::{TRUNCATED, add, average_map, drop_path_rate};
use crate::model::Model;
use crate::preset::Preset;

/// Channels of each stage.
const WIDTHS: [usize; 4] = [64, 128, 320, 512];

/// A variant of PoolFormer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PoolFormerVariant {
    /// Blocks of each stage.
    depths: [usize; 4],
    /// The initial value of LayerScale.
    scale: f32,
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate];

const VARIANTS: &[(Preset, PoolFormerVariant)] = &[
    (preset("poolformer_s12"), PoolFormerVariant { depths: [2, 2, 6, 2], scale: 1e-5 }),
    (preset("poolformer_s24"), PoolFormerVariant { depths: [4, 4, 12, 4], scale: 1e-5 }),
    (preset("poolformer_s36"), PoolFormerVariant { depths: [6, 6, 18, 6], scale: 1e-6 }),
];

/// The preprocessing of timm's default weights, `sail_in1k`.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: 4,
        crop_pct: 0.9,
        interpolation: "bicubic",
        first_conv: "stem.conv",
        classifier: "head.fc",
        ..Preset::imagenet(name, "hybrid/poolformer")
    }
}

pub(crate) static FAMILY: FamilyTable<PoolFormerVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(PoolFormer::new(variant, config, b)),
    num_features: |_, _| WIDTHS[3],
};

struct PoolFormer {
    stem: Conv2d,
    stages: Vec<Stage>,
    classifier: ClassifierHead,
}

struct Stage {
    downsample: Option<Conv2d>,
    blocks: Vec<Block>,
}

impl PoolFormer {
    fn new(variant: PoolFormerVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let PoolFormerVariant { depths, scale } = variant;
        let total: usize = depths.iter().sum();
        let stem = conv(config.in_chans, WIDTHS[0], 7, (4, 2), &b.pp("stem").pp("conv"))?;
        let mut before = 0;
        let stages = (0..4).map(|stage| {
            let (b, width) = (b.pp("stages").pp(stage), WIDTHS[stage]);
            let down = || conv(WIDTHS[stage - 1], width, 3, (2, 1), &b.pp("downsample").pp("conv"));
            let downsample = (stage > 0).then(down).transpose()?;
            let blocks = (0..depths[stage]).map(|i| {
                let drop_path = drop_path_rate(config.drop_path_rate, before + i, total);
                Block::new(width, scale, drop_path, &b.pp("blocks").pp(i))
            });
            let blocks = blocks.collect::<Result<_>>()?;
            before += depths[stage];
            Ok(Stage { downsample, blocks })
        });
        let stages = stages.collect::<Result<_>>()?;
        let head = b.pp("head");
        Ok(PoolFormer {
            stem,
            stages,
            classifier: ClassifierHead::with_norm(
                LayerNorm::new(WIDTHS[3], 1e-6, &head.pp("norm"))?,
                Linear::new(WIDTHS[3], config.num_classes, true, TRUNCATED, &head.pp("fc"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl Model for PoolFormer {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images)?;
        for Stage { downsample, blocks } in &self.stages {
            if let Some(conv) = downsample {
                x = conv.forward(&x)?;
            }
            for block in blocks {
                x = block.forward(&x, mode)?;
            }
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

struct Block {
    norm1: GroupNorm,
    layer_scale1: LayerScale,
    norm2: GroupNorm,
    fc1: Conv2d,
    fc2: Conv2d,
    layer_scale2: LayerScale,
    drop_path: DropPath,
}

impl Block {
    fn new(dim: usize, scale: f32, drop_path: f32, b: &Builder) -> Result<Self> {
        let mlp = b.pp("mlp");
        Ok(Block {
            norm1: GroupNorm::new(1, dim, 1e-5, &b.pp("norm1"))?,
            layer_scale1: LayerScale::named("scale", dim, scale, &b.pp("layer_scale1"))?,
            norm2: GroupNorm::new(1, dim, 1e-5, &b.pp("norm2"))?,
            fc1: conv(dim, 4 * dim, 1, (1, 0), &mlp.pp("fc1"))?,
            fc2: conv(4 * dim, dim, 1, (1, 0), &mlp.pp("fc2"))?,
            layer_scale2: LayerScale::named("scale", dim, scale, &b.pp("layer_scale2"))?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.layer_scale1.forward_2d(&pool_difference(&self.norm1.forward(x)?)?)?;
        let x = add(x, &self.drop_path.forward(&y, mode)?)?;
        let y = activate(&self.fc1.forward(&self.norm2.forward(&x)?)?, Gelu)?;
        let y = self.layer_scale2.forward_2d(&self.fc2.forward(&y)?)?;
        add(&x, &self.drop_path.forward(&y, mode)?)
    }
}

/// The mean of each pixel's 3×3 neighbourhood minus the pixel.
pub(super) fn pool_difference(x: &Tensor) -> Result<Tensor> {
    let mean = avg_pool2d(x, PoolConfig::square(3, 1, 1), false)?;
    // Permuted to the layout in memory, so that nothing is copied.
    let difference = op::subtract(&permute(&mean, (0, 2, 3, 1))?, &permute(x, (0, 2, 3, 1))?)?;
    permute(&difference, (0, 3, 1, 2))
}

fn conv(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    (stride, padding): (usize, usize),
    b: &Builder,
) -> Result<Conv2d> {
    let options = Conv2dOptions { stride, padding, bias: true, init: TRUNCATED, ..Default::default() };
    Conv2d::new(inputs, outputs, kernel, options, b)
}
