//! Tests of every family in the registry: a new family is tested without further code.

use crate::common::{fill, images};
use candle_core::{Device, Tensor};
use tallow_models::{
    BuiltModel, Error, Key, Model, ModelConfig, ModelInfo, Preset, Stem, build, build_zeroed, find, list, num_features,
};
use tallow_nn::graph::{self, Dim};
use tallow_nn::{Mode, ParamStore, Tape};

/// One preset a family, the first listed, its smallest, and each that has a part of its own: the others differ in depth and
/// width. All of them, which takes long, with `TALLOW_ALL_PRESETS=1`.
fn representatives() -> Vec<&'static Preset> {
    if std::env::var_os("TALLOW_ALL_PRESETS").is_some() {
        return list().to_vec();
    }
    const PARTS: &[&str] = &[
        "resnet50",
        "resnet18d",
        "resnext50_32x4d",
        "seresnet50",
        "preact_resnet50",
        "vgg11_bn",
        "regnety_002",
        "convnext_tiny",
        "convnextv2_atto",
        "vit_small_patch14_dinov2",
        "deit_tiny_distilled_patch16_224",
        "deit3_small_patch16_224",
        "mobilevitv2_050",
        "vit_tiny_r_s16_p8_224",
    ];
    let mut found: Vec<&Preset> = PARTS.iter().map(|name| find(name).unwrap()).collect();
    for &preset in list() {
        if found.iter().all(|other| other.family != preset.family) {
            found.push(preset);
        }
    }
    found
}

/// Small, because the tests run unoptimised; not square, and odd where the architecture permits. Where attention
/// follows halvings, so large that the last still has two tokens to choose from.
fn size(preset: &Preset) -> (usize, usize) {
    let at_least = |least: usize| least.max(preset.min_input_size).next_multiple_of(preset.size_multiple);
    match preset.family {
        "vit/swin"
        | "hybrid/coatnet"
        | "hybrid/efficientformer"
        | "hybrid/levit"
        | "hybrid/maxvit"
        | "hybrid/poolformer" => (at_least(65), at_least(33)),
        _ => (at_least(17), at_least(13)),
    }
}

fn small(preset: &Preset, in_chans: usize) -> BuiltModel {
    let config = ModelConfig {
        num_classes: 5,
        in_chans,
        input_size: size(preset),
        // Narrow where that can be asked for; `every_preset_is_well_formed` builds the full width.
        width: preset.keys.contains(&Key::Width).then_some(4),
        ..preset.config()
    };
    build(preset.name, &config, 7, &Device::Cpu).unwrap()
}

fn logits(built: &BuiltModel, mode: &Mode) -> Vec<f32> {
    let (h, w) = built.info.config.input_size;
    let input = images((2, built.info.config.in_chans, h, w));
    let logits = built.model.forward(&input, mode).unwrap();
    assert_eq!(logits.dims(), [2, 5], "{}", built.info.name());
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_family_runs_at_one_and_three_channels() {
    for preset in representatives() {
        for in_chans in [1, 3] {
            let built = small(preset, in_chans);
            let eval = logits(&built, &Mode::eval());
            assert!(eval.iter().all(|v| v.is_finite()), "{}", preset.name);
            assert_eq!(eval, logits(&built, &Mode::eval()), "{}: evaluation repeats itself", preset.name);
            let (h, w) = built.info.config.input_size;
            let features = built.model.forward_features(&images((2, in_chans, h, w)), &Mode::eval()).unwrap();
            assert_eq!(built.info.num_features, num_features(preset.name, &built.info.config).unwrap());
            // [n, c, h, w], or [n, tokens, c].
            assert!(features.dims()[1..].contains(&built.info.num_features), "{}", preset.name);
        }
    }
}

#[test]
fn every_family_has_a_gradient_on_every_parameter() {
    for preset in representatives() {
        let built = small(preset, 3);
        // By formula, not as initialised: a block that starts as the identity has gradients of zero.
        fill(&built.store);
        let tape = Tape::start();
        let (h, w) = built.info.config.input_size;
        let input = images((2, 3, h, w));
        let logits = built.model.forward(&input, &Mode::train(0, 0)).unwrap();
        let weights = Tensor::arange(1f32, 11.0, &Device::Cpu).unwrap().reshape((2, 5)).unwrap();
        let grads = tape.backward(&(logits * weights).unwrap().sum_all().unwrap()).unwrap();
        for (name, parameter) in built.store.parameters() {
            let grad = grads.get(parameter).unwrap_or_else(|| panic!("{}: no gradient on {name}", preset.name));
            assert_eq!(grad.dims(), parameter.dims(), "{}: {name}", preset.name);
            // Not the norm: squares of what is left of a deep network's gradient would overflow or vanish.
            let largest = grad.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
            // It moves all channels of a token alike, which the norms take out again: only rounding is left of its gradient.
            let is_taken_out = name.ends_with("mlp_tokens.fc2.bias");
            let expected = largest.is_finite() && (largest > 0.0 || is_taken_out);
            assert!(expected, "{}: the gradient of {name} is {largest}", preset.name);
        }
    }
}

#[test]
fn every_family_tells_training_from_evaluation() {
    for preset in representatives() {
        let built = small(preset, 1);
        let before = logits(&built, &Mode::eval());
        let trained = logits(&built, &Mode::train(0, 0));
        let after = logits(&built, &Mode::eval());
        if built.store.buffers().next().is_some() {
            assert_ne!(before, trained, "{}", preset.name);
            assert_ne!(before, after, "{}: running statistics have moved", preset.name);
        } else {
            // Without running statistics only dropout tells the two apart.
            assert_eq!(before, trained, "{}", preset.name);
            assert_eq!(before, after, "{}", preset.name);
            let config = ModelConfig { drop_rate: 0.5, ..built.info.config };
            let built = build(preset.name, &config, 7, &Device::Cpu).unwrap();
            assert_ne!(before, logits(&built, &Mode::train(0, 0)), "{}", preset.name);
        }
    }
}

#[test]
fn every_family_survives_saving_and_loading() {
    for preset in representatives() {
        let built = small(preset, 1);
        fill(&built.store);
        let config = built.info.config.clone();
        let loaded = build(preset.name, &config, 8, &Device::Cpu).unwrap();
        assert_ne!(logits(&built, &Mode::eval()), logits(&loaded, &Mode::eval()), "{}", preset.name);
        for (name, tensor) in built.store.state_dict() {
            loaded.store.set(&name, &tensor).unwrap();
        }
        assert_eq!(logits(&built, &Mode::eval()), logits(&loaded, &Mode::eval()), "{}", preset.name);
    }
}

/// Features as small as the classifier permits, and the two classifiers of a distilled model.
#[test]
fn every_family_classifies_pooled_features_alike() {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for preset in representatives() {
        let built = small(preset, 3);
        let (h, w) = built.info.config.input_size;
        let model = &built.model;
        let features = model.forward_features(&images((2, 3, h, w)), &Mode::eval()).unwrap();
        let pooled = model.pool(&features).unwrap();
        assert!(pooled.elem_count() <= features.elem_count(), "{}", preset.name);
        let of = |x: &Tensor| flat(&model.forward_head(x, &Mode::eval()).unwrap());
        assert_eq!(of(&features), of(&pooled), "{}", preset.name);
        let (logits, distilled) = model.forward_heads(&features, &Mode::eval()).unwrap();
        let has_token = built.store.parameters().any(|(name, _)| name.starts_with("head_dist."));
        assert_eq!(distilled.is_some(), has_token, "{}", preset.name);
        let mean = distilled.map_or(logits.clone(), |distilled| ((logits + distilled).unwrap() * 0.5).unwrap());
        assert_eq!(of(&features), flat(&mean), "{}", preset.name);
    }
}

/// The graph is what an exporter needs: no step of Candle's own on the way, no size but the batch's that changes with it.
#[test]
fn every_family_can_be_traced() {
    for preset in representatives() {
        let built = small(preset, 3);
        let (h, w) = built.info.config.input_size;
        let graph = graph::trace((3, h, w), |images| built.model.forward(images, &Mode::eval()));
        let graph = graph.unwrap_or_else(|e| panic!("{}: {e}", preset.name));
        let last = graph.nodes.last().unwrap();
        assert_eq!(last.shape, [Dim::PerImage(1), Dim::Fixed(5)], "{}", preset.name);
    }
}

#[test]
fn activations_computed_again_give_the_same_gradients() {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut tried = 0;
    for preset in representatives().into_iter().filter(|preset| preset.keys.contains(&Key::CheckpointActivations)) {
        let passes = [false, true].map(|checkpoint_activations| {
            let config = ModelConfig { checkpoint_activations, drop_path_rate: 0.4, ..small(preset, 3).info.config };
            let built = build(preset.name, &config, 7, &Device::Cpu).unwrap();
            fill(&built.store);
            let (h, w) = config.input_size;
            let tape = Tape::start();
            let logits = built.model.forward(&images((2, 3, h, w)), &Mode::train(1, 2)).unwrap();
            let grads = tape.backward(&logits.sqr().unwrap().sum_all().unwrap()).unwrap();
            let gradients: Vec<_> =
                built.store.parameters().map(|(name, var)| (name.to_owned(), flat(grads.get(var).unwrap()))).collect();
            let buffers: Vec<_> = built.store.buffers().map(|(_, buffer)| flat(&buffer.get())).collect();
            (flat(&logits), gradients, buffers)
        });
        assert_eq!(passes[0].0, passes[1].0, "{}: logits", preset.name);
        for ((name, kept), (_, again)) in passes[0].1.iter().zip(&passes[1].1) {
            assert!(kept == again, "{}: the gradient of {name}", preset.name);
        }
        assert!(passes[0].2 == passes[1].2, "{}: running statistics", preset.name);
        tried += 1;
    }
    assert!(tried >= 4, "the families that offer it: {tried}");
}

#[test]
fn every_family_depends_on_the_seed_alone() {
    for preset in representatives() {
        let [a, b] = [0, 1].map(|_| small(preset, 1).store.state_dict());
        for ((name, a), (_, b)) in a.iter().zip(&b) {
            let [a, b] = [a, b].map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            assert_eq!(a, b, "{}: {name}", preset.name);
        }
    }
}

#[test]
fn every_preset_is_well_formed() {
    let mut names: Vec<_> = list().iter().map(|preset| preset.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), list().len(), "names are unique");
    for preset in list() {
        assert_eq!(preset.mean.len(), preset.in_chans, "{}", preset.name);
        assert_eq!(preset.std.len(), preset.in_chans, "{}", preset.name);
        preset.config().check(preset).unwrap();
    }
}

/// `fixed_input_size` is true exactly where the shapes of the parameters follow the input size.
#[test]
fn fixed_input_size_says_whether_parameters_depend_on_the_size() {
    for preset in representatives() {
        let (h, w) = size(preset);
        let [shapes, larger] = [(h, w), (2 * h, 2 * w)].map(|input_size| {
            let config = ModelConfig { input_size, ..small(preset, 1).info.config };
            let built = build_zeroed(preset.name, &config, &Device::Cpu).unwrap();
            built.store.parameters().map(|(name, var)| (name.to_owned(), var.dims().to_vec())).collect::<Vec<_>>()
        });
        assert_eq!(preset.fixed_input_size, shapes != larger, "{}", preset.name);
    }
}

/// A model that stands in no registry, in the struct that training and export take.
#[test]
fn a_model_of_ones_own_needs_no_registry() {
    struct Mean;
    impl Model for Mean {
        fn forward_features(&self, images: &Tensor, _mode: &Mode) -> tallow_nn::Result<Tensor> {
            Ok(images.clone())
        }
        fn forward_head(&self, features: &Tensor, _mode: &Mode) -> tallow_nn::Result<Tensor> {
            Ok(features.mean((2, 3))?)
        }
    }
    let preset = Preset { classifier: "none", ..Preset::imagenet("mean", "mine") };
    let config = ModelConfig { num_classes: 3, input_size: (8, 8), ..preset.config() };
    let (model, store) =
        ParamStore::build(0, &Device::Cpu, |_| Ok::<Box<dyn Model>, tallow_nn::Error>(Box::new(Mean))).unwrap();
    let built = BuiltModel { model, store, info: ModelInfo { preset: preset.into(), config, num_features: 3 } };
    let logits = built.model.forward(&images((2, 3, 8, 8)), &Mode::eval()).unwrap();
    assert_eq!((built.info.name(), logits.dims()), ("mean", &[2, 3][..]));
}

#[test]
fn every_family_runs_at_its_least_size() {
    for preset in representatives() {
        let least = preset.min_input_size.next_multiple_of(preset.size_multiple);
        let config = ModelConfig { input_size: (least, least), ..preset.config() };
        let built = build(preset.name, &config, 0, &Device::Cpu).unwrap();
        assert!(built.macs().unwrap() > 0, "{}", preset.name);
    }
}

#[test]
fn every_preset_refuses_what_it_does_not_use() {
    let set = |key: Key, config: &mut ModelConfig| match key {
        Key::Stem => config.stem = Some(Stem::Cifar),
        Key::Width => config.width = Some(2),
        Key::Depth => config.depth = Some(10),
        Key::DropRate => config.drop_rate = 0.1,
        Key::DropPathRate => config.drop_path_rate = 0.1,
        Key::ZeroInitLast => config.zero_init_last = Some(false),
        Key::NumHeads => config.num_heads = Some(1),
        Key::MlpRatio => config.mlp_ratio = Some(2.0),
        Key::PatchSize => config.patch_size = Some(1),
        Key::ChannelMultiplier => config.channel_multiplier = Some(0.5),
        Key::DepthMultiplier => config.depth_multiplier = Some(0.5),
        Key::LoraRank => config.lora_rank = Some(4),
        Key::DropBlockRate => config.drop_block_rate = 0.1,
        Key::CheckpointActivations => config.checkpoint_activations = true,
    };
    for preset in list() {
        for key in Key::ALL {
            let mut config = ModelConfig { input_size: size(preset), ..preset.config() };
            set(*key, &mut config);
            let result = config.check(preset);
            if preset.keys.contains(key) {
                result.unwrap();
            } else {
                let message = result.unwrap_err().to_string();
                assert!(message.contains(key.name()) && message.contains(preset.name), "{message}");
            }
        }
    }
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest() {
    let message = build("resnet-81", &ModelConfig::default(), 0, &Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("resnet18"), "{message}");
    assert!(find("ResNet18").is_err());
}

#[test]
fn values_out_of_range_are_refused() {
    let base = ModelConfig { num_classes: 2, in_chans: 1, input_size: (28, 28), ..ModelConfig::default() };
    for (name, config) in [
        ("resnet18", ModelConfig { num_classes: 0, ..base.clone() }),
        ("resnet18", ModelConfig { in_chans: 0, ..base.clone() }),
        ("resnet9", ModelConfig { input_size: (7, 28), ..base.clone() }),
        ("resnet9", ModelConfig { width: Some(0), ..base.clone() }),
        ("resnet18", ModelConfig { drop_rate: 1.0, ..base.clone() }),
        ("resnet18", ModelConfig { drop_path_rate: f32::NAN, ..base.clone() }),
        ("wide_resnet28_10", ModelConfig { depth: Some(20), ..base.clone() }),
        ("vit_tiny_patch4_32", ModelConfig { num_heads: Some(5), ..base.clone() }),
        ("vit_tiny_patch4_32", ModelConfig { mlp_ratio: Some(0.0), ..base.clone() }),
        ("vit_tiny_patch4_32", ModelConfig { patch_size: Some(5), ..base.clone() }),
        ("vit_tiny_patch16_224", base.clone()),
        ("mobilenetv2_050", ModelConfig { channel_multiplier: Some(0.0), ..base.clone() }),
        ("mobilenetv2_050", ModelConfig { depth_multiplier: Some(f32::NAN), ..base.clone() }),
    ] {
        assert!(matches!(build(name, &config, 0, &Device::Cpu), Err(Error::BadValue { .. })), "{name} {config:?}");
    }
}

#[test]
fn dropout_and_drop_path_draw_in_training_alone() {
    let base = ModelConfig { num_classes: 5, in_chans: 1, input_size: (17, 13), ..ModelConfig::default() };
    for (name, config) in [
        ("resnet18", ModelConfig { drop_rate: 0.5, ..base.clone() }),
        ("resnet18", ModelConfig { drop_path_rate: 0.5, ..base.clone() }),
        ("resnet18", ModelConfig { drop_block_rate: 0.5, input_size: (64, 64), ..base.clone() }),
        ("resnet50", ModelConfig { drop_block_rate: 0.5, input_size: (64, 64), ..base.clone() }),
        ("wide_resnet16_4", ModelConfig { drop_rate: 0.5, ..base.clone() }),
        ("small_cnn", ModelConfig { drop_rate: 0.5, ..base.clone() }),
        ("mobilenetv2_050", ModelConfig { drop_rate: 0.5, ..base.clone() }),
        ("mobilenetv2_050", ModelConfig { drop_path_rate: 0.5, ..base.clone() }),
        ("vit_tiny_patch4_32", ModelConfig { input_size: (16, 12), drop_path_rate: 0.5, ..base.clone() }),
    ] {
        let built = build(name, &config, 0, &Device::Cpu).unwrap();
        fill(&built.store);
        let [first, again, next] = [0, 0, 1].map(|step| logits(&built, &Mode::train(3, step)));
        assert_eq!(first, again, "{name}: a step repeats itself");
        assert_ne!(first, next, "{name}: each step draws anew");
    }
}

#[test]
fn blocks_start_as_the_identity_if_asked() {
    for (zero_init_last, expected) in [(None, 0.0), (Some(true), 0.0), (Some(false), 1.0)] {
        let config = ModelConfig { zero_init_last, ..ModelConfig::default() };
        let built = build("resnet18", &config, 0, &Device::Cpu).unwrap();
        let state = built.store.state_dict();
        let value = |name: &str| {
            let (_, tensor) = state.iter().find(|(n, _)| n == name).unwrap();
            tensor.to_vec1::<f32>().unwrap()[0]
        };
        assert_eq!(value("layer2.1.bn2.weight"), expected);
        assert_eq!(value("layer2.1.bn1.weight"), 1.0);
        assert_eq!(value("layer2.0.downsample.1.weight"), 1.0);
    }
}

#[test]
fn config_refuses_unknown_keys_and_fills_in_the_rest() {
    let config: ModelConfig = serde_json::from_str(r#"{ "num_classes": 3, "stem": "cifar" }"#).unwrap();
    assert_eq!(config, ModelConfig { num_classes: 3, stem: Some(Stem::Cifar), ..ModelConfig::default() });
    let message = serde_json::from_str::<ModelConfig>(r#"{ "num_clases": 3 }"#).unwrap_err().to_string();
    assert!(message.contains("num_clases"), "{message}");
}
