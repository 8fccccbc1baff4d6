//! Pretrained weights loaded into a model: matched by name, adapted where class count, channels or size differ.

use std::collections::{HashMap, HashSet};

use candle_core::Tensor;
use tallow_models::BuiltModel;

use super::adapt;
use super::finite::check_finite;
use super::lora::is_lora;
use super::report::{LoadOptions, PretrainedReport};
use crate::error::{Error, Result};
use crate::excerpt::excerpt;
use crate::names::{self, Fitted, Matching, shared, variance_offset};
use crate::read::{Entry, Format, StateDict};

/// Loads the weights of a file into a model. If the model has other classes, its classifier keeps its initial values; for
/// other channels the first convolution is adapted, for another input size the position embedding. Names are fitted first:
/// prefixes, and the names of torchvision and Transformers. After an error no parameter has changed.
///
/// # Errors
/// Missing or unexpected names, another shape, a type that is not floating point, values that are not finite:
/// [`LoadOptions`] accepts some of them.
pub fn load_pretrained(file: &StateDict, built: &BuiltModel, options: LoadOptions) -> Result<PretrainedReport> {
    let preset = &built.info.preset;
    let state = built.store.state_dict();
    let Matched { fitted, by, pairs } = matched(file, built, &state, options.by_order)?;
    let Fitted { file, naming, prefix, outside, renamed } = fitted;
    let matching = if naming == Matching::Names { by } else { naming };
    let mut report = PretrainedReport {
        path: file.path.clone(),
        format: file.format,
        key: file.key.clone(),
        matching,
        prefix,
        renamed,
        outside,
        loaded: Vec::new(),
        adapted: Vec::new(),
        fresh: Vec::new(),
        missing: Vec::new(),
        unexpected: unexpected(&file, &state, by),
        mismatched: Vec::new(),
    };
    let entries = || pairs.iter().map(|index| index.map(|index| &file.entries[index]));
    let other_classes = entries().zip(&state).any(|(entry, (name, own))| {
        is_classifier(built, name)
            && entry.is_none_or(|entry| entry.shape().first() != own.dims().first() && same_features(entry, own))
    });
    let mut values: Vec<(String, Tensor)> = Vec::new();
    for ((name, own), entry) in state.iter().zip(entries()) {
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
        check_finite(&file.path, &entry.name, &tensor)?;
        if matching == Matching::Torchvision && name.ends_with("running_var") {
            tensor = tensor.affine(1.0, variance_offset(preset.family)).map_err(tallow_nn::Error::from)?;
        }
        let refused = options.keep_channels && adapt::is_first_conv(built, &name);
        if tensor.dims() == own.dims() {
            report.loaded.push(name.clone());
            values.push((name, tensor));
        } else if !refused && let Some((adapted, how)) = adapt::adapt(built, &name, &tensor, own, matching)? {
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
        let fits_by_order = matching == Matching::Names && in_order(&file, built, &state).is_ok();
        // Where nothing fits, a prefix that all names share belongs to another architecture.
        let whole = |name: String| if values.is_empty() { format!("{}{name}", report.prefix) } else { name };
        let unexpected: Vec<String> = report.unexpected.into_iter().map(whole).collect();
        let shared = shared(&unexpected, preset.classifier).filter(|_| !fits_by_order);
        return Err(Error::OtherArchitecture {
            path: file.path,
            missing: report.missing,
            unexpected,
            fits_by_order,
            shared,
        });
    }
    for (name, tensor) in &values {
        built.store.set(name, tensor)?;
    }
    Ok(report)
}

/// A file under a model's names, and the index of the file's tensor for each of the model's.
pub(crate) struct Matched {
    pub fitted: Fitted,
    by: Matching,
    pub pairs: Vec<Option<usize>>,
}

/// Matches the tensors of a file with those of a model, `state`.
pub(crate) fn matched(
    file: &StateDict,
    built: &BuiltModel,
    state: &[(String, Tensor)],
    by_order: bool,
) -> Result<Matched> {
    let fitted = match by_order {
        true => Fitted::unchanged(file),
        false => names::fitted(file, &built.info.preset, state)?,
    };
    let file = &fitted.file;
    let by = match by_order {
        true => Matching::Order,
        false if is_torchvision(file, built, state) => Matching::Torchvision,
        false => Matching::Names,
    };
    let pairs = if by == Matching::Names {
        let index: HashMap<&str, usize> =
            file.entries.iter().enumerate().map(|(index, entry)| (entry.name.as_str(), index)).collect();
        state.iter().map(|(name, _)| index.get(name.as_str()).copied()).collect()
    } else {
        in_order(file, built, state)?;
        (0..state.len()).map(Some).collect()
    };
    Ok(Matched { fitted, by, pairs })
}

/// Whether a file has torchvision's names, in families where timm's are others.
fn is_torchvision(file: &StateDict, built: &BuiltModel, state: &[(String, Tensor)]) -> bool {
    const FAMILIES: &[&str] = &["cnn/vgg", "cnn/mobilenetv2", "cnn/mobilenetv3", "cnn/efficientnet", "cnn/convnext"];
    let family = built.info.preset.family;
    let foreign = |name: &str| state.iter().all(|(own, _)| own != name);
    FAMILIES.contains(&family)
        && file.names().any(|name| name.starts_with("features.0."))
        && file.names().any(|name| name.starts_with("classifier.") && name.ends_with(".weight") && foreign(name))
}

/// Checks that the file's tensors fit the model's one by one.
fn in_order(file: &StateDict, built: &BuiltModel, state: &[(String, Tensor)]) -> Result<()> {
    let refused = |reason: String| Err(Error::Order { path: file.path.clone(), reason });
    if file.format == Format::Safetensors {
        return refused("a safetensors file does not keep the order of its tensors; the .pth file does".into());
    }
    if file.entries.len() != state.len() {
        return refused(format!("it has {} tensors, the model {}", file.entries.len(), state.len()));
    }
    for (index, (entry, (name, own))) in file.entries.iter().zip(state).enumerate() {
        let (found, expected) = (entry.shape(), own.dims());
        let fits = found == expected
            || entry.count() == expected.iter().product::<usize>() && found.first() == expected.first()
            || is_classifier(built, name) && same_features(entry, own)
            || adapt::is_first_conv(built, name) && adapt::other_channels(found, expected)
            || adapt::is_pos_embed(name) && found.last() == expected.last();
        if !fits {
            return refused(format!(
                "its tensor {index} is {} of shape {found:?}, the model's {name} of shape {expected:?}",
                excerpt(&entry.name)
            ));
        }
    }
    Ok(())
}

fn unexpected(file: &StateDict, state: &[(String, Tensor)], matching: Matching) -> Vec<String> {
    if matching != Matching::Names {
        return Vec::new(); // Their numbers are equal.
    }
    /// Tables that are computed from the configuration; older files hold them.
    const DERIVED: &[&str] = &["relative_position_index", "attn_mask", "relative_coords_table"];
    /// Auxiliary classifiers of Inception networks, used only in training.
    const AUXILIARY: &[&str] = &["AuxLogits.", "aux1.", "aux2."];
    let own: HashSet<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    let foreign = |name: &&str| {
        let spare = DERIVED.iter().any(|derived| name.ends_with(derived))
            || AUXILIARY.iter().any(|auxiliary| name.starts_with(auxiliary));
        !own.contains(name) && !spare
    };
    file.names().filter(foreign).map(str::to_owned).collect()
}

/// Whether a parameter belongs to the classifier, or to that of the distillation token, whose name ends in `_dist`.
fn is_classifier(built: &BuiltModel, name: &str) -> bool {
    let classifier = built.info.preset.classifier;
    let module = name.rsplit_once('.').map_or("", |(module, _)| module);
    module == classifier || module.strip_suffix("_dist") == Some(classifier)
}

/// Whether the shapes differ at most in the number of classes.
fn same_features(entry: &Entry, own: &Tensor) -> bool {
    entry.shape().len() == own.rank() && entry.shape()[1..] == own.dims()[1..]
}
