//! torchvision's augmentation spaces: the ops that a policy draws from, and the argument for each magnitude.

use crate::Size;

use super::Change;

/// The ops and magnitudes of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// `AutoAugment`.
    AutoAugment,
    /// `RandAugment`.
    RandAugment,
    /// `TrivialAugmentWide`.
    TrivialAugmentWide,
    /// `AugMix`.
    AugMix,
}

/// An op of a [`Space`], by torchvision's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // torchvision's names
pub enum SpaceOp {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

use SpaceOp::*;

/// The ops of every space: all but `Identity` and `Invert`.
const COMMON: [SpaceOp; 13] = [
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
];

impl Space {
    /// The ops that are drawn from, equally likely.
    pub fn ops(self) -> Vec<SpaceOp> {
        match self {
            Self::AutoAugment => [&COMMON[..], &[Invert]].concat(),
            Self::RandAugment | Self::TrivialAugmentWide => [&[Identity], &COMMON[..]].concat(),
            Self::AugMix => COMMON.to_vec(),
        }
    }

    /// The argument of `op` at magnitude `bin` of `bins` (at least 2), and whether its sign is drawn; `None` for an op
    /// without argument. `size` is the size of the image.
    ///
    /// # Source
    /// The `_AUGMENTATION_SPACE` of torchvision's classes.
    pub fn magnitude(self, op: SpaceOp, bin: usize, bins: usize, size: Size) -> Option<(f64, bool)> {
        let at = bin as f64 / (bins - 1) as f64;
        let wide = self == Self::TrivialAugmentWide;
        let shift = |side: usize| match self {
            Self::TrivialAugmentWide => 32.0,
            Self::AugMix => side as f64 / 3.0,
            _ => 150.0 / 331.0 * side as f64,
        };
        let most = match op {
            Identity | AutoContrast | Equalize | Invert => return None,
            Posterize => {
                let (bits, lost) = match self {
                    Self::AugMix => (4.0, 4.0),
                    Self::TrivialAugmentWide => (8.0, 6.0),
                    _ => (8.0, 4.0),
                };
                return Some(((bits - at * lost).round_ties_even(), false));
            }
            Solarize => return Some((1.0 - at, false)),
            ShearX | ShearY => {
                if wide {
                    0.99
                } else {
                    0.3
                }
            }
            TranslateX => shift(size.width),
            TranslateY => shift(size.height),
            Rotate => {
                if wide {
                    135.0
                } else {
                    30.0
                }
            }
            Brightness | Color | Contrast | Sharpness => {
                if wide {
                    0.99
                } else {
                    0.9
                }
            }
        };
        Some((most * at, true))
    }
}

impl SpaceOp {
    /// The change for a signed magnitude, which ops without argument ignore.
    pub fn change(self, magnitude: f64) -> Change {
        match self {
            Identity => Change::Identity,
            ShearX => Change::ShearX(magnitude),
            ShearY => Change::ShearY(magnitude),
            TranslateX => Change::TranslateX(-magnitude.trunc()),
            TranslateY => Change::TranslateY(-magnitude.trunc()),
            Rotate => Change::Rotate(magnitude),
            Brightness => Change::Brightness(1.0 + magnitude),
            Color => Change::Color(1.0 + magnitude),
            Contrast => Change::Contrast(1.0 + magnitude),
            Sharpness => Change::Sharpness(1.0 + magnitude),
            Posterize => Change::Posterize(magnitude as u8),
            Solarize => Change::Solarize(255.0 * magnitude),
            AutoContrast => Change::AutoContrast,
            Equalize => Change::Equalize,
            Invert => Change::Invert,
        }
    }
}
