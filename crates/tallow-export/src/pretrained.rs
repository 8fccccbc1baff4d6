//! Weights of another training given to a model: matched by name, adapted where class count, channels or size differ.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use candle_core::Tensor;
use tallow_models::Built;

use crate::adapt;
use crate::error::{Error, Result};
use crate::lora::is_lora;
use crate::read::{Entry, Format, StateDict};
use crate::torchvision;

/// What may differ between a file and a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether tensors are matched by their order in the file instead of their names: for a file with names of its
    /// own whose shapes agree one by one.
    pub by_order: bool,
    /// Whether tensors that are missing, unexpected or of another shape are reported instead of refused.
    pub allow_mismatch: bool,
}

/// How a file's tensors were matched with a model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    /// By name.
    Names,
    /// torchvision's names: exchanged for timm's, or taken in torchvision's order where that is timm's.
    Torchvision,
    /// By order, as asked for.
    Order,
}

/// What a file gave to a model. Names are the model's, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PretrainedReport {
    /// The file.
    pub path: PathBuf,
    /// Its kind.
    pub format: Format,
    /// The key of a checkpoint under which the weights lay: `state_dict_ema`.
    pub key: Option<String>,
    /// How tensors were matched.
    pub matching: Matching,
    /// Loaded as they are.
    pub loaded: Vec<String>,
    /// Loaded after a change: the name, and what was done.
    pub adapted: Vec<(String, String)>,
    /// The classifier, where it is for other classes, and low-rank changes that are yet to be learnt: they keep their
    /// fresh values.
    pub fresh: Vec<String>,
    /// In the model and not in the file: they keep their fresh values.
    pub missing: Vec<String>,
    /// In the file and not in the model: left out.
    pub unexpected: Vec<String>,
    /// Of a shape that cannot be adapted: they keep their fresh values.
    pub mismatched: Vec<String>,
}

impl PretrainedReport {
    /// Whether the model is what the file holds, classifier included: ready to predict.
    pub fn is_complete(&self) -> bool {
        self.fresh.is_empty() && self.missing.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for PretrainedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.loaded.len() + self.adapted.len();
        write!(f, "loaded {total} tensors from {} ({}", self.path.display(), self.format)?;
        if let Some(key) = &self.key {
            write!(f, ", {key}")?;
        }
        match self.matching {
            Matching::Names => {}
            Matching::Torchvision => write!(f, ", torchvision's names")?,
            Matching::Order => write!(f, ", matched by order")?,
        }
        write!(f, ")")?;
        for (name, how) in &self.adapted {
            write!(f, "\n  adapted     {name}: {how}")?;
        }
        let lists = [
            ("fresh", &self.fresh),
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("mismatched", &self.mismatched),
        ];
        for (what, names) in lists {
            if !names.is_empty() {
                write!(f, "\n  {what:<11} {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Gives a model the weights of a file. For another number of classes the classifier stays fresh; for another number of
/// channels the first convolution is adapted, for another size the position embedding (`adapt.rs`).
/// If anything is refused, no parameter has changed.
///
/// # Errors
/// Names missing or unexpected, another shape, a type that is not floating point: see [`LoadOptions`].
pub fn load_pretrained(file: &StateDict, built: &Built, options: LoadOptions) -> Result<PretrainedReport> {
    let state = built.store.state_dict();
    let family = built.info.preset.family;
    let translated = torchvision::renamed(file, family).filter(|_| !options.by_order);
    let file = translated.as_ref().unwrap_or(file);
    let (by, pairs) = matched(file, built, &state, options)?;
    let matching = if translated.is_some() { Matching::Torchvision } else { by };
    let mut report = PretrainedReport {
        path: file.path.clone(),
        format: file.format,
        key: file.key.clone(),
        matching,
        loaded: Vec::new(),
        adapted: Vec::new(),
        fresh: Vec::new(),
        missing: Vec::new(),
        unexpected: unexpected(file, &state, by),
        mismatched: Vec::new(),
    };
    let other_classes = pairs.iter().zip(&state).any(|(entry, (name, own))| {
        is_classifier(built, name)
            && entry.is_none_or(|entry| entry.shape().first() != own.dims().first() && same_features(entry, own))
    });
    let mut values: Vec<(String, Tensor)> = Vec::new();
    for ((name, own), entry) in state.iter().zip(pairs) {
        let name = name.clone();
        let Some(entry) = entry else {
            let list =
                if is_classifier(built, &name) || is_lora(&name) { &mut report.fresh } else { &mut report.missing };
            list.push(name);
            continue;
        };
        if other_classes && is_classifier(built, &name) && same_features(entry, own) {
            report.fresh.push(name);
            continue;
        }
        let mut tensor = file.tensor(entry)?.clone();
        if matching == Matching::Torchvision && name.ends_with("running_var") {
            tensor = tensor.affine(1.0, torchvision::variance_offset(family)).map_err(tallow_nn::Error::from)?;
        }
        if tensor.dims() == own.dims() {
            report.loaded.push(name.clone());
            values.push((name, tensor));
        } else if let Some((adapted, how)) = adapt::adapt(built, &name, &tensor, own, by)? {
            report.adapted.push((name.clone(), how));
            values.push((name, adapted));
        } else if options.allow_mismatch {
            report.mismatched.push(name);
        } else {
            return Err(Error::Shape {
                path: file.path.clone(),
                name,
                expected: own.dims().to_vec(),
                found: tensor.dims().to_vec(),
            });
        }
    }
    let surprise = !(report.missing.is_empty() && report.unexpected.is_empty());
    if values.is_empty() || surprise && !options.allow_mismatch {
        let hint = if matching == Matching::Names && in_order(file, built, &state).is_ok() {
            "its tensors fit in their order under other names: --weights-by-order takes them so"
        } else {
            "give the architecture and the options that it was saved with"
        };
        let (missing, unexpected) = (report.missing, report.unexpected);
        return Err(Error::OtherArchitecture { path: file.path.clone(), missing, unexpected, hint });
    }
    for (name, tensor) in &values {
        built.store.set(name, tensor)?;
    }
    Ok(report)
}

/// The file's tensor for each of the model's.
fn matched<'a>(
    file: &'a StateDict,
    built: &Built,
    state: &[(String, Tensor)],
    options: LoadOptions,
) -> Result<(Matching, Vec<Option<&'a Entry>>)> {
    let matching = match options.by_order {
        true => Matching::Order,
        false if is_torchvision(file, built, state) => Matching::Torchvision,
        false => Matching::Names,
    };
    if matching == Matching::Names {
        return Ok((matching, state.iter().map(|(name, _)| file.find(name)).collect()));
    }
    in_order(file, built, state)?;
    Ok((matching, file.entries.iter().map(Some).collect()))
}

/// Whether a file has torchvision's names where they are not the model's own.
fn is_torchvision(file: &StateDict, built: &Built, state: &[(String, Tensor)]) -> bool {
    const FAMILIES: &[&str] = &["cnn/vgg", "cnn/mobilenetv2", "cnn/mobilenetv3", "cnn/efficientnet", "cnn/convnext"];
    let family = built.info.preset.family;
    let foreign = |name: &str| state.iter().all(|(own, _)| own != name);
    FAMILIES.contains(&family)
        && file.names().any(|name| name.starts_with("features.0."))
        && file.names().any(|name| name.starts_with("classifier.") && name.ends_with(".weight") && foreign(name))
}

/// Whether the file's tensors fit the model's one by one.
fn in_order(file: &StateDict, built: &Built, state: &[(String, Tensor)]) -> Result<()> {
    let refused = |reason: String| Err(Error::Order { path: file.path.clone(), reason });
    if file.format == Format::Safetensors {
        return refused("a safetensors file does not keep the order of its tensors; take the .pth file".into());
    }
    if file.entries.len() != state.len() {
        return refused(format!("it has {} tensors, the model {}", file.entries.len(), state.len()));
    }
    for (index, (entry, (name, own))) in file.entries.iter().zip(state).enumerate() {
        let (found, expected) = (entry.shape(), own.dims());
        let fits = found == expected
            || found.iter().product::<usize>() == expected.iter().product::<usize>()
                && found.first() == expected.first()
            || is_classifier(built, name) && same_features(entry, own)
            || adapt::is_first_conv(built, name) && adapt::other_channels(found, expected)
            || adapt::is_pos_embed(name) && found.last() == expected.last();
        if !fits {
            return refused(format!(
                "its tensor {index} is {} of shape {found:?}, the model's {name} of shape {expected:?}",
                entry.name
            ));
        }
    }
    Ok(())
}

fn unexpected(file: &StateDict, state: &[(String, Tensor)], matching: Matching) -> Vec<String> {
    if matching != Matching::Names {
        return Vec::new(); // as many as the model has
    }
    /// Tables that follow from the configuration; older files hold them.
    const DERIVED: &[&str] = &["relative_position_index", "attn_mask", "relative_coords_table"];
    /// Classifiers of inner layers, which only the first training of an Inception network uses.
    const AUXILIARY: &[&str] = &["AuxLogits.", "aux1.", "aux2."];
    let own: HashSet<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    let foreign = |name: &&str| {
        let spare = DERIVED.iter().any(|derived| name.ends_with(derived))
            || AUXILIARY.iter().any(|auxiliary| name.starts_with(auxiliary));
        !own.contains(name) && !spare
    };
    file.names().filter(foreign).map(str::to_owned).collect()
}

/// Whether a parameter is the classifier's; a distillation token's has the same name and `_dist`.
fn is_classifier(built: &Built, name: &str) -> bool {
    let classifier = built.info.preset.classifier;
    let module = name.rsplit_once('.').map_or("", |(module, _)| module);
    module == classifier || module.strip_suffix("_dist") == Some(classifier)
}

/// Equal but for the number of classes.
fn same_features(entry: &Entry, own: &Tensor) -> bool {
    entry.shape().len() == own.rank() && entry.shape()[1..] == own.dims()[1..]
}
