//! The convolutional backbones of hybrid Vision Transformers.

use candle_core::Tensor;
use tallow_nn::{Builder, Mode, Result};

use super::resnetv2::ResNetV2;
use crate::cnn::resnet9::Trunk;

/// The kind and size of a backbone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Backbone {
    /// No backbone: patches are cut from the image.
    None,
    /// The stem of a ResNetV2: a 7×7 convolution and pooling.
    Stem,
    /// A ResNetV2: the stem and four stages of this many blocks.
    Stages([usize; 4]),
    /// The first five convolutions of a ResNet-9 of this width.
    ResNet9(usize),
}

impl Backbone {
    /// The side, in pixels of the image, of one pixel of the result.
    pub(crate) const fn stride(self) -> usize {
        match self {
            Backbone::None => 1,
            Backbone::Stem | Backbone::ResNet9(_) => 4,
            Backbone::Stages(_) => 32,
        }
    }

    /// The number of channels of the result.
    pub(crate) const fn channels(self, in_chans: usize) -> usize {
        match self {
            Backbone::None => in_chans,
            Backbone::Stem => 64,
            Backbone::Stages(_) => 2048,
            Backbone::ResNet9(width) => 4 * width,
        }
    }

    pub(crate) fn build(self, in_chans: usize, b: &Builder) -> Result<Convolutions> {
        Ok(match self {
            Backbone::None => Convolutions::None,
            Backbone::Stem => Convolutions::ResNetV2(ResNetV2::new(None, in_chans, b)?),
            Backbone::Stages(stages) => Convolutions::ResNetV2(ResNetV2::new(Some(stages), in_chans, b)?),
            Backbone::ResNet9(width) => Convolutions::ResNet9(Box::new(Trunk::new(in_chans, width, b)?)),
        })
    }
}

/// The layers of a [`Backbone`].
pub(crate) enum Convolutions {
    None,
    ResNetV2(ResNetV2),
    ResNet9(Box<Trunk>),
}

impl Convolutions {
    pub(crate) fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        match self {
            Convolutions::None => Ok(images.clone()),
            Convolutions::ResNetV2(net) => net.forward(images),
            Convolutions::ResNet9(trunk) => trunk.forward(images, mode),
        }
    }
}
