//! Where a file of PyTorch keeps its state dict: at the root, or under a key of a training checkpoint.

use std::collections::HashSet;
use std::path::Path;

use super::pickle::{Id, Node, Pickled};
use crate::error::{Error, Result};
use crate::excerpt::excerpt;

/// The keys of state dicts in training checkpoints, averaged weights first, in timm's order.
const STATE_DICTS: [&str; 5] = ["state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict"];

/// Parts of the keys of a checkpoint whose tensors are not weights of a model.
const NO_WEIGHTS: [&str; 8] = ["optim", "sched", "scaler", "criterion", "loss", "metric", "rng", "history"];

/// The number of dicts around a state dict.
const MAX_DEPTH: usize = 3;

/// A state dict: names and the nodes of tensors.
pub(super) type Tensors<'a> = Vec<(&'a str, Id)>;

/// A dict with tensors, and the keys that lead to it.
struct Candidate<'a> {
    keys: Vec<&'a str>,
    tensors: Tensors<'a>,
}

impl Candidate<'_> {
    fn path(&self) -> String {
        self.keys.iter().map(|key| excerpt(key)).collect::<Vec<_>>().join(".")
    }
}

/// The dict that holds the weights: under a usual key, else the one with the most tensors. Returns the keys that lead to it.
///
/// # Errors
/// There is none, or there are several.
pub(super) fn state_dict<'a>(path: &Path, pickled: &'a Pickled) -> Result<(Option<String>, Tensors<'a>)> {
    let none = |found: String| Error::NoWeights { path: path.to_path_buf(), found };
    if pickled.entries(pickled.root).is_none() {
        return Err(none(pickled.describe(pickled.root)));
    }
    let mut candidates = Vec::new();
    collect(pickled, pickled.root, &mut Vec::new(), &mut HashSet::new(), &mut candidates);
    let chosen = chosen(candidates).map_err(|several| {
        none(format!("several state dicts, under {}; save one of them alone", several.join(" and ")))
    })?;
    let Some(Candidate { keys, tensors }) = chosen else {
        let kinds = pickled.entries(pickled.root).unwrap_or_default().into_iter().take(5);
        let kinds: Vec<String> =
            kinds.map(|(key, id)| format!("`{}`: {}", excerpt(key), pickled.describe(id))).collect();
        return Err(none(format!("a dict without tensors ({})", kinds.join(", "))));
    };
    // Checked before anything is copied: a short file can repeat a long name many times.
    let mut names = HashSet::with_capacity(tensors.len());
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !names.insert(*name)) {
        return Err(none(format!("two tensors named {}", excerpt(name))));
    }
    let keys = Candidate { keys, tensors: Vec::new() };
    Ok((Some(keys.path()).filter(|path| !path.is_empty()), tensors))
}

/// Collects the dicts with tensors below a node, each once, whatever refers to it.
fn collect<'a>(
    pickled: &'a Pickled,
    id: Id,
    keys: &mut Vec<&'a str>,
    seen: &mut HashSet<Id>,
    found: &mut Vec<Candidate<'a>>,
) {
    if !seen.insert(id) {
        return;
    }
    let Some(entries) = pickled.entries(id) else { return };
    let tensors: Tensors =
        entries.iter().copied().filter(|&(_, id)| matches!(pickled.nodes[id], Node::Tensor { .. })).collect();
    if !tensors.is_empty() {
        found.push(Candidate { keys: keys.clone(), tensors });
    }
    if keys.len() < MAX_DEPTH {
        for (key, id) in entries {
            keys.push(key);
            collect(pickled, id, keys, seen, found);
            keys.pop();
        }
    }
}

/// The state dict among the candidates; the keys of several that are as large, if none is preferred.
fn chosen(candidates: Vec<Candidate>) -> std::result::Result<Option<Candidate>, Vec<String>> {
    let rank = |candidate: &Candidate| {
        // The shallowest usual key decides; below it, the dict itself comes before what it holds.
        let usual = candidate.keys.iter().find_map(|key| STATE_DICTS.iter().position(|known| known == key));
        (usual.unwrap_or(STATE_DICTS.len()), candidate.keys.len())
    };
    let weights = |candidate: &Candidate| {
        let named = |key: &&str| NO_WEIGHTS.iter().any(|part| key.to_lowercase().contains(part));
        !candidate.keys.iter().any(named)
    };
    let mut candidates: Vec<Candidate> = candidates.into_iter().filter(weights).collect();
    candidates.sort_by_key(rank);
    if candidates.first().is_some_and(|first| rank(first).0 < STATE_DICTS.len()) {
        return Ok(candidates.into_iter().next());
    }
    let most = candidates.iter().map(|candidate| candidate.tensors.len()).max().unwrap_or(0);
    candidates.retain(|candidate| 2 * candidate.tensors.len() > most);
    if candidates.len() > 1 {
        // Averaged weights first, as among the usual keys.
        let averaged = |candidate: &Candidate| candidate.keys.iter().any(|key| key.to_lowercase().contains("ema"));
        if candidates.iter().filter(|candidate| averaged(candidate)).count() != 1 {
            return Err(candidates.iter().map(Candidate::path).collect());
        }
        candidates.retain(averaged);
    }
    Ok(candidates.pop())
}
