//! Image classification architectures under timm's names and state-dict keys.
//!
//! - [`list`] and [`find`]: the presets, one row a name.
//! - [`build`]: a preset and a [`ModelConfig`] → a [`Model`] with its parameters.
//! - [`Built::macs`]: how many multiply-accumulates one image costs.
//!
//! One file a family in `cnn/` (later `vit/` and `hybrid/`); `registry.rs` is the table of them.

mod cnn;
mod config;
mod error;
mod model;
mod registry;
mod suggest;

pub use config::{Key, ModelConfig, Stem};
pub use error::{Error, Result};
pub use model::{Built, Model, ModelInfo};
pub use registry::{Arch, Preset, build, find, list};
