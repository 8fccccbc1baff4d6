//! Inception v4: uniform modules, more of them than in v3.
//!
//! Szegedy et al. 2016, <https://arxiv.org/abs/1602.07261>.
//!
//! Reference: timm's `inception_v4`. Weight names are timm's: `features.0.conv`, `features.0.bn`, …,
//! `features.6.branch1.0.conv`, …, `last_linear`. Initial values are PyTorch's defaults. `drop_rate` is the dropout
//! before the classifier.

use candle_core::Tensor;
use tallow_nn::op::{PoolConfig, avg_pool2d, max_pool2d};
use tallow_nn::{Builder, Init, Mode, Result};

use super::inception::{Shape, chain, conv};
use super::linear;
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::concat::concat_channels;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::head::ClassifierHead;
use crate::layers::{PYTORCH_DEFAULT, average_map};
use crate::model::Model;
use crate::preset::Preset;

/// The number of channels of the features.
const NUM_FEATURES: usize = 1536;

const KEYS: &[Key] = &[Key::DropRate];

const PRESET: Preset = Preset {
    keys: KEYS,
    input_size: (299, 299),
    min_input_size: 75,
    mean: &[0.5; 3],
    std: &[0.5; 3],
    interpolation: "bicubic",
    first_conv: "features.0.conv",
    classifier: "last_linear",
    ..Preset::imagenet("inception_v4", "cnn/inception_v4")
};

const INIT: Init = PYTORCH_DEFAULT;
const fn same(height: usize, width: usize) -> Shape {
    Shape::same(height, width, INIT)
}
/// 3×3 without padding.
const VALID: Shape = Shape::valid(3, 1, INIT);
/// 3×3 of stride 2 without padding.
const HALVING: Shape = Shape::valid(3, 2, INIT);
const ONE: Shape = same(1, 1);
const THREE: Shape = same(3, 3);
const ROW: Shape = same(1, 7);
const COLUMN: Shape = same(7, 1);

/// A convolution of a chain: outputs, shape.
type Link = (usize, Shape);

pub(crate) static FAMILY: FamilyTable<()> = FamilyTable {
    variants: &[(PRESET, ())],
    build: |(), _, config, b| boxed(InceptionV4::new(config, b)),
    num_features: |(), _| NUM_FEATURES,
};

struct InceptionV4 {
    stem: Vec<ConvNormAct>,
    modules: Vec<Module>,
    classifier: ClassifierHead,
}

impl InceptionV4 {
    fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let features = b.pp("features");
        let stem = sequence(config.in_chans, &[(32, HALVING), (32, VALID), (64, THREE)], &features)?;
        let mut modules = Vec::new();
        // The stem's three convolutions are modules 0 to 2.
        for index in 3..22 {
            let b = features.pp(index);
            modules.push(match index {
                3 => {
                    let conv = conv(64, 96, HALVING, &b.pp("conv"))?;
                    Module(vec![Branch::MaxPool, Branch::Chain(vec![conv])])
                }
                4 => {
                    let rows = [(64, ONE), (64, ROW), (64, COLUMN), (96, VALID)];
                    Module::new(160, &[&[(64, ONE), (96, VALID)], &rows], &b)?
                }
                5 => {
                    let conv = conv(192, 192, HALVING, &b.pp("conv"))?;
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
            classifier: ClassifierHead::new(
                linear(NUM_FEATURES, config.num_classes, &b.pp("last_linear"))?,
                config.drop_rate,
            )?,
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
        self.classifier.forward(features, mode)
    }
}

/// Parallel branches.
struct Module(Vec<Branch>);

enum Branch {
    Chain(Vec<ConvNormAct>),
    /// A chain that ends in a row and a column in parallel.
    Fork(Vec<ConvNormAct>, [ConvNormAct; 2]),
    /// 3×3 average pooling of stride 1 that excludes the padding, then a 1×1 convolution.
    Average(ConvNormAct),
    /// 3×3 max-pooling of stride 2.
    MaxPool,
}

impl Module {
    /// Chains named `branch0`, `branch1`, …; the layers of a chain are numbered unless there is only one.
    fn new(inputs: usize, chains: &[&[Link]], b: &Builder) -> Result<Self> {
        let branch = |(i, links): (usize, &&[Link])| {
            let b = b.pp(format!("branch{i}"));
            Ok(Branch::Chain(match **links {
                [(outputs, shape)] => vec![conv(inputs, outputs, shape, &b)?],
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
    let layer = |inputs, outputs, shape, name: &str| conv(inputs, outputs, shape, &b.pp(name));
    let first = layer(1536, 256, ONE, "branch0")?;
    let second = vec![layer(1536, 384, ONE, "branch1_0")?];
    let second_fork = [layer(384, 256, row, "branch1_1a")?, layer(384, 256, column, "branch1_1b")?];
    let third = vec![
        layer(1536, 384, ONE, "branch2_0")?,
        layer(384, 448, column, "branch2_1")?,
        layer(448, 512, row, "branch2_2")?,
    ];
    let third_fork = [layer(512, 256, row, "branch2_3a")?, layer(512, 256, column, "branch2_3b")?];
    Ok(Module(vec![
        Branch::Chain(vec![first]),
        Branch::Fork(second, second_fork),
        Branch::Fork(third, third_fork),
        average(1536, 256, b)?,
    ]))
}

fn average(inputs: usize, outputs: usize, b: &Builder) -> Result<Branch> {
    Ok(Branch::Average(conv(inputs, outputs, ONE, &b.pp("branch3").pp(1))?))
}

/// A chain whose layers are numbered from 0.
fn sequence(mut inputs: usize, links: &[Link], b: &Builder) -> Result<Vec<ConvNormAct>> {
    let link = |(i, &(outputs, shape)): (usize, &Link)| {
        let layer = conv(inputs, outputs, shape, &b.pp(i));
        inputs = outputs;
        layer
    };
    links.iter().enumerate().map(link).collect()
}
