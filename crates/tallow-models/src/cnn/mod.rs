//! Convolutional networks, one family a file, and helpers that several of them share.

pub(crate) mod convnext;
pub(crate) mod densenet;
pub(crate) mod efficientnet;
pub(crate) mod efficientnet_lite;
pub(crate) mod efficientnetv2;
pub(crate) mod ghostnet;
pub(crate) mod googlenet;
mod inception;
pub(crate) mod inception_v3;
pub(crate) mod inception_v4;
pub(crate) mod mobile;
pub(crate) mod mobilenetv1;
pub(crate) mod mobilenetv2;
pub(crate) mod mobilenetv3;
pub(crate) mod mobilenetv4;
pub(crate) mod preact_resnet;
pub(crate) mod regnet;
pub(crate) mod repvgg;
pub(crate) mod resnet;
pub(crate) mod resnet9;
pub(crate) mod small_cnn;
pub(crate) mod squeezenet;
pub(crate) mod vgg;
pub(crate) mod wide_resnet;

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions, Linear};
use tallow_nn::op::{PoolConfig, max_pool2d};
use tallow_nn::{Builder, Init, Result};

/// A convolution without bias whose padding keeps the size at stride 1; Kaiming normal by fan-out.
fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize, b: &Builder) -> Result<Conv2d> {
    Conv2d::new(inputs, outputs, kernel, Conv2dOptions { stride, padding: kernel / 2, ..Default::default() }, b)
}

/// 2×2 max-pooling; an odd last row or column is dropped.
fn halve(x: &Tensor) -> Result<Tensor> {
    max_pool2d(x, PoolConfig::square(2, 2, 0))
}

/// Max-pooling of stride 2 with PyTorch's `ceil_mode`: a last window that ends outside the image counts. A smaller
/// image is one window.
fn halve_up(x: &Tensor, kernel: usize) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let pool = PoolConfig { kernel: (h.min(kernel), w.min(kernel)), ceil_mode: true, ..PoolConfig::square(2, 2, 0) };
    max_pool2d(x, pool)
}

/// A linear layer with PyTorch's initial values: weight and bias uniform within 1 / √inputs.
fn linear(inputs: usize, outputs: usize, b: &Builder) -> Result<Linear> {
    let bound = 1.0 / (inputs as f32).sqrt();
    Ok(Linear {
        weight: b.param("weight", &[outputs, inputs], Init::Uniform(bound))?,
        bias: Some(b.param("bias", &[outputs], Init::Uniform(bound))?),
    })
}
