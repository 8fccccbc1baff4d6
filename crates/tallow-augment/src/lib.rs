//! Image augmentation and preprocessing with torchvision's names and Pillow's results, without a tensor library.
//!
//! A [`PipelineConfig`] (serde: TOML, JSON, …) is validated and built into a [`Pipeline`], which turns any decoded
//! image into normalised pixels of one constant shape. All random numbers come from the generator passed to each call.
//!
//! ```
//! use tallow_augment::{Normalization, PipelineConfig, rng};
//!
//! let config: PipelineConfig = serde_json::from_str(
//!     r#"[{ "op": "RandomCrop", "size": 28, "padding": 2 }, { "op": "RandomHorizontalFlip" }]"#,
//! )?;
//! let pipeline = config.build(1, &Normalization { mean: vec![0.286], std: vec![0.353] })?;
//! let (height, width, channels) = pipeline.output_shape();
//! let mut pixels = vec![0.0; height * width * channels];
//! let (seed, epoch, sample) = (0, 3, 41);
//! let image = image::DynamicImage::new_luma8(28, 28);
//! pipeline.apply(image, &mut rng::keyed(seed, epoch, sample, rng::AUGMENT), &mut pixels)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A new op is one file in `ops/` (config struct, deterministic part, random draw, tests) and one line in the
//! table at the end of `ops/mod.rs`.

mod config;
mod error;
mod image8;
mod normalize;
mod params;
mod pipeline;
mod pixel_rule;
mod preprocessing;
mod rescale;
mod size;
mod transform;

pub mod batch;
pub mod ops;
pub mod policy;
#[cfg(feature = "candle")]
pub mod tensor;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use config::PipelineConfig;
pub use error::{Error, Result};
pub use image;
pub use image8::Image8;
pub use normalize::{Normalization, NormalizedImage};
pub use ops::OpConfig;
pub use params::{Fill, Interpolation, InterpolationChoice, Padding, PaddingMode, Range, SizeParam};
pub use pipeline::Pipeline;
pub use pixel_rule::PixelRule;
pub use preprocessing::{CropMode, Preprocessing};
pub use size::Size;
pub use tallow_base::rng;
pub use transform::{NormalizedTransform, Stage, Transform};
