//! Several labels a sample from the command line: trained, measured with several views, told of one image; and what takes one
//! label alone says so.

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

fn xtask(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output()?)
}

fn succeeds(arguments: &[&str]) -> Result<String> {
    let Output { status, stdout, stderr } = xtask(arguments)?;
    ensure!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8(stdout)?)
}

fn fails(arguments: &[&str], part: &str) -> Result<()> {
    let Output { status, stderr, .. } = xtask(arguments)?;
    let stderr = String::from_utf8_lossy(&stderr);
    ensure!(!status.success() && stderr.contains(part), "{part}: {stderr}");
    Ok(())
}

fn metrics(run: &str) -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(&std::fs::read(Path::new(run).join("metrics.json"))?)?)
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

    fails(&[&["train"], &method[..], &["--out", run]].concat(), "several labels a sample need loss.name")?;
    fails(&[&["crossval"], &method[..], &["--set", bce, "--out", run]].concat(), "takes one label a sample")?;
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
    let mirrored = metrics(run)?;
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

    let ensemble = folder.path().join("ensemble");
    let ensemble = ensemble.to_str().context("a path")?;
    fails(&["ensemble", run, run, "--method", "average", "--out", ensemble], "several labels")?;

    // A model of one label a sample has nothing to say of several.
    let small = ["--set", "train.epochs=1", "--set", "train.batch_size=4"];
    let (list, out) = (folder.path().join("one.csv"), folder.path().join("one"));
    let rows: String = (0..8).map(|i| format!("{i}.png,{}\n", if i % 2 == 1 { "across" } else { "down" })).collect();
    std::fs::write(&list, format!("path,label\n{rows}"))?;
    let (one, out) = (list.to_str().context("a path")?, out.to_str().context("a path")?);
    succeeds(&[&["train", "--model", "small_cnn", "--data", one, "--out", out], &small[..]].concat())?;
    fails(&["evaluate", out, "--data", data], "it was trained on one label a sample")
}
