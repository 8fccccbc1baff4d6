//! [`Family`]: what a file of architectures offers the registry, and [`FamilyTable`], how each of them does.

use tallow_nn::Builder;

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::preset::Preset;

/// A family of architectures: a list of presets, and how to build each.
pub(crate) trait Family: Sync {
    /// The family's presets, the smallest first: tests build the first one.
    fn presets(&self) -> Vec<&'static Preset>;

    /// Builds a member of the family, its parameters in the order of the reference's state dict.
    ///
    /// # Errors
    /// A preset of another family; a value of `config` that the architecture does not support.
    fn build(&self, preset: &Preset, config: &ModelConfig, b: &Builder) -> Result<Box<dyn Model>>;

    /// The number of channels of the features: of `forward_features`' result, before the classifier's own layers.
    ///
    /// # Errors
    /// A preset of another family.
    fn num_features(&self, preset: &Preset, config: &ModelConfig) -> Result<usize>;
}

/// Builds the member `V` of a family.
type BuildFn<V> = fn(V, &Preset, &ModelConfig, &Builder) -> Result<Box<dyn Model>>;

/// A family whose members differ by a value of type `V`: depths, widths and switches.
pub(crate) struct FamilyTable<V: 'static> {
    /// The members: what their weights expect, and what they are made of.
    pub variants: &'static [(Preset, V)],
    /// As [`Family::build`].
    pub build: BuildFn<V>,
    /// As [`Family::num_features`].
    pub num_features: fn(V, &ModelConfig) -> usize,
}

impl<V: Copy> FamilyTable<V> {
    fn variant(&self, preset: &Preset) -> Result<V> {
        let found = self.variants.iter().find(|(row, _)| row.name == preset.name);
        found.map(|(_, variant)| *variant).ok_or_else(|| Error::UnknownModel {
            name: preset.name.to_string(),
            nearest: self.variants.iter().map(|(row, _)| row.name).collect(),
        })
    }
}

impl<V: Copy + Sync> Family for FamilyTable<V> {
    fn presets(&self) -> Vec<&'static Preset> {
        self.variants.iter().map(|(preset, _)| preset).collect()
    }

    fn build(&self, preset: &Preset, config: &ModelConfig, b: &Builder) -> Result<Box<dyn Model>> {
        (self.build)(self.variant(preset)?, preset, config, b)
    }

    fn num_features(&self, preset: &Preset, config: &ModelConfig) -> Result<usize> {
        Ok((self.num_features)(self.variant(preset)?, config))
    }
}

/// A model as [`FamilyTable::build`] returns it.
pub(crate) fn boxed<M: Model + 'static>(model: tallow_nn::Result<M>) -> Result<Box<dyn Model>> {
    Ok(Box::new(model?))
}
