//! One change that a policy makes, with its argument: the deterministic part of every policy.

use crate::ops::{
    AffineMatrix, adjust_brightness, adjust_contrast, adjust_saturation, adjust_sharpness, affine, autocontrast,
    equalize, grayscale, invert, pillow_blur, posterize, rotate, solarize, solarize_add,
};
use crate::{Image8, Interpolation};

/// A change of an image with its argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Nothing.
    Identity,
    /// Moves rows sideways by this many pixels a row down.
    ShearX(f64),
    /// Moves columns by this many pixels a column to the right.
    ShearY(f64),
    /// Moves the image this many pixels to the left.
    TranslateX(f64),
    /// Moves the image this many pixels up.
    TranslateY(f64),
    /// Degrees counter-clockwise.
    Rotate(f64),
    /// Factor of brightness.
    Brightness(f64),
    /// Factor of saturation.
    Color(f64),
    /// Factor of contrast.
    Contrast(f64),
    /// Factor of sharpness.
    Sharpness(f64),
    /// Bits kept.
    Posterize(u8),
    /// Lowest value inverted.
    Solarize(f64),
    /// Levels added to dark values.
    SolarizeAdd(u8),
    /// Stretches the levels.
    AutoContrast,
    /// Flattens the histogram.
    Equalize,
    /// Inverts all values.
    Invert,
    /// Takes the colour out.
    Grayscale,
    /// Standard deviation of Pillow's Gaussian blur, in pixels.
    GaussianBlur(f64),
}

impl Change {
    /// Changes the image; `interpolation` (Lanczos counts as bicubic) and `fill` are for those that move pixels.
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
