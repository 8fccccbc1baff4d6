//! Cross-validation from the command line: every sample is held out once, and a killed one ends with the same bits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// Two classes of 24 small pictures each, told apart by the direction of their stripes, and a manifest with a `patient` of
/// every three pictures.
fn pictures(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut manifest = "path,label,patient\n".to_owned();
    for (class, horizontal) in [("across", true), ("down", false)] {
        for i in 0..24u32 {
            let stripe = |x: u32, y: u32| if (if horizontal { y } else { x } + i) % 4 < 2 { 200 } else { 20 };
            let picture = image::GrayImage::from_fn(16, 16, |x, y| image::Luma([stripe(x, y) + (7 * i % 50) as u8]));
            let name = format!("{class}-{i}.png");
            picture.save(folder.join(&name))?;
            manifest += &format!("{name},{class},{}\n", i / 3);
        }
    }
    Ok(std::fs::write(folder.join("list.csv"), manifest)?)
}

fn crossval(data: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallow"));
    command.args(["crossval", "--model", "small_cnn", "--folds", "3", "--data"]).arg(data).arg("--out").arg(out);
    for setting in ["train.epochs=3", "train.batch_size=8", "model.width=4", "train.checkpoint_every_steps=2"] {
        command.args(["--set", setting]);
    }
    command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn succeeds(mut command: Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output()?;
    ensure!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8(stdout)?)
}

fn fails(mut command: Command, part: &str) -> Result<()> {
    let Output { status, stderr, .. } = command.output()?;
    let stderr = String::from_utf8_lossy(&stderr);
    ensure!(!status.success() && stderr.contains(part), "{part}: {stderr}");
    Ok(())
}

/// The rows of a CSV file by their first column, which must not repeat itself.
fn rows(path: PathBuf) -> Result<BTreeMap<String, Vec<String>>> {
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut rows = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut columns = line.split(',').map(str::to_owned);
        let id = columns.next().context("an id")?;
        ensure!(rows.insert(id, columns.collect()).is_none(), "{line}: twice");
    }
    Ok(rows)
}

/// All that `crossval.json` says, but for how long it took.
fn report(out: &Path) -> Result<serde_json::Value> {
    let mut report: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("crossval.json"))?)?;
    report.as_object_mut().context("an object")?.remove("train_s");
    Ok(report)
}

#[test]
fn a_killed_cross_validation_ends_with_the_same_bits() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("pictures");
    pictures(&data)?;
    let data = data.join("list.csv");
    let whole = folder.path().join("whole");
    let shown = succeeds(crossval(&data, &whole, &[]))?;
    for part in ["fold 3 of 3", "top1", "macro_f1", "roc_auc_macro", "corrected", "oof.csv"] {
        ensure!(shown.contains(part), "{part}: {shown}");
    }

    // Every sample is held out once, and predicted by the fold that holds it out.
    let (folds, out_of_fold) = (rows(whole.join("folds.csv"))?, rows(whole.join("oof.csv"))?);
    ensure!(folds.len() == 48 && out_of_fold.keys().eq(folds.keys()), "{} rows", out_of_fold.len());
    for fold in 0..3 {
        let predictions = rows(whole.join(format!("fold-{fold}/predictions.csv")))?;
        let held_out = || folds.iter().filter(|(_, columns)| columns[1] == fold.to_string()).map(|(id, _)| id);
        ensure!(held_out().count() == 16 && predictions.keys().eq(held_out()), "fold {fold}");
        ensure!(predictions.iter().all(|(id, columns)| out_of_fold[id] == *columns), "fold {fold}");
    }
    let metrics = report(&whole)?;
    ensure!(
        metrics["metrics"][0]["name"] == "top1" && metrics["metrics"][0]["values"].as_array().map(Vec::len) == Some(3)
    );
    ensure!(metrics["out_of_fold"]["n"] == 48, "{metrics}");

    // Killed in the second fold, in the middle of an epoch or where it happens to be.
    let killed = folder.path().join("killed");
    let mut child = crossval(&data, &killed, &["--quiet"]).spawn()?;
    let started = Instant::now();
    while !killed.join("fold-1/checkpoints/last.safetensors").is_file() {
        ensure!(started.elapsed() < Duration::from_secs(60), "no second fold after a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?; // SIGKILL
    child.wait()?;
    ensure!(!killed.join("crossval.json").exists(), "it ended before it was killed");
    fails(crossval(&data, &killed, &[]), "--resume")?;
    fails(crossval(&data, &killed, &["--resume", "--set", "optim.lr=0.3"]), "another configuration")?;
    fails(crossval(&data, &killed, &["--resume", "--repeats", "2"]), "other folds")?;
    succeeds(crossval(&data, &killed, &["--resume"]))?;
    for name in ["oof.csv", "folds.csv", "fold-0/model.safetensors", "fold-1/model.safetensors", "fold-2/metrics.json"]
    {
        ensure!(std::fs::read(whole.join(name))? == std::fs::read(killed.join(name))?, "{name} differs");
    }
    ensure!(report(&killed)? == metrics, "crossval.json differs");

    // The fold knows what it holds out.
    let mut evaluate = Command::new(env!("CARGO_BIN_EXE_tallow"));
    evaluate.arg("evaluate").arg(killed.join("fold-1")).args(["--split", "held_out"]);
    let (before, shown) = (std::fs::read(killed.join("fold-1/metrics.json"))?, succeeds(evaluate)?);
    ensure!(shown.contains("held_out: n 16"), "{shown}");
    ensure!(before == std::fs::read(killed.join("fold-1/metrics.json"))?);
    Ok(())
}

#[test]
fn groups_are_held_out_whole_and_repeats_are_averaged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("pictures");
    pictures(&data)?;
    let out = folder.path().join("out");
    let data = data.join("list.csv");
    let more = ["--group", "patient", "--repeats", "2", "--set", "train.epochs=1", "--quiet"];
    succeeds(crossval(&data, &out, &more))?;
    let folds = rows(out.join("folds.csv"))?;
    let mut fold_of: BTreeMap<u32, &[String]> = BTreeMap::new();
    for (id, columns) in &folds {
        let number: u32 = id.trim_end_matches(".png").rsplit('-').next().context("a number")?.parse()?;
        let folds = fold_of.entry(number / 3).or_insert(&columns[1..]);
        ensure!(*folds == &columns[1..], "patient {} is in {folds:?} and {columns:?}", number / 3);
    }
    let probability = |name: &str, id: &str| -> Result<f64> { Ok(rows(out.join(name))?[id][2].parse()?) };
    for (id, columns) in folds.iter().step_by(7) {
        let first = probability(&format!("fold-{}/predictions.csv", columns[1]), id)?;
        let second = probability(&format!("fold-{}/predictions.csv", columns[2]), id)?;
        let mean = probability("oof.csv", id)?;
        ensure!(((first + second) / 2.0 - mean).abs() < 2e-6, "{id}: {first} and {second} give {mean}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_made() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("pictures");
    pictures(&data)?;
    let (out, data) = (folder.path().join("out"), data.join("list.csv"));
    for (more, part) in [
        (["--set", "train.early_stopping.patience=2"], "needs a validation split"),
        (["--set", "data.fold={ count = 2, index = 0 }"], "sets it for every fold"),
        (["--set", "data.time_column=label"], "time"),
        (["--group", "doctor"], "doctor"),
        (["--repeats", "0"], "repeats"),
    ] {
        fails(crossval(&data, &out, &more), part)?;
        ensure!(!out.exists(), "{part}: a folder was made");
    }
    Ok(())
}

#[test]
fn the_audit_cross_validates_and_finds_a_wrong_label() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("pictures");
    pictures(&data)?;
    let data = data.join("list.csv");
    let manifest = std::fs::read_to_string(&data)?.replace("across-5.png,across", "across-5.png,down");
    std::fs::write(&data, manifest + "broken.png,down,9\n")?;
    std::fs::write(data.with_file_name("broken.png"), b"no picture")?;
    let out = folder.path().join("audit");
    let audit = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallow"));
        command.arg("audit").arg(&data).arg("--out").arg(&out).args(["--model", "small_cnn"]);
        for setting in ["train.epochs=12", "train.batch_size=8", "model.width=8", "optim.lr=0.05"] {
            command.args(["--set", setting]);
        }
        command.args(more);
        command
    };
    fails(audit(&[]), "--cross-validate")?;
    let wrong = || -> Result<Vec<String>> {
        let issues = std::fs::read_to_string(out.join("issues.csv"))?;
        let wrong = issues.lines().filter(|line| line.contains(",wrong_label,"));
        Ok(wrong.filter_map(|line| line.split(',').next().map(str::to_owned)).collect())
    };
    let shown = succeeds(audit(&["--cross-validate", "3"]))?;
    ensure!(shown.contains("48 samples with probabilities"), "{shown}");
    ensure!(wrong()?.iter().any(|id| id == "across-5.png"), "{:?}: {shown}", wrong()?);

    // Again, with the folds that are there; and the file by itself.
    let first = wrong()?;
    let shown = succeeds(audit(&["--cross-validate", "3"]))?;
    ensure!(wrong()? == first && !shown.contains("epoch"), "{shown}");
    let mut file = Command::new(env!("CARGO_BIN_EXE_tallow"));
    file.arg("audit").arg(&data).arg("--out").arg(&out).arg("--oof").arg(out.join("crossval/oof.csv"));
    succeeds(file)?;
    ensure!(wrong()? == first);
    Ok(())
}
