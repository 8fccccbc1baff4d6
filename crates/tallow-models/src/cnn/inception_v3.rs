//! Inception v3: parallel convolutions, the large ones factorised into rows and columns.
//!
//! Szegedy et al. 2015, <https://arxiv.org/abs/1512.00567>, without the auxiliary classifier.
//!
//! Reference: timm's `inception_v3`. Weight names are timm's: `Conv2d_1a_3x3.conv`, `Conv2d_1a_3x3.bn`, …,
//! `Mixed_5b.branch5x5_1.conv`, …, `fc`. Initial values are timm's: normal of 0.1 truncated at 2, PyTorch's default
//! for the bias of `fc`. `drop_rate` is the dropout before `fc`.

use candle_core::Tensor;
use tallow_nn::layers::Linear;
use tallow_nn::op::{PoolConfig, avg_pool2d, max_pool2d};
use tallow_nn::{Builder, Init, Mode, Result};

use super::inception::{Shape, chain, conv};
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::average_map;
use crate::layers::concat::concat_channels;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::head::ClassifierHead;
use crate::model::Model;
use crate::preset::Preset;

/// The number of channels of the features.
const NUM_FEATURES: usize = 2048;

const KEYS: &[Key] = &[Key::DropRate];

const PRESET: Preset = Preset {
    keys: KEYS,
    input_size: (299, 299),
    min_input_size: 75,
    mean: &[0.5; 3],
    std: &[0.5; 3],
    interpolation: "bicubic",
    first_conv: "Conv2d_1a_3x3.conv",
    ..Preset::imagenet("inception_v3", "cnn/inception_v3")
};

const INIT: Init = Init::TruncatedNormal { std: 0.1, limit: 2.0 };
const fn same(height: usize, width: usize) -> Shape {
    Shape::same(height, width, INIT)
}
/// 3×3 of stride 2 without padding.
const HALVING: Shape = Shape::valid(3, 2, INIT);
const ONE: Shape = same(1, 1);
const THREE: Shape = same(3, 3);
const ROW: Shape = same(1, 7);
const COLUMN: Shape = same(7, 1);

/// A convolution of a chain: name, outputs, shape.
type Link = (&'static str, usize, Shape);

pub(crate) static FAMILY: FamilyTable<()> = FamilyTable {
    variants: &[(PRESET, ())],
    build: |(), _, config, b| boxed(InceptionV3::new(config, b)),
    num_features: |(), _| NUM_FEATURES,
};

struct InceptionV3 {
    /// Max-pooling follows each part.
    stem: [Vec<ConvNormAct>; 2],
    modules: Vec<Module>,
    classifier: ClassifierHead,
}

impl InceptionV3 {
    fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let stride1 = Shape::valid(3, 1, INIT);
        let first: &[Link] =
            &[("Conv2d_1a_3x3", 32, HALVING), ("Conv2d_2a_3x3", 32, stride1), ("Conv2d_2b_3x3", 64, THREE)];
        let second: &[Link] = &[("Conv2d_3b_1x1", 80, ONE), ("Conv2d_4a_3x3", 192, stride1)];
        Ok(InceptionV3 {
            stem: [links(config.in_chans, first, b)?, links(64, second, b)?],
            modules: vec![
                small(192, 32, &b.pp("Mixed_5b"))?,
                small(256, 64, &b.pp("Mixed_5c"))?,
                small(288, 64, &b.pp("Mixed_5d"))?,
                first_reduction(288, &b.pp("Mixed_6a"))?,
                factorised(768, 128, &b.pp("Mixed_6b"))?,
                factorised(768, 160, &b.pp("Mixed_6c"))?,
                factorised(768, 160, &b.pp("Mixed_6d"))?,
                factorised(768, 192, &b.pp("Mixed_6e"))?,
                second_reduction(768, &b.pp("Mixed_7a"))?,
                expanded(1280, &b.pp("Mixed_7b"))?,
                expanded(2048, &b.pp("Mixed_7c"))?,
            ],
            classifier: ClassifierHead::new(
                Linear {
                    weight: b.pp("fc").param("weight", &[config.num_classes, NUM_FEATURES], INIT)?,
                    bias: Some(b.pp("fc").param(
                        "bias",
                        &[config.num_classes],
                        Init::Uniform(1.0 / (NUM_FEATURES as f32).sqrt()),
                    )?),
                },
                config.drop_rate,
            )?,
        })
    }
}

impl Model for InceptionV3 {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = images.clone();
        for layers in &self.stem {
            x = max_pool2d(&chain(layers, &x, mode)?, PoolConfig::square(3, 2, 0))?;
        }
        for module in &self.modules {
            x = module.forward(&x, mode)?;
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

/// Parallel branches, one of them a pooling.
struct Module {
    branches: Vec<Branch>,
    pool: Pool,
}

struct Branch {
    chain: Vec<ConvNormAct>,
    /// Parallel convolutions at the end of the chain, or none.
    fork: Vec<ConvNormAct>,
}

enum Pool {
    /// 3×3 average pooling of stride 1, then a 1×1 convolution.
    Average(ConvNormAct),
    /// 3×3 max-pooling of stride 2.
    Max,
}

impl Module {
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut outputs = Vec::new();
        for Branch { chain: links, fork } in &self.branches {
            let y = chain(links, x, mode)?;
            if fork.is_empty() {
                outputs.push(y);
            } else {
                for conv in fork {
                    outputs.push(conv.forward(&y, mode)?);
                }
            }
        }
        outputs.push(match &self.pool {
            Pool::Average(conv) => conv.forward(&avg_pool2d(x, PoolConfig::square(3, 1, 1), true)?, mode)?,
            Pool::Max => max_pool2d(x, PoolConfig::square(3, 2, 0))?,
        });
        concat_channels(&outputs)
    }
}

/// Mixed_5: branches of 1×1, 5×5 and two 3×3 convolutions.
fn small(inputs: usize, pooled: usize, b: &Builder) -> Result<Module> {
    let branches = vec![
        branch(inputs, &[("branch1x1", 64, ONE)], b)?,
        branch(inputs, &[("branch5x5_1", 48, ONE), ("branch5x5_2", 64, same(5, 5))], b)?,
        branch(
            inputs,
            &[("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE), ("branch3x3dbl_3", 96, THREE)],
            b,
        )?,
    ];
    Ok(Module { branches, pool: average(inputs, pooled, b)? })
}

/// Mixed_6a: halves the size.
fn first_reduction(inputs: usize, b: &Builder) -> Result<Module> {
    let double: &[Link] =
        &[("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE), ("branch3x3dbl_3", 96, HALVING)];
    let branches = vec![branch(inputs, &[("branch3x3", 384, HALVING)], b)?, branch(inputs, double, b)?];
    Ok(Module { branches, pool: Pool::Max })
}

/// Mixed_6b to e: 7×7 convolutions as rows and columns of `c` channels.
fn factorised(inputs: usize, c: usize, b: &Builder) -> Result<Module> {
    let double: &[Link] = &[
        ("branch7x7dbl_1", c, ONE),
        ("branch7x7dbl_2", c, COLUMN),
        ("branch7x7dbl_3", c, ROW),
        ("branch7x7dbl_4", c, COLUMN),
        ("branch7x7dbl_5", 192, ROW),
    ];
    let branches = vec![
        branch(inputs, &[("branch1x1", 192, ONE)], b)?,
        branch(inputs, &[("branch7x7_1", c, ONE), ("branch7x7_2", c, ROW), ("branch7x7_3", 192, COLUMN)], b)?,
        branch(inputs, double, b)?,
    ];
    Ok(Module { branches, pool: average(inputs, 192, b)? })
}

/// Mixed_7a: halves the size.
fn second_reduction(inputs: usize, b: &Builder) -> Result<Module> {
    let seven: &[Link] = &[
        ("branch7x7x3_1", 192, ONE),
        ("branch7x7x3_2", 192, ROW),
        ("branch7x7x3_3", 192, COLUMN),
        ("branch7x7x3_4", 192, HALVING),
    ];
    let three: &[Link] = &[("branch3x3_1", 192, ONE), ("branch3x3_2", 320, HALVING)];
    Ok(Module { branches: vec![branch(inputs, three, b)?, branch(inputs, seven, b)?], pool: Pool::Max })
}

/// Mixed_7b and c: branches that end in a row and a column in parallel.
fn expanded(inputs: usize, b: &Builder) -> Result<Module> {
    let fork = |name: &str| -> Result<Vec<ConvNormAct>> {
        let part = |letter, shape| conv(384, 384, shape, &b.pp(format!("{name}{letter}")));
        Ok(vec![part('a', same(1, 3))?, part('b', same(3, 1))?])
    };
    let branches = vec![
        branch(inputs, &[("branch1x1", 320, ONE)], b)?,
        Branch { chain: links(inputs, &[("branch3x3_1", 384, ONE)], b)?, fork: fork("branch3x3_2")? },
        Branch {
            chain: links(inputs, &[("branch3x3dbl_1", 448, ONE), ("branch3x3dbl_2", 384, THREE)], b)?,
            fork: fork("branch3x3dbl_3")?,
        },
    ];
    Ok(Module { branches, pool: average(inputs, 192, b)? })
}

fn branch(inputs: usize, chain: &[Link], b: &Builder) -> Result<Branch> {
    Ok(Branch { chain: links(inputs, chain, b)?, fork: Vec::new() })
}

fn average(inputs: usize, outputs: usize, b: &Builder) -> Result<Pool> {
    Ok(Pool::Average(conv(inputs, outputs, ONE, &b.pp("branch_pool"))?))
}

fn links(mut inputs: usize, links: &[Link], b: &Builder) -> Result<Vec<ConvNormAct>> {
    let link = |&(name, outputs, shape): &Link| {
        let layer = conv(inputs, outputs, shape, &b.pp(name));
        inputs = outputs;
        layer
    };
    links.iter().map(link).collect()
}
