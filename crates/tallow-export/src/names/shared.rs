//! What the names that a model does not have share, for errors.

use crate::excerpt::excerpt;

/// Parts of names, and what they tell about a file.
const MARKS: &[(&str, &str)] = &[
    ("parametrizations.", "a parametrised layer (weight norm, spectral norm): save it after remove_parametrizations"),
    (".weight_g", "weight norm: save it after remove_weight_norm"),
    ("lora_", "LoRA adapters: merge them into the weights and save again"),
    ("_packed_params", "a quantised model: save it before quantisation"),
    ("zero_point", "a quantised model: save it before quantisation"),
    ("visual.", "the image tower of CLIP or OpenCLIP"),
    ("vision_model.", "the image tower of CLIP or SigLIP in Transformers"),
    (".embeddings.", "an architecture of Transformers; ViT, ResNet, ConvNeXt and ConvNeXtV2 are supported"),
    ("embedder.", "an architecture of Transformers; ViT, ResNet, ConvNeXt and ConvNeXtV2 are supported"),
    ("decoder.", "a model that decodes or reconstructs images"),
    ("features.", "torchvision's names: its .pth file keeps the order by which they are matched"),
];

/// What unexpected names have in common, as a sentence's end; `None` if nothing is known.
pub(crate) fn shared(unexpected: &[String], classifier: &str) -> Option<String> {
    let (first, rest) = unexpected.split_first()?;
    if let Some((mark, what)) = MARKS.iter().find(|(mark, _)| unexpected.iter().any(|name| name.contains(mark))) {
        return Some(format!("`{mark}` in the names is a sign of {what}"));
    }
    let root = classifier.split('.').next().unwrap_or(classifier);
    let begin = |name: &str, part: &str| name.split('.').next() == Some(part);
    if unexpected.iter().all(|name| begin(name, root)) {
        return Some(format!("its classifier `{root}` has several layers or other names, the model's is one layer"));
    }
    let mut common = first.rsplit_once('.').map_or("", |(module, _)| module);
    while !common.is_empty() && !rest.iter().all(|name| inside(name, common)) {
        common = common.rsplit_once('.').map_or("", |(module, _)| module);
    }
    let whole = !common.is_empty() && !rest.is_empty();
    whole.then(|| format!("all {} unexpected names begin with `{}.`", unexpected.len(), excerpt(common)))
}

/// Whether a name lies in a module.
fn inside(name: &str, module: &str) -> bool {
    name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_share_is_said() {
        let said = |names: &[&str]| shared(&names.iter().map(|&name| name.into()).collect::<Vec<_>>(), "head.fc");
        assert_eq!(
            said(&["neck.a.weight", "neck.b.weight"]).as_deref(),
            Some("all 2 unexpected names begin with `neck.`")
        );
        assert!(said(&["conv1.lora_A.weight"]).is_some_and(|what| what.contains("LoRA")));
        assert!(said(&["head.0.weight", "head.3.weight"]).is_some_and(|what| what.contains("several layers")));
        assert_eq!((said(&[]), said(&["a.weight", "b.weight"])), (None, None));
    }
}
