//! MaxViT: in each block an inverted residual, attention within windows, and attention across the map.
//!
//! Tu et al. 2022, <https://arxiv.org/abs/2204.01697>. The second attention is over a grid: pixels that
//! lie as far apart as there are windows. Windows and grid have a 32nd of the image's side.
//!
//! Reference: timm's `maxvit_*_rw_*`, and its `test_maxvit`, which is small enough for images of 32
//! pixels. Weight names are its own: `stem.conv1`, `stages.0.blocks.0.conv.conv2_kxk`,
//! `stages.0.blocks.0.attn_block.attn.qkv`, `stages.0.blocks.0.attn_grid.attn.qkv`, `norm`, `head.fc`.
//! Initial values: Kaiming normal by fan-out for convolutions, truncated normal for linear layers
//! (timm: Xavier uniform). Drop path grows linearly from block to block. The size is fixed when the
//! model is built, and a multiple of 32.

use candle_core::Tensor;
use tallow_nn::layers::{DropPath, Dropout, LayerNorm, Linear};
use tallow_nn::op::Activation::{Gelu, Silu};
use tallow_nn::op::{attention, global_avg_pool, image, reshape, tokens};
use tallow_nn::{Builder, Mode, Result};

use super::mbconv::{MbConv, MbConvStyle, Stem};
use crate::config::{Key, ModelConfig};
use crate::layers::attention::split_heads;
use crate::layers::layer_norm2d::LayerNorm2d;
use crate::layers::mlp::Mlp;
use crate::layers::rel_pos::RelPosBias;
use crate::layers::windows::{grid_partition, grid_reverse, partition, reverse};
use crate::layers::{TRUNCATED, add, average_map, drop_path_rate};
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// Channels of a head.
const HEAD: usize = 32;
const EPS: f32 = 1e-6;

const CONV: MbConvStyle = MbConvStyle {
    pool: false,
    bias: false,
    early_squeeze: false,
    activate_first: false,
    squeeze_activation: Silu,
    squeeze: 16,
};

/// What tells one MaxViT from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    stem: [usize; 2],
    /// Channels of each stage.
    widths: [usize; 4],
    /// Blocks of each stage.
    depths: [usize; 4],
}

impl Layout {
    /// Channels that the classifier sees.
    pub(crate) fn num_features(self) -> usize {
        self.widths[3]
    }
}

pub(crate) const PRESETS: &[Preset] = &[
    preset("test_maxvit", 160, [16, 32], [32, 64, 96, 128], [1, 1, 1, 1]),
    preset("maxvit_pico_rw_256", 256, [24, 32], [32, 64, 128, 256], [2, 2, 5, 2]),
    preset("maxvit_nano_rw_256", 256, [32, 64], [64, 128, 256, 512], [1, 2, 3, 1]),
    preset("maxvit_tiny_rw_224", 224, [32, 64], [64, 128, 256, 512], [2, 2, 5, 2]),
];

/// Preprocessing is that of timm's default weights, `sw_in1k`.
const fn preset(name: &'static str, size: usize, stem: [usize; 2], widths: [usize; 4], depths: [usize; 4]) -> Preset {
    Preset {
        keys: &[Key::DropRate, Key::DropPathRate],
        input_size: (size, size),
        min_input_size: 32,
        size_multiple: 32,
        mean: &[0.5; 3],
        std: &[0.5; 3],
        crop_pct: 0.95,
        interpolation: "bicubic",
        first_conv: "stem.conv1",
        classifier: "head.fc",
        ..Preset::imagenet(name, "hybrid/maxvit", Arch::MaxVit(Layout { stem, widths, depths }))
    }
}

pub(crate) struct MaxVit {
    stem: Stem,
    blocks: Vec<Block>,
    norm: LayerNorm2d,
    dropout: Dropout,
    fc: Linear,
}

impl MaxVit {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let Layout { stem, widths, depths } = layout;
        let total: usize = depths.iter().sum();
        let window = (config.input_size.0 / 32, config.input_size.1 / 32);
        let stem_layers = Stem::new(config.in_chans, stem, &b.pp("stem"))?;
        let (mut blocks, mut inputs) = (Vec::with_capacity(total), stem[1]);
        for (stage, outputs) in widths.into_iter().enumerate() {
            for i in 0..depths[stage] {
                let b = b.pp("stages").pp(stage).pp("blocks").pp(i);
                let drop_path = drop_path_rate(config.drop_path_rate, blocks.len(), total);
                let attn = |over, name: &str| PartitionAttention::new(outputs, over, window, drop_path, &b.pp(name));
                let stride = if i == 0 { 2 } else { 1 };
                blocks.push(Block {
                    conv: MbConv::new((inputs, outputs), stride, CONV, drop_path, &b.pp("conv"))?,
                    attn_block: attn(Over::Windows, "attn_block")?,
                    attn_grid: attn(Over::Grid, "attn_grid")?,
                });
                inputs = outputs;
            }
        }
        Ok(MaxVit {
            stem: stem_layers,
            blocks,
            norm: LayerNorm2d::new(inputs, EPS, &b.pp("norm"))?,
            dropout: Dropout::new(config.drop_rate)?,
            fc: Linear::new(inputs, config.num_classes, true, TRUNCATED, &b.pp("head").pp("fc"))?,
        })
    }
}

impl Model for MaxVit {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images, mode)?;
        for Block { conv, attn_block, attn_grid } in &self.blocks {
            x = conv.forward(&x, mode)?;
            let size = (x.dims()[2], x.dims()[3]);
            let y = attn_block.forward(&tokens(&x)?, size, mode)?;
            x = image(&attn_grid.forward(&y, size, mode)?, size)?;
        }
        self.norm.forward(&x)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.fc.forward(&self.dropout.forward(&global_avg_pool(features)?, mode)?)
    }
}

struct Block {
    conv: MbConv,
    attn_block: PartitionAttention,
    attn_grid: PartitionAttention,
}

/// What attention sees at once.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Windows,
    Grid,
}

/// Attention within the parts of a map, and an MLP.
struct PartitionAttention {
    norm1: LayerNorm,
    qkv: Linear,
    rel_pos: RelPosBias,
    proj: Linear,
    norm2: LayerNorm,
    mlp: Mlp,
    drop_path: DropPath,
    heads: usize,
    over: Over,
    window: (usize, usize),
}

impl PartitionAttention {
    fn new(dim: usize, over: Over, window: (usize, usize), drop_path: f32, b: &Builder) -> Result<Self> {
        let (attn, heads) = (b.pp("attn"), dim / HEAD);
        Ok(PartitionAttention {
            norm1: LayerNorm::new(dim, EPS, &b.pp("norm1"))?,
            qkv: Linear::new(dim, 3 * dim, true, TRUNCATED, &attn.pp("qkv"))?,
            rel_pos: RelPosBias::new(window, heads, &attn.pp("rel_pos"))?,
            proj: Linear::new(dim, dim, true, TRUNCATED, &attn.pp("proj"))?,
            norm2: LayerNorm::new(dim, EPS, &b.pp("norm2"))?,
            mlp: Mlp::new(dim, 4 * dim, Gelu, 0.0, &b.pp("mlp"))?,
            drop_path: DropPath::new(drop_path)?,
            heads,
            over,
            window,
        })
    }

    /// `[n, h · w, dim]` → the same.
    fn forward(&self, x: &Tensor, (h, w): (usize, usize), mode: &Mode) -> Result<Tensor> {
        let (n, _, c) = x.dims3()?;
        let map = reshape(&self.norm1.forward(x)?, (n, h, w, c))?;
        let parts = match self.over {
            Over::Windows => partition(&map, self.window)?,
            Over::Grid => grid_partition(&map, self.window)?,
        };
        let [q, k, v] = split_heads(&self.qkv.forward(&parts)?, self.heads, [HEAD; 3])?;
        let scale = 1.0 / (HEAD as f32).sqrt();
        let y = attention(&q, &k, &v, self.heads, scale, Some(&self.rel_pos.forward()?))?;
        let y = self.proj.forward(&y)?;
        let y = match self.over {
            Over::Windows => reverse(&y, self.window, (h, w))?,
            Over::Grid => grid_reverse(&y, self.window, (h, w))?,
        };
        let x = add(x, &self.drop_path.forward(&reshape(&y, (n, h * w, c))?, mode)?)?;
        let y = self.mlp.forward(&self.norm2.forward(&x)?, mode)?;
        add(&x, &self.drop_path.forward(&y, mode)?)
    }
}
