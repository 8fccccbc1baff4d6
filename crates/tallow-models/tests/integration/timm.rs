//! Names, shapes, parameter counts and logits equal timm's (PyTorch's, where timm has no such model).

use crate::common::{fill, images, recorded, relative_difference, targets};
use candle_core::Device;
use tallow_models::build;
use tallow_nn::{Mode, Tape};

#[test]
fn state_dicts_are_timms() {
    for (file, expected) in recorded() {
        let built = build(&expected.model, &expected.config, 0, &Device::Cpu).unwrap();
        let found: Vec<_> =
            built.store.state_dict().into_iter().map(|(name, tensor)| (name, tensor.dims().to_vec())).collect();
        let expected_entries: Vec<_> =
            expected.state_dict.into_iter().filter(|(name, _)| !name.ends_with("num_batches_tracked")).collect();
        assert_eq!(found, expected_entries, "{file}");
        assert_eq!(built.store.parameter_count(), expected.parameters, "{file}");
        for module in [built.info.preset.first_conv, built.info.preset.classifier] {
            assert!(found.iter().any(|(name, _)| *name == format!("{module}.weight")), "{file}: {module}");
        }
    }
}

#[test]
fn logits_are_timms() {
    for (file, expected) in recorded() {
        let built = build(&expected.model, &expected.config, 0, &Device::Cpu).unwrap();
        fill(&built.store);
        let (h, w) = expected.config.input_size;
        let logits = built.model.forward(&images((2, expected.config.in_chans, h, w)), &Mode::eval()).unwrap();
        let difference = relative_difference(&logits.to_vec2().unwrap(), &expected.logits);
        println!("{file}: logits differ by {difference:.1e} relative");
        assert!(difference < 1e-4, "{file}: logits differ by {difference}");
    }
}

/// Each parameter's gradient has PyTorch's norm, to 1e-3 of it; where that is next to nothing (a bias that
/// a softmax cancels), to 1e-7 of the largest.
#[test]
fn gradients_are_timms() {
    for (file, expected) in recorded() {
        let Some(norms) = expected.grad_norms else { continue };
        let built = build(&expected.model, &expected.config, 0, &Device::Cpu).unwrap();
        fill(&built.store);
        let (h, w) = expected.config.input_size;
        let tape = Tape::start();
        let logits = built.model.forward(&images((2, expected.config.in_chans, h, w)), &Mode::eval()).unwrap();
        let loss = (logits * targets((2, expected.config.num_classes))).unwrap().sum_all().unwrap();
        let grads = tape.backward(&loss).unwrap();
        let floor = 1e-4 * norms.iter().fold(0f64, |most, norm| most.max(*norm));
        assert_eq!(built.store.parameters().count(), norms.len(), "{file}");
        let mut worst = 0f64;
        for ((name, parameter), norm) in built.store.parameters().zip(norms) {
            let grad = grads.get(parameter).unwrap_or_else(|| panic!("{file}: no gradient on {name}"));
            let grad = grad.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let found = grad.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            let difference = (found - norm).abs() / norm.max(floor);
            assert!(difference < 1e-3, "{file}: the gradient of {name} has norm {found}, expected {norm}");
            worst = worst.max(difference);
        }
        println!("{file}: norms of gradients differ by {worst:.1e} relative");
    }
}

/// Published counts, at the presets' own sizes.
#[test]
fn parameters_and_macs_are_the_published_ones() {
    // MACs of resnet18/34/50 as torchvision publishes them (GFLOPS there); of the others by hand.
    for (name, parameters, gmacs) in [
        ("resnet18", 11_689_512, 1.81),
        ("resnet34", 21_797_672, 3.66),
        ("resnet50", 25_557_032, 4.09),
        ("wide_resnet28_10", 36_479_194, 5.25),
    ] {
        let config = tallow_models::find(name).unwrap().config();
        let built = build(name, &config, 0, &Device::Cpu).unwrap();
        assert_eq!(built.store.parameter_count(), parameters, "{name}");
        let found = built.macs().unwrap() as f64 / 1e9;
        assert!((found / gmacs - 1.0).abs() < 0.005, "{name}: {found} GMACs, expected {gmacs}");
    }
}
