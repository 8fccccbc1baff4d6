//! Whole runs on bundled images: they learn, resume bit for bit, do not depend on threads, and stop where they must.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::common::{Counting, GO, Run, Then, config, images, run, tensors};
use candle_core::Tensor;
use tallow_infer::TrainedRun;
use tallow_models::{BuiltModel, Model};
use tallow_nn::Mode;
use tallow_optim::loss::Loss;
use tallow_run::RunDir;
use tallow_train::{Error, Result};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn overfits_32_images() -> Result<()> {
    let folder = folder();
    let config = config(&[
        "model.width=8",
        "augment.train=[]",
        "augment.eval=[]",
        "loss.label_smoothing=0",
        "optim.name=adam",
        "optim.lr=0.01",
        "schedule.name=constant",
        "train.epochs=25",
    ]);
    let mut run = run(config, images(32), folder.path(), &GO);
    run.validation = Some(images(32));
    let (report, _) = run.fit(|loss| loss)?;
    let (_, evaluation) = report.evaluation.as_ref().expect("a validation split");
    assert_eq!((report.train_top1, evaluation.top1), (1.0, 1.0), "{report:?}");
    // summary.csv has a header and a row an epoch; the run's model loads with the best weights.
    let summary = std::fs::read_to_string(folder.path().join("summary.csv")).expect("a summary");
    assert_eq!(summary.lines().count(), 26);
    TrainedRun::open(folder.path())?;
    Ok(())
}

/// Augmentation, EMA, clipping and a schedule, in 12 steps of two epochs.
const FULL: &[&str] = &["train.epochs=2", "train.ema_decay=0.9", "train.clip_norm=1.0"];

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() -> Result<()> {
    for accumulate in ["train.accumulate=1", "train.accumulate=2"] {
        let settings = [FULL, &[accumulate, "train.checkpoint_every_steps=2"]].concat();
        let whole = folder();
        run(config(&settings), images(96), whole.path(), &GO).fit(|loss| loss)?;
        // Interrupted by Ctrl-C at one batch, killed at another, in the first epoch and in the second.
        let parts = folder();
        for (at, kill) in [(3, false), (2, true), (5, false)] {
            let stop = Box::leak(Box::new(AtomicBool::new(false)));
            let then = || if kill { Then::Die } else { Then::Stop(stop) };
            let counting =
                |inner| -> Box<dyn Loss> { Box::new(Counting { inner, calls: RefCell::default(), at, then: then() }) };
            match run(config(&settings), images(96), parts.path(), stop).fit(counting) {
                Ok((report, _)) => assert!(report.interrupted && !kill),
                Err(error) => assert!(kill && error.to_string() == "killed", "{error}"),
            }
        }
        let (report, _) = run(config(&settings), images(96), parts.path(), &GO).fit(|loss| loss)?;
        assert_eq!((report.epochs, report.interrupted), (2, false));
        assert_eq!(tensors(whole.path()), tensors(parts.path()), "{accumulate}");
        let summary = |run: &tempfile::TempDir| -> Vec<String> {
            let text = std::fs::read_to_string(run.path().join("summary.csv")).expect("a summary");
            text.lines().map(|line| line.split(',').take(3).collect::<Vec<_>>().join(",")).collect()
        };
        assert_eq!(summary(&whole), summary(&parts));
    }
    Ok(())
}

#[test]
fn weights_do_not_depend_on_the_number_of_threads() {
    let weights = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let folder = folder();
        let workers = format!("data.workers={threads}");
        let settings = [FULL, &[workers.as_str()]].concat();
        pool.install(|| run(config(&settings), images(48), folder.path(), &GO).fit(|loss| loss).map(|_| ()))
            .expect("a run");
        tensors(folder.path())
    };
    let one = weights(1);
    assert!(one == weights(2), "one and two threads differ");
    assert!(one == weights(4), "one and four threads differ");
}

#[test]
fn a_loss_that_is_no_number_names_step_samples_and_checkpoint() {
    let folder = folder();
    let settings = [FULL, &["train.checkpoint_every_steps=2"]].concat();
    let counting =
        |inner| -> Box<dyn Loss> { Box::new(Counting { inner, calls: RefCell::default(), at: 4, then: Then::Nan }) };
    let error = run(config(&settings), images(96), folder.path(), &GO).fit(counting).map(|_| ());
    let error = error.expect_err("a NaN").to_string();
    for part in ["NaN at step 3", "epoch 1", "train/", "last.safetensors", "optim.lr"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// A model whose backbone is cut off from the gradient.
struct Cut(Box<dyn Model>);

impl Model for Cut {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        // A copy, so that the tape does not know it either.
        Ok(self.0.forward_features(images, mode)?.detach().copy()?)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        self.0.forward_head(features, mode)
    }
}

#[test]
fn parameters_without_a_gradient_stop_the_run_and_are_named() {
    let folder = folder();
    let cut = |built: BuiltModel| BuiltModel { model: Box::new(Cut(built.model)), ..built };
    let run = Run { prepare: &cut, ..run(config(FULL), images(32), folder.path(), &GO) };
    let error = run.fit(|loss| loss).map(|_| ());
    let Err(Error::NoGradient { names }) = &error else { panic!("{error:?}") };
    assert!(names.contains("0.0.weight") && !names.contains("8.weight"), "{names}");
}

#[test]
fn a_checkpoint_of_another_model_or_a_broken_one_is_refused() -> Result<()> {
    let folder = folder();
    run(config(FULL), images(32), folder.path(), &GO).fit(|loss| loss)?;
    let wider = [FULL, &["model.width=8", "train.epochs=3"]].concat();
    let error = run(config(&wider), images(32), folder.path(), &GO).fit(|loss| loss).map(|_| ());
    assert!(
        matches!(&error, Err(Error::Run(tallow_run::Error::OtherCheckpoint { reason, .. })) if reason.contains("shape")),
        "{error:?}"
    );
    let adam = [FULL, &["optim.name=adam"]].concat();
    let error = run(config(&adam), images(32), folder.path(), &GO).fit(|loss| loss).map(|_| ());
    assert!(
        matches!(&error, Err(Error::Run(tallow_run::Error::OtherCheckpoint { reason, .. })) if reason.contains("exp_avg")),
        "{error:?}"
    );

    let path = RunDir::open(folder.path())?.last();
    let bytes = std::fs::read(&path).expect("the checkpoint");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("a shorter one");
    let error = run(config(FULL), images(32), folder.path(), &GO).fit(|loss| loss).map(|_| ());
    assert!(
        matches!(&error, Err(Error::Run(tallow_run::Error::Broken { path: named, .. })) if *named == path),
        "{error:?}"
    );
    Ok(())
}

#[test]
fn a_run_that_no_longer_improves_ends_and_keeps_its_best_weights() -> Result<()> {
    let folder = folder();
    let settings = ["optim.lr=0", "train.epochs=9", "train.early_stopping={ metric = \"macro_f1\", patience = 2 }"];
    let mut stuck = run(config(&settings), images(32), folder.path(), &GO);
    // Black images: the predictions may flip once as BatchNorm settles, and then no longer change.
    stuck.validation = Some(Arc::new(Black(images(1))));
    let (report, _) = stuck.fit(|loss| loss)?;
    assert!(report.stopped_early && report.epochs < 9, "{report:?}");
    assert!(RunDir::open(folder.path())?.weights()?.ends_with("best.safetensors"));

    let no_validation = run(config(&settings), images(32), folder.path(), &GO).fit(|loss| loss).map(|_| ());
    assert!(matches!(&no_validation, Err(Error::Mismatch(text)) if text.contains("validation_fraction")));
    Ok(())
}

/// The labels of a dataset with black images.
struct Black(Arc<dyn tallow_data::Dataset>);

impl tallow_data::Dataset for Black {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn class_names(&self) -> &[String] {
        self.0.class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.0.label(index)
    }

    fn image(&self, _: usize) -> tallow_data::Result<image::DynamicImage> {
        Ok(image::DynamicImage::new_luma8(28, 28))
    }

    fn id(&self, index: usize) -> String {
        self.0.id(index)
    }

    fn channels(&self) -> usize {
        1
    }
}
