//! torchvision's parameter names translated to timm's, for families in which the shapes are the same.

/// The number to add to the running variances of torchvision's weights: its norms have an epsilon of 1e-3, timm's of 1e-5.
pub(crate) fn variance_offset(family: &str) -> f64 {
    if family == "cnn/mobilenetv3" { 1e-3 - 1e-5 } else { 0.0 }
}

/// The name with its prefix replaced by the first pair that fits.
pub(super) fn exchanged(name: &str, pairs: &[(&str, &str)]) -> Option<String> {
    pairs.iter().find_map(|(theirs, ours)| {
        let rest = name.strip_prefix(theirs)?;
        (rest.is_empty() || rest.starts_with(['.', '_'])).then(|| match rest.strip_prefix('_') {
            // `in_proj_weight` is a parameter of the attention itself.
            Some(parameter) => format!("{ours}.{parameter}"),
            None => format!("{ours}{rest}"),
        })
    })
}

pub(super) fn vision_transformer(name: &str) -> Option<String> {
    const BLOCK: &[(&str, &str)] = &[
        ("ln_1", "norm1"),
        ("self_attention.in_proj", "attn.qkv"),
        ("self_attention.out_proj", "attn.proj"),
        ("ln_2", "norm2"),
        ("mlp.0", "mlp.fc1"),
        ("mlp.linear_1", "mlp.fc1"),
        ("mlp.3", "mlp.fc2"),
        ("mlp.linear_2", "mlp.fc2"),
    ];
    if let Some(rest) = name.strip_prefix("encoder.layers.encoder_layer_") {
        let (index, part) = rest.split_once('.')?;
        return Some(format!("blocks.{index}.{}", exchanged(part, BLOCK)?));
    }
    let outer = [
        ("class_token", "cls_token"),
        ("conv_proj", "patch_embed.proj"),
        ("encoder.pos_embedding", "pos_embed"),
        ("encoder.ln", "norm"),
        ("heads.head", "head"),
    ];
    exchanged(name, &outer)
}

pub(super) fn swin(name: &str) -> Option<String> {
    const OUTER: &[(&str, &str)] =
        &[("features.0.0", "patch_embed.proj"), ("features.0.2", "patch_embed.norm"), ("head", "head.fc")];
    if let Some(name) = exchanged(name, OUTER) {
        return Some(name);
    }
    // Stages and patch merging alternate.
    let (index, rest) = name.strip_prefix("features.")?.split_once('.')?;
    let index: usize = index.parse().ok()?;
    if index.is_multiple_of(2) {
        return Some(format!("layers.{}.downsample.{rest}", index / 2));
    }
    let (block, part) = rest.split_once('.')?;
    let part = exchanged(part, &[("mlp.0", "mlp.fc1"), ("mlp.3", "mlp.fc2")]).unwrap_or_else(|| part.to_owned());
    Some(format!("layers.{}.blocks.{block}.{part}", index / 2))
}

pub(super) fn regnet(name: &str) -> Option<String> {
    const BLOCK: &[(&str, &str)] = &[
        ("proj.0", "downsample.conv"),
        ("proj.1", "downsample.bn"),
        ("f.a.0", "conv1.conv"),
        ("f.a.1", "conv1.bn"),
        ("f.b.0", "conv2.conv"),
        ("f.b.1", "conv2.bn"),
        ("f.se", "se"),
        ("f.c.0", "conv3.conv"),
        ("f.c.1", "conv3.bn"),
    ];
    let Some(rest) = name.strip_prefix("trunk_output.block") else {
        return exchanged(name, &[("stem.0", "stem.conv"), ("stem.1", "stem.bn"), ("fc", "head.fc")]);
    };
    // trunk_output.block1.block1-0.f.a.0
    let (stage, rest) = rest.split_once(".block")?;
    let (block, part) = rest.strip_prefix(stage)?.strip_prefix('-')?.split_once('.')?;
    let block: usize = block.parse().ok()?;
    Some(format!("s{stage}.b{}.{}", block + 1, exchanged(part, BLOCK)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exchanged_whole() {
        let check = |rename: fn(&str) -> Option<String>, theirs: &str, ours: &str| {
            assert_eq!(rename(theirs).as_deref(), Some(ours));
        };
        let layer = "encoder.layers.encoder_layer_11";
        check(vision_transformer, &format!("{layer}.self_attention.in_proj_bias"), "blocks.11.attn.qkv.bias");
        check(vision_transformer, &format!("{layer}.mlp.linear_2.weight"), "blocks.11.mlp.fc2.weight");
        check(vision_transformer, "class_token", "cls_token");
        check(vision_transformer, "encoder.ln.weight", "norm.weight");
        check(swin, "features.1.1.attn.qkv.weight", "layers.0.blocks.1.attn.qkv.weight");
        check(swin, "features.6.reduction.weight", "layers.3.downsample.reduction.weight");
        check(swin, "features.7.1.mlp.3.bias", "layers.3.blocks.1.mlp.fc2.bias");
        check(swin, "head.bias", "head.fc.bias");
        check(regnet, "trunk_output.block3.block3-10.f.b.1.running_var", "s3.b11.conv2.bn.running_var");
        check(regnet, "trunk_output.block1.block1-0.proj.0.weight", "s1.b1.downsample.conv.weight");
        check(regnet, "trunk_output.block1.block1-0.f.se.fc1.bias", "s1.b1.se.fc1.bias");
        assert_eq!((swin("norm.weight"), regnet("anything"), vision_transformer("encoder.lnx")), (None, None, None));
    }
}
