//! Several labels a sample from the command line: trained, measured with several views, told of one image, cross-validated and
//! combined; and what takes one label alone says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

/// 40 pictures with stripes across, down, both or none, and a manifest of the classes that hold.
fn pictures(folder: &Path) -> Result<PathBuf> {
    let mut manifest = "path,labels,split\n".to_owned();
    for i in 0..40u32 {
        let (across, down) = (i % 2 == 1, i / 2 % 2 == 1);
        let level = |on: bool, at: u32| if on && (at + i / 4) % 4 < 2 { 90 } else { 10 };
        let picture = image::GrayImage::from_fn(16, 16, |x, y| image::Luma([level(across, y) + level(down, x)]));
        picture.save(folder.join(format!("{i}.png")))?;
        let holding = [("across", across), ("down", down)].into_iter().filter(|(_, holds)| *holds);
        let labels = holding.map(|(name, _)| name).collect::<Vec<_>>().join("|");
        manifest += &format!("{i}.png,{labels},{}\n", if i < 24 { "train" } else { "test" });
    }
    let path = folder.join("list.csv");
    std::fs::write(&path, manifest)?;
    Ok(path)
}

fn tallow(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_tallow")).args(arguments).output()?)
}

fn succeeds(arguments: &[&str]) -> Result<String> {
    let Output { status, stdout, stderr } = tallow(arguments)?;
    ensure!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8(stdout)?)
}

fn fails(arguments: &[&str], part: &str) -> Result<()> {
    let Output { status, stderr, .. } = tallow(arguments)?;
    let stderr = String::from_utf8_lossy(&stderr);
    ensure!(!status.success() && stderr.contains(part), "{part}: {stderr}");
    Ok(())
}

fn metrics(run: &str) -> Result<serde_json::Value> {
    metrics_of(run, "metrics.json")
}

fn metrics_of(run: &str, file: &str) -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(&std::fs::read(Path::new(run).join(file))?)?)
}

#[test]
fn several_labels_are_trained_measured_and_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let list = pictures(folder.path())?;
    let out = folder.path().join("run");
    let (data, run) = (list.to_str().context("a path")?, out.to_str().context("a path")?);
    let bce = "loss.name=binary_cross_entropy";
    let set = ["train.epochs=15", "train.batch_size=8", "model.width=8", "optim.lr=0.02", "augment.train=[]"];
    let method: Vec<&str> =
        ["--model", "small_cnn", "--data", data].into_iter().chain(set.map(|s| ["--set", s]).concat()).collect();

    fails(&[&["train"], &method[..], &["--out", run]].concat(), "several labels per sample need loss.name")?;
    ensure!(!out.exists(), "made before it was refused");

    let text = succeeds(&[&["train"], &method[..], &["--set", bce, "--out", run]].concat())?;
    ensure!(text.contains("mAP"), "{text}");
    let split = std::fs::read_to_string(out.join("split.csv"))?;
    ensure!(split.lines().count() == 25 && split.lines().skip(1).all(|line| line.ends_with(",train")), "{split}");
    let plain = metrics(run)?;
    ensure!(plain["multi_label"]["mean_average_precision"].as_f64() > Some(0.9), "{plain}");
    ensure!(plain.get("probabilities").is_none() && plain.get("confusion").is_none(), "{plain}");

    // Pictures of stripes and their mirror images: other logits, the mean of which is no probability's logarithm.
    let text = succeeds(&["evaluate", run, "--tta", "hflip"])?;
    ensure!(!text.contains("ROC AUC"), "{text}");
    let mirrored = metrics_of(run, "metrics-test-hflip.json")?;
    ensure!(mirrored["loss"] != plain["loss"], "{mirrored}");
    ensure!(mirrored["multi_label"]["mean_average_precision"].as_f64() > Some(0.9), "{mirrored}");
    let csv = std::fs::read_to_string(out.join("predictions.csv"))?;
    let labels: Vec<&str> = csv.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(labels[..4], ["", "across", "down", "across|down"]);

    // Each class has a probability of its own: of a picture with both they add up to more than 1.
    let both = folder.path().join("27.png");
    let told = succeeds(&["predict", run, both.to_str().context("a path")?, "--format", "json"])?;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    let classes = told[0]["classes"].as_array().context("classes")?;
    let sum: f64 = classes.iter().filter_map(|class| class["probability"].as_f64()).sum();
    ensure!(sum > 1.2, "{told}");

    // A model with one label per sample cannot be evaluated on several.
    let small = ["--set", "train.epochs=1", "--set", "train.batch_size=4"];
    let (list, out) = (folder.path().join("one.csv"), folder.path().join("one"));
    let rows: String = (0..8).map(|i| format!("{i}.png,{}\n", if i % 2 == 1 { "across" } else { "down" })).collect();
    std::fs::write(&list, format!("path,label\n{rows}"))?;
    let (one, out) = (list.to_str().context("a path")?, out.to_str().context("a path")?);
    succeeds(&[&["train", "--model", "small_cnn", "--data", one, "--out", out], &small[..]].concat())?;
    fails(&["evaluate", out, "--data", data], "it was trained on one label per sample")
}

/// Id, label and the classes' probabilities of each row, by id.
fn table(path: &Path) -> Result<BTreeMap<String, (String, Vec<f64>)>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let row = |line: &str| -> Result<(String, (String, Vec<f64>))> {
        let columns: Vec<&str> = line.split(',').collect();
        let numbers = columns[3..].iter().map(|p| Ok(p.parse()?)).collect::<Result<_>>()?;
        Ok((columns[0].to_owned(), (columns[1].to_owned(), numbers)))
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn several_labels_are_cross_validated_and_combined() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let list = pictures(folder.path())?;
    let data = list.to_str().context("a path")?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let common = ["train.batch_size=8", "optim.lr=0.02", "augment.train=[]", "loss.name=binary_cross_entropy"];
    let method = |more: &[&'static str]| -> Vec<&str> {
        let settings = common.iter().chain(more).flat_map(|setting| ["--set", *setting]);
        ["--model", "small_cnn", "--data", data].into_iter().chain(settings).collect()
    };

    // Folds of unlike strength: one of them learns too little.
    for (out, settings) in
        [("cv-a", ["train.epochs=12", "model.width=8"]), ("cv-b", ["train.epochs=1", "model.width=4"])]
    {
        let folds = ["--folds", "3", "--out", &at(out)];
        let shown = succeeds(&[&["crossval"], &method(&settings)[..], &folds].concat())?;
        for part in ["fold 3 of 3", "map", "hamming_loss", "samples_f1", "all held-out samples: n 24"] {
            ensure!(shown.contains(part), "{part}: {shown}");
        }
        ensure!(!shown.contains("audit") && !shown.contains("brier"), "{shown}");
    }
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(at("cv-a") + "/crossval.json")?)?;
    let metrics_of = report["metrics"].as_array().context("metrics")?;
    let map = metrics_of.iter().find(|metric| metric["name"] == "map").context("map")?;
    ensure!(map["values"].as_array().map(Vec::len) == Some(3) && map["mean"].as_f64() > Some(0.8), "{map}");
    ensure!(report["out_of_fold"]["multi_label"]["mean_average_precision"].as_f64() > Some(0.8), "{report}");
    // Every sample once, with what the fold said that held it out.
    let oof = table(Path::new(&(at("cv-a") + "/oof.csv")))?;
    let mut folds = BTreeMap::new();
    for fold in 0..3 {
        folds.extend(table(Path::new(&format!("{}/fold-{fold}/predictions.csv", at("cv-a"))))?);
    }
    ensure!(oof.len() == 24 && oof == folds, "{oof:?}");
    assert_eq!(
        ["0", "1", "2", "3"].map(|i| oof[&format!("{i}.png")].0.as_str()),
        ["", "across", "down", "across|down"]
    );
    ensure!(std::fs::read_to_string(at("cv-a") + "/folds.csv")?.contains("\n3.png,across|down,"));
    succeeds(&["crossval", "--resume", "--out", &at("cv-a")])?;

    // Combined: means of probabilities, votes by class, weights by what was held out.
    let (a, b) = (at("cv-a"), at("cv-b"));
    for method in ["average", "vote", "weighted", "selection"] {
        let shown = succeeds(&["ensemble", &a, &b, "--method", method, "--out", &at(method)])?;
        ensure!(shown.contains("mAP") && shown.contains("test: n 16"), "{method}: {shown}");
        let measured = metrics(&at(method))?;
        ensure!(measured["multi_label"].is_object() && measured["members"][0]["map"].is_number(), "{measured}");
        if method == "weighted" || method == "selection" {
            ensure!(shown.contains("fitted on out-of-fold predictions of 24 images"), "{shown}");
            let weight = |at: usize| measured["members"][at]["weight"].as_f64().unwrap_or(f64::NAN);
            ensure!(weight(0) > 0.8 && (weight(0) + weight(1) - 1.0).abs() < 1e-6, "{measured}");
        }
    }
    let mut members = Vec::new();
    for run in [
        "members/cv-a/fold-0",
        "members/cv-a/fold-1",
        "members/cv-a/fold-2",
        "members/cv-b/fold-0",
        "members/cv-b/fold-1",
        "members/cv-b/fold-2",
    ] {
        let run = format!("{}/{run}", at("average"));
        succeeds(&["evaluate", &run, "--split", "test"])?;
        members.push(table(Path::new(&(run + "/predictions-test.csv")))?);
    }
    for (id, (label, found)) in table(Path::new(&(at("average") + "/predictions.csv")))? {
        for (class, p) in found.iter().enumerate() {
            let mean = members.iter().map(|member| member[&id].1[class]).sum::<f64>() / 6.0;
            ensure!((p - mean).abs() < 2e-6 && members[0][&id].0 == label, "{id}: {p}, expected {mean}");
        }
    }
    // Of two members the mean decides where they disagree, so that each class is as likely as not on the same side.
    let average = table(Path::new(&(at("average") + "/predictions.csv")))?;
    for (id, (_, votes)) in table(Path::new(&(at("vote") + "/predictions.csv")))? {
        let sides = |p: &Vec<f64>| p.iter().map(|p| *p > 0.5).collect::<Vec<_>>();
        ensure!(sides(&votes) == sides(&average[&id].1), "{id}");
    }
    let told = succeeds(&["predict", &at("average"), &at("27.png"), "--format", "json"])?;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    let classes = told[0]["classes"].as_array().context("classes")?;
    let sum: f64 = classes.iter().filter_map(|class| class["probability"].as_f64()).sum();
    ensure!(sum > 1.1, "{told}");

    // Models of one architecture become one; what needs one class a sample says so.
    for (out, seed) in [("r1", "train.seed=1"), ("r2", "train.seed=2")] {
        let settings = [seed, "train.epochs=2", "model.width=4", "data.validation_fraction=0.3", "data.split_seed=0"];
        succeeds(&[&["train", "--quiet"], &method(&settings)[..], &["--out", &at(out)]].concat())?;
    }
    let (r1, r2) = (at("r1"), at("r2"));
    let shown = succeeds(&["ensemble", &r1, &r2, "--method", "greedy", "--out", &at("greedy")])?;
    ensure!(shown.contains("mAP"), "{shown}");
    let shown = succeeds(&["ensemble", &r1, &r2, "--method", "weighted", "--out", &at("of-runs")])?;
    ensure!(shown.contains("fitted on validation, 7 images"), "{shown}");
    fails(&["ensemble", &r1, &r2, "--method", "stack", "--out", &at("no")], "take --method weighted or selection")?;
    let one = folder.path().join("one.csv");
    let rows: String = (0..8).map(|i| format!("{i}.png,{}\n", if i % 2 == 1 { "across" } else { "down" })).collect();
    std::fs::write(&one, format!("path,label\n{rows}"))?;
    let small = ["--set", "train.epochs=1", "--set", "train.batch_size=4"];
    succeeds(
        &[&["train", "--model", "small_cnn", "--data", &at("one.csv"), "--out", &at("one")], &small[..]].concat(),
    )?;
    fails(&["ensemble", &r1, &at("one"), "--method", "average", "--out", &at("no")], "the first member several")?;
    fails(
        &["ensemble", &r1, &r2, "--method", "weighted", "--data", &at("one.csv"), "--out", &at("no")],
        "several labels",
    )?;
    fails(&["audit", data, "--cross-validate", "3", "--out", &at("no")], "where each sample has one label")?;
    ensure!(!Path::new(&at("no")).exists(), "made before it was refused");
    Ok(())
}
