//! The names of other libraries, for families in which the shapes are timm's.

use std::collections::HashMap;

use candle_core::Tensor;

use super::{Fitted, Matching, torchvision, transformers};
use crate::error::{Error, Result};
use crate::read::{Entry, Stored};

/// Names of a library for some families.
struct Translation {
    naming: Matching,
    families: &'static [&'static str],
    /// A name that only these files have.
    mark: &'static str,
    /// The modules around the network without its classifier, by version; files of the network alone lack them.
    bases: &'static [&'static str],
    /// The model's name; `None` where there is no counterpart.
    rename: fn(&str) -> Option<String>,
    /// Modules that classify nothing.
    unused: &'static [&'static str],
}

const TRANSLATIONS: &[Translation] = &[
    Translation {
        naming: Matching::Torchvision,
        families: &["vit/vision_transformer", "vit/deit"],
        mark: "conv_proj.weight",
        bases: &[],
        rename: torchvision::vision_transformer,
        unused: &[],
    },
    Translation {
        naming: Matching::Torchvision,
        families: &["vit/swin"],
        mark: "features.0.0.weight",
        bases: &[],
        rename: torchvision::swin,
        unused: &[],
    },
    Translation {
        naming: Matching::Torchvision,
        families: &["cnn/regnet"],
        mark: "trunk_output.block1.block1-0.f.a.0.weight",
        bases: &[],
        rename: torchvision::regnet,
        unused: &[],
    },
    Translation {
        naming: Matching::Transformers,
        families: &["vit/vision_transformer"],
        mark: "embeddings.cls_token",
        bases: &["vit."],
        rename: transformers::vit,
        unused: &["pooler.", "embeddings.mask_token"],
    },
    Translation {
        naming: Matching::Transformers,
        families: &["cnn/resnet"],
        mark: "embedder.embedder.convolution.weight",
        bases: &["resnet."],
        rename: transformers::resnet,
        unused: &[],
    },
    Translation {
        naming: Matching::Transformers,
        families: &["cnn/convnext"],
        mark: "embeddings.patch_embeddings.weight",
        bases: &["convnext.", "convnextv2."],
        rename: transformers::convnext,
        unused: &[],
    },
];

/// Translates the names of a file that has those of another library for this family. Names without a counterpart stay.
///
/// # Errors
/// The file holds several such networks.
pub(super) fn translate(fitted: &mut Fitted, family: &str) -> Result<()> {
    let before = |name: &str, mark: &str| {
        let prefix = name.strip_suffix(mark)?;
        (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
    };
    for translation in TRANSLATIONS.iter().filter(|translation| translation.families.contains(&family)) {
        let entries = &fitted.file.entries;
        let prefixes: Vec<String> = entries.iter().filter_map(|entry| before(&entry.name, translation.mark)).collect();
        let network = match &prefixes[..] {
            [] => continue,
            [prefix] => prefix.clone(),
            _ => return Err(Error::SeveralNetworks { path: fitted.file.path.clone(), prefixes }),
        };
        let outer = translation.bases.iter().find_map(|base| network.strip_suffix(base)).unwrap_or(&network);
        apply(translation, fitted, &network, outer);
        return Ok(());
    }
    Ok(())
}

fn apply(translation: &Translation, fitted: &mut Fitted, network: &str, outer: &str) {
    fitted.file.entries.retain_mut(|entry| {
        let bare = entry.name.strip_prefix(network).or_else(|| entry.name.strip_prefix(outer));
        let Some(bare) = bare.filter(|bare| !translation.unused.iter().any(|unused| bare.starts_with(unused))) else {
            fitted.outside.push(entry.name.clone());
            return false;
        };
        entry.name = (translation.rename)(bare).unwrap_or_else(|| bare.to_owned());
        true
    });
    fuse(&mut fitted.file.entries);
    fitted.naming = translation.naming;
    fitted.prefix.push_str(outer);
}

/// Joins the projections `attn.q`, `attn.k` and `attn.v` into `attn.qkv`. A projection without the others stays.
fn fuse(entries: &mut Vec<Entry>) {
    let tensors: HashMap<String, Tensor> = entries.iter().filter_map(projection).collect();
    let joined = |block: &str, end: &str| {
        let part = |letter: &str| tensors.get(&format!("{block}.attn.{letter}.{end}"));
        Tensor::cat(&[part("q")?, part("k")?, part("v")?], 0).ok()
    };
    let parts = |name: &str| {
        let letter = LETTERS.iter().position(|letter| name.contains(letter))?;
        name.split_once(LETTERS[letter]).map(|(block, end)| (letter, block.to_owned(), end.to_owned()))
    };
    entries.retain_mut(|entry| {
        let Some((letter, block, end)) = parts(&entry.name) else { return true };
        let Some(tensor) = joined(&block, &end) else { return true };
        *entry = Entry { name: format!("{block}.attn.qkv.{end}"), stored: Stored::Tensor(tensor) };
        letter == 0
    });
}

/// The parts of the names of projections.
const LETTERS: [&str; 3] = [".attn.q.", ".attn.k.", ".attn.v."];

fn projection(entry: &Entry) -> Option<(String, Tensor)> {
    match &entry.stored {
        Stored::Tensor(tensor) if LETTERS.iter().any(|letter| entry.name.contains(letter)) => {
            Some((entry.name.clone(), tensor.clone()))
        }
        _ => None,
    }
}
