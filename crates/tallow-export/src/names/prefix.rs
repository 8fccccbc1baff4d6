//! The modules around a network, which stand before its names.

use std::collections::{HashMap, HashSet};

use super::Fitted;
use crate::error::{Error, Result};

/// The number of modules around a network that are looked through.
const MAX_DEPTH: usize = 6;

/// Removes the first part of all names while they share it, unless names of the model begin with it too.
pub(super) fn strip_shared(fitted: &mut Fitted, own: &HashSet<&str>) {
    for _ in 0..MAX_DEPTH {
        let part = |name: &str| name.split_once('.').map(|(part, _)| part.to_owned());
        let Some(first) = fitted.file.entries.first().and_then(|entry| part(&entry.name)) else { return };
        let shared = fitted.file.entries.iter().all(|entry| part(&entry.name).as_ref() == Some(&first));
        if !shared || own.iter().any(|name| part(name).as_ref() == Some(&first)) {
            return;
        }
        let prefix = format!("{first}.");
        for entry in &mut fitted.file.entries {
            entry.name.drain(..prefix.len());
        }
        fitted.prefix.push_str(&prefix);
    }
}

/// Removes the prefix under which most of the model's names stand, if those are at least half of them. Names that are the
/// model's without it stay; all others are outside the network.
///
/// # Errors
/// As many of the model's names stand under another prefix: two networks, none of which is an average.
pub(super) fn strip(fitted: &mut Fitted, own: &HashSet<&str>) -> Result<()> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for entry in &fitted.file.entries {
        let name = entry.name.as_str();
        let starts = std::iter::once(0).chain(name.match_indices('.').take(MAX_DEPTH).map(|(dot, _)| dot + 1));
        for start in starts.filter(|start| own.contains(&name[*start..])) {
            *counts.entry(&name[..start]).or_default() += 1;
        }
    }
    let most = counts.values().copied().max().unwrap_or(0);
    if counts.get("").is_some_and(|bare| *bare == most) || 2 * most < own.len() || most == 0 {
        return Ok(());
    }
    let mut prefixes: Vec<String> =
        counts.iter().filter(|(_, count)| **count == most).map(|(&prefix, _)| prefix.to_owned()).collect();
    prefixes.sort();
    if prefixes.len() > 1 {
        // Averaged weights first, as among the keys of a checkpoint.
        let averaged = |prefix: &&String| prefix.to_lowercase().contains("ema");
        let path = fitted.file.path.clone();
        match prefixes.iter().filter(averaged).count() {
            1 => prefixes.retain(|prefix| averaged(&prefix)),
            _ => return Err(Error::SeveralNetworks { path, prefixes }),
        }
    }
    let prefix = &prefixes[0];
    let inside: HashSet<String> =
        fitted.file.entries.iter().filter_map(|entry| entry.name.strip_prefix(prefix).map(str::to_owned)).collect();
    fitted.file.entries.retain_mut(|entry| {
        if let Some(bare) = entry.name.strip_prefix(prefix) {
            entry.name = bare.to_owned();
            return true;
        }
        let kept = own.contains(entry.name.as_str()) && !inside.contains(&entry.name);
        if !kept {
            fitted.outside.push(entry.name.clone());
        }
        kept
    });
    fitted.prefix.push_str(prefix);
    Ok(())
}
