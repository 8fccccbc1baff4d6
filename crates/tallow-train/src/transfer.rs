//! Transfer learning: which parameters of a pretrained model are frozen, and for how long.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::{Gradients, ParamStore};
use tallow_optim::optimizer::is_classifier;

use crate::{Error, Network, Result};

/// The pattern of `transfer.freeze` for all parameters but the classifier and low-rank adapters (`model.lora_rank`).
pub const BACKBONE: &str = "backbone";

/// The `[transfer]` section: pretrained weights and frozen parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TransferConfig {
    /// The weights to start from: a file, a folder, `hf:OWNER/REPO[@REVISION]`, or timm's `MODEL.TAG`; random ones if absent.
    /// [`setup`](fn@crate::setup) loads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<String>,
    /// Whether their tensors are matched with the model's by order instead of by name.
    pub weights_by_order: bool,
    /// Whether tensors that are missing, unexpected or of another shape are reported instead of refused.
    pub allow_mismatch: bool,
    /// Patterns of the frozen parameters: a name or a module (`layer1`), with `*` for any text, or `backbone`. Frozen BatchNorm
    /// layers normalise with their running statistics, which do not change.
    pub freeze: Vec<String>,
    /// Epochs after which all parameters are trained; never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfreeze_after_epochs: Option<u64>,
    /// Whether the features of a backbone that is frozen as a whole are computed once and cached in memory, where every epoch
    /// shows the same pixels. Changes speed and memory, never results.
    pub cache_features: bool,
}

impl Default for TransferConfig {
    fn default() -> Self {
        TransferConfig {
            pretrained: None,
            weights_by_order: false,
            allow_mismatch: false,
            freeze: Vec::new(),
            unfreeze_after_epochs: None,
            cache_features: true,
        }
    }
}

/// The frozen parameters of a model.
#[derive(Debug)]
pub struct Frozen {
    parameters: Vec<Tensor>,
    patterns: Vec<String>,
    until: u64,
    classifier: Option<String>,
}

impl Frozen {
    /// The parameters that `config` freezes.
    ///
    /// # Errors
    /// A pattern that matches nothing; patterns that freeze the whole model.
    pub fn new(config: &TransferConfig, network: Network<'_>) -> Result<Self> {
        let (store, classifier) = (network.store, network.classifier);
        for pattern in &config.freeze {
            if !store.parameters().any(|(name, _)| matches(pattern, name, classifier)) {
                let mut modules: Vec<&str> =
                    store.parameters().filter_map(|(name, _)| Some(name.split_once('.')?.0)).collect();
                modules.dedup();
                return Err(Error::Mismatch(format!(
                    "transfer.freeze: `{pattern}` matches no parameter of {}; its modules are {}",
                    network.name,
                    modules.join(", ")
                )));
            }
        }
        let any = |name: &str| config.freeze.iter().any(|pattern| matches(pattern, name, classifier));
        let parameters: Vec<Tensor> =
            store.parameters().filter(|(name, _)| any(name)).map(|(_, var)| var.as_tensor().clone()).collect();
        let until = config.unfreeze_after_epochs.unwrap_or(u64::MAX);
        if parameters.len() == store.parameters().count() && until > 0 {
            let patterns = config.freeze.join(", ");
            return Err(Error::Mismatch(format!("transfer.freeze: {patterns} leaves nothing of the model to train")));
        }
        Ok(Self { parameters, patterns: config.freeze.clone(), until, classifier: classifier.map(str::to_owned) })
    }

    /// Freezes and unfreezes statistics for an epoch, counted from 0; returns the parameters that are frozen in it.
    pub fn start_epoch(&self, store: &ParamStore, epoch: u64) -> &[Tensor] {
        let holds = epoch < self.until;
        for (name, buffer) in store.buffers() {
            buffer.freeze(
                holds && self.patterns.iter().any(|pattern| matches(pattern, name, self.classifier.as_deref())),
            );
        }
        if holds { &self.parameters } else { &[] }
    }

    /// Whether an epoch is the first in which some parameters are trained.
    pub(crate) fn changes_at(&self, epoch: u64) -> bool {
        epoch == 0 || epoch == self.until
    }
}

/// Whether only the classifier is trained: the backbone then computes the same features in every epoch, if it draws no random
/// numbers.
pub(crate) fn only_the_classifier_is_trained(network: Network<'_>, frozen: &[Tensor]) -> bool {
    let Some(classifier) = network.classifier else { return false };
    let still = |var: &Tensor| frozen.iter().any(|parameter| parameter.id() == var.id());
    network.store.parameters().all(|(name, var)| is_classifier(name, classifier) || still(var))
        && network.store.buffers().all(|(name, buffer)| is_classifier(name, classifier) || buffer.is_frozen())
}

/// Removes the gradients of frozen parameters: Candle's own ops still compute them.
pub(crate) fn drop_frozen(grads: &mut Gradients, frozen: &[Tensor]) {
    for parameter in frozen {
        grads.remove(parameter);
    }
}

/// Fails if a trained parameter has no gradient.
pub(crate) fn check_gradients(grads: &Gradients, store: &ParamStore, frozen: &[Tensor]) -> Result<()> {
    let trained = |var: &Tensor| frozen.iter().all(|parameter| parameter.id() != var.id());
    let without = store.parameters().filter(|(_, var)| grads.get(var).is_none() && trained(var));
    let names: Vec<&str> = without.map(|(name, _)| name).collect();
    if names.is_empty() { Ok(()) } else { Err(Error::NoGradient { names: names.join(", ") }) }
}

/// Whether a pattern matches the whole name of a parameter, or a module that it is in.
fn matches(pattern: &str, name: &str, classifier: Option<&str>) -> bool {
    if pattern == BACKBONE {
        return classifier.is_some_and(|classifier| !is_classifier(name, classifier)) && !name.contains(".lora_");
    }
    let ends = name.match_indices('.').map(|(end, _)| end).chain([name.len()]);
    ends.into_iter().any(|end| glob(pattern.as_bytes(), &name.as_bytes()[..end]))
}

/// Whether `pattern`, in which `*` stands for any bytes, is `text`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.iter().position(|&byte| byte == b'*') {
        None => pattern == text,
        Some(star) => {
            let (before, after) = (&pattern[..star], &pattern[star + 1..]);
            text.starts_with(before) && (star..=text.len()).any(|from| glob(after, &text[from..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_modules_or_globs() {
        for (pattern, name, expected) in [
            ("layer1", "layer1.0.conv1.weight", true),
            ("layer1", "layer10.0.conv1.weight", false),
            ("layer1.0", "layer1.0.conv1.weight", true),
            ("layer1.0", "layer1.01.conv1.weight", false),
            ("conv1.weight", "conv1.weight", true),
            ("conv1.weight", "layer1.0.conv1.weight", false),
            ("*.conv1", "layer1.0.conv1.weight", true),
            ("*bn*", "layer1.0.bn1.running_mean", true),
            ("layer[12]", "layer1.0.bn1.bias", false),
            ("*", "anything", true),
            ("backbone", "layer1.0.bn1.bias", true),
            ("backbone", "fc.bias", false),
            ("backbone", "blocks.0.attn.qkv.weight", true),
            ("backbone", "blocks.0.attn.qkv.lora_A.weight", false),
        ] {
            assert_eq!(matches(pattern, name, Some("fc")), expected, "{pattern} {name}");
        }
    }
}
