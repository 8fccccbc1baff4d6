//! Weights and configs of Transformers against what it computes itself (fixtures/scripts/transformers_reference.py).

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::Deserialize;
use tallow_augment::{CropMode, Interpolation};
use tallow_export::{InferenceOptions, Matching, Pretrained, PretrainedModel, read_config};
use tallow_nn::Mode;

#[derive(Deserialize)]
struct Reference {
    side: usize,
    logits: Vec<Vec<f32>>,
    shapes: Vec<(String, Vec<usize>)>,
}

fn fixture(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/transformers").join(case)
}

/// Numbers in [-1, 1) by the formula of the script.
fn uniform(tensor: u32, count: usize) -> Vec<f64> {
    fn hashed(mut x: u32) -> u32 {
        x = (x ^ x >> 16).wrapping_mul(0x7feb_352d);
        x = (x ^ x >> 15).wrapping_mul(0x846c_a68b);
        x ^ x >> 16
    }
    (0..count as u32).map(|j| f64::from(hashed(j.wrapping_add(hashed(tensor)))) / 2f64.powi(31) - 1.0).collect()
}

fn filled(place: usize, name: &str, shape: &[usize]) -> Tensor {
    let fan_in: usize = shape.iter().skip(1).product();
    let value = |u: f64| match shape.len() {
        _ if name.ends_with("running_var") => 1.0 + u / 2.0,
        1 if name.ends_with("weight") => 1.0 + u / 4.0,
        2.. => u * (6.0 / fan_in as f64).sqrt(),
        _ => u / 10.0,
    };
    let values: Vec<f32> = uniform(place as u32, shape.iter().product()).into_iter().map(|u| value(u) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A folder as `save_pretrained` writes it, with names changed by `rename` and the tensors divided into `shards` files.
fn folder(case: &str, shards: usize, rename: impl Fn(&str) -> String) -> (tempfile::TempDir, Reference) {
    let text = std::fs::read_to_string(fixture(case).join("reference.json")).unwrap();
    let reference: Reference = serde_json::from_str(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "preprocessor_config.json"] {
        if fixture(case).join(file).is_file() {
            std::fs::copy(fixture(case).join(file), folder.path().join(file)).unwrap();
        }
    }
    let tensors: Vec<(String, Tensor)> = (reference.shapes.iter().enumerate())
        .map(|(place, (name, shape))| (rename(name), filled(place, name, shape)))
        .collect();
    let mut map = serde_json::Map::new();
    for (index, part) in tensors.chunks(tensors.len().div_ceil(shards)).enumerate() {
        let file = match shards {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{:05}-of-{shards:05}.safetensors", index + 1),
        };
        map.extend(part.iter().map(|(name, _)| (name.clone(), file.clone().into())));
        std::fs::write(folder.path().join(file), safetensors::serialize(part.to_vec(), None).unwrap()).unwrap();
    }
    if shards > 1 {
        let index = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map });
        std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    }
    (folder, reference)
}

fn opened(folder: &Path, model: &str, options: InferenceOptions) -> PretrainedModel {
    Pretrained::find(&folder.display().to_string()).unwrap().open(model, options).unwrap()
}

/// The largest difference of the logits from the reference, relative to the largest of these.
fn difference(opened: &PretrainedModel, reference: &Reference) -> f32 {
    let (side, channels) = (reference.side, opened.built.info.config.in_chans);
    let images: Vec<f32> =
        uniform(1_000_000, 2 * channels * side * side).into_iter().map(|value| value as f32).collect();
    let images = Tensor::from_vec(images, (2, channels, side, side), &Device::Cpu).unwrap();
    let logits = opened.built.model.forward(&images, &Mode::eval()).unwrap().to_vec2::<f32>().unwrap();
    let (found, expected) = (logits.concat(), reference.logits.concat());
    let most = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
    found.iter().zip(&expected).fold(0f32, |worst, (a, b)| worst.max((a - b).abs())) / most
}

#[test]
fn logits_are_those_of_transformers() {
    for (case, model, channels) in [
        ("vit", "vit_base_patch16_224", 3),
        ("resnet", "resnet18", 1),
        ("convnext", "convnext_atto", 3),
        ("convnextv2", "convnextv2_atto", 3),
    ] {
        let (folder, reference) = folder(case, 1, str::to_owned);
        let opened = opened(folder.path(), model, InferenceOptions::default());
        assert_eq!(opened.report.matching, Matching::Transformers, "{case}");
        assert_eq!(opened.built.info.config.in_chans, channels, "{case}");
        let difference = difference(&opened, &reference);
        println!("{case}: logits differ by {difference:.1e} relative");
        assert!(difference < 1e-4, "{case}: logits differ by {difference}");
    }
}

/// Lightning's `model.` before Transformers' names, a loss beside them, and three shards with an index.
#[test]
fn wrapped_and_sharded_files_are_the_same() {
    let (wrapped, reference) = folder("convnextv2", 1, |name| format!("model.{name}"));
    let report = opened(wrapped.path(), "convnextv2_atto", InferenceOptions::default());
    assert!(difference(&report, &reference) < 1e-4);
    let (shards, reference) = folder("convnextv2", 3, str::to_owned);
    for spec in ["", "model.safetensors.index.json", "model-00002-of-00003.safetensors"] {
        let opened = opened(&shards.path().join(spec), "convnextv2_atto", InferenceOptions::default());
        assert!(difference(&opened, &reference) < 1e-4, "{spec}");
    }
    let fails = |spec: &str| {
        let found = Pretrained::find(&shards.path().join(spec).display().to_string());
        found.and_then(|found| found.open("convnextv2_atto", InferenceOptions::default())).unwrap_err().to_string()
    };
    std::fs::rename(shards.path().join("model-00002-of-00003.safetensors"), shards.path().join("other")).unwrap();
    let message = fails("");
    assert!(message.contains("1 missing beside it: model-00002-of-00003.safetensors"), "{message}");
    std::fs::remove_file(shards.path().join("model.safetensors.index.json")).unwrap();
    let message = fails("model-00001-of-00003.safetensors");
    assert!(message.contains("missing beside it: model.safetensors.index.json"), "{message}");
}

#[test]
fn an_index_names_files_beside_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    for (text, part) in [
        (r#"{ "weight_map": { "a": "../secret" } }"#, "`weight_map` is ../secret, expected names of files beside it"),
        (r#"{ "weight_map": { "a": "/etc/passwd" } }"#, "/etc/passwd"),
        (r#"{ "weight_map": {} }"#, "empty"),
        (r#"{ "tensors": {} }"#, "missing field `weight_map`"),
    ] {
        std::fs::write(&index, text).unwrap();
        let message = tallow_export::StateDict::read(&index).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("index.json"), "{text}: {message}");
    }
}

#[test]
fn configs_are_understood() {
    let info = read_config(&fixture("vit")).unwrap();
    assert_eq!((info.model.width, info.model.depth, info.model.num_heads), (Some(64), Some(2), Some(2)));
    assert_eq!((info.model.patch_size, info.model.input_size, info.model.mlp_ratio), (Some(8), (32, 32), Some(1.5)));
    assert_eq!(info.label_names, ["ant", "bee", "cat", "dog", "elk"]);
    let preprocessing = info.preprocessing;
    assert_eq!((preprocessing.crop_mode, preprocessing.interpolation), (CropMode::Squash, Interpolation::Bilinear));
    assert_eq!(preprocessing.normalization.mean, [0.5; 3]);

    let info = read_config(&fixture("resnet")).unwrap();
    assert_eq!((info.architecture.as_str(), info.model.in_chans, info.model.num_classes), ("resnet18", 1, 5));
    let preprocessing = info.preprocessing;
    assert_eq!((preprocessing.crop_mode, preprocessing.crop_pct), (CropMode::Center, 0.875));
    assert_eq!((preprocessing.size.height, preprocessing.interpolation), (64, Interpolation::Bicubic));
    assert_eq!((preprocessing.normalization.mean, preprocessing.normalization.std), (vec![0.4], vec![0.2]));

    let info = read_config(&fixture("convnext")).unwrap();
    assert!(info.label_names.is_empty(), "LABEL_0 is no name: {:?}", info.label_names);
    let info = read_config(&fixture("convnextv2")).unwrap();
    assert_eq!((info.preprocessing.size.width, info.preprocessing.crop_mode), (384, CropMode::Squash));
}

#[test]
fn configs_that_cannot_be_honoured_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (case, field, value, part) in [
        ("vit", "model_type", "\"swin\"", "`model_type` is swin, expected one of vit, resnet, convnext, convnextv2"),
        ("vit", "hidden_act", "\"quick_gelu\"", "`hidden_act` is quick_gelu, expected gelu"),
        ("vit", "id2label", r#"{ "0": "a", "2": "b" }"#, "`id2label` is no 1, expected the numbers from 0 to 1"),
        ("resnet", "depths", "[1, 1, 1, 1]", "those of resnet18"),
        ("resnet", "hidden_sizes", "[32, 64, 128, 256]", "`hidden_sizes` is [32, 64, 128, 256]"),
        ("resnet", "downsample_in_first_stage", "true", "downsample_in_first_stage"),
        ("convnext", "depths", "[3, 3, 27, 3]", "expected those of convnext_atto"),
    ] {
        let text = std::fs::read_to_string(fixture(case).join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config[field] = serde_json::from_str(value).unwrap();
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let message = read_config(folder.path()).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("config.json"), "{field}: {message}");
    }
}
