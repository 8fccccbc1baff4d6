//! A change with its argument: the deterministic part of every policy.

use crate::ops::{
    AffineMatrix, adjust_brightness, adjust_contrast, adjust_saturation, adjust_sharpness, affine, autocontrast,
    equalize, grayscale, invert, pillow_blur, posterize, rotate, solarize, solarize_add,
};
use crate::{Image8, Interpolation};

/// A change of an image with its argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// No change.
    Identity,
    /// Shifts rows horizontally by this many pixels per row.
    ShearX(f64),
    /// Shifts columns vertically by this many pixels per column.
    ShearY(f64),
    /// Moves the image this many pixels to the left.
    TranslateX(f64),
    /// Moves the image this many pixels up.
    TranslateY(f64),
    /// Rotates by this many degrees counter-clockwise.
    Rotate(f64),
    /// Changes the brightness by this factor.
    Brightness(f64),
    /// Changes the saturation by this factor.
    Color(f64),
    /// Changes the contrast by this factor.
    Contrast(f64),
    /// Changes the sharpness by this factor.
    Sharpness(f64),
    /// Keeps this many bits.
    Posterize(u8),
    /// Inverts the values from this one on.
    Solarize(f64),
    /// Adds this to dark values.
    SolarizeAdd(u8),
    /// Stretches the levels.
    AutoContrast,
    /// Equalizes the histogram.
    Equalize,
    /// Inverts all values.
    Invert,
    /// Converts to grey.
    Grayscale,
    /// Applies Pillow's Gaussian blur with this standard deviation in pixels.
    GaussianBlur(f64),
}

impl Change {
    /// Applies the change. `interpolation` (Lanczos counts as bicubic) and `fill` are for changes that move pixels.
    ///
    /// # Source
    /// The Pillow calls of torchvision's `_apply_image_or_video_transform` and of timm's `auto_augment.py`.
    pub fn apply(self, mut image: Image8, interpolation: Interpolation, fill: [u8; 3]) -> Image8 {
        let moved = |matrix: [f64; 6]| affine(&image, &AffineMatrix(matrix), interpolation, fill);
        match self {
            Self::Identity => {}
            Self::ShearX(factor) => return moved([1.0, factor, 0.0, 0.0, 1.0, 0.0]),
            Self::ShearY(factor) => return moved([1.0, 0.0, 0.0, factor, 1.0, 0.0]),
            Self::TranslateX(pixels) => return moved([1.0, 0.0, pixels, 0.0, 1.0, 0.0]),
            Self::TranslateY(pixels) => return moved([1.0, 0.0, 0.0, 0.0, 1.0, pixels]),
            Self::Rotate(degrees) => return rotate(&image, degrees, interpolation, fill),
            Self::GaussianBlur(radius) => return pillow_blur(&image, radius as f32),
            Self::Brightness(factor) => adjust_brightness(&mut image, factor as f32),
            Self::Color(factor) => adjust_saturation(&mut image, factor as f32),
            Self::Contrast(factor) => adjust_contrast(&mut image, factor as f32),
            Self::Sharpness(factor) => adjust_sharpness(&mut image, factor as f32),
            Self::Posterize(bits) => posterize(&mut image, bits),
            Self::Solarize(threshold) => solarize(&mut image, threshold),
            Self::SolarizeAdd(add) => solarize_add(&mut image, add),
            Self::AutoContrast => autocontrast(&mut image),
            Self::Equalize => equalize(&mut image),
            Self::Invert => invert(&mut image),
            Self::Grayscale => grayscale(&mut image),
        }
        image
    }

    /// The argument; 0 for changes without one.
    pub fn argument(self) -> f64 {
        match self {
            Self::ShearX(x)
            | Self::ShearY(x)
            | Self::TranslateX(x)
            | Self::TranslateY(x)
            | Self::Rotate(x)
            | Self::Brightness(x)
            | Self::Color(x)
            | Self::Contrast(x)
            | Self::Sharpness(x)
            | Self::Solarize(x)
            | Self::GaussianBlur(x) => x,
            Self::Posterize(x) | Self::SolarizeAdd(x) => x.into(),
            Self::Identity | Self::AutoContrast | Self::Equalize | Self::Invert | Self::Grayscale => 0.0,
        }
    }
}
