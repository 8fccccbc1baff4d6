//! The model that is trained, as the loop sees it.

use tallow_models::{BuiltModel, Model};
use tallow_nn::ParamStore;

/// A model with its parameters. A model of your own need not be in the registry.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// The name, which checkpoints and messages carry.
    pub name: &'a str,
    /// The forward pass.
    pub model: &'a dyn Model,
    /// The parameters and buffers, which training changes in place.
    pub store: &'a ParamStore,
    /// The module of the classifier, such as `fc`: all other parameters are the backbone. `None` if there is no such
    /// module; `transfer.freeze` then cannot freeze the backbone by name.
    pub classifier: Option<&'a str>,
}

impl<'a> From<&'a BuiltModel> for Network<'a> {
    fn from(built: &'a BuiltModel) -> Self {
        Self {
            name: built.info.name(),
            model: built.model.as_ref(),
            store: &built.store,
            classifier: Some(built.info.preset.classifier),
        }
    }
}
