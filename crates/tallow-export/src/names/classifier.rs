//! A classifier of another name: `fc.1` of a `Sequential(Dropout, Linear)`, `head`, `classifier`.

use std::collections::HashSet;

use candle_core::Tensor;

use super::Fitted;
use crate::read::Entry;

/// The names that libraries give classifiers.
const CLASSIFIERS: [&str; 8] = ["fc", "head", "heads", "classifier", "linear", "last_linear", "logits", "output"];

/// Gives the file's only classifier the model's name, if the file has none of that name but at least half of the others: a
/// weight for the same features, and a bias. A classifier of several layers keeps its names.
pub(super) fn rename(fitted: &mut Fitted, classifier: &str, state: &[(String, Tensor)]) {
    let weight = format!("{classifier}.weight");
    let Some((_, own)) = state.iter().find(|(name, _)| *name == weight) else { return };
    if fitted.file.find(&weight).is_some() {
        return;
    }
    let known: HashSet<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    let shared = fitted.file.names().filter(|name| known.contains(name)).count();
    if 2 * shared < known.len() {
        return; // The names of another library.
    }
    let spare = |entry: &&Entry| !known.contains(entry.name.as_str());
    let root = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let roots: Vec<&str> = CLASSIFIERS.iter().copied().chain(classifier.split('.').next()).collect();
    let fits = |entry: &&Entry| {
        let shape = entry.shape();
        entry.name.ends_with(".weight") && shape.len() == own.rank() && shape[1..] == own.dims()[1..]
    };
    let heads: Vec<&Entry> =
        fitted.file.entries.iter().filter(spare).filter(|entry| roots.contains(&root(&entry.name).as_str())).collect();
    let weights: Vec<&&Entry> = heads.iter().filter(|entry| fits(entry)).collect();
    let [found] = weights[..] else { return };
    let module = found.name.trim_end_matches(".weight").to_owned();
    let own_names = [format!("{module}.weight"), format!("{module}.bias")];
    if heads.iter().any(|entry| root(&entry.name) == root(&module) && !own_names.contains(&entry.name)) {
        return; // Of several layers.
    }
    for entry in &mut fitted.file.entries {
        if own_names.contains(&entry.name) {
            let name = entry.name.replacen(&module, classifier, 1);
            fitted.renamed.push((std::mem::replace(&mut entry.name, name.clone()), name));
        }
    }
}
