//! The names of a file made those of a model: prefixes, the names of other libraries, classifiers within a module.
//!
//! | module | holds |
//! |---|---|
//! | `prefix` | modules around a network: Lightning's `model.`, `backbone.` |
//! | `translation` | the table of other libraries' names |
//! | `torchvision`, `transformers` | the names of torchvision and Transformers |
//! | `classifier` | a classifier of another name, such as `fc.1` |
//! | `shared` | what names that do not fit have in common, for errors |

mod classifier;
mod prefix;
mod shared;
mod torchvision;
mod transformers;
mod translation;

use candle_core::Tensor;
use tallow_models::Preset;

use crate::error::Result;
use crate::read::StateDict;

pub(crate) use shared::shared;
pub(crate) use torchvision::variance_offset;

/// How a file's tensors are matched with a model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    /// By name.
    Names,
    /// By torchvision's names, translated to timm's; by order in families where torchvision's order is timm's.
    Torchvision,
    /// By Transformers' names, translated to timm's.
    Transformers,
    /// By order, on request.
    Order,
}

/// A file under the names of a model, as far as they are known.
pub(crate) struct Fitted {
    /// The file, under the model's names.
    pub file: StateDict,
    /// The library whose names were translated; else [`Matching::Names`].
    pub naming: Matching,
    /// What stood before the names: `model.`; empty if nothing did.
    pub prefix: String,
    /// Names outside the network: a loss, a metric, a pooler.
    pub outside: Vec<String>,
    /// Names of the classifier: the file's, the model's.
    pub renamed: Vec<(String, String)>,
}

impl Fitted {
    /// The file under its own names.
    pub fn unchanged(file: &StateDict) -> Self {
        Fitted {
            file: file.clone(),
            naming: Matching::Names,
            prefix: String::new(),
            outside: Vec::new(),
            renamed: Vec::new(),
        }
    }
}

/// Fits the names of a file to those of a model with these tensors.
///
/// # Errors
/// The file holds several networks of this architecture.
pub(crate) fn fitted(file: &StateDict, preset: &Preset, state: &[(String, Tensor)]) -> Result<Fitted> {
    let own = state.iter().map(|(name, _)| name.as_str()).collect();
    let mut fitted = Fitted::unchanged(file);
    prefix::strip_shared(&mut fitted, &own);
    translation::translate(&mut fitted, preset.family)?;
    prefix::strip(&mut fitted, &own)?;
    classifier::rename(&mut fitted, preset.classifier, state);
    Ok(fitted)
}
