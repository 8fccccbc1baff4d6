//! Ensembles of tiny runs from end to end: built, opened, measured, compared with their members' tables by hand; and what
//! is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::common::{GO, config, images, run};
use tallow_data::{Dataset, OpenOptions, Subset};
use tallow_infer::ensemble::{BuildReport, Method, Plan, build};
use tallow_infer::{Ensemble, Measurement, Predictor, Result, TrainedRun, View};
use tallow_run::RunDir;

/// Settings of every run here: a share of the bundled images held out, the same from each.
const SHARED: &[&str] =
    &["model.name=small_cnn", "train.epochs=1", "data.validation_fraction=0.02", "data.split_seed=7"];

/// A folder with runs a, b, c (other seeds) trained on some bundled images; c looks at images in ten ways.
fn runs() -> &'static Path {
    static RUNS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let runs = RUNS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let ten_views = "augment.tta=[\"hflip\", \"shift\"]";
        for (name, own) in [("a", &["train.seed=1"][..]), ("b", &["train.seed=2"]), ("c", &["train.seed=3", ten_views])]
        {
            train(&folder.path().join(name), &[SHARED, own].concat());
        }
        folder
    });
    runs.path()
}

fn train(folder: &Path, settings: &[&str]) {
    run(config(settings), images(256), folder, &GO).fit(|loss| loss).expect("a run");
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| runs().join(name)).collect()
}

fn plan<'a>(runs: &'a [PathBuf], method: Method, out: &'a Path) -> Plan<'a> {
    Plan { runs, snapshots: false, method, data: None, split: None, c: None, out }
}

/// Some bundled test images.
fn test_images() -> Arc<dyn Dataset> {
    let splits = tallow_data::open("fashion-mnist-6k", &OpenOptions::default()).expect("the bundled images");
    Arc::new(Subset::new(splits.test.expect("a test split"), (0..40).collect()).expect("a subset"))
}

/// The rows of a predictions.csv: by id its label, its prediction and its probabilities.
fn csv(run: &Path) -> BTreeMap<String, (String, String, Vec<f64>)> {
    let text = fs::read_to_string(run.join("predictions.csv")).expect("predictions.csv");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let probabilities = cells[3..].iter().map(|cell| cell.parse().expect("a number")).collect();
        (cells[0].to_owned(), (cells[1].to_owned(), cells[2].to_owned(), probabilities))
    };
    text.lines().skip(1).map(row).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

#[test]
fn an_average_is_the_mean_of_its_members_tables_and_needs_nothing_but_its_folder() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let members: Vec<PathBuf> = ["a", "b", "c"].iter().map(|name| folder.path().join(name)).collect();
    members.iter().zip(paths(&["a", "b", "c"])).for_each(|(to, from)| copy(&from, to));
    let mut tables = Vec::new();
    for member in &members {
        Predictor::open(member)?.evaluate(&Measurement::main("test"), test_images())?;
        tables.push(csv(member));
    }
    let (average, vote) = (folder.path().join("average"), folder.path().join("vote"));
    build(plan(&members, Method::Average, &average))?;
    build(plan(&members, Method::Vote, &vote))?;
    members.iter().for_each(|member| fs::remove_dir_all(member).expect("removed"));

    let predictor = Predictor::open(&average)?;
    let measured = predictor.evaluate(&Measurement::main("test"), test_images())?;
    let mut right = 0;
    for (id, (label, predicted, probabilities)) in csv(&average) {
        let rows: Vec<&Vec<f64>> = tables.iter().map(|table| &table[&id].2).collect();
        let mean: Vec<f64> = (0..10).map(|class| rows.iter().map(|row| row[class]).sum::<f64>() / 3.0).collect();
        assert!(mean.iter().zip(&probabilities).all(|(a, b)| (a - b).abs() < 2e-6), "{id}");
        right += usize::from(label == predicted);
    }
    assert!((measured.evaluation.top1 - right as f64 / 40.0).abs() < 1e-12);
    // One image at a time says the same.
    let dataset = test_images();
    let said = predictor.probabilities(&[dataset.image(5)?, dataset.image(9)?])?;
    for (index, said) in [5, 9].into_iter().zip(said.chunks_exact(10)) {
        let row = &csv(&average)[&dataset.id(index)].2;
        assert!(said.iter().zip(row).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-6), "{said:?} {row:?}");
    }

    // Members beside it: each one's accuracy is that of its own table.
    let table = measured.members.expect("members");
    for (member, rows) in table.members.iter().zip(&tables) {
        let right = rows.values().filter(|(label, predicted, _)| label == predicted).count();
        assert!((member.top1 - right as f64 / 40.0).abs() < 1e-12, "{}", member.name);
    }
    let differ = tables[0].iter().filter(|(id, row)| row.1 != tables[1][*id].1).count();
    assert!((table.disagreement[0][1] - differ as f64 / 40.0).abs() < 1e-12);

    // Votes by hand, where there is a majority.
    Predictor::open(&vote)?.evaluate(&Measurement::main("test"), test_images())?;
    for (id, (_, predicted, _)) in csv(&vote) {
        let votes: Vec<&String> = tables.iter().map(|table| &table[&id].1).collect();
        let majority = votes.iter().find(|vote| votes.iter().filter(|other| other == vote).count() > 1);
        assert!(majority.is_none_or(|class| **class == predicted), "{id}: {votes:?} {predicted}");
    }
    Ok(())
}

#[test]
fn what_is_fitted_is_fitted_on_what_all_members_hold_out() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let members = paths(&["a", "b", "c"]);
    let mut losses = BTreeMap::new();
    for method in [Method::Weighted, Method::Selection, Method::Stack] {
        let out = folder.path().join(method.name());
        let made = build(plan(&members, method, &out))?;
        assert_eq!(made.held_out.as_deref(), Some("validation, 100 images"));
        losses.insert(method.name(), made.result.as_ref().expect("a result").loss);
        let best =
            made.members.iter().filter_map(|member| Some(member.measured.as_ref()?.loss)).fold(f64::MAX, f64::min);
        assert!(losses[method.name()] <= best + 1e-6, "{made}");
        // What is read back says what was fitted.
        let opened = Ensemble::open(&out)?;
        let validation = opened.splits(None)?.validation.expect("the shared split");
        let (predictions, _) = opened.predictions(&validation)?;
        let loss = predictions.evaluate(opened.classes())?.loss;
        assert!((loss - losses[method.name()]).abs() < 1e-5, "{method:?}: {loss}");
        assert!(made.to_string().contains("fitted on validation, 100 images"), "{made}");
        assert_eq!(Predictor::open(&out)?.fitted_on(), Some("validation, 100 images"));
    }
    assert!(losses["weighted"] <= losses["selection"] + 1e-6, "{losses:?}");
    Ok(())
}

/// The graph of an ensemble computes what the ensemble does: views, an average, its weights, a regression; a member with another mean,
/// deviation and order of classes.
#[test]
fn an_ensemble_is_a_function_of_images() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let (turned, darker) = (folder.path().join("turned"), folder.path().join("darker"));
    copy(&runs().join("b"), &turned);
    let run = RunDir::open(&turned)?;
    let classes: Vec<String> = run.classes()?.into_iter().rev().collect();
    run.write_json("classes.json", &classes)?;
    copy(&runs().join("c"), &darker);
    let config = fs::read_to_string(darker.join("config.toml")).expect("a config");
    let other = config.replace("mean = [0.286]", "mean = [0.4]").replace("std = [0.353]", "std = [0.5]");
    assert_ne!(config, other);
    fs::write(darker.join("config.toml"), other).expect("written");
    let dataset = test_images();
    let members = [runs().join("a"), runs().join("b"), darker.clone()];
    for method in [Method::Average, Method::Weighted, Method::Stack] {
        let out = folder.path().join(method.name());
        let members = match method {
            Method::Average => [runs().join("a"), turned.clone(), darker.clone()],
            _ => members.clone(),
        };
        build(plan(&members, method, &out))?;
        let predictor = Predictor::open(&out)?;
        let batch = predictor.first()?.batches(dataset.clone())?.next().expect("a batch")?;
        let found = predictor.forward(&batch)?.flatten_all()?.to_vec1::<f32>()?;
        let expected = predictor.predictions(dataset.clone())?.logits;
        assert_eq!(found.len(), expected.len());
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{method:?}: {worst}");
        predictor.graph()?;
        assert!(predictor.names().iter().any(|(_, name)| name == "darker/fc.weight"));
    }
    let mut predictor = Predictor::open(&folder.path().join("average"))?;
    predictor.set_tta(&[View::FiveCrop])?;
    assert!(predictor.graph().expect_err("crops").to_string().contains("five_crop"));
    let vote = folder.path().join("vote");
    build(plan(&members, Method::Vote, &vote))?;
    assert!(Predictor::open(&vote)?.graph().expect_err("votes").to_string().contains("votes are counted"));
    Ok(())
}

#[test]
fn other_data_is_fitted_on_by_the_split_it_has() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let (dataset, photos) = (test_images(), folder.path().join("photos"));
    for index in 0..dataset.len() {
        // A class of the bundled images has a slash in its name, and no image here.
        let class = photos.join(&dataset.class_names()[dataset.label(index)]);
        if dataset.label(index) > 0 {
            fs::create_dir_all(&class).expect("a folder");
            dataset.image(index)?.save(class.join(format!("{index}.png"))).expect("a picture");
        }
    }
    let images = (0..dataset.len()).filter(|index| dataset.label(*index) > 0).count();
    let (members, spec, out) = (paths(&["a", "b"]), photos.display().to_string(), folder.path().join("out"));
    let plan = |split| Plan { data: Some(&spec), split, ..plan(&members, Method::Weighted, &out) };
    let refused = build(plan(Some("test"))).expect_err("no such split").to_string();
    assert!(refused.contains("has no test split"), "{refused}");
    let made = build(plan(None))?;
    assert_eq!(made.held_out, Some(format!("{spec} (train), {images} images")));
    Ok(())
}

#[test]
fn members_with_other_class_orders_are_reordered() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let turned = folder.path().join("turned");
    copy(&runs().join("b"), &turned);
    let classes: Vec<String> = RunDir::open(&turned)?.classes()?.into_iter().rev().collect();
    RunDir::open(&turned)?.write_json("classes.json", &classes)?;
    let out = folder.path().join("average");
    build(plan(&[runs().join("a"), turned.clone()], Method::Average, &out))?;
    let dataset = test_images();
    let ours = Predictor::open(&out)?.predictions(dataset.clone())?.probabilities()?;
    let a = TrainedRun::open(&runs().join("a"))?.predictions(dataset.clone())?.probabilities()?;
    let b = TrainedRun::open(&runs().join("b"))?.predictions(dataset)?.probabilities()?;
    for (row, mean) in ours.chunks(10).enumerate() {
        for (class, mean) in mean.iter().enumerate() {
            // What b says in its first column is now said of the last class.
            let expected = (a[row * 10 + class] + b[row * 10 + 9 - class]) / 2.0;
            assert!((mean - expected).abs() < 1e-5, "{mean} {expected}");
        }
    }
    let refused = build(plan(&[runs().join("a"), turned], Method::Soup, &folder.path().join("soup")));
    assert!(refused.expect_err("another order").to_string().contains("another order"));
    Ok(())
}

#[test]
fn a_soup_of_equals_is_the_member_and_greedy_is_no_worse_than_the_best() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let twin = folder.path().join("twin");
    copy(&runs().join("a"), &twin);
    let out = folder.path().join("soup");
    build(plan(&[runs().join("a"), twin], Method::Soup, &out))?;
    let state = |path: &Path| -> Result<Vec<(String, Vec<f32>)>> {
        let state = TrainedRun::open(path)?.classifier.built.store.state_dict();
        state.into_iter().map(|(name, tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?))).collect()
    };
    assert_eq!(state(&out)?, state(&runs().join("a"))?);
    // It is a run like any other.
    assert!(matches!(Predictor::open(&out)?, Predictor::Run(_)));

    let greedy = folder.path().join("greedy");
    let made: BuildReport = build(plan(&paths(&["a", "b", "c"]), Method::Greedy, &greedy))?;
    let best = made.members.iter().filter_map(|i| Some(i.measured.as_ref()?.top1)).fold(0.0, f64::max);
    let result = made.result.as_ref().expect("a result").top1;
    assert!(result >= best, "{made}");
    let validation = Predictor::open(&greedy)?.splits(None)?.validation.expect("a validation split");
    let measured = Predictor::open(&greedy)?.evaluate(&Measurement::main("validation"), validation)?;
    assert_eq!(measured.evaluation.top1, result);
    Ok(())
}

#[test]
fn a_cross_validation_is_one_member_and_its_out_of_fold_table_is_fitted_on() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("cv1"), folder.path().join("cv2"));
    for (cv, folds) in [(&first, ["a", "b"]), (&second, ["b", "c"])] {
        folds.iter().enumerate().for_each(|(at, run)| copy(&runs().join(run), &cv.join(format!("fold-{at}"))));
    }
    let classes = RunDir::open(runs().join("a"))?.classes()?;
    // Of four samples the first member is right about three, the second about one; rows in another order.
    let header =
        format!("id,label,predicted,{}\n", classes.iter().map(|c| format!("p_{c}")).collect::<Vec<_>>().join(","));
    let row = |id: &str, label: usize, p: f64| {
        let rest = (1.0 - p) / 9.0;
        let cells: Vec<String> = (0..10).map(|c| format!("{:.6}", if c == label { p } else { rest })).collect();
        format!("{id},{},x,{}\n", classes[label], cells.join(","))
    };
    let good = [row("1", 0, 0.9), row("2", 1, 0.9), row("3", 2, 0.9), row("4", 3, 0.1)].concat();
    let bad = [row("4", 3, 0.5), row("3", 2, 0.5), row("2", 1, 0.5), row("1", 0, 0.5)].concat();
    fs::write(first.join("oof.csv"), format!("{header}{good}")).expect("written");
    fs::write(second.join("oof.csv"), format!("{header}{bad}")).expect("written");
    let members = [first.clone(), second.clone()];
    let out = folder.path().join("weighted");
    let made = build(plan(&members, Method::Weighted, &out))?;
    assert_eq!(made.held_out.as_deref(), Some("out-of-fold predictions of 4 images"));
    // As in weights.rs, by hand.
    let weight = made.members[0].measured.as_ref().and_then(|row| row.weight).expect("a weight");
    assert!((weight - 0.625).abs() < 1e-3, "{weight}");

    // On new images a member is the mean of its folds.
    let dataset = test_images();
    let of = |run: &str| TrainedRun::open(&runs().join(run))?.predictions(dataset.clone())?.probabilities();
    let (a, b, c) = (of("a")?, of("b")?, of("c")?);
    let ours = Predictor::open(&out)?.predictions(dataset.clone())?.probabilities()?;
    for (i, p) in ours.iter().enumerate() {
        let expected = weight as f32 * (a[i] + b[i]) / 2.0 + (1.0 - weight as f32) * (b[i] + c[i]) / 2.0;
        assert!((p - expected).abs() < 1e-5, "{p} {expected}");
    }

    // Fitted parts must be of the same samples, and nothing that a fold was trained on may be fitted on.
    let error = |members: &[PathBuf], method| {
        build(plan(members, method, &folder.path().join("none"))).expect_err("refused").to_string()
    };
    assert!(error(&[first.clone(), runs().join("c")], Method::Stack).contains("no oof.csv"));
    fs::write(second.join("oof.csv"), format!("{header}{}", row("1", 0, 0.5))).expect("written");
    assert!(error(&members, Method::Stack).contains("there is no sample 2"));
    fs::write(second.join("oof.csv"), format!("{header}{}{}", row("1", 0, 0.5), row("1", 0, 0.5))).expect("written");
    assert!(error(&members, Method::Stack).contains("line 3: 1 stands in line 2 as well"));
    fs::remove_file(first.join("oof.csv")).and_then(|()| fs::remove_file(second.join("oof.csv"))).expect("removed");
    assert!(error(&members, Method::Stack).contains("without oof.csv"));
    assert!(error(&members, Method::Soup).contains("its folds can"));
    // An ensemble of cross-validations has no validation split of its own.
    assert!(Predictor::open(&out)?.splits(None)?.validation.is_none());
    Ok(())
}

#[test]
fn snapshots_end_each_cycle_and_make_an_ensemble() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let cycles = folder.path().join("cycles");
    let settings =
        ["train.epochs=3", "schedule.name=cosine_restarts", "schedule.cycle_epochs=1.5", "train.snapshots=true"];
    train(&cycles, &[SHARED, &settings].concat());
    let run = RunDir::open(&cycles)?;
    assert_eq!(run.snapshots().len(), 2);
    // The second cycle ends with the run.
    let weights = |path: PathBuf| -> Result<Vec<f32>> {
        let built = TrainedRun::with_weights(RunDir::open(&cycles)?, &path)?.classifier.built;
        let parameters = built.store.parameters().map(|(_, var)| Ok(var.flatten_all()?.to_vec1::<f32>()?));
        Ok(parameters.collect::<Result<Vec<_>>>()?.concat())
    };
    assert_eq!(weights(run.snapshot(2))?, weights(run.last())?);
    assert_ne!(weights(run.snapshot(1))?, weights(run.last())?);

    let out = folder.path().join("snapshots");
    let runs = [cycles.clone()];
    let made = build(Plan { snapshots: true, ..plan(&runs, Method::Average, &out) })?;
    assert_eq!(made.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["cycles-1", "cycles-2"]);
    let dataset = test_images();
    let of = |cycle| {
        let snapshot = TrainedRun::with_weights(RunDir::open(&cycles)?, &run.snapshot(cycle))?;
        snapshot.predictions(dataset.clone())?.probabilities()
    };
    let (one, two) = (of(1)?, of(2)?);
    let ours = Predictor::open(&out)?.predictions(dataset.clone())?.probabilities()?;
    assert!(ours.iter().zip(one.iter().zip(&two)).all(|(p, (a, b))| (p - (a + b) / 2.0).abs() < 1e-5));
    Ok(())
}

#[test]
fn what_cannot_be_combined_is_refused_with_the_reason() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let refused =
        |members: &[PathBuf], method: Method| build(plan(members, method, &out)).expect_err("refused").to_string();
    let contains = |text: String, parts: &[&str]| {
        assert!(parts.iter().all(|part| text.contains(part)), "{text}: expected {parts:?}");
    };
    let other = |name: &str, settings: &[&str]| {
        let path = folder.path().join(name);
        train(&path, settings);
        path
    };
    let a = runs().join("a");
    contains(refused(std::slice::from_ref(&a), Method::Average), &["needs two members, found 1"]);
    contains(refused(&[a.clone(), a.clone()], Method::Average), &["given twice"]);
    contains(refused(&[a.clone(), folder.path().into()], Method::Average), &["not a run directory"]);

    let seeded =
        other("seeded", &["model.name=small_cnn", "train.epochs=1", "data.validation_fraction=0.02", "train.seed=9"]);
    contains(
        refused(&[a.clone(), seeded.clone()], Method::Stack),
        &["seeded", "validation split differs", "trained on", "data.split_seed"],
    );
    let without = other("without", &["model.name=small_cnn", "train.epochs=1"]);
    contains(
        refused(&[a.clone(), without], Method::Weighted),
        &["without a validation split", "data.validation_fraction"],
    );
    // An average needs nothing held out; but its validation split is the first member's alone, and left out.
    build(plan(&[a.clone(), seeded.clone()], Method::Average, &out))?;
    assert!(Predictor::open(&out)?.splits(None)?.validation.is_none());
    contains(refused(&[a.clone(), seeded], Method::Average), &["not empty"]);
    let ensemble = [a.clone(), out.clone()];
    let nested = build(plan(&ensemble, Method::Average, &folder.path().join("nested")));
    contains(nested.expect_err("an ensemble").to_string(), &["this is an ensemble", "members"]);

    let soup = folder.path().join("soup");
    let wide = other("wide", &["train.epochs=1", "data.validation_fraction=0.02", "data.split_seed=7"]);
    let unlike = [a.clone(), wide];
    let error = build(plan(&unlike, Method::Soup, &soup)).expect_err("another architecture").to_string();
    contains(error, &["wide", "model.name", "resnet9", "small_cnn", "equal models"]);

    let renamed = folder.path().join("renamed");
    copy(&a, &renamed);
    let mut classes = RunDir::open(&renamed)?.classes()?;
    classes[3] = "cat".into();
    RunDir::open(&renamed)?.write_json("classes.json", &classes)?;
    let unlike = [a.clone(), renamed];
    let error = build(plan(&unlike, Method::Average, &soup)).expect_err("other classes").to_string();
    contains(error, &["other classes", "here is no Dress", "only here is cat"]);

    for (data, split, parts) in [
        (None, Some("train"), &["trained on it"][..]),
        (None, Some("test"), &["chooses nothing"]),
        (None, Some("tset"), &["expected train, validation or test"]),
        (Some("fashion-mnist-6k"), None, &["was trained on fashion-mnist-6k"]),
    ] {
        let members = paths(&["a", "b"]);
        let plan = Plan { data, split, ..plan(&members, Method::Stack, &soup) };
        contains(build(plan).expect_err("refused").to_string(), parts);
    }
    assert!(!soup.exists(), "nothing is left of what was refused");
    Ok(())
}
