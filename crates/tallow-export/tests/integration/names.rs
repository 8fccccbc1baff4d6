//! Names that differ from a model's by what stands around them: recognised, or refused with what they share.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use tallow_export::{Error, InferenceOptions, LoadOptions, Pretrained, PretrainedReport, StateDict, load_pretrained};
use tallow_models::{BuiltModel, ModelConfig, build};

fn model(name: &str, num_classes: usize, in_chans: usize, seed: u64) -> BuiltModel {
    let config = ModelConfig { num_classes, in_chans, input_size: (32, 32), ..ModelConfig::default() };
    build(name, &config, seed, &Device::Cpu).unwrap()
}

fn state(built: &BuiltModel, rename: impl Fn(&str) -> String) -> Vec<(String, Tensor)> {
    built.store.state_dict().into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

fn written(state: Vec<(String, Tensor)>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    std::fs::write(&path, safetensors::serialize(state, None).unwrap()).unwrap();
    (folder, path)
}

fn values(built: &BuiltModel) -> Vec<Vec<f32>> {
    let flat = |(_, tensor): (String, Tensor)| tensor.flatten_all().unwrap().to_vec1().unwrap();
    built.store.state_dict().into_iter().map(flat).collect()
}

#[allow(clippy::result_large_err)] // the library's own error, looked into below
fn load(state: Vec<(String, Tensor)>, target: &BuiltModel) -> tallow_export::Result<PretrainedReport> {
    let (_folder, path) = written(state);
    load_pretrained(&StateDict::read(&path)?, target, LoadOptions::default())
}

fn vector(value: f32) -> Tensor {
    Tensor::full(value, 3, &Device::Cpu).unwrap()
}

#[test]
fn prefixes_and_wrappers_are_recognised() {
    let source = model("resnet18", 4, 3, 1);
    for (from, to, prefix) in [
        ("", "model.", "model."),
        ("", "backbone.", "backbone."),
        ("", "net.module.", "net.module."),
        ("", "module.model._orig_mod.", "model."),
        ("layer1.0", "layer1._checkpoint_wrapped_module.0", ""),
        ("", "_forward_module._fsdp_wrapped_module.", ""),
    ] {
        let target = model("resnet18", 4, 3, 2);
        let renamed = state(&source, |name| match from {
            "" => format!("{to}{name}"),
            _ => name.replace(from, to),
        });
        let report = load(renamed, &target).unwrap();
        assert!(report.is_complete() && report.unexpected.is_empty(), "{to}: {report}");
        assert_eq!(report.prefix, prefix, "{to}");
        assert_eq!(values(&source), values(&target), "{to}");
    }
}

/// Lightning's checkpoint: the network under `model.`, a loss beside it, averaged weights under `ema_model.`.
#[test]
fn what_stands_beside_a_network_is_left_out_and_listed() {
    let (source, averaged, target) =
        (model("resnet18", 4, 3, 1), model("resnet18", 4, 3, 3), model("resnet18", 4, 3, 2));
    let mut file = state(&source, |name| format!("model.{name}"));
    file.push(("criterion.weight".into(), vector(1.0)));
    let report = load(file.clone(), &target).unwrap();
    assert_eq!((report.outside.clone(), report.prefix.as_str()), (vec!["criterion.weight".to_owned()], "model."));
    assert!(report.to_string().contains("left out    criterion.weight"), "{report}");
    assert_eq!(values(&source), values(&target));
    file.extend(state(&averaged, |name| format!("ema_model.{name}")));
    assert_eq!(load(file, &target).unwrap().prefix, "ema_model.");
    assert_eq!(values(&averaged), values(&target));
    // A student and a teacher: neither is an average.
    let mut file = state(&source, |name| format!("student.{name}"));
    file.extend(state(&averaged, |name| format!("teacher.{name}")));
    let error = load(file, &target).unwrap_err();
    assert!(error.to_string().contains("under `student.` and `teacher.`"), "{error}");
}

#[test]
fn a_classifier_of_another_name_is_recognised() {
    for to in ["fc.1.", "head.", "classifier.1."] {
        let (source, target) = (model("resnet18", 4, 3, 1), model("resnet18", 4, 3, 2));
        let report = load(state(&source, |name| name.replace("fc.", to)), &target).unwrap();
        assert!(report.is_complete(), "{to}: {report}");
        assert!(report.renamed.contains(&(format!("{to}weight"), "fc.weight".to_owned())), "{report}");
        assert_eq!(values(&source), values(&target), "{to}");
        // A backbone under a prefix, its classifier beside it.
        let target = model("resnet18", 4, 3, 2);
        let beside = |name: &str| if name.starts_with("fc.") { name.into() } else { format!("backbone.{name}") };
        assert!(load(state(&source, beside), &target).unwrap().is_complete(), "{to}");
        assert_eq!(values(&source), values(&target), "{to}");
    }
    // Two layers are no classifier of one.
    let mut file = state(&model("resnet18", 4, 3, 1), |name| name.replace("fc.", "fc.0."));
    file.push(("fc.3.weight".into(), Tensor::zeros((4, 4), candle_core::DType::F32, &Device::Cpu).unwrap()));
    let message = load(file, &model("resnet18", 4, 3, 2)).unwrap_err().to_string();
    assert!(message.contains("its classifier `fc` has several layers"), "{message}");
}

#[test]
fn an_error_says_what_the_unexpected_names_share() {
    let target = model("resnet18", 4, 3, 2);
    let mut file = state(&model("resnet18", 4, 3, 1), str::to_owned);
    file.extend([("neck.a.weight".to_owned(), vector(0.0)), ("neck.b.weight".to_owned(), vector(0.0))]);
    let message = load(file, &target).unwrap_err().to_string();
    assert!(message.contains("all 2 unexpected names begin with `neck.`"), "{message}");
    let vit = state(&model("small_cnn", 4, 3, 1), |name| format!("beit.encoder.embeddings.x{name}"));
    let message = load(vit, &target).unwrap_err().to_string();
    assert!(message.contains("Transformers"), "{message}");
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    for (name, value) in [("layer1.0.conv1.weight", f32::NAN), ("bn1.running_var", -1.0), ("fc.bias", f32::INFINITY)] {
        let target = model("resnet18", 4, 3, 2);
        let before = values(&target);
        let mut file = state(&model("resnet18", 4, 3, 1), |name| format!("model.{name}"));
        let tensor = &mut file.iter_mut().find(|(own, _)| own.ends_with(name)).unwrap().1;
        let mut changed = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        changed[1] = value;
        *tensor = Tensor::from_vec(changed, tensor.shape(), &Device::Cpu).unwrap();
        let error = load(file, &target).unwrap_err();
        assert!(matches!(error, Error::NotFinite { count: 1, .. }), "{error}");
        assert!(error.to_string().contains(&format!("{name} holds {value} (1 of ")), "{error}");
        assert_eq!(values(&target), before);
    }
}

/// small_cnn and resnet9 are made for grey images by default: weights for colours keep their colours.
#[test]
fn the_file_decides_channels_classes_and_size() {
    for name in ["small_cnn", "resnet9", "resnet18"] {
        for channels in [1, 3, 4] {
            let source = model(name, 7, channels, 1);
            let (_folder, path) = written(state(&source, str::to_owned));
            let found = Pretrained::find(&path.display().to_string()).unwrap();
            let opened = found.open(name, InferenceOptions::default()).unwrap();
            let config = &opened.built.info.config;
            assert_eq!((config.in_chans, config.num_classes), (channels, 7), "{name}");
            assert_eq!(opened.preprocessing.normalization.mean.len(), channels, "{name}");
            assert_eq!(values(&source), values(&opened.built), "{name}: {channels} channels");
            let wrong = InferenceOptions { num_classes: Some(8), ..InferenceOptions::default() };
            let message = found.open(name, wrong).unwrap_err().to_string();
            assert!(message.contains("for 7 classes, 8 are given"), "{message}");
        }
    }
    let config = ModelConfig { num_classes: 3, input_size: (48, 48), ..ModelConfig::default() };
    let source = build("vit_tiny_patch4_32", &config, 1, &Device::Cpu).unwrap();
    let (_folder, path) = written(state(&source, str::to_owned));
    let found = Pretrained::find(&path.display().to_string()).unwrap();
    let opened = found.open("vit_tiny_patch4_32", InferenceOptions::default()).unwrap();
    assert_eq!((opened.built.info.config.input_size, opened.preprocessing.size.width), ((48, 48), 48));
    assert_eq!(values(&source), values(&opened.built));
    // A backbone alone classifies nothing.
    let headless = state(&source, str::to_owned).into_iter().filter(|(name, _)| !name.starts_with("head")).collect();
    let (_folder, path) = written(headless);
    let found = Pretrained::find(&path.display().to_string()).unwrap();
    let message = found.open("vit_tiny_patch4_32", InferenceOptions::default()).unwrap_err().to_string();
    assert!(message.contains("no weights for head.weight, head.bias"), "{message}");
}

#[test]
fn long_names_and_control_characters_are_not_printed() {
    let mut file = state(&model("small_cnn", 4, 3, 1), str::to_owned);
    file.push((format!("\u{1b}[2J{}", "a".repeat(400_000)), vector(0.0)));
    let message = load(file, &model("small_cnn", 4, 3, 2)).unwrap_err().to_string();
    assert!(message.len() < 1000 && !message.contains('\u{1b}'), "{} bytes", message.len());
}
