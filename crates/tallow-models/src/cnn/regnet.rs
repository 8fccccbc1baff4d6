//! RegNet: networks whose widths follow a quantised linear function of the depth.
//!
//! Radosavovic et al. 2020, <https://arxiv.org/abs/2003.13678>. The blocks are bottlenecks of constant width with
//! grouped 3×3 convolutions. Block i has `w0 + wa · i` channels, rounded to `w0` times a power of `wm` and then to a
//! multiple of 8; blocks of one width form a stage. RegNetY adds squeeze-excite after the 3×3 convolution.
//!
//! Reference: timm's `regnetx_002…032` and `regnety_002…032`. Weight names are timm's: `stem.conv`, `stem.bn`,
//! `s1.b1.conv1.conv`, `s1.b1.conv1.bn`, …, `s1.b1.se.fc1`, `s1.b1.downsample.conv`, `head.fc`. Initial values are
//! timm's: Kaiming normal by a group's fan-out, zero for the last norm of each block, normal of 0.01 for `head.fc`.
//! Drop path grows linearly from block to block.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNormOptions, DropPath, Linear};
use tallow_nn::op::Activation::{Identity, Relu, Sigmoid};
use tallow_nn::op::add_activate;
use tallow_nn::{Builder, Init, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::head::ClassifierHead;
use crate::layers::padded_conv::ConvSpec;
use crate::layers::squeeze_excite::SqueezeExcite;
use crate::layers::{average_map, drop_path_rate};
use crate::model::Model;
use crate::preset::Preset;

/// A variant of RegNet. Fields without a comment have the paper's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RegNetVariant {
    depth: usize,
    w0: usize,
    wa: f32,
    wm: f32,
    /// Channels of a group of the 3×3 convolution.
    group_size: usize,
    /// Whether each block has squeeze-excite, with a quarter of the block's input channels.
    squeeze_excite: bool,
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate, Key::ZeroInitLast];

const VARIANTS: &[(Preset, RegNetVariant)] = &[
    (preset("regnetx_002", 0.875), x(13, 24, 36.44, 2.49, 8)),
    (preset("regnetx_004", 0.875), x(22, 24, 24.48, 2.54, 16)),
    (preset("regnetx_006", 0.875), x(16, 48, 36.97, 2.24, 24)),
    (preset("regnetx_008", 0.965), x(16, 56, 35.73, 2.28, 16)),
    (preset("regnetx_016", 0.965), x(18, 80, 34.01, 2.25, 24)),
    (preset("regnetx_032", 0.965), x(25, 88, 26.31, 2.25, 48)),
    (preset("regnety_002", 0.875), y(13, 24, 36.44, 2.49, 8)),
    (preset("regnety_004", 0.965), y(16, 48, 27.89, 2.09, 8)),
    (preset("regnety_006", 0.875), y(15, 48, 32.54, 2.32, 16)),
    (preset("regnety_008", 0.875), y(14, 56, 38.84, 2.4, 16)),
    (preset("regnety_016", 0.965), y(27, 48, 20.71, 2.65, 24)),
    (preset("regnety_032", 0.95), y(21, 80, 42.63, 2.66, 24)),
];

const fn x(depth: usize, w0: usize, wa: f32, wm: f32, group_size: usize) -> RegNetVariant {
    RegNetVariant { depth, w0, wa, wm, group_size, squeeze_excite: false }
}

const fn y(depth: usize, w0: usize, wa: f32, wm: f32, group_size: usize) -> RegNetVariant {
    RegNetVariant { squeeze_excite: true, ..x(depth, w0, wa, wm, group_size) }
}

const fn preset(name: &'static str, crop_pct: f32) -> Preset {
    Preset {
        keys: KEYS,
        crop_pct,
        interpolation: "bicubic",
        first_conv: "stem.conv",
        classifier: "head.fc",
        ..Preset::imagenet(name, "cnn/regnet")
    }
}

const STEM_WIDTH: usize = 32;

/// The blocks of one width.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stage {
    width: usize,
    blocks: usize,
    group_size: usize,
}

impl RegNetVariant {
    /// The stages. Rounding is timm's: in f32, halves to even.
    fn stages(self) -> Vec<Stage> {
        let w0 = self.w0 as f32;
        let mut stages: Vec<Stage> = Vec::new();
        for i in 0..self.depth {
            let exponent = ((i as f32 * self.wa + w0) / w0).ln() / self.wm.ln();
            let width = (w0 * self.wm.powf(exponent.round_ties_even()) / 8.0).round_ties_even() as usize * 8;
            match stages.last_mut() {
                Some(stage) if stage.width == width => stage.blocks += 1,
                _ => stages.push(Stage { width, blocks: 1, group_size: self.group_size.min(width) }),
            }
        }
        // The width is a multiple of the group size.
        for stage in &mut stages {
            let groups = (stage.width as f32 / stage.group_size as f32).round_ties_even();
            stage.width = groups as usize * stage.group_size;
        }
        stages
    }

    /// The number of channels of the features.
    fn num_features(self) -> usize {
        self.stages().last().map_or(STEM_WIDTH, |stage| stage.width)
    }
}

pub(crate) static FAMILY: FamilyTable<RegNetVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(RegNet::new(variant, config, b)),
    num_features: |variant, _| variant.num_features(),
};

struct RegNet {
    stem: ConvNormAct,
    /// `s1`, `s2`, …, one after the other.
    blocks: Vec<Block>,
    classifier: ClassifierHead,
}

impl RegNet {
    fn new(variant: RegNetVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let spec = ConvSpec { stride: 2, ..ConvSpec::new(config.in_chans, STEM_WIDTH, 3) };
        let stem = ConvNormAct::new(spec, Default::default(), Relu, &b.pp("stem"))?;
        let mut inputs = STEM_WIDTH;
        let mut blocks = Vec::new();
        for (s, Stage { width, blocks: count, group_size }) in variant.stages().into_iter().enumerate() {
            let b = b.pp(format!("s{}", s + 1));
            for i in 0..count {
                let spec = BlockSpec {
                    inputs,
                    outputs: width,
                    stride: if i == 0 { 2 } else { 1 },
                    groups: width / group_size,
                    squeeze_excite: variant.squeeze_excite,
                    drop_path: drop_path_rate(config.drop_path_rate, blocks.len(), variant.depth),
                    last_scale: if config.zero_init_last.unwrap_or(true) { 0.0 } else { 1.0 },
                };
                blocks.push(Block::new(&spec, &b.pp(format!("b{}", i + 1)))?);
                inputs = width;
            }
        }
        let head = b.pp("head");
        Ok(RegNet {
            stem,
            blocks,
            classifier: ClassifierHead::new(
                Linear::new(inputs, config.num_classes, true, Init::Normal(0.01), &head.pp("fc"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl Model for RegNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
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

/// The configuration of a block.
struct BlockSpec {
    inputs: usize,
    outputs: usize,
    stride: usize,
    groups: usize,
    squeeze_excite: bool,
    drop_path: f32,
    /// The initial scale of the last norm.
    last_scale: f32,
}

struct Block {
    conv1: ConvNormAct,
    conv2: ConvNormAct,
    se: Option<SqueezeExcite>,
    conv3: ConvNormAct,
    /// The shortcut of a block that changes size or channels.
    downsample: Option<ConvNormAct>,
    drop_path: DropPath,
}

impl Block {
    fn new(spec: &BlockSpec, b: &Builder) -> Result<Self> {
        let BlockSpec { inputs, outputs, stride, groups, .. } = *spec;
        let norm = BatchNormOptions::default();
        let last = BatchNormOptions { weight_init: spec.last_scale, ..norm };
        let grouped = ConvSpec { stride, groups, ..ConvSpec::new(outputs, outputs, 3) };
        let conv1 = ConvNormAct::new(ConvSpec::new(inputs, outputs, 1), norm, Relu, &b.pp("conv1"))?;
        let conv2 = ConvNormAct::new(grouped, norm, Relu, &b.pp("conv2"))?;
        let se = spec
            .squeeze_excite
            .then(|| SqueezeExcite::new(outputs, inputs / 4, ("fc1", "fc2"), Relu, Sigmoid, &b.pp("se")))
            .transpose()?;
        let conv3 = ConvNormAct::new(ConvSpec::new(outputs, outputs, 1), last, Identity, &b.pp("conv3"))?;
        let changes = stride != 1 || inputs != outputs;
        let downsample = changes.then(|| {
            let spec = ConvSpec { stride, ..ConvSpec::new(inputs, outputs, 1) };
            ConvNormAct::new(spec, norm, Identity, &b.pp("downsample"))
        });
        Ok(Block {
            conv1,
            conv2,
            se,
            conv3,
            downsample: downsample.transpose()?,
            drop_path: DropPath::new(spec.drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut y = self.conv2.forward(&self.conv1.forward(x, mode)?, mode)?;
        if let Some(se) = &self.se {
            y = se.forward(&y)?;
        }
        let y = self.drop_path.forward(&self.conv3.forward(&y, mode)?, mode)?;
        match &self.downsample {
            Some(downsample) => add_activate(&y, &downsample.forward(x, mode)?, Relu),
            None => add_activate(&y, x, Relu),
        }
    }
}
