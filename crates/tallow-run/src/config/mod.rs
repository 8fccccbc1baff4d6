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
use tallow_augment::{Normalization, Preprocessing, Size};

pub use augment::{AugmentConfig, ProgressiveConfig};
pub use data::DataConfig;
pub use eval::EvalConfig;
pub use model::ModelChoice;
pub use view::View;

use crate::Result;

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

    /// The evaluation pipeline: `augment.eval` with mean and standard deviation. `None` before training has completed the
    /// config.
    ///
    /// # Errors
    /// A pipeline that cannot be built.
    pub fn preprocessing(&self) -> Result<Option<Preprocessing>> {
        let AugmentConfig { eval: Some(ops), mean: Some(mean), std: Some(std), .. } = &self.augment else {
            return Ok(None);
        };
        let normalization = Normalization { mean: mean.clone(), std: std.clone() };
        let (height, width) = self.model.config.input_size;
        Ok(Some(Preprocessing::from_pipeline(ops, &normalization, Size { height, width })?))
    }
}
