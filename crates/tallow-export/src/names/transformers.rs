//! The names of Transformers (Hugging Face) translated to timm's: ViT, ResNet, ConvNeXt. Those of the files, and those that
//! the modules of Transformers 5 have. A ViT's three projections become `attn.q`, `attn.k` and `attn.v`, to be joined.

use super::torchvision::exchanged;

/// Pairs of prefixes: theirs, timm's.
type Pairs = &'static [(&'static str, &'static str)];

pub(super) fn vit(name: &str) -> Option<String> {
    const OUTER: Pairs = &[
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        ("layernorm", "norm"),
        ("classifier", "head"),
    ];
    const BLOCK: Pairs = &[
        ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"),
        ("attention.attention.query", "attn.q"),
        ("attention.attention.key", "attn.k"),
        ("attention.attention.value", "attn.v"),
        ("attention.output.dense", "attn.proj"),
        ("attention.q_proj", "attn.q"),
        ("attention.k_proj", "attn.k"),
        ("attention.v_proj", "attn.v"),
        ("attention.o_proj", "attn.proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
        ("mlp.fc1", "mlp.fc1"),
        ("mlp.fc2", "mlp.fc2"),
    ];
    let block = name.strip_prefix("encoder.layer.").or_else(|| name.strip_prefix("layers."));
    let Some((index, part)) = block.and_then(|rest| rest.split_once('.')) else { return exchanged(name, OUTER) };
    Some(format!("blocks.{index}.{}", exchanged(part, BLOCK)?))
}

pub(super) fn resnet(name: &str) -> Option<String> {
    const OUTER: Pairs = &[
        ("embedder.embedder.convolution", "conv1"),
        ("embedder.embedder.normalization", "bn1"),
        ("classifier.1", "fc"),
    ];
    const BLOCK: Pairs = &[
        ("shortcut.convolution", "downsample.0"),
        ("shortcut.normalization", "downsample.1"),
        ("layer.0.convolution", "conv1"),
        ("layer.0.normalization", "bn1"),
        ("layer.1.convolution", "conv2"),
        ("layer.1.normalization", "bn2"),
        ("layer.2.convolution", "conv3"),
        ("layer.2.normalization", "bn3"),
    ];
    let Some((stage, block, part)) = staged(name) else { return exchanged(name, OUTER) };
    let stage: usize = stage.parse().ok()?;
    Some(format!("layer{}.{block}.{}", stage.checked_add(1)?, exchanged(part, BLOCK)?))
}

pub(super) fn convnext(name: &str) -> Option<String> {
    const OUTER: Pairs = &[
        ("embeddings.patch_embeddings", "stem.0"),
        ("embeddings.layernorm", "stem.1"),
        ("layernorm", "head.norm"),
        ("classifier", "head.fc"),
    ];
    const BLOCK: Pairs = &[
        ("layer_scale_parameter", "gamma"),
        ("dwconv", "conv_dw"),
        ("layernorm", "norm"),
        ("pwconv1", "mlp.fc1"),
        ("pwconv2", "mlp.fc2"),
        ("grn", "mlp.grn"),
    ];
    if let Some((stage, block, part)) = staged(name) {
        return Some(format!("stages.{stage}.blocks.{block}.{}", exchanged(part, BLOCK)?));
    }
    match name.strip_prefix("encoder.stages.").and_then(|rest| rest.split_once(".downsampling_layer.")) {
        Some((stage, rest)) => Some(format!("stages.{stage}.downsample.{rest}")),
        None => exchanged(name, OUTER),
    }
}

/// Stage, block and the rest of `encoder.stages.STAGE.layers.BLOCK.REST`.
fn staged(name: &str) -> Option<(&str, &str, &str)> {
    let (stage, rest) = name.strip_prefix("encoder.stages.")?.split_once(".layers.")?;
    let (block, rest) = rest.split_once('.')?;
    Some((stage, block, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_and_of_modules_are_translated() {
        let check = |rename: fn(&str) -> Option<String>, theirs: &str, ours: &str| {
            assert_eq!(rename(theirs).as_deref(), Some(ours), "{theirs}");
        };
        check(vit, "encoder.layer.11.attention.output.dense.bias", "blocks.11.attn.proj.bias");
        check(vit, "encoder.layer.0.output.dense.weight", "blocks.0.mlp.fc2.weight");
        check(vit, "layers.3.attention.k_proj.weight", "blocks.3.attn.k.weight");
        check(vit, "layernorm.weight", "norm.weight");
        check(
            resnet,
            "encoder.stages.3.layers.0.shortcut.normalization.running_var",
            "layer4.0.downsample.1.running_var",
        );
        check(resnet, "encoder.stages.0.layers.2.layer.2.convolution.weight", "layer1.2.conv3.weight");
        check(resnet, "classifier.1.bias", "fc.bias");
        check(convnext, "encoder.stages.2.downsampling_layer.1.weight", "stages.2.downsample.1.weight");
        check(convnext, "encoder.stages.2.layers.8.layer_scale_parameter", "stages.2.blocks.8.gamma");
        check(convnext, "layernorm.weight", "head.norm.weight");
        assert_eq!((vit("pooler.dense.bias"), resnet("encoder"), convnext("encoder.stages.x")), (None, None, None));
    }
}
