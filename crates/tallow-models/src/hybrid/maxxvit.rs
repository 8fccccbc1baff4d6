//! The parts that CoAtNet and MaxViT share: a convolutional stem, four stages of blocks that each halve the map, a norm and a
//! classifier; and attention with a relative position bias.
//!
//! Reference: timm's `maxxvit`. Names: `stem.conv1`, `stem.norm1`, `stem.conv2`, `stages.0.blocks.0`, …, `norm`,
//! `head.fc`.

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions, Linear};
use tallow_nn::op::Activation::Silu;
use tallow_nn::op::attention;
use tallow_nn::{Builder, Mode, Result};

use crate::config::ModelConfig;
use crate::layers::attention::split_heads;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::head::ClassifierHead;
use crate::layers::layer_norm2d::LayerNorm2d;
use crate::layers::padded_conv::ConvSpec;
use crate::layers::rel_pos::RelPosBias;
use crate::layers::{TRUNCATED, average_map, drop_path_rate};
use crate::model::Model;

/// Of every norm.
pub(super) const EPS: f32 = 1e-6;
/// Channels of a head.
const HEAD: usize = 32;

/// The widths and depths of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sizes {
    /// Channels of the stem's two convolutions.
    pub stem: [usize; 2],
    /// Channels of each stage.
    pub widths: [usize; 4],
    /// Blocks of each stage.
    pub depths: [usize; 4],
}

/// A block of a stage.
pub(super) trait Block: Send + Sync {
    /// `[n, inputs, h, w]` → `[n, outputs, h / stride, w / stride]`.
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor>;
}

/// The place of a block in the network.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Counted from 0.
    pub stage: usize,
    pub inputs: usize,
    pub outputs: usize,
    /// 2 for the first block of a stage, 1 for the others.
    pub stride: usize,
    pub drop_path: f32,
}

/// Stem, blocks, norm, classifier.
pub(super) struct MaxxVit<B> {
    stem: Stem,
    blocks: Vec<B>,
    norm: LayerNorm2d,
    classifier: ClassifierHead,
}

impl<B: Block> MaxxVit<B> {
    pub(super) fn new(
        sizes: Sizes,
        config: &ModelConfig,
        block: impl Fn(Place, &Builder) -> Result<B>,
        b: &Builder,
    ) -> Result<Self> {
        let Sizes { stem, widths, depths } = sizes;
        let total: usize = depths.iter().sum();
        let stem_layers = Stem::new(config.in_chans, stem, &b.pp("stem"))?;
        let (mut blocks, mut inputs) = (Vec::with_capacity(total), stem[1]);
        for (stage, outputs) in widths.into_iter().enumerate() {
            for i in 0..depths[stage] {
                let drop_path = drop_path_rate(config.drop_path_rate, blocks.len(), total);
                let place = Place { stage, inputs, outputs, stride: if i == 0 { 2 } else { 1 }, drop_path };
                blocks.push(block(place, &b.pp("stages").pp(stage).pp("blocks").pp(i))?);
                inputs = outputs;
            }
        }
        Ok(MaxxVit {
            stem: stem_layers,
            blocks,
            norm: LayerNorm2d::new(inputs, EPS, &b.pp("norm"))?,
            classifier: ClassifierHead::new(
                Linear::new(inputs, config.num_classes, true, TRUNCATED, &b.pp("head").pp("fc"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl<B: Block> Model for MaxxVit<B> {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        self.norm.forward(&x)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.classifier.forward(features, mode)
    }
}

/// Two 3×3 convolutions, the first of stride 2.
struct Stem {
    conv1: ConvNormAct,
    conv2: Conv2d,
}

impl Stem {
    fn new(inputs: usize, widths: [usize; 2], b: &Builder) -> Result<Self> {
        let first = ConvSpec { stride: 2, ..ConvSpec::new(inputs, widths[0], 3) };
        let second = Conv2dOptions { padding: 1, ..Default::default() };
        Ok(Stem {
            conv1: ConvNormAct::named(("conv1", "norm1"), first, Default::default(), Silu, b)?,
            conv2: Conv2d::new(widths[0], widths[1], 3, second, &b.pp("conv2"))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.conv2.forward(&self.conv1.forward(x, mode)?)
    }
}

/// Attention of heads of 32 channels, with a learned bias for the offset of two tokens within a window.
pub(super) struct RelPosAttention {
    rel_pos: RelPosBias,
    heads: usize,
}

impl RelPosAttention {
    /// For tokens of `dim` channels; the bias is named `rel_pos`.
    pub(super) fn new(dim: usize, window: (usize, usize), b: &Builder) -> Result<Self> {
        let heads = dim / HEAD;
        Ok(RelPosAttention { rel_pos: RelPosBias::new(window, heads, &b.pp("rel_pos"))?, heads })
    }

    /// Projected queries, keys and values of each head `[n, tokens, 3 · dim]` → `[n, tokens, dim]`.
    pub(super) fn forward(&self, qkv: &Tensor) -> Result<Tensor> {
        let [q, k, v] = split_heads(qkv, self.heads, [HEAD; 3])?;
        let scale = 1.0 / (HEAD as f32).sqrt();
        attention(&q, &k, &v, self.heads, scale, Some(&self.rel_pos.forward()?))
    }
}
