//! Image classification architectures under timm's names and state-dict keys.
//!
//! - [`list`] and [`find`]: the presets. [`ALIASES`]: names that timm had before, and torchvision's.
//! - [`build`]: a name and a [`ModelConfig`] → a [`Model`] with its parameters. [`build_zeroed`] draws no initial values.
//! - [`BuiltModel::macs`]: the multiply-accumulates of one image.
//! - [`resample_pos_embed`]: a transformer's position embeddings for another image size. [`reparameterize`]: the branches of
//!   a RepVGG as one convolution.
//!
//! The modules, from the bottom: `config` and `preset` describe a model, `model` is what a model can do, `layers` are
//! blocks that families share, `cnn`, `vit` and `hybrid` hold one family a file, `registry` lists the families.

mod aliases;
mod cnn;
mod config;
mod error;
mod family;
mod hybrid;
mod layers;
mod model;
mod preset;
mod registry;
mod vit;

pub use aliases::{ALIASES, Alias, alias};
pub use cnn::repvgg::reparameterize;
pub use config::{Key, ModelConfig, Stem};
pub use error::{Error, Result};
pub use layers::pos_embed::resample_pos_embed;
pub use model::{BuiltModel, Model, ModelInfo};
pub use preset::Preset;
pub use registry::{build, build_zeroed, find, list, num_features};

/// The examples of the README run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
