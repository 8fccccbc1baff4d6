//! The ResNetV2 backbone of hybrid Vision Transformers, with standardised weights and GroupNorm.
//!
//! Kolesnikov et al. 2019 (Big Transfer), <https://arxiv.org/abs/1912.11370>; weight standardisation: Qiao et al.
//! 2019, <https://arxiv.org/abs/1903.10520>. The blocks are those of ResNet v1.5. Convolutions and pooling have
//! TensorFlow's SAME padding.
//!
//! Reference: timm's `resnetv2` as `vision_transformer_hybrid` builds it. Weight names: `stem.conv`, `stem.norm`,
//! `stages.0.blocks.0.downsample.conv`, `.conv1`, `.norm1`, …; `conv` and `norm` for a backbone that is only a stem.

use candle_core::{DType, Tensor};
use tallow_nn::layers::{Conv2d, Conv2dOptions};
use tallow_nn::op::Activation::{Identity, Relu};
use tallow_nn::op::{Activation, PoolConfig, activate, add_activate, layer_norm, max_pool2d};
use tallow_nn::{Builder, Fan, Init, Result};

use crate::layers::group_norm::GroupNorm;
use crate::layers::padded_conv::pad_same;

pub(crate) struct ResNetV2 {
    stem: StdConvNorm,
    blocks: Vec<Bottleneck>,
}

impl ResNetV2 {
    /// The stem and four stages of this many blocks, or the stem alone.
    pub(crate) fn new(stages: Option<[usize; 4]>, in_chans: usize, b: &Builder) -> Result<Self> {
        let (stages, stem) = match stages {
            None => ([0; 4], b.clone()),
            Some(stages) => (stages, b.pp("stem")),
        };
        let stem = StdConvNorm::new(in_chans, 64, 7, 2, &stem.pp("conv"), &stem.pp("norm"))?;
        let (mut blocks, mut inputs) = (Vec::new(), 64);
        for (stage, depth) in stages.into_iter().enumerate() {
            for i in 0..depth {
                let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                let b = b.pp("stages").pp(stage).pp("blocks").pp(i);
                blocks.push(Bottleneck::new(inputs, 256 << stage, stride, &b)?);
                inputs = 256 << stage;
            }
        }
        Ok(ResNetV2 { stem, blocks })
    }

    pub(crate) fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let x = self.stem.forward(images, Relu)?;
        // The output of a ReLU is not negative, so zeros around the image do not change a maximum.
        let mut x = max_pool2d(&pad_same(&x, (3, 3), 2)?, PoolConfig::square(3, 2, 0))?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

/// 1×1 reduction, 3×3, 1×1 expansion; the first block of a stage has a projected shortcut.
struct Bottleneck {
    downsample: Option<StdConvNorm>,
    conv1: StdConvNorm,
    conv2: StdConvNorm,
    conv3: StdConvNorm,
}

impl Bottleneck {
    fn new(inputs: usize, outputs: usize, stride: usize, b: &Builder) -> Result<Self> {
        let narrow = outputs / 4;
        let layer = |i: usize, from, to, kernel, stride| {
            StdConvNorm::new(from, to, kernel, stride, &b.pp(format!("conv{i}")), &b.pp(format!("norm{i}")))
        };
        let down = b.pp("downsample");
        let down = || StdConvNorm::new(inputs, outputs, 1, stride, &down.pp("conv"), &down.pp("norm"));
        Ok(Bottleneck {
            downsample: (stride == 2 || inputs != outputs).then(down).transpose()?,
            conv1: layer(1, inputs, narrow, 1, 1)?,
            conv2: layer(2, narrow, narrow, 3, stride)?,
            conv3: layer(3, narrow, outputs, 1, 1)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let shortcut = match &self.downsample {
            Some(layer) => layer.forward(x, Identity)?,
            None => x.clone(),
        };
        let y = self.conv2.forward(&self.conv1.forward(x, Relu)?, Relu)?;
        add_activate(&self.conv3.forward(&y, Identity)?, &shortcut, Relu)
    }
}

/// A convolution with standardised weights (mean 0 and variance 1 for each filter) and a GroupNorm.
struct StdConvNorm {
    conv: Conv2d,
    norm: GroupNorm,
    kernel: usize,
    stride: usize,
}

impl StdConvNorm {
    fn new(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        conv: &Builder,
        norm: &Builder,
    ) -> Result<Self> {
        let options = Conv2dOptions { stride, init: Init::KaimingNormal(Fan::Out), ..Default::default() };
        Ok(StdConvNorm {
            conv: Conv2d::new(inputs, outputs, kernel, options, conv)?,
            norm: GroupNorm::new(32, outputs, 1e-5, norm)?,
            kernel,
            stride,
        })
    }

    fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let weight = &self.conv.weight;
        let rows = weight.flatten_from(1)?;
        let ones = Tensor::ones(rows.dims()[1], DType::F32, weight.device())?;
        let standardised = layer_norm(&rows, &ones, &ones.zeros_like()?, 1e-8)?.reshape(weight.dims())?;
        let mut conv = self.conv.clone();
        conv.weight = standardised;
        activate(
            &self.norm.forward(&conv.forward(&pad_same(x, (self.kernel, self.kernel), self.stride)?)?)?,
            activation,
        )
    }
}
