//! Checkpoints saved and opened, timm's included, and the errors for broken ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use tallow_augment::{CropMode, Interpolation, Normalization, Preprocessing, Size};
use tallow_export::{CONFIG_FILE, CheckpointInfo, Error, WEIGHTS_FILE, load_weights, open, read_config, save};
use tallow_models::{BuiltModel, ModelConfig, Stem, build};
use tallow_nn::{Mode, ParamStore};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name)
}

fn model(name: &str, num_classes: usize, seed: u64) -> BuiltModel {
    let config = ModelConfig { num_classes, in_chans: 1, input_size: (28, 28), ..ModelConfig::default() };
    build(name, &config, seed, &Device::Cpu).unwrap()
}

fn info(built: &BuiltModel) -> CheckpointInfo {
    let labels = (0..built.info.config.num_classes).map(|i| format!("class {i}")).collect();
    CheckpointInfo { num_batches_tracked: 12, ..CheckpointInfo::new(&built.info, labels) }
}

fn values(store: &ParamStore) -> Vec<Vec<f32>> {
    store.state_dict().iter().map(|(_, t)| t.flatten_all().unwrap().to_vec1().unwrap()).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_opens_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/run");
    for name in ["small_cnn", "resnet9"] {
        let built = model(name, 4, 3);
        let images = Tensor::arange(0f32, 1568.0, &Device::Cpu).unwrap().reshape((2, 1, 28, 28)).unwrap();
        built.model.forward(&images, &Mode::train(0, 0)).unwrap();
        save(&dir, &built.store, &info(&built)).unwrap();
        assert_eq!(files(&dir), [CONFIG_FILE, WEIGHTS_FILE], "no temporary file is left");
        let (opened, found) = open(&dir, &Device::Cpu).unwrap();
        assert_eq!(found, info(&built));
        assert_eq!(values(&opened.store), values(&built.store));
        let [a, b] = [&built, &opened].map(|m| m.model.forward(&images, &Mode::eval()).unwrap());
        assert_eq!(a.to_vec2::<f32>().unwrap(), b.to_vec2::<f32>().unwrap());
    }
}

#[test]
fn the_options_of_the_model_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = ModelConfig { stem: Some(Stem::Cifar), drop_path_rate: 0.1, ..model("resnet18", 2, 0).info.config };
    let built = build("resnet18", &config, 0, &Device::Cpu).unwrap();
    save(folder.path(), &built.store, &info(&built)).unwrap();
    assert_eq!(open(folder.path(), &Device::Cpu).unwrap().1.model, config);
}

#[test]
fn low_rank_changes_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let base =
        ModelConfig { num_classes: 3, width: Some(24), depth: Some(2), input_size: (32, 32), ..ModelConfig::default() };
    let config = ModelConfig { lora_rank: Some(4), ..base.clone() };
    let built = build("vit_tiny_patch4_32", &config, 0, &Device::Cpu).unwrap();
    let images = Tensor::arange(0f32, 3072.0, &Device::Cpu).unwrap().affine(1e-3, -1.0).unwrap();
    let images = images.reshape((1, 3, 32, 32)).unwrap();
    let logits = |built: &BuiltModel| built.model.forward(&images, &Mode::eval()).unwrap().to_vec2::<f32>().unwrap();
    let before = logits(&built);
    for (name, tensor) in built.store.state_dict().iter().filter(|(name, _)| name.contains("lora_B")) {
        let value = Tensor::randn(0f32, 0.3, tensor.dims(), &Device::Cpu).unwrap();
        built.store.set(name, &value).unwrap();
    }
    let changed = logits(&built);
    let distance = |a: &[Vec<f32>], b: &[Vec<f32>]| {
        a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(distance(&before, &changed) > 1e-3, "the change does nothing");
    save(folder.path(), &built.store, &info(&built)).unwrap();
    let (opened, found) = open(folder.path(), &Device::Cpu).unwrap();
    assert_eq!(found.model, base);
    assert!(opened.store.state_dict().iter().all(|(name, _)| !name.contains("lora")));
    assert!(distance(&logits(&opened), &changed) < 1e-5, "{}", distance(&logits(&opened), &changed));
}

#[test]
fn weights_have_timms_names_shapes_and_counters() {
    let recorded: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("resnet18.json")).unwrap()).unwrap();
    let mut expected: Vec<(String, Vec<usize>)> = serde_json::from_value(recorded["state_dict"].clone()).unwrap();
    expected.sort();
    let built = build("resnet18", &ModelConfig::default(), 0, &Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &built.store, &info(&built)).unwrap();
    let bytes = std::fs::read(folder.path().join(WEIGHTS_FILE)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut found: Vec<_> = file.iter().map(|(name, view)| (name.to_string(), view.shape().to_vec())).collect();
    found.sort();
    assert_eq!(found, expected);
    let counter = file.tensor("layer1.0.bn2.num_batches_tracked").unwrap();
    assert_eq!((counter.dtype(), counter.data()), (Dtype::I64, &12i64.to_le_bytes()[..]));
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
}

#[test]
fn config_has_timms_layout() {
    let folder = tempfile::tempdir().unwrap();
    let built = model("resnet18", 3, 0);
    save(folder.path(), &built.store, &info(&built)).unwrap();
    let text = std::fs::read_to_string(folder.path().join(CONFIG_FILE)).unwrap();
    let mut found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(found.as_object_mut().unwrap().remove("tallow").is_some());
    let expected = serde_json::json!({
        "architecture": "resnet18",
        "num_classes": 3,
        "num_features": 512,
        "global_pool": "avg",
        "label_names": ["class 0", "class 1", "class 2"],
        "model_args": { "in_chans": 1, "num_classes": 3 },
        "pretrained_cfg": {
            "custom_load": false,
            "input_size": [1, 28, 28],
            "fixed_input_size": false,
            "interpolation": "bicubic",
            "crop_pct": 0.95,
            "crop_mode": "center",
            "mean": [0.449],
            "std": [0.226],
            "num_classes": 3,
            "first_conv": "conv1",
            "classifier": "fc",
        },
    });
    assert_eq!(found, expected, "{text}");
}

#[test]
fn reads_a_config_that_timm_wrote() {
    let info = read_config(&fixture("timm_resnet18_grey")).unwrap();
    assert_eq!(info.architecture, "resnet18");
    assert_eq!((info.model.num_classes, info.model.in_chans, info.model.input_size), (2, 1, (224, 224)));
    assert_eq!(info.label_names, ["cat", "dog"]);
    let Preprocessing { size, interpolation, crop_pct, crop_mode, normalization, ops } = info.preprocessing;
    assert_eq!((normalization.mean, normalization.std), (vec![0.449], vec![0.226]));
    assert_eq!((crop_pct, interpolation, crop_mode), (0.95, Interpolation::Bicubic, CropMode::Center));
    assert_eq!((size, ops), (Size { height: 224, width: 224 }, None));
}

/// A run's pipeline, written to config.json and read again, makes the same pixels; the usual ones are written in timm's fields alone.
#[test]
fn preprocessing_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let built = model("small_cnn", 3, 0);
    let grey = Normalization { mean: vec![0.2860406], std: vec![0.3530242] };
    let images = Size { height: 300, width: 200 };
    for (ops, fields) in [
        (Preprocessing::default_ops(images, Size { height: 224, width: 224 }), Some((0.875, "center"))),
        (
            Preprocessing::default_ops(Size { height: 28, width: 28 }, Size { height: 28, width: 28 }),
            Some((1.0, "squash")),
        ),
        (
            serde_json::from_str(r#"[{ "op": "Resize", "size": 131 }, { "op": "CenterCrop", "size": [101, 101] }]"#)
                .unwrap(),
            Some((0.77, "center")),
        ),
        (serde_json::from_str(r#"[{ "op": "ResizePad", "size": [20, 30] }]"#).unwrap(), None),
    ] {
        let preprocessing = Preprocessing::from_pipeline(&ops, &grey, images).unwrap();
        let info = CheckpointInfo { preprocessing, ..info(&built) };
        save(folder.path(), &built.store, &info).unwrap();
        assert_eq!(read_config(folder.path()).unwrap(), info);
        assert_eq!(info.preprocessing.ops(), ops, "the pipeline itself");
        let text = std::fs::read_to_string(folder.path().join(CONFIG_FILE)).unwrap();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        let (cfg, own) = (&config["pretrained_cfg"], config["tallow"].get("preprocessing"));
        assert_eq!(own.is_none(), fields.is_some(), "{text}");
        if let Some((crop_pct, crop_mode)) = fields {
            assert_eq!((cfg["crop_pct"].as_f64(), cfg["crop_mode"].as_str()), (Some(crop_pct), Some(crop_mode)));
        }
        assert_eq!((&cfg["mean"], &cfg["std"]), (&serde_json::json!([0.2860406]), &serde_json::json!([0.3530242])));
    }
}

#[test]
fn another_architecture_is_named_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let built = model("resnet9", 4, 0);
    save(folder.path(), &built.store, &info(&built)).unwrap();
    let weights = folder.path().join(WEIGHTS_FILE);
    let other = model("small_cnn", 4, 0);
    let before = values(&other.store);
    let message = load_weights(&weights, &other.store, true).unwrap_err().to_string();
    for part in ["model.safetensors", "missing (conv1.weight, bn1.weight", "unexpected (0.0.weight", "architecture"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(values(&other.store), before);
    let report = load_weights(&weights, &other.store, false).unwrap();
    assert_eq!(report.loaded.len(), 0);
    assert_eq!(report.missing.len(), before.len());
    assert!(report.unexpected.iter().all(|name| !name.contains("num_batches_tracked")));
}

#[test]
fn another_shape_is_named_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let built = model("small_cnn", 4, 0);
    save(folder.path(), &built.store, &info(&built)).unwrap();
    let other = model("small_cnn", 5, 1);
    let before = values(&other.store);
    for strict in [true, false] {
        let message = load_weights(&folder.path().join(WEIGHTS_FILE), &other.store, strict).unwrap_err().to_string();
        assert!(message.contains("fc.weight has shape [4, 64], the model needs [5, 64]"), "{message}");
        assert_eq!(values(&other.store), before);
    }
}

#[test]
fn a_truncated_or_absent_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let built = model("small_cnn", 4, 0);
    save(folder.path(), &built.store, &info(&built)).unwrap();
    let weights = folder.path().join(WEIGHTS_FILE);
    let bytes = std::fs::read(&weights).unwrap();
    for len in [0, 5, 100, bytes.len() - 1] {
        std::fs::write(&weights, &bytes[..len]).unwrap();
        let error = open(folder.path(), &Device::Cpu).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. } | Error::UnknownFormat { .. }), "{len}: {error}");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
    std::fs::remove_file(&weights).unwrap();
    assert!(matches!(open(folder.path(), &Device::Cpu), Err(Error::Io { action: "read", .. })));
}

#[test]
fn half_precision_is_widened_and_integers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let built = model("small_cnn", 4, 0);
    for (dtype, tolerance) in [(DType::F16, 1e-3), (DType::BF16, 1e-2), (DType::F64, 0.0)] {
        let state: HashMap<String, Tensor> =
            built.store.state_dict().into_iter().map(|(name, t)| (name, t.to_dtype(dtype).unwrap())).collect();
        candle_core::safetensors::save(&state, &path).unwrap();
        let loaded = model("small_cnn", 4, 1);
        load_weights(&path, &loaded.store, true).unwrap();
        for (a, b) in values(&built.store).concat().iter().zip(values(&loaded.store).concat()) {
            assert!((a - b).abs() <= tolerance * a.abs().max(1e-3), "{dtype:?}: {a} {b}");
        }
    }
    let state: HashMap<String, Tensor> =
        built.store.state_dict().into_iter().map(|(name, t)| (name, t.to_dtype(DType::U8).unwrap())).collect();
    candle_core::safetensors::save(&state, &path).unwrap();
    assert!(matches!(load_weights(&path, &built.store, true), Err(Error::ElementType { .. })));
}

#[test]
fn a_config_that_cannot_be_honoured_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cfg = r#""pretrained_cfg": { "input_size": [3, 64, 64] }"#;
    for (text, part) in [
        ("", "EOF"),
        ("[]", "config.json"),
        (r#"{ "num_classes": 3 }"#, "architecture"),
        (r#"{ "architecture": "resnet19" }"#, "did you mean `resnet18`"),
        (&format!(r#"{{ "architecture": "resnet18", "model_args": {{ "stem_type": "deep" }}, {cfg} }}"#), "stem_type"),
        (&format!(r#"{{ "architecture": "resnet18", "model_args": {{ "in_chans": "x" }}, {cfg} }}"#), "in_chans"),
        (&format!(r#"{{ "architecture": "resnet18", "global_pool": "avg", "num_classes": 0, {cfg} }}"#), "num_classes"),
        (&format!(r#"{{ "architecture": "resnet18", "label_names": ["a"], {cfg} }}"#), "label_names"),
        (r#"{ "architecture": "resnet18", "pretrained_cfg": { "mean": [] } }"#, "pretrained_cfg.mean"),
        (
            r#"{ "architecture": "resnet18", "pretrained_cfg": { "interpolation": "hamming" } }"#,
            "pretrained_cfg.interpolation",
        ),
    ] {
        std::fs::write(folder.path().join(CONFIG_FILE), text).unwrap();
        let message = read_config(folder.path()).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("config.json"), "{text}: {message}");
    }
}

#[test]
fn nothing_is_left_where_nothing_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, b"old").unwrap();
    let built = model("small_cnn", 4, 0);
    assert!(matches!(save(&blocked, &built.store, &info(&built)), Err(Error::Io { action: "write", .. })));
    assert_eq!(std::fs::read(&blocked).unwrap(), b"old");
    assert_eq!(files(folder.path()), ["file"]);
}
