//! LeViT: a convolutional stem and three stages of attention whose feature maps shrink as in a convolutional network.
//!
//! Graham et al. 2021, <https://arxiv.org/abs/2104.01136>. BatchNorm follows each linear layer, the activation is
//! Hardswish, keys are narrow and values wide, and scores have a learned bias for the distance of two tokens. There
//! are two classifiers, one of them for distillation. The logits are their mean, in training too unless there is a
//! teacher.
//!
//! Reference: timm's `levit_*` (without `_conv`). Weight names are timm's: `stem.conv1.linear`,
//! `stages.0.blocks.0.attn.attention_biases`, `.attn.qkv.linear`, `.mlp.ln1.linear`,
//! `stages.1.downsample.attn_downsample.q.ln`, `head.bn`, `head.linear`, `head_dist`. The input size is fixed when the
//! model is built. Drop path has the same rate in every block.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, BatchNormOptions, DropPath, Dropout, Linear};
use tallow_nn::op::Activation::{self, Hardswish, Identity};
use tallow_nn::op::{activate, attention, global_avg_pool, image, narrow, reshape, tokens};
use tallow_nn::{Builder, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::attention::split_heads;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::distance_bias::DistanceBias;
use crate::layers::padded_conv::ConvSpec;
use crate::layers::windows::pad;
use crate::layers::{PYTORCH_DEFAULT, TRUNCATED, add, average_map, mean_of_heads};
use crate::model::Model;
use crate::preset::Preset;

/// A variant of LeViT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LevitVariant {
    /// Channels of each stage.
    widths: [usize; 3],
    /// Channels of the keys of a head.
    key_dim: usize,
    heads: [usize; 3],
    /// Blocks of each stage.
    depths: [usize; 3],
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate];

const VARIANTS: &[(Preset, LevitVariant)] = &[
    (preset("levit_128s"), LevitVariant { widths: [128, 256, 384], key_dim: 16, heads: [4, 6, 8], depths: [2, 3, 4] }),
    (preset("levit_128"), LevitVariant { widths: [128, 256, 384], key_dim: 16, heads: [4, 8, 12], depths: [4, 4, 4] }),
    (preset("levit_192"), LevitVariant { widths: [192, 288, 384], key_dim: 32, heads: [3, 5, 6], depths: [4, 4, 4] }),
    (preset("levit_256"), LevitVariant { widths: [256, 384, 512], key_dim: 32, heads: [4, 6, 8], depths: [4, 4, 4] }),
];

/// The preprocessing of timm's default weights, `fb_dist_in1k`.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: 16,
        size_multiple: 16,
        fixed_input_size: true,
        crop_pct: 0.9,
        interpolation: "bicubic",
        first_conv: "stem.conv1.linear",
        classifier: "head.linear",
        ..Preset::imagenet(name, "hybrid/levit")
    }
}

pub(crate) static FAMILY: FamilyTable<LevitVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(Levit::new(variant, config, b)),
    num_features: |variant, _| variant.widths[2],
};

struct Levit {
    stem: Vec<ConvNormAct>,
    stages: Vec<Stage>,
    head: NormLinear,
    head_dist: NormLinear,
}

impl Levit {
    fn new(variant: LevitVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let LevitVariant { widths, key_dim, heads, depths } = variant;
        let stem = (0..4).map(|i| {
            let channels = widths[0] >> (3 - i);
            let inputs = if i == 0 { config.in_chans } else { channels / 2 };
            let spec = ConvSpec { stride: 2, ..ConvSpec::new(inputs, channels, 3) };
            let activation = if i < 3 { Hardswish } else { Identity };
            let b = b.pp("stem").pp(format!("conv{}", i + 1));
            ConvNormAct::named(("linear", "bn"), spec, Default::default(), activation, &b)
        });
        let stem = stem.collect::<Result<_>>()?;
        let mut size = (config.input_size.0 / 16, config.input_size.1 / 16);
        let drop_path = config.drop_path_rate;
        let stages = (0..3).map(|i| {
            let b = b.pp("stages").pp(i);
            let mut downsample = None;
            if i > 0 {
                let spec = AttentionSpec { heads: widths[i - 1] / key_dim, key_dim, value_dim: 4 * key_dim, size };
                let b = b.pp("downsample");
                let attn = AttentionDownsample::new(widths[i - 1], widths[i], spec, &b.pp("attn_downsample"))?;
                downsample = Some((attn, MlpBranch::new(widths[i], drop_path, &b)?));
                size = (size.0.div_ceil(2), size.1.div_ceil(2));
            }
            let spec = AttentionSpec { heads: heads[i], key_dim, value_dim: 2 * key_dim, size };
            let blocks = (0..depths[i]).map(|j| Block::new(widths[i], spec, drop_path, &b.pp("blocks").pp(j)));
            Ok(Stage { downsample, blocks: blocks.collect::<Result<_>>()? })
        });
        let stages = stages.collect::<Result<_>>()?;
        let head = |name: &str| NormLinear::new(widths[2], config.num_classes, config.drop_rate, &b.pp(name));
        Ok(Levit { stem, stages, head: head("head")?, head_dist: head("head_dist")? })
    }
}

impl Model for Levit {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = images.clone();
        for conv in &self.stem {
            x = conv.forward(&x, mode)?;
        }
        let mut size = (x.dims()[2], x.dims()[3]);
        let mut x = tokens(&x)?;
        for Stage { downsample, blocks } in &self.stages {
            if let Some((attn, mlp)) = downsample {
                x = mlp.forward(&attn.forward(&x, mode)?, mode)?;
                size = (size.0.div_ceil(2), size.1.div_ceil(2));
            }
            for block in blocks {
                x = block.forward(&x, mode)?;
            }
        }
        image(&x, size)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        mean_of_heads(self.forward_heads(features, mode)?)
    }

    fn forward_heads(&self, features: &Tensor, mode: &Mode) -> Result<(Tensor, Option<Tensor>)> {
        let x = global_avg_pool(features)?;
        Ok((self.head.forward(&x, mode)?, Some(self.head_dist.forward(&x, mode)?)))
    }
}

struct Stage {
    downsample: Option<(AttentionDownsample, MlpBranch)>,
    blocks: Vec<Block>,
}

/// A linear layer without bias and a BatchNorm over all tokens.
struct LinearNorm {
    linear: Linear,
    bn: BatchNorm2d,
}

impl LinearNorm {
    fn new(inputs: usize, outputs: usize, scale: f32, b: &Builder) -> Result<Self> {
        let norm = BatchNormOptions { weight_init: scale, ..Default::default() };
        Ok(LinearNorm {
            linear: Linear::new(inputs, outputs, false, PYTORCH_DEFAULT, &b.pp("linear"))?,
            bn: BatchNorm2d::new(outputs, norm, &b.pp("bn"))?,
        })
    }

    /// `[n, tokens, in]` → `[n, tokens, out]`.
    fn forward(&self, x: &Tensor, activation: Activation, mode: &Mode) -> Result<Tensor> {
        let x = self.linear.forward(x)?;
        let x = image(&x, (x.dims()[1], 1))?;
        tokens(&self.bn.forward_act(&x, activation, mode)?)
    }
}

/// A BatchNorm, dropout and a classifier.
struct NormLinear {
    bn: BatchNorm2d,
    dropout: Dropout,
    linear: Linear,
}

impl NormLinear {
    fn new(inputs: usize, outputs: usize, drop_rate: f32, b: &Builder) -> Result<Self> {
        Ok(NormLinear {
            bn: BatchNorm2d::new(inputs, Default::default(), &b.pp("bn"))?,
            dropout: Dropout::new(drop_rate)?,
            linear: Linear::new(inputs, outputs, true, TRUNCATED, &b.pp("linear"))?,
        })
    }

    /// `[n, in]` → `[n, out]`.
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (n, c) = x.dims2()?;
        let x = reshape(&self.bn.forward(&reshape(x, (n, c, 1, 1))?, mode)?, (n, c))?;
        self.linear.forward(&self.dropout.forward(&x, mode)?)
    }
}

struct Block {
    attn: Attention,
    mlp: MlpBranch,
    drop_path: DropPath,
}

impl Block {
    fn new(dim: usize, spec: AttentionSpec, drop_path: f32, b: &Builder) -> Result<Self> {
        Ok(Block {
            attn: Attention::new(dim, spec, &b.pp("attn"))?,
            mlp: MlpBranch::new(dim, drop_path, b)?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.drop_path.forward(&self.attn.forward(x, mode)?, mode)?;
        self.mlp.forward(&add(x, &y)?, mode)
    }
}

/// `x + mlp(x)`; the last norm starts at zero.
struct MlpBranch {
    ln1: LinearNorm,
    ln2: LinearNorm,
    drop_path: DropPath,
}

impl MlpBranch {
    fn new(dim: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        let b = b.pp("mlp");
        Ok(MlpBranch {
            ln1: LinearNorm::new(dim, 2 * dim, 1.0, &b.pp("ln1"))?,
            ln2: LinearNorm::new(2 * dim, dim, 0.0, &b.pp("ln2"))?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.ln2.forward(&self.ln1.forward(x, Hardswish, mode)?, Identity, mode)?;
        add(x, &self.drop_path.forward(&y, mode)?)
    }
}

/// The configuration of an attention layer.
#[derive(Clone, Copy)]
struct AttentionSpec {
    heads: usize,
    key_dim: usize,
    value_dim: usize,
    /// Height and width of the map that keys and values come from.
    size: (usize, usize),
}

impl AttentionSpec {
    fn scale(self) -> f32 {
        1.0 / (self.key_dim as f32).sqrt()
    }
}

struct Attention {
    bias: DistanceBias,
    qkv: LinearNorm,
    proj: LinearNorm,
    spec: AttentionSpec,
}

impl Attention {
    fn new(dim: usize, spec: AttentionSpec, b: &Builder) -> Result<Self> {
        let AttentionSpec { heads, key_dim, value_dim, .. } = spec;
        Ok(Attention {
            bias: DistanceBias::new(spec.size, 1, heads, b)?,
            qkv: LinearNorm::new(dim, heads * (2 * key_dim + value_dim), 1.0, &b.pp("qkv"))?,
            proj: LinearNorm::new(heads * value_dim, dim, 0.0, &b.pp("proj").pp("ln"))?,
            spec,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let AttentionSpec { heads, key_dim, value_dim, .. } = self.spec;
        let qkv = self.qkv.forward(x, Identity, mode)?;
        let [q, k, v] = split_heads(&qkv, heads, [key_dim, key_dim, value_dim])?;
        let y = attention(&q, &k, &v, heads, self.spec.scale(), Some(&self.bias.forward()?))?;
        self.proj.forward(&activate(&y, Hardswish)?, Identity, mode)
    }
}

/// Attention whose queries are every second token in both directions.
struct AttentionDownsample {
    bias: DistanceBias,
    kv: LinearNorm,
    q: LinearNorm,
    proj: LinearNorm,
    spec: AttentionSpec,
}

impl AttentionDownsample {
    fn new(inputs: usize, outputs: usize, spec: AttentionSpec, b: &Builder) -> Result<Self> {
        let AttentionSpec { heads, key_dim, value_dim, .. } = spec;
        Ok(AttentionDownsample {
            bias: DistanceBias::new(spec.size, 2, heads, b)?,
            kv: LinearNorm::new(inputs, heads * (key_dim + value_dim), 1.0, &b.pp("kv"))?,
            q: LinearNorm::new(inputs, heads * key_dim, 1.0, &b.pp("q").pp("ln"))?,
            proj: LinearNorm::new(heads * value_dim, outputs, 1.0, &b.pp("proj").pp("ln"))?,
            spec,
        })
    }

    /// `[n, h · w, in]` → `[n, ⌈h / 2⌉ · ⌈w / 2⌉, out]`.
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let AttentionSpec { heads, key_dim, value_dim, size: (h, w) } = self.spec;
        let [k, v] = split_heads(&self.kv.forward(x, Identity, mode)?, heads, [key_dim, value_dim])?;
        let (n, _, c) = x.dims3()?;
        let map = pad(&reshape(x, (n, h, w, c))?, (2, 2))?;
        let (h, w) = (map.dims()[1] / 2, map.dims()[2] / 2);
        let every_other = narrow(&narrow(&reshape(&map, vec![n, h, 2, w, 2, c])?, 2, 0, 1)?, 4, 0, 1)?;
        let q = self.q.forward(&reshape(&every_other, (n, h * w, c))?, Identity, mode)?;
        let y = attention(&q, &k, &v, heads, self.spec.scale(), Some(&self.bias.forward()?))?;
        self.proj.forward(&activate(&y, Hardswish)?, Identity, mode)
    }
}
