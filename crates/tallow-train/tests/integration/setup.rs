//! Every program that trains goes through one setup: pretrained weights are found, checked and loaded before anything is trained.

use std::collections::HashMap;
use std::path::Path;

use crate::common::config;
use candle_core::{Device, Tensor};
use tallow_optim::optimizer::is_classifier;
use tallow_train::lr_find::LrRange;
use tallow_train::trial::{check_pretrained, setup_trial};
use tallow_train::{Error, FitOptions, Result, RunConfig, Setup, setup, train_trial};

/// Nine tenths of the bundled images are held out, so that epochs are short.
const SHORT: &[&str] = &["model.name=small_cnn", "train.epochs=1", "data.validation_fraction=0.9"];

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|tensor| tensor.to_vec1()).expect("values")
}

/// Writes the weights of an untrained model in timm's layout; returns them.
fn weights(folder: &Path) -> Result<HashMap<String, Vec<f32>>> {
    let setup = setup(config(&[SHORT, &["train.seed=5"]].concat()), None)?;
    let dir = setup.create_dir(folder)?;
    let (run, _) = setup.into_trained_run(dir)?;
    run.export(0)?;
    let state = run.classifier.built.store.state_dict();
    Ok(state.into_iter().map(|(name, tensor)| (name, values(&tensor))).collect())
}

/// A linear probe of the weights in a folder, from another seed.
fn probe(weights: &Path) -> RunConfig {
    let pretrained = format!("transfer.pretrained={weights:?}");
    config(&[SHORT, &["train.seed=9", "transfer.freeze=[\"backbone\"]", &pretrained]].concat())
}

/// Fails unless the backbone of a model is that of the weights.
fn check_backbone(setup: &Setup, weights: &HashMap<String, Vec<f32>>, what: &str) {
    for (name, tensor) in setup.built.store.state_dict() {
        let backbone = !is_classifier(&name, setup.built.info.preset.classifier);
        assert!(!backbone || values(&tensor) == weights[&name], "{what}: {name} is not that of the weights");
    }
}

#[test]
fn weights_that_do_not_exist_stop_every_program_before_it_trains() {
    let folder = tempfile::tempdir().expect("a folder");
    let (nowhere, trial) = (folder.path().join("nowhere"), folder.path().join("trial"));
    let refused = |result: Result<()>| {
        let Err(Error::Infer(tallow_infer::Error::Export(tallow_export::Error::NotFound { path }))) = &result else {
            panic!("{result:?}");
        };
        assert_eq!(path, &nowhere);
    };
    refused(setup(probe(&nowhere), None).map(|_| ()));
    refused(setup_trial(probe(&nowhere), None).map(|_| ()));
    refused(check_pretrained(&probe(&nowhere)));
    refused(train_trial(probe(&nowhere), &trial, FitOptions::default()).map(|_| ()));
    assert!(!trial.exists(), "a refused trial leaves nothing");
}

#[test]
fn trials_and_sweeps_start_from_the_pretrained_weights() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights");
    let weights = weights(&path)?;
    check_pretrained(&probe(&path))?;

    let random = setup(config(&[SHORT, &["train.seed=9"]].concat()), None)?;
    assert!(random.built.store.state_dict().iter().any(|(name, tensor)| values(tensor) != weights[name]));

    let trial = folder.path().join("trial");
    let report = train_trial(probe(&path), &trial, FitOptions::default())?;
    assert_eq!(report.epochs, 1);
    let checkpoint = candle_core::safetensors::load(trial.join("checkpoints/last.safetensors"), &Device::Cpu)?;
    for (name, expected) in weights.iter().filter(|(name, _)| !is_classifier(name, "fc")) {
        assert_eq!(&values(&checkpoint[&format!("model.{name}")]), expected, "{name} was not frozen at the weights");
    }

    let sweep = setup(probe(&path), None)?;
    assert!(sweep.pretrained.as_ref().is_some_and(|report| !report.loaded.is_empty()));
    check_backbone(&sweep, &weights, "before the sweep");
    sweep.find_lr(&LrRange { start: 1e-3, end: 1.0, steps: 4 })?;
    check_backbone(&sweep, &weights, "after the sweep");
    Ok(())
}

#[test]
fn weights_of_another_architecture_are_refused() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights");
    weights(&path)?;
    let mut config = probe(&path);
    config.model.name = "resnet9".to_owned();
    let refused = check_pretrained(&config);
    let Err(Error::Export(tallow_export::Error::OtherModel { found, .. })) = &refused else { panic!("{refused:?}") };
    assert_eq!(found, "small_cnn");
    Ok(())
}
