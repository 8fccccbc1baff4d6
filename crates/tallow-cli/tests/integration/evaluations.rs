//! Each evaluation has its own files: none replaces those of other data, splits or views.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::kill_and_resume::{pictures, train};

fn evaluate(run: &Path, options: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_tallow")).arg("evaluate").arg(run).args(options).output()?;
    ensure!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn metrics(folder: &Path, name: &str) -> Result<serde_json::Value> {
    let path = folder.join(name);
    Ok(serde_json::from_slice(&std::fs::read(&path).with_context(|| path.display().to_string())?)?)
}

#[test]
fn an_evaluation_leaves_those_of_other_data_splits_and_views_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, other, run) = (folder.path().join("pictures"), folder.path().join("other"), folder.path().join("run"));
    pictures(&data)?;
    pictures(&other)?;
    let mut training = train(&data, &run, 1, false);
    training.args(["--set", "train.epochs=1", "--set", "data.validation_fraction=0.25"]);
    ensure!(training.status()?.success());
    let own = metrics(&run, "metrics.json")?;
    ensure!(own["split"] == "validation" && own["data"] == data.display().to_string().as_str(), "{own}");
    ensure!(own["views"] == serde_json::json!([]), "{own}");
    let before = [std::fs::read(run.join("metrics.json"))?, std::fs::read(run.join("predictions.csv"))?];

    let shown = evaluate(&run, &["--split", "train"])?;
    ensure!(shown.contains("metrics-train.json, predictions-train.csv"), "{shown}");
    evaluate(&run, &["--tta", "hflip"])?;
    let shown = evaluate(&run, &["--data", &other.display().to_string(), "--split", "train"])?;
    let elsewhere =
        shown.lines().last().and_then(|line| line.split([' ', ',']).find(|word| word.starts_with("metrics-")));
    let elsewhere = elsewhere.context(shown.clone())?;
    ensure!(elsewhere.starts_with("metrics-other_") && elsewhere.ends_with("-train.json"), "{shown}");
    let out = folder.path().join("aside/here");
    evaluate(&run, &["--split", "train", "--out", &out.display().to_string()])?;
    ensure!(before == [std::fs::read(run.join("metrics.json"))?, std::fs::read(run.join("predictions.csv"))?]);

    ensure!(metrics(&run, "metrics-train.json")?["n"] == 72 && metrics(&out, "metrics.json")?["n"] == 72);
    ensure!(metrics(&run, "metrics-validation-hflip.json")?["views"] == serde_json::json!(["hflip"]));
    ensure!(metrics(&run, elsewhere)?["data"] == other.display().to_string().as_str());
    ensure!(run.join("predictions-validation-hflip.csv").is_file() && out.join("predictions.csv").is_file());
    // The run's own split, named, is still the run's own evaluation.
    evaluate(&run, &["--split", "validation", "--tta", "none", "--data", &data.display().to_string()])?;
    ensure!(before[0] == std::fs::read(run.join("metrics.json"))?);
    Ok(())
}
