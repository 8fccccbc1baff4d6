//! Freezing, unfreezing and learning rates by depth in whole runs.

use std::path::{Path, PathBuf};

use crate::common::{GO, config, images, run, tensors};
use tallow_data::Splits;
use tallow_infer::ensemble::{Method, Plan, build};
use tallow_infer::{TestTime, TrainedRun, predict};
use tallow_models::BuiltModel;
use tallow_train::{Error, Result, eval_loader, resolve};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Makes an ensemble of the runs in `runs` at `out`.
fn ensemble(method: Method, runs: &[&Path], out: &Path) -> Result<()> {
    let runs: Vec<PathBuf> = runs.iter().map(PathBuf::from).collect();
    build(Plan { runs: &runs, snapshots: false, method, data: None, split: None, c: None, out })?;
    Ok(())
}

/// Name, value before training and value after it.
type Change = (String, Vec<f32>, Vec<f32>);

/// Every parameter and buffer before training (by the seed alone) and after a run with `settings`.
fn before_and_after(settings: &[&str]) -> Result<Vec<Change>> {
    let folder = folder();
    let config = config(&[&["train.epochs=1"], settings].concat());
    let values = |built: &BuiltModel| -> Vec<(String, Vec<f32>)> {
        let state = built.store.state_dict().into_iter();
        state.map(|(name, t)| (name, t.flatten_all().and_then(|t| t.to_vec1()).expect("values"))).collect()
    };
    let first = std::cell::RefCell::new(Vec::new());
    let mut run = run(config, images(32), folder.path(), &GO);
    let keep = |built: BuiltModel| {
        *first.borrow_mut() = values(&built);
        built
    };
    run.prepare = &keep;
    let (_, built) = run.fit(|loss| loss)?;
    let first = first.into_inner().into_iter();
    Ok(first.zip(values(&built)).map(|((name, before), (_, after))| (name, before, after)).collect())
}

#[test]
fn frozen_parameters_and_their_statistics_stay_and_all_others_move() -> Result<()> {
    // A whole block, a BatchNorm alone between parts that are trained, and one weight.
    for (name, before, after) in before_and_after(&["transfer.freeze=[\"0\", \"*.f.0.1\", \"8.weight\"]"])? {
        let frozen = name.starts_with("0.") || name.contains(".f.0.1.") || name == "8.weight";
        assert_eq!(before == after, frozen, "{name}");
    }
    Ok(())
}

#[test]
fn what_is_unfrozen_is_trained_and_resuming_keeps_both() -> Result<()> {
    let settings = ["transfer.freeze=[\"backbone\"]", "transfer.unfreeze_after_epochs=1", "train.ema_decay=0.9"];
    let whole = folder();
    run(config(&[&settings[..], &["train.epochs=2"]].concat()), images(48), whole.path(), &GO).fit(|loss| loss)?;
    let parts = folder();
    run(config(&[&settings[..], &["train.epochs=1"]].concat()), images(48), parts.path(), &GO).fit(|loss| loss)?;
    let moved = |name: &str| tensors(whole.path())[name] != tensors(parts.path())[name];
    for name in ["1.0.weight", "5.f.1.1.running_var", "8.bias"] {
        let key = tensors(whole.path()).into_keys().find(|key| key.starts_with("model") && key.ends_with(name));
        assert!(moved(&key.expect(name)), "{name} was not trained in the second epoch");
    }
    let resumed = folder();
    let stop = Box::leak(Box::new(std::sync::atomic::AtomicBool::new(true)));
    // Stopped after each step, and at the end of each epoch.
    for _ in 0..10 {
        let config = config(&[&settings[..], &["train.epochs=2"]].concat());
        run(config, images(48), resumed.path(), stop).fit(|loss| loss)?;
    }
    assert!(tensors(whole.path()) == tensors(resumed.path()), "the resumed run ended elsewhere");
    Ok(())
}

#[test]
fn patterns_that_mean_nothing_are_refused() {
    for (freeze, part) in
        [("[\"layer9\"]", "matches no parameter of resnet9; its modules are"), ("[\"*\"]", "leaves nothing")]
    {
        let folder = folder();
        let config = config(&[&format!("transfer.freeze={freeze}")]);
        let error = run(config, images(32), folder.path(), &GO).fit(|loss| loss).map(|_| ()).expect_err("a mistake");
        assert!(matches!(error, Error::Mismatch(_)) && error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_small_layer_decay_hardly_moves_the_stem() -> Result<()> {
    let moved = |changes: &[(String, Vec<f32>, Vec<f32>)], of: &str| -> f32 {
        let (_, before, after) = changes.iter().find(|(name, ..)| name == of).expect(of);
        before.iter().zip(after).map(|(before, after)| (before - after).abs()).sum()
    };
    let optim = ["optim.name=sgd", "optim.lr=0.01", "schedule.name=constant", "optim.weight_decay=0"];
    let plain = before_and_after(&optim)?;
    let decayed = before_and_after(&[&optim[..], &["optim.layer_decay=0.5"]].concat())?;
    let ratio = moved(&decayed, "0.0.weight") / moved(&plain, "0.0.weight");
    assert!((0.005..0.05).contains(&ratio), "six blocks lie between: some 1/64, found {ratio}");
    Ok(())
}

#[test]
fn a_student_comes_nearer_to_its_teacher() -> Result<()> {
    let (teacher, alone, taught) = (folder(), folder(), folder());
    let fit = |folder: &tempfile::TempDir, settings: &[&str]| -> Result<Vec<f32>> {
        let config = config(&[&["train.epochs=8", "optim.lr=0.05"], settings].concat());
        let (_, built) = run(config.clone(), images(96), folder.path(), &GO).fit(|loss| loss)?;
        let splits = Splits { train: images(96), validation: None, test: None, ignored_files: 0, stream: None };
        let loader = eval_loader(&resolve(config, &splits)?, images(96))?;
        let logits = predict(built.model.as_ref(), &loader, &TestTime::default())?.logits;
        Ok(tallow_metrics::softmax(&logits, 10)?)
    };
    // Its labels are smoothed, so that its answers are unlike what the labels alone would teach.
    let master = fit(&teacher, &["model.width=8", "train.seed=5", "loss.label_smoothing=0.6"])?;
    let plain = fit(&alone, &[])?;
    let setting = format!("distill.teacher={:?}", teacher.path());
    let student = fit(&taught, &[&setting, "distill.alpha=1.0", "distill.temperature=1.0"])?;
    let distance = |a: &[f32]| -> f32 { a.iter().zip(&master).map(|(a, b)| (a - b).abs()).sum() };
    let (taught, alone) = (distance(&student), distance(&plain));
    assert!(taught < 0.8 * alone, "the student is {taught} from its teacher, one without it {alone}");
    Ok(())
}

/// The distillation token's classifier is the teacher's pupil, the class token's that of the labels. The backbone is frozen,
/// lest the two meet there.
#[test]
fn a_distillation_token_learns_from_the_teacher_alone() -> Result<()> {
    let teachers = [folder(), folder()];
    for (seed, teacher) in teachers.iter().enumerate() {
        let seed = format!("train.seed={seed}");
        run(config(&["train.epochs=1", &seed]), images(32), teacher.path(), &GO).fit(|loss| loss)?;
    }
    let student = |teacher: &tempfile::TempDir, further: &str| -> Result<Vec<Change>> {
        let teacher = format!("distill.teacher={:?}", teacher.path());
        let settings = [
            "model.name=deit_tiny_distilled_patch16_224",
            "model.patch_size=14",
            "model.depth=1",
            "transfer.freeze=[\"backbone\"]",
            "distill.kind=soft",
            &teacher,
            further,
        ];
        let heads = before_and_after(&settings)?.into_iter().filter(|(name, ..)| name.starts_with("head"));
        Ok(heads.collect())
    };
    let first = student(&teachers[0], "loss.label_smoothing=0.0")?;
    let other_teacher = student(&teachers[1], "loss.label_smoothing=0.0")?;
    let other_labels = student(&teachers[0], "loss.label_smoothing=0.5")?;
    assert_eq!(first.len(), 4);
    for (i, (name, before, after)) in first.iter().enumerate() {
        let labels = name.starts_with("head.");
        assert_ne!(before, after, "{name} is trained");
        assert_eq!(*after == other_teacher[i].2, labels, "{name}: another teacher");
        assert_eq!(*after == other_labels[i].2, !labels, "{name}: other labels");
    }
    Ok(())
}

/// The state dict after a linear probe, whether it kept features, and its evaluation.
fn probe(settings: &[&str], folder: &std::path::Path) -> Result<(bool, Option<tallow_metrics::Evaluation>)> {
    let common = ["transfer.freeze=[\"backbone\"]", "augment.train_as_eval=true", "train.epochs=3"];
    let mut run = run(config(&[&common[..], settings].concat()), images(48), folder, &GO);
    run.validation = Some(images(20));
    let (report, _) = run.fit(|loss| loss)?;
    let log = std::fs::read_to_string(folder.join("log.txt")).expect("a log");
    Ok((log.contains("features are cached"), report.evaluation.map(|(_, evaluation)| evaluation)))
}

#[test]
fn kept_features_train_the_same_classifier_to_the_bit() -> Result<()> {
    for further in [
        &["data.sampler=\"class_balanced\"", "train.drop_last=true", "train.ema_decay=0.9"][..],
        &["model.name=small_cnn", "model.drop_rate=0.4"],
        &["model.name=vgg11", "model.drop_rate=0.2", "augment.eval=[{ op = \"Resize\", size = [32, 32] }]"],
        &["model.name=vit_tiny_patch4_32", "model.patch_size=14", "model.depth=2", "model.drop_rate=0.4"],
    ] {
        let (kept, again) = (folder(), folder());
        let with = probe(further, kept.path())?;
        let without = probe(&[further, &["transfer.cache_features=false"]].concat(), again.path())?;
        assert_eq!((with.0, without.0), (true, false), "{further:?}");
        assert_eq!(with.1.map(|e| (e.loss, e.top1)), without.1.map(|e| (e.loss, e.top1)), "{further:?}");
        assert!(tensors(kept.path()) == tensors(again.path()), "{further:?}: another classifier");
    }
    Ok(())
}

#[test]
fn features_that_differ_from_epoch_to_epoch_are_not_kept() -> Result<()> {
    let parameters = (0..6).flat_map(|i| [format!("{i}.*.weight"), format!("{i}.*.bias")]).collect::<Vec<_>>();
    let parameters = format!("transfer.freeze={parameters:?}");
    for further in [
        // Augmentation; a backbone that draws; one whose statistics go on; one that learns; a teacher would need images.
        &["augment.train_as_eval=false"][..],
        &["model.name=vit_tiny_patch4_32", "model.patch_size=14", "model.drop_path_rate=0.3"],
        &[&parameters],
        &["transfer.freeze=[\"0\", \"1\"]"],
        &["model.name=vit_tiny_patch4_32", "model.patch_size=14", "model.lora_rank=2"],
        &["augment.mix={ mixup_alpha = 0.2 }"],
    ] {
        let folder = folder();
        assert!(!probe(&[further, &["train.epochs=1"]].concat(), folder.path())?.0, "{further:?}");
    }
    Ok(())
}

#[test]
fn a_probe_that_is_unfrozen_later_trains_on() -> Result<()> {
    let (kept, again) = (folder(), folder());
    let later = ["transfer.unfreeze_after_epochs=2"];
    assert!(probe(&later, kept.path())?.0);
    assert!(!probe(&[&later[..], &["transfer.cache_features=false"]].concat(), again.path())?.0);
    assert!(tensors(kept.path()) == tensors(again.path()));
    Ok(())
}

#[test]
fn teachers_that_do_not_fit_are_refused() -> Result<()> {
    let (teacher, copy, vote, student) = (folder(), folder(), folder(), folder());
    run(config(&["train.epochs=1"]), images(32), teacher.path(), &GO).fit(|loss| loss)?;
    let refusal = |teacher: &Path, further: &[&str]| {
        let setting = format!("distill.teacher={teacher:?}");
        let config = config(&[&["train.epochs=1", &setting], further].concat());
        let student = run(config, images(32), student.path(), &GO);
        student.fit(|loss| loss).expect_err("a teacher that does not fit").to_string()
    };
    let resized = "[{op=\"Resize\",size=[32,32]}]";
    let error = refusal(teacher.path(), &[&format!("augment.train={resized}"), &format!("augment.eval={resized}")]);
    assert!(error.contains("(1, 28, 28)") && error.contains("(1, 32, 32)"), "{error}");
    TrainedRun::open(teacher.path())?.copy_to(copy.path())?;
    ensemble(Method::Vote, &[teacher.path(), copy.path()], vote.path())?;
    let error = refusal(vote.path(), &[]);
    assert!(error.contains("votes or is stacked"), "{error}");
    Ok(())
}

/// The state dict of a student after one epoch, taught by a teacher alone.
fn taught_by(teacher: &Path, settings: &[&str]) -> Result<Vec<f32>> {
    let (student, teacher) = (folder(), format!("distill.teacher={teacher:?}"));
    let settings = [&["train.epochs=1", "distill.alpha=1.0", &teacher], settings].concat();
    let (_, built) = run(config(&settings), images(32), student.path(), &GO).fit(|loss| loss)?;
    let (_, first) = built.store.parameters().next().expect("a parameter");
    Ok(first.flatten_all()?.to_vec1()?)
}

#[test]
fn an_ensemble_teaches_the_mean_of_its_members() -> Result<()> {
    let (teachers, copy, twice, both) = ([folder(), folder()], folder(), folder(), folder());
    for (seed, teacher) in teachers.iter().enumerate() {
        let seed = format!("train.seed={seed}");
        run(config(&["train.epochs=1", &seed]), images(32), teacher.path(), &GO).fit(|loss| loss)?;
    }
    let [first, second] = teachers.each_ref().map(|teacher| teacher.path());
    TrainedRun::open(first)?.copy_to(copy.path())?;
    ensemble(Method::Average, &[first, copy.path()], twice.path())?;
    ensemble(Method::Average, &[first, second], both.path())?;
    let alone = taught_by(first, &[])?;
    assert_eq!(taught_by(twice.path(), &[])?, alone, "a model and itself are of one opinion");
    let mean = taught_by(both.path(), &[])?;
    assert_ne!(mean, alone);
    assert_ne!(mean, taught_by(second, &[])?);
    Ok(())
}
