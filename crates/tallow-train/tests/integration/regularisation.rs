//! Whole runs with what changes the loop: SAM, SWA, R-Drop, penalties, plateau; they learn, and resume bit for bit.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use crate::common::{Counting, GO, Then, config, images, run, tensors};
use tallow_optim::loss::Loss;
use tallow_run::checkpoint::load_weights;
use tallow_train::{Error, Result};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Trains 64 images without interruption, and once more with a kill in the second epoch.
fn resumes(settings: &[&str]) -> Result<BTreeMap<String, Vec<f32>>> {
    let settings = [&["train.epochs=3", "train.checkpoint_every_steps=3"], settings].concat();
    let start = |folder: &tempfile::TempDir, wrap: &dyn Fn(Box<dyn Loss>) -> Box<dyn Loss>| {
        let mut run = run(config(&settings), images(64), folder.path(), &GO);
        run.validation = Some(images(32));
        run.fit(wrap).map(|_| ())
    };
    let (whole, parts) = (folder(), folder());
    start(&whole, &|loss| loss)?;
    let die =
        |inner| -> Box<dyn Loss> { Box::new(Counting { inner, calls: RefCell::default(), at: 8, then: Then::Die }) };
    assert_eq!(start(&parts, &die).expect_err("a kill").to_string(), "killed");
    start(&parts, &|loss| loss)?;
    let weights = tensors(whole.path());
    assert!(weights == tensors(parts.path()), "{settings:?}: the resumed run differs");
    Ok(weights)
}

#[test]
fn what_changes_the_loop_resumes_bit_for_bit() -> Result<()> {
    let plain = resumes(&[])?;
    for settings in [
        &["optim.sam={ rho = 0.05 }", "optim.lookahead={ k = 2 }"][..],
        &["train.swa_epochs=2"],
        &["train.r_drop=1.0"],
        &[
            "optim.l1=1e-4",
            "train.orthogonal=1e-4",
            "train.max_norm=1.0",
            "train.clip_agc=0.1",
            "train.clip_value=0.01",
        ],
        &["schedule.name=plateau", "schedule.patience=0", "train.early_stopping.metric=loss"],
        &["optim.name=muon", "train.ema_decay=0.9", "train.ema_warmup=true"],
        &["optim.name=nadam", "schedule.name=cosine", "schedule.weight_decay_end=0.1", "optim.weight_decay=0.01"],
        &["loss.name=ldam", "loss.scale=2", "loss.drw_epoch=1"],
    ] {
        let found = resumes(settings)?;
        assert!(found != plain, "{settings:?} changes nothing");
    }
    Ok(())
}

#[test]
fn swa_averages_the_last_epochs_and_gives_them_their_own_statistics() -> Result<()> {
    // At a constant rate a run of three epochs passes through the weights of a run of two.
    let common =
        ["schedule.name=constant", "optim.lr=0.05", "augment.train=[]", "augment.eval=[]", "train.batch_size=32"];
    let trained = |settings: &[&str]| -> Result<BTreeMap<String, Vec<f32>>> {
        let folder = folder();
        let settings = [&common, settings].concat();
        run(config(&settings), images(32), folder.path(), &GO).fit(|loss| loss)?;
        Ok(tensors(folder.path()))
    };
    let (two, three) = (trained(&["train.epochs=2"])?, trained(&["train.epochs=3"])?);
    let swa = trained(&["train.epochs=3", "train.swa_epochs=2"])?;
    assert_eq!(swa["model.0.0.weight"], three["model.0.0.weight"], "the weights that train are not touched");
    for name in ["0.0.weight", "8.weight", "8.bias"] {
        let of = |run: &BTreeMap<String, Vec<f32>>, part: &str| run[&format!("{part}.{name}")].clone();
        let means = of(&two, "model").into_iter().zip(of(&three, "model")).map(|(a, b)| (a + b) / 2.0);
        for (found, expected) in of(&swa, "ema").iter().zip(means) {
            assert!((found - expected).abs() < 1e-6, "{name}: {found} for {expected}");
        }
    }
    assert!(!two.keys().any(|name| name.starts_with("ema.")));
    Ok(())
}

#[test]
fn statistics_made_anew_are_those_of_the_batches() -> Result<()> {
    use tallow_nn::Mode;
    let folder = folder();
    let settings =
        ["train.epochs=1", "train.swa_epochs=1", "train.batch_size=64", "augment.train=[]", "augment.eval=[]"];
    let run = run(config(&settings), images(64), folder.path(), &GO);
    let (_, built) = run.fit(|loss| loss)?;
    load_weights(&folder.path().join("checkpoints/last.safetensors"), &built.store)?;
    // One batch was all: evaluation by its statistics is what training saw (the variance is unbiased, by 1/50176).
    let pixels = candle_core::Tensor::zeros((1, 1, 28, 28), candle_core::DType::F32, &candle_core::Device::Cpu)?;
    drop(built.model.forward(&pixels, &Mode::eval())?);
    let splits = images(64);
    let mut batch = Vec::new();
    for index in 0..splits.len() {
        let image = splits.image(index)?.to_luma8();
        batch.extend(image.into_raw().iter().map(|&p| (f32::from(p) / 255.0 - 0.2860) / 0.3530));
    }
    let batch = candle_core::Tensor::from_vec(batch, (64, 1, 28, 28), &candle_core::Device::Cpu)?;
    let logits = |mode: &Mode| -> Result<Vec<f32>> { Ok(built.model.forward(&batch, mode)?.flatten_all()?.to_vec1()?) };
    let evaluated = logits(&Mode::eval())?;
    let trained = logits(&Mode::train(0, 0))?;
    for (a, b) in evaluated.iter().zip(&trained) {
        assert!((a - b).abs() < 2e-2 * b.abs().max(1.0), "{a} for {b}");
    }
    Ok(())
}

#[test]
fn a_plateau_needs_a_validation_split() {
    let folder = folder();
    let run = run(config(&["schedule.name=plateau"]), images(32), folder.path(), &GO);
    let refused = run.fit(|loss| loss).map(|_| ());
    assert!(matches!(&refused, Err(Error::Mismatch(text)) if text.contains("validation_fraction")), "{refused:?}");
}

#[test]
fn every_loss_and_optimiser_learns_32_images() -> Result<()> {
    static NEVER: AtomicBool = AtomicBool::new(false);
    let common =
        ["augment.train=[]", "augment.eval=[]", "schedule.name=constant", "train.epochs=12", "loss.label_smoothing=0"];
    let learns = |settings: &[&str]| -> Result<()> {
        let folder = folder();
        let settings: Vec<&str> = common
            .iter()
            .filter(|s| !(s.starts_with("loss.") && settings.iter().any(|t| t.starts_with("loss."))))
            .chain(settings)
            .copied()
            .collect();
        let (report, _) = run(config(&settings), images(32), folder.path(), &NEVER).fit(|loss| loss)?;
        assert!(report.train_top1 > 0.75, "{settings:?}: {report:?}");
        Ok(())
    };
    for optimiser in [
        &["optim.name=nadam", "optim.lr=0.01"][..],
        &["optim.name=radam", "optim.lr=0.02"],
        &["optim.name=rmsprop_tf", "optim.lr=0.002"],
        &["optim.name=adagrad", "optim.lr=0.03"],
        &["optim.name=lamb", "optim.lr=0.02"],
        &["optim.name=lars", "optim.lr=2", "optim.weight_decay=1e-4", "optim.trust_coeff=0.02"],
        &["optim.name=lion", "optim.lr=0.003"],
        &["optim.name=adan", "optim.lr=0.02"],
        &["optim.name=muon", "optim.lr=0.02"],
        &["optim.name=adam", "optim.lr=0.01", "optim.sam={}"],
    ] {
        learns(optimiser)?;
    }
    for loss in [
        &["loss.name=binary_cross_entropy", "loss.sum_classes=true"][..],
        &["loss.name=focal"],
        &["loss.name=class_balanced"],
        &["loss.name=ldam", "loss.scale=5"],
        &["loss.name=asymmetric_multi_label"],
        &["loss.name=asymmetric_single_label"],
        &["loss.name=poly1"],
        &["loss.name=symmetric_cross_entropy", "loss.alpha=1.0"],
        &["loss.name=generalised_cross_entropy"],
    ] {
        learns(&[loss, &["optim.name=adam", "optim.lr=0.01"]].concat())?;
    }
    Ok(())
}
