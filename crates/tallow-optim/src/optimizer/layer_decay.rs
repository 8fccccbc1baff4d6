//! Learning rates by depth: layers near the input change less than layers near the classifier.

use std::collections::HashMap;

use super::Param;

/// Sets each parameter's `lr_scale`: `layer_decay` to the power of the number of blocks between it and the classifier, and
/// `head_lr_scale` for the classifier.
///
/// Blocks follow from the names, in the model's order: the stem is what comes before the first number
/// (`patch_embed.proj`, `conv1`), a block is what numbers name (`layer1.0`, `blocks.3`, `stages.1.blocks.0`), and what
/// comes after a block without a number of its own (`norm`) belongs to it. The classifier is the last.
///
/// # Source
/// Bao et al. 2022 (BEiT); timm's `param_groups_layer_decay`.
pub(super) fn scale(params: &mut [Param], classifier: Option<&str>, layer_decay: f64, head_lr_scale: f64) {
    let is_head = |name: &str| classifier.is_some_and(|classifier| is_classifier(name, classifier));
    let mut blocks: HashMap<String, i32> = HashMap::new();
    let mut last = 0;
    let mut depths = Vec::with_capacity(params.len());
    for param in params.iter() {
        let Some(key) = block(&param.name).filter(|_| !is_head(&param.name)) else {
            depths.push(last);
            continue;
        };
        let next = blocks.len() as i32 + 1;
        last = *blocks.entry(key).or_insert(next);
        depths.push(last);
    }
    let top = blocks.len() as i32 + i32::from(classifier.is_some());
    for (param, depth) in params.iter_mut().zip(depths) {
        param.is_classifier = is_head(&param.name);
        param.lr_scale = match param.is_classifier {
            true => head_lr_scale,
            false => layer_decay.powi(top - depth),
        };
    }
}

/// Whether a parameter belongs to the module `classifier`, or to that of a distillation token (`classifier` and `_dist`).
pub fn is_classifier(name: &str, classifier: &str) -> bool {
    let module = name.rsplit_once('.').map_or("", |(module, _)| module);
    module == classifier || module.strip_suffix("_dist") == Some(classifier)
}

/// The part of a name up to the number of its block: `layer1.0`, `stages.1.blocks.0`; none without a number.
fn block(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |i: usize| parts.get(i).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let mut end = (0..parts.len()).find(|&i| number(i))? + 1;
    if end > 1 && number(end) {
        end += 1;
    }
    if parts.get(end) == Some(&"blocks") && number(end + 1) {
        end += 2;
    }
    Some(parts[..end].join("."))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    fn scales(names: &[&str], classifier: &str) -> Vec<f64> {
        let param = |name: &&str| Param {
            name: name.to_string(),
            var: Var::zeros(1, DType::F32, &Device::Cpu).expect("a variable"),
            weight_decay: 0.0,
            lr_scale: 1.0,
            is_classifier: false,
        };
        let mut params: Vec<Param> = names.iter().map(param).collect();
        scale(&mut params, Some(classifier), 0.5, 10.0);
        params.iter().map(|param| param.lr_scale).collect()
    }

    #[test]
    fn a_sequence_at_the_top_has_a_block_for_each_number() {
        assert_eq!(scales(&["0.0.weight", "0.1.weight", "1.f.0.0.weight", "8.weight"], "8"), [0.25, 0.25, 0.5, 10.0]);
    }

    #[test]
    fn rates_fall_from_the_classifier_to_the_stem() {
        let vit = [
            "cls_token",
            "patch_embed.proj.weight",
            "blocks.0.attn.qkv.weight",
            "blocks.1.norm1.bias",
            "norm.weight",
            "head.weight",
            "head_dist.bias",
        ];
        assert_eq!(scales(&vit, "head"), [0.125, 0.125, 0.25, 0.5, 0.5, 10.0, 10.0]);
        let resnet =
            ["conv1.weight", "layer1.0.conv1.weight", "layer1.0.downsample.0.weight", "layer1.1.bn1.bias", "fc.bias"];
        assert_eq!(scales(&resnet, "fc"), [0.125, 0.25, 0.25, 0.5, 10.0]);
        let convnext = ["stem.0.weight", "stages.0.blocks.0.gamma", "stages.0.blocks.1.gamma", "head.fc.weight"];
        assert_eq!(scales(&convnext, "head.fc"), [0.125, 0.25, 0.5, 10.0]);
    }
}
