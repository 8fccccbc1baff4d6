//! MaxViT: blocks of an inverted residual, attention within windows, and attention over a grid.
//!
//! Tu et al. 2022, <https://arxiv.org/abs/2204.01697>. The tokens of a grid are spread over the whole map at equal
//! distances. The side of windows and grids is a 32nd of the image's side.
//!
//! Reference: timm's `maxvit_*_rw_*` and `test_maxvit`, which fits images of 32 pixels. Weight names are timm's:
//! `stem.conv1`, `stages.0.blocks.0.conv.conv2_kxk`, `stages.0.blocks.0.attn_block.attn.qkv`,
//! `stages.0.blocks.0.attn_grid.attn.qkv`, `norm`, `head.fc`. Drop path grows linearly from block to block. The input
//! size is fixed when the model is built and is a multiple of 32. The network is in `maxxvit.rs`.
//!
//! Deviation from timm: linear layers start truncated normal instead of Xavier uniform. Convolutions start Kaiming
//! normal by fan-out.

use candle_core::Tensor;
use tallow_nn::layers::{DropPath, LayerNorm, Linear};
use tallow_nn::op::Activation::{Gelu, Silu};
use tallow_nn::op::{image, reshape, tokens};
use tallow_nn::{Builder, Mode, Result};

use super::maxxvit::{Block, EPS, MaxxVit, Place, RelPosAttention, Sizes};
use super::mbconv::{MbConv, MbConvStyle};
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::mlp::Mlp;
use crate::layers::windows::{grid_partition, grid_reverse, partition, reverse};
use crate::layers::{TRUNCATED, add};
use crate::preset::Preset;

const CONV: MbConvStyle = MbConvStyle {
    pool: false,
    bias: false,
    early_squeeze: false,
    activate_first: false,
    squeeze_activation: Silu,
    squeeze: 16,
};

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate];

const VARIANTS: &[(Preset, Sizes)] = &[
    (preset("test_maxvit", 160), Sizes { stem: [16, 32], widths: [32, 64, 96, 128], depths: [1, 1, 1, 1] }),
    (preset("maxvit_pico_rw_256", 256), Sizes { stem: [24, 32], widths: [32, 64, 128, 256], depths: [2, 2, 5, 2] }),
    (preset("maxvit_nano_rw_256", 256), Sizes { stem: [32, 64], widths: [64, 128, 256, 512], depths: [1, 2, 3, 1] }),
    (preset("maxvit_tiny_rw_224", 224), Sizes { stem: [32, 64], widths: [64, 128, 256, 512], depths: [2, 2, 5, 2] }),
];

/// The preprocessing of timm's default weights, `sw_in1k`.
const fn preset(name: &'static str, size: usize) -> Preset {
    Preset {
        keys: KEYS,
        input_size: (size, size),
        min_input_size: 32,
        size_multiple: 32,
        fixed_input_size: true,
        mean: &[0.5; 3],
        std: &[0.5; 3],
        crop_pct: 0.95,
        interpolation: "bicubic",
        first_conv: "stem.conv1",
        classifier: "head.fc",
        ..Preset::imagenet(name, "hybrid/maxvit")
    }
}

pub(crate) static FAMILY: FamilyTable<Sizes> = FamilyTable {
    variants: VARIANTS,
    build: |sizes, _, config, b| boxed(maxvit(sizes, config, b)),
    num_features: |sizes, _| sizes.widths[3],
};

fn maxvit(sizes: Sizes, config: &ModelConfig, b: &Builder) -> Result<MaxxVit<MaxVitBlock>> {
    let window = (config.input_size.0 / 32, config.input_size.1 / 32);
    let block = |place: Place, b: &Builder| {
        let Place { inputs, outputs, stride, drop_path, .. } = place;
        let attn = |over, name: &str| PartitionAttention::new(outputs, over, window, drop_path, &b.pp(name));
        Ok(MaxVitBlock {
            conv: MbConv::new((inputs, outputs), stride, CONV, drop_path, &b.pp("conv"))?,
            attn_block: attn(Over::Windows, "attn_block")?,
            attn_grid: attn(Over::Grid, "attn_grid")?,
        })
    };
    MaxxVit::new(sizes, config, block, b)
}

struct MaxVitBlock {
    conv: MbConv,
    attn_block: PartitionAttention,
    attn_grid: PartitionAttention,
}

impl Block for MaxVitBlock {
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.conv.forward(x, mode)?;
        let size = (x.dims()[2], x.dims()[3]);
        let y = self.attn_block.forward(&tokens(&x)?, size, mode)?;
        image(&self.attn_grid.forward(&y, size, mode)?, size)
    }
}

/// The partition that attention runs within.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Windows,
    Grid,
}

/// Attention within the windows or grids of a map, and an MLP.
struct PartitionAttention {
    norm1: LayerNorm,
    qkv: Linear,
    attention: RelPosAttention,
    proj: Linear,
    norm2: LayerNorm,
    mlp: Mlp,
    drop_path: DropPath,
    over: Over,
    window: (usize, usize),
}

impl PartitionAttention {
    fn new(dim: usize, over: Over, window: (usize, usize), drop_path: f32, b: &Builder) -> Result<Self> {
        let attn = b.pp("attn");
        Ok(PartitionAttention {
            norm1: LayerNorm::new(dim, EPS, &b.pp("norm1"))?,
            qkv: Linear::new(dim, 3 * dim, true, TRUNCATED, &attn.pp("qkv"))?,
            attention: RelPosAttention::new(dim, window, &attn)?,
            proj: Linear::new(dim, dim, true, TRUNCATED, &attn.pp("proj"))?,
            norm2: LayerNorm::new(dim, EPS, &b.pp("norm2"))?,
            mlp: Mlp::new(dim, 4 * dim, Gelu, 0.0, &b.pp("mlp"))?,
            drop_path: DropPath::new(drop_path)?,
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
        let y = self.proj.forward(&self.attention.forward(&self.qkv.forward(&parts)?)?)?;
        let y = match self.over {
            Over::Windows => reverse(&y, self.window, (h, w))?,
            Over::Grid => grid_reverse(&y, self.window, (h, w))?,
        };
        let x = add(x, &self.drop_path.forward(&reshape(&y, (n, h * w, c))?, mode)?)?;
        let y = self.mlp.forward(&self.norm2.forward(&x)?, mode)?;
        add(&x, &self.drop_path.forward(&y, mode)?)
    }
}
