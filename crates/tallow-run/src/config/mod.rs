//! The sections of a run's `config.toml` that inference needs: `[data]`, `[model]`, `[augment]` and some keys of `[train]`.
//!
//! [`RunSections`] passes over all other sections and over the other keys of `[train]`: they belong to training. Training
//! itself reads the whole file, with the same types for the sections that both know.

mod augment;
mod data;
mod eval;
mod model;
mod view;

use serde::Deserialize;

pub use augment::{AugmentConfig, ProgressiveConfig};
pub use data::DataConfig;
pub use eval::EvalConfig;
pub use model::ModelChoice;
pub use view::View;

/// The sections of a run's config that inference needs.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct RunSections {
    /// The dataset.
    pub data: DataConfig,
    /// The architecture.
    pub model: ModelChoice,
    /// Preprocessing and augmentation.
    pub augment: AugmentConfig,
    /// The keys of `[train]` that inference needs.
    pub train: EvalConfig,
}

impl RunSections {
    /// The options to open the run's dataset with; `classes` are the run's class names, whose order must be kept.
    pub fn open_options(&self, classes: Option<Vec<String>>) -> tallow_data::OpenOptions {
        self.data.open_options(self.train.seed, classes)
    }
}
