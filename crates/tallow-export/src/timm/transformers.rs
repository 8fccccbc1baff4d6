//! `config.json` and `preprocessor_config.json` as Transformers (Hugging Face) writes them: ViT, ResNet, ConvNeXt.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use tallow_augment::{CropMode, Interpolation, Normalization, Preprocessing, Size};
use tallow_models::ModelConfig;

use super::info::preset_preprocessing;
use crate::error::{Error, Result};
use crate::excerpt::excerpt;

/// The name of the file with the preprocessing.
pub(crate) const PREPROCESSOR_FILE: &str = "preprocessor_config.json";

/// The fields of a `config.json` that are read. Absent fields have Transformers' defaults.
#[derive(Deserialize)]
pub(super) struct TransformersConfig {
    model_type: String,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
    num_channels: Option<usize>,
    image_size: Option<Sides>,
    hidden_act: Option<String>,
    // ViT.
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    patch_size: Option<usize>,
    // ResNet and ConvNeXt.
    hidden_sizes: Option<Vec<usize>>,
    depths: Option<Vec<usize>>,
    layer_type: Option<String>,
    embedding_size: Option<usize>,
    #[serde(default)]
    downsample_in_first_stage: bool,
    #[serde(default)]
    downsample_in_bottleneck: bool,
}

/// A size: one number, or height and width.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Sides {
    One(usize),
    Both([usize; 2]),
    Named { height: usize, width: usize },
    Shortest { shortest_edge: usize },
}

/// What a `config.json` of Transformers says.
pub(super) struct Described {
    pub architecture: &'static str,
    pub model: ModelConfig,
    pub label_names: Vec<String>,
    pub preprocessing: Preprocessing,
}

/// The model types that are known, and how each is described.
type Describe = fn(&TransformersConfig, &Path) -> Result<(&'static str, ModelConfig)>;
const TYPES: &[(&str, Describe)] =
    &[("vit", vit), ("resnet", resnet), ("convnext", convnext), ("convnextv2", convnext)];

/// ConvNeXt's sizes: name, channels of the first stage, blocks of each stage.
const CONVNEXT: &[(&str, usize, [usize; 4])] = &[
    ("convnext_atto", 40, [2, 2, 6, 2]),
    ("convnext_femto", 48, [2, 2, 6, 2]),
    ("convnext_pico", 64, [2, 2, 6, 2]),
    ("convnext_nano", 80, [2, 2, 8, 2]),
    ("convnext_tiny", 96, [3, 3, 9, 3]),
    ("convnext_small", 96, [3, 3, 27, 3]),
    ("convnext_base", 128, [3, 3, 27, 3]),
    ("convnextv2_atto", 40, [2, 2, 6, 2]),
    ("convnextv2_nano", 80, [2, 2, 8, 2]),
    ("convnextv2_tiny", 96, [3, 3, 9, 3]),
];

/// ResNet's sizes: name, kind of blocks, blocks of each stage.
const RESNET: &[(&str, &str, [usize; 4])] = &[
    ("resnet18", "basic", [2, 2, 2, 2]),
    ("resnet34", "basic", [3, 4, 6, 3]),
    ("resnet50", "bottleneck", [3, 4, 6, 3]),
    ("resnet101", "bottleneck", [3, 4, 23, 3]),
    ("resnet152", "bottleneck", [3, 8, 36, 3]),
];

/// Whether a `config.json` is of Transformers.
pub(super) fn is_transformers(config: &serde_json::Value) -> bool {
    config.get("architecture").is_none() && config.get("model_type").is_some()
}

/// Reads a `config.json` of Transformers, and `preprocessor_config.json` beside it.
///
/// # Errors
/// A model type, an activation, a size or a preprocessing that is not supported.
pub(super) fn read(path: &Path, config: serde_json::Value) -> Result<Described> {
    let config: TransformersConfig =
        serde_json::from_value(config).map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    let Some((_, describe)) = TYPES.iter().find(|(name, _)| *name == config.model_type) else {
        let types: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        return Err(refused(path, "model_type", &format!("one of {}", types.join(", ")), &config.model_type));
    };
    let (architecture, mut model) = describe(&config, path)?;
    let label_names = labels(&config, path)?;
    // Transformers' own default is 2; the weights decide.
    model.num_classes = config.id2label.as_ref().map(BTreeMap::len).or(config.num_labels).unwrap_or(2);
    model.in_chans = config.num_channels.unwrap_or(3);
    let size = Size { height: model.input_size.0, width: model.input_size.1 };
    let preprocessor = path.with_file_name(PREPROCESSOR_FILE);
    let is_vit = config.model_type == "vit";
    let preprocessing = match preprocessor.is_file() {
        true => preprocessing(&preprocessor, is_vit, size)?,
        // The processor's own defaults.
        false if is_vit => Preprocessing {
            size,
            interpolation: Interpolation::Bilinear,
            crop_pct: 1.0,
            crop_mode: CropMode::Squash,
            normalization: Normalization { mean: vec![0.5; 3], std: vec![0.5; 3] },
            ops: None,
        },
        false => {
            let preset = tallow_models::find(architecture).map_err(model_error(path))?;
            preset_preprocessing(preset, model.in_chans, model.input_size)
        }
    };
    if !is_vit {
        model.input_size = (preprocessing.size.height, preprocessing.size.width);
    }
    let preprocessing =
        Preprocessing { normalization: preprocessing.normalization.for_channels(model.in_chans), ..preprocessing };
    Ok(Described { architecture, model, label_names, preprocessing })
}

fn vit(config: &TransformersConfig, path: &Path) -> Result<(&'static str, ModelConfig)> {
    require(path, "hidden_act", "gelu", config.hidden_act.as_deref().unwrap_or("gelu"))?;
    let (width, heads) = (config.hidden_size.unwrap_or(768), config.num_attention_heads.unwrap_or(12));
    let (depth, hidden) = (config.num_hidden_layers.unwrap_or(12), config.intermediate_size.unwrap_or(3072));
    let (patch, (height, side)) = (config.patch_size.unwrap_or(16), both(config.image_size.unwrap_or(Sides::One(224))));
    let usual = |name: &str, of: usize| {
        let name = format!("vit_{name}_patch{patch}_{height}");
        let plain = (of, of / 64, 12, 4 * of) == (width, heads, depth, hidden) && height == side;
        tallow_models::find(&name).ok().filter(|_| plain)
    };
    let sizes = [("tiny", 192), ("small", 384), ("base", 768)];
    if let Some(preset) = sizes.iter().find_map(|&(name, of)| usual(name, of)) {
        return Ok((preset.name, preset.config()));
    }
    let near = sizes.iter().find(|(_, of)| *of == width).map_or("base", |(name, _)| name);
    let preset = tallow_models::find(&format!("vit_{near}_patch16_224")).map_err(model_error(path))?;
    let mlp_ratio = hidden as f32 / width.max(1) as f32;
    let model = ModelConfig {
        width: Some(width),
        depth: Some(depth),
        num_heads: Some(heads),
        mlp_ratio: Some(mlp_ratio),
        patch_size: Some(patch),
        input_size: (height, side),
        ..preset.config()
    };
    Ok((preset.name, model))
}

fn resnet(config: &TransformersConfig, path: &Path) -> Result<(&'static str, ModelConfig)> {
    require(path, "hidden_act", "relu", config.hidden_act.as_deref().unwrap_or("relu"))?;
    let kind = config.layer_type.as_deref().unwrap_or("bottleneck");
    let depths = config.depths.clone().unwrap_or(vec![3, 4, 6, 3]);
    let known = RESNET.iter().find(|(_, of, blocks)| *of == kind && blocks[..] == depths);
    let Some((name, ..)) = known else {
        let names: Vec<&str> = RESNET.iter().map(|(name, ..)| *name).collect();
        return Err(refused(path, "depths", &format!("those of {}", names.join(", ")), &format!("{kind} {depths:?}")));
    };
    let expansion = if kind == "basic" { 1 } else { 4 };
    let expected = [64, 128, 256, 512].map(|channels| channels * expansion);
    let found = config.hidden_sizes.clone().unwrap_or(vec![256, 512, 1024, 2048]);
    require(path, "hidden_sizes", &format!("{expected:?}"), &format!("{found:?}"))?;
    require(path, "embedding_size", "64", &config.embedding_size.unwrap_or(64).to_string())?;
    for (field, found) in [
        ("downsample_in_first_stage", config.downsample_in_first_stage),
        ("downsample_in_bottleneck", config.downsample_in_bottleneck),
    ] {
        require(path, field, "false", &found.to_string())?;
    }
    preset(name, path)
}

fn convnext(config: &TransformersConfig, path: &Path) -> Result<(&'static str, ModelConfig)> {
    require(path, "hidden_act", "gelu", config.hidden_act.as_deref().unwrap_or("gelu"))?;
    require(path, "patch_size", "4", &config.patch_size.unwrap_or(4).to_string())?;
    let depths = config.depths.clone().unwrap_or(vec![3, 3, 9, 3]);
    let sizes = config.hidden_sizes.clone().unwrap_or(vec![96, 192, 384, 768]);
    let version = format!("{}_", config.model_type);
    let fits = |(name, width, blocks): &&(&str, usize, [usize; 4])| {
        name.starts_with(&version) && blocks[..] == depths && [1, 2, 4, 8].map(|factor| factor * width)[..] == sizes
    };
    let Some((name, ..)) = CONVNEXT.iter().find(fits) else {
        let names: Vec<&str> = CONVNEXT.iter().map(|row| row.0).filter(|name| name.starts_with(&version)).collect();
        let found = format!("depths {depths:?} with {sizes:?}");
        return Err(refused(path, "hidden_sizes", &format!("those of {}", names.join(", ")), &found));
    };
    preset(name, path)
}

fn preset(name: &str, path: &Path) -> Result<(&'static str, ModelConfig)> {
    let preset = tallow_models::find(name).map_err(model_error(path))?;
    Ok((preset.name, preset.config()))
}

/// The classes' names in the order of their numbers; none if they are the placeholders `LABEL_0`, `LABEL_1`, ….
fn labels(config: &TransformersConfig, path: &Path) -> Result<Vec<String>> {
    let Some(names) = &config.id2label else { return Ok(Vec::new()) };
    let named = |index: usize| {
        names.get(&index.to_string()).cloned().ok_or_else(|| {
            let last = names.len() - 1;
            refused(path, "id2label", &format!("the numbers from 0 to {last}"), &format!("no {index}"))
        })
    };
    let labels = (0..names.len()).map(named).collect::<Result<Vec<String>>>()?;
    let placeholders = labels.iter().enumerate().all(|(index, label)| *label == format!("LABEL_{index}"));
    Ok(if placeholders { Vec::new() } else { labels })
}

/// The fields of a `preprocessor_config.json` that are read.
#[derive(Deserialize)]
struct Preprocessor {
    image_mean: Option<Vec<f32>>,
    image_std: Option<Vec<f32>>,
    size: Option<Sides>,
    crop_size: Option<Sides>,
    crop_pct: Option<f64>,
    resample: Option<u8>,
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    do_center_crop: Option<bool>,
}

/// The preprocessing of `preprocessor_config.json`; absent fields have the defaults of the model's image processor. `size` is
/// that of the model.
fn preprocessing(path: &Path, is_vit: bool, size: Size) -> Result<Preprocessing> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let given: Preprocessor =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    require(path, "do_resize", "true", &given.do_resize.unwrap_or(true).to_string())?;
    require(path, "do_rescale", "true", &given.do_rescale.unwrap_or(true).to_string())?;
    let factor = given.rescale_factor.unwrap_or(1.0 / 255.0);
    if (factor * 255.0 - 1.0).abs() > 1e-6 {
        return Err(refused(path, "rescale_factor", "1/255", &factor.to_string()));
    }
    // Pillow's numbers.
    let interpolation = match given.resample.unwrap_or(if is_vit { 2 } else { 3 }) {
        0 => Interpolation::Nearest,
        1 => Interpolation::Lanczos,
        2 => Interpolation::Bilinear,
        3 => Interpolation::Bicubic,
        other => return Err(refused(path, "resample", "0 to 3", &other.to_string())),
    };
    let half = || vec![0.5; 3];
    let normalization = match given.do_normalize.unwrap_or(true) {
        true => {
            Normalization { mean: given.image_mean.unwrap_or_else(half), std: given.image_std.unwrap_or_else(half) }
        }
        false => Normalization::identity(3),
    };
    for (field, values) in [("image_mean", &normalization.mean), ("image_std", &normalization.std)] {
        if values.is_empty() {
            return Err(refused(path, field, "one number a channel", "empty"));
        }
    }
    let square = |side: usize| Size { height: side, width: side };
    let (size, crop_mode, crop_pct) = match (given.size, given.crop_size.filter(|_| given.do_center_crop == Some(true)))
    {
        (Some(Sides::One(short) | Sides::Shortest { shortest_edge: short }), Some(crop)) => {
            let (height, width) = both(crop);
            (Size { height, width }, CropMode::Center, height.min(width) as f64 / short.max(1) as f64)
        }
        // ConvNeXt's: a side below 384 is cropped from the larger image, others are not cropped.
        (given_size, None) if !is_vit => match both(given_size.unwrap_or(Sides::One(224))) {
            (side, other) if side == other && side < 384 => {
                let pct = given.crop_pct.filter(|pct| *pct > 0.0).unwrap_or(Preprocessing::DEFAULT_CROP_PCT);
                (square(side), CropMode::Center, pct)
            }
            (height, width) => (Size { height, width }, CropMode::Squash, 1.0),
        },
        (given_size, _) => {
            let (height, width) = given_size.map_or((size.height, size.width), both);
            (Size { height, width }, CropMode::Squash, 1.0)
        }
    };
    for side in [size.height, size.width] {
        if !(1..=16_384).contains(&side) {
            return Err(refused(path, "size", "from 1 to 16384 pixels", &side.to_string()));
        }
    }
    Ok(Preprocessing { size, interpolation, crop_pct, crop_mode, normalization, ops: None })
}

/// Height and width.
fn both(sides: Sides) -> (usize, usize) {
    match sides {
        Sides::One(side) | Sides::Shortest { shortest_edge: side } => (side, side),
        Sides::Both([height, width]) | Sides::Named { height, width } => (height, width),
    }
}

fn require(path: &Path, field: &str, expected: &str, found: &str) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(refused(path, field, expected, found)),
    }
}

fn refused(path: &Path, field: &str, expected: &str, found: &str) -> Error {
    Error::Config { path: path.into(), field: field.into(), expected: expected.into(), found: excerpt(found) }
}

fn model_error(path: &Path) -> impl FnOnce(tallow_models::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Model { path, source }
}
