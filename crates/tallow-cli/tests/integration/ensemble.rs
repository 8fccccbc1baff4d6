//! The command line of ensembles: made, measured and asked like a run; what is refused ends with one line.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

fn tallow(folder: &Path, args: &[&str]) -> Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_tallow")).current_dir(folder).args(args).output().context("tallow")
}

/// The output of a command that must succeed.
fn printed(folder: &Path, args: &[&str]) -> Result<String> {
    let output = tallow(folder, args)?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The one line of a command that must fail.
fn refused(folder: &Path, args: &[&str]) -> Result<String> {
    let output = tallow(folder, args)?;
    ensure!(!output.status.success(), "{args:?} was not refused");
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn an_ensemble_is_made_measured_and_asked_like_a_run() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path();
    for (name, seed) in [("a", "train.seed=1"), ("b", "train.seed=2")] {
        let mut args = vec!["train", "--quiet", "--model", "small_cnn", "--out", name];
        let settings = [seed, "train.epochs=1", "model.width=4", "data.validation_fraction=0.1", "data.split_seed=3"];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        printed(folder, &args)?;
    }
    let made = printed(folder, &["ensemble", "a", "b", "--method", "weighted", "--out", "ab"])?;
    for part in ["weighted of 2 members: a, b", "fitted on validation, 500 images", "test: n 1000", "disagree on"] {
        ensure!(made.contains(part), "{part}: {made}");
    }
    let measured = printed(folder, &["evaluate", "ab", "--tta", "hflip,shift"])?;
    ensure!(measured.contains("ECE") && measured.contains("ensemble"), "{measured}");
    ensure!(folder.join("ab/predictions.csv").is_file() && folder.join("ab/metrics.json").is_file());

    image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(9 * x + y) as u8])).save(folder.join("x.png"))?;
    let asked = printed(folder, &["predict", "ab", "x.png", "--topk", "10", "--format", "csv"])?;
    let sum: f64 = asked.lines().skip(1).filter_map(|line| line.rsplit(',').next()?.parse::<f64>().ok()).sum();
    ensure!((sum - 1.0).abs() < 1e-4, "{asked}");

    let exported = printed(folder, &["export", "ab", "--out", "ab.onnx", "--tta", "hflip"])?;
    ensure!(exported.contains("an ensemble of a, b") && folder.join("ab.onnx").is_file(), "{exported}");
    let error = refused(folder, &["export", "ab", "--out", "ab-folder"])?;
    ensure!(error.contains("end in .onnx") && !folder.join("ab-folder").exists(), "{error}");

    let soup = printed(folder, &["ensemble", "a", "b", "--method", "soup", "--out", "soup"])?;
    ensure!(soup.contains("measured on validation"), "{soup}");
    ensure!(folder.join("soup/model.safetensors").is_file(), "a soup is exported as a run is");
    printed(folder, &["evaluate", "soup"])?;

    let error = refused(folder, &["ensemble", "a", "--method", "vote", "--out", "c"])?;
    ensure!(error.contains("needs two members"), "{error}");
    let error = refused(folder, &["ensemble", "a", "b", "--method", "vote", "--out", "ab"])?;
    ensure!(error.contains("not empty"), "{error}");
    let error = refused(folder, &["evaluate", "ab", "--tta", "mirror"])?;
    ensure!(error.contains("`mirror` is no view"), "{error}");
    Ok(())
}
