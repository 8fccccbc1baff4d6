//! RandomPosterize, RandomSolarize, RandomEqualize, RandomAutocontrast, RandomInvert and RandomGrayscale.

use serde::{Deserialize, Serialize};

use super::levels::{autocontrast, equalize, grayscale, invert, posterize, solarize};
use crate::params::{half, validate_p};
use crate::rng::Rng;
use crate::{Error, Image8, Result, Transform};

/// Defines an op without random parameters: its struct, its validation and its function.
macro_rules! fixed {
    ($name:ident, $check:expr, $apply:expr) => {
        impl Transform for $name {
            fn probability(&self) -> f64 {
                self.p
            }

            fn validate(&self, _: usize) -> Result<()> {
                validate_p(stringify!($name), self.p)?;
                let check: fn(&Self) -> Result<()> = $check;
                check(self)
            }

            fn apply(&self, mut image: Image8, _: &mut Rng) -> Result<Image8> {
                let change: fn(&Self, &mut Image8) = $apply;
                change(self, &mut image);
                Ok(image)
            }
        }
    };
}

/// Keeps the highest bits of every value.
///
/// # Source
/// torchvision `v2.RandomPosterize`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomPosterize {
    /// The number of bits that are kept, 0 to 8.
    pub bits: u8,
    /// The probability that the op is applied.
    #[serde(default = "half")]
    pub p: f64,
}

fixed!(
    RandomPosterize,
    |op| match op.bits {
        0..=8 => Ok(()),
        bits => Err(Error::BadValue {
            op: "RandomPosterize",
            field: "bits",
            expected: "from 0 to 8".into(),
            found: bits.to_string()
        }),
    },
    |op, image| posterize(image, op.bits)
);

/// Inverts the values above a threshold.
///
/// # Source
/// torchvision `v2.RandomSolarize`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomSolarize {
    /// The lowest value that is inverted, 0 to 256.
    pub threshold: f64,
    /// The probability that the op is applied.
    #[serde(default = "half")]
    pub p: f64,
}

fixed!(
    RandomSolarize,
    |op| match op.threshold {
        0.0..=256.0 => Ok(()),
        threshold => Err(Error::BadValue {
            op: "RandomSolarize",
            field: "threshold",
            expected: "from 0 to 256".into(),
            found: threshold.to_string()
        }),
    },
    |op, image| solarize(image, op.threshold)
);

/// Equalizes the histogram of each channel.
///
/// # Source
/// torchvision `v2.RandomEqualize`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomEqualize {
    /// The probability that the op is applied.
    #[serde(default = "half")]
    pub p: f64,
}

fixed!(RandomEqualize, |_| Ok(()), |_, image| equalize(image));

/// Stretches the levels of each channel to 0..255.
///
/// # Source
/// torchvision `v2.RandomAutocontrast`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomAutocontrast {
    /// The probability that the op is applied.
    #[serde(default = "half")]
    pub p: f64,
}

fixed!(RandomAutocontrast, |_| Ok(()), |_, image| autocontrast(image));

/// Inverts all values.
///
/// # Source
/// torchvision `v2.RandomInvert`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomInvert {
    /// The probability that the op is applied.
    #[serde(default = "half")]
    pub p: f64,
}

fixed!(RandomInvert, |_| Ok(()), |_, image| invert(image));

/// Converts the image to grey. Keeps the number of channels.
///
/// # Source
/// torchvision `v2.RandomGrayscale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomGrayscale {
    /// The probability that the op is applied.
    #[serde(default = "tenth")]
    pub p: f64,
}

fn tenth() -> f64 {
    0.1
}

fixed!(RandomGrayscale, |_| Ok(()), |_, image| grayscale(image));
