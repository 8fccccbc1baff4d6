//! EfficientFormer: pooling mixes the pixels, attention only in the last blocks.
//!
//! Li et al. 2022, <https://arxiv.org/abs/2206.01191>. Four stages of a residual branch that subtracts a
//! pixel from its neighbours' mean and one that is an MLP of 1×1 convolutions; the last block or blocks
//! attend, with LeViT's bias. Two classifiers, one of them for distillation: the logits are their mean,
//! in training too.
//!
//! Reference: timm's `efficientformer_*`. Weight names are its own: `stem.conv1`,
//! `stages.0.blocks.0.mlp.fc1`, `stages.3.blocks.4.token_mixer.qkv`, `norm`, `head`, `head_dist`. Initial
//! values: Kaiming normal for convolutions, truncated normal for linear layers. Drop path grows linearly
//! from block to block. The size is fixed when the model is built; timm knows 224 pixels alone.
//! `token_mixer.attention_bias_idxs` is no parameter; it is there because timm's files hold it.

use candle_core::{DType, Tensor};
use tallow_nn::layers::{BatchNorm2d, Conv2d, Conv2dOptions, DropPath, Dropout, LayerNorm, Linear};
use tallow_nn::op::Activation::{Gelu, Identity, Relu};
use tallow_nn::op::{attention, global_avg_pool, image, tokens};
use tallow_nn::{Builder, Mode, Result};

use super::poolformer::pool_difference;
use crate::config::{Key, ModelConfig};
use crate::layers::attention::split_heads;
use crate::layers::conv_norm::ConvNorm;
use crate::layers::distance_bias::DistanceBias;
use crate::layers::layer_scale::LayerScale;
use crate::layers::mlp::Mlp;
use crate::layers::{TRUNCATED, add, average_map, drop_path_rate, mean_of_heads};
use crate::model::Model;
use crate::registry::{Arch, Preset};

const HEADS: usize = 8;
const KEY_DIM: usize = 32;
const VALUE_DIM: usize = 4 * KEY_DIM;
const EPS: f32 = 1e-5;
const SCALE_INIT: f32 = 1e-5;

/// What tells one EfficientFormer from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Channels of each stage.
    widths: [usize; 4],
    /// Blocks of each stage.
    depths: [usize; 4],
    /// Blocks that attend, at the end.
    attending: usize,
}

impl Layout {
    /// Channels that the classifier sees.
    pub(crate) fn num_features(self) -> usize {
        self.widths[3]
    }
}

pub(crate) const PRESETS: &[Preset] = &[
    preset("efficientformer_l1", [48, 96, 224, 448], [3, 2, 6, 4], 1),
    preset("efficientformer_l3", [64, 128, 320, 512], [4, 4, 12, 6], 4),
];

/// Preprocessing is that of timm's default weights, `snap_dist_in1k`.
const fn preset(name: &'static str, widths: [usize; 4], depths: [usize; 4], attending: usize) -> Preset {
    Preset {
        keys: &[Key::DropRate, Key::DropPathRate],
        crop_pct: 0.95,
        interpolation: "bicubic",
        first_conv: "stem.conv1",
        classifier: "head",
        ..Preset::imagenet(name, "hybrid/efficientformer", Arch::EfficientFormer(Layout { widths, depths, attending }))
    }
}

pub(crate) struct EfficientFormer {
    stem: [ConvNorm; 2],
    stages: Vec<Stage>,
    /// Over tokens, behind all stages.
    attending: Vec<AttentionBlock>,
    norm: LayerNorm,
    dropout: Dropout,
    head: Linear,
    head_dist: Linear,
}

struct Stage {
    downsample: Option<ConvNorm>,
    blocks: Vec<PoolBlock>,
}

impl EfficientFormer {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let Layout { widths, depths, attending } = layout;
        let total: usize = depths.iter().sum();
        let stem = b.pp("stem");
        let half = widths[0] / 2;
        let stem = [
            conv_norm((config.in_chans, half), 3, 2, &stem.pp("conv1"), &stem.pp("norm1"))?,
            conv_norm((half, widths[0]), 3, 2, &stem.pp("conv2"), &stem.pp("norm2"))?,
        ];
        let side = |pixels: usize| (0..5).fold(pixels, |pixels, _| pixels.div_ceil(2));
        let size = (side(config.input_size.0), side(config.input_size.1));
        let (mut stages, mut attention, mut before) = (Vec::new(), Vec::new(), 0);
        for stage in 0..4 {
            let b = b.pp("stages").pp(stage);
            let down = b.pp("downsample");
            let downsample = || conv_norm((widths[stage - 1], widths[stage]), 3, 2, &down.pp("conv"), &down.pp("norm"));
            let downsample = (stage > 0).then(downsample).transpose()?;
            let pooling = depths[stage] - if stage == 3 { attending } else { 0 };
            let mut blocks = Vec::new();
            for i in 0..depths[stage] {
                let drop_path = drop_path_rate(config.drop_path_rate, before + i, total);
                // In timm a module that flattens the map stands before the attending blocks.
                if i < pooling {
                    blocks.push(PoolBlock::new(widths[stage], drop_path, &b.pp("blocks").pp(i))?);
                } else {
                    attention.push(AttentionBlock::new(widths[stage], size, drop_path, &b.pp("blocks").pp(i + 1))?);
                }
            }
            before += depths[stage];
            stages.push(Stage { downsample, blocks });
        }
        let head = |name: &str| Linear::new(widths[3], config.num_classes, true, TRUNCATED, &b.pp(name));
        Ok(EfficientFormer {
            stem,
            stages,
            attending: attention,
            norm: LayerNorm::new(widths[3], EPS, &b.pp("norm"))?,
            dropout: Dropout::new(config.drop_rate)?,
            head: head("head")?,
            head_dist: head("head_dist")?,
        })
    }
}

impl Model for EfficientFormer {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = images.clone();
        for conv in &self.stem {
            x = conv.forward(&x, Relu, mode)?;
        }
        for Stage { downsample, blocks } in &self.stages {
            if let Some(conv) = downsample {
                x = conv.forward(&x, Identity, mode)?;
            }
            for block in blocks {
                x = block.forward(&x, mode)?;
            }
        }
        let size = (x.dims()[2], x.dims()[3]);
        let mut x = tokens(&x)?;
        for block in &self.attending {
            x = block.forward(&x, mode)?;
        }
        image(&self.norm.forward(&x)?, size)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        mean_of_heads(self.forward_heads(features, mode)?)
    }

    fn forward_heads(&self, features: &Tensor, mode: &Mode) -> Result<(Tensor, Option<Tensor>)> {
        let x = self.dropout.forward(&global_avg_pool(features)?, mode)?;
        Ok((self.head.forward(&x)?, Some(self.head_dist.forward(&x)?)))
    }
}

/// A convolution with bias, and a BatchNorm.
fn conv_norm(
    (inputs, outputs): (usize, usize),
    kernel: usize,
    stride: usize,
    conv: &Builder,
    norm: &Builder,
) -> Result<ConvNorm> {
    let options = Conv2dOptions { stride, padding: kernel / 2, bias: true, ..Default::default() };
    Ok(ConvNorm {
        conv: Conv2d::new(inputs, outputs, kernel, options, conv)?,
        norm: BatchNorm2d::new(outputs, Default::default(), norm)?,
    })
}

/// Pooling and an MLP of 1×1 convolutions, each a scaled residual branch.
struct PoolBlock {
    ls1: LayerScale,
    fc1: ConvNorm,
    fc2: ConvNorm,
    ls2: LayerScale,
    drop_path: DropPath,
}

impl PoolBlock {
    fn new(dim: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        let ls1 = LayerScale::new(dim, SCALE_INIT, &b.pp("ls1"))?;
        let mlp = b.pp("mlp");
        let fc = |i: usize, inputs, outputs| {
            conv_norm((inputs, outputs), 1, 1, &mlp.pp(format!("fc{i}")), &mlp.pp(format!("norm{i}")))
        };
        Ok(PoolBlock {
            ls1,
            fc1: fc(1, dim, 4 * dim)?,
            fc2: fc(2, 4 * dim, dim)?,
            ls2: LayerScale::new(dim, SCALE_INIT, &b.pp("ls2"))?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.ls1.forward_2d(&pool_difference(x)?)?;
        let x = add(x, &self.drop_path.forward(&y, mode)?)?;
        let y = self.fc1.forward(&x, Gelu, mode)?;
        let y = self.fc2.forward(&y, Identity, mode)?;
        add(&x, &self.drop_path.forward(&self.ls2.forward_2d(&y)?, mode)?)
    }
}

/// Attention and MLP over tokens, each a scaled residual branch behind its norm.
struct AttentionBlock {
    norm1: LayerNorm,
    bias: DistanceBias,
    qkv: Linear,
    proj: Linear,
    ls1: LayerScale,
    norm2: LayerNorm,
    mlp: Mlp,
    ls2: LayerScale,
    drop_path: DropPath,
}

impl AttentionBlock {
    fn new(dim: usize, size: (usize, usize), drop_path: f32, b: &Builder) -> Result<Self> {
        let norm1 = LayerNorm::new(dim, EPS, &b.pp("norm1"))?;
        let mixer = b.pp("token_mixer");
        let bias = DistanceBias::new(size, 1, HEADS, &mixer)?;
        let index = bias.index()?.to_dtype(DType::F32)?;
        mixer.buffer("attention_bias_idxs", index.dims(), 0.0)?.set(index);
        Ok(AttentionBlock {
            norm1,
            bias,
            qkv: Linear::new(dim, HEADS * (2 * KEY_DIM + VALUE_DIM), true, TRUNCATED, &mixer.pp("qkv"))?,
            proj: Linear::new(HEADS * VALUE_DIM, dim, true, TRUNCATED, &mixer.pp("proj"))?,
            ls1: LayerScale::new(dim, SCALE_INIT, &b.pp("ls1"))?,
            norm2: LayerNorm::new(dim, EPS, &b.pp("norm2"))?,
            mlp: Mlp::new(dim, 4 * dim, Gelu, 0.0, &b.pp("mlp"))?,
            ls2: LayerScale::new(dim, SCALE_INIT, &b.pp("ls2"))?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let qkv = self.qkv.forward(&self.norm1.forward(x)?)?;
        let [q, k, v] = split_heads(&qkv, HEADS, [KEY_DIM, KEY_DIM, VALUE_DIM])?;
        let scale = 1.0 / (KEY_DIM as f32).sqrt();
        let y = self.proj.forward(&attention(&q, &k, &v, HEADS, scale, Some(&self.bias.forward()?))?)?;
        let x = add(x, &self.drop_path.forward(&self.ls1.forward(&y)?, mode)?)?;
        let y = self.mlp.forward(&self.norm2.forward(&x)?, mode)?;
        add(&x, &self.drop_path.forward(&self.ls2.forward(&y)?, mode)?)
    }
}
