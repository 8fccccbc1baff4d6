//! The ops, grouped in small files, and the table of their names.

mod adjust;
mod affine;
mod center_crop;
mod color_jitter;
mod crop;
mod elastic;
mod flip;
mod gaussian_blur;
mod gaussian_noise;
mod grid_mask;
mod jpeg;
mod levels;
mod multi_crop;
mod noise;
mod perspective;
mod random_affine;
mod random_crop;
mod random_erasing;
mod random_levels;
mod random_resized_crop;
mod random_rotation;
mod read;
mod resize;
mod resize_pad;
mod sample;
mod sharpness;

pub use adjust::{adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation};
pub use affine::{AffineMatrix, affine};
pub use center_crop::{CenterCrop, center_crop};
pub use color_jitter::ColorJitter;
pub use crop::{Window, crop, pad};
pub use elastic::{Both, ElasticTransform, displacement, elastic};
pub use flip::{RandomHorizontalFlip, RandomVerticalFlip, horizontal_flip, vertical_flip};
pub use gaussian_blur::{GaussianBlur, KernelSize, gaussian_blur, pillow_blur};
pub use gaussian_noise::{GaussianNoise, gaussian_noise};
pub use grid_mask::{Grid, GridMask, grid_mask};
pub use jpeg::{JPEG, Quality, jpeg};
pub use levels::{autocontrast, equalize, grayscale, invert, posterize, solarize, solarize_add};
pub use multi_crop::{five_crop, ten_crop};
pub use noise::{PoissonNoise, SaltAndPepper};
pub use perspective::{Corners, RandomPerspective, perspective};
pub use random_affine::{RandomAffine, Shear};
pub use random_crop::RandomCrop;
pub use random_erasing::{EraseMode, EraseValue, NamedValue, RandomErasing, Rectangle, erase};
pub use random_levels::{
    RandomAutocontrast, RandomEqualize, RandomGrayscale, RandomInvert, RandomPosterize, RandomSolarize,
};
pub use random_resized_crop::{RandomResizedCrop, resized_crop};
pub use random_rotation::{RandomRotation, rotate};
pub use resize::{Resize, resize};
pub use resize_pad::{ResizePad, resize_pad};
pub use sharpness::{RandomAdjustSharpness, adjust_sharpness};

use serde::Serialize;
use serde_json::{Map, Value};

use self::read::{read_op, unknown_op};
use crate::policy::{AugMix, AutoAugment, RandAugment, ThreeAugment, TrivialAugmentWide};
use crate::{Result, Stage};

/// Defines the enum of all ops with its names, reader and builder from one line per op.
macro_rules! ops {
    ($($name:ident on $kind:ident),* $(,)?) => {
        /// One op of a pipeline with its parameters. In a config, the key `op` names it.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "op")]
        pub enum OpConfig {
            $(#[doc = concat!("See [`", stringify!($name), "`](struct@", stringify!($name), ").")] $name($name)),*
        }

        impl OpConfig {
            /// The names of all ops.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// Reads the op `name` from its table of parameters.
            pub(crate) fn from_table(name: &str, table: Map<String, Value>) -> Result<Self> {
                match name {
                    $(stringify!($name) => read_op(stringify!($name), table).map(Self::$name),)*
                    _ => Err(unknown_op(name, Self::NAMES)),
                }
            }

            /// The op as a stage of a pipeline.
            pub fn stage(&self) -> Stage {
                match self {
                    $(Self::$name(op) => Stage::$kind(Box::new(op.clone())),)*
                }
            }
        }

        $(impl From<$name> for OpConfig {
            fn from(op: $name) -> Self {
                Self::$name(op)
            }
        })*
    };
}

// A new op: its file above, and one line here.
ops! {
    Resize on Pixels,
    ResizePad on Pixels,
    CenterCrop on Pixels,
    RandomCrop on Pixels,
    RandomResizedCrop on Pixels,
    RandomHorizontalFlip on Pixels,
    RandomVerticalFlip on Pixels,
    RandomRotation on Pixels,
    RandomAffine on Pixels,
    ColorJitter on Pixels,
    RandomPerspective on Pixels,
    ElasticTransform on Pixels,
    GaussianBlur on Pixels,
    RandomAdjustSharpness on Pixels,
    RandomPosterize on Pixels,
    RandomSolarize on Pixels,
    RandomEqualize on Pixels,
    RandomAutocontrast on Pixels,
    RandomInvert on Pixels,
    RandomGrayscale on Pixels,
    JPEG on Pixels,
    GaussianNoise on Pixels,
    SaltAndPepper on Pixels,
    PoissonNoise on Pixels,
    GridMask on Pixels,
    AutoAugment on Pixels,
    RandAugment on Pixels,
    TrivialAugmentWide on Pixels,
    AugMix on Pixels,
    ThreeAugment on Pixels,
    RandomErasing on Normalized,
}
