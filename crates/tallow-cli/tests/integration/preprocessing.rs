//! The preprocessing that a run evaluates with is the one that its exported files describe.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// 24 pictures of 80 × 70 pixels in two classes: bright to the left, or to the right.
fn pictures(folder: &Path) -> Result<()> {
    for class in ["left", "right"] {
        std::fs::create_dir_all(folder.join(class))?;
        for i in 0..12u32 {
            let picture = image::RgbImage::from_fn(80, 70, |x, y| {
                let bright = if class == "left" { 80 - x } else { x };
                image::Rgb([(2 * bright) as u8, (x * y / 23 + i) as u8, (i * 20 + y % 7 * 5) as u8])
            });
            picture.save(folder.join(class).join(format!("{i}.png")))?;
        }
    }
    Ok(())
}

fn tallow(arguments: &[&str]) -> Result<(String, String)> {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_tallow")).args(arguments).output()?;
    let stderr = String::from_utf8(stderr)?;
    ensure!(status.success(), "{arguments:?}: {stderr}");
    Ok((String::from_utf8(stdout)?, stderr))
}

/// The probability of each class, in the order of their names.
fn predict(arguments: &[&str]) -> Result<Vec<f64>> {
    let predictions: Value = serde_json::from_str(&tallow(arguments)?.0)?;
    let mut classes: Vec<(String, f64)> = Vec::new();
    for class in predictions[0]["classes"].as_array().context("classes")? {
        let (label, probability) = (class["label"].as_str(), class["probability"].as_f64());
        classes.push((label.context("a label")?.to_owned(), probability.context("a probability")?));
    }
    classes.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(classes.into_iter().map(|(_, probability)| probability).collect())
}

fn train(data: &Path, run: &Path, set: &[&str]) -> Result<String> {
    let (data, run) = (data.to_str().context("a path")?, run.to_str().context("a path")?);
    let common = ["train.epochs=2", "optim.lr=0.005", "train.batch_size=8", "augment.tta=[]"];
    let set: Vec<&str> = common.iter().chain(set).flat_map(|setting| ["--set", setting]).collect();
    Ok(tallow(&[&["train", "--model", "resnet18", "--data", data, "--out", run], &set[..]].concat())?.1)
}

fn json(path: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// `predict RUN` and `predict --weights` of the run, and of a folder exported from it, prepare an image alike.
fn agree(run: &Path, exported: &Path, picture: &Path) -> Result<()> {
    let [run, exported, picture] = [run, exported, picture].map(|path| path.to_str().unwrap_or_default());
    let ours = predict(&["predict", run, picture, "--format", "json"])?;
    for weights in [run, exported] {
        let theirs = predict(&["predict", "--model", "resnet18", "--weights", weights, picture, "--format", "json"])?;
        let distance = ours.iter().zip(&theirs).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
        ensure!(ours.len() == 2 && theirs.len() == 2 && distance < 1e-6, "{weights}: {ours:?}, {theirs:?}");
    }
    Ok(())
}

#[test]
fn exported_preprocessing_is_the_evaluated_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [data, run, exported] = ["data", "run", "exported"].map(|name| folder.path().join(name));
    pictures(&data)?;
    // The default evaluation: Resize 36, bilinear, then CenterCrop 32. The architecture's own weights expect 0.95, bicubic.
    let crop = "augment.train=[{ op = \"RandomResizedCrop\", size = 32 }]";
    let note = train(&data, &run, &[crop])?;
    ensure!(!note.contains("timm's fields"), "{note}");
    tallow(&["export", run.to_str().context("a path")?, "--out", exported.to_str().context("a path")?])?;
    for config in [&run, &exported] {
        let config = json(&config.join("config.json"))?;
        let cfg = &config["pretrained_cfg"];
        ensure!(cfg["interpolation"] == "bilinear" && cfg["crop_mode"] == "center", "{cfg}");
        let scaled = 32.0 / cfg["crop_pct"].as_f64().context("crop_pct")?;
        ensure!(scaled.floor() == 36.0, "{cfg}");
        ensure!(config["tallow"].get("preprocessing").is_none(), "{config}");
    }
    agree(&run, &exported, &data.join("right/3.png"))
}

#[test]
fn preprocessing_that_timm_cannot_describe_is_exported_exactly() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [data, run, exported] = ["data", "run", "exported"].map(|name| folder.path().join(name));
    pictures(&data)?;
    let crop = "augment.train=[{ op = \"RandomResizedCrop\", size = 32 }]";
    // Larger than in training, as convolutional networks may, and padded.
    let pad = "augment.eval=[{ op = \"ResizePad\", size = 48, fill = [90, 90, 90] }]";
    let note = train(&data, &run, &[crop, pad])?;
    ensure!(note.contains("timm's fields"), "{note}");
    tallow(&["export", run.to_str().context("a path")?, "--out", exported.to_str().context("a path")?])?;
    let config = json(&exported.join("config.json"))?;
    assert_eq!(config["tallow"]["preprocessing"][0]["op"], "ResizePad");
    assert_eq!(config["pretrained_cfg"]["input_size"], serde_json::json!([3, 48, 48]));
    agree(&run, &exported, &data.join("left/5.png"))
}
