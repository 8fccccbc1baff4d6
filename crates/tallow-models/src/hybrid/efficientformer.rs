//! EfficientFormer: pooling mixes the pixels; only the last blocks have attention.
//!
//! Li et al. 2022, <https://arxiv.org/abs/2206.01191>. A block has two residual branches: the difference between the
//! neighbourhood's mean and the pixel, and an MLP of 1×1 convolutions. The last blocks have attention with LeViT's
//! bias. There are two classifiers, one of them for distillation. The logits are their mean, in training too unless
//! there is a teacher.
//!
//! Reference: timm's `efficientformer_*`. Weight names are timm's: `stem.conv1`, `stages.0.blocks.0.mlp.fc1`,
//! `stages.3.blocks.4.token_mixer.qkv`, `norm`, `head`, `head_dist`. The buffer `token_mixer.attention_bias_idxs` is a
//! constant that timm's files contain. Initial values: Kaiming normal for convolutions, truncated normal for linear
//! layers. Drop path grows linearly from block to block.
//!
//! Deviation from timm: the input size is fixed when the model is built, but need not be 224 pixels.

use candle_core::{DType, Tensor};
use tallow_nn::layers::{DropPath, Dropout, LayerNorm, Linear};
use tallow_nn::op::Activation::{self, Gelu, Identity, Relu};
use tallow_nn::op::{attention, global_avg_pool, image, tokens};
use tallow_nn::{Builder, Mode, Result};

use super::poolformer::pool_difference;
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::attention::split_heads;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::distance_bias::DistanceBias;
use crate::layers::layer_scale::LayerScale;
use crate::layers::mlp::Mlp;
use crate::layers::padded_conv::ConvSpec;
use crate::layers::{TRUNCATED, add, average_map, drop_path_rate, mean_of_heads};
use crate::model::Model;
use crate::preset::Preset;

const HEADS: usize = 8;
const KEY_DIM: usize = 32;
const VALUE_DIM: usize = 4 * KEY_DIM;
const EPS: f32 = 1e-5;
const SCALE_INIT: f32 = 1e-5;

/// A variant of EfficientFormer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EfficientFormerVariant {
    /// Channels of each stage.
    widths: [usize; 4],
    /// Blocks of each stage.
    depths: [usize; 4],
    /// The number of blocks with attention, at the end.
    attending: usize,
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate];

const VARIANTS: &[(Preset, EfficientFormerVariant)] = &[
    (
        preset("efficientformer_l1"),
        EfficientFormerVariant { widths: [48, 96, 224, 448], depths: [3, 2, 6, 4], attending: 1 },
    ),
    (
        preset("efficientformer_l3"),
        EfficientFormerVariant { widths: [64, 128, 320, 512], depths: [4, 4, 12, 6], attending: 4 },
    ),
];

/// The preprocessing of timm's default weights, `snap_dist_in1k`.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        fixed_input_size: true,
        crop_pct: 0.95,
        interpolation: "bicubic",
        first_conv: "stem.conv1",
        classifier: "head",
        ..Preset::imagenet(name, "hybrid/efficientformer")
    }
}

pub(crate) static FAMILY: FamilyTable<EfficientFormerVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(EfficientFormer::new(variant, config, b)),
    num_features: |variant, _| variant.widths[3],
};

struct EfficientFormer {
    stem: [ConvNormAct; 2],
    stages: Vec<Stage>,
    /// Blocks over tokens, after all stages.
    attending: Vec<AttentionBlock>,
    norm: LayerNorm,
    dropout: Dropout,
    head: Linear,
    head_dist: Linear,
}

struct Stage {
    downsample: Option<ConvNormAct>,
    blocks: Vec<PoolBlock>,
}

impl EfficientFormer {
    fn new(variant: EfficientFormerVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let EfficientFormerVariant { widths, depths, attending } = variant;
        let total: usize = depths.iter().sum();
        let stem = b.pp("stem");
        let half = widths[0] / 2;
        let stem = [
            conv_norm((config.in_chans, half), (3, 2), ("conv1", "norm1"), Relu, &stem)?,
            conv_norm((half, widths[0]), (3, 2), ("conv2", "norm2"), Relu, &stem)?,
        ];
        let side = |pixels: usize| (0..5).fold(pixels, |pixels, _| pixels.div_ceil(2));
        let size = (side(config.input_size.0), side(config.input_size.1));
        let (mut stages, mut attention, mut before) = (Vec::new(), Vec::new(), 0);
        for stage in 0..4 {
            let b = b.pp("stages").pp(stage);
            let downsample = (stage > 0).then(|| {
                let channels = (widths[stage - 1], widths[stage]);
                conv_norm(channels, (3, 2), ("conv", "norm"), Identity, &b.pp("downsample"))
            });
            let downsample = downsample.transpose()?;
            let pooling = depths[stage] - if stage == 3 { attending } else { 0 };
            let mut blocks = Vec::new();
            for i in 0..depths[stage] {
                let drop_path = drop_path_rate(config.drop_path_rate, before + i, total);
                // timm counts the module that flattens the map before the attention blocks.
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
            x = conv.forward(&x, mode)?;
        }
        for Stage { downsample, blocks } in &self.stages {
            if let Some(conv) = downsample {
                x = conv.forward(&x, mode)?;
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

/// A convolution with bias, a BatchNorm, and an activation.
fn conv_norm(
    (inputs, outputs): (usize, usize),
    (kernel, stride): (usize, usize),
    names: (&str, &str),
    activation: Activation,
    b: &Builder,
) -> Result<ConvNormAct> {
    let spec = ConvSpec { stride, bias: true, ..ConvSpec::new(inputs, outputs, kernel) };
    ConvNormAct::named(names, spec, Default::default(), activation, b)
}

/// Pooling and an MLP of 1×1 convolutions, each a residual branch with LayerScale.
struct PoolBlock {
    ls1: LayerScale,
    fc1: ConvNormAct,
    fc2: ConvNormAct,
    ls2: LayerScale,
    drop_path: DropPath,
}

impl PoolBlock {
    fn new(dim: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        let ls1 = LayerScale::new(dim, SCALE_INIT, &b.pp("ls1"))?;
        let mlp = b.pp("mlp");
        Ok(PoolBlock {
            ls1,
            fc1: conv_norm((dim, 4 * dim), (1, 1), ("fc1", "norm1"), Gelu, &mlp)?,
            fc2: conv_norm((4 * dim, dim), (1, 1), ("fc2", "norm2"), Identity, &mlp)?,
            ls2: LayerScale::new(dim, SCALE_INIT, &b.pp("ls2"))?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.ls1.forward_2d(&pool_difference(x)?)?;
        let x = add(x, &self.drop_path.forward(&y, mode)?)?;
        let y = self.fc2.forward(&self.fc1.forward(&x, mode)?, mode)?;
        add(&x, &self.drop_path.forward(&self.ls2.forward_2d(&y)?, mode)?)
    }
}

/// Attention and MLP over tokens, each a pre-norm residual branch with LayerScale.
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
