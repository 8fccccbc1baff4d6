//! The usual flags, and errors that name the flag, the key or the file at fault.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

fn tallow(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_tallow")).args(arguments).output()?)
}

/// The error of a command that must fail.
fn fails(arguments: &[&str]) -> Result<String> {
    let output = tallow(arguments)?;
    ensure!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(String::from_utf8(output.stderr)?)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Training of a moment.
const SHORT: [&str; 5] = ["train", "--model", "small_cnn", "--set", "data.validation_fraction=0.95"];

#[test]
fn the_usual_flags_set_their_keys() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let flags =
        ["--epochs", "1", "--lr", "0.05", "--batch-size", "25", "--seed", "7", "--workers", "2", "--precision", "f32"];
    let output = tallow(&[&SHORT, &flags[..], &["--image-size", "24x32", "--out", text(&run)]].concat())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config: toml::Table = std::fs::read_to_string(run.join("config.toml"))?.parse()?;
    let key = |table: &str, key: &str| config[table].get(key).map(ToString::to_string).unwrap_or_default();
    assert_eq!(
        (key("train", "epochs"), key("train", "batch_size"), key("train", "seed")),
        ("1".into(), "25".into(), "7".into())
    );
    assert_eq!((key("optim", "lr"), key("data", "workers")), ("0.05".into(), "2".into()));
    assert_eq!(key("model", "input_size"), "[24, 32]");

    let resumed = tallow(&["train", "--resume", text(&run)])?;
    ensure!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let both = fails(&["train", "--resume", text(&run), "--out", text(folder.path())])?;
    ensure!(both.contains("--resume") && both.contains("--out"), "{both}");
    let alone = fails(&["train", "--resume"])?;
    ensure!(alone.contains("--resume needs the run"), "{alone}");
    Ok(())
}

#[test]
fn a_wrong_value_names_its_flag_and_key_and_an_unknown_flag_its_setting() -> Result<()> {
    for (arguments, parts) in [
        (&["--epochs", "many"][..], &["--epochs many", "`train.epochs`"][..]),
        (&["--lr", "-1"], &["--lr -1", "`optim.lr`"]),
        (&["--batch-size", "0"], &["--batch-size 0", "`train.batch_size`", "1 or more"]),
        (&["--workers", "1000000000"], &["--workers 1000000000", "`data.workers`", "at most 1024"]),
        (&["--precision", "fp16"], &["--precision fp16", "`train.precision`", "bf16"]),
        (&["--image-size", "big"], &["--image-size", "HEIGHTxWIDTH"]),
        (&["--set", "model.width=1000000000"], &["model.width", "at most"]),
        (&["--set", "model.width=60000"], &["model.width", "too large"]),
        (&["--set", "data.sampler=class_weighted"], &["`data.sampler`", "`class_weighted` needs a sequence"]),
        (&["--weight-decay", "0.1"], &["--set optim.weight_decay=VALUE"]),
        (&["--learning-rate", "0.1"], &["use '--lr'"]),
        (&["--model", "yolo"], &["no model is named `yolo`", "models` lists them"]),
    ] {
        // A dash begins a flag: clap takes a negative number as a value only behind `=`.
        let joined = arguments.join("=");
        let arguments = if arguments[1].starts_with('-') { vec![joined.as_str()] } else { arguments.to_vec() };
        let error = fails(&[&["train"], &arguments[..]].concat())?;
        for part in parts {
            ensure!(error.contains(part), "{arguments:?}: no {part} in {error}");
        }
        ensure!(!error.contains("panicked"), "{error}");
    }
    // `predict` has neither.
    let predict = fails(&["predict", "run", "x.png", "--weight-decay", "0.1"])?;
    ensure!(!predict.contains("--set"), "{predict}");
    Ok(())
}

#[test]
fn an_error_in_a_space_file_names_the_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (space, out) = (folder.path().join("space.toml"), folder.path().join("out"));
    for (content, parts) in [
        ("[space]\n\"optim.lrr\" = { low = 0.1, high = 1.0 }", &["[space] \"optim.lrr\"", "`optim.lr`"][..]),
        ("[space]\n\"optim.name\" = { choices = [\"sgd\", \"adamx\"] }", &["[space] \"optim.name\" at adamx", "adamw"]),
        ("[space]\n\"train.epochs\" = { low = 0, high = 4 }", &["[space] \"train.epochs\" at 0", "1 or more"]),
        (
            "set = [\"train.epoch=3\"]\n[space]\n\"optim.lr\" = { low = 0.1, high = 1.0 }",
            &["set = [\"train.epoch=3\"]"],
        ),
    ] {
        std::fs::write(&space, content)?;
        let error = fails(&["tune", text(&space), "--out", text(&out)])?;
        for part in parts {
            ensure!(error.contains(part), "{content}: no {part} in {error}");
        }
        ensure!(error.contains("space.toml") && !error.contains("--set"), "{error}");
        ensure!(!out.exists(), "{content}");
    }
    // A key that only some choices have is no error of the file.
    std::fs::write(&space, "[study]\ntrials = 0\n[space]\n\"optim.name\" = { choices = [\"sgd\", \"adamw\"] }")?;
    let error = fails(&["tune", text(&space), "--out", text(&out)])?;
    ensure!(error.contains("study.trials"), "{error}");
    Ok(())
}

#[test]
fn exports_refuse_unknown_endings_and_make_their_folders() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let trained = tallow(&[&SHORT, &["--epochs", "1", "--out", text(&run)][..]].concat())?;
    ensure!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let tflite = folder.path().join("x.tflite");
    let error = fails(&["export", text(&run), "--out", text(&tflite)])?;
    ensure!(error.contains("`.tflite` is not written") && !tflite.exists(), "{error}");
    for out in ["deep/er/x.onnx", "deep/folder/weights"] {
        let out = folder.path().join(out);
        let exported = tallow(&["export", text(&run), "--out", text(&out)])?;
        ensure!(exported.status.success() && out.exists(), "{}", String::from_utf8_lossy(&exported.stderr));
    }
    // The next step that `prune` prints trains as it stands there.
    let half = folder.path().join("half");
    let pruned = tallow(&["prune", text(&run), "--ratio", "0.5", "--out", text(&half)])?;
    let stdout = String::from_utf8(pruned.stdout)?;
    let next = stdout.lines().find_map(|line| line.strip_prefix("next: tallow ")).context("a next step")?;
    let next = next.split("    ").next().unwrap_or_default();
    let tuned = folder.path().join("tuned");
    let arguments: Vec<&str> = next.split(' ').chain(["--out", text(&tuned)]).collect();
    let tuned = tallow(&arguments)?;
    ensure!(tuned.status.success(), "{next}: {}", String::from_utf8_lossy(&tuned.stderr));
    Ok(())
}
