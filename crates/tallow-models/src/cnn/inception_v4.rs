//! Inception v4: v3's modules made uniform, and more of them.
//!
//! Szegedy et al. 2016, <https://arxiv.org/abs/1602.07261>.
//!
//! Reference: timm's `inception_v4`. Weight names are its own: `features.0.conv`, `features.0.bn`, …,
//! `features.6.branch1.0.conv`, …, `last_linear`. Initial values too: PyTorch's default. `drop_rate` is the
//! dropout before the classifier.

use candle_core::Tensor;
use tallow_nn::layers::{Dropout, Linear};
use tallow_nn::op::{PoolConfig, avg_pool2d, global_avg_pool, max_pool2d};
use tallow_nn::{Builder, Init, Mode, Result};

use super::conv_norm::{ConvNorm, Shape, chain};
use super::linear;
use crate::config::{Key, ModelConfig};
use crate::layers::average_map;
use crate::layers::concat::concat_channels;
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// Channels that the classifier sees.
pub(crate) const NUM_FEATURES: usize = 1536;

pub(crate) const PRESETS: &[Preset] = &[Preset {
    keys: &[Key::DropRate],
    input_size: (299, 299),
    min_input_size: 75,
    mean: &[0.5; 3],
    std: &[0.5; 3],
    interpolation: "bicubic",
    first_conv: "features.0.conv",
    classifier: "last_linear",
    ..Preset::imagenet("inception_v4", "cnn/inception_v4", Arch::InceptionV4)
}];

/// PyTorch's default: a slope of √5.
const INIT: Init = Init::KaimingUniform(2.236_068);
const fn same(height: usize, width: usize) -> Shape {
    Shape::same(height, width, INIT)
}
/// 3×3 without padding.
const VALID: Shape = Shape::valid(3, 1, INIT);
/// The same of stride 2.
const HALVING: Shape = Shape::valid(3, 2, INIT);
const ONE: Shape = same(1, 1);
const THREE: Shape = same(3, 3);
const ROW: Shape = same(1, 7);
const COLUMN: Shape = same(7, 1);

/// A convolution of a chain: its outputs, its shape.
type Link = (usize, Shape);

pub(crate) struct InceptionV4 {
    stem: Vec<ConvNorm>,
    modules: Vec<Module>,
    dropout: Dropout,
    last_linear: Linear,
}

impl InceptionV4 {
    pub(crate) fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let features = b.pp("features");
        let stem = sequence(config.in_chans, &[(32, HALVING), (32, VALID), (64, THREE)], &features)?;
        let mut modules = Vec::new();
        // The stem's three convolutions come first in the sequence.
        for index in 3..22 {
            let b = features.pp(index);
            modules.push(match index {
                3 => {
                    let conv = ConvNorm::new(64, 96, HALVING, &b.pp("conv"))?;
                    Module(vec![Branch::MaxPool, Branch::Chain(vec![conv])])
                }
                4 => {
                    let rows = [(64, ONE), (64, ROW), (64, COLUMN), (96, VALID)];
                    Module::new(160, &[&[(64, ONE), (96, VALID)], &rows], &b)?
                }
                5 => {
                    let conv = ConvNorm::new(192, 192, HALVING, &b.pp("conv"))?;
                    Module(vec![Branch::Chain(vec![conv]), Branch::MaxPool])
                }
                6..=9 => inception_a(&b)?,
                10 => {
                    let double = [(192, ONE), (224, THREE), (256, HALVING)];
                    Module::new(384, &[&[(384, HALVING)], &double], &b)?.and(Branch::MaxPool)
                }
                11..=17 => inception_b(&b)?,
                18 => {
                    let rows = [(256, ONE), (256, ROW), (320, COLUMN), (320, HALVING)];
                    Module::new(1024, &[&[(192, ONE), (192, HALVING)], &rows], &b)?.and(Branch::MaxPool)
                }
                _ => inception_c(&b)?,
            });
        }
        Ok(InceptionV4 {
            stem,
            modules,
            dropout: Dropout::new(config.drop_rate)?,
            last_linear: linear(NUM_FEATURES, config.num_classes, &b.pp("last_linear"))?,
        })
    }
}

impl Model for InceptionV4 {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = chain(&self.stem, images, mode)?;
        self.modules.iter().try_fold(x, |x, module| module.forward(&x, mode))
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = global_avg_pool(features)?;
        self.last_linear.forward(&self.dropout.forward(&x, mode)?)
    }
}

/// Branches side by side.
struct Module(Vec<Branch>);

enum Branch {
    Chain(Vec<ConvNorm>),
    /// A chain that ends in a row and a column side by side.
    Fork(Vec<ConvNorm>, [ConvNorm; 2]),
    /// 3×3 of stride 1 over the pixels there are, then a 1×1 convolution.
    Average(ConvNorm),
    /// 3×3 of stride 2.
    MaxPool,
}

impl Module {
    /// Chains under `branch0`, `branch1`, …; one of a single convolution has no number within.
    fn new(inputs: usize, chains: &[&[Link]], b: &Builder) -> Result<Self> {
        let branch = |(i, links): (usize, &&[Link])| {
            let b = b.pp(format!("branch{i}"));
            Ok(Branch::Chain(match **links {
                [(outputs, shape)] => vec![ConvNorm::new(inputs, outputs, shape, &b)?],
                _ => sequence(inputs, links, &b)?,
            }))
        };
        Ok(Module(chains.iter().enumerate().map(branch).collect::<Result<_>>()?))
    }

    fn and(mut self, branch: Branch) -> Self {
        self.0.push(branch);
        self
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut outputs = Vec::new();
        for branch in &self.0 {
            match branch {
                Branch::Chain(links) => outputs.push(chain(links, x, mode)?),
                Branch::Fork(links, [row, column]) => {
                    let x = chain(links, x, mode)?;
                    outputs.push(row.forward(&x, mode)?);
                    outputs.push(column.forward(&x, mode)?);
                }
                Branch::Average(conv) => {
                    outputs.push(conv.forward(&avg_pool2d(x, PoolConfig::square(3, 1, 1), false)?, mode)?);
                }
                Branch::MaxPool => outputs.push(max_pool2d(x, PoolConfig::square(3, 2, 0))?),
            }
        }
        concat_channels(&outputs)
    }
}

fn inception_a(b: &Builder) -> Result<Module> {
    let chains: &[&[Link]] = &[&[(96, ONE)], &[(64, ONE), (96, THREE)], &[(64, ONE), (96, THREE), (96, THREE)]];
    Ok(Module::new(384, chains, b)?.and(average(384, 96, b)?))
}

fn inception_b(b: &Builder) -> Result<Module> {
    let chains: &[&[Link]] = &[
        &[(384, ONE)],
        &[(192, ONE), (224, ROW), (256, COLUMN)],
        &[(192, ONE), (192, COLUMN), (224, ROW), (224, COLUMN), (256, ROW)],
    ];
    Ok(Module::new(1024, chains, b)?.and(average(1024, 128, b)?))
}

fn inception_c(b: &Builder) -> Result<Module> {
    let (row, column) = (same(1, 3), same(3, 1));
    let conv = |inputs, outputs, shape, name: &str| ConvNorm::new(inputs, outputs, shape, &b.pp(name));
    let first = conv(1536, 256, ONE, "branch0")?;
    let second = vec![conv(1536, 384, ONE, "branch1_0")?];
    let second_fork = [conv(384, 256, row, "branch1_1a")?, conv(384, 256, column, "branch1_1b")?];
    let third = vec![
        conv(1536, 384, ONE, "branch2_0")?,
        conv(384, 448, column, "branch2_1")?,
        conv(448, 512, row, "branch2_2")?,
    ];
    let third_fork = [conv(512, 256, row, "branch2_3a")?, conv(512, 256, column, "branch2_3b")?];
    Ok(Module(vec![
        Branch::Chain(vec![first]),
        Branch::Fork(second, second_fork),
        Branch::Fork(third, third_fork),
        average(1536, 256, b)?,
    ]))
}

fn average(inputs: usize, outputs: usize, b: &Builder) -> Result<Branch> {
    Ok(Branch::Average(ConvNorm::new(inputs, outputs, ONE, &b.pp("branch3").pp(1))?))
}

/// One after the other, numbered from 0.
fn sequence(mut inputs: usize, links: &[Link], b: &Builder) -> Result<Vec<ConvNorm>> {
    let link = |(i, &(outputs, shape)): (usize, &Link)| {
        let conv = ConvNorm::new(inputs, outputs, shape, &b.pp(i));
        inputs = outputs;
        conv
    };
    links.iter().enumerate().map(link).collect()
}
