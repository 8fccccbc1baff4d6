//! Weights given to a model for other classes, channels or sizes, and what is said of surprises.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use tallow_export::{Error, LoadOptions, Matching, StateDict, load_pretrained};
use tallow_models::{BuiltModel, ModelConfig, build};

fn model(name: &str, num_classes: usize, in_chans: usize, size: usize, seed: u64) -> BuiltModel {
    let mut config = ModelConfig { num_classes, in_chans, input_size: (size, size), ..ModelConfig::default() };
    if name.starts_with("vit") {
        config.patch_size = Some(8);
        config.depth = Some(1);
    }
    build(name, &config, seed, &Device::Cpu).unwrap()
}

fn written(built: &BuiltModel, rename: impl Fn(usize, &str) -> String) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let state = built.store.state_dict().into_iter().enumerate();
    let state: Vec<(String, Tensor)> = state.map(|(i, (name, tensor))| (rename(i, &name), tensor)).collect();
    std::fs::write(&path, safetensors::serialize(state, None).unwrap()).unwrap();
    (folder, path)
}

fn tensor(built: &BuiltModel, name: &str) -> Vec<f32> {
    let (_, tensor) = built.store.state_dict().into_iter().find(|(n, _)| n == name).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[allow(clippy::result_large_err)] // the library's own error, looked into below
fn load(
    path: &Path,
    built: &BuiltModel,
    options: LoadOptions,
) -> tallow_export::Result<tallow_export::PretrainedReport> {
    load_pretrained(&StateDict::read(path)?, built, options)
}

#[test]
fn the_same_model_takes_all() {
    let source = model("resnet18", 4, 3, 32, 1);
    let (_folder, path) = written(&source, |_, name| format!("module.{name}"));
    let target = model("resnet18", 4, 3, 32, 2);
    let report = load(&path, &target, LoadOptions::default()).unwrap();
    assert!(report.is_complete() && report.adapted.is_empty() && report.unexpected.is_empty(), "{report}");
    assert_eq!(report.loaded.len(), source.store.state_dict().len());
    for (name, _) in source.store.state_dict() {
        assert_eq!(tensor(&source, &name), tensor(&target, &name), "{name}");
    }
}

#[test]
fn other_classes_leave_the_classifier_fresh_and_other_channels_adapt_the_first_convolution() {
    let source = model("resnet18", 4, 3, 32, 1);
    let (_folder, path) = written(&source, |_, name| name.to_string());
    let target = model("resnet18", 7, 1, 32, 2);
    let fresh = tensor(&target, "fc.weight");
    let report = load(&path, &target, LoadOptions::default()).unwrap();
    assert_eq!(report.fresh, ["fc.weight", "fc.bias"]);
    assert_eq!(report.adapted.len(), 1, "{report}");
    let text = report.to_string();
    assert!(text.contains("conv1.weight: 3 channels to 1, summed") && text.contains("fresh       fc.weight"), "{text}");
    assert!(!report.is_complete());
    assert_eq!(tensor(&target, "fc.weight"), fresh);
    let (from, to) = (tensor(&source, "conv1.weight"), tensor(&target, "conv1.weight"));
    for (i, value) in to.iter().enumerate() {
        let (o, pixel) = (i / 49, i % 49);
        let sum: f32 = (0..3).map(|c| from[(o * 3 + c) * 49 + pixel]).sum();
        assert!((value - sum).abs() < 1e-6);
    }
    assert_eq!(tensor(&source, "layer1.0.conv1.weight"), tensor(&target, "layer1.0.conv1.weight"));
}

#[test]
fn another_size_resamples_the_position_embedding() {
    let source = model("vit_tiny_patch16_224", 4, 3, 32, 1);
    let (_folder, path) = written(&source, |_, name| name.to_string());
    let target = model("vit_tiny_patch16_224", 4, 3, 48, 2);
    let report = load(&path, &target, LoadOptions::default()).unwrap();
    assert_eq!(report.adapted, [("pos_embed".to_string(), "4×4 patches to 6×6, bicubic".to_string())]);
    let (from, to) = (tensor(&source, "pos_embed"), tensor(&target, "pos_embed"));
    assert_eq!((to.len(), &to[..192]), (37 * 192, &from[..192]), "the class token's row stays");
}

#[test]
fn surprises_are_refused_and_change_nothing_unless_allowed() {
    let source = model("resnet18", 4, 3, 32, 1);
    let renamed = |_: usize, name: &str| name.replace("layer4.1.bn2.bias", "layer4.1.bn2.beta");
    let (_folder, path) = written(&source, renamed);
    let target = model("resnet18", 4, 3, 32, 2);
    let before = tensor(&target, "conv1.weight");
    let message = load(&path, &target, LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("1 missing (layer4.1.bn2.bias), 1 unexpected (layer4.1.bn2.beta)"), "{message}");
    assert_eq!(tensor(&target, "conv1.weight"), before);
    let allowed = LoadOptions { allow_mismatch: true, ..LoadOptions::default() };
    let report = load(&path, &target, allowed).unwrap();
    assert_eq!((report.missing.len(), report.unexpected.len()), (1, 1));
    assert_eq!(tensor(&target, "conv1.weight"), tensor(&source, "conv1.weight"));
    // Another architecture altogether is refused all the same: not one tensor fits.
    let other = model("small_cnn", 4, 3, 32, 0);
    let (_folder, path) = written(&other, |i, _| format!("x{i}"));
    assert!(matches!(load(&path, &target, allowed), Err(Error::OtherArchitecture { .. })));
    let (_folder, path) = written(&model("resnet34", 4, 3, 32, 0), |_, name| name.to_string());
    let message = load(&path, &target, LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("unexpected (layer1.2"), "{message}");
}

#[test]
fn tensors_are_matched_by_order_when_asked() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pickles/renamed_small_cnn.pth");
    let target = model("small_cnn", 5, 1, 28, 0);
    let message = load(&fixture, &target, LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("fit by order"), "{message}");
    let by_order = LoadOptions { by_order: true, ..LoadOptions::default() };
    let report = load(&fixture, &target, by_order).unwrap();
    assert_eq!((report.matching, report.fresh.len()), (Matching::Order, 0), "{report}");
    let state = target.store.state_dict();
    for (i, (name, own)) in state.iter().enumerate() {
        let values = tensor(&target, name);
        assert_eq!((values[0], values.len()), (i as f32, own.elem_count()), "{name}");
    }
    let error = load(&fixture, &model("resnet9", 5, 1, 28, 0), by_order).unwrap_err();
    assert!(matches!(&error, Error::Order { .. }), "{error}");
    let (_folder, path) = written(&target, |i, _| format!("x{i}"));
    let message = load(&path, &target, by_order).unwrap_err().to_string();
    assert!(message.contains("safetensors file does not keep the order"), "{message}");
}

/// Both branches of a RepVGG's stem see the image, and a distilled model has two classifiers.
#[test]
fn second_stems_and_second_classifiers_are_fitted_too() {
    let source = model("repvgg_a0", 4, 3, 32, 1);
    let (_folder, path) = written(&source, |_, name| name.to_string());
    let target = model("repvgg_a0", 7, 1, 32, 2);
    let report = load(&path, &target, LoadOptions::default()).unwrap();
    let adapted: Vec<&str> = report.adapted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(adapted, ["stem.conv_kxk.conv.weight", "stem.conv_1x1.conv.weight"]);
    assert_eq!(report.fresh, ["head.fc.weight", "head.fc.bias"]);
    for name in adapted {
        let (from, to) = (tensor(&source, name), tensor(&target, name));
        let area = to.len() / 48;
        let sum: f32 = (0..3).map(|c| from[c * area]).sum();
        assert!((to[0] - sum).abs() < 1e-6, "{name}");
    }

    let distilled = |classes, channels, seed| {
        let config = ModelConfig {
            num_classes: classes,
            in_chans: channels,
            input_size: (32, 32),
            depth: Some(1),
            ..ModelConfig::default()
        };
        build("deit_tiny_distilled_patch16_224", &config, seed, &Device::Cpu).unwrap()
    };
    let (_folder, path) = written(&distilled(4, 3, 1), |_, name| name.to_string());
    let report = load(&path, &distilled(7, 1, 2), LoadOptions::default()).unwrap();
    assert_eq!(report.fresh, ["head.weight", "head.bias", "head_dist.weight", "head_dist.bias"]);
    assert_eq!(report.adapted.len(), 1, "{report}");
}

/// Every tensor of torchvision's finds its place, in safetensors too, whose order says nothing.
#[test]
fn torchvisions_names_are_exchanged_for_timms() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/torchvision/names.json");
    let recorded: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (name, entries) in recorded.as_object().unwrap() {
        let entries: Vec<(String, Vec<usize>)> = serde_json::from_value(entries.clone()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let state = entries.iter().enumerate().filter(|(_, (name, _))| !name.ends_with("num_batches_tracked"));
        let filled = |(i, (name, shape)): (usize, &(String, Vec<usize>))| {
            (name.clone(), Tensor::full(i as f32, shape.as_slice(), &Device::Cpu).unwrap())
        };
        std::fs::write(&path, safetensors::serialize(state.map(filled), None).unwrap()).unwrap();
        let preset = tallow_models::find(name).unwrap();
        let mut config = preset.config();
        if name.starts_with("vit") {
            (config.depth, config.input_size) = (Some(2), (32, 32));
        }
        let target = build(name, &config, 0, &Device::Cpu).unwrap();
        let report = load(&path, &target, LoadOptions::default()).unwrap();
        assert!(report.is_complete() && report.unexpected.is_empty() && report.adapted.is_empty(), "{name}: {report}");
        assert_eq!(report.matching, Matching::Torchvision, "{name}");
        let mut places: Vec<f32> = target.store.state_dict().iter().map(|(name, _)| tensor(&target, name)[0]).collect();
        places.sort_by(f32::total_cmp);
        places.dedup();
        assert_eq!(places.len(), target.store.state_dict().len(), "{name}: each tensor is taken once");
    }
}
