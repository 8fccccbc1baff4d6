//! Image classification architectures under timm's names and state-dict keys.
//!
//! - [`list`] and [`find`]: the presets, one row a name.
//! - [`build`]: a preset and a [`ModelConfig`] → a [`Model`] with its parameters.
//! - [`Built::macs`]: how many multiply-accumulates one image costs.
//!
//! One file a family in `cnn/`, `vit/` and `hybrid/`; `registry.rs` is the table of them, `layers/`
//! what they share.
//! - [`resample_pos_embed`]: a transformer's position embeddings for another image size; [`reparameterize`]: a RepVGG's
//!   branches as one convolution.

mod cnn;
mod config;
mod error;
mod hybrid;
mod layers;
mod model;
mod registry;
mod vit;

pub use cnn::repvgg::reparameterize;
pub use config::{Key, ModelConfig, Stem};
pub use error::{Error, Result};
pub use layers::pos_embed::resample_pos_embed;
pub use model::{Built, Model, ModelInfo};
pub use registry::{Arch, Preset, build, build_zeroed, find, list};
