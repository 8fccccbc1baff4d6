//! Batch and image sizes that grow between epochs, and the measuring of batch sizes.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use crate::common::{Counting, GO, Run, Then, config, images, run, tensors};
use candle_core::{Device, Tensor};
use tallow_data::Splits;
use tallow_models::{BuiltModel, Model};
use tallow_nn::Mode;
use tallow_optim::loss::{Loss, LossContext};
use tallow_train::batch_size::{choose_batch_size, measure_batch_sizes};
use tallow_train::{Error, Network, Result, class_counts, resolve, train_loader};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A column of a run's summary.csv.
fn column(run: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(run.join("summary.csv")).expect("a summary");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = lines.next().and_then(|header| header.iter().position(|column| *column == name)).expect(name);
    lines.map(|line| line[at].to_owned()).collect()
}

/// A model that notes the height of every batch: of training from 0 up, of evaluation below 0.
struct Noting(Box<dyn Model>, &'static Mutex<Vec<i64>>);

impl Model for Noting {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        let height = images.dim(2)? as i64;
        let noted = if mode.is_train() { height } else { -height };
        self.1.lock().expect("the notes").push(noted);
        self.0.forward_features(images, mode)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        self.0.forward_head(features, mode)
    }
}

/// Trains 96 images to the end, in one go and in parts that are interrupted and killed, and compares the weights.
fn resumes(settings: &[&str]) -> Result<()> {
    let whole = folder();
    run(config(settings), images(96), whole.path(), &GO).fit(|loss| loss)?;
    let parts = folder();
    for (at, kill) in [(7, false), (2, true)] {
        let stop = Box::leak(Box::new(AtomicBool::new(false)));
        let then = || if kill { Then::Die } else { Then::Stop(stop) };
        let counting =
            |inner| -> Box<dyn Loss> { Box::new(Counting { inner, calls: RefCell::default(), at, then: then() }) };
        let fitted = run(config(settings), images(96), parts.path(), stop).fit(counting);
        assert_eq!(fitted.is_err(), kill, "{:?}", fitted.err());
    }
    run(config(settings), images(96), parts.path(), &GO).fit(|loss| loss)?;
    assert!(tensors(whole.path()) == tensors(parts.path()), "{settings:?}: a resumed run has other weights");
    Ok(())
}

#[test]
fn batches_grow_and_the_schedule_keeps_its_epochs() -> Result<()> {
    let schedule = "schedule={ name = \"step\", step_epochs = 1, gamma = 0.5 }";
    let settings = ["train.epochs=3", "train.drop_last=false", schedule];
    let (constant, grown) = (folder(), folder());
    let (report, _) = run(config(&settings), images(96), constant.path(), &GO).fit(|loss| loss)?;
    assert_eq!(report.steps, 18);
    // Of 16, 32 and 64 samples.
    let growing = [settings.as_slice(), &["train.batch_growth={ factor = 2 }"]].concat();
    let (report, _) = run(config(&growing), images(96), grown.path(), &GO).fit(|loss| loss)?;
    assert_eq!((report.steps, report.epochs), (6 + 3 + 2, 3));
    assert_eq!(column(grown.path(), "lr"), column(constant.path(), "lr"));
    // The first epoch is the same, batch for batch; those after it are not.
    let (one, other) = (column(constant.path(), "train_loss"), column(grown.path(), "train_loss"));
    assert!(one[0] == other[0] && one[1] != other[1], "{one:?} {other:?}");

    let growing = ["train.epochs=3", "train.batch_growth={ max = 32 }", "train.accumulate=2"];
    resumes(&[growing.as_slice(), &["train.checkpoint_every_steps=1"]].concat())?;

    let too_large = ["train.epochs=9", "train.batch_growth={ factor = 4 }", "train.drop_last=true"];
    let error = run(config(&too_large), images(96), folder().path(), &GO).fit(|loss| loss).map(|_| ());
    assert!(matches!(&error, Err(Error::Mismatch(text)) if text.contains("train.batch_growth")), "{error:?}");
    Ok(())
}

#[test]
fn images_grow_while_evaluation_sees_them_whole() -> Result<()> {
    static HEIGHTS: Mutex<Vec<i64>> = Mutex::new(Vec::new());
    let settings = ["train.epochs=4", "augment.progressive={ start = 16, stages = 3 }", "train.batch_size=48"];
    let folder = folder();
    let noting = |built: BuiltModel| BuiltModel { model: Box::new(Noting(built.model, &HEIGHTS)), ..built };
    let mut noted = run(config(&settings), images(96), folder.path(), &GO);
    noted.validation = Some(images(8));
    let noted = Run { prepare: &noting, ..noted };
    noted.fit(|loss| loss)?;
    let mut heights = HEIGHTS.lock().expect("the notes").clone();
    // First every size is tried, then epoch for epoch two batches and an evaluation.
    assert_eq!(heights.drain(..2).collect::<Vec<_>>(), [-16, -22]);
    assert_eq!(heights, [16, 16, -28, 16, 16, -28, 22, 22, -28, 28, 28, -28]);

    resumes(&["train.epochs=3", "augment.progressive={ start = 16 }", "train.checkpoint_every_steps=1"])?;

    for (settings, part) in [
        (["augment.progressive={ start = 40 }", "model.width=4"], "augment.progressive.start"),
        (["augment.progressive={ start = 1 }", "model.width=4"], "augment.progressive.start"),
        (["augment.progressive={ start = 14 }", "model={ name = \"vit_tiny_patch16_224\" }"], "convolutional"),
    ] {
        let splits = Splits { train: images(8), validation: None, test: None, ignored_files: 0, stream: None };
        let error = resolve(config(&settings), &splits).map(|_| ());
        assert!(matches!(&error, Err(Error::Mismatch(text)) if text.contains(part)), "{error:?}");
    }
    Ok(())
}

#[test]
fn batch_sizes_are_measured_up_to_the_dataset() -> Result<()> {
    let splits = Splits { train: images(40), validation: None, test: None, ignored_files: 0, stream: None };
    let resolved = resolve(config(&[]), &splits)?;
    let config = &resolved.config;
    let built = tallow_models::build(&config.model.name, &config.model.config, config.train.seed, &Device::Cpu)?;
    let values = |tensor: &Tensor| tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("values");
    let weights = || -> Vec<(String, Vec<f32>)> {
        let all = built.store.state_dict().into_iter().filter(|(name, _)| !name.contains("running"));
        all.map(|(name, tensor)| (name, values(&tensor))).collect()
    };
    let before = weights();
    let loss = config.loss.build(&LossContext { class_counts: class_counts(splits.train.as_ref()) })?;
    let mut optimizer = config.optim.build(&built.store, Some(built.info.preset.classifier));
    let loader = train_loader(&resolved, &splits)?;
    let costs =
        measure_batch_sizes(config, Network::from(&built), loss.as_ref(), optimizer.as_mut(), &loader, u64::MAX)?;
    let sizes: Vec<usize> = costs.iter().map(|cost| cost.batch_size).collect();
    assert!(sizes == [8, 16, 32] || sizes == [8, 16], "{sizes:?}");
    assert!(costs.iter().all(|cost| cost.step_s > 0.0));
    assert!(choose_batch_size(&costs, u64::MAX).is_some_and(|size| sizes.contains(&size)));
    // With a learning rate of 0 nothing was learnt.
    assert_eq!(before, weights());
    Ok(())
}
